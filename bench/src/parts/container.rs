//! A mail's walk through the mailet container: James' own distributed sample, to the mailboxes of this host.

use super::content::envelope;
use super::{Case, Prepared};
use ringpost::config::Configuration;
use ringpost::directory::Place;
use ringpost::mail::Mailbox;
use ringpost::mailet::container::{Container, Step};
use ringpost::mailet::effect::{Effect, End};
use ringpost::mailet::mail::{Attributes, Facts, Mail, Recipient};
use ringpost::mailet::question::{Answer, Question, Rewritten};
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::rc::Rc;

pub(super) const CASES: &[Case] = &[
    Case { name: "container, one recipient", prepare: |_| walked(1) },
    Case { name: "container, 100 recipients", prepare: |size| walked(size.pick(100, 3)) },
];

/// The container that a configuration with the sample has.
fn container() -> Container {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/pipeline/distributed.xml");
    let accepted = ["RelayLimit", "RemoveMimeHeader", "Sieve", "JMAPFiltering", "Null"];
    let accepted = accepted.map(|class| format!("<accept-inactive class='{class}'/>")).concat();
    let files = [
        ("mailetcontainer.xml", fs::read_to_string(sample).expect("the sample is part of the source")),
        ("ringpost.xml", format!("<ringpost>{accepted}</ringpost>")),
        ("smtpserver.xml", "<smtpservers/>".into()),
        (
            "lmtpserver.xml",
            "<lmtpservers><lmtpserver><bind>127.0.0.1:0</bind><handlerchain/></lmtpserver></lmtpservers>".into(),
        ),
        ("domainlist.xml", "<domainlist><defaultDomain>localhost</defaultDomain></domainlist>".into()),
    ];
    let folder = tempfile::tempdir().expect("a directory for the configuration");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("the configuration is written");
    }
    let reading = Configuration::read(folder.path());
    let settings = reading.configuration.and_then(|configuration| configuration.container);
    let pipeline = settings.and_then(|settings| settings.pipeline);
    Container::new(pipeline.unwrap_or_else(|| panic!("the sample is not read: {:?}", reading.problems)))
}

fn mail(recipients: &[Recipient]) -> Mail {
    let envelope = envelope(1);
    let facts = Facts {
        id: envelope.id,
        received_at: envelope.received_at,
        now: envelope.received_at,
        reverse_path: envelope.reverse_path,
        client: Some(envelope.client.address.ip()),
        helo: (*envelope.client.helo).into(),
        size: 4096,
        envelope_id: None,
        ret: None,
        failures: 0,
        seed: 42,
    };
    Mail {
        facts,
        recipients: recipients.to_vec(),
        attributes: Attributes::default(),
        edits: Rc::default(),
        state: None,
        error: None,
    }
}

/// What the directory and the mail itself would say: everyone is a user here, and nothing is rewritten.
fn answer(question: Question, recipients: usize) -> Answer {
    match question {
        Question::Header => Answer::Header(Rc::from(&b"Subject: a case\r\n"[..])),
        Question::Content { .. } => Answer::Content(Rc::from(&b"Subject: a case\r\n\r\nText\r\n"[..])),
        Question::Directory(_) => Answer::Directory(vec![Place::User; recipients]),
        Question::Rewrite(_) => Answer::Rewritten(vec![Rewritten::Unchanged; recipients]),
        Question::Exists(domains) => Answer::Exists(vec![true; domains.len()]),
        Question::Listed { .. } => Answer::Listed(false),
        Question::Scripts => Answer::Scripts(vec![None; recipients]),
        // No pipeline here signs.
        Question::BodyHash(_) => Answer::Unavailable("nobody reads the body here".into()),
    }
}

/// How many come to a mailbox.
fn walk(container: &Container, recipients: &[Recipient]) -> u64 {
    let mut walk = container.walk(mail(recipients));
    let mut said = None;
    loop {
        match walk.go_on(said.take()) {
            Step::Ask(question) => said = Some(answer(question, recipients.len())),
            Step::Done(effects) => {
                let ends = effects.iter().map(|effect| match effect {
                    Effect::End { recipients, end: End::Mailbox, .. } => recipients.len() as u64,
                    _ => 0,
                });
                return ends.sum();
            }
        }
    }
}

fn walked(count: u32) -> Prepared {
    let container = container();
    let recipient = |place| {
        let mailbox = Mailbox::parse(&format!("user{place}@localhost"));
        Recipient::new(place, mailbox.expect("a mailbox that was written to be right"))
    };
    let recipients: Vec<_> = (0..count).map(recipient).collect();
    let octets = recipients.iter().map(|recipient| recipient.mailbox.local().len() as u64).sum();
    let run = Box::new(move || walk(black_box(&container), &recipients));
    Prepared { octets, run, expected: u64::from(count) }
}
