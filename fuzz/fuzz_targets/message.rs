//! A message may be anything: its parts are found, its header edited, its body changed, and a user's script run over it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::mail::{Mailbox, ReversePath};
use ringpost::mailet::body::{footer, seven_bit, strip};
use ringpost::mailet::edit::{Edit, Edits};
use ringpost::mailet::sieve::Script;
use ringpost::mailet::sieve::run::Subject;
use ringpost::mailet::{header, mime};

fuzz_target!(|input: (Vec<u8>, String)| {
    let (content, script) = input;
    for part in mime::parts(&content) {
        part.is_attachment();
        mime::decoded(part.header, part.body);
    }
    let (head, _) = header::split(&content);
    let edits = vec![Edit::SubjectPrefix("ä".into()), Edit::RemovePrefix("x-".into()), Edit::DeliveredTo];
    Edits(edits).apply(head, None);
    let _ = (footer::add(&content, "footer"), seven_bit::convert(&content), strip::strip(&content, |_| true));
    let Ok(to) = Mailbox::parse("a@b") else { return };
    if let Ok(script) = Script::parse(&script) {
        let _ = script.run(Subject { header: head, size: content.len() as u64, from: &ReversePath::Null, to: &to });
    }
});
