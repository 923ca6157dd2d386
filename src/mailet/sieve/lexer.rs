//! The words of a script (RFC 5228 §2, §8.1).

use super::{SCRIPT_MAX, SieveError, TOKENS_MAX};

/// A word, and the line it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// From 1.
    pub line: usize,
    /// The word.
    pub word: Word,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A name, in lower case.
    Name(String),
    /// `:name`, in lower case and without the colon.
    Tag(String),
    /// A number, its unit counted in.
    Number(u64),
    /// A string, quoted or over several lines.
    Text(String),
    /// One of `( ) { } [ ] , ;`.
    Mark(char),
}

/// The words of a script.
///
/// # Errors
///
/// The first thing that is none, and what is above a bound.
pub fn words(script: &str) -> Result<Vec<Token>, SieveError> {
    if script.len() > SCRIPT_MAX {
        return Err(SieveError { line: 1, what: format!("the script is longer than {SCRIPT_MAX} octets") });
    }
    let mut lexer = Lexer { rest: script, line: 1 };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        if tokens.len() >= TOKENS_MAX {
            return Err(SieveError { line: token.line, what: format!("the script has more than {TOKENS_MAX} words") });
        }
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl Lexer<'_> {
    fn wrong<T>(&self, what: impl Into<String>) -> Result<T, SieveError> {
        Err(SieveError { line: self.line, what: what.into() })
    }

    /// Goes on by so many octets, which end at a character.
    fn take(&mut self, octets: usize) -> &str {
        let (taken, rest) = self.rest.split_at_checked(octets).unwrap_or((self.rest, ""));
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn next(&mut self) -> Result<Option<Token>, SieveError> {
        self.skip()?;
        let line = self.line;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let word = match first {
            '(' | ')' | '{' | '}' | '[' | ']' | ',' | ';' => {
                self.take(1);
                Word::Mark(first)
            }
            '"' => Word::Text(self.quoted()?),
            ':' => {
                self.take(1);
                Word::Tag(self.name()?)
            }
            '0'..='9' => Word::Number(self.number()?),
            _ => {
                let name = self.name()?;
                match name == "text" && self.rest.starts_with(':') {
                    true => Word::Text(self.lines()?),
                    false => Word::Name(name),
                }
            }
        };
        Ok(Some(Token { line, word }))
    }

    /// Goes past blanks and comments.
    fn skip(&mut self) -> Result<(), SieveError> {
        loop {
            let blanks = self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            self.take(blanks);
            if self.rest.starts_with('#') {
                self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                match self.rest.find("*/") {
                    Some(end) => self.take(end + 2),
                    None => return self.wrong("a comment does not end"),
                };
            } else {
                return Ok(());
            }
        }
    }

    fn name(&mut self) -> Result<String, SieveError> {
        let length = self.rest.bytes().take_while(|octet| octet.is_ascii_alphanumeric() || *octet == b'_').count();
        let begins = self.rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if length == 0 || !begins {
            let found: String = self.rest.chars().take(1).collect();
            return self.wrong(format!("{found:?} is no word of the language"));
        }
        Ok(self.take(length).to_ascii_lowercase())
    }

    fn number(&mut self) -> Result<u64, SieveError> {
        let length = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let digits = self.take(length).parse::<u64>().ok();
        let unit = match self.rest.chars().next() {
            Some('k' | 'K') => 1 << 10,
            Some('m' | 'M') => 1 << 20,
            Some('g' | 'G') => 1 << 30,
            _ => 1,
        };
        if unit > 1 {
            self.take(1);
        }
        match digits.and_then(|number| number.checked_mul(unit)) {
            Some(number) => Ok(number),
            None => self.wrong("the number is too large"),
        }
    }

    fn quoted(&mut self) -> Result<String, SieveError> {
        self.take(1);
        let mut text = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.take(at + 1);
                    return Ok(text);
                }
                '\\' => text.extend(characters.next().map(|(_, c)| c)),
                c => text.push(c),
            }
        }
        self.wrong("a string does not end")
    }

    /// `text:` and what follows, to the line that is a dot (RFC 5228 §2.4.2).
    fn lines(&mut self) -> Result<String, SieveError> {
        let first = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        let head = self.take(first).trim_start_matches(':').trim().to_owned();
        if !head.is_empty() && !head.starts_with('#') {
            return self.wrong("the text begins in the line after text:");
        }
        let mut text = String::new();
        while !self.rest.is_empty() {
            let length = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
            let line = self.take(length).trim_end_matches(['\r', '\n']).to_owned();
            if line == "." {
                return Ok(text);
            }
            text.push_str(if line.starts_with("..") { line.get(1..).unwrap_or_default() } else { &line });
            text.push_str("\r\n");
        }
        self.wrong("a text does not end")
    }
}
