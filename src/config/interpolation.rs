//! `${env:NAME}` and `${sys:NAME}` in values, filled in before anything else looks at them.
//!
//! James takes system properties from `jvm.properties`; so does ringpost, for this alone.

use super::problem::{Severity, is_secret};
use super::problems::Problems;
use super::xml::{Element, File, Position};

/// Octets that a value may have when it is filled in: a variable named many times must not fill the memory.
const OCTETS_MAX: usize = 1 << 20;

/// What stands for a value that could not be filled in, which has been said already. No file can have it.
pub const UNFILLED: &str = "\0";

/// Where values come from.
pub struct Variables<'a> {
    /// Those of the environment.
    pub environment: fn(&str) -> Option<String>,
    /// `jvm.properties`.
    pub system: Option<&'a File>,
    /// What `${sys:working.directory}` is: the home.
    pub home: &'a str,
}

impl Variables<'_> {
    fn find(&self, name: &str) -> Result<String, String> {
        let set = match name.split_once(':') {
            // A group of an expression in `recipientrewritetable.xml`; nothing is called so.
            None if !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_digit()) => Ok(format!("${{{name}}}")),
            Some(("env", name)) => (self.environment)(name).ok_or("the environment"),
            Some(("sys", "working.directory")) => Ok(self.home.to_owned()),
            Some(("sys", name)) => {
                let written = self.system.and_then(|file| file.root.child(name));
                written.map(|element| element.text.clone()).ok_or("jvm.properties")
            }
            _ => return Err("only ${env:NAME} and ${sys:NAME} are filled in; write $${ for a plain ${".to_owned()),
        };
        set.map_err(|place| format!("it is not set in {place}; set it, or write the value itself"))
    }

    /// The text with every value filled in, or what is wrong: with which name, and what to do.
    fn fill(&self, text: &str, secrets: &mut Vec<String>) -> Result<String, (String, String)> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                filled.push_str(before);
                filled.push_str("${");
                rest = after;
                continue;
            }
            filled.push_str(before);
            let (name, after) = after.split_once('}').ok_or_else(|| ("${".to_owned(), "close it with }".to_owned()))?;
            let value = self.find(name).map_err(|advice| (format!("${{{name}}}"), advice))?;
            if is_secret(name) {
                secrets.push(value.clone());
            }
            filled.push_str(&value);
            if filled.len() > OCTETS_MAX {
                return Err((format!("${{{name}}}"), "with it the value grows too long".to_owned()));
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

/// Fills in the values of a file. One that cannot be becomes [`UNFILLED`], and is taken down.
pub fn fill_in(file: &mut File, variables: &Variables<'_>, problems: &mut Problems) {
    let mut found = Found::default();
    fill_element(&mut file.root, variables, &mut found);
    problems.hide(found.secrets);
    for (position, name, advice) in found.wrong {
        problems.at(file, position, Severity::Error, format!("{name:?} cannot be filled in"), advice);
    }
}

/// What came of filling in a file.
#[derive(Default)]
struct Found {
    /// Where, which name, and what to do.
    wrong: Vec<(Position, String, String)>,
    /// Values of variables whose names say that they are secret.
    secrets: Vec<String>,
}

fn fill_element(element: &mut Element, variables: &Variables<'_>, found: &mut Found) {
    for attribute in &mut element.attributes {
        fill_value(&mut attribute.value, attribute.position, variables, found);
    }
    fill_value(&mut element.text, element.text_position, variables, found);
    element.children.iter_mut().for_each(|child| fill_element(child, variables, found));
}

fn fill_value(value: &mut String, position: Position, variables: &Variables<'_>, found: &mut Found) {
    if !value.contains("${") {
        return;
    }
    match variables.fill(value, &mut found.secrets) {
        Ok(filled) => *value = filled.trim().to_owned(),
        Err((name, advice)) => {
            found.wrong.push((position, name, advice));
            *value = UNFILLED.to_owned();
        }
    }
}
