//! How long a client may take for what it does: when the session, the transaction, the command line or the content has taken
//! too long, by the core's coarse clock.
//!
//! Pure: time is an argument. A client that keeps within RFC 5321 §4.5.3.2 never comes near the defaults.

use std::time::Duration;

use super::channel::Deadline;
use crate::smtp::server::question::Interrupt;

/// What a client is given, beside the time that it may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the header of a proxy, from the moment it connected.
    pub proxy_header: Duration,
    /// For the handshake of TLS, from the moment it may begin.
    pub tls_handshake: Duration,
    /// For a command line, from its first octet to its last.
    pub command_line: Duration,
    /// For a transaction.
    pub transaction: Duration,
    /// For a session.
    pub session: Duration,
    /// Octets a second that content must bring, on the average over `content_window`.
    pub content_rate: u32,
    /// See `content_rate`.
    pub content_window: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        const HOUR: u64 = 3600;
        Timeouts {
            proxy_header: Duration::from_secs(5),
            tls_handshake: Duration::from_secs(30),
            command_line: Duration::from_secs(300),
            transaction: Duration::from_secs(6 * HOUR),
            session: Duration::from_secs(24 * HOUR),
            content_rate: 100,
            content_window: Duration::from_secs(600),
        }
    }
}

impl Timeouts {
    /// Octets that content must bring in a window.
    fn quota(&self) -> u64 {
        u64::from(self.content_rate).saturating_mul(self.content_window.as_secs())
    }
}

/// What a client is about when it is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doing {
    /// A transaction.
    pub transaction: bool,
    /// A command line of which the beginning is there.
    pub line: bool,
    /// Content.
    pub content: bool,
}

/// How far one client has come, in time.
#[derive(Debug)]
pub struct Pace {
    session_ends: Duration,
    transaction_ends: Option<Duration>,
    line_ends: Option<Duration>,
    content: Content,
}

/// The window over which the rate of content is looked at. Only time in which the client was waited for counts: a disk that is
/// slow is not the client's fault.
#[derive(Debug, Default)]
struct Content {
    waited: Duration,
    octets: u64,
}

impl Pace {
    /// Of a session that begins now.
    pub fn new(now: Duration, timeouts: &Timeouts) -> Pace {
        Pace {
            session_ends: now + timeouts.session,
            transaction_ends: None,
            line_ends: None,
            content: Content::default(),
        }
    }

    /// Until when a client is waited for that does this, and may be silent for `idle`.
    pub fn deadline(&mut self, timeouts: &Timeouts, now: Duration, idle: Duration, doing: Doing) -> Deadline {
        let Timeouts { transaction, command_line, .. } = *timeouts;
        self.transaction_ends = doing.transaction.then(|| self.transaction_ends.unwrap_or(now + transaction));
        self.line_ends = doing.line.then(|| self.line_ends.unwrap_or(now + command_line));
        let ends = [
            (Some(now + idle), Interrupt::Idle),
            (self.line_ends, Interrupt::Slow),
            (doing.content.then(|| self.window_ends(timeouts, now)).flatten(), Interrupt::Slow),
            (self.transaction_ends, Interrupt::TooLong),
            (Some(self.session_ends), Interrupt::TooLong),
        ];
        let deadlines = ends.into_iter().filter_map(|(at, why)| Some(Deadline { at: at?, why }));
        deadlines.min_by_key(|deadline| deadline.at).unwrap_or(Deadline { at: now, why: Interrupt::Idle })
    }

    /// A command line is complete: the next one has time of its own.
    pub fn line_ended(&mut self) {
        self.line_ends = None;
    }

    /// Content of a new message begins.
    pub fn content_begins(&mut self) {
        self.content = Content::default();
    }

    /// So much content came after the client was waited for so long.
    pub fn content_came(&mut self, timeouts: &Timeouts, waited: Duration, octets: usize) {
        self.content.waited += waited;
        self.content.octets += octets as u64;
        if self.content.waited >= timeouts.content_window && self.content.octets >= timeouts.quota() {
            self.content = Content::default();
        }
    }

    /// When the window ends, while it has not had enough.
    fn window_ends(&self, timeouts: &Timeouts, now: Duration) -> Option<Duration> {
        let left = timeouts.content_window.saturating_sub(self.content.waited);
        (self.content.octets < timeouts.quota()).then_some(now + left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(300);
    const LINE: Doing = Doing { transaction: false, line: true, content: false };
    const CONTENT: Doing = Doing { transaction: true, line: false, content: true };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn at(at: u64, why: Interrupt) -> Deadline {
        Deadline { at: seconds(at), why }
    }

    #[test]
    fn a_line_has_time_from_its_first_octet() {
        let timeouts = &Timeouts { command_line: seconds(100), ..Timeouts::default() };
        let mut pace = Pace::new(seconds(0), timeouts);
        assert_eq!(pace.deadline(timeouts, seconds(10), IDLE, Doing::default()), at(310, Interrupt::Idle));
        assert_eq!(pace.deadline(timeouts, seconds(20), IDLE, LINE), at(120, Interrupt::Slow));
        assert_eq!(pace.deadline(timeouts, seconds(90), IDLE, LINE), at(120, Interrupt::Slow));
        pace.line_ended();
        assert_eq!(pace.deadline(timeouts, seconds(90), IDLE, LINE), at(190, Interrupt::Slow));
        assert_eq!(pace.deadline(timeouts, seconds(90), IDLE, Doing::default()), at(390, Interrupt::Idle));
        assert_eq!(pace.deadline(timeouts, seconds(95), IDLE, LINE), at(195, Interrupt::Slow));
    }

    #[test]
    fn transactions_and_sessions_end() {
        let timeouts = &Timeouts { transaction: seconds(1000), session: seconds(1500), ..Timeouts::default() };
        let mut pace = Pace::new(seconds(0), timeouts);
        let doing = Doing { transaction: true, ..Doing::default() };
        assert_eq!(pace.deadline(timeouts, seconds(100), IDLE, doing), at(400, Interrupt::Idle));
        assert_eq!(pace.deadline(timeouts, seconds(900), IDLE, doing), at(1100, Interrupt::TooLong));
        pace.deadline(timeouts, seconds(1000), IDLE, Doing::default());
        assert_eq!(pace.deadline(timeouts, seconds(1150), IDLE, doing), at(1450, Interrupt::Idle));
        assert_eq!(pace.deadline(timeouts, seconds(1300), IDLE, doing), at(1500, Interrupt::TooLong));
    }

    /// What becomes of a client that sends so many octets every so many seconds; `None` if it is never too slow in an hour.
    fn send(octets: usize, every: u64) -> Option<u64> {
        let timeouts = &Timeouts::default();
        let mut pace = Pace::new(seconds(0), timeouts);
        pace.content_begins();
        for now in (0..3600).step_by(every as usize) {
            let deadline = pace.deadline(timeouts, seconds(now), IDLE, CONTENT);
            if deadline.at < seconds(now + every) {
                assert_eq!(deadline.why, Interrupt::Slow);
                return Some(deadline.at.as_secs());
            }
            pace.content_came(timeouts, seconds(every), octets);
        }
        None
    }

    #[test]
    fn content_must_keep_up_over_ten_minutes() {
        assert_eq!(send(1, 1), Some(600));
        assert_eq!(send(99, 1), Some(600));
        assert_eq!(send(100, 1), None);
        // RFC 5321 §4.5.3.2.5 lets three minutes pass between pieces of any size.
        assert_eq!(send(64 * 1024, 180), None);
        // What took us so long does not count, and another message has a window of its own.
        let timeouts = &Timeouts::default();
        let mut pace = Pace::new(seconds(0), timeouts);
        pace.content_came(timeouts, seconds(590), 10);
        assert_eq!(pace.deadline(timeouts, seconds(5000), IDLE, CONTENT), at(5010, Interrupt::Slow));
        pace.content_begins();
        assert_eq!(pace.deadline(timeouts, seconds(5000), IDLE, CONTENT), at(5300, Interrupt::Idle));
    }
}
