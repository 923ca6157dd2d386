//! Formats events and writes them, on a thread of its own: as text for people, or a JSON object a line.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::journal::{Event, Level, Reader};
use crate::mail::date::Date;

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
    let mut lines = String::with_capacity(LINES + 4096);
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
fn write(output: &mut impl Write, lines: &mut String) {
    if !lines.is_empty() {
        let _ = output.write_all(lines.as_bytes()).and_then(|()| output.flush());
        lines.clear();
    }
}

fn report_dropped(count: u64, format: Format, lines: &mut String) {
    if count > 0 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let line = Line { level: Level::Warning, time: now.as_micros() as u64, name: "log-lines-dropped" };
        line.write(std::iter::once(("count", count.to_string())), format, lines);
    }
}

/// Appends the event as one line.
pub fn format_event(event: &Event<'_>, format: Format, lines: &mut String) {
    Line { level: event.level, time: event.time, name: &event.name }.write(event.fields, format, lines);
}

/// What every line of the log has.
struct Line<'a> {
    level: Level,
    time: u64,
    name: &'a str,
}

impl Line<'_> {
    fn write<K: AsRef<str>, V: AsRef<str>>(
        &self,
        fields: impl Iterator<Item = (K, V)>,
        format: Format,
        lines: &mut String,
    ) {
        // Writing to a String cannot fail.
        match format {
            Format::Text => {
                let _ = write!(lines, "{} ", Date::from_micros(self.time).rfc3339());
                lines.push_str(self.level.name());
                lines.push_str(if self.level.name().len() < 5 { "  " } else { " " });
                lines.push_str(self.name);
                fields.for_each(|(key, value)| text_field(key.as_ref(), value.as_ref(), lines));
            }
            Format::Json => {
                let _ = write!(lines, "{{\"time\":\"{}\",\"level\":\"", Date::from_micros(self.time).rfc3339());
                lines.push_str(self.level.name());
                lines.push_str("\",\"event\":");
                json_text(self.name, lines);
                for (key, value) in fields {
                    lines.push(',');
                    json_text(key.as_ref(), lines);
                    lines.push(':');
                    json_text(value.as_ref(), lines);
                }
                lines.push('}');
            }
        }
        lines.push('\n');
    }
}

fn text_field(key: &str, value: &str, line: &mut String) {
    line.push(' ');
    line.push_str(key);
    line.push('=');
    let is_plain = |octet: u8| octet.is_ascii_graphic() & (octet != b'"') & (octet != b'=') & (octet != b'\\');
    // Without an end in between, so that many octets are looked at together.
    let all_plain = value.bytes().fold(true, |plain, octet| plain & is_plain(octet));
    let plain =
        !value.is_empty() && (all_plain || !value.contains([' ', '"', '=', '\\']) && !value.contains(char::is_control));
    if plain {
        line.push_str(value);
    } else {
        // Writing to a String cannot fail.
        let _ = write!(line, "{value:?}");
    }
}

/// Appends a JSON string (RFC 8259 §7).
pub(super) fn json_text(text: &str, line: &mut String) {
    line.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => line.extend(['\\', character]),
            character if character < ' ' => {
                let _ = write!(line, "\\u{:04x}", u32::from(character));
            }
            character => line.push(character),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: Format) -> String {
        let fields = [("id", "0ABC"), ("from", "<>"), ("text", "a \"b\"\r\n")];
        let mut line = String::new();
        let event = Line { level: Level::Info, time: 1_795_000_000_123_456, name: "accepted" };
        event.write(fields.into_iter(), format, &mut line);
        line
    }

    #[test]
    fn a_line_holds_one_event_whatever_is_in_it() {
        assert_eq!(
            line(Format::Text),
            "2026-11-18T11:06:40.123Z info  accepted id=0ABC from=<> text=\"a \\\"b\\\"\\r\\n\"\n"
        );
        assert_eq!(
            line(Format::Json),
            "{\"time\":\"2026-11-18T11:06:40.123Z\",\"level\":\"info\",\"event\":\"accepted\",\"id\":\"0ABC\",\"from\":\"<>\",\
             \"text\":\"a \\\"b\\\"\\u000d\\u000a\"}\n"
        );
    }
}
