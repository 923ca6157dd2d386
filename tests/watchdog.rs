//! The watchdog is needed and enough: round trips to the control plane beside CPU hogs, without it and with it.
//!
//! What provokes the executor's hang (foreign wakes into a task queue that asks for low latency) is nothing that ringpost does;
//! the test does it on purpose, so that the hang comes within seconds. `RINGPOST_ROUND_TRIPS` sets how many round trips the run
//! with the watchdog makes.

use std::future::poll_fn;
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringpost::control::client::Client;
use ringpost::control::desk::{self, Lines};
use ringpost::control::names::Resolver;
use ringpost::control::watchdog::{Watchdog, Watched};
use ringpost::directory::{Answer, Listed};
use ringpost::io::handover::Doorbell;
use ringpost::io::metal::{CoreSetup, GlommioMachine, Sleeps};
use ringpost::io::vitals::Vitals;
use ringpost::io::{Class, Machine};
use ringpost::mail::Mailbox;

/// Round trips of the run with the watchdog.
const ROUND_TRIPS: u64 = 100_000;

/// Tasks that ask the control plane, and tasks that are woken from foreign threads.
const ASKING: u64 = 4;
const PROVOKING: usize = 2;

/// A core asleep without progress for this long while answers are in flight, with nobody to help it, hangs.
const HANG: Duration = Duration::from_secs(3);

/// The run without the watchdog has this long to hang.
const LONG_ENOUGH: Duration = Duration::from_secs(100);

/// Looks (a millisecond apart or more) at a core asleep without progress before somebody should have poked it.
const GAP: u32 = 50;

/// A core that makes round trips, and all that stands around it.
struct Bench {
    control: tokio::runtime::Runtime,
    hogs: Vec<JoinHandle<()>>,
    core: JoinHandle<std::io::Result<()>>,
    vitals: Arc<Vitals>,
    trips: Arc<AtomicU64>,
    thread_id: Arc<AtomicI32>,
    stop: Arc<AtomicBool>,
}

impl Bench {
    fn start(sleeps: Sleeps) -> Bench {
        let control = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a control plane");
        let (stop, trips) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (vitals, thread_id) = (Arc::new(Vitals::default()), Arc::new(AtomicI32::new(0)));
        let hogs = (0..3).map(|_| spawn_hog(stop.clone())).collect();
        let doorbell = Arc::new(Doorbell::new(false).expect("an eventfd"));
        let lines = Arc::new(Lines::new([doorbell.clone()]).expect("an eventfd"));
        let (directory, names) = (Arc::new(Listed::default()), Arc::new(Resolver::nobody()));
        control.spawn(desk::serve(lines.clone(), directory, names));

        let setup = CoreSetup {
            name: "shard-0".into(),
            cpu: 0,
            delivery_share: 25,
            doorbell,
            vitals: vitals.clone(),
            free_octets: Arc::default(),
            sleeps,
        };
        let (counted, stopped, signs, id) = (trips.clone(), stop.clone(), vitals.clone(), thread_id.clone());
        let core = GlommioMachine::start(setup, move |machine| async move {
            // SAFETY: gettid has no arguments and cannot fail.
            id.store(unsafe { libc::gettid() }, Ordering::Release);
            for _ in 0..PROVOKING {
                spawn_provocation(signs.clone(), stopped.clone());
            }
            make_round_trips(&machine, Client::new(0, lines, signs), counted, stopped).await;
        });
        Bench { control, hogs, core: core.expect("a core"), vitals, trips, thread_id, stop }
    }

    /// The core's thread sleeps in the kernel.
    fn is_asleep(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.thread_id.load(Ordering::Acquire)));
        stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')))
    }

    fn interrupt(&self) {
        // SAFETY: the thread is joined only in `end`.
        unsafe { libc::pthread_kill(self.core.as_pthread_t() as libc::pthread_t, libc::SIGURG) };
    }

    fn end(self) {
        self.stop.store(true, Ordering::Release);
        while !self.vitals.has_ended() {
            self.interrupt();
            std::thread::sleep(Duration::from_millis(1));
        }
        self.core.join().expect("no panic").expect("a core");
        self.hogs.into_iter().for_each(|hog| hog.join().expect("no panic"));
        self.control.shutdown_background();
    }
}

/// Keeps a CPU busy.
fn spawn_hog(stop: Arc<AtomicBool>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    })
}

/// What ringpost never does: a task in a queue that asks for low latency, woken by another thread again and again.
fn spawn_provocation(vitals: Arc<Vitals>, stop: Arc<AtomicBool>) {
    let latency = glommio::Latency::Matters(Duration::from_millis(1));
    let queue = glommio::executor().create_task_queue(glommio::Shares::default(), latency, "provocation");
    let (sender, receiver) = channel::<(Arc<AtomicBool>, Waker)>();
    std::thread::spawn(move || {
        for (answered, waker) in receiver {
            answered.store(true, Ordering::Release);
            waker.wake();
        }
    });
    let task = async move {
        while !stop.load(Ordering::Relaxed) {
            vitals.begun();
            let answered = Arc::new(AtomicBool::new(false));
            let mut asked = false;
            poll_fn(|context| {
                if answered.load(Ordering::Acquire) {
                    return Poll::Ready(());
                }
                if !std::mem::replace(&mut asked, true) {
                    sender
                        .send((answered.clone(), context.waker().clone()))
                        .expect("the thread lives as long as the task");
                }
                Poll::Pending
            })
            .await;
            vitals.done();
        }
    };
    glommio::spawn_local_into(task, queue).expect("the queue exists").detach();
}

async fn make_round_trips(machine: &GlommioMachine, client: Client, trips: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let answers = client.clone();
    machine.on_doorbell(move || answers.take_answers());
    let nobody = Mailbox::parse("nobody@localhost").expect("a mailbox");
    for _ in 0..ASKING {
        let (client, trips, stop, nobody) = (client.clone(), trips.clone(), stop.clone(), nobody.clone());
        machine.spawn(Class::Intake, async move {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.ask(nobody.clone()).await, Ok(Answer::OtherDomain));
                trips.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(client.ask(nobody.clone()).await, Ok(Answer::OtherDomain));
    }
}

#[test]
fn without_the_watchdog_a_core_hangs_and_a_signal_frees_it() {
    // Only for its signal handler: it watches nobody.
    Watchdog::start(Vec::new(), |_| ()).expect("a watchdog").stop();
    let bench = Bench::start(Sleeps::InExecutor);
    let begun = Instant::now();
    let (mut progress, mut since, mut hung) = (0, Instant::now(), false);
    while !hung && begun.elapsed() < LONG_ENOUGH {
        std::thread::sleep(Duration::from_millis(1));
        let now = bench.vitals.progress();
        if now != progress || bench.vitals.in_flight() == 0 || !bench.is_asleep() {
            (progress, since) = (now, Instant::now());
        }
        hung = since.elapsed() > HANG;
    }
    let stood_at = bench.trips.load(Ordering::Relaxed);
    println!("without the watchdog: {stood_at} round trips in {:?}, then hung: {hung}", begun.elapsed() - HANG);
    bench.interrupt();
    let until = Instant::now() + HANG;
    while bench.trips.load(Ordering::Relaxed) == stood_at && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    let freed = bench.trips.load(Ordering::Relaxed) > stood_at;
    bench.end();
    assert!(hung, "no hang in {LONG_ENOUGH:?}: if glommio has been mended, the watchdog may go");
    assert!(freed, "a signal did not free the core");
}

#[test]
fn with_the_watchdog_every_round_trip_comes_to_its_end() {
    come_to_an_end(Sleeps::InExecutor);
}

/// As ringpost sleeps: in its own ring, where it hears what it waits for. That it does not hear wakes from other threads there, which
/// it never has, costs these a poke each.
#[test]
fn asleep_in_its_own_ring_every_round_trip_comes_to_its_end() {
    come_to_an_end(Sleeps::InOwnRing);
}

fn come_to_an_end(sleeps: Sleeps) {
    let wanted = std::env::var("RINGPOST_ROUND_TRIPS").ok().and_then(|trips| trips.parse().ok()).unwrap_or(ROUND_TRIPS);
    let bench = Bench::start(sleeps);
    let watched = Watched::new(bench.vitals.clone(), &bench.core);
    let watchdog = Watchdog::start(vec![watched], |_| ()).expect("a watchdog");
    let begun = Instant::now();
    let (mut progress, mut asleep, mut pokes) = (0, 0, 0);
    let (mut longest, mut neglected) = (0, 0);
    while bench.trips.load(Ordering::Relaxed) < wanted {
        std::thread::sleep(Duration::from_millis(1));
        let now = bench.vitals.progress();
        if now != progress {
            neglected += u32::from(asleep > GAP && bench.vitals.pokes() == pokes);
            (progress, asleep, pokes) = (now, 0, bench.vitals.pokes());
        } else if bench.vitals.in_flight() > 0 && bench.is_asleep() {
            asleep += 1;
            longest = longest.max(asleep);
            assert!(u128::from(asleep) < HANG.as_millis(), "the watchdog did not free the core");
        }
    }
    let (trips, took) = (bench.trips.load(Ordering::Relaxed), begun.elapsed());
    let pokes = bench.vitals.pokes();
    println!(
        "with the watchdog, {sleeps:?}: {trips} round trips in {took:?}, {pokes} pokes, longest sleep {longest} ms"
    );
    watchdog.stop();
    bench.end();
    assert_eq!(neglected, 0, "a core slept on its work for more than {GAP} ms and was not poked");
}

/// Pokes of a core in this time that are few: it takes five to come to rest, while the machine is busy a few more.
const QUIET: Duration = Duration::from_secs(3);
const FEW: u64 = 50;

/// Neither the pulse of a core nor the poke itself is work, or thousands of idle connections cost what a busy server does.
#[test]
fn a_core_with_nothing_but_idle_connections_is_left_in_peace() {
    let (vitals, stop) = (Arc::new(Vitals::default()), Arc::new(AtomicBool::new(false)));
    let pulses = Arc::new(AtomicU64::new(0));
    let setup = CoreSetup {
        name: "shard-0".into(),
        cpu: 0,
        delivery_share: 25,
        doorbell: Arc::new(Doorbell::new(false).expect("an eventfd")),
        vitals: vitals.clone(),
        free_octets: Arc::default(),
        sleeps: Sleeps::InOwnRing,
    };
    let (signs, stopped, counted) = (vitals.clone(), stop.clone(), pulses.clone());
    let core = GlommioMachine::start(setup, move |machine| async move {
        signs.connected();
        while !stopped.load(Ordering::Relaxed) {
            machine.sleep(Duration::from_millis(100)).await;
            counted.fetch_add(1, Ordering::Relaxed);
        }
    })
    .expect("a core");
    let watchdog = Watchdog::start(vec![Watched::new(vitals.clone(), &core)], |_| ()).expect("a watchdog");
    std::thread::sleep(QUIET);
    let (pokes, pulses) = (vitals.pokes(), pulses.load(Ordering::Relaxed));
    stop.store(true, Ordering::Relaxed);
    watchdog.stop();
    core.join().expect("no panic").expect("a core");
    assert!(pulses > 0 && (1..FEW).contains(&pokes), "{pokes} pokes, {pulses} pulses");
}
