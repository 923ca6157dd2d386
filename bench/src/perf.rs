//! The kernel's counters: perf_event_open(2), as little of it as is needed.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Instructions in user mode, where the processor's counters are to be had.
    UserInstructions,
    /// Instructions in the kernel, where they are.
    KernelInstructions,
    /// A tracepoint by its number.
    Tracepoint(u64),
}

/// A counter that runs from the moment it is opened.
pub struct Counter(File);

/// `struct perf_event_attr` up to what its first version had.
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    address: u64,
}

const HARDWARE: u32 = 0;
const TRACEPOINT: u32 = 2;
const HARDWARE_INSTRUCTIONS: u64 = 1;
const EXCLUDE_USER: u64 = 1 << 4;
const EXCLUDE_KERNEL: u64 = 1 << 5;
const EXCLUDE_HYPERVISOR: u64 = 1 << 6;
const CLOSE_ON_EXEC: u64 = 1 << 3;

impl Counter {
    /// Counts an event of one thread; 0 is the calling one.
    pub fn open(event: Event, thread: u32) -> io::Result<Counter> {
        let (kind, config, flags) = match event {
            Event::UserInstructions => (HARDWARE, HARDWARE_INSTRUCTIONS, EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR),
            Event::KernelInstructions => (HARDWARE, HARDWARE_INSTRUCTIONS, EXCLUDE_USER | EXCLUDE_HYPERVISOR),
            Event::Tracepoint(number) => (TRACEPOINT, number, 0),
        };
        let attributes = Attributes {
            kind,
            size: size_of::<Attributes>() as u32,
            config,
            sample_period: 0,
            sample_type: 0,
            read_format: 0,
            flags,
            wakeup: 0,
            breakpoint: 0,
            address: 0,
        };
        // SAFETY: the structure is laid out as the kernel expects one of the size it states, and is only read.
        let descriptor =
            unsafe { libc::syscall(libc::SYS_perf_event_open, &attributes, thread, -1, -1, CLOSE_ON_EXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just opened this descriptor for us.
        Ok(Counter(File::from(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })))
    }

    /// What was counted so far.
    pub fn read(&self) -> io::Result<u64> {
        let mut octets = [0; 8];
        (&self.0).read_exact(&mut octets)?;
        Ok(u64::from_ne_bytes(octets))
    }
}

/// The numbers of tracepoints by their names, such as `raw_syscalls/sys_enter`. Where the kernel's tracing is not mounted, it
/// is mounted for the moment, where no other process sees it; `None` if that is not allowed.
pub fn tracepoints(names: Vec<String>) -> Option<Vec<Option<u64>>> {
    const USUAL: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    if let Some(folder) = USUAL.iter().find(|folder| Path::new(folder).join("events").is_dir()) {
        return Some(numbers(folder, &names));
    }
    let thread = std::thread::spawn(move || {
        // SAFETY: the strings end with zero; the call changes what this thread alone sees of the file systems.
        let mounted = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    c"none".as_ptr(),
                    c"/".as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
                && libc::mount(
                    c"none".as_ptr(),
                    c"/sys/kernel/tracing".as_ptr(),
                    c"tracefs".as_ptr(),
                    0,
                    std::ptr::null(),
                ) == 0
        };
        mounted.then(|| numbers(USUAL[0], &names))
    });
    thread.join().ok().flatten()
}

fn numbers(folder: &str, names: &[String]) -> Vec<Option<u64>> {
    let number = |name: &String| fs::read_to_string(format!("{folder}/events/{name}/id")).ok()?.trim().parse().ok();
    names.iter().map(number).collect()
}

/// The threads of a process.
pub fn threads(process: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_or_says_that_it_cannot() {
        // Which of both it is depends on the machine; a counter that opens must count.
        if let Ok(counter) = Counter::open(Event::UserInstructions, 0) {
            let before = counter.read().expect("a counter can be read");
            let sum: u64 = std::hint::black_box(0..100_000u64).sum();
            assert!(counter.read().expect("a counter can be read") > before, "{sum}");
        }
        assert!(Counter::open(Event::Tracepoint(u64::MAX), 0).is_err());
    }

    #[test]
    fn threads_are_found() {
        assert!(threads(std::process::id()).contains(&std::process::id()));
        assert!(threads(u32::MAX).is_empty());
    }
}
