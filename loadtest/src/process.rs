//! Figures of processes from `/proc`, and this process's own limits and signals.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static STOP: AtomicBool = AtomicBool::new(false);

/// Notices SIGTERM and SIGINT, each of which also interrupts a sleeping poll.
pub struct StopSignal(());

impl StopSignal {
    /// Takes the two signals over.
    pub fn install() -> io::Result<StopSignal> {
        extern "C" fn note(_signal: libc::c_int) {
            STOP.store(true, Ordering::Relaxed);
        }
        for signal in [libc::SIGTERM, libc::SIGINT] {
            // SAFETY: the handler only stores to an atomic, and the zeroed action has no flags and an empty mask.
            let status = unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = note as *const () as usize;
                libc::sigaction(signal, &action, std::ptr::null_mut())
            };
            if status != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(StopSignal(()))
    }

    /// Whether one of them has come.
    pub fn is_set(&self) -> bool {
        STOP.load(Ordering::Relaxed)
    }
}

/// Asks a process to end (SIGTERM).
pub fn terminate(pid: u32) {
    // SAFETY: the call has no preconditions; a process that is gone is no error here.
    unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) };
}

/// Processor time that this process has taken, in user and system mode.
pub fn own_cpu_time() -> Duration {
    // SAFETY: rusage is plain numbers, for which zero is valid, and the call writes only to it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let time =
        |value: libc::timeval| Duration::from_secs(value.tv_sec as u64) + Duration::from_micros(value.tv_usec as u64);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Raises the limit of open descriptors to `needed`; an error says how many are allowed.
pub fn raise_descriptor_limit(needed: u64) -> Result<(), String> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write only the structure that is passed.
    let status = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        let most = limit.rlim_max;
        limit.rlim_cur = limit.rlim_cur.max(needed.min(most));
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit)
    };
    if status == 0 && limit.rlim_cur >= needed {
        Ok(())
    } else {
        Err(format!("{needed} open descriptors are needed, and the limit is {}", limit.rlim_max))
    }
}

/// What a process has in memory, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Resident set (VmRSS).
    pub rss: u64,
    /// Proportional set, where the kernel lets us read it.
    pub pss: Option<u64>,
}

impl Memory {
    /// Reads the memory of process `pid`.
    pub fn of(pid: u32) -> Result<Memory, String> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let rss = kibibytes(&status, "VmRSS:").ok_or_else(|| format!("{path}: no VmRSS"))?;
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok();
        Ok(Memory { rss, pss: rollup.and_then(|text| kibibytes(&text, "Pss:")) })
    }
}

/// Processor time of process `pid`, all its threads, in user and system mode.
pub fn cpu_time_of(pid: u32) -> Result<Duration, String> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let ticks = cpu_ticks(&stat).ok_or_else(|| format!("{path}: not as expected"))?;
    // SAFETY: sysconf has no preconditions.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
    Ok(Duration::from_secs_f64(ticks as f64 / per_second))
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// User and system time of a `/proc/PID/stat`: fields 14 and 15, counted behind the name, which may hold blanks and parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_figures() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.rss > 100 && memory.pss.is_none_or(|pss| pss <= memory.rss + 1024), "{memory:?}");
        assert!(cpu_time_of(std::process::id()).is_ok());
        assert!(Memory::of(u32::MAX).is_err());
    }

    #[test]
    fn finds_times_behind_an_odd_name() {
        assert_eq!(cpu_ticks("7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13"), Some(23));
        assert_eq!(cpu_ticks("7 (a) S 1 2 3"), None);
        assert_eq!(cpu_ticks(""), None);
    }
}
