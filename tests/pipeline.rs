//! James' pipelines as `mailetcontainer.xml` has them, and what becomes of mail in them.
//!
//! Every `tests/pipeline/*.xml` has mails in its `*.txt`, one line each, and below each what is to be done:
//!
//! ```text
//! from alice@example.org to bob@example.org, x@example.net [auth NAME] [net] [received N] [state S] [error TEXT] [code N] [failures N] [down]
//! ```
//!
//! `example.org` is a domain of this host with the users `alice` and `bob`. The rewrite table leads `list` to both of them,
//! `away` to another host, `loop` in a circle, and refuses `moved`. `alice` has a script: what has `junk` in its subject goes
//! into her folder Junk, and what has `no` is rejected.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;

use common::reading::{put, read, sources, told};
use mail_parser::MessageParser;
use ringpost::directory::{Place, Target};
use ringpost::mail::{Mailbox, MessageId, ReversePath};
use ringpost::mailet::container::{Container, Step, Walk};
use ringpost::mailet::dkim::body::hash;
use ringpost::mailet::edit::Edits;
use ringpost::mailet::effect::{Beside, Content, Effect, Piece};
use ringpost::mailet::header;
use ringpost::mailet::mail::{Attributes, Body, Facts, Form, Mail, Recipient, Value};
use ringpost::mailet::question::{Answer, Question, Rewritten, Whom};

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps what `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps what `System` asks for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The container of a file. What protects and is not in force yet is accepted.
fn container(name: &str) -> Container {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipeline").join(name);
    let mut sources = sources();
    put(&mut sources, "mailetcontainer", &fs::read(path).expect("readable"));
    let accepted = ["RelayLimit", "RemoveMimeHeader", "RemoveMimeHeaderByPrefix", "Sieve", "JMAPFiltering", "Null"];
    let accepted = accepted.map(|class| format!("<accept-inactive class='{class}'/>")).concat();
    put(&mut sources, "ringpost", format!("<ringpost>{accepted}</ringpost>").as_bytes());
    let (configuration, problems) = read(&sources);
    let container = configuration.and_then(|configuration| configuration.container);
    Container::new(container.and_then(|container| container.pipeline).unwrap_or_else(|| panic!("{}", told(&problems))))
}

/// A mail as a line of a file has it.
struct Case {
    mail: Mail,
    subject: String,
    received: usize,
    down: bool,
}

fn case(line: &str) -> Case {
    let mut words = line.split(' ').filter(|word| !word.is_empty()).peekable();
    let mut case =
        Case { mail: mail(ReversePath::Null, Vec::new()), subject: "hello".into(), received: 1, down: false };
    while let Some(word) = words.next() {
        let mut next = || words.next().unwrap_or_else(|| panic!("something after {word}"));
        match word {
            "from" => {
                case.mail.facts.reverse_path = ReversePath::parse(next().trim_matches(['<', '>']), "x").expect("a path")
            }
            "to" => {
                let mut more = true;
                while more {
                    let one = next();
                    more = one.ends_with(',');
                    let place = case.mail.recipients.len() as u32;
                    case.mail.recipients.push(Recipient::new(place, mailbox(one.trim_end_matches(','))));
                }
            }
            "auth" => case.mail.attributes.set("org.apache.james.SMTPAuthUser", Value::Text(next().into())),
            "net" => case.mail.attributes.set("org.apache.james.SMTPIsAuthNetwork", Value::Flag(true)),
            "received" => case.received = next().parse().expect("a number"),
            "subject" => case.subject = next().to_owned(),
            "state" => case.mail.state = Some(next().into()),
            "failures" => case.mail.facts.failures = next().parse().expect("a number"),
            "client" => case.mail.facts.client = Some(next().parse::<IpAddr>().expect("an address")),
            "code" => case.mail.attributes.set("delivery-error-code", Value::Number(next().parse().expect("a number"))),
            "error" => {
                let text = next().replace('_', " ");
                case.mail.attributes.set("delivery-error", Value::Text(text.into()));
            }
            "down" => case.down = true,
            _ => panic!("{word}"),
        }
    }
    case
}

fn mail(reverse_path: ReversePath, recipients: Vec<Recipient>) -> Mail {
    let facts = Facts {
        id: MessageId(0x1234_5678_9abc),
        received_at: 1_795_000_000_000_000,
        now: 1_795_000_060_000_000,
        reverse_path,
        client: Some("192.0.2.1".parse().expect("an address")),
        helo: "client.example.net".into(),
        size: 1234,
        envelope_id: None,
        ret: None,
        failures: 0,
        seed: 42,
    };
    Mail { facts, recipients, attributes: Attributes::default(), edits: Rc::default(), state: None, error: None }
}

impl Case {
    fn header(&self) -> String {
        let received = "Received: from somewhere\r\n".repeat(self.received);
        format!(
            "{received}From: Alice <alice@example.net>\r\nTo: Bob <Bob@example.org>\r\nBcc: hidden@example.org\r\n\
             Subject: {}\r\nMessage-ID: <1@example.net>\r\nX-Spam-Level: 3\r\n",
            self.subject
        )
    }

    fn content(&self) -> String {
        format!("{}MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThe body.\r\n", self.header())
    }

    fn answer(&self, question: &Question, walk: &Walk<'_>) -> Answer {
        if self.down {
            return Answer::Unavailable("the directory did not answer".into());
        }
        let place = |mailbox: &Mailbox| match (
            mailbox.domain().to_string().as_str(),
            mailbox.local().to_lowercase().as_str(),
        ) {
            ("example.org", "alice" | "bob") | ("localhost", "postmaster") => Place::User,
            ("example.org", _) => Place::Nobody,
            _ => Place::OtherDomain,
        };
        let target = |text: &str| Target { mailbox: mailbox(text), place: place(&mailbox(text)) };
        let rewrite = |one: &Mailbox| match one.to_string().as_str() {
            "list@example.org" => Rewritten::To(["alice@example.org", "bob@example.org"].map(target).to_vec()),
            "away@example.org" => Rewritten::To(vec![target("x@example.net")]),
            "loop@example.org" => Rewritten::Loop,
            "moved@example.org" => Rewritten::Refused("551 5.1.6 She lives elsewhere".into()),
            _ => Rewritten::Unchanged,
        };
        let script = "require [\"fileinto\", \"reject\"]; if header :contains \"subject\" \"junk\" { fileinto \"Junk\"; }\n\
                      elsif header :is \"subject\" \"no\" { reject \"No.\"; }";
        let script = |mailbox: &Mailbox| mailbox.local().eq_ignore_ascii_case("alice").then(|| Rc::from(script));
        match question {
            Question::Header => Answer::Header(self.header().as_bytes().into()),
            Question::Content { .. } => Answer::Content(self.content().as_bytes().into()),
            Question::BodyHash(how) => Answer::BodyHash(hash(*how, header::split(self.content().as_bytes()).1)),
            Question::Directory(whom) => Answer::Directory(walk.whom(*whom).map(place).collect()),
            Question::Rewrite(whom) => Answer::Rewritten(walk.whom(*whom).map(rewrite).collect()),
            Question::Exists(of) => Answer::Exists(of.iter().map(|_| true).collect()),
            Question::Listed { .. } => Answer::Listed(false),
            Question::Scripts => Answer::Scripts(walk.whom(Whom::Recipients).map(script).collect()),
        }
    }

    fn effects(&self, container: &Container) -> Vec<Effect> {
        let mut walk = container.walk(self.mail.clone());
        let mut answer = None;
        loop {
            match walk.go_on(answer.take()) {
                Step::Ask(question) => answer = Some(self.answer(&question, &walk)),
                Step::Done(effects) => return effects,
            }
        }
    }

    /// A new mail as it would be written.
    fn render(&self, content: &Content) -> Vec<u8> {
        let whole = |form: &Form| {
            let content = match &form.body {
                Body::Original => self.content().into_bytes(),
                Body::Changed(changed) => changed.to_vec(),
            };
            let (head, body) = header::split(&content);
            [&form.edits.apply(head, None), b"\r\n".as_slice(), body].concat()
        };
        match content {
            Content::Same(form) => whole(form),
            Content::Pieces(pieces) => pieces
                .iter()
                .flat_map(|piece| match piece {
                    Piece::Octets(octets) => octets.clone(),
                    Piece::Whole(form) => whole(form),
                    Piece::BodyOf(form) => header::split(&whole(form)).1.to_vec(),
                })
                .collect(),
        }
    }
}

fn recipients(list: &[Recipient]) -> String {
    let one = |recipient: &Recipient| match &recipient.folder {
        None => format!("{}:{}", recipient.place, recipient.mailbox),
        Some(folder) => format!("{}:{} ({folder})", recipient.place, recipient.mailbox),
    };
    list.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn edits(Edits(edits): &Edits) -> String {
    if edits.is_empty() { String::new() } else { format!(", {} edits", edits.len()) }
}

fn effect(case: &Case, effect: &Effect) -> String {
    match effect {
        Effect::End { recipients: list, form, end, .. } => {
            let body = if form.body == Body::Original { "" } else { ", new body" };
            format!("{} -> {end}{}{body}", recipients(list), edits(&form.edits))
        }
        Effect::Beside(Beside::Send(new)) => {
            let octets = case.render(&new.content);
            let parsed = MessageParser::default().parse(&octets).expect("it is a message");
            let to: Vec<String> = new.recipients.iter().map(ToString::to_string).collect();
            let subject = parsed.subject().unwrap_or_default().to_owned();
            format!(
                "send {:?} <{}> to {}: {subject:?}, {} parts",
                new.kind,
                new.reverse_path,
                to.join(" "),
                parsed.parts.len()
            )
        }
        Effect::Beside(Beside::SendOnce { user, days, new, .. }) => {
            let octets = case.render(&new.content);
            let parsed = MessageParser::default().parse(&octets).expect("it is a message");
            let subject = parsed.subject().unwrap_or_default().to_owned();
            format!("{user} answers once in {days} days: <{}> {subject:?}", new.reverse_path)
        }
        Effect::Beside(Beside::Copy { recipients: list, repository, .. }) => {
            format!("copy of {} to {repository}", recipients(list))
        }
        Effect::Beside(Beside::File { recipient, .. }) => {
            format!("copy for {}", recipients(std::slice::from_ref(recipient)))
        }
        Effect::Beside(Beside::Log(line)) => format!("log: {line}"),
        Effect::Beside(Beside::Count(metric)) => format!("count {metric}"),
    }
}

#[test]
fn mails_come_to_the_ends_that_are_written_down() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipeline");
    for name in ["distributed", "relay", "mailets"] {
        let container = container(&format!("{name}.xml"));
        let path = dir.join(format!("{name}.txt"));
        let text = fs::read_to_string(&path).expect("readable");
        let mut out = String::new();
        for line in text.lines().filter(|line| line.starts_with("from ") || line.starts_with('#') || line.is_empty()) {
            out.push_str(&format!("{line}\n"));
            if line.starts_with("from ") {
                let case = case(line);
                case.effects(&container).iter().for_each(|one| out.push_str(&format!("    {}\n", effect(&case, one))));
            }
        }
        assert!(out.lines().filter(|line| line.starts_with("from ")).count() >= 8, "{name} has too few mails");
        common::golden::assert_golden(&path, &out);
    }
}

/// What the mailets write, word by word; a parser that is not ours finds the parts in it.
#[test]
fn new_mails_are_as_written_down() {
    let container = container("mailets.xml");
    for (name, line, parts) in [
        (
            "report",
            "from report@example.net to alice@example.org, bob@example.org",
            ["text/plain", "message/delivery-status", "text/rfc822-headers"].as_slice(),
        ),
        ("letter", "from letter@example.net to alice@example.org", &["text/plain", "message/rfc822"]),
        ("notice", "from notified@example.net to alice@example.org", &["text/plain", "message/rfc822"]),
        ("redirected", "from redirected@example.net to alice@example.org", &[]),
        ("footer", "from footer@example.net to alice@example.org", &[]),
    ] {
        let case = case(line);
        let effects = case.effects(&container);
        let octets = effects.iter().find_map(|effect| match effect {
            Effect::Beside(Beside::Send(new)) => Some(case.render(&new.content)),
            Effect::End { form, .. } if form.body != Body::Original => Some(case.render(&Content::Same(form.clone()))),
            _ => None,
        });
        let octets = octets.expect("there is a new mail");
        let parsed = MessageParser::default().parse(&octets).expect("it is a message");
        let types = parsed.parts.iter().skip(1).filter_map(|part| {
            let kind = mail_parser::MimeHeaders::content_type(part)?;
            Some(format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()))
        });
        assert_eq!(types.collect::<Vec<_>>(), parts, "{name}");
        for line in String::from_utf8_lossy(&octets).split_inclusive("\r\n") {
            assert!(line.len() <= 1000 && !line.trim_end_matches("\r\n").contains(['\r', '\n']), "{name}: {line:?}");
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/pipeline/{name}.eml"));
        common::golden::assert_golden(&path, &String::from_utf8_lossy(&octets).replace("\r\n", "\n"));
    }
}

/// Ten recipients cost few allocations: answers are made by whoever is asked, and counted apart.
#[test]
fn a_walk_allocates_little() {
    let container = container("distributed.xml");
    let recipients = (0..10).map(|n| Recipient::new(n, mailbox("bob@example.org")));
    let distinct =
        recipients.map(|one| Recipient { mailbox: mailbox(&format!("bob{}@example.org", one.place)), ..one });
    let mail = mail(ReversePath::Mailbox(mailbox("alice@example.net")), distinct.collect());
    let case = case("from <> to x@example.net");
    let mut walk = container.walk(mail);
    let (mut answer, mut allocated) = (None, 0);
    let effects = loop {
        let before = ALLOCATIONS.get();
        let step = walk.go_on(answer.take());
        allocated += ALLOCATIONS.get() - before;
        match step {
            Step::Ask(Question::Directory(whom)) => {
                answer = Some(Answer::Directory(walk.whom(whom).map(|_| Place::User).collect()));
            }
            Step::Ask(question) => answer = Some(case.answer(&question, &walk)),
            Step::Done(effects) => break effects,
        }
    };
    assert_eq!(effects.len(), 1, "all go the same way");
    assert!(allocated < 30, "{allocated} allocations");
}
