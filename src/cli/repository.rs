//! `ringpost repository`: mail that was kept.

use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use ringpost::config::Configuration;
use ringpost::control::admin::command::ALL;
use ringpost::control::admin::repository::{Command, MAILS_A_LINE, is_processor};
use ringpost::control::admin::shelf::{Mail, Shelf, Summary};
use ringpost::delivery::repository::{Attribute, MailName, RepositoryName};
use ringpost::mail::MessageId;
use ringpost::mail::date::Date;
use ringpost::mta::requirements::lock_spool;
use ringpost::mta::stopped_spool;

use super::exit;
use super::queue::{configuration, print};

/// What can be done with mail that was kept.
#[derive(Clone, Debug, Subcommand)]
pub enum Repository {
    /// The repositories and how much is in them, or the mails of one
    List {
        /// As JSON objects, one a line
        #[arg(long)]
        json: bool,
        /// A repository, as the list shows it or as its URL in mailetcontainer.xml
        repository: Option<String>,
    },
    /// All that is known of mails, where they are, and their header
    Show {
        /// As JSON objects, one a line
        #[arg(long)]
        json: bool,
        /// The repository
        repository: String,
        /// Their names, or the ids of their messages
        #[arg(required = true)]
        mails: Vec<String>,
    },
    /// Let mails go on: each is in the spool, durably, before it goes from here
    Reprocess {
        /// The processor of mailetcontainer.xml that they enter
        #[arg(long, default_value = "root")]
        processor: String,
        /// The repository
        repository: String,
        /// Their names, the ids of their messages, or ALL
        #[arg(required = true)]
        mails: Vec<String>,
    },
    /// Take mails out for good: nobody is told
    Purge {
        /// The repository
        repository: String,
        /// Their names, the ids of their messages, or ALL
        #[arg(required = true)]
        mails: Vec<String>,
    },
}

/// Why it was not done, and the exit status that says so.
struct Failed(u8, String);

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed(exit::INPUT_OUTPUT, error.to_string())
    }
}

/// Does something with mail that was kept.
pub fn run(conf: &Path, verb: &Repository) -> ExitCode {
    let configuration = match configuration(conf) {
        Ok(configuration) => configuration,
        Err(status) => return status,
    };
    match act(&configuration, verb) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(exit::DATA),
        // Who reads it may have had enough.
        Err(Failed(_, why)) if why == broken_pipe() => ExitCode::SUCCESS,
        Err(Failed(status, why)) => {
            eprintln!("ringpost: {why}");
            ExitCode::from(status)
        }
    }
}

fn broken_pipe() -> String {
    io::Error::from_raw_os_error(libc::EPIPE).to_string()
}

/// Whether everything that was named was there and right.
fn act(configuration: &Configuration, verb: &Repository) -> Result<bool, Failed> {
    let shelf = Shelf::new(&configuration.ringpost.repositories);
    let named = |text: &str| {
        let advice = "it is called as `ringpost repository list` shows it, or by its URL";
        RepositoryName::parse(text).ok_or_else(|| Failed(exit::USAGE, format!("{text:?} is no repository: {advice}")))
    };
    match verb {
        Repository::List { json, repository: None } => list(&shelf, *json),
        Repository::List { json, repository: Some(repository) } => list_mails(&shelf, &named(repository)?, *json),
        Repository::Show { json, repository, mails } => {
            let repository = named(repository)?;
            let chosen = choose(&shelf, &repository, mails, All::Forbidden)?;
            let mut out = io::stdout().lock();
            let mut right = chosen.right;
            for name in &chosen.names {
                right &= show(&shelf, &repository, name, *json, &mut out)?;
            }
            Ok(right)
        }
        Repository::Reprocess { processor, repository, mails } => {
            knows(configuration, processor)?;
            let repository = named(repository)?;
            let chosen = choose(&shelf, &repository, mails, All::Allowed)?;
            Ok(reprocess(configuration, &repository, processor, &chosen)? && chosen.right)
        }
        Repository::Purge { repository, mails } => {
            let repository = named(repository)?;
            let chosen = choose(&shelf, &repository, mails, All::Allowed)?;
            purge(&shelf, &repository, &chosen)
        }
    }
}

/// Whether the processor is one of the pipeline, so that nobody's mail goes where nothing is.
fn knows(configuration: &Configuration, processor: &str) -> Result<(), Failed> {
    let pipeline = configuration.container.as_ref().and_then(|container| container.pipeline.as_ref());
    let states: Vec<&str> = match pipeline {
        Some(pipeline) => pipeline.processors.iter().map(|processor| &*processor.state).collect(),
        None => vec!["root"],
    };
    if states.contains(&processor) && is_processor(processor) {
        return Ok(());
    }
    let why = format!("there is no processor {processor:?}; there are {}", states.join(", "));
    Err(Failed(exit::USAGE, why))
}

/// Whether all mails may be meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum All {
    Allowed,
    Forbidden,
}

/// Mails that were named.
struct Chosen {
    names: Vec<MailName>,
    /// All of a repository were meant.
    all: bool,
    /// Each that was named is there.
    right: bool,
    /// So many more are there as can be done in one go.
    more: u64,
}

/// Finds the mails that an operator names: by their names, by the ids of their messages, or all.
fn choose(shelf: &Shelf, repository: &RepositoryName, words: &[String], all: All) -> Result<Chosen, Failed> {
    let there = match shelf.mails(repository) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Failed(exit::DATA, error.to_string())),
        there => there?,
    };
    if words == [ALL] && all == All::Allowed {
        return Ok(Chosen { names: there.names, all: true, right: true, more: there.more });
    }
    let mut chosen = Chosen { names: Vec::new(), all: false, right: true, more: 0 };
    for word in words {
        let found: Vec<MailName> = match (MailName::parse(word), word.parse::<MessageId>()) {
            (Some(name), _) => there.names.iter().filter(|own| **own == name).cloned().collect(),
            (None, Ok(id)) => there.names.iter().filter(|own| own.is_of(id)).cloned().collect(),
            (None, Err(_)) => {
                let why =
                    format!("{word:?} names no mail: a name is as `ringpost repository list {repository}` shows it");
                return Err(Failed(exit::USAGE, why));
            }
        };
        if found.is_empty() {
            chosen.right = false;
            eprintln!("ringpost: {word} is not in the repository {repository}");
        }
        chosen.names.extend(found.into_iter().filter(|name| !chosen.names.contains(name)).collect::<Vec<_>>());
    }
    Ok(chosen)
}

fn list(shelf: &Shelf, json: bool) -> Result<bool, Failed> {
    let (mut out, all) = (io::stdout().lock(), shelf.repositories()?);
    if !json {
        match all.is_empty() {
            true => writeln!(out, "There are no repositories yet.")?,
            false => writeln!(out, "     mails        octets  repository")?,
        }
    }
    for Summary { name, mails, octets } in &all {
        match json {
            // The name of a repository has nothing that JSON would write otherwise.
            true => writeln!(out, "{{\"repository\":\"{name}\",\"mails\":{mails},\"octets\":{octets}}}")?,
            false => writeln!(out, "{mails:>10}  {octets:>12}  {name}")?,
        }
    }
    Ok(true)
}

fn list_mails(shelf: &Shelf, repository: &RepositoryName, json: bool) -> Result<bool, Failed> {
    let mut chosen = choose(shelf, repository, &[ALL.to_owned()], All::Allowed)?;
    let (mut out, mut octets, mut count) = (io::stdout().lock(), 0, 0u64);
    for name in &chosen.names {
        let mail = match shelf.mail(repository, name) {
            Ok(Some(mail)) => mail,
            // It has gone meanwhile.
            Ok(None) => continue,
            Err(error) => {
                eprintln!("ringpost: {error}");
                chosen.right = false;
                continue;
            }
        };
        (octets, count) = (octets + mail.octets, count + 1);
        if json {
            writeln!(out, "{}", object(repository, name, &mail))?;
            continue;
        }
        if count == 1 {
            writeln!(out, "{:<30}  {:>12}  {:<20}  sender, then recipients", "mail", "size", "kept")?;
        }
        let label = &mail.label;
        let sender = &label.envelope.reverse_path;
        writeln!(out, "{name:<30}  {:>12}  {:<20}  <{sender}>", mail.octets, time(label.kept_at))?;
        if let Some(error) = &label.error {
            writeln!(out, "{:>68}({})", "", printable(error))?;
        }
        for recipient in &label.envelope.recipients {
            writeln!(out, "{:>68}<{recipient}>", "")?;
        }
    }
    if !json {
        match count {
            0 => writeln!(out, "No mail is in {repository}.")?,
            _ => writeln!(out, "-- {} KiB in {count} mails.", octets.div_ceil(1024))?,
        }
    }
    if chosen.more > 0 {
        eprintln!("ringpost: {} more are in {repository} and not shown", chosen.more);
    }
    Ok(chosen.right)
}

/// To the second.
fn time(micros: u64) -> String {
    let text = Date::from_micros(micros).rfc3339().to_string();
    format!("{}Z", text.get(..19).unwrap_or_default())
}

fn printable(text: &str) -> String {
    text.trim_end().replace(char::is_control, " ")
}

/// A mail as a JSON object: its label, with where it is before that.
fn object(repository: &RepositoryName, name: &MailName, mail: &Mail) -> String {
    let label = mail.label.line();
    let fields = label.strip_prefix('{').unwrap_or(&label);
    format!("{{\"repository\":\"{repository}\",\"name\":\"{name}\",\"size\":{},{fields}", mail.octets)
}

fn show(
    shelf: &Shelf,
    repository: &RepositoryName,
    name: &MailName,
    json: bool,
    out: &mut impl Write,
) -> Result<bool, Failed> {
    let mail = match shelf.mail(repository, name) {
        Ok(Some(mail)) => mail,
        Ok(None) => {
            eprintln!("ringpost: {name} is not in the repository {repository} any more");
            return Ok(false);
        }
        Err(error) => {
            eprintln!("ringpost: {error}");
            return Ok(false);
        }
    };
    if json {
        writeln!(out, "{}", object(repository, name, &mail))?;
        return Ok(true);
    }
    let (label, envelope) = (&mail.label, &mail.label.envelope);
    writeln!(out, "{name} ({repository})")?;
    writeln!(out, "file      {}", shelf.path(repository).join(name.content()).display())?;
    writeln!(out, "kept      {}", Date::from_micros(label.kept_at).rfc3339())?;
    let received = Date::from_micros(envelope.received_at).rfc3339();
    writeln!(out, "received  {received} in session {}", envelope.session)?;
    match label.made_here {
        true => writeln!(out, "client    none, it was made here")?,
        false => writeln!(out, "client    {} ({})", envelope.client.address, printable(&envelope.client.helo))?,
    }
    writeln!(out, "size      {} octets", mail.octets)?;
    writeln!(out, "sender    <{}>", envelope.reverse_path)?;
    for recipient in &envelope.recipients {
        writeln!(out, "recipient <{recipient}>")?;
    }
    if let Some(state) = &label.state {
        writeln!(out, "processor {}", printable(state))?;
    }
    if let Some(error) = &label.error {
        writeln!(out, "error     {}", printable(error))?;
    }
    for (attribute, value) in &label.attributes {
        let value = match value {
            Attribute::Flag(flag) => flag.to_string(),
            Attribute::Number(number) => number.to_string(),
            Attribute::Text(text) => printable(text),
        };
        writeln!(out, "attribute {} = {value}", printable(attribute))?;
    }
    writeln!(out, "header")?;
    for line in shelf.header(repository, name)?.split_inclusive(|octet| *octet == b'\n') {
        writeln!(out, "  {}", String::from_utf8_lossy(line).trim_end())?;
    }
    Ok(true)
}

fn purge(shelf: &Shelf, repository: &RepositoryName, chosen: &Chosen) -> Result<bool, Failed> {
    let mut purged = 0u64;
    for name in &chosen.names {
        purged += u64::from(shelf.remove(repository, name)?);
    }
    if chosen.all {
        shelf.clear(repository)?;
    }
    println!("{purged} {} purged", mails(purged));
    tell_more(repository, chosen);
    Ok(chosen.right)
}

fn mails(count: u64) -> &'static str {
    if count == 1 { "mail" } else { "mails" }
}

fn tell_more(repository: &RepositoryName, chosen: &Chosen) {
    if chosen.more > 0 {
        eprintln!("ringpost: {} more are in {repository}: do it again", chosen.more);
    }
}

/// Asks whoever has the spool; where nobody has, it is opened here.
fn reprocess(
    configuration: &Configuration,
    repository: &RepositoryName,
    processor: &str,
    chosen: &Chosen,
) -> Result<bool, Failed> {
    let commands = chosen.names.chunks(MAILS_A_LINE).map(|mails| Command {
        repository: repository.clone(),
        processor: processor.into(),
        mails: mails.to_vec(),
    });
    let commands: Vec<Command> = commands.collect();
    let (socket, spool) = (&configuration.ringpost.control_socket, &configuration.ringpost.spool.directory);
    let mut right = true;
    match UnixStream::connect(socket) {
        Ok(_) => {
            for command in commands {
                let mut server = UnixStream::connect(socket)?;
                server.write_all(command.line().as_bytes())?;
                right &= print(&mut BufReader::new(server))?;
            }
        }
        // Nobody serves it: the spool is opened as a server would, if that is so.
        Err(unanswered) => match lock_spool(spool) {
            Ok(Ok(lock)) => {
                let answer = stopped_spool::reprocess(configuration, commands)?;
                right &= print(&mut answer.as_slice())?;
                drop(lock);
            }
            Ok(Err(in_use)) => {
                let why = format!("{in_use}; and no server answers at {}: {unanswered}", socket.display());
                return Err(Failed(exit::UNAVAILABLE, why));
            }
            Err(error) => return Err(Failed(exit::INPUT_OUTPUT, format!("{}: {error}", spool.display()))),
        },
    }
    tell_more(repository, chosen);
    Ok(right)
}
