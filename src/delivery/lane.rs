//! What waits for one destination, how many work on it, and for how long it is left alone when it does not answer: pure.
//!
//! A destination that cannot be reached is *shut* for a while. Mail that was due before the attempt which found that out counts
//! as tried: somebody tried in its place. Mail that became due later was not tried: it waits until the lane opens, and that
//! does not count. So a dead destination costs one attempt a while, whatever waits for it, and no mail is given up because of
//! what was found out before its time.

use std::collections::VecDeque;
use std::time::Duration;

/// Connections to one destination at the same time, over all cores.
pub const CONNECTIONS_MAX: u32 = 20;

/// Connections that a lane begins with; one more with every mail that goes through.
const CONNECTIONS_FIRST: u32 = 2;

/// How long no further connection is tried where a host would have no more.
const CROWDED: Duration = Duration::from_secs(60);

/// Connections in a row that are lost in the middle of a mail before the destination counts as not reached.
const LOST_MAX: u32 = 3;

/// How long a destination is left alone at first and at most; each failure doubles it.
const SHUT_FIRST: Duration = Duration::from_secs(5);
const SHUT_LONGEST: Duration = Duration::from_secs(300);

/// What waits, and who works on it.
#[derive(Clone, Debug)]
pub struct Lane<T> {
    waiting: VecDeque<T>,
    /// Those who work on it, and those of them who have nothing to do.
    workers: u32,
    idle: u32,
    /// Connections that are open.
    lines: u32,
    allowed: u32,
    /// Until when no more are allowed than there are: the host would have no more.
    crowded: Duration,
    lost: u32,
    failures: u32,
    /// Delays between attempts at one mail: leaving a destination alone for longer would make them longer.
    bounds: Bounds,
    shut: Option<Shut>,
}

/// The shortest and the longest time that a destination is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At first.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

impl Bounds {
    /// For mail that is tried again after these delays.
    pub fn of(shortest: Option<Duration>, longest: Option<Duration>) -> Bounds {
        let longest = longest.unwrap_or(SHUT_LONGEST).min(SHUT_LONGEST);
        Bounds { first: shortest.unwrap_or(SHUT_FIRST).min(SHUT_FIRST).min(longest), longest }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Shut {
    /// When the attempt began that found it out.
    began: Duration,
    until: Duration,
    why: Finding,
}

/// Why a destination was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Why: it begins with a reply code or an enhanced status.
    pub why: std::rc::Rc<str>,
    /// What kind of failure it is.
    pub kind: Kind,
}

/// Kinds of failure of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It may be there later.
    Later,
    /// The DNS says that there is nobody; it may be wrong a few times (`maxDnsProblemRetries`).
    Nobody,
    /// It says itself that it takes no mail, or it is this host.
    Never,
}

/// What is to be done with a mail whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is tried.
    Try,
    /// Somebody tried in its place and failed.
    Failed(Finding),
    /// It was not tried, and waits until then.
    NotBefore(Duration, Finding),
}

impl<T> Lane<T> {
    /// Nothing waits.
    pub fn new(bounds: Bounds) -> Lane<T> {
        let (waiting, shut) = (VecDeque::new(), None);
        let (workers, idle, lines, lost, failures, crowded) = Default::default();
        Lane { waiting, workers, idle, lines, allowed: CONNECTIONS_FIRST, crowded, lost, failures, bounds, shut }
    }

    /// One more waits.
    pub fn enter(&mut self, one: T) {
        self.waiting.push_back(one);
    }

    /// Who waits longest.
    pub fn take(&mut self) -> Option<T> {
        self.waiting.pop_front()
    }

    /// One whose turn it was waits again, before all others.
    pub fn put_back(&mut self, one: T) {
        self.waiting.push_front(one);
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Those who work on it.
    pub fn workers(&self) -> u32 {
        self.workers
    }

    /// Whether one more should work on it.
    pub fn wants_worker(&self, now: Duration) -> bool {
        let most = if self.is_shut(now) || self.failures > 0 { 1 } else { self.allowed };
        !self.waiting.is_empty() && self.idle == 0 && self.workers < most
    }

    /// One begins to work.
    pub fn began(&mut self) {
        self.workers += 1;
    }

    /// One has nothing to do for now, or has something again.
    pub fn is_idle(&mut self, idle: bool) {
        self.idle = if idle { self.idle + 1 } else { self.idle.saturating_sub(1) };
    }

    /// One works no more.
    pub fn ended(&mut self) {
        self.workers = self.workers.saturating_sub(1);
    }

    /// A connection came about, or is over.
    pub fn is_connected(&mut self, connected: bool) {
        self.lines = if connected { self.lines + 1 } else { self.lines.saturating_sub(1) };
    }

    /// Connections that are open.
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// One more connection did not come about while others are open: the host would have no more for now.
    pub fn has_enough(&mut self, now: Duration) {
        self.allowed = self.lines.max(1);
        self.crowded = now + CROWDED;
    }

    /// Whether nothing is known of the destination that is worth keeping.
    pub fn is_over(&self, now: Duration) -> bool {
        let forgotten = self.shut.as_ref().is_none_or(|shut| now >= shut.until + self.bounds.longest);
        self.waiting.is_empty() && self.workers == 0 && forgotten
    }

    /// Whether the destination is left alone.
    pub fn is_shut(&self, now: Duration) -> bool {
        self.shut.as_ref().is_some_and(|shut| now < shut.until)
    }

    /// What to do with a mail that was due then.
    pub fn turn(&self, due: Duration, now: Duration) -> Turn {
        match &self.shut {
            Some(shut) if now < shut.until => match due <= shut.began || shut.why.kind == Kind::Never {
                true => Turn::Failed(shut.why.clone()),
                false => Turn::NotBefore(shut.until, shut.why.clone()),
            },
            _ => Turn::Try,
        }
    }

    /// The destination was not reached by an attempt that began then.
    pub fn not_reached(&mut self, began: Duration, now: Duration, why: Finding) {
        let time = self.bounds.first.saturating_mul(1 << self.failures.min(16)).min(self.bounds.longest);
        self.failures = self.failures.saturating_add(1);
        (self.allowed, self.lost) = (CONNECTIONS_FIRST, 0);
        self.shut = Some(Shut { began, until: now + time, why });
    }

    /// A mail went through: whatever became of it, the destination is there.
    pub fn went_through(&mut self, now: Duration) {
        if now >= self.crowded {
            self.allowed = (self.allowed + 1).min(CONNECTIONS_MAX);
        }
        (self.failures, self.lost, self.shut) = (0, 0, None);
    }

    /// A connection was lost in the middle of a mail.
    pub fn was_lost(&mut self, began: Duration, now: Duration, why: Finding) {
        self.lost += 1;
        if self.lost >= LOST_MAX {
            self.not_reached(began, now, why);
        }
    }

    /// The operator wanted then that something in it is tried at once: what an attempt found out that began before is no
    /// reason any more to leave the destination alone.
    pub fn open(&mut self, wanted: Duration) {
        if let Some(shut) = self.shut.as_mut().filter(|shut| shut.began < wanted) {
            shut.until = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds { first: Duration::from_secs(5), longest: Duration::from_secs(60) };

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn finding() -> Finding {
        Finding { why: "4.4.1 nobody".into(), kind: Kind::Later }
    }

    #[test]
    fn who_was_due_before_an_attempt_shares_its_failure_and_others_wait() {
        let mut lane: Lane<u8> = Lane::new(BOUNDS);
        lane.enter(1);
        assert_eq!(lane.turn(seconds(10), seconds(11)), Turn::Try);
        lane.not_reached(seconds(11), seconds(40), finding());
        assert_eq!(lane.turn(seconds(11), seconds(41)), Turn::Failed(finding()));
        assert_eq!(lane.turn(seconds(12), seconds(41)), Turn::NotBefore(seconds(45), finding()));
        assert_eq!(lane.turn(seconds(12), seconds(45)), Turn::Try);
        lane.not_reached(seconds(46), seconds(47), finding());
        assert_eq!(lane.turn(seconds(45), seconds(48)), Turn::Failed(finding()), "it waited for that");
        lane.open(seconds(46));
        assert!(lane.is_shut(seconds(48)), "it was tried since");
        lane.open(seconds(47));
        assert_eq!(lane.turn(seconds(50), seconds(48)), Turn::Try);
    }

    #[test]
    fn it_is_left_alone_for_longer_and_longer_until_it_is_reached() {
        let mut lane: Lane<u8> = Lane::new(BOUNDS);
        let shut_for = |lane: &mut Lane<u8>| {
            lane.not_reached(seconds(0), seconds(1000), finding());
            (0..).take_while(|time| lane.is_shut(seconds(1000 + time))).count()
        };
        let times: Vec<_> = (0..6).map(|_| shut_for(&mut lane)).collect();
        assert_eq!(times, [5, 10, 20, 40, 60, 60]);
        lane.went_through(seconds(1000));
        assert!(!lane.is_shut(seconds(1000)));
        assert_eq!(shut_for(&mut lane), 5);
        let of = |shortest, longest| Bounds::of(Some(seconds(shortest)), Some(seconds(longest)));
        assert_eq!(of(1, 2), Bounds { first: seconds(1), longest: seconds(2) });
        assert_eq!(of(3600, 3600), Bounds { first: SHUT_FIRST, longest: SHUT_LONGEST });
    }

    #[test]
    fn more_work_on_it_as_more_goes_through() {
        let mut lane: Lane<u32> = Lane::new(BOUNDS);
        let now = seconds(0);
        assert!(!lane.wants_worker(now));
        (0..100).for_each(|one| lane.enter(one));
        let hire = |lane: &mut Lane<u32>| {
            while lane.wants_worker(now) {
                lane.began();
            }
            lane.workers()
        };
        assert_eq!(hire(&mut lane), 2);
        lane.went_through(now);
        assert_eq!(hire(&mut lane), 3);
        (0..50).for_each(|_| lane.went_through(now));
        assert_eq!(hire(&mut lane), CONNECTIONS_MAX);
        lane.ended();
        lane.is_idle(true);
        assert!(!lane.wants_worker(now), "somebody has nothing to do");
        lane.is_idle(false);
        assert!(lane.wants_worker(now));
        lane.not_reached(now, now, finding());
        (0..CONNECTIONS_MAX).for_each(|_| lane.ended());
        assert_eq!(hire(&mut lane), 1, "one finds out whether it is there again");
    }

    #[test]
    fn a_host_that_would_have_no_more_connections_is_not_asked_for_more() {
        let mut lane: Lane<u32> = Lane::new(BOUNDS);
        (0..100).for_each(|one| lane.enter(one));
        (0..10).for_each(|_| lane.went_through(seconds(0)));
        for _ in 0..3 {
            lane.began();
            lane.is_connected(true);
        }
        assert!(lane.wants_worker(seconds(1)));
        lane.has_enough(seconds(1));
        lane.went_through(seconds(2));
        assert!(!lane.wants_worker(seconds(2)) && !lane.is_shut(seconds(2)));
        lane.went_through(seconds(61));
        assert!(lane.wants_worker(seconds(61)));
        lane.is_connected(false);
        assert_eq!(lane.lines(), 2);
    }

    #[test]
    fn connections_that_are_lost_again_and_again_are_none() {
        let mut lane: Lane<u8> = Lane::new(BOUNDS);
        let lose = |lane: &mut Lane<u8>| {
            lane.was_lost(seconds(1), seconds(1), finding());
            lane.is_shut(seconds(1))
        };
        assert!(!lose(&mut lane) && !lose(&mut lane));
        lane.went_through(seconds(1));
        assert!(!lose(&mut lane) && !lose(&mut lane) && lose(&mut lane));
    }

    #[derive(Clone, Debug)]
    enum Event {
        Enter,
        Tend,
        Reached(bool),
        Pass(u64),
    }

    proptest! {
        /// Whatever happens: nothing is lost or done twice, work is bounded, and who fails without having been tried was due
        /// before an attempt that failed.
        #[test]
        fn everybody_has_a_turn(events in prop::collection::vec(prop_oneof![
            3 => Just(Event::Enter), 3 => Just(Event::Tend), 1 => any::<bool>().prop_map(Event::Reached), 2 => (0u64..40).prop_map(Event::Pass),
        ], 0..200)) {
            let mut lane = Lane::new(BOUNDS);
            let (mut now, mut entered, mut left, mut failed_at) = (seconds(1), 0u32, Vec::new(), Vec::new());
            for event in events {
                match event {
                    Event::Enter => {
                        lane.enter((entered, now));
                        entered += 1;
                    }
                    Event::Tend => {
                        if lane.wants_worker(now) {
                            lane.began();
                        }
                        if let Some((one, due)) = lane.take() {
                            left.push(one);
                            match lane.turn(due, now) {
                                Turn::Try => {}
                                Turn::Failed(_) => prop_assert!(failed_at.iter().any(|began| due <= *began)),
                                Turn::NotBefore(until, _) => prop_assert!(until > now && until <= now + BOUNDS.longest),
                            }
                        }
                    }
                    Event::Reached(true) => lane.went_through(now),
                    Event::Reached(false) => {
                        failed_at.push(now);
                        lane.not_reached(now, now, finding());
                    }
                    Event::Pass(time) => now += seconds(time),
                }
                prop_assert!(lane.workers() <= CONNECTIONS_MAX);
            }
            while let Some((one, _)) = lane.take() {
                left.push(one);
            }
            prop_assert_eq!(left, (0..entered).collect::<Vec<_>>());
        }
    }
}
