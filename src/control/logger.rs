//! Formats events and writes them, on a thread of its own: as text for people, or a JSON object a line.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::journal::{Event, Level, Reader};
use crate::mail::date::Date;

/// How long events wait for company before they are written.
const PAUSE: Duration = Duration::from_millis(50);

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
    loop {
        let stopping = stop.try_recv() == Err(TryRecvError::Disconnected);
        let mut idle = true;
        for reader in &mut readers {
            while let Some(event) = reader.take() {
                idle = false;
                format_event(&event, format, &mut lines);
                if lines.len() >= LINES {
                    write(output, &mut lines);
                }
            }
            report_dropped(reader.take_dropped(), format, &mut lines);
        }
        write(output, &mut lines);
        match (stopping, idle) {
            (true, true) => return,
            (true, false) => {}
            (false, _) => std::thread::park_timeout(PAUSE),
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
        let event = Event {
            level: Level::Warning,
            time: now.as_micros() as u64,
            name: "log-lines-dropped".into(),
            fields: vec![("count".into(), count.to_string())],
        };
        format_event(&event, format, lines);
    }
}

/// Appends the event as one line.
pub fn format_event(event: &Event, format: Format, lines: &mut String) {
    match format {
        Format::Text => format_text(event, lines),
        Format::Json => format_json(event, lines),
    }
    lines.push('\n');
}

fn format_text(event: &Event, line: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(line, "{} {:<5} {}", Date::from_micros(event.time).rfc3339(), event.level.name(), event.name);
    for (key, value) in &event.fields {
        let plain = !value.is_empty() && !value.contains([' ', '"', '=', '\\']) && !value.contains(char::is_control);
        let _ = if plain { write!(line, " {key}={value}") } else { write!(line, " {key}={value:?}") };
    }
}

fn format_json(event: &Event, line: &mut String) {
    let _ = write!(
        line,
        "{{\"time\":\"{}\",\"level\":\"{}\",\"event\":",
        Date::from_micros(event.time).rfc3339(),
        event.level.name()
    );
    json_text(&event.name, line);
    for (key, value) in &event.fields {
        line.push(',');
        json_text(key, line);
        line.push(':');
        json_text(value, line);
    }
    line.push('}');
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
        let event = Event {
            level: Level::Info,
            time: 1_795_000_000_123_456,
            name: "accepted".into(),
            fields: fields.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        };
        let mut line = String::new();
        format_event(&event, format, &mut line);
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
