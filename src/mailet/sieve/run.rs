//! A script run against a mail (RFC 5228 §2.10).

use super::super::header::{addresses, all, decode_words, fields};
use super::vacation::Vacation;
use super::{ACTIONS_MAX, AddressPart, Command, How, REDIRECTS_MAX, Script, Test};
use crate::mail::{Mailbox, ReversePath};

/// What a script looks at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The header.
    pub header: &'a [u8],
    /// Octets of the mail.
    pub size: u64,
    /// Who sent it.
    pub from: &'a ReversePath,
    /// For whom.
    pub to: &'a Mailbox,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Into the inbox.
    Keep,
    /// Into that folder.
    FileInto(String),
    /// To somebody else.
    Redirect(Mailbox),
    /// Back to the sender, with these words.
    Reject(String),
    /// The sender hears this, once in a while.
    Vacation(Vacation),
}

/// A run that cannot be carried out: the mail is kept, as RFC 5228 §2.10.6 asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// More than [`ACTIONS_MAX`] actions or [`REDIRECTS_MAX`] redirects.
    #[error("the script asks for too many actions")]
    TooMany,
    /// `reject` beside another action (RFC 5429 §2.4).
    #[error("the script rejects the mail and does something else with it too")]
    RejectAndMore,
    /// `vacation` twice (RFC 5230 §4.7).
    #[error("the script answers the mail twice")]
    TwoVacations,
}

struct Run<'a> {
    subject: Subject<'a>,
    actions: Vec<Action>,
    implicit_keep: bool,
    failed: Option<RunError>,
}

impl Script {
    /// What is to be done with the mail; nothing at all where the script discards it.
    ///
    /// # Errors
    ///
    /// See [`RunError`].
    pub fn run(&self, subject: Subject<'_>) -> Result<Vec<Action>, RunError> {
        let mut run = Run { subject, actions: Vec::new(), implicit_keep: true, failed: None };
        run.block(&self.0);
        if let Some(error) = run.failed {
            return Err(error);
        }
        let rejects = run.actions.iter().any(|action| matches!(action, Action::Reject(_)));
        if rejects && run.actions.len() > 1 {
            return Err(RunError::RejectAndMore);
        }
        if run.implicit_keep {
            run.act(Action::Keep);
        }
        Ok(run.actions)
    }
}

impl Run<'_> {
    /// Whether the script goes on.
    fn block(&mut self, commands: &[Command]) -> bool {
        commands.iter().all(|command| self.command(command))
    }

    fn command(&mut self, command: &Command) -> bool {
        match command {
            Command::If(branches) => {
                let holds = |test: &Option<Test>| test.as_ref().is_none_or(|test| self.test(test));
                let chosen = branches.iter().find(|(test, _)| holds(test));
                return chosen.is_none_or(|(_, block)| self.block(block));
            }
            Command::Stop => return false,
            Command::Keep => self.act(Action::Keep),
            Command::Discard => self.implicit_keep = false,
            Command::Redirect(address) => {
                let redirects = self.actions.iter().filter(|action| matches!(action, Action::Redirect(_))).count();
                match Mailbox::parse(address) {
                    Ok(mailbox) if redirects < REDIRECTS_MAX => self.act(Action::Redirect(mailbox)),
                    _ => self.failed = Some(RunError::TooMany),
                }
            }
            Command::FileInto(folder) => self.act(Action::FileInto(folder.clone())),
            Command::Reject(words) => self.act(Action::Reject(words.clone())),
            Command::Vacation(vacation) => self.vacation(vacation),
        }
        self.failed.is_none()
    }

    /// It takes nothing from what becomes of the mail (RFC 5230 §4.7).
    fn vacation(&mut self, vacation: &Vacation) {
        if self.actions.iter().any(|action| matches!(action, Action::Vacation(_))) {
            self.failed = Some(RunError::TwoVacations);
        } else if vacation.answers(&self.subject) {
            let implicit_keep = self.implicit_keep;
            self.act(Action::Vacation(vacation.clone()));
            self.implicit_keep = implicit_keep;
        }
    }

    /// What is asked for twice is done once (RFC 5228 §2.10.3).
    fn act(&mut self, action: Action) {
        self.implicit_keep = false;
        if self.actions.contains(&action) {
            return;
        }
        match self.actions.len() < ACTIONS_MAX {
            true => self.actions.push(action),
            false => self.failed = Some(RunError::TooMany),
        }
    }

    fn test(&self, test: &Test) -> bool {
        match test {
            Test::True => true,
            Test::False => false,
            Test::Not(test) => !self.test(test),
            Test::AllOf(tests) => tests.iter().all(|test| self.test(test)),
            Test::AnyOf(tests) => tests.iter().any(|test| self.test(test)),
            Test::Exists(names) => names.iter().all(|name| fields(self.subject.header).any(|field| field.is(name))),
            Test::Size { over: true, octets } => self.subject.size > *octets,
            Test::Size { over: false, octets } => self.subject.size < *octets,
            Test::Header { how, names, keys } => names
                .iter()
                .any(|name| all(self.subject.header, name).any(|value| any_key(*how, &decode_words(&value), keys))),
            Test::Address { how, part, names, keys } => names.iter().any(|name| {
                all(self.subject.header, name)
                    .flat_map(|value| addresses(&value))
                    .any(|mailbox| any_key(*how, &part_of(*part, &mailbox), keys))
            }),
            Test::Envelope { how, part, names, keys } => names.iter().any(|name| {
                let mailbox = match name.to_ascii_lowercase().as_str() {
                    "from" => self.subject.from.mailbox(),
                    "to" => Some(self.subject.to),
                    _ => return false,
                };
                // The null reverse-path is the empty text, whatever part is looked at (RFC 5228 §5.4).
                let text = mailbox.map(|mailbox| part_of(*part, mailbox)).unwrap_or_default();
                any_key(*how, &text, keys)
            }),
        }
    }
}

fn any_key(how: How, value: &str, keys: &[String]) -> bool {
    keys.iter().any(|key| how.holds(value, key))
}

fn part_of(part: AddressPart, mailbox: &Mailbox) -> String {
    match part {
        AddressPart::All => mailbox.to_string(),
        AddressPart::Local => mailbox.local().to_owned(),
        AddressPart::Domain => mailbox.domain().to_string(),
    }
}
