//! A script read into commands and tests (RFC 5228 §3, §4, §5). What is not known is an error, as §2.10.5 asks.

use super::lexer::{Token, Word, words};
use super::vacation::{DAYS, DAYS_MAX, Vacation};
use super::{AddressPart, Command, FOLDER_MAX, How, Matching, NESTING_MAX, Script, SieveError, Test};
use crate::mail::Mailbox;

/// What `require` may name.
const EXTENSIONS: [&str; 6] =
    ["fileinto", "reject", "envelope", "vacation", "comparator-i;octet", "comparator-i;ascii-casemap"];

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its line.
    pub fn parse(text: &str) -> Result<Script, SieveError> {
        let tokens = words(text)?;
        let mut reader = Reader { tokens, at: 0, required: Vec::new() };
        reader.requires()?;
        let commands = reader.commands(0)?;
        match reader.peek() {
            None => Ok(Script(commands)),
            Some(_) => reader.wrong("there is a } too many"),
        }
    }
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    required: Vec<String>,
}

impl Reader {
    fn peek(&self) -> Option<&Word> {
        self.tokens.get(self.at).map(|token| &token.word)
    }

    fn next(&mut self) -> Option<Word> {
        let word = self.peek().cloned();
        self.at += 1;
        word
    }

    fn wrong<T>(&self, what: impl Into<String>) -> Result<T, SieveError> {
        let token = self.tokens.get(self.at.saturating_sub(1)).or(self.tokens.last());
        Err(SieveError { line: token.map_or(1, |token| token.line), what: what.into() })
    }

    fn is(&self, mark: char) -> bool {
        self.peek() == Some(&Word::Mark(mark))
    }

    fn took(&mut self, mark: char) -> bool {
        let is = self.is(mark);
        self.at += usize::from(is);
        is
    }

    fn mark(&mut self, mark: char) -> Result<(), SieveError> {
        match self.took(mark) {
            true => Ok(()),
            false => {
                self.at += 1;
                self.wrong(format!("a {mark} is missing"))
            }
        }
    }

    fn takes_name(&mut self, name: &str) -> bool {
        let is = matches!(self.peek(), Some(Word::Name(own)) if own == name);
        self.at += usize::from(is);
        is
    }

    fn requires(&mut self) -> Result<(), SieveError> {
        while self.takes_name("require") {
            for name in self.texts()? {
                if !EXTENSIONS.contains(&name.as_str()) {
                    return self.wrong(format!("there is no extension {name:?} here"));
                }
                self.required.push(name);
            }
            self.mark(';')?;
        }
        Ok(())
    }

    fn needs(&self, extension: &str) -> Result<(), SieveError> {
        match self.required.iter().any(|name| name == extension) {
            true => Ok(()),
            false => self.wrong(format!("{extension} is used without require")),
        }
    }

    fn commands(&mut self, depth: usize) -> Result<Vec<Command>, SieveError> {
        if depth > NESTING_MAX {
            return self.wrong("blocks are inside each other too deep");
        }
        let mut commands = Vec::new();
        while let Some(word) = self.peek() {
            if *word == Word::Mark('}') {
                break;
            }
            commands.push(self.command(depth)?);
        }
        Ok(commands)
    }

    fn command(&mut self, depth: usize) -> Result<Command, SieveError> {
        let Some(Word::Name(name)) = self.next() else { return self.wrong("a command is missing") };
        let command = match name.as_str() {
            "if" => return self.branches(depth),
            "stop" => Command::Stop,
            "keep" => Command::Keep,
            "discard" => Command::Discard,
            "redirect" => {
                let address = self.text()?;
                match Mailbox::parse(&address) {
                    Ok(_) => Command::Redirect(address),
                    Err(error) => return self.wrong(format!("{address:?}: {error}")),
                }
            }
            "fileinto" => {
                self.needs("fileinto")?;
                let folder = self.text()?;
                if folder.is_empty() || folder.chars().count() > FOLDER_MAX || folder.chars().any(char::is_control) {
                    return self.wrong("this is no name of a folder");
                }
                Command::FileInto(folder)
            }
            "reject" => {
                self.needs("reject")?;
                Command::Reject(self.text()?)
            }
            "vacation" => {
                self.needs("vacation")?;
                Command::Vacation(self.vacation()?)
            }
            "elsif" | "else" => return self.wrong(format!("{name} has no if before it")),
            "require" => return self.wrong("require comes before all other commands"),
            _ => return self.wrong(format!("there is no command {name:?} here")),
        };
        self.mark(';')?;
        Ok(command)
    }

    fn vacation(&mut self) -> Result<Vacation, SieveError> {
        let (mut days, mut subject, mut from, mut addresses, mut handle) = (DAYS, None, None, Vec::new(), None);
        while let Some(Word::Tag(tag)) = self.peek().cloned() {
            self.at += 1;
            match tag.as_str() {
                "days" => match self.next() {
                    // RFC 5230 §4.1: 0 is taken as the least there is.
                    Some(Word::Number(number)) => days = number.clamp(1, DAYS_MAX),
                    _ => return self.wrong(":days wants a number"),
                },
                "subject" => subject = Some(self.text()?),
                "from" => {
                    let text = self.text()?;
                    match Mailbox::parse(&text) {
                        Ok(mailbox) => from = Some(mailbox),
                        Err(error) => return self.wrong(format!("{text:?}: {error}")),
                    }
                }
                "addresses" => addresses = self.texts()?,
                "handle" => handle = Some(self.text()?),
                _ => return self.wrong(format!("there is no :{tag} here")),
            }
        }
        Ok(Vacation { days, subject, from, addresses, handle, reason: self.text()? })
    }

    fn branches(&mut self, depth: usize) -> Result<Command, SieveError> {
        let mut branches = vec![(Some(self.test(depth)?), self.block(depth)?)];
        loop {
            if self.takes_name("elsif") {
                branches.push((Some(self.test(depth)?), self.block(depth)?));
            } else if self.takes_name("else") {
                branches.push((None, self.block(depth)?));
                return Ok(Command::If(branches));
            } else {
                return Ok(Command::If(branches));
            }
        }
    }

    fn block(&mut self, depth: usize) -> Result<Vec<Command>, SieveError> {
        self.mark('{')?;
        let commands = self.commands(depth + 1)?;
        self.mark('}')?;
        Ok(commands)
    }

    fn test(&mut self, depth: usize) -> Result<Test, SieveError> {
        if depth > NESTING_MAX {
            return self.wrong("tests are inside each other too deep");
        }
        let Some(Word::Name(name)) = self.next() else { return self.wrong("a test is missing") };
        Ok(match name.as_str() {
            "true" => Test::True,
            "false" => Test::False,
            "not" => Test::Not(Box::new(self.test(depth + 1)?)),
            "allof" => Test::AllOf(self.tests(depth + 1)?),
            "anyof" => Test::AnyOf(self.tests(depth + 1)?),
            "exists" => Test::Exists(self.texts()?),
            "size" => {
                let over = match self.next() {
                    Some(Word::Tag(tag)) if tag == "over" => true,
                    Some(Word::Tag(tag)) if tag == "under" => false,
                    _ => return self.wrong("size wants :over or :under"),
                };
                match self.next() {
                    Some(Word::Number(octets)) => Test::Size { over, octets },
                    _ => return self.wrong("size wants a number"),
                }
            }
            "header" => {
                let (how, part) = self.tags()?;
                if part.is_some() {
                    return self.wrong("header looks at no parts of addresses");
                }
                Test::Header { how, names: self.texts()?, keys: self.texts()? }
            }
            "address" => {
                let (how, part) = self.tags()?;
                Test::Address { how, part: part.unwrap_or(AddressPart::All), names: self.texts()?, keys: self.texts()? }
            }
            "envelope" => {
                self.needs("envelope")?;
                let (how, part) = self.tags()?;
                Test::Envelope {
                    how,
                    part: part.unwrap_or(AddressPart::All),
                    names: self.texts()?,
                    keys: self.texts()?,
                }
            }
            _ => return self.wrong(format!("there is no test {name:?} here")),
        })
    }

    fn tests(&mut self, depth: usize) -> Result<Vec<Test>, SieveError> {
        self.mark('(')?;
        let mut tests = vec![self.test(depth)?];
        while self.took(',') {
            tests.push(self.test(depth)?);
        }
        self.mark(')')?;
        Ok(tests)
    }

    fn tags(&mut self) -> Result<(How, Option<AddressPart>), SieveError> {
        let (mut how, mut part) = (How { matching: Matching::Is, octets: false }, None);
        while let Some(Word::Tag(tag)) = self.peek().cloned() {
            self.at += 1;
            match tag.as_str() {
                "is" => how.matching = Matching::Is,
                "contains" => how.matching = Matching::Contains,
                "matches" => how.matching = Matching::Matches,
                "all" => part = Some(AddressPart::All),
                "localpart" => part = Some(AddressPart::Local),
                "domain" => part = Some(AddressPart::Domain),
                "comparator" => match self.text()?.as_str() {
                    "i;octet" => how.octets = true,
                    "i;ascii-casemap" => how.octets = false,
                    other => return self.wrong(format!("there is no comparator {other:?} here")),
                },
                _ => return self.wrong(format!("there is no :{tag} here")),
            }
        }
        Ok((how, part))
    }

    fn text(&mut self) -> Result<String, SieveError> {
        match self.next() {
            Some(Word::Text(text)) => Ok(text),
            _ => self.wrong("a string is missing"),
        }
    }

    fn texts(&mut self) -> Result<Vec<String>, SieveError> {
        if !self.took('[') {
            return Ok(vec![self.text()?]);
        }
        let mut texts = vec![self.text()?];
        while self.took(',') {
            texts.push(self.text()?);
        }
        self.mark(']')?;
        Ok(texts)
    }
}
