//! A week of mail of which a little waits for long.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use ringpost::io::Machine;
use ringpost::io::sim::{Random, SimMachine, World};
use ringpost::mail::{Client, Content, Envelope, IdSource, Mailbox, MessageId, Protocol, ReversePath, SessionId};
use ringpost::spool::{Opened, Outcome, OutcomeResult, Spool};

use super::host::{SPOOL, spool_settings};

/// Small, so that there are many.
const SEGMENT: u64 = 128 * 1024;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What is known of the messages that are there.
struct Week {
    spool: Spool<SimMachine>,
    machine: SimMachine,
    ids: IdSource,
    random: Random,
    /// By id: the octets that it is made of, how many, and when its recipient is there at last.
    waiting: HashMap<MessageId, (u8, usize, u64)>,
}

/// An envelope for one recipient.
pub fn envelope(id: MessageId, now: u64) -> Envelope {
    Envelope::new(
        id,
        SessionId(1),
        now,
        ReversePath::Null,
        vec![Mailbox::parse("you@example.com").expect("a mailbox")],
        Client {
            address: "192.0.2.1:25".parse().expect("an address"),
            helo: "client.example".into(),
            protocol: Protocol::Esmtp,
            tls: None,
            user: None,
        },
    )
}

async fn open(machine: SimMachine) -> Opened<SimMachine> {
    let opened = Spool::open(machine, Path::new(SPOOL), spool_settings(SEGMENT), Box::new(|_| {}));
    opened.await.expect("nothing stops it")
}

impl Week {
    /// One message comes; most are seen through at once, one in a hundred is put off for hours, the first for ever.
    async fn minute(&mut self, number: u64) {
        let now = self.machine.wall_clock();
        let id = MessageId(self.ids.next(now));
        let (octet, size) = (self.random.bits() as u8, self.random.index(20_000));
        let mut incoming = self.spool.incoming(envelope(id, now));
        incoming.push(&vec![octet; size]).await.expect("there is room");
        incoming.commit(&Content::default()).await.expect("there is room");
        let until = match number {
            0 => u64::MAX,
            _ if self.random.one_in(100) => now + self.random.below(48) * HOUR.as_micros() as u64,
            _ => 0,
        };
        self.waiting.insert(id, (octet, size, until));
        self.spool.schedule(id, 0);
        while let Some(id) = self.spool.take_due() {
            self.attempt(id).await;
        }
        self.spool.pulse();
        self.machine.sleep(MINUTE).await;
    }

    async fn attempt(&mut self, id: MessageId) {
        let now = self.machine.wall_clock();
        let (octet, size, until) = self.waiting[&id];
        let result = if until <= now {
            let stored = self.spool.read(id).await.expect("it is there");
            let mut length = 0;
            let read = self.spool.read_content(&stored, async |slice| {
                length += slice.iter().filter(|found| **found == octet).count();
                Ok(())
            });
            read.await.expect("it is whole");
            assert_eq!(length, size, "it is as it came");
            self.waiting.remove(&id);
            OutcomeResult::Delivered
        } else {
            let not_before = now + HOUR.as_micros() as u64;
            OutcomeResult::Deferred { not_before, attempts: 1, reason: "nobody is there".into() }
        };
        self.spool.resolve(id, &[Outcome { recipient: 0, result }]).await.expect("noted");
    }
}

#[test]
fn a_week_with_deferred_mail_neither_grows_nor_fragments() {
    let world = World::new(7);
    world.disk().make_directory("/spool").expect("the disk is empty");
    let mut machine = world.machine();
    let mut waiting = HashMap::new();
    let (mut ids, mut random) = (IdSource::new(0, 0), world.random());
    let mut most = Vec::new();
    for day in 0..7 {
        let end_of_day = world.block_on(async {
            let opened = open(machine.clone()).await;
            assert_eq!(opened.messages, waiting.len(), "day {day}");
            let mut week = Week { spool: opened.spool, machine: machine.clone(), ids, random, waiting };
            let mut most = 0;
            for minute in 0..24 * 60 {
                week.minute(day * 24 * 60 + minute).await;
                most = most.max(segments(&world));
            }
            week.spool.settled().await;
            assert_eq!(week.spool.len(), week.waiting.len(), "day {day}");
            (most, week.ids, week.random, week.waiting)
        });
        let most_today;
        (most_today, ids, random, waiting) = end_of_day.expect("the world goes on");
        most.push(most_today);
        world.crash();
        machine = world.restart();
    }
    assert!(most.iter().all(|segments| *segments <= most[0] + 3), "it grows: {most:?}");
    assert!(most[0] <= 10, "it fragments: {most:?}");
}

fn segments(world: &World) -> usize {
    let names = world.disk().list(SPOOL).unwrap_or_default();
    names.iter().filter(|name| name.starts_with("segment-")).count()
}
