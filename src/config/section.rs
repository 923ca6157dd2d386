//! An element that is being read key by key.

use super::interpolation::UNFILLED;
use super::problem::{Severity, is_secret};
use super::problems::Problems;
use super::value::Expected;
use super::xml::{Element, File, Position};

/// A value as it was written.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// The name of its element or attribute.
    pub name: &'a str,
    /// The value itself; may be empty.
    pub text: &'a str,
    /// Where it begins.
    pub position: Position,
}

impl<'a> Written<'a> {
    /// The text of an element.
    pub fn text_of(element: &'a Element) -> Written<'a> {
        Written { name: &element.name, text: &element.text, position: element.text_position }
    }
}

/// An element, the file it is in, and where to put what is wrong with it.
pub struct Section<'a> {
    /// The file.
    pub file: &'a File,
    /// The element; keys are paths below it.
    pub element: &'a Element,
    /// Where problems go.
    pub problems: &'a mut Problems,
}

impl<'a> Section<'a> {
    /// The outermost element of a file; `None` where it has another name than `expected`, which is taken down.
    pub fn root(file: &'a File, expected: &str, problems: &'a mut Problems) -> Option<Section<'a>> {
        let element = &file.root;
        if element.name == expected {
            return Some(Section { file, element, problems });
        }
        let found = format!("the outermost element is <{}>", element.name);
        problems.at(file, element.position, Severity::Error, found, format!("expected <{expected}>"));
        None
    }

    /// What was written for a key such as `limits/recipients` or `tls/@startTLS`; of several the first.
    pub fn written(&self, path: &str) -> Option<Written<'a>> {
        let (elements, attribute) = match path.rsplit_once('@') {
            Some((elements, attribute)) => (elements.trim_end_matches('/'), Some(attribute)),
            None => (path, None),
        };
        let mut names = elements.split('/').filter(|name| !name.is_empty());
        let element = names.try_fold(self.element, |element, name| element.child(name))?;
        match attribute {
            None => Some(Written::text_of(element)),
            Some(name) => {
                let found = element.attribute(name)?;
                Some(Written { name: &found.name, text: &found.value, position: found.position })
            }
        }
    }

    /// Every element directly in the element that `parent` names, of that name.
    pub fn list(&self, parent: &str, name: &str) -> Vec<&'a Element> {
        let named = |element: &&Element| element.name == name;
        self.element.child(parent).map(|parent| parent.children.iter().filter(named).collect()).unwrap_or_default()
    }

    /// The value of a key; `None` where it is not written, or is wrong, which is taken down.
    pub fn read<T>(&mut self, path: &str, parse: impl FnOnce(&str) -> Result<T, Expected>) -> Option<T> {
        let written = self.written(path)?;
        self.parse(written, parse)
    }

    /// The value of what was found already; `None` where it is wrong, which is taken down.
    pub fn parse<T>(&mut self, written: Written<'_>, parse: impl FnOnce(&str) -> Result<T, Expected>) -> Option<T> {
        value_of(self.file, written, parse, self.problems)
    }

    /// Takes down a problem of this file.
    pub fn say(&mut self, position: Position, severity: Severity, found: impl Into<String>, advice: impl Into<String>) {
        self.problems.at(self.file, position, severity, found, advice);
    }
}

/// The value of what was written in a file; `None` where it is wrong, which is taken down.
pub fn value_of<T>(
    file: &File,
    written: Written<'_>,
    parse: impl FnOnce(&str) -> Result<T, Expected>,
    problems: &mut Problems,
) -> Option<T> {
    let wrong = |expected| {
        let found = match written.text {
            "" => format!("{} is empty", written.name),
            _ if is_secret(written.name) => format!("{} is wrong", written.name),
            text => format!("{} is {:?}", written.name, shortened(text)),
        };
        problems.at(file, written.position, Severity::Error, found, format!("expected {expected}"));
    };
    match written.text {
        UNFILLED => None,
        text => parse(text).map_err(wrong).ok(),
    }
}

/// A value as it is quoted in a problem: its beginning, where it is long.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
