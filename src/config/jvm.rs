//! `jvm.properties`: system properties of Java. They have no meaning here but as what `${sys:NAME}` stands for.

use super::key::{Key, is_false, key};
use super::problem::Severity;
use super::problems::Problems;
use super::xml::File;

/// Properties of James' own that are worth a word.
pub const KEYS: &[Key] = &[
    key("james.prevent.smtp.smuggling")
        .default("true")
        .meaningless("ringpost never takes a bare CR or LF for the end of a line"),
    key("james.message.memory.threshold").default("100K").meaningless("no message is kept in memory whole"),
    key("james.message.usememorycopy").default("false").meaningless("no message is kept in memory whole"),
    key("james.protocols.mdc.hostname").default("true").meaningless("no client's name is looked up for the log"),
    key("james.sasl.oidc.validate.aud").default("true").meaningless("the audience of a token is always checked"),
];

/// Looks at `jvm.properties`.
pub fn read(file: &File, problems: &mut Problems) {
    let properties = &file.root.children;
    for written in properties.iter().filter(|written| is_false(&written.text)) {
        let known =
            KEYS.iter().find(|key| key.path == written.name && key.defaults.is_some_and(|d| d.ringpost == "true"));
        if let Some(Key { standing: super::key::Standing::Meaningless(why), .. }) = known {
            problems.at(
                file,
                written.position,
                Severity::Note,
                format!("{} cannot be switched off here", written.name),
                *why,
            );
        }
    }
    if let Some(first) = properties.first() {
        let found = "jvm.properties has no meaning here";
        let advice = "it is read only for ${sys:NAME} in other files; ringpost runs no Java";
        problems.at(file, first.position, Severity::Note, found, advice);
    }
}
