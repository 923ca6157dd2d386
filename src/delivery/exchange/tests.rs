//! Over the simulated network, with many seeds: replies and content come and go in pieces of any size.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::io::Class;
use crate::io::sim::{ClientEnd, Host, Manner, SimMachine, World, seeds};
use crate::mail::{Mailbox, ReversePath};
use crate::smtp::client::transaction::Recipient;
use crate::smtp::client::{Protocol, Settings, Tls};

const PULSE: Duration = Duration::from_millis(250);

fn there() -> Peer {
    Peer::Tcp("192.0.2.25:25".parse().expect("an address"))
}

fn way() -> Way {
    Way {
        to: there(),
        from: None,
        session: Settings {
            protocol: Protocol::Smtp,
            hello_name: "here.example".into(),
            tls: Tls::Never,
            secured: false,
            login: None,
        },
        tls: None,
        connect_timeout: Duration::from_secs(60),
        timeout: Duration::from_secs(180),
    }
}

fn mail(recipients: usize, exact: Option<u64>) -> Transaction {
    let recipient = |number: usize| Recipient {
        mailbox: Mailbox::parse(&format!("u{number}@there.example")).expect("a mailbox"),
        notify: None,
        original: None,
    };
    Transaction {
        reverse_path: ReversePath::parse("me@here.example", "x").expect("a path"),
        recipients: (0..recipients).map(recipient).collect(),
        size: 10,
        exact,
        ..Transaction::default()
    }
}

/// A host, and time that passes for whoever waits for it.
fn world(seed: u64) -> (World, Host, Deadlines) {
    let world = World::new(seed);
    let (host, deadlines) = (world.host(there()), Deadlines::default());
    let (machine, pulsing) = (world.machine(), deadlines.clone());
    world.machine().spawn(Class::Intake, async move {
        loop {
            pulsing.pulse(machine.now());
            machine.sleep(PULSE).await;
        }
    });
    (world, host, deadlines)
}

/// What a server heard.
type Heard = Rc<RefCell<Vec<u8>>>;

/// Serves one connection: greets, then answers each line with what `answer` says for it; none is no answer, and a lone `drop`
/// breaks the connection off. After a reply of 354 lines are content up to a dot alone.
fn serve(world: &World, host: &Host, answer: impl Fn(&str) -> Option<String> + 'static) -> Heard {
    let (host, heard) = (host.clone(), Heard::default());
    let hears = heard.clone();
    world.machine().spawn(Class::Intake, async move {
        let (end, _) = host.accept().await;
        let _ = talk(end, &answer, &hears).await;
    });
    heard
}

async fn talk(end: ClientEnd, answer: &impl Fn(&str) -> Option<String>, heard: &Heard) -> io::Result<()> {
    end.send("220 there.example\r\n")?;
    let mut in_content = false;
    loop {
        let line = end.receive_line().await?;
        heard.borrow_mut().extend_from_slice(line.as_bytes());
        if line.is_empty() {
            return Ok(());
        }
        if in_content && line != ".\r\n" {
            continue;
        }
        let Some(reply) = answer(line.trim_end()) else { continue };
        if reply == "drop" {
            end.reset();
            return Ok(());
        }
        in_content = reply.starts_with("354");
        end.send(format!("{reply}\r\n"))?;
    }
}

fn usual(line: &str) -> Option<String> {
    Some(match line.split([' ', ':']).next() {
        Some("EHLO") => "250-there.example\r\n250-PIPELINING\r\n250 SIZE 1000000".into(),
        Some("DATA") => "354 go on".into(),
        Some(".") => "250 2.0.0 ok".into(),
        Some("QUIT") => "221 bye".into(),
        _ => "250 ok".into(),
    })
}

fn told(delivered: &Delivered) -> String {
    let fates: Vec<_> = delivered.fates.iter().map(ToString::to_string).collect();
    let flags = [(delivered.usable, "usable"), (delivered.lost, "lost"), (delivered.unheard, "unheard")];
    let flags: Vec<_> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    format!("{} ({})", fates.join(", "), flags.join(" "))
}

async fn send(machine: &SimMachine, deadlines: &Deadlines, content: &[u8]) -> String {
    match Connection::open(machine.clone(), deadlines, &way()).await {
        Err(trouble) => trouble.text.into(),
        Ok(mut connection) => {
            let mut content = content;
            let delivered = connection.deliver(mail(2, None), &mut content).await.expect("it fits");
            let text = told(&delivered);
            if delivered.usable {
                connection.quit().await;
            }
            text
        }
    }
}

#[test]
fn mail_goes_over_one_connection_and_arrives_as_it_was() {
    for seed in seeds(20) {
        let (world, host, deadlines) = world(seed);
        let heard = serve(&world, &host, usual);
        let machine = world.machine();
        let long = [b"Subject: b\r\n\r\n".as_slice(), &b".dots and more\r\n".repeat(6000)].concat();
        let done = world.block_on(async {
            let mut connection = Connection::open(machine, &deadlines, &way()).await.expect("it answers");
            for content in [b"Subject: a\r\n\r\n.\r\nhello".as_slice(), &long] {
                let mut content = content;
                let delivered = connection.deliver(mail(3, None), &mut content).await.expect("it fits");
                assert_eq!(told(&delivered), "taken: 250 2.0.0 ok, taken: 250 2.0.0 ok, taken: 250 2.0.0 ok (usable)");
            }
            assert!(!connection.is_over().await);
            connection.quit().await;
        });
        assert!(done.is_some(), "seed {seed}: it does not end");
        let text = String::from_utf8(heard.take()).expect("ASCII");
        let transaction = |content: &str| {
            let rcpts: String = (0..3).map(|number| format!("RCPT TO:<u{number}@there.example>\r\n")).collect();
            format!("MAIL FROM:<me@here.example> SIZE=10\r\n{rcpts}DATA\r\n{content}.\r\n")
        };
        let long = format!("Subject: b\r\n\r\n{}", "..dots and more\r\n".repeat(6000));
        let expected = format!(
            "EHLO here.example\r\n{}{}QUIT\r\n",
            transaction("Subject: a\r\n\r\n..\r\nhello\r\n"),
            transaction(&long)
        );
        assert!(text == expected, "seed {seed}: {} octets instead of {}", text.len(), expected.len());
    }
}

#[test]
fn whatever_a_server_does_every_recipient_has_a_fate() {
    let dropping =
        |at: &'static str| move |line: &str| if line.starts_with(at) { Some("drop".to_owned()) } else { usual(line) };
    let silent = |at: &'static str| move |line: &str| if line.starts_with(at) { None } else { usual(line) };
    let saying = |at: &'static str, reply: &'static str| {
        move |line: &str| if line.starts_with(at) { Some(reply.to_owned()) } else { usual(line) }
    };
    type Answer = Box<dyn Fn(&str) -> Option<String>>;
    for seed in seeds(10) {
        let table: Vec<(Answer, &str)> = vec![
            (Box::new(dropping("EHLO")), "4.4.2 the connection was lost"),
            (Box::new(silent("EHLO")), "4.4.2 the host does not answer"),
            (Box::new(saying("EHLO", "421 busy")), "421 busy"),
            (
                Box::new(dropping("RCPT")),
                "later: 4.4.2 the connection was lost, later: 4.4.2 the connection was lost (lost unheard)",
            ),
            (
                Box::new(silent("DATA")),
                "later: 4.4.2 the host does not answer, later: 4.4.2 the host does not answer (lost unheard)",
            ),
            (
                Box::new(dropping(".")),
                "later: 4.4.2 the connection was lost, later: 4.4.2 the connection was lost (lost)",
            ),
            (
                Box::new(silent(".")),
                "later: 4.4.2 the host does not answer, later: 4.4.2 the host does not answer (lost)",
            ),
            (Box::new(saying(".", "554 5.7.1 no")), "never: 554 5.7.1 no, never: 554 5.7.1 no (usable)"),
            (Box::new(saying("RCPT TO:<u1", "450 later")), "taken: 250 2.0.0 ok, later: 450 later (usable)"),
        ];
        for (answer, expected) in table {
            let (world, host, deadlines) = world(seed);
            serve(&world, &host, answer);
            let machine = world.machine();
            let text = world.block_on(send(&machine, &deadlines, b"Subject: a\r\n\r\nhello\r\n"));
            assert_eq!(text.as_deref(), Some(expected), "seed {seed}");
        }
    }
}

#[test]
fn who_is_not_there_is_not_waited_for_for_ever() {
    for (manner, expected) in [
        (Manner::Refuses, "4.4.1 no connection: connection refused"),
        (Manner::Silent, "4.4.1 nothing answers there"),
        (Manner::Answers, "4.4.2 the host does not answer"),
    ] {
        let (world, host, deadlines) = world(1);
        host.set_manner(manner);
        let machine = world.machine();
        let text = world.block_on(send(&machine, &deadlines, b""));
        assert_eq!(text.as_deref(), Some(expected));
        assert!(world.now() < Duration::from_secs(200), "{manner:?}: {:?}", world.now());
    }
}

#[test]
fn a_server_that_has_had_enough_is_heard_and_one_that_takes_nothing_is_given_up() {
    for seed in seeds(10) {
        let large = b"x".repeat(998).into_iter().chain(*b"\r\n").cycle().take(1_000_000).collect::<Vec<u8>>();
        for (says, expected) in [
            (Some("552 5.3.4 too much\r\n"), "never: 552 5.3.4 too much, never: 552 5.3.4 too much (lost)"),
            (None, "later: 4.4.2 the host takes nothing more, later: 4.4.2 the host takes nothing more (lost)"),
        ] {
            let (world, host, deadlines) = world(seed);
            let server = host.clone();
            let machine = world.machine();
            world.machine().spawn(Class::Intake, async move {
                let (end, _) = server.accept().await;
                end.send("220 there\r\n").expect("a client");
                loop {
                    let line = end.receive_line().await.expect("a client");
                    end.send(format!("{}\r\n", usual(line.trim_end()).expect("an answer"))).expect("a client");
                    if line == "DATA\r\n" {
                        break;
                    }
                }
                end.receive().await.expect("some content");
                says.into_iter().for_each(|text| end.send(text).expect("a client"));
                // It reads no further, and does not go.
                machine.sleep(Duration::from_secs(9000)).await;
                drop(end);
            });
            let machine = world.machine();
            let text = world.block_on(send(&machine, &deadlines, &large));
            assert_eq!(text.as_deref(), Some(expected), "seed {seed}");
        }
    }
}

/// Says how long it is and is shorter, or breaks off.
struct Short(bool);

impl Content for Short {
    async fn give<S: Stream>(&mut self, writer: &mut Writer<'_, S>) -> io::Result<()> {
        writer.push(b"Subject: a\r\n", Stands::Plain).await?;
        if self.0 { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
    }
}

#[test]
fn half_of_a_message_never_passes_for_one() {
    for breaks in [true, false] {
        for chunked in [true, false] {
            if !breaks && !chunked {
                continue;
            }
            let (world, host, deadlines) = world(3);
            let heard = serve(&world, &host, move |line| match line.split(' ').next() {
                Some("EHLO") if chunked => Some("250-there\r\n250 CHUNKING".into()),
                Some("BDAT") => None,
                _ => usual(line),
            });
            let machine = world.machine();
            let delivered = world.block_on(async {
                let mut connection = Connection::open(machine, &deadlines, &way()).await.expect("it answers");
                let exact = chunked.then_some(100);
                let delivered = connection.deliver(mail(1, exact), &mut Short(breaks)).await.expect("it fits");
                told(&delivered)
            });
            assert_eq!(delivered.as_deref(), Some("later: 4.3.0 the message could not be read ()"));
            world.run(Duration::from_secs(10));
            let text = String::from_utf8(heard.take()).expect("ASCII");
            assert!(!text.contains("\r\n.\r\n"), "{text}");
        }
    }
}
