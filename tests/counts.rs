//! The table of connection counts over loom's atomics: every order in which a few cores can meet, and every value that the
//! memory model lets them read.

use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use loom::thread;

mod atomic {
    pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
    pub use loom::thread::yield_now as pause;
}

#[path = "../src/io/counts/table.rs"]
#[allow(dead_code, reason = "the model uses a part of it")]
mod table;

use table::{Key, Slot, Table, Taken};

/// Everyone has the same home, so that everyone is in everyone's way.
#[derive(Default)]
struct OneHome;

impl Hasher for OneHome {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        1
    }
}

type Counts = Table<BuildHasherDefault<OneHome>>;

fn table(courtesy: u32) -> Arc<Counts> {
    let slots: Vec<Slot> = (0..4).map(|_| Slot::default()).collect();
    Arc::new(Table::new(slots.into(), BuildHasherDefault::default(), courtesy))
}

fn key(number: u8) -> Key {
    Key::new(0, IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)), 64)
}

/// All orders with at most `switches` interruptions of a thread that could have gone on. The bounds make for seconds;
/// LOOM_MAX_PREEMPTIONS looks further.
fn check(switches: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(switches));
    builder.check(model);
}

/// Takes one, and if that worked lets go of it again.
fn come_and_go(counts: &Counts, key: &Key, limit: u32) -> bool {
    match counts.take(key, limit) {
        Taken::In(slot) => {
            counts.release(slot);
            true
        }
        Taken::AtLimit => false,
        Taken::Full => panic!("there is room"),
    }
}

/// How many of `takers` that stay get one.
fn stay(counts: &Arc<Counts>, key: Key, limit: u32, takers: usize) -> usize {
    let threads: Vec<_> = (1..takers)
        .map(|_| {
            let counts = counts.clone();
            thread::spawn(move || counts.take(&key, limit))
        })
        .collect();
    let mut taken = vec![counts.take(&key, limit)];
    taken.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
    assert!(!taken.contains(&Taken::Full));
    taken.iter().filter(|taken| matches!(taken, Taken::In(_))).count()
}

#[test]
fn of_two_that_come_at_once_one_is_too_many() {
    check(3, || {
        let counts = table(16);
        assert_eq!(stay(&counts, key(1), 1, 2), 1);
        assert_eq!(counts.totals(), (1, 1));
    });
}

/// Each takes the other for suspended and beats it, wherever it stands.
#[test]
fn without_courtesy_one_is_still_too_many() {
    check(3, || {
        let counts = table(1);
        assert_eq!(stay(&counts, key(1), 1, 2), 1);
        assert_eq!(counts.totals(), (1, 1));
    });
}

#[test]
fn two_that_come_at_once_are_two() {
    check(3, || {
        let counts = table(16);
        assert_eq!(stay(&counts, key(1), 2, 2), 2);
        assert_eq!(counts.totals(), (2, 1));
    });
}

#[test]
fn of_three_that_come_at_once_one_is_too_many() {
    check(0, || {
        let counts = table(16);
        assert_eq!(stay(&counts, key(1), 2, 3), 2);
        assert_eq!(counts.totals(), (2, 1));
    });
}

/// Another client leaves an earlier slot while two come: the slots they would choose change under them.
#[test]
fn a_slot_that_becomes_free_is_no_second_place_for_the_same() {
    check(2, || {
        let counts = table(16);
        let Taken::In(other) = counts.take(&key(9), 1) else { panic!("the first is counted") };
        let leaving = counts.clone();
        let thread = thread::spawn(move || leaving.release(other));
        assert_eq!(stay(&counts, key(1), 1, 2), 1);
        thread.join().unwrap();
        assert_eq!(counts.totals(), (1, 1));
    });
}

/// Who comes and goes is never refused for the sake of who is gone, and what is counted is what stays.
#[test]
fn coming_and_going_leaves_nothing() {
    check(1, || {
        let counts = table(16);
        let others = counts.clone();
        let thread = thread::spawn(move || {
            come_and_go(&others, &key(1), 1);
            assert!(come_and_go(&others, &key(2), 1));
        });
        come_and_go(&counts, &key(1), 1);
        thread.join().unwrap();
        assert_eq!(counts.totals(), (0, 0));
        assert!(come_and_go(&counts, &key(1), 1));
    });
}
