//! `ringpost repository reprocess`, as a line: the one thing about repositories that needs somebody who has the spool.

use std::io;

use super::Out;
use super::errands::{Reprocess, Running};
use crate::delivery::repository::{MailName, RepositoryName};
use crate::mail::MessageId;

/// Mails that one line names at most, which keeps it far below what a line may have.
pub const MAILS_A_LINE: usize = 64;

/// Octets of a processor's name at most.
const PROCESSOR_OCTETS: usize = 255;

/// Mails of one repository that are to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The repository.
    pub repository: RepositoryName,
    /// The processor that they enter.
    pub processor: Box<str>,
    /// Which.
    pub mails: Vec<MailName>,
}

/// Whoever has the spool.
#[allow(async_fn_in_trait, reason = "each implementation is used as itself, so that whether it is Send is known")]
pub trait Spooling {
    /// Has a mail go on: the message that it is now, or why it is still where it was.
    async fn reprocess(&mut self, request: Reprocess) -> io::Result<Result<MessageId, String>>;
}

impl Spooling for Running {
    async fn reprocess(&mut self, request: Reprocess) -> io::Result<Result<MessageId, String>> {
        Running::reprocess(self, request).await
    }
}

/// Whether a processor's name can stand in a line.
pub fn is_processor(name: &str) -> bool {
    !name.is_empty() && name.len() <= PROCESSOR_OCTETS && !name.contains(|c: char| c.is_whitespace() || c.is_control())
}

impl Command {
    /// Reads a line such as `repository reprocess var/mail/error root NAME …`; `None` where it is none of ours.
    pub fn parse(line: &str) -> Option<Command> {
        let mut words = line.split_ascii_whitespace();
        if (words.next()?, words.next()?) != ("repository", "reprocess") {
            return None;
        }
        let repository = RepositoryName::parse(words.next()?)?;
        let processor = words.next().filter(|name| is_processor(name))?;
        let mails: Vec<MailName> = words.map(MailName::parse).collect::<Option<_>>()?;
        let right = (1..=MAILS_A_LINE).contains(&mails.len());
        right.then(|| Command { repository, processor: processor.into(), mails })
    }

    /// The line that [`Command::parse`] reads.
    pub fn line(&self) -> String {
        let mails: String = self.mails.iter().map(|mail| format!(" {mail}")).collect();
        format!("repository reprocess {} {}{mails}\n", self.repository, self.processor)
    }

    /// Does it: a line for each mail. What cannot be done is a line that begins with `error: `.
    pub async fn execute(&self, spooling: &mut impl Spooling, out: &mut impl Out) -> io::Result<()> {
        for mail in &self.mails {
            let (repository, processor) = (self.repository.clone(), self.processor.clone());
            let request = Reprocess { repository, mail: mail.clone(), processor };
            let line = match spooling.reprocess(request).await? {
                Ok(id) => format!("{mail} goes on as {id}\n"),
                Err(why) => format!("error: {mail} {why}\n"),
            };
            out.put(line.as_bytes()).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_reads_back() {
        let mails = vec![MailName::new(MessageId(7), &[]), MailName::new(MessageId(8), &[])];
        let repository = RepositoryName::of_url("file://var/mail/a b/");
        let command = Command { repository, processor: "root".into(), mails };
        assert_eq!(Command::parse(&command.line()), Some(command.clone()));
        assert!(command.line().starts_with("repository reprocess var/mail/a%20b root 0000000000007-"));
        let many = Command { mails: vec![MailName::new(MessageId(7), &[]); MAILS_A_LINE + 1], ..command };
        assert_eq!(Command::parse(&many.line()), None);
        for line in [
            "",
            "repository",
            "repository reprocess a root",
            "repository reprocess ../a root 0000000000007-0011223344556677",
        ] {
            assert_eq!(Command::parse(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_harm(line in "repository reprocess [a-z/.]{0,8} ?[a-z]{0,8}( [0-9A-Za-f-]{0,31}){0,4}.{0,10}") {
            if let Some(command) = Command::parse(&line) {
                prop_assert_eq!(Command::parse(&command.line()), Some(command));
            }
        }
    }
}
