//! One class of James that a file names, as data: a handler, a matcher or a mailet.

use super::key::{Key, Standing, key};
use super::near::nearest;
use super::problem::Severity;
use super::problems::Inactive;
use super::section::{Section, Written};
use super::walk::{Scope, walk};
use super::xml::Element;

/// A class.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// Its name, as ringpost accepts it to be written and names it itself.
    pub name: &'static str,
    /// What ringpost makes of it.
    pub standing: Standing,
    /// What may stand in its element. `None`: anything.
    pub keys: Option<&'static [Key]>,
}

/// A class that is honoured and has no keys; the methods say otherwise.
pub const fn class(name: &'static str) -> Class {
    Class { name, standing: Standing::Honoured, keys: Some(&[]) }
}

/// A class that protects or restricts and is not done yet, so that ringpost does not start with it unless it is accepted.
pub const fn protecting(name: &'static str, advice: &'static str) -> Class {
    Class { standing: Standing::Protects(advice), ..class(name) }
}

/// A class that is not done yet; the text says what happens instead.
pub const fn later(name: &'static str, instead: &'static str) -> Class {
    Class { standing: Standing::Later(instead), ..class(name) }
}

/// A class without meaning here.
pub const fn meaningless(name: &'static str, why: &'static str) -> Class {
    Class { standing: Standing::Meaningless(why), ..class(name) }
}

impl Class {
    /// Whether it is obeyed.
    pub const fn is_done(&self) -> bool {
        matches!(self.standing, Standing::Honoured | Standing::Differently(_))
    }

    /// It has these keys.
    pub const fn with(self, keys: &'static [Key]) -> Class {
        Class { keys: Some(keys), ..self }
    }

    /// Its element may hold anything.
    pub const fn with_anything(self) -> Class {
        Class { keys: None, ..self }
    }

    /// It is obeyed, and differs from James.
    pub const fn differently(self, how: &'static str) -> Class {
        Class { standing: Standing::Differently(how), ..self }
    }
}

/// What every element with a class has.
const CLASS: &[Key] = &[key("@class")];

/// Takes down what is to be said of a class at the place it was written, and of the keys in its element; `also` may stand
/// there whatever the class.
pub fn judge(section: &mut Section<'_>, class: &Class, written: Written<'_>, element: &Element, also: &[Key]) {
    let name = class.name;
    match class.standing {
        Standing::Protects(advice) => {
            let found = format!("ringpost does not have {name} yet");
            section.problems.unprotected(section.file, written.position, Inactive::Class(name), found, advice);
        }
        Standing::Later(instead) | Standing::Waits(instead) => {
            section.say(written.position, Severity::Warning, format!("ringpost does not have {name} yet"), instead);
        }
        Standing::Meaningless(why) | Standing::Misplaced(why) => {
            section.say(written.position, Severity::Note, format!("{name} has no meaning here"), why);
        }
        Standing::Honoured | Standing::Differently(_) | Standing::Older(_) | Standing::Gone(_) => {}
    }
    if let Some(keys) = class.keys {
        let scope = Scope { name, keys: &[CLASS, also, keys], unknown: Severity::Warning };
        walk(section.file, element, &scope, section.problems);
    }
}

/// Takes down that there is no such class: an error, with the one that was probably meant.
pub fn unknown<'a>(
    section: &mut Section<'_>,
    written: Written<'_>,
    known: impl Iterator<Item = &'a str> + Clone,
    there_are: &str,
) {
    // What many names end with says nothing of which one was meant.
    fn core(name: &str) -> &str {
        let simple = name.rsplit('.').next().unwrap_or(name);
        ["Handler", "Hook", "Loader"].iter().find_map(|end| simple.strip_suffix(end)).unwrap_or(simple)
    }
    let near = nearest(core(written.text), known.clone().map(core));
    let near = near.and_then(|near| known.clone().find(|name| core(name) == near));
    let advice = match near {
        Some(near) => format!("did you mean {near}? {there_are}"),
        None => there_are.to_owned(),
    };
    section.say(written.position, Severity::Error, format!("there is no class {:?}", written.text), advice);
}
