//! The order of commands (RFC 5321 §4.1.4) as one table: every command in every state, what is answered, and the state
//! it leaves. The table is `tests/golden/commands.txt`.

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::dialogue::{Setup, lines};
use common::driver::Driver;
use ringpost::smtp::server::State;

const COMMANDS: &[&str] = &[
    "HELO client",
    "HELO",
    "EHLO client",
    "EHLO",
    "LHLO client",
    "LHLO",
    "MAIL FROM:<me@example.org>",
    "MAIL FROM:<>",
    "MAIL FROM:<me@",
    "MAIL",
    "RCPT TO:<you@localhost>",
    "RCPT TO:<no@localhost>",
    "RCPT TO:<you@",
    "RCPT",
    "DATA",
    "DATA now",
    "BDAT 3",
    "BDAT 3 LAST",
    "BDAT 3000",
    "BDAT 3000 LAST",
    "BDAT",
    "RSET",
    "RSET now",
    "NOOP",
    "NOOP now",
    "VRFY you",
    "VRFY",
    "EXPN list",
    "HELP",
    "QUIT",
    "QUIT now",
    "STARTTLS",
    "STARTTLS now",
    "FOO",
    "",
    "(line too long)",
];

const STATES: [State; 6] =
    [State::Start, State::Ready, State::Sender, State::Recipients, State::Chunks, State::Refused];

/// What a client sends to bring a session from one of [`STATES`] to the next.
fn way(lmtp: bool) -> [&'static [u8]; 6] {
    let hello: &[u8] = if lmtp { b"LHLO client\r\n" } else { b"EHLO client\r\n" };
    let refused = b"BDAT 3000\r\n";
    [b"", hello, b"MAIL FROM:<me@example.org>\r\n", b"RCPT TO:<you@localhost>\r\n", b"BDAT 1\r\nx", refused]
}

fn session_in(state: State, lmtp: bool) -> Driver {
    let setup = Setup { lmtp, max_message_octets: 1024, max_line_octets: 100, start_tls: true, ..Setup::default() };
    let mut driver = Driver::new(&setup);
    for (step, reached) in way(lmtp).into_iter().zip(STATES) {
        driver.receive(step);
        if reached == State::Refused {
            driver.receive(&[b'x'; 3000]);
        }
        assert_eq!(driver.session.state(), reached);
        if reached == state {
            break;
        }
    }
    driver.sent.clear();
    driver
}

/// The codes a command is answered with, and the state after it.
fn cell(command: &str, state: State, lmtp: bool) -> String {
    let mut driver = session_in(state, lmtp);
    let line = if command == "(line too long)" { "x".repeat(200) } else { command.to_owned() };
    driver.receive(format!("{line}\r\n").as_bytes());
    if let Some(octets) = command.strip_prefix("BDAT ").map(|argument| argument.trim_end_matches(" LAST")) {
        driver.receive(&vec![b'x'; octets.parse().expect("a number")]);
    }
    let codes: Vec<String> =
        lines(&driver.sent).iter().filter(|line| line.get(3..4) == Some(" ")).map(|line| code(line)).collect();
    format!("{} {:?}", codes.join(","), driver.session.state())
}

/// The reply code of a line, with its enhanced status code if it has one.
fn code(line: &str) -> String {
    let mut words = line.split(' ');
    let (code, next) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_status = next.split('.').count() == 3 && next.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit());
    if is_status { format!("{code} {next}") } else { code.to_owned() }
}

fn table() -> String {
    let mut table = String::new();
    for (service, lmtp) in [("SMTP", false), ("LMTP", true)] {
        let heads = STATES.map(|state| format!("{state:?}"));
        writeln!(table, "{}", row(service, &heads)).expect("a string takes all");
        for command in COMMANDS {
            let cells = STATES.map(|state| cell(command, state, lmtp));
            writeln!(table, "{}", row(command, &cells)).expect("a string takes all");
        }
        table.push('\n');
    }
    table
}

fn row(head: &str, cells: &[String]) -> String {
    let cells: String = cells.iter().map(|cell| format!("| {cell:<25}")).collect();
    format!("{head:<28}{cells}").trim_end().to_owned()
}

#[test]
fn every_command_in_every_state() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/commands.txt");
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    let actual = table();
    if expected == actual {
        return;
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("commands.txt");
    std::fs::write(&kept, &actual).expect("the folder for what tests leave can be written to");
    let differs = |(expected, actual): (&str, &str)| format!("- {expected}\n+ {actual}\n");
    let changes: String = expected.lines().zip(actual.lines()).filter(|(e, a)| e != a).map(differs).collect();
    panic!("{} is not what happens, which is in {}:\n{changes}", file.display(), kept.display());
}
