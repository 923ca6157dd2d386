//! What is asked of the system beside the work itself: CPUs, clocks, the signal to stop, what the machine is.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static STOP: AtomicBool = AtomicBool::new(false);

/// Lets SIGINT and SIGTERM end what is under way, so that it can clean up.
pub fn stop_on_signals() {
    extern "C" fn note(_: libc::c_int) {
        STOP.store(true, Ordering::Relaxed);
    }
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only stores into an atomic, and zero is valid for the rest of the structure.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = note as *const () as usize;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

/// A signal to stop has come.
pub fn is_stopping() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// The error of what was stopped.
pub fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "stopped by a signal")
}

/// The CPUs that this process may use.
pub fn cpus() -> Vec<usize> {
    // SAFETY: the set is plain bits, for which zero is valid, and the call fills it in.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
        set
    };
    // SAFETY: every number asked about is one that the set has room for.
    let allowed = (0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) });
    let cpus: Vec<usize> = allowed.collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Pins the calling thread; threads and processes that it starts begin there too.
pub fn pin(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: the set is plain bits, for which zero is valid; numbers beyond its room are left out by the macro's own check.
    let status = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        cpus.iter().for_each(|cpu| libc::CPU_SET(*cpu, &mut set));
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whose processor time is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// The calling thread's.
    Thread,
    /// The whole process's, the kernel's helpers for its ring included.
    Process,
}

impl Cpu {
    /// Time taken so far, in user and system mode.
    pub fn now(self) -> Duration {
        let clock = match self {
            Cpu::Thread => libc::CLOCK_THREAD_CPUTIME_ID,
            Cpu::Process => libc::CLOCK_PROCESS_CPUTIME_ID,
        };
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes only to the structure.
        unsafe { libc::clock_gettime(clock, &mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// Processor time of a process with all its threads, those that ended and the kernel's helpers for its rings included, to the
/// tick (10 ms).
pub fn cpu_of(process: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    let ticks: u64 = rest.split_ascii_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    // SAFETY: sysconf has no preconditions.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    Ok(Duration::from_nanos(ticks * (1_000_000_000 / per_second)))
}

/// Processor time that the whole machine was busy, and that a hypervisor gave to others.
pub fn machine_busy() -> io::Result<(Duration, Duration)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = first.split_ascii_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks[..] else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    // SAFETY: sysconf has no preconditions.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    let time = |ticks| Duration::from_nanos(ticks * (1_000_000_000 / per_second));
    Ok((time(user + nice + system + irq + softirq), time(steal)))
}

/// One line about the machine.
pub fn describe() -> String {
    let first = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':')).map(|(_, value)| value.trim());
        line.unwrap_or_default().to_owned()
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, {} CPUs, Linux {}", first("/proc/cpuinfo", "model name"), cpus().len(), kernel.trim())
}

/// The kind of file system that holds `path`.
pub fn file_system(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let holding = mounts.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.len());
    holding.map_or_else(|| "unknown".into(), |(_, kind)| kind.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_answers() {
        assert!(!cpus().is_empty());
        assert!(cpu_of(std::process::id()).is_ok() && cpu_of(u32::MAX).is_err());
        assert!(machine_busy().is_ok_and(|(busy, _)| busy > Duration::ZERO));
        assert!(describe().contains("Linux"));
        assert_eq!(file_system(Path::new("/proc/self")), "proc");
        let (before, sum) = (Cpu::Thread.now(), (0..100_000u64).fold(1u64, |sum, n| std::hint::black_box(sum ^ n)));
        assert!(Cpu::Thread.now() > before, "{sum}");
    }
}
