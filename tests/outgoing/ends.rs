//! Every recipient has exactly one end, whatever next hops do; after a crash at least one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ringpost::io::Machine;
use ringpost::io::sim::{Manner, Random, seeds};
use ringpost::mail::MessageId;
use ringpost::mta::outgoing::{Destination, count_key};

use super::here::{Here, envelope, remote, settings, zone};
use super::hop::{Answer, Hop};

const DOMAINS: [(&str, &str); 3] =
    [("a.example", "198.51.100.1"), ("b.example", "198.51.100.2"), ("c.example", "198.51.100.3")];

/// Does anything at all, now and then.
fn any(random: &Rc<RefCell<Random>>, lossy: bool, command: &str) -> Answer {
    let mut random = random.borrow_mut();
    if !random.one_in(6) {
        return Answer::Usual;
    }
    let content = command.starts_with('.');
    match random.below(8) {
        0 => Answer::Drop,
        1 if content && lossy => Answer::TakeAndDrop,
        1 | 2 => Answer::Say("451 4.3.2 not now"),
        3 if command.starts_with("RCPT") => Answer::Say("452 4.5.3 enough"),
        4 if command.starts_with("RCPT") || content => Answer::Say("550 5.7.1 never"),
        5 => Answer::Late(Duration::from_secs(random.between(1, 30))),
        6 if command == "greeting" => Answer::Say("421 4.3.2 busy"),
        _ => Answer::Usual,
    }
}

/// A host with three domains to send to, and what was sent: recipients of each message.
struct Run {
    here: Here,
    hops: Vec<Hop>,
    sent: Vec<(String, Vec<String>)>,
}

impl Run {
    fn new(seed: u64, lossy: bool) -> Run {
        let settings = settings(vec![remote(&[5, 20, 60, 300])], Vec::new());
        let mut here = Here::new(seed, zone(&DOMAINS), settings);
        let hops: Vec<Hop> = DOMAINS
            .iter()
            .map(|(_, address)| {
                let random = Rc::new(RefCell::new(Random::new(here.random.bits())));
                let extensions: &[&'static str] = match here.random.below(3) {
                    0 => &[],
                    1 => &["PIPELINING", "SIZE"],
                    _ => &["PIPELINING", "CHUNKING", "8BITMIME", "LIMITS RCPTMAX=2"],
                };
                let hop = Hop::new(&here.world, &format!("{address}:25"), extensions);
                hop.set_policy(move |command| any(&random, lossy, command));
                hop
            })
            .collect();
        here.start();
        let run = Run { here, hops, sent: Vec::new() };
        run.serve();
        run
    }

    fn serve(&self) {
        self.hops.iter().for_each(|hop| hop.serve(&self.here.world.machine()));
    }

    fn send(&mut self, number: u64) {
        let (domain, _) = DOMAINS[self.here.random.index(3)];
        let count = self.here.random.between(1, 5);
        let to: Vec<String> = (0..count).map(|place| format!("u{place}@{domain}")).collect();
        let names: Vec<&str> = to.iter().map(String::as_str).collect();
        let subject = format!("m{number}");
        let body = "x".repeat(self.here.random.index(20_000));
        let content = format!("Subject: {subject}\r\n\r\n.{body}\r\n");
        let route = self.here.to_remote(0);
        if self.here.send(envelope(number, "me@here.example", &names), route, content.as_bytes()) {
            self.sent.push((subject, to));
        }
    }

    /// How often each copy was taken with the client told, without, and given back.
    fn ends(&self) -> BTreeMap<(String, String), (usize, usize, usize)> {
        let mut ends: BTreeMap<_, (usize, usize, usize)> = BTreeMap::new();
        for (subject, to) in &self.sent {
            for to in to {
                ends.entry((subject.clone(), to.clone())).or_default();
            }
        }
        for taken in self.hops.iter().flat_map(|hop| hop.taken.borrow().clone()) {
            let end = ends.get_mut(&(taken.subject(), taken.recipient.clone())).expect("nothing else was sent");
            assert!(taken.content.ends_with(b"\r\n") && taken.content.starts_with(b"Subject: m"), "it is whole");
            if taken.told { end.0 += 1 } else { end.1 += 1 }
        }
        for back in self.here.back.borrow().iter() {
            let subject =
                back.content.lines().find_map(|line| line.strip_prefix("Subject: m")).map(|rest| format!("m{rest}"));
            for line in back.content.lines() {
                if let Some(to) = line.strip_prefix("Final-Recipient: rfc822; ") {
                    let key = (subject.clone().expect("a header came back"), to.to_owned());
                    ends.get_mut(&key).expect("it was sent").2 += 1;
                }
            }
        }
        ends
    }
}

#[test]
fn every_recipient_has_exactly_one_end() {
    let (mut bounced, mut unanswered) = (0, 0);
    for seed in seeds(40) {
        let lossy = seed % 2 == 0;
        let mut run = Run::new(seed, lossy);
        (1..=15).for_each(|number| run.send(number));
        assert!(run.here.settle(), "seed {seed}: something stays");
        for ((subject, to), (taken, untold, back)) in run.ends() {
            assert_eq!(taken + back, 1, "seed {seed}: {subject} for {to}: taken {taken}, untold {untold}, back {back}");
            bounced += back;
            unanswered += untold;
        }
        let figures = run.here.outgoing().figures();
        assert_eq!(figures.waiting, 0);
        assert_eq!(figures.sent + figures.bounced, run.sent.iter().map(|(_, to)| to.len() as u64).sum::<u64>());
        run.here.world.run(Duration::from_secs(30));
        assert_eq!(run.here.outgoing().figures().connections, 0, "nothing keeps a connection for nothing");
    }
    assert!(bounced > 20 && unanswered > 5, "{bounced} {unanswered}: too kind a world");
}

#[test]
fn after_a_crash_every_recipient_has_an_end_and_what_was_noted_has_one() {
    for seed in seeds(40) {
        let mut run = Run::new(seed, true);
        for round in 0..3u64 {
            (1..=5).for_each(|number| run.send(100 * round + number));
            let time = run.here.random.between(1, 60_000);
            run.here.world.run(Duration::from_millis(time));
            if run.here.random.one_in(2) {
                run.here.world.crash()
            } else {
                run.here.world.kill()
            }
            run.here.start();
            run.serve();
        }
        assert!(run.here.settle(), "seed {seed}: something stays");
        for ((subject, to), (taken, untold, back)) in run.ends() {
            assert!(taken + untold + back > 0, "seed {seed}: {subject} for {to} is lost");
            assert!(taken + back <= 4, "seed {seed}: {subject} for {to}: {taken} {untold} {back}");
        }
    }
}

/// Mail for a dead destination neither holds up the rest nor is tried one by one.
fn many_for_a_dead_destination(messages: u64, manner: Manner) {
    let settings = settings(vec![remote(&[3600, 3600])], Vec::new());
    let mut here = Here::new(7, zone(&DOMAINS), settings);
    let (dead, alive) =
        (Hop::new(&here.world, "198.51.100.1:25", &[]), Hop::new(&here.world, "198.51.100.2:25", &["PIPELINING"]));
    dead.host.set_manner(manner);
    here.start();
    alive.serve(&here.world.machine());
    let route = here.to_remote(0);
    let content = b"Subject: m\r\n\r\nhello\r\n";
    let mut most = 0;
    for number in 1..=messages {
        here.send(envelope(2 * number, "me@here.example", &["you@a.example"]), route, content);
        if number % 100 == 0 {
            here.send(envelope(2 * number + 1, "me@here.example", &["you@b.example"]), route, content);
            most = most.max(here.outgoing().figures().waiting);
            here.forget_events();
        }
    }
    here.world.run(Duration::from_secs(120));
    assert_eq!(alive.taken.borrow().len() as u64, messages / 100, "the others' mail has left");
    assert!(most <= messages, "{most}");
    let outgoing = here.outgoing().clone();
    assert!(here.world.run_until(|| outgoing.figures().waiting == 0), "they are let go when the host was not reached");
    let figures = here.outgoing().figures();
    assert_eq!(figures.bounced, 0);
    // A minute's attempt, or a refusal, with pauses between that grow: not one for each.
    assert!(dead.host.attempts() <= 25, "{} attempts", dead.host.attempts());
    assert_eq!(here.spool().len() as u64, messages);
    let (attempts, reason) = here.why(2 * (messages / 2))["you@a.example"].clone();
    assert!(attempts <= 1 && reason.starts_with("4.4.1 ") && reason.contains("198.51.100.1"), "{attempts} {reason}");
    assert!(here.outgoing().figures().deferred >= messages);
    // It comes to life.
    dead.host.set_manner(Manner::Answers);
    dead.serve(&here.world.machine());
    assert!(here.settle(), "it stays");
    assert_eq!(dead.taken.borrow().len() as u64, messages);
    assert!(dead.open.get().1 <= 20, "{} connections at a time", dead.open.get().1);
    assert!(dead.connections.get() as u64 <= messages / 100 + 200, "{} connections", dead.connections.get());
}

#[test]
fn a_destination_that_is_silent_costs_an_attempt_a_while() {
    many_for_a_dead_destination(600, Manner::Silent);
}

#[test]
fn a_destination_that_refuses_costs_an_attempt_a_while() {
    many_for_a_dead_destination(600, Manner::Refuses);
}

#[test]
fn fifty_thousand_for_a_dead_destination() {
    many_for_a_dead_destination(50_000, Manner::Refuses);
}

#[test]
fn fifty_thousand_for_a_silent_destination() {
    many_for_a_dead_destination(50_000, Manner::Silent);
}

#[test]
fn a_slow_destination_holds_up_nobody_else() {
    let settings = settings(vec![remote(&[3600])], Vec::new());
    let mut here = Here::new(3, zone(&DOMAINS), settings);
    let (slow, quick) = (Hop::new(&here.world, "198.51.100.1:25", &[]), Hop::new(&here.world, "198.51.100.2:25", &[]));
    slow.set_policy(|command| if command == "." { Answer::Late(Duration::from_secs(170)) } else { Answer::Usual });
    here.start();
    [&slow, &quick].into_iter().for_each(|hop: &Hop| hop.serve(&here.world.machine()));
    let route = here.to_remote(0);
    for number in 1..=200 {
        let to = if number % 2 == 0 { "you@a.example" } else { "you@b.example" };
        here.send(envelope(number, "me@here.example", &[to]), route, b"Subject: m\r\n\r\nhello\r\n");
    }
    here.world.run(Duration::from_secs(60));
    assert_eq!((quick.taken.borrow().len(), slow.taken.borrow().len()), (100, 0));
    assert!(here.settle());
    assert_eq!(slow.taken.borrow().len(), 100);
    assert!(slow.open.get().1 > 2 && slow.open.get().1 <= 20, "{:?}", slow.open.get());
}

#[test]
fn cores_share_the_connections_to_a_destination() {
    // Two hosts stand for two cores: what they share are the counts.
    let counted = settings(vec![remote(&[3600])], Vec::new());
    let (counts, hasher) = (counted.counts.clone(), counted.hasher.clone());
    let key = Destination::Domain { remote: 0, domain: "a.example".parse().expect("a domain") };
    let held: Vec<_> = (0..18).filter_map(|_| counts.take(&count_key(&key, &hasher), 20)).collect();
    assert_eq!(held.len(), 18);
    let mut here = Here::new(3, zone(&DOMAINS), counted);
    let slow = Hop::new(&here.world, "198.51.100.1:25", &[]);
    slow.set_policy(|command| if command == "." { Answer::Late(Duration::from_secs(30)) } else { Answer::Usual });
    here.start();
    slow.serve(&here.world.machine());
    let route = here.to_remote(0);
    for number in 1..=100 {
        here.send(envelope(number, "me@here.example", &["you@a.example"]), route, b"Subject: m\r\n\r\nhello\r\n");
    }
    here.world.run(Duration::from_secs(600));
    assert_eq!(slow.open.get().1, 2, "two were left");
    drop(held);
    assert!(here.settle());
    assert!(slow.open.get().1 > 2);
    assert_eq!(slow.taken.borrow().len(), 100);
    here.world.run(Duration::from_secs(30));
    assert_eq!(counts.totals(), (0, 0), "nothing leaks");
}

#[test]
fn mail_in_a_lane_can_be_taken_out_and_the_rest_goes_on() {
    let settings = settings(vec![remote(&[3600])], Vec::new());
    let mut here = Here::new(3, zone(&DOMAINS), settings);
    let slow = Hop::new(&here.world, "198.51.100.1:25", &[]);
    slow.set_policy(|command| if command == "." { Answer::Late(Duration::from_secs(60)) } else { Answer::Usual });
    here.start();
    slow.serve(&here.world.machine());
    let route = here.to_remote(0);
    for number in 1..=20 {
        here.send(
            envelope(number, "me@here.example", &["you@a.example"]),
            route,
            format!("Subject: m{number}\r\n\r\nhello\r\n").as_bytes(),
        );
    }
    here.world.run(Duration::from_secs(1));
    let (spool, outgoing, machine) = (here.spool().clone(), here.outgoing().clone(), here.world.machine());
    let done = here.world.block_on(async move {
        for number in [15, 16] {
            let id = MessageId(number);
            outgoing.withdraw(id);
            if number == 15 {
                spool.remove(id).await.expect("it waits")
            } else {
                spool.hold(id, true).await.expect("it waits")
            }
        }
        machine.sleep(Duration::from_secs(3000)).await;
    });
    assert!(done.is_some());
    assert_eq!((slow.taken.borrow().len(), here.spool().len()), (18, 1));
    let (spool, outgoing) = (here.spool().clone(), here.outgoing().clone());
    here.world.block_on(async move { spool.hold(MessageId(16), false).await }).expect("it ends").expect("it is here");
    drop(outgoing);
    assert!(here.settle());
    assert_eq!(slow.taken.borrow().iter().filter(|taken| taken.subject() == "m16").count(), 1);
}

#[test]
fn a_flush_of_one_message_leaves_other_destinations_alone() {
    let settings = settings(vec![remote(&[3600, 3600, 3600, 3600])], Vec::new());
    let mut here = Here::new(3, zone(&DOMAINS), settings);
    let hops = ["198.51.100.1:25", "198.51.100.2:25"].map(|at| Hop::new(&here.world, at, &[]));
    hops.iter().for_each(|hop| hop.host.set_manner(Manner::Refuses));
    here.start();
    let attempts = || hops.each_ref().map(|hop| hop.host.attempts());
    let content = b"Subject: m\r\n\r\nhello\r\n";
    for (number, to) in [(1, "you@a.example"), (2, "too@a.example"), (3, "you@b.example")] {
        here.send(envelope(number, "me@here.example", &[to]), here.to_remote(0), content);
        // The first is known to be dead before the second message comes: two at once may both try.
        here.world.run(Duration::from_secs(1));
    }
    assert_eq!((attempts(), here.outgoing().figures().unreachable), ([1, 1], 2));
    here.outgoing().flush();
    here.spool().flush(MessageId(1)).expect("it waits");
    here.world.run(Duration::from_secs(1));
    assert_eq!(attempts(), [2, 1]);
    here.send(envelope(4, "me@here.example", &["new@b.example"]), here.to_remote(0), content);
    here.world.run(Duration::from_secs(1));
    assert_eq!(attempts(), [2, 1], "the other destination is left alone still");
    // However many are flushed at a time: one attempt tells of all.
    here.outgoing().flush();
    (1..=3).for_each(|number| here.spool().flush(MessageId(number)).expect("it waits"));
    here.world.run(Duration::from_secs(1));
    assert_eq!(attempts(), [3, 2]);
    hops.iter().for_each(|hop| {
        hop.host.set_manner(Manner::Answers);
        hop.serve(&here.world.machine());
    });
    here.outgoing().flush();
    here.spool().flush(MessageId(1)).expect("it waits");
    here.world.run(Duration::from_secs(5));
    assert_eq!((hops[0].taken.borrow().len(), here.why(1).len()), (1, 0));
    assert!(here.settle());
}

#[test]
fn a_flush_reaches_the_lane_of_a_dead_destination() {
    let settings = settings(vec![remote(&[86_400, 86_400])], Vec::new());
    let mut here = Here::new(3, zone(&DOMAINS), settings);
    let hop = Hop::new(&here.world, "198.51.100.1:25", &[]);
    hop.host.set_manner(Manner::Refuses);
    here.start();
    here.send(envelope(1, "me@here.example", &["you@a.example"]), here.to_remote(0), b"Subject: m\r\n\r\nhello\r\n");
    here.world.run(Duration::from_secs(3));
    assert_eq!(hop.host.attempts(), 1);
    hop.host.set_manner(Manner::Answers);
    hop.serve(&here.world.machine());
    here.world.run(Duration::from_secs(3600));
    assert_eq!(hop.taken.borrow().len(), 0, "it waits for tomorrow");
    // While it is left alone again.
    hop.host.set_manner(Manner::Refuses);
    let id = MessageId(1);
    here.outgoing().flush();
    here.spool().flush(id).expect("it waits");
    here.world.run(Duration::from_secs(1));
    assert_eq!(hop.host.attempts(), 2);
    hop.host.set_manner(Manner::Answers);
    here.outgoing().flush();
    here.spool().flush(id).expect("it waits");
    here.world.run(Duration::from_secs(1));
    assert_eq!(hop.taken.borrow().len(), 1);
}
