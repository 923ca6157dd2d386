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
mod tests {
    use super::*;
    use crate::content::Content;
    use crate::source::script::{Credentials, Mechanism};
    use crate::source::supply::{Arrivals, Part as Share, Schedule};
    use std::time::Duration;

    const WHOLE: Share = Share { index: 0, of: 1 };
    const HELLO: &str = "250-here\r\n250-PIPELINING\r\n250 CHUNKING\r\n";

    struct Client {
        script: Script,
        dialogue: Dialogue,
        supply: Supply,
        out: Outgoing,
    }

    impl Client {
        fn new(pace: Pace, framing: Framing, lmtp: bool, recipients: usize, messages: u64) -> Client {
            let to: Vec<String> = (0..recipients).map(|number| format!("u{number}@there")).collect();
            let content = Content::prepare(1, "me@here", &to, &[1000], framing).unwrap();
            let script = Script::new(content, "me@here", &to, pace, framing, lmtp);
            Client {
                script,
                dialogue: Dialogue::default(),
                supply: Supply::new(WHOLE, messages, None),
                out: Outgoing::default(),
            }
        }

        /// Hands one reply over; what it meant, and the commands said then, with `*` for a content.
        fn hears(&mut self, text: &str) -> (Note, String) {
            let mut reader = crate::reply::ReplyReader::default();
            let reply = reader.next(&mut text.as_bytes()).unwrap().unwrap();
            let note = self.dialogue.receive(reply, &self.script, &mut self.supply, &mut self.out);
            let mut said = Vec::new();
            self.out.write_to(&mut said, self.script.content.pool()).unwrap();
            let said = String::from_utf8(said).unwrap();
            let start = said.find("From: <me@here>");
            let shown = match (start, said.find("-- end of ")) {
                (Some(start), Some(end)) => {
                    let behind = said[end..].split_once("\r\n").unwrap().1;
                    format!("{}*\r\n{behind}", &said[..start])
                }
                _ => said,
            };
            (note, shown.trim_end().replace("\r\n", "|"))
        }

        fn says(&mut self, reply: &str) -> String {
            let (note, said) = self.hears(&format!("{reply}\r\n"));
            assert!(!matches!(note, Note::Refused(_) | Note::Lacks(_)), "{reply}: {note:?}");
            said
        }

        fn introduced(mut self) -> (Client, String) {
            assert!(self.says("220 here")[1..].starts_with("HLO loadtest"));
            let (_, said) = self.hears(HELLO);
            (self, said)
        }
    }

    #[test]
    fn stepwise_waits_for_every_reply() {
        let (mut client, said) = Client::new(Pace::Stepwise, Framing::Data, false, 2, 1).introduced();
        assert_eq!(said, "MAIL FROM:<me@here>");
        assert_eq!(client.says("250 ok"), "RCPT TO:<u0@there>");
        assert_eq!(client.says("250 ok"), "RCPT TO:<u1@there>");
        assert_eq!(client.says("250 ok"), "DATA");
        assert_eq!(client.says("354 go"), "*|.");
        let (note, said) = client.hears("250 kept\r\n");
        assert!(matches!(note, Note::Acknowledged(Acknowledged { seq: 0, whole: true, .. })));
        assert_eq!(said, "QUIT");
        client.says("221 bye");
        assert!(client.dialogue.has_ended());
    }

    #[test]
    fn group_sends_the_commands_together() {
        let (mut client, said) = Client::new(Pace::Group, Framing::Data, false, 1, 2).introduced();
        assert_eq!(said, "MAIL FROM:<me@here>|RCPT TO:<u0@there>|DATA");
        assert_eq!(client.says("250 ok") + &client.says("250 ok"), "");
        assert_eq!(client.says("354 go"), "*|.");
        assert_eq!(client.says("250 kept"), "MAIL FROM:<me@here>|RCPT TO:<u0@there>|DATA");
    }

    #[test]
    fn pipelining_sends_content_with_the_next_commands() {
        let (mut client, _) = Client::new(Pace::Pipelining, Framing::Data, false, 1, 2).introduced();
        assert_eq!(client.says("250 ok") + &client.says("250 ok"), "");
        assert_eq!(client.says("354 go"), "*|.|MAIL FROM:<me@here>|RCPT TO:<u0@there>|DATA");
        assert!(matches!(client.hears("250 kept\r\n").0, Note::Acknowledged(Acknowledged { seq: 0, whole: true, .. })));
        assert_eq!(client.says("250 ok") + &client.says("250 ok"), "");
        assert_eq!(client.says("354 go"), "*|.|QUIT");
        assert!(matches!(client.hears("250 kept\r\n").0, Note::Acknowledged(Acknowledged { seq: 1, whole: true, .. })));
        client.says("221 bye");
        assert!(client.dialogue.has_ended());
    }

    #[test]
    fn bdat_goes_as_far_ahead_as_the_pace_allows() {
        let (mut client, said) = Client::new(Pace::Stepwise, Framing::Bdat, false, 1, 1).introduced();
        assert_eq!(said, "MAIL FROM:<me@here>");
        client.says("250 ok");
        assert_eq!(client.says("250 ok"), "BDAT 1000 LAST|*");
        let (mut client, said) = Client::new(Pace::Group, Framing::Bdat, false, 1, 1).introduced();
        assert_eq!(said, "MAIL FROM:<me@here>|RCPT TO:<u0@there>");
        client.says("250 ok");
        assert_eq!(client.says("250 ok"), "BDAT 1000 LAST|*");
        let (mut client, said) = Client::new(Pace::Pipelining, Framing::Bdat, false, 1, 1).introduced();
        assert_eq!(said, "MAIL FROM:<me@here>|RCPT TO:<u0@there>|BDAT 1000 LAST|*");
        assert_eq!(client.says("250 ok") + &client.says("250 ok"), "");
        assert_eq!(client.says("250 kept"), "QUIT");
    }

    #[test]
    fn lmtp_counts_a_reply_for_each_accepted_recipient() {
        for (pace, framing) in
            [(Pace::Group, Framing::Data), (Pace::Pipelining, Framing::Data), (Pace::Pipelining, Framing::Bdat)]
        {
            let (mut client, _) = Client::new(pace, framing, true, 3, 1).introduced();
            client.says("250 ok");
            client.says("250 ok");
            assert_eq!(client.hears("550 no such user\r\n").0, Note::Refused("RCPT"));
            client.says("250 ok");
            if framing == Framing::Data {
                client.says("354 go");
            }
            assert!(
                matches!(client.hears("250 kept\r\n").0, Note::Acknowledged(Acknowledged { seq: 0, whole: false, .. })),
                "{pace:?}"
            );
            assert!(
                matches!(client.hears("250 kept\r\n").0, Note::Acknowledged(Acknowledged { seq: 0, whole: true, .. })),
                "{pace:?}"
            );
            assert!(client.dialogue.sent.is_none());
        }
    }

    #[test]
    fn lmtp_is_whole_only_if_every_recipient_was_acknowledged() {
        let (mut client, _) = Client::new(Pace::Group, Framing::Data, true, 2, 1).introduced();
        ["250 ok", "250 ok", "250 ok", "354 go"].iter().for_each(|reply| drop(client.says(reply)));
        assert_eq!(client.hears("452 full\r\n").0, Note::Refused("content"));
        assert!(matches!(
            client.hears("250 kept\r\n").0,
            Note::Acknowledged(Acknowledged { seq: 0, whole: false, .. })
        ));
    }

    #[test]
    fn refused_commands_end_the_transaction_and_not_the_session() {
        let (mut client, _) = Client::new(Pace::Stepwise, Framing::Data, false, 1, 2).introduced();
        assert_eq!(client.hears("451 later\r\n"), (Note::Refused("MAIL"), "RSET".into()));
        assert_eq!(client.says("250 ok"), "MAIL FROM:<me@here>");
        client.says("250 ok");
        assert_eq!(client.hears("550 nobody\r\n"), (Note::Refused("RCPT"), "RSET".into()));
        assert_eq!(client.says("250 ok"), "QUIT");
    }

    #[test]
    fn a_group_without_recipients_sends_a_lone_dot_if_it_is_asked_for_content() {
        let (mut client, _) = Client::new(Pace::Group, Framing::Data, false, 1, 2).introduced();
        client.says("250 ok");
        client.hears("550 nobody\r\n");
        assert_eq!(client.says("354 go"), ".");
        assert_eq!(client.says("554 no valid recipients"), "MAIL FROM:<me@here>|RCPT TO:<u0@there>|DATA");
        client.says("250 ok");
        client.hears("550 nobody\r\n");
        assert_eq!(client.hears("503 no recipients\r\n"), (Note::Refused("DATA"), "RSET".into()));
    }

    #[test]
    fn ends_after_so_many_messages_and_at_421() {
        let mut client = Client::new(Pace::Group, Framing::Data, false, 1, 5);
        client.script.messages_per_connection = 1;
        let (mut client, _) = client.introduced();
        ["250 ok", "250 ok", "354 go"].iter().for_each(|reply| drop(client.says(reply)));
        assert_eq!(client.says("250 kept"), "QUIT");
        client.says("221 bye");
        client.dialogue.restart();
        assert!(client.says("220 here").starts_with("EHLO"));
        assert_eq!(client.hears("421 going down\r\n").0, Note::Refused("closed by server"));
        assert!(client.dialogue.is_closing_announced());
    }

    #[test]
    fn starttls_comes_first_and_everything_is_said_anew_behind_it() {
        let mut client = Client::new(Pace::Group, Framing::Bdat, false, 1, 1);
        client.script.starttls = true;
        client.says("220 here");
        assert_eq!(client.hears("250-here\r\n250 STARTTLS\r\n").1, "STARTTLS");
        assert_eq!(client.hears("220 go\r\n"), (Note::Passed(Part::StartTls), String::new()));
        client.dialogue.encrypted(&client.script, &mut client.out);
        assert_eq!(client.hears(HELLO).1, "EHLO loadtest.localhost|MAIL FROM:<me@here>|RCPT TO:<u0@there>");
        let mut client = Client::new(Pace::Group, Framing::Data, false, 1, 1);
        client.script.starttls = true;
        client.says("220 here");
        assert_eq!(client.hears(HELLO).0, Note::Lacks("STARTTLS"));
    }

    #[test]
    fn credentials_go_as_the_mechanism_wants_them() {
        for (mechanism, lines) in [
            (Mechanism::Plain, vec![("AUTH PLAIN AG1lAHNlY3JldA==", "235 fine")]),
            (Mechanism::Login, vec![("AUTH LOGIN", "334 a"), ("bWU=", "334 b"), ("c2VjcmV0", "235 fine")]),
        ] {
            let mut client = Client::new(Pace::Stepwise, Framing::Data, false, 1, 1);
            client.script.credentials = Some(Credentials::new(mechanism, "me", "secret"));
            client.says("220 here");
            let (_, mut said) = client.hears("250-here\r\n250 AUTH LOGIN PLAIN\r\n");
            for (line, reply) in lines {
                assert_eq!(said, line);
                said = client.says(reply);
            }
            assert_eq!(said, "MAIL FROM:<me@here>");
            let mut client = Client::new(Pace::Stepwise, Framing::Data, false, 1, 1);
            client.script.credentials = Some(Credentials::new(mechanism, "me", "secret"));
            client.says("220 here");
            client.hears("250-here\r\n250 AUTH LOGIN PLAIN\r\n");
            assert_eq!(client.hears("535 no\r\n"), (Note::Refused("AUTH"), "QUIT".into()));
        }
    }

    #[test]
    fn a_message_that_is_not_due_leaves_the_session_idle() {
        let mut client = Client::new(Pace::Pipelining, Framing::Data, false, 1, 2);
        let start = Instant::now();
        let schedule = Schedule::new(start, 1.0, Duration::ZERO, Arrivals::Even, WHOLE, 1);
        client.supply = Supply::new(WHOLE, 2, Some(schedule));
        client.supply.tick(start);
        let (mut client, said) = client.introduced();
        assert!(said.starts_with("MAIL"));
        client.says("250 ok");
        client.says("250 ok");
        assert_eq!(client.says("354 go"), "*|.");
        assert!(!client.dialogue.is_idle());
        let (note, said) = client.hears("250 kept\r\n");
        assert!(matches!(note, Note::Acknowledged(Acknowledged { due: Some(due), .. }) if due == start));
        assert_eq!((said.as_str(), client.dialogue.is_idle()), ("", true));
        client.dialogue.resume(&client.script, &mut client.supply, &mut client.out);
        assert!(client.dialogue.is_idle() && client.out.is_empty());
        client.supply.tick(start + Duration::from_secs(1));
        client.dialogue.resume(&client.script, &mut client.supply, &mut client.out);
        assert!(!client.dialogue.is_idle() && !client.out.is_empty());
    }

    #[test]
    fn names_the_extension_that_is_lacking() {
        let mut client = Client::new(Pace::Group, Framing::Bdat, false, 1, 1);
        client.says("220 here");
        assert_eq!(client.hears("250-here\r\n250 PIPELINING\r\n").0, Note::Lacks("CHUNKING"));
    }
}
