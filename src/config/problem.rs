//! What is wrong with the configuration, said so that it can be put right without a manual.

use std::fmt;

use super::xml::{File, Position};

/// Problems of one reading that are kept; the rest is only counted, so that a hopeless file stays readable.
const KEPT: usize = 200;

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

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(position) = self.position {
            write!(f, "{position}:")?;
        }
        write!(f, " {}: {}; {}", self.severity, self.found, self.advice)?;
        match self.position {
            Some(position) if !self.line.is_empty() => write_excerpt(f, position, &self.line),
            _ => Ok(()),
        }
    }
}

/// Writes the line with a caret under its column, cut to what fits a terminal.
fn write_excerpt(f: &mut fmt::Formatter<'_>, position: Position, line: &str) -> fmt::Result {
    let column = position.column.saturating_sub(1) as usize;
    let first = column.saturating_sub(SHOWN);
    let shown: String = line.chars().skip(first).take(2 * SHOWN).map(printable).collect();
    let (before, after) = (cut_mark(first > 0), cut_mark(line.chars().nth(first + 2 * SHOWN).is_some()));
    let under: String = shown.chars().take(column - first).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let margin = " ".repeat(before.chars().count());
    write!(f, "\n{:>5} | {before}{shown}{after}\n      | {margin}{under}^", position.line)
}

/// The line as it may be shown: problems go to terminals and logs, where no password belongs.
pub fn shown(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    match ["secret", "password", "credentials"].iter().any(|word| lower.contains(word)) {
        true => String::new(),
        false => line.to_owned(),
    }
}

fn cut_mark(cut: bool) -> &'static str {
    if cut { "…" } else { "" }
}

/// Control characters must not reach a terminal; a tab stays, so that the caret stands where it should.
fn printable(c: char) -> char {
    if c.is_control() && c != '\t' { '\u{fffd}' } else { c }
}

/// Collects problems, so that all are told at once.
#[derive(Debug)]
pub struct Problems {
    list: Vec<Problem>,
    dropped: usize,
    worst: Option<Severity>,
    most: Severity,
}

impl Default for Problems {
    fn default() -> Problems {
        Problems { list: Vec::new(), dropped: 0, worst: None, most: Severity::Error }
    }
}

impl Problems {
    /// Takes one down.
    pub fn push(&mut self, mut problem: Problem) {
        problem.severity = problem.severity.min(self.most);
        self.worst = self.worst.max(Some(problem.severity));
        if self.list.len() < KEPT {
            self.list.push(problem);
        } else {
            self.dropped += 1;
        }
    }

    /// Takes down one about a place in a file.
    pub fn at(
        &mut self,
        file: &File,
        position: Position,
        severity: Severity,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let (found, advice) = (found.into(), advice.into());
        // Finding the line costs a pass over the file, so it is done only for what will be shown.
        let line = if self.list.len() < KEPT { shown(file.line(position.line)) } else { String::new() };
        self.push(Problem { severity, file: file.path.clone(), position: Some(position), found, advice, line });
    }

    /// Takes down one about a file as a whole.
    pub fn about(&mut self, file: &str, severity: Severity, found: impl Into<String>, advice: impl Into<String>) {
        let (found, advice) = (found.into(), advice.into());
        self.push(Problem { severity, file: file.to_owned(), position: None, found, advice, line: String::new() });
    }

    /// From now on nothing is worse than `most`: what is switched off must not keep ringpost from starting.
    pub fn limit(&mut self, most: Severity) {
        self.most = most;
    }

    /// Whether an error is among them.
    pub fn has_errors(&self) -> bool {
        self.worst == Some(Severity::Error)
    }

    /// All of them in the order of the files and of their lines; where there were too many, a last one says so.
    pub fn into_vec(mut self) -> Vec<Problem> {
        let mut files: Vec<String> = Vec::new();
        for problem in &self.list {
            if !files.contains(&problem.file) {
                files.push(problem.file.clone());
            }
        }
        self.list.sort_by_key(|p| (files.iter().position(|file| *file == p.file), p.position));
        if let (true, Some(last)) = (self.dropped > 0, self.list.last()) {
            let more = Problem {
                severity: self.worst.unwrap_or(Severity::Note),
                position: None,
                found: format!("{} more problems are not shown", self.dropped),
                advice: "put the first ones right and look again".to_owned(),
                line: String::new(),
                file: last.file.clone(),
            };
            self.list.push(more);
        }
        self.list
    }
}
