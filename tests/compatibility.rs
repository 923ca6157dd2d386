//! docs/COMPATIBILITY.md is made from the tables that the configuration is read by. With RINGPOST_BLESS=1 it is written anew.

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::golden::assert_golden;
use ringpost::config::key::{Key, Occurs, Standing};
use ringpost::config::tables::{CLASSES, ClassTable, JAMES, KeyTable, OWN};

const INTRODUCTION: &str = include_str!("compatibility/introduction.md");

/// The words of a standing: which of the four it is, and what is to be said of it.
fn standing(standing: Standing) -> (&'static str, String) {
    match standing {
        Standing::Honoured => ("honoured", String::new()),
        Standing::Differently(how) => ("honoured differently", how.to_owned()),
        Standing::Older(today) => {
            ("honoured differently", format!("an older spelling of `{today}`: read, with a warning"))
        }
        Standing::Misplaced(right) => ("meaningless here", format!("{right} (a warning)")),
        Standing::Gone(instead) => ("gone", instead.to_owned()),
        Standing::Meaningless(why) => ("meaningless here", why.to_owned()),
        Standing::Waits(what) => ("not yet", format!("read and checked; {what}")),
        Standing::Later(instead) => ("not yet", instead.to_owned()),
        Standing::Protects(advice) => ("not yet", format!("**an error**: {advice}")),
    }
}

/// Text for a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn key_rows(table: &KeyTable, out: &mut String) {
    let _ = writeln!(out, "\n## {}\n", table.title);
    out.push_str("| key | ringpost | default: documented | in James' code | in ringpost | remarks |\n|---|---|---|---|---|---|\n");
    for key in table.keys {
        let Key { path, occurs, standing: what, defaults, .. } = key;
        let (word, remark) = standing(*what);
        let often = if *occurs == Occurs::Often { " (any number)" } else { "" };
        let [documented, code, ringpost] =
            defaults.map_or([""; 3], |defaults| [defaults.documented, defaults.code, defaults.ringpost]).map(cell);
        let ringpost = if code == ringpost { ringpost } else { format!("**{ringpost}**") };
        let remark = cell(&remark);
        let _ = writeln!(out, "| `{path}`{often} | {word} | {documented} | {code} | {ringpost} | {remark} |");
    }
}

fn class_rows(table: &ClassTable, out: &mut String) {
    let _ = writeln!(out, "\n## {}\n", table.title);
    out.push_str("| class | ringpost | keys that are checked | remarks |\n|---|---|---|---|\n");
    for class in table.classes {
        let (word, remark) = standing(class.standing);
        let keys: Vec<String> = class.keys.unwrap_or_default().iter().map(key_cell).collect();
        let _ = writeln!(out, "| `{}` | {word} | {} | {} |", class.name, keys.join(", "), cell(&remark));
    }
}

/// A key of a class, and what is to be said of it.
fn key_cell(key: &Key) -> String {
    match standing(key.standing) {
        ("honoured", _) => format!("`{}`", key.path),
        (word, remark) => format!("`{}` ({word}: {})", key.path, cell(&remark)),
    }
}

fn own_rows(table: &KeyTable, out: &mut String) {
    let _ = writeln!(out, "\n## {}\n\n| key | default |\n|---|---|", table.title);
    for key in table.keys.iter().filter(|key| !matches!(key.standing, Standing::Gone(_))) {
        let _ = writeln!(out, "| `{}` | {} |", key.path, cell(key.defaults.map_or("", |defaults| defaults.ringpost)));
    }
}

#[test]
fn the_document_says_what_the_tables_say() {
    let mut text = INTRODUCTION.to_owned();
    JAMES.iter().for_each(|table| key_rows(table, &mut text));
    CLASSES.iter().for_each(|table| class_rows(table, &mut text));
    own_rows(&OWN, &mut text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/COMPATIBILITY.md");
    assert_golden(&path, &text);
}
