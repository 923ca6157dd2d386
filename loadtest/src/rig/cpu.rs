//! Processor time of servers and of the whole machine.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Seconds of a count of clock ticks.
fn seconds(ticks: u64) -> f64 {
    // SAFETY: sysconf has no preconditions.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
    ticks as f64 / per_second
}

/// The fields of `/proc/PID/stat` from the third on; `None` if the process is gone.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    // The third is a letter, and a few may be negative: none of those is asked for.
    Some(rest.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

/// User and system time of a process over all its threads, in seconds. By the scheduler's own count in nanoseconds if the kernel
/// has it, else by the ticks of `/proc/PID/stat`.
pub fn of_process(pid: u32) -> Result<f64, String> {
    let by_threads = || {
        let mut nanoseconds = 0;
        for entry in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
            let text = fs::read_to_string(entry.ok()?.path().join("schedstat")).ok()?;
            nanoseconds += text.split(' ').next()?.parse::<u64>().ok()?;
        }
        (nanoseconds > 0).then_some(nanoseconds as f64 / 1e9)
    };
    if let Some(seconds) = by_threads() {
        return Ok(seconds);
    }
    let stat = stat(pid).ok_or_else(|| format!("process {pid} is gone"))?;
    let time = |at: usize| stat.get(at).copied().unwrap_or(0);
    Ok(seconds(time(11) + time(12)))
}

/// The processes that descend from `root`, itself included.
pub fn family(root: u32) -> HashSet<u32> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u64)> = pids.filter_map(|pid| Some((pid, *stat(pid)?.get(1)?))).collect();
    let mut family = HashSet::from([root]);
    loop {
        let before = family.len();
        for (pid, parent) in &parents {
            if family.contains(&(*parent as u32)) {
                family.insert(*pid);
            }
        }
        if family.len() == before {
            return family;
        }
    }
}

/// Times of a process, of those of its children that ended and were waited for, and of all its living descendants likewise.
pub fn of_family(root: u32) -> f64 {
    let ticks = |pid: u32| stat(pid).and_then(|stat| Some(stat.get(11..15)?.iter().sum())).unwrap_or(0);
    seconds(family(root).into_iter().map(ticks).sum())
}

/// Seconds for which the processors of the machine did something, and for which the hypervisor gave them to others.
pub fn of_machine() -> Result<(f64, f64), String> {
    let text = fs::read_to_string("/proc/stat").map_err(|error| format!("/proc/stat: {error}"))?;
    let line = text.lines().next().unwrap_or_default();
    let times: Vec<u64> = line.split_ascii_whitespace().skip(1).map(|field| field.parse().unwrap_or(0)).collect();
    let time = |at: usize| times.get(at).copied().unwrap_or(0);
    // user, nice, system, idle, iowait, irq, softirq, steal
    Ok((seconds(time(0) + time(1) + time(2) + time(5) + time(6)), seconds(time(7))))
}

/// A control group that counts the processor time of all processes started in it, ended ones included.
pub struct ControlGroup {
    folder: PathBuf,
    usage: &'static str,
}

impl ControlGroup {
    /// In the first hierarchy that lets us make one: cpuacct of version 1, or version 2. `None` where there is none.
    pub fn make(name: &str) -> Option<ControlGroup> {
        let mounts = fs::read_to_string("/proc/mounts").ok()?;
        mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (mount, kind, options) = (words.next()?, words.next()?, words.next()?);
            let usage = match kind {
                "cgroup" if options.split(',').any(|option| option == "cpuacct") => "cpuacct.usage",
                "cgroup2" => "cpu.stat",
                _ => return None,
            };
            let group = ControlGroup { folder: Path::new(mount).join(name), usage };
            fs::create_dir(&group.folder).ok()?;
            group.seconds().ok()?;
            Some(group)
        })
    }

    /// The file into which a process writes its number to be counted.
    pub fn entrance(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// What was counted.
    pub fn seconds(&self) -> Result<f64, String> {
        let path = self.folder.join(self.usage);
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (digits, unit) = match self.usage {
            "cpu.stat" => (text.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap_or_default(), 1e6),
            _ => (text.trim(), 1e9),
        };
        digits.parse::<u64>().map(|count| count as f64 / unit).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// For a reader.
    pub fn describe(&self) -> String {
        format!("control group {}", self.folder.display())
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // The kernel needs a moment after the last process has ended.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn counts_this_process_and_a_child_that_has_ended() {
        let own = std::process::id();
        let before = of_process(own).unwrap();
        let mut sum = 0u64;
        while of_process(own).unwrap() < before + 0.05 {
            sum = (0..100_000u64).fold(sum, |sum, number| sum.wrapping_add(number * number));
        }
        assert!(sum > 0 && of_process(u32::MAX).is_err());
        let before = of_family(own);
        let burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        assert!(Command::new("sh").args(["-c", burn]).status().unwrap().success());
        assert!(of_family(own) > before + 0.02, "a child that ended counts");
        let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(family(own).contains(&sleeper.id()));
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert!(of_machine().unwrap().0 > 0.0);
    }
}
