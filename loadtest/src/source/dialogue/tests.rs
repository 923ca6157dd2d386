//! The dialogue with every pace, framing and reply.

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
    assert!(matches!(client.hears("250 kept\r\n").0, Note::Acknowledged(Acknowledged { seq: 0, whole: false, .. })));
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
