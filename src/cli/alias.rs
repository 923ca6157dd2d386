//! `ringpost alias`.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ringpost::control::directory::command::Command;
use ringpost::directory::{Kind, Mapping, Source};

use super::directory::{Directory, Failure, end, show};

/// What is to be done with the recipient rewrite table.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Let mail for an address, or for every address of a domain, go elsewhere
    Add(Entry),
    /// Take such an entry back
    Remove(Entry),
    /// Show the whole rewrite table
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
        /// Only the entries of this address or domain
        source: Option<String>,
    },
}

/// An entry of the table.
#[derive(Args, Clone, Debug)]
pub struct Entry {
    /// What is rewritten: an address, or a domain for all of its addresses that have no entry of their own
    source: String,
    /// Into what: an address; for domain and domainAlias a domain; for error a text such as "551 5.1.6 Gone"; for regex
    /// pattern:replacement, as in (.*)@(.*):${1}@example.org
    target: String,
    /// How: an alias is another address of a user, who may send from it; a group has members; a forward to the address itself
    /// keeps a copy; an address is neither
    #[arg(long, default_value = "alias", value_parser = kind, value_name = "alias|group|forward|address|domain|domainAlias|regex|error")]
    kind: Kind,
}

fn kind(text: &str) -> Result<Kind, String> {
    text.parse().map_err(|()| "one of alias, group, forward, address, domain, domainAlias, regex and error".to_owned())
}

/// Does it.
pub fn run(conf: &Path, verb: &Verb) -> ExitCode {
    end(Directory::open(conf).and_then(|mut directory| obey(&mut directory, verb)))
}

fn obey(directory: &mut Directory, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Add(entry) => {
            let (source, mapping) = read(entry)?;
            directory.run(&Command::AddMapping(source, mapping)).map(drop)
        }
        Verb::Remove(entry) => {
            let (source, mapping) = read(entry)?;
            directory.run(&Command::RemoveMapping(source, mapping)).map(drop)
        }
        Verb::List { json, source } => {
            let mut rows = directory.run(&Command::ListMappings)?;
            if let Some(text) = source {
                let source = Source::parse(text).map_err(|error| Failure::usage(error.to_string()))?.to_string();
                rows.retain(|row| row.first() == Some(&source));
            }
            show(&rows, &["source", "kind", "target", "origin"], *json);
            Ok(())
        }
    }
}

fn read(entry: &Entry) -> Result<(Source, Mapping), Failure> {
    let wrong = |error: ringpost::directory::mapping::MappingError| Failure::usage(error.to_string());
    let source = Source::parse(&entry.source).map_err(wrong)?;
    let mapping = Mapping::new(entry.kind, &entry.target).map_err(wrong)?;
    source.takes(entry.kind).map_err(wrong)?;
    Ok((source, mapping))
}
