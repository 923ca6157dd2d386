//! What can be asked for, as a line.

use super::Change;
use crate::mail::MessageId;

/// For a person or a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For a person.
    Text,
    /// JSON, an object a line.
    Json,
}

/// Which messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that wait.
    All,
    /// These.
    These(Vec<MessageId>),
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The messages that wait.
    List(Form),
    /// All that is known of some.
    Show(Form, Vec<MessageId>),
    /// Why some are still here.
    Why(Vec<MessageId>),
    /// What is to become of some.
    Change(Change, Which),
    /// Some with their content.
    Export(Which),
    /// Whether all can be read.
    Verify,
    /// How the logs are.
    Stats(Form),
}

/// The word for all messages, in capitals so that nobody writes it by chance.
pub const ALL: &str = "ALL";

impl Command {
    /// Reads a line such as `queue hold 1K0T4AJV8XF01`; `None` where it is none of ours, or names something that is no id.
    pub fn parse(line: &str) -> Option<Command> {
        let mut words = line.split_ascii_whitespace();
        let (part, verb) = (words.next()?, words.next()?);
        let words: Vec<&str> = words.collect();
        let form = |words: &[&str]| match words {
            [] => Some(Form::Text),
            ["json"] => Some(Form::Json),
            _ => None,
        };
        let ids = |words: &[&str]| -> Option<Vec<MessageId>> {
            (!words.is_empty()).then_some(())?;
            words.iter().map(|word| word.parse().ok()).collect()
        };
        let which = |words: &[&str]| match words {
            [ALL] => Some(Which::All),
            words => ids(words).map(Which::These),
        };
        match (part, verb) {
            ("queue", "list") => form(&words).map(Command::List),
            ("queue", "show") => match words.split_first() {
                Some((&"json", rest)) => ids(rest).map(|ids| Command::Show(Form::Json, ids)),
                _ => ids(&words).map(|ids| Command::Show(Form::Text, ids)),
            },
            ("queue", "why") => ids(&words).map(Command::Why),
            ("queue", "hold") => which(&words).map(|which| Command::Change(Change::Hold(true), which)),
            ("queue", "release") => which(&words).map(|which| Command::Change(Change::Hold(false), which)),
            ("queue", "remove") => which(&words).map(|which| Command::Change(Change::Remove, which)),
            ("queue", "flush") => which(&words).map(|which| Command::Change(Change::Flush, which)),
            ("spool", "export") => which(&words).map(Command::Export),
            ("spool", "verify") if words.is_empty() => Some(Command::Verify),
            ("spool", "stats") => form(&words).map(Command::Stats),
            _ => None,
        }
    }

    /// The line that [`Command::parse`] reads.
    pub fn line(&self) -> String {
        let form = |form: Form| if form == Form::Json { " json" } else { "" };
        let ids = |ids: &[MessageId]| ids.iter().map(|id| format!(" {id}")).collect::<String>();
        let which = |which: &Which| match which {
            Which::All => format!(" {ALL}"),
            Which::These(these) => ids(these),
        };
        match self {
            Command::List(how) => format!("queue list{}\n", form(*how)),
            Command::Show(how, these) => format!("queue show{}{}\n", form(*how), ids(these)),
            Command::Why(these) => format!("queue why{}\n", ids(these)),
            Command::Change(change, these) => {
                let verb = match change {
                    Change::Hold(true) => "hold",
                    Change::Hold(false) => "release",
                    Change::Remove => "remove",
                    Change::Flush => "flush",
                };
                format!("queue {verb}{}\n", which(these))
            }
            Command::Export(these) => format!("spool export{}\n", which(these)),
            Command::Verify => "spool verify\n".to_owned(),
            Command::Stats(how) => format!("spool stats{}\n", form(*how)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_reads_back() {
        let ids = vec![MessageId(7), MessageId(u64::MAX >> 1)];
        let some = Which::These(ids.clone());
        let all: Vec<Command> = vec![
            Command::List(Form::Text),
            Command::List(Form::Json),
            Command::Show(Form::Text, ids.clone()),
            Command::Show(Form::Json, ids.clone()),
            Command::Why(ids),
            Command::Change(Change::Hold(true), some.clone()),
            Command::Change(Change::Hold(false), Which::All),
            Command::Change(Change::Remove, some.clone()),
            Command::Change(Change::Flush, Which::All),
            Command::Export(some),
            Command::Verify,
            Command::Stats(Form::Json),
        ];
        for command in all {
            assert_eq!(Command::parse(&command.line()), Some(command));
        }
        for line in ["", "queue", "queue remove", "queue remove all", "queue hold 12", "spool verify now", "spool eat"]
        {
            assert_eq!(Command::parse(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_harm(line in "(queue|spool) [a-z]{1,8}( [0-9A-Zl]{0,14}){0,4}.{0,10}") {
            if let Some(command) = Command::parse(&line) {
                prop_assert_eq!(Command::parse(&command.line()), Some(command));
            }
        }
    }
}
