//! Formats events and writes them, on a thread of its own: as text for people, or a JSON object a line.

use std::fmt;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::journal::{Event, Level, Reader, Value};
use crate::mail::date::Date;
use crate::mail::octets::{Octets, append};

/// How long events wait for company before they are written: where few come for long, and where many do. A thread that writes many
/// at once holds up the core that it happens to run on, and all of its sessions.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_BUSY: Duration = Duration::from_millis(1);

/// Events in a turn that are many.
const MANY: usize = 32;

/// Octets that are formatted before they are written.
const LINES: usize = 64 * 1024;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `time level event key=value …`.
    Text,
    /// A JSON object.
    Json,
}

/// The running writer of the log.
pub struct Logger {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Logger {
    /// Starts to write what comes from `readers` to `output`.
    pub fn start(
        readers: Vec<Reader>,
        format: Format,
        mut output: impl Write + Send + 'static,
    ) -> std::io::Result<Logger> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("log".into())
            .spawn(move || run(readers, format, &mut output, &stopped))?;
        Ok(Logger { stop, thread })
    }

    /// Writes what there is and ends, unless whoever reads the log does not read: then it is left alone after `patience`.
    pub fn stop(self, patience: Duration) {
        drop(self.stop);
        self.thread.thread().unpark();
        let begun = std::time::Instant::now();
        while !self.thread.is_finished() && begun.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn run(mut readers: Vec<Reader>, format: Format, output: &mut impl Write, stop: &Receiver<()>) {
    let mut lines = Vec::with_capacity(LINES + 4096);
    let mut pause = PAUSE;
    loop {
        let stopping = stop.try_recv() == Err(TryRecvError::Disconnected);
        let mut events = 0;
        for reader in &mut readers {
            while let Some(event) = reader.take() {
                events += 1;
                format_event(&event, format, &mut lines);
                if lines.len() >= LINES {
                    write(output, &mut lines);
                }
            }
            report_dropped(reader.take_dropped(), format, &mut lines);
        }
        write(output, &mut lines);
        pause = if events >= MANY { PAUSE_BUSY } else { PAUSE.min(pause * 2) };
        match (stopping, events) {
            (true, 0) => return,
            (true, _) => {}
            (false, _) => std::thread::park_timeout(pause),
        }
    }
}

/// A log that cannot be written is nothing that mail should suffer from, and there is nowhere to say so.
fn write(output: &mut impl Write, lines: &mut Vec<u8>) {
    if !lines.is_empty() {
        let _ = output.write_all(lines).and_then(|()| output.flush());
        lines.clear();
    }
}

fn report_dropped(count: u64, format: Format, lines: &mut Vec<u8>) {
    if count > 0 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let line = Line { level: Level::Warning, time: now.as_micros() as u64, name: b"log-lines-dropped" };
        line.write(std::iter::once((b"count".as_slice(), Value::Number(count))), format, lines);
    }
}

/// Appends the event as one line.
fn format_event(event: &Event<'_>, format: Format, lines: &mut Vec<u8>) {
    Line { level: event.level, time: event.time, name: event.name }.write(event.fields, format, lines);
}

/// What every line of the log has.
struct Line<'a> {
    level: Level,
    time: u64,
    name: &'a [u8],
}

impl Line<'_> {
    fn write<'a>(&self, fields: impl Iterator<Item = (&'a [u8], Value<'a>)>, format: Format, lines: &mut Vec<u8>) {
        let (level, time) = (self.level.name(), Date::from_micros(self.time));
        match format {
            Format::Text => {
                time.write_rfc3339(lines);
                lines.push(b' ');
                lines.extend_from_slice(level.as_bytes());
                lines.extend_from_slice(if level.len() < 5 { b"  " } else { b" " });
                lines.extend_from_slice(self.name);
                for (key, value) in fields {
                    lines.push(b' ');
                    lines.extend_from_slice(key);
                    lines.push(b'=');
                    text_value(value, lines);
                }
            }
            Format::Json => {
                append(format_args!("{{\"time\":\"{}\",\"level\":\"{level}\",\"event\":", time.rfc3339()), lines);
                json_value(Value::Text(self.name), lines);
                for (key, value) in fields {
                    lines.push(b',');
                    json_value(Value::Text(key), lines);
                    lines.push(b':');
                    json_value(value, lines);
                }
                lines.push(b'}');
            }
        }
        lines.push(b'\n');
    }
}

/// Appends the value, in quotes where it could not be told from what is around it.
fn text_value(value: Value<'_>, line: &mut Vec<u8>) {
    match value {
        Value::Text(text) if !is_plain(text) => {
            let text = String::from_utf8_lossy(text);
            let special = |c: char| matches!(c, ' ' | '"' | '=' | '\\') || c.is_control();
            match text.is_empty() || text.contains(special) {
                true => append(format_args!("{text:?}"), line),
                false => line.extend_from_slice(text.as_bytes()),
            }
        }
        plain => plain.write(line),
    }
}

/// Whether the text is ASCII that needs no quotes.
fn is_plain(text: &[u8]) -> bool {
    let is_plain = |octet: &u8| octet.is_ascii_graphic() & !matches!(octet, b'"' | b'=' | b'\\');
    // Without an end in between, so that many octets are looked at together.
    text.iter().fold(!text.is_empty(), |plain, octet| plain & is_plain(octet))
}

/// Appends the value as a JSON string.
fn json_value(value: Value<'_>, line: &mut Vec<u8>) {
    match value {
        Value::Text(text) => json_text(&String::from_utf8_lossy(text), &mut Octets(line)),
        number => {
            line.push(b'"');
            number.write(line);
            line.push(b'"');
        }
    }
}

/// Appends a JSON string (RFC 8259 §7).
pub(super) fn json_text(text: &str, line: &mut impl fmt::Write) {
    // Writing to memory cannot fail.
    let _ = line.write_char('"');
    for character in text.chars() {
        let _ = match character {
            '"' | '\\' => write!(line, "\\{character}"),
            character if character < ' ' => write!(line, "\\u{:04x}", u32::from(character)),
            character => line.write_char(character),
        };
    }
    let _ = line.write_char('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: Format) -> String {
        let text = |text: &'static str| Value::Text(text.as_bytes());
        let fields = [
            (b"id".as_slice(), Value::Id(0x295)),
            (b"from", text("<>")),
            (b"size", Value::Number(4096)),
            (b"text", text("a \"b\"\r\n")),
            (b"to", text("<\u{e9}@b>")),
            (b"cut", Value::Text(b"a\xc3")),
            (b"none", text("")),
        ];
        let mut line = Vec::new();
        Line { level: Level::Info, time: 1_795_000_000_123_456, name: b"accepted" }.write(
            fields.into_iter(),
            format,
            &mut line,
        );
        String::from_utf8(line).expect("text")
    }

    #[test]
    fn a_line_holds_one_event_whatever_is_in_it() {
        assert_eq!(
            line(Format::Text),
            "2026-11-18T11:06:40.123Z info  accepted id=00000000000MN from=<> size=4096 text=\"a \\\"b\\\"\\r\\n\" to=<\u{e9}@b> \
             cut=a\u{fffd} none=\"\"\n"
        );
        assert_eq!(
            line(Format::Json),
            "{\"time\":\"2026-11-18T11:06:40.123Z\",\"level\":\"info\",\"event\":\"accepted\",\"id\":\"00000000000MN\",\
             \"from\":\"<>\",\"size\":\"4096\",\"text\":\"a \\\"b\\\"\\u000d\\u000a\",\"to\":\"<\u{e9}@b>\",\"cut\":\"a\u{fffd}\",\
             \"none\":\"\"}\n"
        );
    }
}
