//! The CPUs of this machine as the kernel describes them, and threads put on them.

use std::collections::BTreeMap;
use std::io;

use super::placement::Cpu;

/// The CPUs that this process may use. What the kernel does not tell counts as one node of plain cores.
pub fn cpus() -> Vec<Cpu> {
    let nodes = nodes();
    let ids = core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id);
    ids.map(|id| Cpu { id, node: nodes.get(&id).copied().unwrap_or(0), sibling: sibling(id) }).collect()
}

/// The node of each CPU.
fn nodes() -> BTreeMap<usize, usize> {
    let mut nodes = BTreeMap::new();
    let entries = std::fs::read_dir("/sys/devices/system/node").into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let Some(node) = name.to_str().and_then(|name| name.strip_prefix("node")?.parse().ok()) else { continue };
        let list = std::fs::read_to_string(entry.path().join("cpulist")).unwrap_or_default();
        nodes.extend(parse_list(&list).into_iter().map(|cpu| (cpu, node)));
    }
    nodes
}

/// How many hardware threads of its core come before this one.
fn sibling(cpu: usize) -> usize {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    let list = std::fs::read_to_string(path).unwrap_or_default();
    parse_list(&list).iter().filter(|other| **other < cpu).count()
}

/// A list of CPUs as the kernel writes it, such as `0-3,8`. What cannot be read is left out.
fn parse_list(text: &str) -> Vec<usize> {
    /// More than any kernel has.
    const MOST: usize = 1 << 16;
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse::<usize>().ok()?.min(MOST))
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

/// Lets the thread that calls, and those that it starts, run on these CPUs alone.
pub fn stay_on(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: all zeros is an empty set, and the macros write within it.
    let set = unsafe {
        let mut set = std::mem::zeroed::<libc::cpu_set_t>();
        for cpu in cpus.iter().filter(|cpu| **cpu < libc::CPU_SETSIZE as usize) {
            libc::CPU_SET(*cpu, &mut set);
        }
        set
    };
    // SAFETY: the set is ours, and the kernel only reads it.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_the_kernel_writes_them() {
        assert_eq!(parse_list("0-2,5,8-9\n"), [0, 1, 2, 5, 8, 9]);
        assert_eq!(parse_list("7\n"), [7]);
        assert_eq!(parse_list("\n"), [0; 0]);
        assert_eq!(parse_list("x,3-,-4,2-1,6"), [6]);
    }

    #[test]
    fn this_machine_has_cpus_and_threads_stay_on_them() {
        let cpus = cpus();
        assert!(!cpus.is_empty() && cpus.iter().any(|cpu| cpu.sibling == 0));
        std::thread::spawn(move || {
            stay_on(&[cpus[0].id]).unwrap();
            assert_eq!(super::cpus(), [cpus[0]]);
            assert!(stay_on(&[]).is_err());
        })
        .join()
        .unwrap();
    }
}
