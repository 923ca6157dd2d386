//! `ringpost queue`, `ringpost spool` and `ringpost repository`: looking at the messages that wait, and changing what becomes of
//! them.
//!
//! A [`command::Command`] is a line. [`execute`] does it over a [`Source`] of messages: that of the running server asks each
//! shard by message (`errands`), that of a stopped one reads the segments (`stopped`). What comes out is the same.

pub mod command;
pub mod errands;
mod render;
pub mod repository;
pub mod shelf;
pub mod stopped;

use std::io;

use command::{Command, Form, Which};

use crate::mail::MessageId;
use crate::spool::queue::Entry;

/// What is to become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is held or released.
    Hold(bool),
    /// It is taken out.
    Remove,
    /// It is tried at once.
    Flush,
}

/// Some messages, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Messages.
    pub entries: Vec<Entry>,
    /// Messages whose record cannot be read, and why.
    pub unreadable: Vec<(MessageId, String)>,
    /// These were the last ones.
    pub last: bool,
}

/// What is known of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Its directory.
    pub log: String,
    /// Messages that wait.
    pub messages: u64,
    /// Segments in use.
    pub segments: u64,
    /// Free ones.
    pub free: u64,
    /// Octets of the records that are needed.
    pub octets: u64,
    /// What it takes: open, full, closed or stopped.
    pub state: &'static str,
    /// Pieces of damage in it that recovery would set aside; known of a stopped one.
    pub damage: Vec<String>,
}

/// Messages that wait, wherever they are.
#[allow(async_fn_in_trait, reason = "each implementation is used as itself, so that whether it is Send is known")]
pub trait Source {
    /// The next messages, from the first on.
    async fn next_page(&mut self) -> io::Result<Page>;
    /// One message; `None` where there is none.
    async fn entry(&mut self, id: MessageId) -> io::Result<Option<Entry>>;
    /// A piece of a message's content, and whether it is the last.
    async fn piece(&mut self, id: MessageId, piece: usize) -> io::Result<Option<(Vec<u8>, bool)>>;
    /// Changes what becomes of a message; `Err` says why that was not done.
    async fn change(&mut self, id: MessageId, change: Change) -> io::Result<Result<(), String>>;
    /// Brings all changes to the disk.
    async fn settle(&mut self) -> io::Result<()>;
    /// What is known of each log.
    async fn stats(&mut self) -> io::Result<Vec<LogStats>>;
}

/// Where the answer goes.
#[allow(async_fn_in_trait, reason = "each implementation is used as itself, so that whether it is Send is known")]
pub trait Out {
    /// Appends to the answer.
    async fn put(&mut self, octets: &[u8]) -> io::Result<()>;
}

/// Does what a command says. What cannot be done is a line that begins with `error: `.
pub async fn execute(command: &Command, source: &mut impl Source, out: &mut impl Out) -> io::Result<()> {
    match command {
        Command::List(form) => list(*form, source, out).await,
        Command::Show(form, ids) => {
            for id in ids {
                show(*id, *form, source, out).await?;
            }
            Ok(())
        }
        Command::Why(ids) => {
            for id in ids {
                let text = match source.entry(*id).await? {
                    Some(entry) => render::why(&entry),
                    None => unknown(*id),
                };
                out.put(text.as_bytes()).await?;
            }
            Ok(())
        }
        Command::Change(change, which) => change_all(*change, which, source, out).await,
        Command::Export(which) => export(which, source, out).await,
        Command::Verify => verify(source, out).await,
        Command::Stats(form) => {
            let stats = source.stats().await?;
            out.put(render::stats(&stats, *form).as_bytes()).await
        }
    }
}

fn unknown(id: MessageId) -> String {
    format!("error: {id} is not in the spool\n")
}

async fn list(form: Form, source: &mut impl Source, out: &mut impl Out) -> io::Result<()> {
    let (mut count, mut octets) = (0u64, 0u64);
    loop {
        let page = source.next_page().await?;
        let mut text = String::new();
        if form == Form::Text && count == 0 && !page.entries.is_empty() {
            text.push_str(render::HEADING);
        }
        for entry in &page.entries {
            count += 1;
            octets += entry.content.octets;
            match form {
                Form::Text => render::line(entry, &mut text),
                Form::Json => render::json(entry, &mut text),
            }
        }
        for (id, why) in &page.unreadable {
            text.push_str(&format!("error: {id} cannot be read: {why}\n"));
        }
        out.put(text.as_bytes()).await?;
        if page.last {
            break;
        }
    }
    match (form, count) {
        (Form::Json, _) => Ok(()),
        (Form::Text, 0) => out.put(b"No mail waits.\n").await,
        (Form::Text, _) => out.put(format!("-- {} KiB in {count} messages.\n", octets.div_ceil(1024)).as_bytes()).await,
    }
}

async fn show(id: MessageId, form: Form, source: &mut impl Source, out: &mut impl Out) -> io::Result<()> {
    let Some(entry) = source.entry(id).await? else { return out.put(unknown(id).as_bytes()).await };
    let mut text = String::new();
    if form == Form::Json {
        render::envelope(&entry, &mut text);
        text.push('\n');
        return out.put(text.as_bytes()).await;
    }
    render::text(&entry, &mut text);
    let header = source.piece(id, 0).await?.map(|(piece, _)| piece).unwrap_or_default();
    let octets = (entry.content.header_octets as usize).min(header.len());
    for line in header[..octets].split_inclusive(|octet| *octet == b'\n') {
        text.push_str("  ");
        text.push_str(String::from_utf8_lossy(line).trim_end());
        text.push('\n');
    }
    out.put(text.as_bytes()).await
}

/// Messages that a command names: those with an id, or all there are.
async fn named(which: &Which, source: &mut impl Source) -> io::Result<Vec<MessageId>> {
    let Which::All = which else {
        let Which::These(ids) = which else { return Ok(Vec::new()) };
        return Ok(ids.clone());
    };
    let mut ids = Vec::new();
    loop {
        let page = source.next_page().await?;
        ids.extend(page.entries.iter().map(|entry| entry.envelope.id));
        ids.extend(page.unreadable.iter().map(|(id, _)| *id));
        if page.last {
            return Ok(ids);
        }
    }
}

async fn change_all(change: Change, which: &Which, source: &mut impl Source, out: &mut impl Out) -> io::Result<()> {
    let mut changed = 0u64;
    for id in named(which, source).await? {
        match source.change(id, change).await? {
            Ok(()) => changed += 1,
            // What is gone meanwhile was not meant by "all".
            Err(_) if *which == Which::All && source.entry(id).await?.is_none() => {}
            Err(why) => out.put(format!("error: {id} {why}\n").as_bytes()).await?,
        }
    }
    source.settle().await?;
    let done = match change {
        Change::Hold(true) => "held",
        Change::Hold(false) => "released",
        Change::Remove => "removed",
        Change::Flush => "to be tried at once",
    };
    let messages = if changed == 1 { "message" } else { "messages" };
    out.put(format!("{changed} {messages} {done}\n").as_bytes()).await
}

/// For each message its envelope as a line of JSON, then pieces of content: their length in hexadecimal digits on a line, then
/// the octets; a length of 0 ends it.
async fn export(which: &Which, source: &mut impl Source, out: &mut impl Out) -> io::Result<()> {
    for id in named(which, source).await? {
        let Some(entry) = source.entry(id).await? else {
            out.put(unknown(id).as_bytes()).await?;
            continue;
        };
        let mut text = String::new();
        render::envelope(&entry, &mut text);
        text.push('\n');
        out.put(text.as_bytes()).await?;
        let mut form = render::Plain::new(entry.content.dot_stuffed);
        for number in 0.. {
            // Between two pieces it may have been delivered.
            let Some((piece, last)) = source.piece(id, number).await? else { break };
            let mut octets = Vec::with_capacity(piece.len());
            form.convert(&piece, &mut octets);
            if !octets.is_empty() {
                out.put(format!("{:x}\n", octets.len()).as_bytes()).await?;
                out.put(&octets).await?;
            }
            if last {
                out.put(b"0\n").await?;
                break;
            }
        }
    }
    Ok(())
}

/// Reads all content of all messages, and holds it against its checksums.
async fn verify(source: &mut impl Source, out: &mut impl Out) -> io::Result<()> {
    let (mut count, mut octets) = (0u64, 0u64);
    for id in named(&Which::All, source).await? {
        count += 1;
        for number in 0.. {
            match source.piece(id, number).await {
                Ok(Some((piece, last))) => {
                    octets += piece.len() as u64;
                    if last {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    out.put(format!("error: {id} cannot be read whole: {error}\n").as_bytes()).await?;
                    break;
                }
            }
        }
    }
    for log in source.stats().await? {
        for damage in &log.damage {
            out.put(format!("error: {}: {damage}\n", log.log).as_bytes()).await?;
        }
    }
    out.put(format!("{count} messages with {octets} octets of content were read\n").as_bytes()).await
}
