//! Lines out of a stream, commands out of lines, paths out of commands.

use super::{Case, Prepared, Size};
use ringpost::mail::{Mailbox, ReversePath};
use ringpost::smtp::command::Command;
use ringpost::smtp::grammar::{after_keyword, split_path};
use ringpost::smtp::line::{Line, LineReader};
use std::hint::black_box;

pub(super) const CASES: &[Case] = &[
    Case { name: "lines of a pipelined batch", prepare: lines },
    Case { name: "lines, by split at LF", prepare: lines_naively },
    Case { name: "commands of a transaction", prepare: commands },
    Case { name: "paths of MAIL and RCPT", prepare: paths },
];

const COMMANDS: [&str; 4] =
    ["MAIL FROM:<loadtest@localhost> SIZE=4096", "RCPT TO:<you@localhost>", "RCPT TO:<postmaster@localhost>", "DATA"];

fn batch(size: Size) -> Vec<u8> {
    let lines = COMMANDS.map(|command| format!("{command}\r\n")).concat();
    lines.repeat(size.pick(100, 2)).into_bytes()
}

/// Each line by its length and first octet.
fn mark(line: &[u8]) -> u64 {
    line.len() as u64 * 256 + u64::from(line.first().copied().unwrap_or_default())
}

fn expected_of_lines(batch: &[u8]) -> u64 {
    batch.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()).map(|line| mark(&line[..line.len() - 1])).sum()
}

fn lines(size: Size) -> Prepared {
    let batch = batch(size);
    let (octets, expected) = (batch.len() as u64, expected_of_lines(&batch));
    let mut reader = LineReader::new(1000);
    let run = Box::new(move || {
        let (mut rest, mut sum) = (black_box(&batch[..]), 0);
        while let Some(line) = reader.next(&mut rest) {
            sum += match line {
                Line::Command(line) => mark(line),
                Line::TooLong => 0,
            };
        }
        sum
    });
    Prepared { octets, run, expected }
}

fn lines_naively(size: Size) -> Prepared {
    let batch = batch(size);
    let (octets, expected) = (batch.len() as u64, expected_of_lines(&batch));
    Prepared { octets, run: Box::new(move || expected_of_lines(black_box(&batch))), expected }
}

fn commands(_: Size) -> Prepared {
    let octets = COMMANDS.iter().map(|command| command.len() as u64).sum();
    let run = || {
        let commands = black_box(&COMMANDS).iter().map(|line| Command::parse(line.as_bytes()));
        commands.map(|command| command.map_or(0, |command| mark(command.argument.as_bytes()) + 1)).sum()
    };
    let arguments = COMMANDS.iter().map(|line| line.split_once(' ').map_or("", |words| words.1));
    let expected = arguments.map(|argument| mark(argument.as_bytes()) + 1).sum();
    Prepared { octets, run: Box::new(run), expected }
}

fn paths(_: Size) -> Prepared {
    const MAIL: &str = "FROM:<loadtest@localhost> SIZE=4096";
    const RCPT: &str = "TO:<postmaster@mx.example.org>";
    let run = || {
        let path =
            |argument, keyword| split_path(after_keyword(black_box(argument), keyword)?, true).map(|path| path.path);
        let sender = path(MAIL, "FROM:").and_then(|path| ReversePath::parse(path, "localhost").ok());
        let recipient = path(RCPT, "TO:").and_then(|path| Mailbox::parse(path).ok());
        let sender = sender.as_ref().and_then(|path| path.mailbox()).map_or(0, |mailbox| mailbox.local().len());
        (sender + 100 * recipient.map_or(0, |mailbox| mailbox.local().len())) as u64
    };
    let expected = ("loadtest".len() + 100 * "postmaster".len()) as u64;
    Prepared { octets: (MAIL.len() + RCPT.len()) as u64, run: Box::new(run), expected }
}
