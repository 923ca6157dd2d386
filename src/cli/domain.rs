//! `ringpost domain`.

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use ringpost::config::value;
use ringpost::control::directory::command::Command;
use ringpost::mail::Domain;

use super::directory::{Directory, Failure, end, show};

/// What is to be done with domains.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Take mail for domains
    Add {
        /// The domains
        #[arg(required = true, value_name = "DOMAIN")]
        domains: Vec<String>,
    },
    /// Take mail for domains no more
    Remove {
        /// The domains
        #[arg(required = true, value_name = "DOMAIN")]
        domains: Vec<String>,
    },
    /// Show all domains, and where each comes from
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// Does it.
pub fn run(conf: &Path, verb: &Verb) -> ExitCode {
    end(Directory::open(conf).and_then(|mut directory| obey(&mut directory, verb)))
}

fn obey(directory: &mut Directory, verb: &Verb) -> Result<(), Failure> {
    let (domains, command): (_, fn(Domain) -> Command) = match verb {
        Verb::Add { domains } => (domains, Command::AddDomain),
        Verb::Remove { domains } => (domains, Command::RemoveDomain),
        Verb::List { json } => {
            show(&directory.run(&Command::ListDomains)?, &["name", "origin"], *json);
            return Ok(());
        }
    };
    let domains = domains.iter().map(|text| domain(text)).collect::<Result<Vec<_>, _>>()?;
    domains.into_iter().try_for_each(|domain| directory.run(&command(domain)).map(drop))
}

fn domain(text: &str) -> Result<Domain, Failure> {
    let read = value::domain(text).ok().and_then(|name| Domain::parse(&name).ok());
    read.ok_or_else(|| {
        Failure::usage(format!("{text:?} is no domain such as example.org; write xn--... for others than ASCII"))
    })
}
