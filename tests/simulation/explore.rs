//! Crashes at every boundary of a run, without running it again for each.

use std::cell::RefCell;
use std::collections::HashSet;

use ringpost::io::sim::Random;

use super::crashes::any_edge;
use super::host::Host;

/// What was tried so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Crashes of which the host recovered and all was held against what clients had been told.
    pub crashes: u64,
    /// Of these, such that came while another one was recovered from.
    pub second: u64,
    /// Crashes that left a disk that had been tried before; they are not among the others.
    pub equal: u64,
}

/// Looks on while a host runs. Between any two operations that change its disk the power fails, in copies of the host, as often as
/// `tears` says: what was not synced is torn differently each time. Each copy recovers and delivers, and its mailboxes are held
/// against what clients had been told when the next operation came; so one copy stands for the crash after the one operation and
/// for that before the next.
pub struct Explorer {
    tears: u64,
    /// One in so many copies meets a second crash while it recovers.
    second_in: u64,
    reached: u64,
    /// The copies that were made at the last boundary.
    pending: Vec<Host>,
    tried: HashSet<u64>,
    random: Random,
    tally: Tally,
}

impl Explorer {
    /// An explorer whose choices come from `seed`.
    pub fn new(seed: u64, tears: u64, second_in: u64) -> RefCell<Explorer> {
        let random = Random::new(seed ^ 0x6578_706c_6f72_6572);
        let (reached, pending, tried, tally) = Default::default();
        RefCell::new(Explorer { tears, second_in, reached, pending, tried, random, tally })
    }

    /// To be called after every step of the host.
    pub fn look(&mut self, host: &Host) {
        let boundaries = host.world.faults().boundaries();
        if boundaries == self.reached {
            return;
        }
        self.reached = boundaries;
        self.try_pending();
        let tears = if host.world.is_settled() { 1 } else { self.tears };
        for _ in 0..tears {
            let copy = host.crashed(self.random.bits());
            copy.world.note(format!("after boundary {boundaries} of a run of which this is a copy"));
            self.pending.push(copy);
        }
    }

    /// Tries what is left, and says what was tried in all.
    pub fn finish(&mut self) -> Tally {
        self.try_pending();
        self.tally
    }

    fn try_pending(&mut self) {
        for mut host in std::mem::take(&mut self.pending) {
            if !self.tried.insert(host.world.disk().fingerprint()) {
                self.tally.equal += 1;
                continue;
            }
            if self.random.one_in(self.second_in) {
                let edge = any_edge(&mut host);
                let at = host.random.between(1, 60);
                host.world.faults().crash_at(at, edge);
                if host.start() {
                    host.settle();
                }
                host.crash_or_kill();
                self.tally.crashes += 1;
                self.tally.second += 1;
            }
            host.recover_and_check();
            self.tally.crashes += 1;
        }
    }
}
