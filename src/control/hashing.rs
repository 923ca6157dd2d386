//! Threads that hash passwords: few, at idle priority, behind a bounded queue, so that no storm of passwords slows mail.
//!
//! There are two lanes. Passwords of users who lately proved themselves from the same client's network go by one that has a
//! thread of ordinary priority to itself, so that strangers cannot keep them out; everybody else's wait for idle time. One
//! client's passwords take a part of the queue at most.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Passwords that wait in each lane at most.
const WAITING: usize = 256;

/// Passwords of one client that wait at most.
const WAITING_OF_CLIENT: usize = 32;

/// Bits of an IPv6 address that make one client.
const IPV6_PREFIX: u32 = 64;

/// Whose password it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Of a user who lately proved itself from there.
    Trusted,
    /// Anybody's.
    Anyone,
}

/// The queue is full, or this client's part of it, or there is no memory to hash with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBusy;

/// The threads; they end when this is dropped.
pub struct Hashing {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Default)]
struct Queue {
    trusted: VecDeque<Job>,
    anyone: VecDeque<Job>,
    clients: HashMap<IpAddr, usize>,
    stopped: bool,
}

struct Job {
    client: IpAddr,
    work: Box<dyn FnOnce() + Send>,
}

impl Hashing {
    /// So many threads at idle priority, and one of ordinary priority for the trusted lane.
    pub fn start(threads: usize) -> io::Result<Hashing> {
        let shared = Arc::new(Shared { queue: Mutex::default(), work: Condvar::new() });
        let hashing = Hashing { shared };
        for number in 0..threads.max(1) {
            hashing.spawn(format!("hash-{number}"), true)?;
        }
        hashing.spawn("hash-trusted".to_owned(), false)?;
        Ok(hashing)
    }

    fn spawn(&self, name: String, idle: bool) -> io::Result<()> {
        let shared = self.shared.clone();
        let work = move || {
            if idle {
                be_idle();
            }
            while let Some(job) = shared.next(idle) {
                // A job that panics answers nobody, which its waiter takes for too busy.
                let _ = catch_unwind(AssertUnwindSafe(job.work));
            }
        };
        std::thread::Builder::new().name(name).spawn(work).map(drop)
    }

    /// Does `work` on one of the threads, unless whoever waits for it has gone by then.
    pub async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        client: IpAddr,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TooBusy> {
        let (sender, answer) = oneshot::channel();
        let work = move || {
            if !sender.is_closed() {
                // Whoever waited may go at any time.
                let _ = sender.send(work());
            }
        };
        self.shared.add(lane, Job { client: network(client), work: Box::new(work) })?;
        answer.await.map_err(|_| TooBusy)
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing is done under the lock that could leave the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, lane: Lane, job: Job) -> Result<(), TooBusy> {
        let mut queue = self.lock();
        let waiting = match lane {
            Lane::Trusted => queue.trusted.len(),
            Lane::Anyone => queue.anyone.len(),
        };
        let of_client = queue.clients.entry(job.client).or_default();
        if waiting >= WAITING || *of_client >= WAITING_OF_CLIENT {
            return Err(TooBusy);
        }
        *of_client += 1;
        match lane {
            Lane::Trusted => queue.trusted.push_back(job),
            Lane::Anyone => queue.anyone.push_back(job),
        }
        drop(queue);
        self.work.notify_all();
        Ok(())
    }

    /// The next job for an idle thread or the trusted one; `None` at the end.
    fn next(&self, idle: bool) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return None;
            }
            let job = queue.trusted.pop_front().or_else(|| if idle { queue.anyone.pop_front() } else { None });
            if let Some(job) = job {
                if let Some(left) = queue.clients.get_mut(&job.client) {
                    *left -= 1;
                    if *left == 0 {
                        queue.clients.remove(&job.client);
                    }
                }
                return Some(job);
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The network that counts as one client.
pub fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> (128 - IPV6_PREFIX) << (128 - IPV6_PREFIX)).into(),
        address => address,
    }
}

/// Gives this thread time that nobody else wants; where the kernel refuses that, as little as it grants.
fn be_idle() {
    // SAFETY: the structure is a plain record of numbers, for which zero is valid.
    let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: 0 is this thread; the parameters live through the call.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameters) } != 0 {
        // SAFETY: setpriority takes numbers; on Linux 0 is this thread.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn client(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    /// Threads that are all busy until the sender is dropped.
    async fn blocked(hashing: &Arc<Hashing>) -> std::sync::mpsc::Sender<()> {
        let (end, wait) = channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        for lane in [Lane::Anyone, Lane::Trusted] {
            let (wait, hashing) = (wait.clone(), hashing.clone());
            let (began, begun) = oneshot::channel();
            tokio::spawn(async move {
                let work = move || {
                    began.send(()).expect("waited for");
                    // Ends with an error when the sender is gone.
                    let _ = wait.lock().unwrap_or_else(PoisonError::into_inner).recv();
                };
                hashing.run(lane, client(0), work).await
            });
            begun.await.expect("it begins");
        }
        end
    }

    #[tokio::test]
    async fn work_is_done_and_a_panic_hurts_nobody() {
        let hashing = Hashing::start(1).expect("threads");
        assert_eq!(hashing.run(Lane::Anyone, client(1), || 6 * 7).await, Ok(42));
        assert_eq!(hashing.run(Lane::Anyone, client(1), || panic!("on purpose")).await, Err::<(), _>(TooBusy));
        assert_eq!(hashing.run(Lane::Trusted, client(1), || 1).await, Ok(1));
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_no_client_fills_it_alone() {
        let hashing = Arc::new(Hashing::start(1).expect("threads"));
        let end = blocked(&hashing).await;
        let mut waiting = Vec::new();
        for number in 1..=8 {
            for _ in 0..WAITING_OF_CLIENT {
                let job = Box::pin(hashing.run(Lane::Anyone, client(number), || 1));
                waiting.push(job);
                let last = waiting.last_mut().expect("it was pushed");
                assert!(futures_lite::future::poll_once(last).await.is_none(), "it waits");
            }
            assert_eq!(hashing.run(Lane::Trusted, client(number), || 1).await, Err(TooBusy), "its part is full");
        }
        assert_eq!(waiting.len(), WAITING);
        assert_eq!(hashing.run(Lane::Anyone, client(9), || 1).await, Err(TooBusy), "the lane is full");
        let trusted = hashing.run(Lane::Trusted, client(9), || 1);
        drop(end);
        assert_eq!(trusted.await, Ok(1), "the other lane is not");
        for job in waiting {
            assert_eq!(job.await, Ok(1));
        }
        assert!(hashing.shared.lock().clients.is_empty(), "nothing is kept of clients");
    }

    #[test]
    fn neighbours_in_a_network_are_one_client() {
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(network(parse("2001:db8::1")), network(parse("2001:db8::ffff:2")));
        assert_ne!(network(parse("2001:db8::1")), network(parse("2001:db8:0:1::1")));
        assert_eq!(network(parse("::ffff:192.0.2.1")), parse("192.0.2.1"));
    }
}
