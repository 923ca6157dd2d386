//! The spellings of older James in a server, turned into today's before anything is read.

use super::super::key::{Key, Standing};
use super::super::problem::Severity;
use super::super::problems::Problems;
use super::super::xml::{Element, File};

/// The element of a server with today's names: what is in `<handler>` is one level up, and what was renamed has its new
/// name. Each such spelling is a warning.
pub fn modernised(file: &File, server: &Element, keys: &[&[Key]], problems: &mut Problems) -> Element {
    let mut modern = server.clone();
    let parent = &server.name;
    modern.children = Vec::new();
    // Where a key is there in both spellings, today's counts: it comes first.
    let mut older = Vec::new();
    for child in &server.children {
        let (nested, inside) = match child.name.as_str() {
            "handler" => (true, child.children.as_slice()),
            _ => (false, std::slice::from_ref(child)),
        };
        for element in inside {
            let spelling = spelling(&element.name, keys);
            let name = spelling.unwrap_or(&element.name).to_owned();
            let (found, advice) = match (nested, spelling) {
                (true, _) if tells_by_itself(&element.name) => (None, String::new()),
                (true, _) => (
                    Some("is written inside <handler>, as older James had it"),
                    format!("write <{name}> directly in <{parent}>"),
                ),
                (false, Some(today)) => (Some("is an older spelling"), format!("the key is <{today}> today")),
                (false, None) => (None, String::new()),
            };
            if let Some(found) = found {
                problems.at(file, element.position, Severity::Warning, format!("<{}> {found}", element.name), advice);
            }
            let place = if nested || spelling.is_some() { &mut older } else { &mut modern.children };
            place.push(Element { name, ..element.clone() });
        }
    }
    modern.children.append(&mut older);
    modern
}

/// Today's name of a key, where only the name has changed.
fn spelling(name: &str, keys: &[&[Key]]) -> Option<&'static str> {
    let standing = keys.iter().copied().flatten().find(|key| key.path == name).map(|key| key.standing);
    match standing {
        Some(Standing::Older(today)) if !tells_by_itself(name) => Some(today),
        _ => None,
    }
}

/// Those whose value is written otherwise today, which is said where it is read.
fn tells_by_itself(name: &str) -> bool {
    ["authRequired", "port", "handler"].contains(&name)
}
