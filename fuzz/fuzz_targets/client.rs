//! What a server answers may be anything: the client's session ends or waits, and every recipient has one outcome.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::mail::{Mailbox, ReversePath};
use ringpost::smtp::client::transaction::{Recipient, Transaction};
use ringpost::smtp::client::{ClientSession, Login, Next, Protocol, Settings, Tls};

fuzz_target!(|input: (bool, bool, u8, Vec<Vec<u8>>)| {
    let (lmtp, login, recipients, slices) = input;
    let mut session = ClientSession::new(Settings {
        protocol: if lmtp { Protocol::Lmtp } else { Protocol::Smtp },
        hello_name: "client.example".into(),
        tls: Tls::Opportunistic,
        secured: false,
        login: login.then(|| Login { username: "a".into(), password: "b".into() }),
    });
    let Ok(mailbox) = Mailbox::parse("a@b") else { return };
    let recipient = Recipient { mailbox, notify: None, original: None };
    let count = usize::from(recipients).max(1);
    let mail = Transaction { reverse_path: ReversePath::Null, recipients: vec![recipient; count], ..Transaction::default() };
    for slice in slices {
        let mut step = session.receive(&slice);
        loop {
            step = match step.next {
                Next::Receive => break,
                Next::StartTls => session.secured(),
                Next::Data | Next::Chunk => session.sent(),
                Next::Done { fates, close } => {
                    assert_eq!(fates.len(), count);
                    if close {
                        return;
                    }
                    session.quit()
                }
                Next::Ready => match session.begin(mail.clone()) {
                    Ok(step) => step,
                    Err(_) => session.quit(),
                },
                Next::Close(_) => return,
            };
        }
    }
});
