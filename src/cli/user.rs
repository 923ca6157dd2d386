//! `ringpost user`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use ringpost::control::directory::command::Command;
use ringpost::control::directory::record::Record;
use ringpost::directory::password::{Algorithm, Mode};
use ringpost::mail::Username;

use super::directory::{Directory, Failure, end, show};
use super::password;

/// Octets of a file of users.
const IMPORT_OCTETS: u64 = 1 << 30;

/// What is to be done with users.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Add users; the password is asked for, or read from standard input
    Add {
        /// Whole addresses, such as you@example.org; local parts where enableVirtualHosting is false
        #[arg(required = true, value_name = "USER")]
        users: Vec<String>,
        /// Without a password: mail is taken for them, and they cannot log in
        #[arg(long)]
        no_password: bool,
    },
    /// Give a user another password, which is asked for, or read from standard input
    Passwd {
        /// The user
        user: String,
    },
    /// Remove users; their mail stays where it is
    Remove {
        /// The users
        #[arg(required = true, value_name = "USER")]
        users: Vec<String>,
    },
    /// Show all users, and how their passwords are kept
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Add users with the hashes that James has of their passwords
    ///
    /// Each line of the file is a name, a hash and an algorithm, parted by commas, semicolons or TABs, such as
    /// you@example.org,7jEnk30A...==,PBKDF2-SHA512-1000-512/plain. Without an algorithm that of usersrepository.xml counts. Lines
    /// that are empty or begin with # are left out. Users who are there already are left as they are.
    Import {
        /// The file, or - for standard input
        file: PathBuf,
    },
}

/// Does it.
pub fn run(conf: &Path, verb: &Verb) -> ExitCode {
    end(Directory::open(conf).and_then(|mut directory| obey(&mut directory, verb)))
}

fn obey(directory: &mut Directory, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Add { users, no_password } => {
            if users.len() > 1 && !no_password {
                return Err(Failure::usage("users are added one by one, or all with --no-password"));
            }
            let users = users.iter().map(|user| name(directory, user)).collect::<Result<Vec<_>, _>>()?;
            for user in users {
                let record = if *no_password { None } else { Some(record(&user)?) };
                directory.run(&Command::AddUser(user, record))?;
            }
            Ok(())
        }
        Verb::Passwd { user } => {
            let user = name(directory, user)?;
            let record = record(&user)?;
            directory.run(&Command::SetPassword(user, record)).map(drop)
        }
        Verb::Remove { users } => {
            let users = users.iter().map(|user| name(directory, user)).collect::<Result<Vec<_>, _>>()?;
            users.into_iter().try_for_each(|user| directory.run(&Command::RemoveUser(user)).map(drop))
        }
        Verb::List { json } => {
            let mut rows = directory.run(&Command::ListUsers)?;
            for row in &mut rows {
                if let (false, [_, algorithm, scram]) = (*json, row.as_mut_slice()) {
                    let none = algorithm.is_empty();
                    *scram = if !none && scram == "false" { "no SCRAM before the next login" } else { "" }.to_owned();
                    if none {
                        *algorithm = "no password".to_owned();
                    }
                }
            }
            show(&rows, &["name", "algorithm", "scram"], *json);
            Ok(())
        }
        Verb::Import { file } => import(directory, file),
    }
}

fn name(directory: &Directory, text: &str) -> Result<Username, Failure> {
    let form =
        if directory.rules().naming.virtual_hosting { "an address such as you@example.org" } else { "a local part" };
    Username::parse(text).map_err(|error| Failure::usage(format!("{text:?} is no user's name: {error}; it is {form}")))
}

fn record(user: &Username) -> Result<Record, Failure> {
    let password = password::read(user.as_str())?;
    Record::of(&password).ok_or_else(|| Failure::refused("there is not memory enough to hash the password"))
}

fn import(directory: &mut Directory, file: &Path) -> Result<(), Failure> {
    let usual = directory.configuration().users.as_ref().map(|users| users.algorithm);
    let usual = usual.or_else(|| Algorithm::parse("PBKDF2-SHA512", Mode::Plain).ok());
    let text = read(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    let (mut added, mut wrong) = (0, 0);
    let lines = text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    for (line, number) in lines {
        let done = imported(line, usual)
            .map_err(Failure::refused)
            .and_then(|(user, record)| directory.run(&Command::AddUser(user, Some(record))));
        match done {
            Ok(_) => added += 1,
            Err(Failure { why, status }) if status == super::exit::REFUSED => {
                eprintln!("{}:{number}: {why}", file.display());
                wrong += 1;
            }
            Err(failure) => return Err(failure),
        }
    }
    println!("{added} users were added");
    if wrong == 0 { Ok(()) } else { Err(Failure::refused(format!("{wrong} lines were not"))) }
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    match file.as_os_str() == "-" {
        true => std::io::stdin().lock().take(IMPORT_OCTETS).read_to_string(&mut text)?,
        false => std::fs::File::open(file)?.take(IMPORT_OCTETS).read_to_string(&mut text)?,
    };
    Ok(text)
}

/// A name, a hash, and how it was made.
fn imported(line: &str, usual: Option<Algorithm>) -> Result<(Username, Record), String> {
    let words: Vec<&str> = line.split(['\t', ',', ';']).map(str::trim).collect();
    // A record of argon2id has commas of its own.
    let (name, hash, algorithm) = match words.as_slice() {
        [name, rest @ ..] if rest.first().is_some_and(|hash| hash.starts_with("$argon2id$")) => {
            let end = line.find("$argon2id$").unwrap_or(0);
            let hash = line[end..].split(['\t', ';']).next().unwrap_or_default();
            let hash = hash.trim().trim_end_matches(",argon2id");
            (*name, hash, Some("argon2id"))
        }
        [name, hash] => (*name, *hash, None),
        [name, hash, algorithm] => (*name, *hash, Some(*algorithm).filter(|algorithm| !algorithm.is_empty())),
        _ => return Err("a line is a name, a hash and an algorithm, parted by commas".to_owned()),
    };
    let user = Username::parse(name).map_err(|error| format!("{name:?} is no user's name: {error}"))?;
    let algorithm = match algorithm {
        Some(text) => {
            Algorithm::parse(text, Mode::Plain).map_err(|error| format!("{text:?} is no algorithm: {error}"))?
        }
        None => usual.ok_or("the algorithm is missing")?,
    };
    let record = Record::imported(algorithm, hash).ok_or_else(|| format!("{user} has no hash of {algorithm}"))?;
    Ok((user, record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_an_import_are_read() {
        let usual = Algorithm::parse("SHA-1", Mode::Plain).ok();
        let read = |line: &str| imported(line, usual).map(|(user, record)| format!("{user} {}", record.algorithm));
        assert_eq!(read("You@x,CEo1Ae3vaEXy8eQZjsOiuBz1xrw="), Ok("you@x SHA-1/plain".into()));
        assert_eq!(read("you@x\tAAAA\tMD5/salted"), Ok("you@x MD5/salted".into()));
        assert_eq!(read("you@x; AAAA; PBKDF2"), Ok("you@x PBKDF2-1000-512/plain".into()));
        let argon2id = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        for line in
            [format!("you@x,{argon2id}"), format!("you@x,{argon2id},argon2id"), format!("you@x;{argon2id};argon2id")]
        {
            assert_eq!(read(&line), Ok("you@x argon2id".into()), "{line}");
        }
        for wrong in ["you@x", "a/b,AAAA", "you@x,AAAA,ROT13", "you@x,not base64,MD5", "a,b,c,d"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
