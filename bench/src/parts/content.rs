//! Content and envelopes that cases work on.

use ringpost::mail::{Client, Envelope, Mailbox, MessageId, Protocol, ReversePath, SessionId};

/// A message of about `octets` as it comes over the wire: header, lines of uneven length, here and there a stuffed dot.
pub fn message(octets: usize) -> Vec<u8> {
    let mut text = b"From: <me@example.org>\r\nTo: <you@localhost>\r\nSubject: a case\r\n\r\n".to_vec();
    let words = b"Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore";
    let mut number = 0;
    while text.len() < octets {
        if number % 23 == 7 {
            text.extend_from_slice(b"..");
        }
        text.extend_from_slice(&words[..20 + number * 37 % 60]);
        text.extend_from_slice(b"\r\n");
        number += 1;
    }
    text
}

/// The envelope of a message with one recipient.
pub fn envelope(id: u64) -> Envelope {
    let mailbox = |text| Mailbox::parse(text).expect("a mailbox that was written to be right");
    Envelope::new(
        MessageId(id),
        SessionId(7),
        1_700_000_000_000_000,
        ReversePath::Mailbox(mailbox("me@example.org")),
        vec![mailbox("you@localhost")],
        Client {
            address: ([192, 0, 2, 1], 34567).into(),
            helo: "client.example.org".into(),
            protocol: Protocol::Esmtp,
            tls: None,
            user: None,
        },
    )
}
