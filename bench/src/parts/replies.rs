//! Replies and trace fields, written.

use super::content::envelope;
use super::{Case, Prepared, Size};
use ringpost::mail::{EnhancedStatus, Reply, ReplyCode};
use ringpost::smtp::received::write_received;
use std::hint::black_box;

pub(super) const CASES: &[Case] = &[
    Case { name: "reply of one line", prepare: one_line },
    Case { name: "reply of one line, by memcpy", prepare: one_line_copied },
    Case { name: "reply to EHLO", prepare: many_lines },
    Case { name: "Received field", prepare: received },
];

const OK: &str = "250 2.1.5 Recipient <you@localhost> OK\r\n";

fn encoded(reply: Reply, expected: &str) -> Prepared {
    let mut out = Vec::with_capacity(4096);
    let run = Box::new(move || {
        out.clear();
        black_box(&reply).write(&mut out);
        u64::from(crc32c::crc32c(black_box(&out)))
    });
    let expected_sum = u64::from(crc32c::crc32c(expected.as_bytes()));
    Prepared { octets: expected.len() as u64, run, expected: expected_sum }
}

fn one_line(_: Size) -> Prepared {
    encoded(Reply::new(ReplyCode::OK, EnhancedStatus::new(1, 5), "Recipient <you@localhost> OK"), OK)
}

fn one_line_copied(_: Size) -> Prepared {
    let mut out = Vec::with_capacity(4096);
    let run = Box::new(move || {
        out.clear();
        out.extend_from_slice(black_box(OK.as_bytes()));
        u64::from(crc32c::crc32c(black_box(&out)))
    });
    Prepared { octets: OK.len() as u64, run, expected: u64::from(crc32c::crc32c(OK.as_bytes())) }
}

fn many_lines(_: Size) -> Prepared {
    let lines = ["localhost Hello client", "PIPELINING", "SIZE 52428800", "8BITMIME", "CHUNKING", "SMTPUTF8"];
    let mut expected: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
    let last = expected.rfind('-').expect("there is a last line");
    expected.replace_range(last..=last, " ");
    encoded(Reply::lines(ReplyCode::OK, None, lines), &expected)
}

fn received(_: Size) -> Prepared {
    let (envelope, mut out) = (envelope(1), Vec::with_capacity(4096));
    write_received(&envelope, &envelope.recipients, "mx.example.org", &mut out);
    let (octets, whole) = (out.len() as u64, out.starts_with(b"Received: from ") && out.ends_with(b"\r\n"));
    let run = Box::new(move || {
        out.clear();
        write_received(black_box(&envelope), &envelope.recipients, "mx.example.org", &mut out);
        out.len() as u64
    });
    Prepared { octets, run, expected: if whole { octets } else { 0 } }
}
