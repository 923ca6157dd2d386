//! The disk, what goes wrong with it, and whether it has power.

use std::ffi::OsStr;
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::disk::{Disk, Errno, Loss, ROOT};
use crate::faults::{Faults, Operation};
use crate::random::Random;

/// Octets of the least space that is counted.
pub const BLOCK: u64 = 4096;

/// Whether the disk answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It does.
    On,
    /// The instant of the cut: nothing is answered, and what is on the disk is what there is now.
    Frozen,
    /// The cut has happened: all fails, until those who used the disk are gone.
    Off,
}

/// All that a command or an operation may look at or change.
pub struct State {
    /// What there is.
    pub disk: Disk,
    /// What goes wrong.
    pub faults: Faults,
    /// Whether it answers.
    pub power: Power,
    /// Cuts so far: a sync that was begun before one is not done after it.
    pub cuts: u64,
    /// Syncs that were done.
    pub syncs: u64,
    /// Lots for delays.
    pub random: Random,
}

/// The state, shared by the threads that answer.
pub struct Shared {
    state: Mutex<State>,
    power: Condvar,
}

impl Shared {
    /// With a disk of so many octets.
    pub fn new(capacity: u64, owner: (u32, u32)) -> Shared {
        let (disk, faults, random) = (Disk::new(owner), Faults::new(capacity), Random::new(1));
        let state = State { disk, faults, power: Power::On, cuts: 0, syncs: 0, random };
        Shared { state: Mutex::new(state), power: Condvar::new() }
    }

    /// For commands: at once, whatever the power.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// For operations: once the disk answers or has failed.
    pub fn wait(&self) -> Result<MutexGuard<'_, State>, Errno> {
        let mut state = self.lock();
        while state.power == Power::Frozen {
            state = self.power.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        if state.power == Power::Off { Err(libc::EIO) } else { Ok(state) }
    }

    /// Changes the power.
    pub fn set_power(&self, power: Power) {
        self.lock().power = power;
        self.power.notify_all();
    }

    /// What was not synced is gone, as far as the seed says; from now on everything fails.
    pub fn cut(&self, seed: u64) -> Loss {
        let mut state = self.lock();
        let loss = state.disk.cut(&mut Random::new(seed));
        state.cuts += 1;
        drop(state);
        self.set_power(Power::Off);
        loss
    }
}

impl State {
    /// Octets that can still be written.
    pub fn room(&self) -> u64 {
        self.faults.capacity.saturating_sub(self.disk.octets())
    }

    fn judge(&mut self, operation: Operation, number: u64, name: Option<&OsStr>) -> Result<(), Errno> {
        let State { disk, faults, .. } = self;
        faults.judge(operation, || match name {
            Some(name) => format!("{}/{}", disk.path(number), name.to_string_lossy()),
            None => disk.path(number),
        })
    }

    /// Makes a file or a directory.
    pub fn make(
        &mut self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        owner: (u32, u32),
        is_directory: bool,
    ) -> Result<u64, Errno> {
        self.judge(Operation::Make, parent, Some(name))?;
        self.disk.make(parent, name, mode, owner, is_directory)
    }

    /// Removes a name.
    pub fn remove(&mut self, parent: u64, name: &OsStr, is_directory: bool) -> Result<(), Errno> {
        self.judge(Operation::Remove, parent, Some(name))?;
        self.disk.remove(parent, name, is_directory)
    }

    /// Gives another name.
    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<(), Errno> {
        self.judge(Operation::Rename, from.0, Some(from.1))?;
        self.disk.rename(from, to)
    }

    /// Reads.
    pub fn read(&mut self, number: u64, offset: u64, length: usize) -> Result<&[u8], Errno> {
        self.judge(Operation::Read, number, None)?;
        self.disk.read(number, offset, length)
    }

    /// Writes, as far as there is room.
    pub fn write(&mut self, number: u64, offset: u64, octets: &[u8]) -> Result<(), Errno> {
        self.judge(Operation::Write, number, None)?;
        let grows = (offset + octets.len() as u64).saturating_sub(self.disk.node(number)?.length());
        if grows > self.room() {
            return Err(libc::ENOSPC);
        }
        self.disk.write(number, offset, octets)
    }

    /// Gives a file this length.
    pub fn set_length(&mut self, number: u64, length: u64) -> Result<(), Errno> {
        self.judge(Operation::Write, number, None)?;
        if length.saturating_sub(self.disk.node(number)?.length()) > self.room() {
            return Err(libc::ENOSPC);
        }
        self.disk.set_length(number, length)
    }

    /// Makes durable what was there after this change.
    pub fn sync(&mut self, number: u64, up_to: u64) -> Result<(), Errno> {
        let operation = match self.disk.node(number)?.is_directory() {
            true => Operation::SyncDirectory,
            false => Operation::Sync,
        };
        if let Err(errno) = self.judge(operation, number, None) {
            self.disk.fail_sync(number, &mut self.random)?;
            return Err(errno);
        }
        self.syncs += 1;
        if self.faults.lie { Ok(()) } else { self.disk.sync(number, up_to) }
    }

    /// Files and directories below a path are named durably and with all their octets, whatever was synced.
    pub fn settle(&mut self) {
        let last = self.disk.last_change();
        let mut open = vec![ROOT];
        while let Some(number) = open.pop() {
            // What is listed is there.
            let _ = self.disk.sync(number, last);
            if let Ok((names, _)) = self.disk.list(number) {
                open.extend(names.into_iter().map(|(_, number)| number));
            }
        }
    }
}
