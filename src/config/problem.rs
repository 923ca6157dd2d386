//! What is wrong with the configuration, said so that it can be put right without a manual.

use std::fmt;

use super::xml::Position;

/// Characters of a source line that are shown to each side of the place that is meant.
const SHOWN: usize = 60;

/// What a problem means for the start. Ordered: an error is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is lost by it.
    Note,
    /// Something that was written has no effect; ringpost starts.
    Warning,
    /// ringpost does not start.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// One thing that is wrong. Its text is `file:line:column: severity: found; advice`, then the line itself with a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it means for the start.
    pub severity: Severity,
    /// The file as it was reached from the directory that was given.
    pub file: String,
    /// The place in it; `None` where the whole file is meant.
    pub position: Option<Position>,
    /// What was found.
    pub found: String,
    /// What was expected, or what can be done.
    pub advice: String,
    /// The line of `position` without its line end; empty where there is none, or where it may hold a password.
    pub line: String,
}

impl Problem {
    /// The problem for a terminal that shows colours.
    pub fn coloured(&self) -> impl fmt::Display {
        Shown { problem: self, paint: COLOURS }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown { problem: self, paint: PLAIN }.fmt(f)
    }
}

/// What begins and ends a colour (ECMA-48, Select Graphic Rendition): for the place, the three severities, the caret.
#[derive(Clone, Copy)]
struct Paint {
    place: &'static str,
    severities: [&'static str; 3],
    caret: &'static str,
    end: &'static str,
}

const PLAIN: Paint = Paint { place: "", severities: [""; 3], caret: "", end: "" };

const COLOURS: Paint = Paint {
    place: "\x1b[1m",
    severities: ["\x1b[1;36m", "\x1b[1;33m", "\x1b[1;31m"],
    caret: "\x1b[1;32m",
    end: "\x1b[0m",
};

/// A problem with its colours.
struct Shown<'a> {
    problem: &'a Problem,
    paint: Paint,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown { problem, paint } = self;
        let Problem { severity, file, position, found, advice, line } = problem;
        let Paint { place, severities: [note, warning, error], end, .. } = paint;
        let colour = match severity {
            Severity::Note => note,
            Severity::Warning => warning,
            Severity::Error => error,
        };
        let at = position.map(|position| format!("{position}:")).unwrap_or_default();
        write!(f, "{place}{file}:{at}{end} {colour}{severity}:{end} {}; {}", visible(found), visible(advice))?;
        match position {
            Some(position) if !line.is_empty() => write_excerpt(f, *position, line, paint),
            _ => Ok(()),
        }
    }
}

/// What goes into a sentence on one line of a terminal.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Writes the line with a caret under its column, cut to what fits a terminal.
fn write_excerpt(f: &mut fmt::Formatter<'_>, position: Position, line: &str, paint: &Paint) -> fmt::Result {
    let Paint { caret, end, .. } = paint;
    let column = position.column.saturating_sub(1) as usize;
    let first = column.saturating_sub(SHOWN);
    let shown: String = line.chars().skip(first).take(2 * SHOWN).map(printable).collect();
    let (before, after) = (cut_mark(first > 0), cut_mark(line.chars().nth(first + 2 * SHOWN).is_some()));
    let under: String = shown.chars().take(column - first).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let margin = " ".repeat(before.chars().count());
    write!(f, "\n{:>5} | {before}{shown}{after}\n      | {margin}{under}{caret}^{end}", position.line)
}

/// The line as it may be shown: problems go to terminals and logs, where no password belongs.
pub fn shown(line: &str) -> String {
    if is_secret(line) { String::new() } else { line.to_owned() }
}

/// Whether the name of a key, or a line that has one, speaks of something secret.
pub fn is_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["secret", "password", "passwd", "credentials", "token", "-----begin"].iter().any(|word| lower.contains(word))
}

fn cut_mark(cut: bool) -> &'static str {
    if cut { "…" } else { "" }
}

/// Control characters must not reach a terminal; a tab stays, so that the caret stands where it should.
fn printable(c: char) -> char {
    if c.is_control() && c != '\t' { '\u{fffd}' } else { c }
}
