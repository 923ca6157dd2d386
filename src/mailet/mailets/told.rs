//! Mailets that tell the log and the figures.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::{Next, Run, pass_through};
use crate::mailet::effect::Beside;
use crate::mailet::header::split;
use crate::mailet::matchers::Stop;

/// Octets of a message that go into the log at most.
pub const LOGGED_MAX: usize = 16 << 10;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// `MetricsMailet`: one more of that metric.
    Metric(Arc<str>),
    /// `LogMessage`.
    Log {
        /// `headers`.
        headers: bool,
        /// `body`.
        body: bool,
        /// `maxBody`: octets of the body.
        most: usize,
        /// `comment`.
        comment: Option<Box<str>>,
        /// `passThrough`.
        pass_through: bool,
    },
}

impl Told {
    pub(super) fn serve(&self, run: &mut Run<'_>) -> Result<Next, Stop> {
        match self {
            Told::Metric(name) => {
                run.beside(Beside::Count(Rc::from(&**name)));
                Ok(Next::On)
            }
            Told::Log { headers, body, most, comment, pass_through: on } => {
                let mut text = format!("mail {}", run.facts.id);
                if let Some(comment) = comment {
                    text.push_str(": ");
                    text.push_str(comment);
                }
                if *headers {
                    let header = run.view().header()?;
                    append(&mut text, &header, LOGGED_MAX);
                }
                if *body {
                    let content = run.view().content()?;
                    append(&mut text, split(&content).1, *most);
                }
                run.beside(Beside::Log(text.into()));
                Ok(pass_through(*on, false))
            }
        }
    }
}

fn append(text: &mut String, octets: &[u8], most: usize) {
    text.push('\n');
    let most = most.min(LOGGED_MAX).min(octets.len());
    text.push_str(&String::from_utf8_lossy(octets.get(..most).unwrap_or_default()));
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Told::Metric(name) => write!(f, "MetricsMailet {name}"),
            Told::Log { .. } => f.write_str("LogMessage"),
        }
    }
}
