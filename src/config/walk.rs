//! The walk that looks up every key of a file in the tables, so that nothing that was written is passed over in silence.

use super::interpolation::UNFILLED;
use super::key::{Key, Occurs, Standing};
use super::near::nearest;
use super::problem::Severity;
use super::problems::{Inactive, Problems};
use super::section::{Written as Value, value_of};
use super::xml::{Attribute, Element, File, Format, Position};

/// What is walked: an element, and what may stand in it.
pub struct Scope<'a> {
    /// The name that `<accept-inactive key="…"/>` begins with, such as `smtpserver`.
    pub name: &'a str,
    /// The tables; the first that has a key counts.
    pub keys: &'a [&'a [Key]],
    /// How bad an unknown key is.
    pub unknown: Severity,
}

/// Looks up everything in `element` (that is, below it) and takes down what is not obeyed.
pub fn walk(file: &File, element: &Element, scope: &Scope<'_>, problems: &mut Problems) {
    let mut walk = Walk { file, scope, problems };
    walk.stray_text(&Written::element(file, "", element));
    walk.inside(element, "");
}

struct Walk<'a> {
    file: &'a File,
    scope: &'a Scope<'a>,
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
        let label = label(Format::Xml, &format!("@{name}"));
        Written { path, label, text: &attribute.value, position, text_position: position }
    }

    fn element(file: &File, prefix: &str, element: &'a Element) -> Written<'a> {
        let path = format!("{prefix}{}", element.name);
        let (position, text_position) = (element.position, element.text_position);
        Written { path, label: label(file.format, &element.name), text: &element.text, position, text_position }
    }

    fn name(&self) -> &str {
        split(&self.path).1.trim_start_matches('@')
    }
}

impl Walk<'_> {
    fn inside(&mut self, element: &Element, prefix: &str) {
        for attribute in element.attributes.iter().filter(|a| !belongs_to_xml(&a.name)) {
            self.judge(&Written::attribute(prefix, attribute), false);
        }
        for (index, child) in element.children.iter().enumerate() {
            let written = Written::element(self.file, prefix, child);
            let container = self.is_container(&written.path);
            let first = element.children.iter().take(index).find(|earlier| earlier.name == child.name);
            self.repeated(&written, first, container);
            if self.judge(&written, container) {
                self.inside(child, &format!("{}/", written.path));
            }
        }
    }

    /// Says what is to be said of one key; whether the walk goes on inside it.
    fn judge(&mut self, written: &Written<'_>, container: bool) -> bool {
        let Some(key) = self.key(&written.path) else {
            if container {
                self.stray_text(written);
            } else {
                self.unknown(written);
            }
            return container;
        };
        if key.occurs == Occurs::Apart {
            return false;
        }
        self.check(key, written);
        if key.standing.is_done() {
            return true;
        }
        if written.text != UNFILLED && !key.idle.is_some_and(|idle| idle(written.text)) {
            self.not_done(key.standing, written);
        }
        container
    }

    fn not_done(&mut self, standing: Standing, written: &Written<'_>) {
        let label = &written.label;
        let (severity, found, advice) = match standing {
            Standing::Honoured | Standing::Differently(_) | Standing::Older(_) => return,
            Standing::Misplaced(right) => (Severity::Warning, format!("{label} has no effect here"), right),
            Standing::Gone(instead) => (Severity::Error, format!("{label} is read no more"), instead),
            Standing::Meaningless(why) => (Severity::Note, format!("{label} has no meaning here"), why),
            Standing::Waits(what) => (Severity::Note, format!("{label} is read, and not used yet"), what),
            Standing::Later(instead) => (Severity::Warning, format!("{label} is not done yet"), instead),
            Standing::Protects(advice) => {
                let found = match written.text {
                    "" => format!("{label} is there, which ringpost does not do yet"),
                    text => format!("{label} is {text:?}, which ringpost does not do yet"),
                };
                let what = format!("{}/{}", self.scope.name, written.path);
                return self.problems.unprotected(self.file, written.position, Inactive::Key(&what), found, advice);
            }
        };
        self.say(written, severity, found, advice);
    }

    fn check(&mut self, key: Key, written: &Written<'_>) {
        if let Some(check) = key.check {
            let value = Value { name: written.name(), text: written.text, position: written.text_position };
            value_of(self.file, value, check, self.problems);
        }
    }

    fn say(&mut self, written: &Written<'_>, severity: Severity, found: String, advice: &str) {
        self.problems.at(self.file, written.position, severity, found, advice);
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.scope.keys.iter().copied().flatten()
    }

    fn key(&self, path: &str) -> Option<Key> {
        self.keys().find(|key| key.path == path).copied()
    }

    fn is_container(&self, path: &str) -> bool {
        let inside = |key: &Key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        self.keys().any(inside)
    }

    /// Text where only elements are read.
    fn stray_text(&mut self, written: &Written<'_>) {
        if !written.text.is_empty() && written.text != UNFILLED {
            let found = format!("the text in {} has no effect", written.label);
            let advice = "only elements are read there; remove it, or make it a comment";
            self.problems.at(self.file, written.text_position, Severity::Warning, found, advice);
        }
    }

    fn repeated(&mut self, written: &Written<'_>, first: Option<&Element>, container: bool) {
        let once = self.key(&written.path).map_or(container, |key| key.occurs == Occurs::Once);
        if let (Some(first), true) = (first, once) {
            let found = format!("{} is given again", written.label);
            let advice = format!("the one of line {} counts; remove this one", first.position.line);
            self.say(written, Severity::Warning, found, &advice);
        }
    }

    fn unknown(&mut self, written: &Written<'_>) {
        let (parent, name) = split(&written.path);
        let siblings = || self.keys().filter_map(|key| child_of(key.path, parent));
        let near = nearest(bare(name), siblings().map(bare));
        let advice = match near.and_then(|near| siblings().find(|sibling| bare(sibling) == near)) {
            Some(near) => format!("did you mean {}?", label(self.file.format, near)),
            None => "it has no effect; remove it".to_owned(),
        };
        self.say(written, self.scope.unknown, format!("{} is unknown here", written.label), &advice);
    }
}

/// How a key is called in a problem.
pub fn label(format: Format, name: &str) -> String {
    match (name.strip_prefix('@'), format) {
        (Some(attribute), _) => format!("the attribute {attribute}"),
        (None, Format::Xml) => format!("<{name}>"),
        (None, Format::Properties) => name.to_owned(),
    }
}

/// The name alone, be it of an element or an attribute.
fn bare(name: &str) -> &str {
    name.trim_start_matches('@')
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
