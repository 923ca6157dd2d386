//! One session's side of the dialogue: replies go in, commands and content come out. No socket, no clock.

use super::outgoing::Outgoing;
use super::script::{Pace, Script};
use super::supply::{Begun, Supply, Taken};
use crate::content::Framing;
use crate::reply::Reply;
use std::collections::VecDeque;
use std::time::Instant;

/// What a reply meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The dialogue goes on; the reply ended this part of it.
    Passed(Part),
    /// A final 250: for the message, or with LMTP for one more of its recipients.
    Acknowledged(Acknowledged),
    /// Not the reply that this command should have.
    Refused(&'static str),
    /// The server lacks an extension that the script needs.
    Lacks(&'static str),
}

/// A part of the dialogue that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The server has greeted.
    Greeting,
    /// It is ready for TLS.
    StartTls,
    /// It knows the client, and AUTH is said next.
    Hello,
    /// It believes who the client says it is.
    Auth,
    /// The last recipient was answered.
    Envelope,
    /// None of these.
    Other,
}

/// A message, or one of its recipients, that the server took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The message.
    pub seq: u64,
    /// When it was due, if there is a schedule.
    pub due: Option<Instant>,
    /// CRC-32C of its body.
    pub crc: u32,
    /// Octets of its body.
    pub octets: u64,
    /// Whether this was the last reply and all before it were 250 as well.
    pub whole: bool,
}

/// What the next reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Greeting,
    Hello,
    StartTls,
    /// The reply to so many lines of the AUTH exchange.
    Auth(usize),
    Mail,
    Rcpt,
    Data,
    Content,
    Rset,
    Quit,
}

/// A message whose content has not been sent.
#[derive(Debug)]
struct Opening {
    begun: Begun,
    mail: bool,
    asked: usize,
    accepted: usize,
}

/// A message whose content has been sent.
#[derive(Debug)]
struct Sent {
    begun: Begun,
    crc: u32,
    octets: u64,
    replies_left: usize,
    refused: bool,
}

/// The state of one session, from greeting to QUIT.
#[derive(Debug)]
pub struct Dialogue {
    expected: VecDeque<Expected>,
    opening: Option<Opening>,
    sent: Option<Sent>,
    messages: u64,
    encrypted: bool,
    idle: bool,
    mail_said: Option<Begun>,
    announced: bool,
    ended: bool,
}

impl Default for Dialogue {
    fn default() -> Dialogue {
        let expected = VecDeque::from([Expected::Greeting]);
        Dialogue {
            expected,
            opening: None,
            sent: None,
            messages: 0,
            encrypted: false,
            idle: false,
            mail_said: None,
            announced: false,
            ended: false,
        }
    }
}

impl Dialogue {
    /// Begins a new session, keeping the buffers of the one before.
    pub fn restart(&mut self) {
        self.expected.clear();
        self.expected.push_back(Expected::Greeting);
        *self = Dialogue { expected: std::mem::take(&mut self.expected), ..Dialogue::default() };
    }

    /// Whether QUIT was answered.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the server said by 421 that it would close.
    pub fn is_closing_announced(&self) -> bool {
        self.announced
    }

    /// Whether a message was begun in this session.
    pub fn has_begun_any(&self) -> bool {
        self.messages > 0
    }

    /// Whether the session waits for a message to fall due.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// Whether the next reply answers content, of which nothing should be said before all of it was sent.
    pub fn awaits_content_reply(&self) -> bool {
        self.expected.front() == Some(&Expected::Content)
    }

    /// The message whose MAIL was said since this was last asked.
    pub fn take_mail_said(&mut self) -> Option<Begun> {
        self.mail_said.take()
    }

    /// A message may have fallen due, or there is none any more.
    pub fn resume(&mut self, script: &Script, supply: &mut Supply, out: &mut Outgoing) {
        if std::mem::take(&mut self.idle) {
            self.begin(script, supply, out);
        }
    }

    /// TLS has begun after STARTTLS, so everything is said anew (RFC 3207 section 4.2).
    pub fn encrypted(&mut self, script: &Script, out: &mut Outgoing) {
        self.encrypted = true;
        self.say(&script.hello, Expected::Hello, out);
    }

    /// Takes the next reply and adds to `out` what is to be said then.
    pub fn receive(&mut self, reply: Reply<'_>, script: &Script, supply: &mut Supply, out: &mut Outgoing) -> Note {
        self.announced |= reply.code == 421;
        let Some(expected) = self.expected.pop_front() else { return Note::Refused("unexpected reply") };
        if self.announced {
            return Note::Refused("closed by server");
        }
        match expected {
            Expected::Greeting => self.greeted(reply, script, out),
            Expected::Hello => self.introduced(reply, script, supply, out),
            Expected::StartTls => self.starttls_answered(reply, out),
            Expected::Auth(lines) => self.auth_answered(reply, lines, script, supply, out),
            Expected::Mail => self.mail_answered(reply, script, out),
            Expected::Rcpt => self.rcpt_answered(reply, script, supply, out),
            Expected::Data => self.data_answered(reply, script, supply, out),
            Expected::Content => self.content_answered(reply, script, supply, out),
            Expected::Rset => {
                self.begin(script, supply, out);
                note(reply.code == 250, "RSET")
            }
            Expected::Quit => {
                self.ended = true;
                note(reply.code == 221, "QUIT")
            }
        }
    }

    fn greeted(&mut self, reply: Reply<'_>, script: &Script, out: &mut Outgoing) -> Note {
        if reply.code == 220 {
            self.say(&script.hello, Expected::Hello, out);
        } else {
            self.say(b"QUIT\r\n", Expected::Quit, out);
        }
        passed(reply.code == 220, Part::Greeting, "greeting")
    }

    fn introduced(&mut self, reply: Reply<'_>, script: &Script, supply: &mut Supply, out: &mut Outgoing) -> Note {
        if reply.code != 250 {
            self.say(b"QUIT\r\n", Expected::Quit, out);
            return Note::Refused("EHLO");
        }
        let offered = |name: &str| reply.keywords().any(|keyword| keyword.eq_ignore_ascii_case(name.as_bytes()));
        if script.starttls && !self.encrypted {
            if !offered("STARTTLS") {
                return Note::Lacks("STARTTLS");
            }
            self.say(b"STARTTLS\r\n", Expected::StartTls, out);
            return Note::Passed(Part::Other);
        }
        if let Some(lacking) = script.extensions().find(|name| !offered(name)) {
            return Note::Lacks(lacking);
        }
        match &script.credentials {
            Some(credentials) if !reply.offers("AUTH", credentials.mechanism) => Note::Lacks(credentials.mechanism),
            Some(credentials) => {
                self.say(&credentials.lines[0], Expected::Auth(1), out);
                Note::Passed(Part::Hello)
            }
            None => {
                self.begin(script, supply, out);
                Note::Passed(Part::Other)
            }
        }
    }

    fn starttls_answered(&mut self, reply: Reply<'_>, out: &mut Outgoing) -> Note {
        if reply.code != 220 {
            self.say(b"QUIT\r\n", Expected::Quit, out);
        }
        passed(reply.code == 220, Part::StartTls, "STARTTLS")
    }

    fn auth_answered(
        &mut self,
        reply: Reply<'_>,
        lines: usize,
        script: &Script,
        supply: &mut Supply,
        out: &mut Outgoing,
    ) -> Note {
        let next = script.credentials.as_ref().and_then(|credentials| credentials.lines.get(lines));
        match (reply.code, next) {
            (334, Some(line)) => {
                self.say(line, Expected::Auth(lines + 1), out);
                Note::Passed(Part::Other)
            }
            (235, None) => {
                self.begin(script, supply, out);
                Note::Passed(Part::Auth)
            }
            // Whoever is not believed has nothing to send.
            _ => {
                self.say(b"QUIT\r\n", Expected::Quit, out);
                Note::Refused("AUTH")
            }
        }
    }

    fn mail_answered(&mut self, reply: Reply<'_>, script: &Script, out: &mut Outgoing) -> Note {
        let accepted = reply.code == 250;
        if let Some(opening) = &mut self.opening {
            opening.mail = accepted;
        }
        if script.pace == Pace::Stepwise {
            match script.rcpts.first() {
                Some(rcpt) if accepted => self.say(rcpt, Expected::Rcpt, out),
                _ => self.abandon(out),
            }
        }
        note(accepted, "MAIL")
    }

    fn rcpt_answered(&mut self, reply: Reply<'_>, script: &Script, supply: &mut Supply, out: &mut Outgoing) -> Note {
        let accepted = matches!(reply.code, 250 | 251);
        let Some(opening) = &mut self.opening else { return self.final_rcpt_answered(accepted) };
        opening.asked += 1;
        opening.accepted += usize::from(accepted);
        let (any, next) = (opening.accepted > 0, script.rcpts.get(opening.asked));
        match (script.pace, script.framing, next) {
            (Pace::Stepwise, _, Some(rcpt)) => self.say(rcpt, Expected::Rcpt, out),
            (Pace::Stepwise, _, None) | (Pace::Group, Framing::Bdat, None) if !any => self.abandon(out),
            (Pace::Stepwise, Framing::Data, None) => self.say(b"DATA\r\n", Expected::Data, out),
            (Pace::Stepwise | Pace::Group, Framing::Bdat, None) => self.send_content(script, supply, out),
            _ => {}
        }
        self.rcpt_passed(accepted)
    }

    fn rcpt_passed(&self, accepted: bool) -> Note {
        let last = self.expected.front() != Some(&Expected::Rcpt);
        passed(accepted, if last { Part::Envelope } else { Part::Other }, "RCPT")
    }

    /// A RCPT of a transaction whose content went along with it.
    fn final_rcpt_answered(&mut self, accepted: bool) -> Note {
        if let Some(sent) = self.sent.as_mut().filter(|_| !accepted) {
            sent.replies_left -= usize::from(sent.replies_left > 1);
        }
        self.rcpt_passed(accepted)
    }

    fn data_answered(&mut self, reply: Reply<'_>, script: &Script, supply: &mut Supply, out: &mut Outgoing) -> Note {
        let any = self.opening.as_ref().is_some_and(|opening| opening.mail && opening.accepted > 0);
        match (reply.code, any) {
            (354, true) => self.send_content(script, supply, out),
            // RFC 2920 section 3.1: a server may say 354 although no recipient is valid; a lone dot ends it.
            (354, false) => self.say(b".\r\n", Expected::Content, out),
            _ => self.abandon(out),
        }
        note(reply.code == 354, "DATA")
    }

    fn content_answered(&mut self, reply: Reply<'_>, script: &Script, supply: &mut Supply, out: &mut Outgoing) -> Note {
        let accepted = reply.code == 250;
        let Some(sent) = &mut self.sent else {
            self.opening = None;
            self.begin(script, supply, out);
            return note(!accepted, "an empty message");
        };
        sent.replies_left -= 1;
        sent.refused |= !accepted;
        let (last, refused) = (sent.replies_left == 0, sent.refused);
        let (Begun { seq, due }, crc, octets) = (sent.begun, sent.crc, sent.octets);
        if last {
            self.sent = None;
            if self.expected.is_empty() {
                self.begin(script, supply, out);
            }
        } else {
            self.expected.push_front(Expected::Content);
        }
        let acknowledged = Acknowledged { seq, due, crc, octets, whole: last && !refused };
        if accepted { Note::Acknowledged(acknowledged) } else { Note::Refused("content") }
    }

    /// Begins the next transaction, or ends the session.
    fn begin(&mut self, script: &Script, supply: &mut Supply, out: &mut Outgoing) {
        let limit = script.messages_per_connection;
        let next = if limit > 0 && self.messages >= limit { Taken::Over } else { supply.take() };
        let begun = match next {
            Taken::Message(begun) => begun,
            // With content still to be answered, its reply asks again.
            Taken::Later => return self.idle = self.expected.is_empty(),
            Taken::Over => return self.say(b"QUIT\r\n", Expected::Quit, out),
        };
        self.messages += 1;
        self.mail_said = Some(begun);
        self.opening = Some(Opening { begun, mail: false, asked: 0, accepted: 0 });
        self.say(&script.mail, Expected::Mail, out);
        if script.pace == Pace::Stepwise {
            return;
        }
        script.rcpts.iter().for_each(|rcpt| self.say(rcpt, Expected::Rcpt, out));
        match (script.framing, script.pace) {
            (Framing::Data, _) => self.say(b"DATA\r\n", Expected::Data, out),
            (Framing::Bdat, Pace::Pipelining) => self.send_content(script, supply, out),
            (Framing::Bdat, _) => {}
        }
    }

    /// Sends the content of the message that is open; with RFC 2920's pipelining, the next one's commands as well.
    fn send_content(&mut self, script: &Script, supply: &mut Supply, out: &mut Outgoing) {
        let Some(opening) = self.opening.take() else { return };
        let end: &[u8] = match script.framing {
            Framing::Data => b".\r\n",
            Framing::Bdat => {
                out.command(format!("BDAT {} LAST\r\n", script.content.octets(opening.begun.seq)).as_bytes());
                b""
            }
        };
        let piece = out.content(&script.content, opening.begun.seq, end);
        // Recipients not asked about yet count as accepted until a reply says otherwise.
        let recipients = opening.accepted + script.rcpts.len() - opening.asked;
        let replies_left = if script.lmtp { recipients.max(1) } else { 1 };
        let (crc, octets) = (piece.crc, piece.body_octets);
        self.sent = Some(Sent { begun: opening.begun, crc, octets, replies_left, refused: false });
        self.expected.push_back(Expected::Content);
        if script.pace == Pace::Pipelining && script.framing == Framing::Data {
            self.begin(script, supply, out);
        }
    }

    fn abandon(&mut self, out: &mut Outgoing) {
        self.opening = None;
        self.say(b"RSET\r\n", Expected::Rset, out);
    }

    fn say(&mut self, command: &[u8], expected: Expected, out: &mut Outgoing) {
        out.command(command);
        self.expected.push_back(expected);
    }
}

fn note(fine: bool, command: &'static str) -> Note {
    passed(fine, Part::Other, command)
}

fn passed(fine: bool, part: Part, command: &'static str) -> Note {
    if fine { Note::Passed(part) } else { Note::Refused(command) }
}

#[cfg(test)]
mod tests;
