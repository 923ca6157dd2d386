//! Which keys there are, as data, and what ringpost makes of each; and the walk that finds every key of a file in it, so
//! that nothing that was written is passed over in silence.

use super::problem::{Problems, Severity};
use super::value;
use super::xml::{Attribute, Element, File, Position};

/// What ringpost makes of a key.
#[derive(Clone, Copy, Debug)]
pub enum Standing {
    /// It is read; of several elements the first counts, as in James.
    Obeyed,
    /// It is read every time it is written.
    List,
    /// It is read every time it is written, and walked on its own.
    Apart,
    /// It has no meaning here; the text says why. A note.
    Meaningless(&'static str),
    /// It is not done yet, and nobody is less safe without it; the text says what happens instead. A warning.
    Later(&'static str),
    /// It is no key of James' current code either; the text says what is. A warning.
    Misnamed(&'static str),
    /// It protects or restricts, and is not done yet: an error, unless its value asks for nothing.
    Protects {
        /// Whether that value asks for nothing.
        idle: fn(&str) -> bool,
        /// What is not done, and what to write instead.
        advice: &'static str,
    },
}

/// One key: the names from the element that is walked, joined by `/`, an attribute with `@`.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Such as `tls/@startTLS`.
    pub path: &'static str,
    /// What ringpost makes of it.
    pub standing: Standing,
}

/// A key that is read once.
pub const fn obeyed(path: &'static str) -> Key {
    Key { path, standing: Standing::Obeyed }
}

/// A key that may be repeated.
pub const fn list(path: &'static str) -> Key {
    Key { path, standing: Standing::List }
}

/// A key that may be repeated and is walked on its own.
pub const fn apart(path: &'static str) -> Key {
    Key { path, standing: Standing::Apart }
}

/// A key without meaning here.
pub const fn meaningless(path: &'static str, why: &'static str) -> Key {
    Key { path, standing: Standing::Meaningless(why) }
}

/// A key that is not done yet and does no harm by that.
pub const fn later(path: &'static str, instead: &'static str) -> Key {
    Key { path, standing: Standing::Later(instead) }
}

/// A key that nobody reads.
pub const fn misnamed(path: &'static str, right: &'static str) -> Key {
    Key { path, standing: Standing::Misnamed(right) }
}

/// A key that protects and is not done yet.
pub const fn protects(path: &'static str, idle: fn(&str) -> bool, advice: &'static str) -> Key {
    Key { path, standing: Standing::Protects { idle, advice } }
}

/// Whether a Boolean is false, so that it asks for nothing.
pub fn is_false(text: &str) -> bool {
    value::boolean(text) == Ok(false)
}

/// For what protects by being there at all.
pub fn never(_: &str) -> bool {
    false
}

/// Looks up everything in `element` (that is, below it) and takes down what is not obeyed; what is unknown is as bad as
/// `unknown` says.
pub fn walk(file: &File, element: &Element, keys: &[&[Key]], unknown: Severity, problems: &mut Problems) {
    let mut walk = Walk { file, keys, unknown, problems };
    walk.stray_text(&Written::element("", element));
    walk.inside(element, "");
}

struct Walk<'a> {
    file: &'a File,
    keys: &'a [&'a [Key]],
    unknown: Severity,
    problems: &'a mut Problems,
}

/// An element or attribute that was written.
struct Written<'a> {
    path: String,
    label: String,
    text: &'a str,
    position: Position,
    text_position: Position,
}

impl<'a> Written<'a> {
    fn attribute(prefix: &str, attribute: &'a Attribute) -> Written<'a> {
        let (position, name) = (attribute.position, &attribute.name);
        let path = format!("{prefix}@{name}");
        Written { path, label: label(&format!("@{name}")), text: &attribute.value, position, text_position: position }
    }

    fn element(prefix: &str, element: &'a Element) -> Written<'a> {
        let path = format!("{prefix}{}", element.name);
        let (position, text_position) = (element.position, element.text_position);
        Written { path, label: label(&element.name), text: &element.text, position, text_position }
    }
}

impl Walk<'_> {
    fn inside(&mut self, element: &Element, prefix: &str) {
        for attribute in element.attributes.iter().filter(|a| !belongs_to_xml(&a.name)) {
            self.judge(&Written::attribute(prefix, attribute), false);
        }
        for (index, child) in element.children.iter().enumerate() {
            let written = Written::element(prefix, child);
            let container = self.is_container(&written.path);
            if self.judge(&written, container) {
                let first = element.children.iter().take(index).find(|earlier| earlier.name == child.name);
                self.repeated(&written, first);
                self.inside(child, &format!("{}/", written.path));
            }
        }
    }

    /// Says what is to be said of one key; whether the walk goes on inside it.
    fn judge(&mut self, written: &Written<'_>, container: bool) -> bool {
        let Some(standing) = self.standing(&written.path) else {
            if container {
                self.stray_text(written);
            } else {
                self.unknown(written);
            }
            return container;
        };
        let label = &written.label;
        match standing {
            Standing::Apart => return false,
            _ if is_interpolated(written.text) => self.interpolation(written),
            Standing::Obeyed | Standing::List => return true,
            Standing::Meaningless(why) => {
                self.say(written, Severity::Note, format!("{label} has no meaning here"), why)
            }
            Standing::Later(instead) => {
                self.say(written, Severity::Warning, format!("{label} is not done yet"), instead)
            }
            Standing::Misnamed(right) => self.say(written, Severity::Warning, format!("{label} has no effect"), right),
            Standing::Protects { idle, .. } if idle(written.text) => {}
            Standing::Protects { advice, .. } => {
                let text = match written.text {
                    "" => format!("{label} is there, which ringpost does not do yet"),
                    text => format!("{label} is {text:?}, which ringpost does not do yet"),
                };
                self.say(written, Severity::Error, text, advice);
            }
        }
        container
    }

    fn say(&mut self, written: &Written<'_>, severity: Severity, found: String, advice: &str) {
        self.problems.at(self.file, written.position, severity, found, advice);
    }

    fn standing(&self, path: &str) -> Option<Standing> {
        self.keys.iter().copied().flatten().find(|key| key.path == path).map(|key| key.standing)
    }

    fn is_container(&self, path: &str) -> bool {
        let inside = |key: &Key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        self.keys.iter().copied().flatten().any(inside)
    }

    /// Text where only elements are read.
    fn stray_text(&mut self, written: &Written<'_>) {
        if !written.text.is_empty() {
            let found = format!("the text in {} has no effect", written.label);
            let advice = "only elements are read there; remove it, or make it a comment";
            self.problems.at(self.file, written.text_position, Severity::Warning, found, advice);
        }
    }

    /// James fills in `${env:NAME}` and its like; taken literally they would be something the operator did not mean.
    fn interpolation(&mut self, written: &Written<'_>) {
        let found = format!("{} is {:?}, and ringpost does not fill in `${{…}}` yet", written.label, written.text);
        self.problems.at(self.file, written.text_position, Severity::Error, found, "write the value itself");
    }

    fn repeated(&mut self, written: &Written<'_>, first: Option<&Element>) {
        if let (Some(first), false) = (first, matches!(self.standing(&written.path), Some(Standing::List))) {
            let found = format!("{} is given again", written.label);
            let advice = format!("the one of line {} counts; remove this one", first.position.line);
            self.say(written, Severity::Warning, found, &advice);
        }
    }

    fn unknown(&mut self, written: &Written<'_>) {
        let (parent, name) = split(&written.path);
        let siblings = || self.keys.iter().copied().flatten().filter_map(|key| child_of(key.path, parent));
        let near = nearest(bare(name), siblings().map(bare));
        let advice = match near.and_then(|near| siblings().find(|sibling| bare(sibling) == near)) {
            Some(near) => format!("did you mean {}?", label(near)),
            None => "it has no effect; remove it".to_owned(),
        };
        self.say(written, self.unknown, format!("{} is unknown here", written.label), &advice);
    }
}

/// How a key is called in a problem.
fn label(name: &str) -> String {
    match name.strip_prefix('@') {
        Some(attribute) => format!("the attribute {attribute}"),
        None => format!("<{name}>"),
    }
}

/// The name alone, be it of an element or an attribute.
fn bare(name: &str) -> &str {
    name.trim_start_matches('@')
}

/// Whether a value has something in it that James would fill in.
pub fn is_interpolated(text: &str) -> bool {
    ["${env:", "${sys:", "${const:"].iter().any(|start| text.contains(start))
}

/// Namespaces and the attributes that XML defines itself.
fn belongs_to_xml(name: &str) -> bool {
    name == "xmlns" || name.split_once(':').is_some_and(|(prefix, _)| ["xmlns", "xml", "xsi"].contains(&prefix))
}

/// The parent with its `/`, and the last name.
fn split(path: &str) -> (&str, &str) {
    path.rfind('/').and_then(|at| path.split_at_checked(at + 1)).unwrap_or(("", path))
}

/// The name of the direct child of `parent` on the way to `path`.
fn child_of<'a>(path: &'a str, parent: &str) -> Option<&'a str> {
    path.strip_prefix(parent)?.split('/').next()
}

/// The name most like `wanted`, where one is like it: off by case or by less than about a third of its letters, or begun
/// the same way.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wanted.to_lowercase();
    let bound = (wanted.chars().count() / 3).clamp(1, 4);
    let rank = |name: &'a str| match (distance(&lower, &name.to_lowercase()), name.to_lowercase().starts_with(&lower)) {
        (edits, true) if lower.len() > 3 => (edits.min(bound), name),
        (edits, _) => (edits, name),
    };
    let near = names.map(rank).min()?;
    (near.0 <= bound).then_some(near.1)
}

/// How many letters must be added, removed or changed to make one of the other (Levenshtein). Looks at 80 letters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(80).enumerate() {
        let mut above_left = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let here = (above_left + usize::from(x != *y)).min(left + 1).min(*cell + 1);
            above_left = *cell;
            *cell = here;
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_the_least_number_of_edits() {
        for (a, b, edits) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("bnid", "bind", 2)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn only_what_is_like_a_name_is_suggested() {
        let names = ["bind", "connectiontimeout", "connectionBacklog"];
        assert_eq!(nearest("connectionTimeout", names.into_iter()), Some("connectiontimeout"));
        assert_eq!(nearest("bnd", names.into_iter()), Some("bind"));
        assert_eq!(nearest("connection", names.into_iter()), Some("connectionBacklog"));
        assert_eq!(nearest("something", names.into_iter()), None);
        assert_eq!(nearest("bind", [].into_iter()), None);
    }
}
