//! What an operator may change or list, and how it travels over the control socket: one line, words parted by TAB.

use super::record::Record;
use crate::directory::{Kind, Mapping, Source};
use crate::mail::{Domain, Username};

/// Octets of a command's line.
pub const LINE_OCTETS: usize = 16 * 1024;

/// What the line begins with.
const WORD: &str = "directory";

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A new user, with a password or without one.
    AddUser(Username, Option<Record>),
    /// Another password for a user.
    SetPassword(Username, Record),
    /// No such user any more.
    RemoveUser(Username),
    /// All users.
    ListUsers,
    /// A new domain of ours.
    AddDomain(Domain),
    /// No such domain any more.
    RemoveDomain(Domain),
    /// All domains.
    ListDomains,
    /// A new entry of the rewrite table.
    AddMapping(Source, Mapping),
    /// No such entry any more.
    RemoveMapping(Source, Mapping),
    /// The whole rewrite table.
    ListMappings,
}

impl Command {
    /// Whether it may change something.
    pub fn changes(&self) -> bool {
        !matches!(self, Command::ListUsers | Command::ListDomains | Command::ListMappings)
    }

    /// The line that asks for it, with its LF.
    pub fn line(&self) -> String {
        let of = |verb: &str, rest: Vec<String>| [vec![WORD.to_owned(), verb.to_owned()], rest].concat();
        let mapping = |verb, source: &Source, mapping: &Mapping| {
            of(verb, vec![source.to_string(), mapping.kind().name().to_owned(), mapping.text().to_owned()])
        };
        let words = match self {
            Command::AddUser(user, record) => {
                let record = record.as_ref().map(Record::words).unwrap_or_default();
                of("add-user", [vec![user.to_string()], record].concat())
            }
            Command::SetPassword(user, record) => of("set-password", [vec![user.to_string()], record.words()].concat()),
            Command::RemoveUser(user) => of("remove-user", vec![user.to_string()]),
            Command::ListUsers => of("list-users", Vec::new()),
            Command::AddDomain(domain) => of("add-domain", vec![domain.to_string()]),
            Command::RemoveDomain(domain) => of("remove-domain", vec![domain.to_string()]),
            Command::ListDomains => of("list-domains", Vec::new()),
            Command::AddMapping(source, target) => mapping("add-mapping", source, target),
            Command::RemoveMapping(source, target) => mapping("remove-mapping", source, target),
            Command::ListMappings => of("list-mappings", Vec::new()),
        };
        join(&words)
    }

    /// Reads such a line.
    pub fn parse(line: &str) -> Option<Command> {
        let words = split(line)?;
        let (WORD, verb, rest) = (words.first()?.as_str(), words.get(1)?.as_str(), words.get(2..)?) else {
            return None;
        };
        let user = |text: &String| Username::parse(text).ok();
        let mapping = |source: &str, kind: &str, target: &str| {
            let (source, mapping) =
                (Source::parse(source).ok()?, Mapping::new(kind.parse::<Kind>().ok()?, target).ok()?);
            source.takes(mapping.kind()).ok().map(|()| (source, mapping))
        };
        Some(match (verb, rest) {
            ("add-user", [name]) => Command::AddUser(user(name)?, None),
            ("add-user", [name, record @ ..]) => Command::AddUser(user(name)?, Some(Record::from_words(record)?)),
            ("set-password", [name, record @ ..]) => Command::SetPassword(user(name)?, Record::from_words(record)?),
            ("remove-user", [name]) => Command::RemoveUser(user(name)?),
            ("list-users", []) => Command::ListUsers,
            ("add-domain", [domain]) => Command::AddDomain(Domain::parse(domain).ok()?),
            ("remove-domain", [domain]) => Command::RemoveDomain(Domain::parse(domain).ok()?),
            ("list-domains", []) => Command::ListDomains,
            ("add-mapping", [source, kind, target]) => {
                let (source, mapping) = mapping(source, kind, target)?;
                Command::AddMapping(source, mapping)
            }
            ("remove-mapping", [source, kind, target]) => {
                let (source, mapping) = mapping(source, kind, target)?;
                Command::RemoveMapping(source, mapping)
            }
            ("list-mappings", []) => Command::ListMappings,
            _ => return None,
        })
    }
}

/// Whether a line of the control socket is meant for the directory.
pub fn is_for_directory(line: &str) -> bool {
    line.strip_prefix(WORD).is_some_and(|rest| rest.starts_with('\t'))
}

/// What came of a command: the rows of a list, or why it was not done.
pub type Outcome = Result<Vec<Vec<String>>, String>;

/// An outcome as it is answered: a line for each row, then `ok` or `error` and why.
pub fn write_outcome(outcome: &Outcome) -> String {
    match outcome {
        Ok(rows) => rows.iter().map(|row| "row\t".to_owned() + &join(row)).collect::<String>() + "ok\n",
        Err(why) => join(&["error".to_owned(), why.clone()]),
    }
}

/// One line of such an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// A row; more follows.
    Row(Vec<String>),
    /// The end of the answer.
    End(Result<(), String>),
}

/// Reads a line of an answer.
pub fn read_answer(line: &str) -> Option<Answered> {
    let mut words = split(line)?;
    match words.first()?.as_str() {
        "row" => Some(Answered::Row(words.split_off(1))),
        "ok" if words.len() == 1 => Some(Answered::End(Ok(()))),
        "error" => Some(Answered::End(Err(words.get(1).cloned().unwrap_or_default()))),
        _ => None,
    }
}

fn join(words: &[String]) -> String {
    let escaped =
        |word: &String| word.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r");
    words.iter().map(escaped).collect::<Vec<_>>().join("\t") + "\n"
}

fn split(line: &str) -> Option<Vec<String>> {
    line.strip_suffix('\n').unwrap_or(line).split('\t').map(unescaped).collect()
}

fn unescaped(word: &str) -> Option<String> {
    let mut text = String::with_capacity(word.len());
    let mut characters = word.chars();
    while let Some(c) = characters.next() {
        text.push(match c {
            '\\' => match characters.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '\\' => '\\',
                _ => return None,
            },
            c => c,
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_travel_as_lines() {
        let (user, domain) = (Username::parse("you@x").expect("a name"), Domain::parse("x").expect("a domain"));
        let record = Record::from_words(&["MD5/plain".to_owned(), "AAAA".to_owned()]).expect("a record");
        let source = Source::parse("a@x").expect("a source");
        let mapping = Mapping::parse("regex:(a)\t\\w+@x:${1}@x").expect("a mapping");
        for command in [
            Command::AddUser(user.clone(), None),
            Command::AddUser(user.clone(), Some(record.clone())),
            Command::SetPassword(user.clone(), record),
            Command::RemoveUser(user),
            Command::ListUsers,
            Command::AddDomain(domain.clone()),
            Command::RemoveDomain(domain),
            Command::ListDomains,
            Command::AddMapping(source.clone(), mapping.clone()),
            Command::RemoveMapping(source, mapping),
            Command::ListMappings,
        ] {
            let line = command.line();
            assert!(is_for_directory(&line) && line.ends_with('\n') && line.matches('\n').count() == 1, "{line:?}");
            assert_eq!(Command::parse(&line), Some(command));
        }
        for line in
            ["", "directory", "directory\tadd-user", "directory\tlist-users\tx", "directory\tadd-user\ta/b", "status"]
        {
            assert_eq!(Command::parse(line), None, "{line:?}");
        }
        assert!(!is_for_directory("directory") && !is_for_directory("status\tjson"));
        let of_address = "directory\tadd-mapping\ta@x\tdomain\ty\n";
        assert_eq!(Command::parse(of_address), None, "domain mappings are of domains");
    }

    #[test]
    fn outcomes_travel_as_lines() {
        let rows = vec![vec!["a\tb".to_owned(), String::new()], vec!["c".to_owned()]];
        let text = write_outcome(&Ok(rows.clone()));
        let lines: Vec<_> = text.lines().map(|line| read_answer(line).expect("a line of an answer")).collect();
        let [first, second] = rows.try_into().expect("two");
        assert_eq!(lines, [Answered::Row(first), Answered::Row(second), Answered::End(Ok(()))]);
        let text = write_outcome(&Err("two\nlines".to_owned()));
        assert_eq!(read_answer(&text), Some(Answered::End(Err("two\nlines".to_owned()))));
        assert_eq!(read_answer("nonsense"), None);
    }

    proptest! {
        #[test]
        fn words_are_split_as_they_were_joined(words in prop::collection::vec(".{0,8}|[\\\\\t\r\n]{0,4}", 1..5)) {
            prop_assert_eq!(split(&join(&words)), Some(words));
        }

        #[test]
        fn any_line_is_read_or_refused(line in ".{0,60}|directory\t(add|remove)-(user|domain|mapping)(\t[a-z@:.\\\\]{0,9}){0,6}") {
            if let Some(command) = Command::parse(&line) {
                prop_assert_eq!(Command::parse(&command.line()), Some(command));
            }
        }
    }
}
