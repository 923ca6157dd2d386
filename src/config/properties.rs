//! A file of `key=value` lines as Java reads them, as a tree of one level in which every key knows its line and column.

use super::problem::Problem;
use super::xml::{Broken, Cursor, Element, File, Format, NODES_MAX, Position, decode};

/// Reads the octets of the file `path`.
///
/// # Errors
///
/// Octets that are no text, an escape that is none, or too many keys.
pub fn parse(path: &str, octets: &[u8]) -> Result<File, Box<Problem>> {
    let source = decode(octets).map_err(|broken| broken.into_problem(path, &String::from_utf8_lossy(octets)))?;
    match entries(source) {
        Ok(children) => {
            let start = Position { line: 1, column: 1 };
            let (name, attributes, text) = (String::new(), Vec::new(), String::new());
            let root = Element { name, attributes, children, text, position: start, text_position: start };
            Ok(File { path: path.to_owned(), root, source: source.to_owned(), format: Format::Properties })
        }
        Err(broken) => Err(broken.into_problem(path, source)),
    }
}

fn entries(source: &str) -> Result<Vec<Element>, Broken> {
    let mut cursor = Cursor::new(source);
    let mut entries = Vec::new();
    let mut lines = Lines { source, offset: 0 };
    while let Some(line) = lines.next_logical() {
        if entries.len() >= NODES_MAX {
            return Err(Broken::new(
                line.offset(0),
                "there are too many keys",
                format!("at most {NODES_MAX} are read"),
            ));
        }
        let (key_end, value_start) = line.split();
        let (name, value) = (line.unescaped(0, key_end)?, line.unescaped(value_start, line.octets.len())?);
        let position = cursor.position(line.offset(0));
        let text_position = match value.is_empty() {
            true => position,
            false => cursor.position(line.offset(value_start)),
        };
        let (attributes, children) = (Vec::new(), Vec::new());
        let text = value.trim_end().to_owned();
        entries.push(Element { name, attributes, children, text, position, text_position });
    }
    Ok(entries)
}

/// A line with those that continue it: its characters, and where each stands in the file.
#[derive(Default)]
struct Logical {
    octets: Vec<(usize, char)>,
}

struct Lines<'a> {
    source: &'a str,
    offset: usize,
}

impl<'a> Lines<'a> {
    /// The next line as it stands, without its end, and where it begins.
    fn next_natural(&mut self) -> Option<(usize, &'a str)> {
        let rest = self.source.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let start = self.offset;
        let line = rest.split('\n').next().unwrap_or_default();
        self.offset += line.len() + 1;
        Some((start, line.trim_end_matches('\r')))
    }

    /// The next line that says something, joined with those that a backslash at the end makes part of it.
    fn next_logical(&mut self) -> Option<Logical> {
        let (mut start, mut line) = loop {
            let (start, line) = self.next_natural()?;
            let text = line.trim_start();
            if !text.is_empty() && !text.starts_with(['#', '!']) {
                break (start + line.len() - text.len(), text);
            }
        };
        let mut logical = Logical::default();
        loop {
            let continued = line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1;
            let kept = if continued { line.strip_suffix('\\').unwrap_or(line) } else { line };
            logical.octets.extend(kept.char_indices().map(|(at, c)| (start + at, c)));
            match (continued, self.next_natural()) {
                (true, Some((next, text))) => {
                    line = text.trim_start();
                    start = next + text.len() - line.len();
                }
                (true, None) => return Some(logical),
                (false, next) => {
                    // A natural line that does not belong to this one is read again.
                    if let Some((next, _)) = next {
                        self.offset = next;
                    }
                    return Some(logical);
                }
            }
        }
    }
}

impl Logical {
    fn offset(&self, at: usize) -> usize {
        self.octets.get(at).or(self.octets.last()).map_or(0, |(offset, _)| *offset)
    }

    fn char(&self, at: usize) -> Option<char> {
        self.octets.get(at).map(|(_, c)| *c)
    }

    /// Where the key ends and the value begins: at the first `=`, `:` or blank that no backslash escapes.
    fn split(&self) -> (usize, usize) {
        let mut end = 0;
        while let Some(c) = self.char(end).filter(|c| !is_separator(*c)) {
            end += if c == '\\' { 2 } else { 1 };
        }
        let end = end.min(self.octets.len());
        let mut value = end;
        let mut separators = 0;
        while let Some(c) = self.char(value).filter(|c| is_separator(*c)) {
            separators += usize::from(!is_blank(c));
            if separators > 1 {
                break;
            }
            value += 1;
        }
        (end, value)
    }

    /// What a part of the line says, escapes replaced.
    fn unescaped(&self, from: usize, to: usize) -> Result<String, Broken> {
        let mut text = String::new();
        let mut at = from;
        while let Some(c) = self.char(at).filter(|_| at < to) {
            at += 1;
            if c != '\\' {
                text.push(c);
                continue;
            }
            match self.char(at).filter(|_| at < to) {
                Some('u') => {
                    text.push(self.code(at + 1)?);
                    at += 4;
                }
                Some('t') => text.push('\t'),
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('f') => text.push('\u{c}'),
                Some(other) => text.push(other),
                None => {}
            }
            at += 1;
        }
        Ok(text)
    }

    /// The character of four hexadecimal digits.
    fn code(&self, at: usize) -> Result<char, Broken> {
        let digits: Option<String> = (at..at + 4).map(|at| self.char(at)).collect();
        let code = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = code.and_then(|digits| u32::from_str_radix(&digits, 16).ok());
        code.and_then(char::from_u32).ok_or_else(|| {
            Broken::new(self.offset(at.saturating_sub(2)), "this escape is no character", "write \\u and four digits")
        })
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn is_separator(c: char) -> bool {
    is_blank(c) || matches!(c, '=' | ':')
}
