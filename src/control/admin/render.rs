//! Messages as people and programs read them.

use std::fmt::Write as _;

use super::LogStats;
use super::command::Form;
use crate::control::logger::json_text;
use crate::mail::date::Date;
use crate::mail::{BodyType, ReversePath};
use crate::spool::queue::{Entry, Queue};

/// What stands above a list.
pub const HEADING: &str = "id                     size  arrival               sender, then recipients\n";

fn time(micros: u64) -> String {
    Date::from_micros(micros).rfc3339().to_string()
}

fn sender(entry: &Entry) -> String {
    match &entry.envelope.reverse_path {
        ReversePath::Null => String::new(),
        ReversePath::Mailbox(mailbox) => mailbox.to_string(),
    }
}

/// A message in a list: `*` marks one that is being delivered, `!` one that is held.
pub fn line(entry: &Entry, text: &mut String) {
    let mark = match entry.queue {
        Queue::Active => '*',
        Queue::Hold => '!',
        Queue::Deferred => ' ',
    };
    let (id, size) = (entry.envelope.id, entry.content.octets);
    let arrival = &time(entry.envelope.received_at)[..19];
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{id}{mark} {size:>12}  {arrival}Z  <{}>", sender(entry));
    for recipient in &entry.recipients {
        if let Some(reason) = &recipient.reason {
            let _ = writeln!(text, "{:>30}({})", "", reason.replace(char::is_control, " "));
        }
        let _ = writeln!(text, "{:>30}<{}>", "", recipient.address);
    }
    text.push('\n');
}

/// A message as `postqueue -j` shows one, with what else is known of each recipient; a line.
pub fn json(entry: &Entry, text: &mut String) {
    let _ = write!(
        text,
        "{{\"queue_name\":\"{}\",\"queue_id\":\"{}\",\"arrival_time\":{},\"message_size\":{},\"forced_expire\":false,\"sender\":",
        entry.queue.name(),
        entry.envelope.id,
        entry.envelope.received_at / 1_000_000,
        entry.content.octets
    );
    json_text(&sender(entry), text);
    text.push_str(",\"recipients\":");
    recipients(entry, text);
    text.push_str("}\n");
}

fn recipients(entry: &Entry, text: &mut String) {
    text.push('[');
    for (place, recipient) in entry.recipients.iter().enumerate() {
        text.push_str(if place == 0 { "{\"address\":" } else { ",{\"address\":" });
        json_text(&recipient.address, text);
        if let Some(reason) = &recipient.reason {
            text.push_str(",\"delay_reason\":");
            json_text(reason, text);
            let _ = write!(text, ",\"attempts\":{}", recipient.attempts);
            if recipient.not_before > 0 {
                let _ = write!(text, ",\"next_attempt\":{}", recipient.not_before / 1_000_000);
            }
        }
        text.push('}');
    }
    text.push(']');
}

/// The whole envelope as an object, without an end of line.
pub fn envelope(entry: &Entry, text: &mut String) {
    let envelope = &entry.envelope;
    let _ = write!(text, "{{\"id\":\"{}\",\"state\":\"{}\"", envelope.id, entry.queue.name());
    if let Some(parent) = entry.parent {
        let _ = write!(text, ",\"made_of\":\"{parent}\"");
    }
    let _ = write!(
        text,
        ",\"session\":\"{}\",\"received\":\"{}\",\"size\":{},\"body\":\"{}\",\"smtputf8\":{},\"client\":\"{}\",\"helo\":",
        envelope.session,
        time(envelope.received_at),
        entry.content.octets,
        body(envelope.body),
        envelope.smtputf8,
        envelope.client.address
    );
    json_text(&envelope.client.helo, text);
    text.push_str(",\"sender\":");
    json_text(&sender(entry), text);
    text.push_str(",\"all_recipients\":[");
    for (place, recipient) in envelope.recipients.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        json_text(&recipient.to_string(), text);
    }
    text.push_str("],\"recipients\":");
    recipients(entry, text);
    text.push('}');
}

fn body(body: BodyType) -> &'static str {
    match body {
        BodyType::SevenBit => "7BIT",
        BodyType::EightBitMime => "8BITMIME",
        BodyType::BinaryMime => "BINARYMIME",
    }
}

/// All that is known of a message, for a person.
pub fn text(entry: &Entry, text: &mut String) {
    let envelope = &entry.envelope;
    let _ = writeln!(text, "{} ({})", envelope.id, entry.queue.name());
    if let Some(parent) = entry.parent {
        let _ = writeln!(text, "made of   {parent}");
    }
    let _ = writeln!(text, "received  {} in session {}", time(envelope.received_at), envelope.session);
    let helo = envelope.client.helo.replace(char::is_control, " ");
    let _ = writeln!(text, "client    {} ({helo})", envelope.client.address);
    let utf8 = if envelope.smtputf8 { ", SMTPUTF8" } else { "" };
    let _ = writeln!(text, "size      {} octets, {}{utf8}", entry.content.octets, body(envelope.body));
    let _ = writeln!(text, "sender    <{}>", sender(entry));
    let left = |address: &str| entry.recipients.iter().any(|recipient| recipient.address == address);
    for recipient in envelope.recipients.iter().map(ToString::to_string).filter(|address| !left(address)) {
        let _ = writeln!(text, "done      <{recipient}>");
    }
    text.push_str(&waiting(entry));
    text.push_str("header\n");
}

fn waiting(entry: &Entry) -> String {
    let mut text = String::new();
    for recipient in &entry.recipients {
        let _ = write!(text, "waiting   <{}>", recipient.address);
        match &recipient.reason {
            None => text.push_str(", not tried yet\n"),
            Some(reason) => {
                let next = match recipient.not_before {
                    0 => "at once".to_owned(),
                    not_before => format!("at {}", time(not_before)),
                };
                let tries = if recipient.attempts == 1 { "attempt" } else { "attempts" };
                let reason = reason.replace(char::is_control, " ");
                let _ = writeln!(text, ", {} failed {tries}, the next {next}: {reason}", recipient.attempts);
            }
        }
    }
    text
}

/// Why a message is still here.
pub fn why(entry: &Entry) -> String {
    let state = match entry.queue {
        Queue::Hold => "is held: `ringpost queue release` lets it go",
        Queue::Active => "is being delivered, or waits for a place",
        Queue::Deferred => "waits for its next attempt",
    };
    format!("{} {state}\n{}", entry.envelope.id, waiting(entry))
}

/// From the wire's form of a message to that of a file: without stuffed dots, lines still ended by CR LF.
#[derive(Clone, Copy, Debug)]
pub struct Plain {
    stuffed: bool,
    at_line_start: bool,
}

impl Plain {
    /// At the start of a message.
    pub fn new(stuffed: bool) -> Plain {
        Plain { stuffed, at_line_start: true }
    }

    /// Appends what a piece becomes.
    pub fn convert(&mut self, piece: &[u8], to: &mut Vec<u8>) {
        if !self.stuffed {
            return to.extend_from_slice(piece);
        }
        for line in piece.split_inclusive(|octet| *octet == b'\n') {
            let stuffed = self.at_line_start && line.first() == Some(&b'.');
            to.extend_from_slice(&line[usize::from(stuffed)..]);
            self.at_line_start = line.ends_with(b"\n");
        }
    }
}

/// How the logs are.
pub fn stats(logs: &[LogStats], form: Form) -> String {
    let mut text = String::new();
    if form == Form::Text {
        text.push_str("  messages  segments  free       octets  state    log\n");
    }
    for LogStats { log, messages, segments, free, octets, state, damage } in logs {
        match form {
            Form::Text => {
                let damage = if damage.is_empty() { String::new() } else { format!(", {} damaged", damage.len()) };
                let _ =
                    writeln!(text, "{messages:>10} {segments:>9} {free:>5} {octets:>12}  {state:<7}  {log}{damage}");
            }
            Form::Json => {
                text.push_str("{\"log\":");
                json_text(log, &mut text);
                let _ = writeln!(
                    text,
                    ",\"messages\":{messages},\"segments\":{segments},\"free\":{free},\"octets\":{octets},\"state\":\"{state}\",\"damaged\":{}}}",
                    damage.len()
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffed_dots_go_wherever_a_piece_ends() {
        let content = b"..one\r\n.\r\na.b\r\n...\r\n";
        for cut in 0..=content.len() {
            let (mut form, mut to) = (Plain::new(true), Vec::new());
            form.convert(&content[..cut], &mut to);
            form.convert(&content[cut..], &mut to);
            assert_eq!(to, b".one\r\n\r\na.b\r\n..\r\n", "{cut}");
        }
        let mut to = Vec::new();
        Plain::new(false).convert(content, &mut to);
        assert_eq!(to, content);
    }
}
