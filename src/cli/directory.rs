//! The way of `ringpost user`, `domain` and `alias` to the directory: the running server, or else the database itself.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ringpost::config::Configuration;
use ringpost::control::directory::command::{Answered, Command, LINE_OCTETS, Outcome, read_answer};
use ringpost::control::directory::rules::Rules;
use ringpost::control::directory::store::Store;
use ringpost::mta::directory::rules;

use super::{exit, tell};

/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a command was not done, and the exit status for it.
pub struct Failure {
    /// For people.
    pub why: String,
    /// As sysexits.h has it.
    pub status: u8,
}

impl Failure {
    /// The directory said no.
    pub fn refused(why: impl Into<String>) -> Failure {
        Failure { why: why.into(), status: exit::REFUSED }
    }

    /// The words of the command line are wrong.
    pub fn usage(why: impl Into<String>) -> Failure {
        Failure { why: why.into(), status: exit::USAGE }
    }

    fn unavailable(why: impl Into<String>) -> Failure {
        Failure { why: why.into(), status: exit::UNAVAILABLE }
    }
}

/// Says how a verb of the command line ended.
pub fn end(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { why, status }) => {
            eprintln!("ringpost: {why}");
            ExitCode::from(status)
        }
    }
}

/// An open way to the directory.
pub struct Directory {
    configuration: Configuration,
    rules: Rules,
    way: Way,
}

enum Way {
    /// A server runs: it does it, and nobody is answered by what was before.
    Server(BufReader<UnixStream>),
    /// None runs.
    Database(tokio::runtime::Runtime, Box<Store>),
}

impl Directory {
    /// To the directory of this configuration.
    pub fn open(conf: &Path) -> Result<Directory, Failure> {
        let wrong = |why| Failure { why, status: exit::CONFIG };
        tell::directory(conf).map_err(wrong)?;
        let Some(configuration) = Configuration::read(conf).configuration else {
            return Err(wrong(format!(
                "the configuration in {} has errors; `ringpost check` tells them",
                conf.display()
            )));
        };
        let rules = rules(&configuration);
        let socket = &configuration.ringpost.control_socket;
        let way = match UnixStream::connect(socket) {
            Ok(server) => {
                let timed =
                    server.set_read_timeout(Some(PATIENCE)).and_then(|()| server.set_write_timeout(Some(PATIENCE)));
                timed.map_err(|error| Failure::unavailable(format!("{}: {error}", socket.display())))?;
                Way::Server(BufReader::new(server))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                open_database(&configuration, &rules).map_err(Failure::unavailable)?
            }
            Err(error) => {
                let advice = "run this as the owner of the server's process, or as root";
                return Err(Failure::unavailable(format!("{} cannot be reached: {error}; {advice}", socket.display())));
            }
        };
        Ok(Directory { configuration, rules, way })
    }

    /// The configuration.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// How users are named.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Does a command; its rows.
    pub fn run(&mut self, command: &Command) -> Result<Vec<Vec<String>>, Failure> {
        let outcome = match &mut self.way {
            Way::Server(server) => ask(server, command).map_err(|error| {
                Failure::unavailable(format!("the server did not answer ({error}); whether it is done shows `list`"))
            })?,
            Way::Database(runtime, store) => runtime.block_on(self.rules.run(store, command)),
        };
        outcome.map_err(Failure::refused)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Way::Database(runtime, store) = &self.way {
            runtime.block_on(Store::clone(store).close());
        }
    }
}

fn open_database(configuration: &Configuration, rules: &Rules) -> Result<Way, String> {
    let path = &configuration.ringpost.directory.path;
    let failed = |error: &dyn std::fmt::Display| format!("cannot open the directory {}: {error}", path.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
    let store = runtime.block_on(async {
        let store = Store::open(path, rules.postmaster().as_ref()).await.map_err(|error| failed(&error))?;
        rules.keep_domains(&store).await.map_err(|error| failed(&error))?;
        Ok::<_, String>(store)
    })?;
    Ok(Way::Database(runtime, Box::new(store)))
}

fn ask(server: &mut BufReader<UnixStream>, command: &Command) -> io::Result<Outcome> {
    let line = command.line();
    if line.len() > LINE_OCTETS {
        return Ok(Err("this is too long".to_owned()));
    }
    server.get_mut().write_all(line.as_bytes())?;
    let mut rows = Vec::new();
    loop {
        let mut line = String::new();
        if server.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match read_answer(&line) {
            Some(Answered::Row(row)) => rows.push(row),
            Some(Answered::End(end)) => return Ok(end.map(|()| rows)),
            None => return Err(io::Error::new(io::ErrorKind::InvalidData, "not understood")),
        }
    }
}

/// Shows rows as columns, or, for a program, as a JSON array with these names for the columns.
pub fn show(rows: &[Vec<String>], names: &[&str], json: bool) {
    let text = if json { as_json(rows, names) } else { as_columns(rows) };
    // Where nobody reads it there is nobody to tell.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn as_columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn as_json(rows: &[Vec<String>], names: &[&str]) -> String {
    let object = |row: &Vec<String>| {
        let members = names.iter().zip(row).map(|(name, value)| format!("\"{name}\": {}", json_text(value)));
        format!("  {{{}}}", members.collect::<Vec<_>>().join(", "))
    };
    let objects: Vec<String> = rows.iter().map(object).collect();
    if objects.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", objects.join(",\n")) }
}

/// A string of JSON (RFC 8259 §7).
fn json_text(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        vec![vec!["a".into(), "é\"\\\u{1}".into()], vec!["long".into(), String::new()]]
    }

    #[test]
    fn lists_are_columns_or_json() {
        assert_eq!(as_columns(&rows()), "a     é\"\\\u{1}\nlong\n");
        let json: serde_json::Value = serde_json::from_str(&as_json(&rows(), &["x", "y"])).expect("JSON");
        assert_eq!(json, serde_json::json!([{"x": "a", "y": "é\"\\\u{1}"}, {"x": "long", "y": ""}]));
        assert_eq!(as_json(&[], &["x"]), "[]\n");
    }
}
