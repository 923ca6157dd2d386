//! `ringpost check`.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use ringpost::config::{Configuration, Effective, Origin, Problem, Protocol, Reading, Row, Severity};

use super::exit;
use super::tell::{self, Colours};

/// Reads the configuration and says all that is wrong with it, then what each server does in the end. No socket is opened.
pub fn run(conf: &Path) -> ExitCode {
    if let Err(why) = tell::directory(conf) {
        eprintln!("ringpost would not start: {why}");
        return ExitCode::from(exit::CONFIG);
    }
    let reading = Configuration::read(conf);
    let mut out = io::stdout().lock();
    let colours = Colours::of(&out);
    // Who reads it may have had enough; that changes nothing of what the configuration is.
    let _ = report(&reading, conf, colours, &mut out);
    match reading.configuration {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::from(exit::CONFIG),
    }
}

fn report(reading: &Reading, conf: &Path, colours: Colours, out: &mut impl Write) -> io::Result<()> {
    tell::problems(&reading.problems, colours, out)?;
    for server in &reading.servers {
        effective(server, out)?;
    }
    let container = reading.configuration.as_ref().and_then(|configuration| configuration.container.as_ref());
    if let Some(pipeline) = container.and_then(|container| container.pipeline.as_ref()) {
        writeln!(out, "the pipeline of mailetcontainer.xml")?;
        writeln!(out, "{pipeline}")?;
    }
    let verdict = match reading.configuration {
        Some(_) => "ringpost would start",
        None => "ringpost would not start",
    };
    writeln!(out, "{}: {}; {verdict}", conf.display(), counts(&reading.problems))
}

fn counts(problems: &[Problem]) -> String {
    let count = |severity, one: &str| match problems.iter().filter(|problem| problem.severity == severity).count() {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    };
    [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")]
        .map(|(severity, one)| count(severity, one))
        .join(", ")
}

/// One server as a table: the key, its value, and where that came from.
fn effective(server: &Effective, out: &mut impl Write) -> io::Result<()> {
    let protocol = if server.protocol == Protocol::Smtp { "SMTP" } else { "LMTP" };
    let state = if server.enabled { "" } else { ", not enabled" };
    writeln!(out, "{protocol} server {} ({}:{}){state}", server.name, server.file, server.position.line)?;
    let keys = server.rows.iter().map(|row| row.key.chars().count()).max().unwrap_or(0);
    let values = server.rows.iter().map(|row| row.value.chars().count()).max().unwrap_or(0).min(WIDEST);
    for Row { key, value, origin, done } in &server.rows {
        let mut from = match origin {
            Origin::Written(position) => format!("line {}", position.line),
            Origin::Default => "default".to_owned(),
            Origin::OwnDefault { james } => format!("default; in James' code: {james}"),
        };
        if !done {
            from.push_str("; not done yet");
        }
        writeln!(out, "  {key:<keys$}  {value:<values$}  {from}")?;
    }
    writeln!(out)
}

/// Columns of a value before what comes after it is pushed aside.
const WIDEST: usize = 40;
