//! Turns the loop of a core that waits although it has work.
//!
//! The executor of a core may park with runnable tasks when its preemption timer is due at the wrong moment; nothing then wakes it
//! but the next completion. From outside that shows as operations in flight and no progress. A signal with an empty handler
//! interrupts the wait, and the loop turns.

use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crate::io::vitals::Vitals;

/// How often cores are looked at while one of them is at work, and while all are idle.
const WORKING: Duration = Duration::from_millis(4);
const IDLE: Duration = Duration::from_millis(24);

/// Standing still this many looks while something is in flight calls for a poke; each poke in vain doubles it, up to the bound.
const PATIENCE: u32 = 2;
const PATIENCE_MAX: u32 = 8;

/// Looks at a core that has connections but nothing in flight before it counts as idle. A task that is runnable but not run
/// cannot be seen from outside; so a core that has just worked is poked a few times as it comes to rest.
const COMING_TO_REST: u32 = 24;

/// Looks at an idle core between two pokes: even a hang that left no sign ends within about a second.
const ROUTINE: u32 = 40;

/// The signal: ignored by default, and used by nothing else here.
const SIGNAL: libc::c_int = libc::SIGURG;

/// A core to be watched: its signs of life and its thread, which must not be joined before the watchdog has ended.
pub struct Watched {
    /// Its signs of life.
    pub vitals: Arc<Vitals>,
    /// Its thread.
    pub thread: libc::pthread_t,
}

impl Watched {
    /// The core that runs on this thread.
    pub fn new<T>(vitals: Arc<Vitals>, handle: &JoinHandle<T>) -> Watched {
        Watched { vitals, thread: handle.as_pthread_t() as libc::pthread_t }
    }
}

/// The running watchdog.
pub struct Watchdog {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watchdog {
    /// Starts to watch. `ended` is called once for each core that ends while it is watched.
    pub fn start(cores: Vec<Watched>, ended: impl Fn(usize) + Send + 'static) -> std::io::Result<Watchdog> {
        install_handler()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let mut looks: Vec<_> = cores.into_iter().map(Look::new).collect();
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                let mut working = false;
                for (number, look) in looks.iter_mut().enumerate() {
                    working |= look.look();
                    if look.has_just_ended() {
                        ended(number);
                    }
                }
                std::thread::park_timeout(if working { WORKING } else { IDLE });
            }
        })?;
        Ok(Watchdog { stop, thread })
    }

    /// Ends watching; after this the cores' threads may be joined.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        Thread::unpark(self.thread.thread());
        // A watchdog that panicked has nothing to tell that its panic message did not.
        let _ = self.thread.join();
    }
}

/// What the watchdog knows of one core.
struct Look {
    core: Watched,
    progress: u64,
    still: u32,
    patience: u32,
    ended: bool,
}

impl Look {
    fn new(core: Watched) -> Look {
        Look { core, progress: 0, still: 0, patience: PATIENCE, ended: false }
    }

    /// Looks once, pokes where it is due; true if the core is at work.
    fn look(&mut self) -> bool {
        let vitals = &self.core.vitals;
        let progress = vitals.progress();
        if progress != self.progress {
            (self.progress, self.still, self.patience) = (progress, 0, PATIENCE);
            return true;
        }
        self.still = self.still.saturating_add(1);
        let in_flight = vitals.in_flight() > 0;
        if vitals.has_ended() {
            return false;
        }
        if !in_flight && self.still > COMING_TO_REST {
            if self.still.is_multiple_of(ROUTINE) {
                self.interrupt();
            }
            return false;
        }
        if self.still.is_multiple_of(self.patience) && (in_flight || vitals.connections() > 0) {
            self.patience = (self.patience * 2).min(PATIENCE_MAX);
            vitals.poked();
            self.interrupt();
        }
        true
    }

    fn interrupt(&self) {
        // SAFETY: the thread is not joined while it is watched, so its handle is valid; the signal's handler does nothing.
        unsafe { libc::pthread_kill(self.core.thread, SIGNAL) };
    }

    fn has_just_ended(&mut self) -> bool {
        let ended = self.core.vitals.has_ended();
        ended && !std::mem::replace(&mut self.ended, ended)
    }
}

/// A handler that does nothing, without SA_RESTART: the system call that it interrupts returns.
fn install_handler() -> std::io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: a zeroed sigaction is valid, and the handler touches nothing.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(SIGNAL, &action, std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
