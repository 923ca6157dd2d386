//! Instructions of a server for a message: by the processor's counters, or else under callgrind.

use crate::compare::load::{End, Load};
use crate::compare::servers::{Ringpost, Server};
use crate::parts::instructions::collected;
use crate::perf::{self, Counter, Event};
use crate::tally;
use std::path::Path;
use std::process::{Command, Stdio};

/// Instructions of one message.
#[derive(Clone, Copy, Debug)]
pub struct Instructions {
    /// In user mode.
    pub user: f64,
    /// In the kernel, where that is known.
    pub kernel: Option<f64>,
}

/// How they are counted on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the processor's counters.
    Hardware,
    /// `valgrind --tool=callgrind`, user mode only.
    Callgrind,
    /// Not at all: there is nothing that could.
    None,
    /// Not at all, as was asked for.
    Unwanted,
}

impl Way {
    /// The best there is.
    pub fn find() -> Way {
        if Counter::open(Event::UserInstructions, 0).is_ok() {
            return Way::Hardware;
        }
        let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if valgrind.is_ok_and(|status| status.success()) { Way::Callgrind } else { Way::None }
    }

    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Way::Hardware => "by the processor's counters, in user mode and in the kernel",
            Way::Callgrind => "by valgrind's callgrind, in user mode: the processor's counters are not to be had here",
            Way::Unwanted => "not counted",
            Way::None => "not counted: neither the processor's counters nor valgrind are to be had",
        }
    }
}

/// Counters over all threads of a process.
pub struct Counters {
    user: Vec<Counter>,
    kernel: Vec<Counter>,
}

impl Counters {
    /// Counts from now on.
    pub fn of(process: u32) -> std::io::Result<Counters> {
        let open = |event| perf::threads(process).into_iter().map(move |thread| Counter::open(event, thread));
        // An unprivileged user may count user mode alone.
        let kernel = open(Event::KernelInstructions).collect::<std::io::Result<_>>().unwrap_or_default();
        Ok(Counters { user: open(Event::UserInstructions).collect::<std::io::Result<_>>()?, kernel })
    }

    /// Of one of so many messages.
    pub fn each(&self, messages: u64) -> Instructions {
        let sum = |counters: &[Counter]| counters.iter().filter_map(|counter| counter.read().ok()).sum::<u64>();
        let each = |counters: &[Counter]| sum(counters) as f64 / messages as f64;
        Instructions { user: each(&self.user), kernel: (!self.kernel.is_empty()).then(|| each(&self.kernel)) }
    }
}

/// Runs the counted ringpost under callgrind with a few messages and with more: what the start takes is in both, and goes out.
pub fn by_callgrind(ringpost: &Ringpost, load: &Load, messages: u64, folder: &Path) -> Result<Instructions, String> {
    let mut ringpost = ringpost.clone();
    ringpost.under = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"].map(str::to_owned).to_vec();
    ringpost.environment = vec![(tally::POLLING.into(), "yes".into())];
    let run = |messages| {
        let server = Server::ringpost(&ringpost, folder)?;
        load.run(server.address, End::Messages(messages), folder)?;
        let told = server.end()?;
        collected(&told).ok_or_else(|| format!("callgrind told no sum:\n{told}"))
    };
    let (few, many) = (run(messages)?, run(3 * messages)?);
    Ok(Instructions { user: (many as f64 - few as f64) / (2 * messages) as f64, kernel: None })
}
