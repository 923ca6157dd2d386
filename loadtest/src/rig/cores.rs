//! Processors of this machine, parted between server and load.
//!
//! Where both may run everywhere, how often they are on each other's way, and how sessions fall on the shards, differs from run
//! to run by more than what is looked for. A server that may use one processor has one shard.

use std::io;
use std::mem;

/// The processors that this process may use, as they were found.
pub struct Cores {
    all: libc::cpu_set_t,
    list: Vec<usize>,
}

impl Cores {
    /// Asks which there are.
    pub fn find() -> io::Result<Cores> {
        // SAFETY: a set of no processors is all zeros.
        let mut all: libc::cpu_set_t = unsafe { mem::zeroed() };
        // SAFETY: the set is ours and as large as we say.
        if unsafe { libc::sched_getaffinity(0, mem::size_of_val(&all), &mut all) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: every number is below the size of the set.
        let list = (0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &all) }).collect();
        Ok(Cores { all, list })
    }

    /// The processor of the server, where there is another for the load.
    pub fn server(&self) -> Option<usize> {
        self.list.first().copied().filter(|_| self.list.len() > 1)
    }

    /// Has what is started from now on run on the server's processor alone.
    pub fn use_servers(&self) -> io::Result<()> {
        self.use_those(|cpu, server| cpu == server)
    }

    /// Has what is started from now on run on all others.
    pub fn use_others(&self) -> io::Result<()> {
        self.use_those(|cpu, server| cpu != server)
    }

    fn use_those(&self, chosen: impl Fn(usize, usize) -> bool) -> io::Result<()> {
        let Some(server) = self.server() else { return Ok(()) };
        // SAFETY: a set of no processors is all zeros.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        for cpu in self.list.iter().filter(|cpu| chosen(**cpu, server)) {
            // SAFETY: the number came out of a set of this size.
            unsafe { libc::CPU_SET(*cpu, &mut set) };
        }
        affinity(&set)
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        // As it was found; where that fails nothing is worse than before.
        let _ = affinity(&self.all);
    }
}

/// Of this thread, and so of the processes that it starts.
fn affinity(set: &libc::cpu_set_t) -> io::Result<()> {
    // SAFETY: the set is as large as we say.
    match unsafe { libc::sched_setaffinity(0, mem::size_of_val(set), set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_and_load_are_parted_and_all_is_given_back() {
        let cores = Cores::find().expect("the kernel says");
        let before = cores.list.clone();
        if let Some(server) = cores.server() {
            cores.use_servers().expect("they are ours");
            assert_eq!(Cores::find().expect("the kernel says").list, [server]);
            cores.use_others().expect("they are ours");
            assert_eq!(Cores::find().expect("the kernel says").list, &before[1..]);
        }
        drop(cores);
        assert_eq!(Cores::find().expect("the kernel says").list, before);
    }
}
