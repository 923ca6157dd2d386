//! What clients were told, and what is in the mailboxes: the promises, held against each other.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use ringpost::io::sim::World;

use super::mail::{Mail, USERS};

/// What a client knows of a message for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No answer came.
    Unknown,
    /// 250: the server is responsible.
    Accepted,
    /// Anything else: the client still has it.
    Refused,
}

/// A message that a client has begun to send.
pub struct Entry {
    /// It.
    pub mail: Mail,
    /// By the recipient's place.
    pub fates: Vec<Fate>,
    /// The last reply to it.
    pub reply: String,
}

/// All messages that clients have begun to send; it outlives every crash.
#[derive(Clone, Default)]
pub struct Ledger(Rc<RefCell<Vec<Entry>>>);

/// What may be in mailboxes that nobody was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Nothing was lost, nothing is there that was refused, or that nobody was answered about.
    Exact,
    /// After a crash: what was answered with nothing or with a refusal may be there as well.
    Safe,
}

impl Ledger {
    /// Notes that a message is about to be sent.
    pub fn begin(&self, mail: &Mail) {
        let fates = vec![Fate::Unknown; mail.recipients.len()];
        self.0.borrow_mut().push(Entry { mail: mail.clone(), fates, reply: String::new() });
    }

    /// Notes the answer for one recipient.
    pub fn answered(&self, mail: &Mail, place: usize, reply: &str) {
        self.with(mail.number, |entry| {
            entry.fates[place] = if reply.starts_with("250 ") { Fate::Accepted } else { Fate::Refused };
            entry.reply = reply.to_owned();
        });
    }

    /// Notes one answer for all recipients.
    pub fn answered_for_all(&self, mail: &Mail, reply: &str) {
        (0..mail.recipients.len()).for_each(|place| self.answered(mail, place, reply));
    }

    /// Looks at the entry of a message.
    pub fn with<T>(&self, number: usize, look: impl FnOnce(&mut Entry) -> T) -> T {
        look(self.0.borrow_mut().iter_mut().find(|entry| entry.mail.number == number).expect("it was begun"))
    }

    /// Looks at the entry of a message, if it was begun.
    pub fn try_with<T>(&self, number: usize, look: impl FnOnce(&Entry) -> T) -> Option<T> {
        self.0.borrow().iter().find(|entry| entry.mail.number == number).map(look)
    }

    /// The sum of what `count` says of each entry.
    pub fn with_all(&self, count: impl Fn(&Entry) -> usize) -> usize {
        self.0.borrow().iter().map(count).sum()
    }

    /// How many recipients' fates are this one.
    pub fn count(&self, fate: Fate) -> usize {
        self.0.borrow().iter().flat_map(|entry| &entry.fates).filter(|known| **known == fate).count()
    }

    /// The last replies, by the message's number.
    pub fn replies(&self) -> Vec<(usize, String)> {
        self.0.borrow().iter().map(|entry| (entry.mail.number, entry.reply.clone())).collect()
    }

    /// What is wrong with the mailboxes, given what clients were told.
    pub fn problems(&self, world: &World, strictness: Strictness) -> Vec<String> {
        let (delivered, mut problems) = read_mailboxes(world, &self.0.borrow());
        for entry in self.0.borrow().iter() {
            for (place, fate) in entry.fates.iter().enumerate() {
                let count = delivered.get(&(entry.mail.number, place)).copied().unwrap_or(0);
                let right = match (fate, strictness) {
                    (Fate::Accepted, _) => count == 1,
                    (_, Strictness::Exact) => count == 0,
                    (_, Strictness::Safe) => count <= 1,
                };
                if !right {
                    problems.push(format!(
                        "message {} ({} octets, by {:?}) for recipient {place}: {fate:?} ({}), found {count} times",
                        entry.mail.number,
                        entry.mail.content.len(),
                        entry.mail.by,
                        entry.reply.trim_end()
                    ));
                }
            }
        }
        problems
    }

    /// Fails with the world's seed unless all promises are kept.
    pub fn check(&self, world: &World, strictness: Strictness) {
        let problems = self.problems(world, strictness);
        assert!(problems.is_empty(), "seed {}: {problems:#?}", world.seed());
    }
}

/// Finds how often each message is there for each of its recipients, and what is there that should not be.
fn read_mailboxes(world: &World, entries: &[Entry]) -> (HashMap<(usize, usize), usize>, Vec<String>) {
    let (mut delivered, mut problems) = (HashMap::new(), Vec::new());
    for user in 0..USERS {
        let new = mailbox(user);
        for name in world.disk().list(&new).unwrap_or_default() {
            let file = world.disk().read(format!("{new}/{name}")).expect("it is listed");
            match recognize(user, &name, &file, entries) {
                Ok(found) => *delivered.entry(found).or_default() += 1,
                Err(problem) => problems.push(format!("{new}/{name}: {problem}")),
            }
        }
    }
    (delivered, problems)
}

/// The directory of a user's new mail.
pub fn mailbox(user: usize) -> String {
    format!("/mail/example.com/u{user}/new")
}

/// Which message and which of its recipients a file is of, if it is whole.
fn recognize(user: usize, name: &str, file: &[u8], entries: &[Entry]) -> Result<(usize, usize), String> {
    let head = String::from_utf8_lossy(&file[..file.len().min(200)]).into_owned();
    let number = head.strip_prefix("Return-Path: <m").and_then(|rest| rest.split('@').next()?.parse::<usize>().ok());
    let number = number.ok_or_else(|| format!("{} octets, begins with {head:?}", file.len()))?;
    let place = name.rsplit_once('R').and_then(|(_, rest)| rest.split('.').next()?.parse::<usize>().ok());
    let place = place.ok_or("the name has no place of a recipient")?;
    let entry = entries.iter().find(|entry| entry.mail.number == number).ok_or("nobody sent it")?;
    if entry.mail.recipients.get(place) != Some(&user) {
        return Err(format!("message {number} has other recipients"));
    }
    let end = if entry.mail.is_binary() { "\r\n" } else { "\n" };
    let trace = format!("Return-Path: <{}>{end}Delivered-To: u{user}@example.com{end}", entry.mail.reverse_path());
    let rest = file.strip_prefix(trace.as_bytes()).ok_or_else(|| format!("wrong trace fields: {head:?}"))?;
    let rest = after_received(rest).ok_or("no whole Received field")?;
    match rest == entry.mail.in_mailbox() {
        true => Ok((number, place)),
        false => Err(format!("message {number} is not what was sent: {} octets", rest.len())),
    }
}

/// What follows the Received field: its own line, then three more that begin with a tab, or two where it names nobody.
fn after_received(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"Received: from client.example ")?;
    loop {
        let end = rest.iter().position(|octet| *octet == b'\n')? + 1;
        let last = rest[..end].windows(6).any(|window| window == b" +0000");
        rest = &rest[end..];
        if last {
            return Some(rest);
        }
        rest = rest.strip_prefix(b"\t")?;
    }
}
