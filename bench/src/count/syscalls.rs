//! System calls of a running process, by the kernel's tracepoints: nothing stops it, as a debugger would.

use crate::perf::{self, Counter, Event};

/// Calls that are told apart: those a mail server may make while it takes mail.
const NAMES: [&str; 22] = [
    "io_uring_enter",
    "recvfrom",
    "sendto",
    "read",
    "write",
    "futex",
    "accept4",
    "close",
    "shutdown",
    "epoll_wait",
    "epoll_pwait",
    "poll",
    "ppoll",
    "clock_nanosleep",
    "nanosleep",
    "madvise",
    "mmap",
    "munmap",
    "brk",
    "tgkill",
    "getrandom",
    "rt_sigreturn",
];

const ALL: &str = "raw_syscalls/sys_enter";

/// Operations that are submitted to io_uring; the name depends on the kernel.
const SUBMITTED: [&str; 2] = ["io_uring/io_uring_submit_req", "io_uring/io_uring_submit_sqe"];

/// Counters over all threads of a process.
pub struct Syscalls {
    /// What each set counts, one counter a thread.
    sets: Vec<(&'static str, Vec<Counter>)>,
}

/// Calls by their names.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// All of them.
    pub all: u64,
    /// Operations submitted to io_uring.
    pub submitted: u64,
    /// Those that are told apart and were made at all.
    pub named: Vec<(&'static str, u64)>,
}

impl Syscalls {
    /// Counts from now on what the threads call that the process has now.
    pub fn of(process: u32) -> Result<Syscalls, String> {
        let names = NAMES.iter().map(|name| format!("syscalls/sys_enter_{name}"));
        let names: Vec<String> = names.chain([ALL.to_owned()]).chain(SUBMITTED.map(str::to_owned)).collect();
        let numbers = perf::tracepoints(names).ok_or("the kernel's tracepoints cannot be read; root can")?;
        let labels = NAMES.into_iter().chain([ALL]).chain(SUBMITTED);
        let threads = perf::threads(process);
        let mut sets = Vec::new();
        for (label, number) in labels.zip(numbers) {
            let Some(number) = number else { continue };
            let counters = threads.iter().map(|thread| Counter::open(Event::Tracepoint(number), *thread));
            let counters: Result<Vec<_>, _> = counters.collect();
            sets.push((label, counters.map_err(|error| format!("{label} cannot be counted: {error}"))?));
        }
        match sets.iter().any(|(label, _)| *label == ALL) {
            true => Ok(Syscalls { sets }),
            false => Err("this kernel has no tracepoint for system calls".into()),
        }
    }

    /// What was called since.
    pub fn read(&self) -> Calls {
        let mut calls = Calls::default();
        for (label, counters) in &self.sets {
            // A thread that has ended keeps its count.
            let count: u64 = counters.iter().filter_map(|counter| counter.read().ok()).sum();
            match *label {
                ALL => calls.all = count,
                label if SUBMITTED.contains(&label) => calls.submitted = count,
                label if count > 0 => calls.named.push((label, count)),
                _ => {}
            }
        }
        calls.named.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        calls
    }
}
