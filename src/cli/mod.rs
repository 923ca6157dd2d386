//! The command line: `ringpost [--conf DIR] [serve|check|status|queue|spool|repository|user|domain|alias|keys]`.

mod alias;
mod check;
mod directory;
mod domain;
mod keys;
mod password;
mod quarantine;
mod queue;
mod repository;
mod serve;
mod status;
mod tell;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit statuses, as sysexits.h names them.
pub mod exit {
    /// What was asked for was not done, and why was said.
    pub const REFUSED: u8 = 1;
    /// EX_USAGE: the command line is wrong.
    pub const USAGE: u8 = 64;
    /// EX_DATAERR: what was asked for is not so, or something is damaged.
    pub const DATA: u8 = 65;
    /// EX_IOERR: something cannot be read or written.
    pub const INPUT_OUTPUT: u8 = 74;
    /// EX_UNAVAILABLE: no server answers.
    pub const UNAVAILABLE: u8 = 69;
    /// EX_SOFTWARE: a part of ringpost itself failed.
    pub const SOFTWARE: u8 = 70;
    /// EX_CONFIG: the configuration or the machine does not allow to start.
    pub const CONFIG: u8 = 78;
}

/// A thread-per-core SMTP and LMTP front end that reads Apache James' configuration.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// The directory that holds James' files, such as smtpserver.xml, and ringpost.xml
    #[arg(long, value_name = "DIR", default_value = "conf", global = true)]
    conf: PathBuf,

    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Take mail and deliver it, until SIGTERM or SIGINT (the default)
    Serve,
    /// Read the configuration, say all that is wrong with it and what each server does; exit status 78 if it would not start
    Check,
    /// Ask the running server what runs where and what it does
    Status {
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Look at the messages that wait, and change what becomes of them; of a running server or a stopped one
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Look after the spool of a running server or a stopped one
    #[command(subcommand)]
    Spool(queue::Spool),
    /// Look at mail that was kept instead of delivered, let it go on or take it out; of a running server or a stopped one
    #[command(subcommand)]
    Repository(repository::Repository),
    /// Who the users are; on a running server and on a stopped one
    #[command(subcommand)]
    User(user::Verb),
    /// The domains whose mail is taken; on a running server and on a stopped one
    #[command(subcommand)]
    Domain(domain::Verb),
    /// Where mail goes instead (the recipient rewrite table); on a running server and on a stopped one
    #[command(subcommand)]
    Alias(alias::Verb),
    /// Make keys for TLS
    Keys {
        #[command(subcommand)]
        what: Keys,
    },
}

#[derive(Clone, Debug, Subcommand)]
enum Keys {
    /// A key and a certificate that it signed itself, for a first try; says what to write in smtpserver.xml
    SelfSigned {
        /// A name that clients know the server by; may be repeated [default: the host's name, and localhost]
        #[arg(long = "name", value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Runs the command that the arguments ask for.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => return explain(&answer),
    };
    match arguments.verb.unwrap_or(Verb::Serve) {
        Verb::Serve => serve::run(&arguments.conf),
        Verb::Check => check::run(&arguments.conf),
        Verb::Status { json } => status::run(&arguments.conf, json),
        Verb::Queue(verb) => queue::queue(&arguments.conf, verb),
        Verb::Spool(verb) => queue::spool(&arguments.conf, verb),
        Verb::Repository(verb) => repository::run(&arguments.conf, &verb),
        Verb::User(verb) => user::run(&arguments.conf, &verb),
        Verb::Domain(verb) => domain::run(&arguments.conf, &verb),
        Verb::Alias(verb) => alias::run(&arguments.conf, &verb),
        Verb::Keys { what: Keys::SelfSigned { names } } => keys::self_signed(&arguments.conf, &names),
    }
}

/// Prints the help or the version that was asked for, or what is wrong with the command line.
fn explain(answer: &clap::Error) -> ExitCode {
    // Where nobody reads it there is nobody to tell.
    let _ = answer.print();
    if answer.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::SUCCESS }
}
