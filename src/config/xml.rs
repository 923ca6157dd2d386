//! A file of the configuration as a tree in which every element and attribute knows its line and column.
//!
//! Bounded and total: any bytes give a tree or one problem. No DTD and no entity but the five predefined ones is read, so
//! a file can neither grow nor reach outside itself.

use std::fmt;

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::attributes::AttrError;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};

use super::problem::{Problem, Severity, shown};

/// Octets of a file that are read at most.
pub const OCTETS_MAX: usize = 4 << 20;

/// Elements inside each other that are read at most.
pub const DEPTH_MAX: usize = 64;

/// Elements and attributes of a file that are read at most.
pub const NODES_MAX: usize = 100_000;

/// A place in a file. Ordered as one reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The character of the line, from 1; a tab is one.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// `name="value"` in a start tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The name, with its prefix where it has one.
    pub name: String,
    /// The value, references replaced, trimmed.
    pub value: String,
    /// Where its name begins.
    pub position: Position,
}

/// An element with all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The name, with its prefix where it has one.
    pub name: String,
    /// In the order they were written.
    pub attributes: Vec<Attribute>,
    /// The elements directly in it, in the order they were written.
    pub children: Vec<Element>,
    /// The text directly in it, references replaced, trimmed.
    pub text: String,
    /// Where its `<` stands.
    pub position: Position,
    /// Where its text begins, or its `<` where it has none.
    pub text_position: Position,
}

impl Element {
    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// How it was reached.
    pub path: String,
    /// The outermost element.
    pub root: Element,
    /// The whole text, without byte order mark.
    pub source: String,
    /// How it is written.
    pub format: Format,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// XML.
    Xml,
    /// `key=value` lines, as Java has them; every key is an element in the outermost one.
    Properties,
}

impl File {
    /// Reads the octets of the file `path`.
    ///
    /// # Errors
    ///
    /// The first thing that is no well-formed XML, or above a limit.
    pub fn parse(path: &str, octets: &[u8]) -> Result<File, Box<Problem>> {
        let source = decode(octets).map_err(|broken| broken.into_problem(path, &String::from_utf8_lossy(octets)))?;
        match build(source) {
            Ok(root) => Ok(File { path: path.to_owned(), root, source: source.to_owned(), format: Format::Xml }),
            Err(broken) => Err(broken.into_problem(path, source)),
        }
    }

    /// The text of a line, counted from 1, without its line end; empty where there is no such line.
    pub fn line(&self, number: u32) -> &str {
        line(&self.source, number)
    }

    /// Where the text stands at a place or after it; the place itself where it does not stand as it is.
    pub fn find(&self, from: Position, text: &str) -> Position {
        let lines = self.source.split('\n').zip(1u32..).skip((from.line as usize).saturating_sub(1));
        for (line, number) in lines {
            let before = if number == from.line { (from.column as usize).saturating_sub(1) } else { 0 };
            let start = line.char_indices().nth(before).map_or(line.len(), |(at, _)| at);
            let rest = line.get(start..).unwrap_or_default();
            if let Some((between, _)) = rest.split_once(text) {
                let column = before + between.chars().count() + 1;
                return Position { line: number, column: u32::try_from(column).unwrap_or(u32::MAX) };
            }
        }
        from
    }
}

fn line(source: &str, number: u32) -> &str {
    let index = (number as usize).saturating_sub(1);
    source.split('\n').nth(index).unwrap_or_default().trim_end_matches('\r')
}

/// Why a file cannot be read.
pub(super) struct Broken {
    offset: usize,
    found: String,
    expected: String,
}

impl Broken {
    pub(super) fn new(offset: usize, found: impl Into<String>, expected: impl Into<String>) -> Broken {
        Broken { offset, found: found.into(), expected: expected.into() }
    }

    pub(super) fn into_problem(self, path: &str, source: &str) -> Box<Problem> {
        let position = Cursor::new(source).position(self.offset);
        Box::new(Problem {
            severity: Severity::Error,
            file: path.to_owned(),
            position: Some(position),
            found: self.found,
            advice: self.expected,
            line: shown(line(source, position.line)),
        })
    }
}

/// Turns offsets into positions; offsets that only grow cost one pass over the text.
pub(super) struct Cursor<'a> {
    source: &'a str,
    offset: usize,
    position: Position,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a str) -> Cursor<'a> {
        Cursor { source, offset: 0, position: Position { line: 1, column: 1 } }
    }

    pub(super) fn position(&mut self, offset: usize) -> Position {
        if offset < self.offset {
            *self = Cursor::new(self.source);
        }
        for c in self.source.get(self.offset..).unwrap_or_default().chars() {
            if self.offset >= offset {
                break;
            }
            self.offset += c.len_utf8();
            self.position = match c {
                '\n' => Position { line: self.position.line + 1, column: 1 },
                _ => Position { column: self.position.column + 1, ..self.position },
            };
        }
        self.position
    }
}

/// The text of a file: UTF-8 of bearable size without characters that XML forbids.
pub(super) fn decode(octets: &[u8]) -> Result<&str, Broken> {
    if octets.len() > OCTETS_MAX {
        let found = format!("the file has {} octets", octets.len());
        return Err(Broken::new(0, found, format!("at most {OCTETS_MAX} are read")));
    }
    let text = std::str::from_utf8(octets).map_err(|error| {
        Broken::new(error.valid_up_to(), "these octets are no UTF-8", "save the file in UTF-8 (iconv -t UTF-8)")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.char_indices().find(|(_, c)| !is_xml_char(*c)) {
        Some((offset, c)) => Err(Broken::new(offset, format!("found the character U+{:04X}", c as u32), NOT_IN_XML)),
        None => Ok(text),
    }
}

const NOT_IN_XML: &str = "XML does not allow it; remove it";

/// The characters of XML 1.0 §2.2.
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn build(source: &str) -> Result<Element, Broken> {
    let mut reader = Reader::from_str(source);
    // Which end tag belongs to which start tag is our own stack's to say: it knows the positions of both.
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    let mut tree = Tree { source, cursor: Cursor::new(source), open: Vec::new(), root: None, nodes: 0 };
    loop {
        let at = offset(reader.buffer_position());
        match reader.read_event() {
            Ok(Event::Eof) => return tree.finish(),
            Ok(event) => tree.take(at, &event)?,
            Err(error) => return Err(syntax(offset(reader.error_position()), &error)),
        }
    }
}

fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// What the tokenizer did not understand, in words of our own.
fn syntax(at: usize, error: &quick_xml::Error) -> Broken {
    use quick_xml::errors::{IllFormedError, SyntaxError};
    let (found, expected) = match error {
        quick_xml::Error::Syntax(SyntaxError::UnclosedComment) => ("this comment has no end", "close it with `-->`"),
        quick_xml::Error::Syntax(SyntaxError::UnclosedCData) => {
            ("this CDATA section has no end", "close it with `]]>`")
        }
        quick_xml::Error::Syntax(SyntaxError::UnclosedPI | SyntaxError::UnclosedXmlDecl) => {
            ("this `<?` has no end", "close it with `?>`")
        }
        quick_xml::Error::Syntax(SyntaxError::UnclosedTag) => ("this tag has no end", "close it with `>`"),
        quick_xml::Error::Syntax(
            SyntaxError::UnclosedSingleQuotedAttributeValue | SyntaxError::UnclosedDoubleQuotedAttributeValue,
        ) => ("a quoted value in this tag has no end", "close it with the quote that it began with"),
        quick_xml::Error::Syntax(SyntaxError::UnclosedDoctype)
        | quick_xml::Error::IllFormed(IllFormedError::MissingDoctypeName) => (DTD_FOUND, DTD_ADVICE),
        quick_xml::Error::IllFormed(IllFormedError::UnclosedReference) => (BARE_AMPERSAND, "write it as `&amp;`"),
        other => return Broken::new(at, format!("this is no XML ({other})"), "compare it with the shipped file"),
    };
    Broken::new(at, found, expected)
}

const DTD_FOUND: &str = "found a document type declaration";
const DTD_ADVICE: &str = "none is read, for it could name other files; remove it";
const BARE_AMPERSAND: &str = "found an `&` that begins no reference";

/// The tree while it grows.
struct Tree<'a> {
    source: &'a str,
    cursor: Cursor<'a>,
    open: Vec<Element>,
    root: Option<Element>,
    nodes: usize,
}

impl Tree<'_> {
    fn take(&mut self, at: usize, event: &Event<'_>) -> Result<(), Broken> {
        match event {
            Event::Start(tag) => self.start(at, tag),
            Event::Empty(tag) => {
                self.start(at, tag)?;
                self.close();
                Ok(())
            }
            Event::End(tag) => self.end(at, tag.name().into_inner()),
            Event::Text(text) if text.contains("]]>") => {
                Err(Broken::new(at, "found `]]>` in text", "write it as `]]&gt;`"))
            }
            Event::Text(text) => self.text(at, &text.xml10_content()),
            Event::CData(text) => self.text(at, &text.xml10_content()),
            Event::GeneralRef(reference) => self.reference(at, reference),
            Event::Comment(text) if text.contains("--") || text.ends_with('-') => Err(Broken::new(
                at,
                "this comment has `--` in it",
                "XML forbids that; write `- -`, or close it with `-->`",
            )),
            Event::DocType(_) => Err(Broken::new(at, DTD_FOUND, DTD_ADVICE)),
            Event::Decl(declaration) => self.declaration(at, declaration),
            Event::Comment(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    fn declaration(&self, at: usize, declaration: &BytesDecl<'_>) -> Result<(), Broken> {
        if at != 0 {
            return Err(Broken::new(at, "found `<?xml` here", "it may stand only at the very start of the file"));
        }
        let encoding = match declaration.encoding() {
            Some(Ok(encoding)) => encoding.into_owned(),
            Some(Err(error)) => return Err(Broken::new(at, format!("`<?xml` is broken ({error})"), DECLARATION)),
            None => return Ok(()),
        };
        // ASCII reads the same in nearly every encoding, so only a text beyond it can be misread.
        if self.source.is_ascii() || ["UTF-8", "UTF8"].contains(&encoding.to_ascii_uppercase().as_str()) {
            return Ok(());
        }
        Err(Broken::new(
            at,
            format!("the encoding is declared as {encoding:?}"),
            "save the file in UTF-8 and declare that",
        ))
    }

    fn start(&mut self, at: usize, tag: &BytesStart<'_>) -> Result<(), Broken> {
        let content: &str = tag;
        if let Some(inner) = content.find('<') {
            return Err(Broken::new(
                at + 1 + inner,
                "found `<` inside a tag",
                "close the tag with `>`, or write `&lt;`",
            ));
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err(Broken::new(
                at,
                "found a second outermost element",
                "a file has one, and nothing but comments after it",
            ));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(Broken::new(at, "elements are nested too deep", format!("at most {DEPTH_MAX} are read")));
        }
        let name = checked_name(at, at + 1, tag.name().into_inner())?;
        self.count(at)?;
        let position = self.cursor.position(at);
        let attributes = self.attributes(at + 1, tag)?;
        let (children, text) = (Vec::new(), String::new());
        self.open.push(Element { name, attributes, children, text, position, text_position: position });
        Ok(())
    }

    fn count(&mut self, at: usize) -> Result<(), Broken> {
        self.nodes += 1;
        match self.nodes > NODES_MAX {
            true => Err(Broken::new(at, "there are too many elements", format!("at most {NODES_MAX} are read"))),
            false => Ok(()),
        }
    }

    /// The attributes of a tag whose content begins at `base`.
    fn attributes(&mut self, base: usize, tag: &BytesStart<'_>) -> Result<Vec<Attribute>, Broken> {
        let content: &str = tag;
        let mut list = Vec::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|error| broken_attribute(base, &error))?;
            let key = attribute.key.into_inner();
            let at = base + (key.as_ptr() as usize).saturating_sub(content.as_ptr() as usize);
            self.count(at)?;
            let name = checked_name(at, at, key)?;
            let value = unescape(&attribute.value).map_err(|_| {
                Broken::new(at, format!("the value of {name} has an `&` that begins no known reference"), REFERENCES)
            })?;
            if let Some(c) = value.chars().find(|c| !is_xml_char(*c)) {
                return Err(Broken::new(at, format!("found a reference to U+{:04X}", c as u32), NOT_IN_XML));
            }
            list.push(Attribute { name, value: value.trim().to_owned(), position: self.cursor.position(at) });
        }
        Ok(list)
    }

    fn end(&mut self, at: usize, name: &str) -> Result<(), Broken> {
        match self.open.last() {
            _ if name.contains('<') => Err(Broken::new(at, "this end tag has no end", "close it with `>`")),
            None => Err(Broken::new(at, format!("found </{name}>"), "no element is open here; remove it")),
            Some(open) if open.name != name => {
                let expected = format!("expected </{}> for the element of line {}", open.name, open.position.line);
                Err(Broken::new(at, format!("found </{name}>"), expected))
            }
            Some(_) => {
                self.close();
                Ok(())
            }
        }
    }

    fn close(&mut self) {
        let Some(mut element) = self.open.pop() else { return };
        element.text = element.text.trim().to_owned();
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    fn text(&mut self, at: usize, text: &str) -> Result<(), Broken> {
        let blank = text.len() - text.trim_start().len();
        let written = blank < text.len();
        match self.open.last_mut() {
            None if written => Err(Broken::new(
                at + blank,
                "found text outside the outermost element",
                "remove it, or make it a comment",
            )),
            None => Ok(()),
            Some(element) => {
                if written && element.text.trim().is_empty() {
                    element.text_position = self.cursor.position(at + blank);
                }
                element.text.push_str(text);
                Ok(())
            }
        }
    }

    fn reference(&mut self, at: usize, reference: &BytesRef<'_>) -> Result<(), Broken> {
        let name: &str = reference;
        let text = unescape(&format!("&{name};"))
            .map_err(|_| Broken::new(at, format!("&{name}; is no known reference"), REFERENCES))?
            .into_owned();
        match text.chars().all(is_xml_char) {
            true => self.text(at, &text),
            false => Err(Broken::new(at, format!("&{name}; is no character of XML"), NOT_IN_XML)),
        }
    }

    fn finish(mut self) -> Result<Element, Broken> {
        match (self.open.pop(), self.root) {
            (Some(open), _) => {
                let found = format!("the file ends, and <{}> of line {} is still open", open.name, open.position.line);
                Err(Broken::new(self.source.trim_end().len(), found, format!("close it with </{}>", open.name)))
            }
            (None, Some(root)) => Ok(root),
            (None, None) => Err(Broken::new(0, "the file has no element", "compare it with the shipped file")),
        }
    }
}

const DECLARATION: &str = "write `<?xml version=\"1.0\" encoding=\"UTF-8\"?>`";
const REFERENCES: &str =
    "write a plain `&` as `&amp;`; known are &amp; &lt; &gt; &quot; &apos; and numbers as in &#38;";

/// A name that XML 1.0 §2.3 allows; `at` is shown where it does not.
fn checked_name(tag: usize, at: usize, name: &str) -> Result<String, Broken> {
    let begins = name.chars().next().is_some_and(|c| c.is_alphabetic() || matches!(c, '_' | ':'));
    let goes_on = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '-' | '.' | '\u{b7}'));
    match (name.is_empty(), begins && goes_on) {
        (true, _) => Err(Broken::new(tag, "found `<` without a name after it", "write a plain `<` as `&lt;`")),
        (false, true) => Ok(name.to_owned()),
        (false, false) => Err(Broken::new(
            at,
            format!("{name:?} is no name"),
            "a name begins with a letter and goes on with letters, digits, `-`, `_` or `.`",
        )),
    }
}

fn broken_attribute(base: usize, error: &AttrError) -> Broken {
    let (at, found, expected) = match error {
        AttrError::ExpectedEq(at) => (*at, "this attribute has no value", "write it as name=\"value\""),
        AttrError::ExpectedValue(at) => (*at, "there is no value after `=`", "write it as name=\"value\""),
        AttrError::UnquotedValue(at) => (*at, "this value has no quotes", "write it as name=\"value\""),
        AttrError::ExpectedQuote(at, _) => {
            (*at, "this value has no closing quote", "close it with the quote it began with")
        }
        AttrError::Duplicated(at, _) => (*at, "this attribute is given twice in one tag", "remove one of them"),
    };
    Broken::new(base + at, found, expected)
}
