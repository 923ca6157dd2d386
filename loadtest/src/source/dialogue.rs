//! One session's side of the dialogue: replies go in, commands and content come out. No socket, no clock.

use super::outgoing::Outgoing;
use super::script::{Pace, Script};
use crate::content::Framing;
use crate::reply::Reply;
use std::collections::VecDeque;

/// Hands out the numbers of messages until there are to be no more.
#[derive(Debug)]
pub struct Supply {
    begun: u64,
    limit: u64,
}

impl Supply {
    /// At most `limit` messages.
    pub fn new(limit: u64) -> Supply {
        Supply { begun: 0, limit }
    }

    /// How many were handed out.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Whether another one can be had.
    pub fn is_left(&self) -> bool {
        self.begun < self.limit
    }

    /// Hands out no more.
    pub fn stop(&mut self) {
        self.limit = self.begun;
    }

    fn take(&mut self) -> Option<u64> {
        let seq = self.is_left().then_some(self.begun)?;
        self.begun += 1;
        Some(seq)
    }
}

/// What a reply meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The dialogue goes on.
    Nothing,
    /// A final 250: for the message, or with LMTP for one more of its recipients.
    Acknowledged {
        /// The message.
        seq: u64,
        /// CRC-32C of its body.
        crc: u32,
        /// Whether this was the last reply and all before it were 250 as well.
        whole: bool,
    },
    /// Not the reply that this command should have.
    Refused(&'static str),
    /// The server lacks an extension that the script needs.
    Lacks(&'static str),
}

/// What the next reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Greeting,
    Hello,
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
    seq: u64,
    mail: bool,
    asked: usize,
    accepted: usize,
}

/// A message whose content has been sent.
#[derive(Debug)]
struct Sent {
    seq: u64,
    crc: u32,
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
    announced: bool,
    ended: bool,
}

impl Default for Dialogue {
    fn default() -> Dialogue {
        let expected = VecDeque::from([Expected::Greeting]);
        Dialogue { expected, opening: None, sent: None, messages: 0, announced: false, ended: false }
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
        note(reply.code == 220, "greeting")
    }

    fn introduced(&mut self, reply: Reply<'_>, script: &Script, supply: &mut Supply, out: &mut Outgoing) -> Note {
        if reply.code != 250 {
            self.say(b"QUIT\r\n", Expected::Quit, out);
            return Note::Refused("EHLO");
        }
        let offered = |name: &str| reply.keywords().any(|keyword| keyword.eq_ignore_ascii_case(name.as_bytes()));
        if let Some(lacking) = script.extensions().find(|name| !offered(name)) {
            return Note::Lacks(lacking);
        }
        self.begin(script, supply, out);
        Note::Nothing
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
        note(accepted, "RCPT")
    }

    /// A RCPT of a transaction whose content went along with it.
    fn final_rcpt_answered(&mut self, accepted: bool) -> Note {
        if let Some(sent) = self.sent.as_mut().filter(|_| !accepted) {
            sent.replies_left -= usize::from(sent.replies_left > 1);
        }
        note(accepted, "RCPT")
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
        let (seq, crc, last, refused) = (sent.seq, sent.crc, sent.replies_left == 0, sent.refused);
        if last {
            self.sent = None;
            if self.expected.is_empty() {
                self.begin(script, supply, out);
            }
        } else {
            self.expected.push_front(Expected::Content);
        }
        if accepted { Note::Acknowledged { seq, crc, whole: last && !refused } } else { Note::Refused("content") }
    }

    /// Begins the next transaction, or ends the session.
    fn begin(&mut self, script: &Script, supply: &mut Supply, out: &mut Outgoing) {
        let limit = script.messages_per_connection;
        let next = if limit > 0 && self.messages >= limit { None } else { supply.take() };
        let Some(seq) = next else { return self.say(b"QUIT\r\n", Expected::Quit, out) };
        self.messages += 1;
        self.opening = Some(Opening { seq, mail: false, asked: 0, accepted: 0 });
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
                out.command(&script.bdat);
                b""
            }
        };
        let piece = out.content(&script.content, opening.seq, end);
        // Recipients not asked about yet count as accepted until a reply says otherwise.
        let recipients = opening.accepted + script.rcpts.len() - opening.asked;
        let replies_left = if script.lmtp { recipients.max(1) } else { 1 };
        self.sent = Some(Sent { seq: opening.seq, crc: piece.crc, replies_left, refused: false });
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

fn note(fine: bool, stage: &'static str) -> Note {
    if fine { Note::Nothing } else { Note::Refused(stage) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Content;

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
            let content = Content::prepare(1, "me@here", &to, 1000, framing).unwrap();
            let script = Script::new(content, "me@here", &to, pace, framing, lmtp);
            Client { script, dialogue: Dialogue::default(), supply: Supply::new(messages), out: Outgoing::default() }
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
        assert!(matches!(note, Note::Acknowledged { seq: 0, whole: true, .. }));
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
        assert!(matches!(client.hears("250 kept\r\n").0, Note::Acknowledged { seq: 0, whole: true, .. }));
        assert_eq!(client.says("250 ok") + &client.says("250 ok"), "");
        assert_eq!(client.says("354 go"), "*|.|QUIT");
        assert!(matches!(client.hears("250 kept\r\n").0, Note::Acknowledged { seq: 1, whole: true, .. }));
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
                matches!(client.hears("250 kept\r\n").0, Note::Acknowledged { seq: 0, whole: false, .. }),
                "{pace:?}"
            );
            assert!(
                matches!(client.hears("250 kept\r\n").0, Note::Acknowledged { seq: 0, whole: true, .. }),
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
        assert!(matches!(client.hears("250 kept\r\n").0, Note::Acknowledged { seq: 0, whole: false, .. }));
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
    fn names_the_extension_that_is_lacking() {
        let mut client = Client::new(Pace::Group, Framing::Bdat, false, 1, 1);
        client.says("220 here");
        assert_eq!(client.hears("250-here\r\n250 PIPELINING\r\n").0, Note::Lacks("CHUNKING"));
    }
}
