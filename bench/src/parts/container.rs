//! A mail's walk through the mailet container.

use super::{Case, Prepared};
use ringpost::mail::Mailbox;
use ringpost::mailet::{Container, Mail, Recipient};
use std::hint::black_box;

pub(super) const CASES: &[Case] = &[
    Case { name: "container, one recipient", prepare: |_| walked(1) },
    Case { name: "container, 100 recipients", prepare: |size| walked(size.pick(100, 3)) },
];

fn walked(recipients: u32) -> Prepared {
    let container = Container::local_delivery();
    let recipient = |place| Recipient {
        place,
        mailbox: Mailbox::parse(&format!("user{place}@localhost")).expect("a mailbox that was written to be right"),
    };
    let recipients: Vec<_> = (0..recipients).map(recipient).collect();
    let expected = recipients.len() as u64;
    let octets = recipients.iter().map(|recipient| recipient.mailbox.local().len() as u64).sum();
    let run = Box::new(move || black_box(&container).process(Mail { recipients: recipients.clone() }).len() as u64);
    Prepared { octets, run, expected }
}
