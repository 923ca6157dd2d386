//! Problems of the configuration, told to people.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use ringpost::config::Problem;

/// Whether colours are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// They are.
    On,
    /// They are not.
    Off,
}

impl Colours {
    /// On a terminal, unless the environment has NO_COLOR.
    pub fn of(stream: &impl IsTerminal) -> Colours {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if stream.is_terminal() && !unwanted { Colours::On } else { Colours::Off }
    }
}

/// Writes every problem, each followed by an empty line.
pub fn problems(problems: &[Problem], colours: Colours, out: &mut impl Write) -> io::Result<()> {
    for problem in problems {
        match colours {
            Colours::On => writeln!(out, "{}\n", problem.coloured())?,
            Colours::Off => writeln!(out, "{problem}\n")?,
        }
    }
    Ok(())
}

/// What to say where the directory of the configuration is not there.
pub fn directory(conf: &Path) -> Result<(), String> {
    let advice = "name the one that holds smtpserver.xml: ringpost --conf DIR";
    if conf.is_dir() { Ok(()) } else { Err(format!("there is no directory {}; {advice}", conf.display())) }
}
