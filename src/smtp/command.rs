//! Commands as a client sends them (RFC 5321 §4.1.1).

use crate::mail::octets::has_control;

/// The commands that are known, of SMTP and LMTP alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// RFC 5321 §4.1.1.1.
    Helo,
    /// RFC 5321 §4.1.1.1.
    Ehlo,
    /// RFC 2033 §4.1.
    Lhlo,
    /// RFC 5321 §4.1.1.2.
    Mail,
    /// RFC 5321 §4.1.1.3.
    Rcpt,
    /// RFC 5321 §4.1.1.4.
    Data,
    /// RFC 3030 §2.
    Bdat,
    /// RFC 5321 §4.1.1.5.
    Rset,
    /// RFC 5321 §4.1.1.9.
    Noop,
    /// RFC 5321 §4.1.1.6.
    Vrfy,
    /// RFC 5321 §4.1.1.7.
    Expn,
    /// RFC 5321 §4.1.1.8.
    Help,
    /// RFC 5321 §4.1.1.10.
    Quit,
    /// RFC 3207.
    StartTls,
    /// RFC 4954.
    Auth,
}

impl Verb {
    /// Every command, in the order of this list.
    pub const ALL: [Verb; 15] = [
        Verb::Helo,
        Verb::Ehlo,
        Verb::Lhlo,
        Verb::Mail,
        Verb::Rcpt,
        Verb::Data,
        Verb::Bdat,
        Verb::Rset,
        Verb::Noop,
        Verb::Vrfy,
        Verb::Expn,
        Verb::Help,
        Verb::Quit,
        Verb::StartTls,
        Verb::Auth,
    ];

    /// The word, in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Verb::Helo => "HELO",
            Verb::Ehlo => "EHLO",
            Verb::Lhlo => "LHLO",
            Verb::Mail => "MAIL",
            Verb::Rcpt => "RCPT",
            Verb::Data => "DATA",
            Verb::Bdat => "BDAT",
            Verb::Rset => "RSET",
            Verb::Noop => "NOOP",
            Verb::Vrfy => "VRFY",
            Verb::Expn => "EXPN",
            Verb::Help => "HELP",
            Verb::Quit => "QUIT",
            Verb::StartTls => "STARTTLS",
            Verb::Auth => "AUTH",
        }
    }

    fn named(word: &[u8]) -> Option<Verb> {
        let key = (word.len() <= LONGEST).then(|| key(word))?;
        let place = KEYS.iter().position(|known| *known == key)?;
        Verb::ALL.get(place).copied().filter(|verb| verb.name().len() == word.len())
    }
}

/// Octets of the longest command.
const LONGEST: usize = 8;

/// A word in capitals as one number, which for so few octets tells it from all others of its length.
const fn key(word: &[u8]) -> u64 {
    let (mut key, mut place) = (0, 0);
    while place < word.len() {
        key = key << 8 | word[place].to_ascii_uppercase() as u64;
        place += 1;
    }
    key
}

/// The keys of all commands, in their order.
static KEYS: [u64; Verb::ALL.len()] = {
    let (mut keys, mut place) = ([0; Verb::ALL.len()], 0);
    while place < keys.len() {
        keys[place] = key(Verb::ALL[place].name().as_bytes());
        place += 1;
    }
    keys
};

/// A command: its verb, and its argument without spaces at the end. The argument is text without control characters;
/// what it must look like is for the command to say, after the order of commands was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// Which command it is.
    pub verb: Verb,
    /// What follows the verb and one space.
    pub argument: &'a str,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError<'a> {
    /// There is nothing on it.
    Empty,
    /// Its first word is no command; the word, as it was received.
    Unknown(&'a [u8]),
    /// The argument is not UTF-8 or holds control characters.
    Argument(Verb),
}

impl<'a> Command<'a> {
    /// Reads a line without its CR LF. White space around it is let pass.
    pub fn parse(line: &'a [u8]) -> Result<Command<'a>, CommandError<'a>> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Err(CommandError::Empty);
        }
        let mut words = line.splitn(2, |byte| *byte == b' ');
        let word = words.next().unwrap_or_default();
        let verb = Verb::named(word).ok_or(CommandError::Unknown(word))?;
        match std::str::from_utf8(words.next().unwrap_or_default()) {
            Ok(argument) if !has_control(argument) => Ok(Command { verb, argument }),
            _ => Err(CommandError::Argument(verb)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        let command = |verb, argument| Ok(Command { verb, argument });
        assert_eq!(Command::parse(b"NOOP"), command(Verb::Noop, ""));
        assert_eq!(Command::parse(b" ehlo  a \t"), command(Verb::Ehlo, " a"));
        assert_eq!(Command::parse("MAIL FROM:<é@b>".as_bytes()), command(Verb::Mail, "FROM:<é@b>"));
        for verb in Verb::ALL {
            assert_eq!(Command::parse(verb.name().to_lowercase().as_bytes()), command(verb, ""));
        }
    }

    #[test]
    fn what_is_no_command() {
        assert_eq!(Command::parse(b""), Err(CommandError::Empty));
        assert_eq!(Command::parse(b" \t "), Err(CommandError::Empty));
        assert_eq!(Command::parse(b"\0NOOP"), Err(CommandError::Unknown(b"\0NOOP")));
        assert_eq!(Command::parse(b"M\xc1IL"), Err(CommandError::Unknown(b"M\xc1IL")));
        assert_eq!(Command::parse(b"\x01STARTTLS"), Err(CommandError::Unknown(b"\x01STARTTLS")));
        assert_eq!(Command::parse(b"XSTARTTLS now"), Err(CommandError::Unknown(b"XSTARTTLS")));
        assert_eq!(Command::parse(b"MAIL\tFROM:<a@b>"), Err(CommandError::Unknown(b"MAIL\tFROM:<a@b>")));
        assert_eq!(Command::parse(b"\0\xff"), Err(CommandError::Unknown(b"\0\xff")));
        assert_eq!(Command::parse(b"NOOP a\0b"), Err(CommandError::Argument(Verb::Noop)));
        assert_eq!(Command::parse(b"RCPT TO:<\xe9@b>"), Err(CommandError::Argument(Verb::Rcpt)));
        assert_eq!(Command::parse("HELO a\u{85}b".as_bytes()), Err(CommandError::Argument(Verb::Helo)));
    }
}
