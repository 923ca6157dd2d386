//! One session and what it is made of; used again for the connection that follows.

use super::dialogue::{Dialogue, Note, Part};
use super::outgoing::Outgoing;
use super::phases::Phase;
use super::script::Script;
use super::supply::Supply;
use super::tally::Tally;
use crate::reply::ReplyReader;
use crate::tls::Transport;
use std::io::{self, IoSlice, Write};
use std::time::{Duration, Instant};

/// How often a slow session sends, if its rate allows an octet each time.
const SLOW_STEP: Duration = Duration::from_millis(50);

/// A session.
pub struct Slot {
    /// Its connection, if it has one.
    pub transport: Option<Transport>,
    /// Its side of the dialogue.
    pub dialogue: Dialogue,
    /// What it is about to send.
    pub out: Outgoing,
    /// Whether the connection is made, PROXY header included.
    pub is_open: bool,
    /// Whether the server has said anything on this connection.
    pub was_heard: bool,
    /// Connections in a row that ended without an acknowledged message.
    pub fruitless: u32,
    /// Whether it stands in the queue of idle sessions.
    pub is_queued: bool,
    /// Since when the TLS handshake is under way.
    pub tls_since: Option<Instant>,
    /// When the part began that ends with the next greeting.
    pub since: Instant,
    reader: ReplyReader,
    auth_since: Instant,
    mail_since: Instant,
    content_handed: bool,
    content_sent: Option<Instant>,
    throttle: Option<Throttle>,
}

/// What came of the replies of one read.
pub enum Outcome {
    /// The session goes on.
    Going,
    /// TLS is to begin.
    StartTls,
    /// It has come to its proper end.
    Ended,
    /// It cannot go on.
    Broken(String),
}

/// What came of sending.
pub enum Flushed {
    /// As much as the stream takes, or everything.
    Done,
    /// A slow session has more to send, and not before then.
    Slowly(Instant),
}

/// Lets a slow session send so many octets a second.
struct Throttle {
    rate: f64,
    next: Instant,
    /// Whether it is known that there is more to send then.
    is_awaited: bool,
}

/// Takes no more than so many octets.
struct Limited<'a> {
    stream: &'a mut Transport,
    left: usize,
}

impl Slot {
    /// Without a connection. With `slow_rate` it sends so many octets a second.
    pub fn new(now: Instant, slow_rate: Option<f64>) -> Slot {
        Slot {
            transport: None,
            dialogue: Dialogue::default(),
            out: Outgoing::default(),
            is_open: false,
            was_heard: false,
            fruitless: 0,
            is_queued: false,
            tls_since: None,
            since: now,
            reader: ReplyReader::default(),
            auth_since: now,
            mail_since: now,
            content_handed: false,
            content_sent: None,
            throttle: slow_rate.map(|rate| Throttle { rate, next: now, is_awaited: false }),
        }
    }

    /// Forgets the connection before.
    pub fn restart(&mut self, now: Instant) {
        self.dialogue.restart();
        self.out.clear();
        self.reader = ReplyReader::default();
        (self.is_open, self.was_heard, self.content_handed) = (false, false, false);
        (self.tls_since, self.content_sent) = (None, None);
        self.since = now;
    }

    /// Takes all replies of one read.
    pub fn replies(
        &mut self,
        index: usize,
        mut input: &[u8],
        script: &Script,
        supply: &mut Supply,
        tally: &mut Tally,
    ) -> Outcome {
        let now = tally.now;
        loop {
            let reply = match self.reader.next(&mut input) {
                Ok(Some(reply)) => reply,
                Ok(None) => return Outcome::Going,
                Err(malformed) => return Outcome::Broken(malformed.to_string()),
            };
            let early = !self.out.is_empty() && self.dialogue.awaits_content_reply();
            if early && reply.code < 400 {
                return Outcome::Broken(format!("reply before the content was sent: {}", reply.first_line()));
            }
            let note = self.dialogue.receive(reply, script, supply, &mut self.out);
            if matches!(note, Note::Acknowledged(_)) {
                self.fruitless = 0;
            }
            match note {
                Note::Passed(Part::Greeting) => tally.record(Phase::Greeting, self.since),
                Note::Passed(Part::Hello) => self.auth_since = now,
                Note::Passed(Part::Auth) => tally.record(Phase::Auth, self.auth_since),
                Note::Passed(Part::Envelope) => tally.record(Phase::Envelope, self.mail_since),
                Note::Passed(Part::StartTls) if !input.is_empty() => {
                    return Outcome::Broken("octets behind the reply to STARTTLS".into());
                }
                Note::Passed(Part::StartTls) => return Outcome::StartTls,
                _ => {}
            }
            tally.note(note, index, reply, self.content_sent);
            self.begun(tally);
            if self.dialogue.has_ended() {
                return Outcome::Ended;
            }
            if early || self.dialogue.is_closing_announced() {
                return Outcome::Broken("closed after a reply in the middle of content".into());
            }
        }
    }

    /// Notes that a message was begun, if one was.
    pub fn begun(&mut self, tally: &mut Tally) {
        if let Some(begun) = self.dialogue.take_mail_said() {
            self.mail_since = tally.now;
            if let Some(due) = begun.due {
                tally.record(Phase::Wait, due);
            }
        }
    }

    /// The moment has come for which [`Flushed::Slowly`] asked.
    pub fn is_due(&mut self) {
        self.throttle.iter_mut().for_each(|throttle| throttle.is_awaited = false);
    }

    /// Sends what there is to send.
    pub fn flush(&mut self, pool: &[u8]) -> io::Result<Flushed> {
        let Some(stream) = self.transport.as_mut().filter(|_| self.is_open && self.tls_since.is_none()) else {
            return Ok(Flushed::Done);
        };
        let mut slowly = None;
        if !self.out.is_empty() {
            let handed = match &mut self.throttle {
                None => self.out.write_to(stream, pool)?,
                Some(throttle) => {
                    let mut limited = Limited { left: throttle.octets(Instant::now()), stream };
                    let handed = self.out.write_to(&mut limited, pool)?;
                    if !self.out.is_empty() && !std::mem::replace(&mut throttle.is_awaited, true) {
                        slowly = Some(throttle.next);
                    }
                    handed
                }
            };
            self.content_handed |= handed;
        }
        let Some(stream) = &mut self.transport else { return Ok(Flushed::Done) };
        if stream.push()? && std::mem::take(&mut self.content_handed) {
            self.content_sent = Some(Instant::now());
        }
        Ok(slowly.map_or(Flushed::Done, Flushed::Slowly))
    }
}

impl Throttle {
    /// How many octets may go now; the next ones not before [`Throttle::next`].
    fn octets(&mut self, now: Instant) -> usize {
        if now < self.next {
            return 0;
        }
        let step = SLOW_STEP.max(Duration::from_secs_f64((1.0 / self.rate).min(604_800.0)));
        self.next = now + step;
        ((self.rate * step.as_secs_f64()).round() as usize).max(1)
    }
}

impl Write for Limited<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = self.stream.write(&octets[..octets.len().min(self.left)])?;
        self.left -= written;
        Ok(written)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        first.map_or(Ok(0), |slice| self.write(slice))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_keeps_its_rate() {
        for (rate, seconds, octets) in [(1.0, 30, 30), (100.0, 10, 1000), (50_000.0, 2, 100_000)] {
            let mut now = Instant::now();
            let end = now + Duration::from_secs(seconds);
            let mut throttle = Throttle { rate, next: now, is_awaited: false };
            let mut sent = 0;
            while now < end {
                sent += throttle.octets(now);
                assert_eq!(throttle.octets(now), 0);
                now = throttle.next;
            }
            assert_eq!(sent, octets, "{rate}");
        }
    }
}
