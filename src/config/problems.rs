//! Everything that is wrong with the configuration, so that all of it is told at once; and what the operator accepts.

use super::problem::{Problem, Severity, shown};
use super::xml::{File, Position};

/// Problems of one reading that are kept; the rest is only counted, so that a hopeless file stays readable.
const KEPT: usize = 200;

/// Something that protects and is not done yet, as `ringpost.xml` accepts it by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inactive<'a> {
    /// A handler, matcher or mailet.
    Class(&'a str),
    /// A key with its file's element before it, such as `smtpserver/tls/@startTLS`.
    Key(&'a str),
}

impl Inactive<'_> {
    /// The attribute of `<accept-inactive>` that names it.
    pub fn attribute(self) -> &'static str {
        match self {
            Inactive::Class(_) => "class",
            Inactive::Key(_) => "key",
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Inactive::Class(name) | Inactive::Key(name) => name,
        }
    }
}

/// What one `<accept-inactive>` of `ringpost.xml` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// `class` or `key`.
    pub attribute: &'static str,
    /// The name.
    pub name: String,
    /// Whether something that is written is accepted by it.
    pub used: bool,
}

/// Collects problems.
#[derive(Debug)]
pub struct Problems {
    list: Vec<Problem>,
    dropped: usize,
    worst: Option<Severity>,
    most: Severity,
    accepted: Vec<Acceptance>,
    files: Vec<String>,
    secrets: Vec<String>,
}

impl Problems {
    /// None yet; they will be told in the order of these files.
    pub fn in_order(files: impl IntoIterator<Item = String>) -> Problems {
        let (files, most) = (files.into_iter().collect(), Severity::Error);
        let (list, accepted, secrets) = (Vec::new(), Vec::new(), Vec::new());
        Problems { list, dropped: 0, worst: None, most, accepted, files, secrets }
    }

    /// Takes one down.
    pub fn push(&mut self, mut problem: Problem) {
        problem.severity = problem.severity.min(self.most);
        for secret in &self.secrets {
            problem.found = problem.found.replace(secret, "(secret)");
            problem.advice = problem.advice.replace(secret, "(secret)");
        }
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
        // A file that is not there is taken to say nothing, and has no places.
        let position = Some(position).filter(|_| !file.source.is_empty());
        self.push(Problem { severity, file: file.path.clone(), position, found, advice, line });
    }

    /// Takes down one about a file as a whole.
    pub fn about(&mut self, file: &str, severity: Severity, found: impl Into<String>, advice: impl Into<String>) {
        let (found, advice) = (found.into(), advice.into());
        self.push(Problem { severity, file: file.to_owned(), position: None, found, advice, line: String::new() });
    }

    /// Takes down that something protects and is not done yet: an error, or a warning where it is accepted by name.
    pub fn unprotected(&mut self, file: &File, position: Position, what: Inactive<'_>, found: String, advice: &str) {
        let (attribute, name) = (what.attribute(), what.name());
        let accepted = self.accepted.iter_mut().find(|a| a.attribute == attribute && a.name == name);
        if let Some(accepted) = accepted {
            accepted.used = true;
            return self.at(file, position, Severity::Warning, found, "ringpost.xml accepts that");
        }
        let accept = format!("<accept-inactive {attribute}=\"{name}\"/>");
        let advice = format!("{advice}; or accept it as it is, in ringpost.xml: {accept}");
        self.at(file, position, Severity::Error, found, advice);
    }

    /// From now on these are never told.
    pub fn hide(&mut self, secrets: impl IntoIterator<Item = String>) {
        self.secrets.extend(secrets.into_iter().filter(|secret| !secret.is_empty()));
    }

    /// From now on these are accepted.
    pub fn accept(&mut self, accepted: Vec<Acceptance>) {
        self.accepted = accepted;
    }

    /// What is accepted, in the order it was written.
    pub fn accepted(&self) -> &[Acceptance] {
        &self.accepted
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
        let files = std::mem::take(&mut self.files);
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
