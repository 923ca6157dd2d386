//! Questions of operators to shards, by message: the shard answers when it comes to it, and waits for nobody.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::{Change, LogStats, Page, Source};
use crate::delivery::repository::{MailName, RepositoryName};
use crate::io::handover::{Doorbell, Handover};
use crate::mail::MessageId;
use crate::spool::queue::Entry;

/// Questions that may wait at a shard; clients of the control socket are fewer, and ask one at a time.
const WAITING: usize = 64;

/// How long an answer is waited for: a disk may be slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mail that is to go on out of its repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reprocess {
    /// Where it is.
    pub repository: RepositoryName,
    /// Which.
    pub mail: MailName,
    /// The processor that it enters.
    pub processor: Box<str>,
}

/// A question to a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The messages above this id.
    Page(MessageId),
    /// One message.
    Entry(MessageId),
    /// A piece of its content.
    Piece(MessageId, usize),
    /// Something is to become of it.
    Change(MessageId, Change),
    /// How its logs are.
    Stats,
    /// A mail is to go on out of its repository.
    Reprocess(Box<Reprocess>),
}

/// Its answer.
#[derive(Debug)]
pub enum Reply {
    /// To [`Query::Page`]; and the id to go on from.
    Page(Page, MessageId),
    /// To [`Query::Entry`].
    Entry(Box<Entry>),
    /// To [`Query::Piece`], and whether it was the last.
    Piece(Vec<u8>, bool),
    /// To [`Query::Change`].
    Changed(Result<(), String>),
    /// To [`Query::Stats`].
    Stats(Vec<LogStats>),
    /// To [`Query::Reprocess`]: the message that it is now, or why it is still where it was.
    Reprocessed(Result<MessageId, String>),
    /// There is no such message here.
    Unknown,
    /// Something failed.
    Failed(String),
}

/// Both directions between operators and shards.
#[derive(Debug)]
pub struct Errands {
    shards: Vec<Handover<(u64, Query)>>,
    replies: Handover<(u64, Reply)>,
    bell: Arc<Doorbell>,
    ticket: AtomicU64,
    /// Used by the control plane alone.
    open: Mutex<HashMap<u64, oneshot::Sender<Reply>>>,
}

impl Errands {
    /// Between operators and the shards that hear these bells.
    pub fn new(shards: impl IntoIterator<Item = Arc<Doorbell>>) -> io::Result<Errands> {
        let bell = Arc::new(Doorbell::new(true)?);
        let shards: Vec<_> = shards.into_iter().map(|shard| Handover::new(WAITING, shard)).collect();
        let replies = Handover::new(WAITING * shards.len().max(1), bell.clone());
        Ok(Errands { shards, replies, bell, ticket: AtomicU64::default(), open: Mutex::default() })
    }

    /// The next question to a shard, and the ticket that its answer needs.
    pub fn take(&self, shard: usize) -> Option<(u64, Query)> {
        self.shards.get(shard)?.take()
    }

    /// Answers a question. There is room for as many answers as there can be questions.
    pub fn reply(&self, ticket: u64, reply: Reply) {
        let _ = self.replies.give((ticket, reply));
    }

    async fn ask(&self, shard: usize, query: Query) -> io::Result<Reply> {
        let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.with_open(|open| open.insert(ticket, sender));
        let crowded = |_| io::Error::other("the shard has too many questions waiting");
        let given = self.shards[shard].give((ticket, query)).map_err(crowded);
        let answer = match given {
            Ok(()) => tokio::time::timeout(PATIENCE, answer).await,
            Err(error) => {
                self.with_open(|open| open.remove(&ticket));
                return Err(error);
            }
        };
        self.with_open(|open| open.remove(&ticket));
        match answer {
            Ok(Ok(Reply::Failed(why))) => Err(io::Error::other(why)),
            Ok(Ok(reply)) => Ok(reply),
            _ => Err(io::Error::other(format!("shard {shard} does not answer"))),
        }
    }

    fn with_open<T>(&self, change: impl FnOnce(&mut HashMap<u64, oneshot::Sender<Reply>>) -> T) -> T {
        change(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Brings answers to those who asked, for ever. Must run inside a tokio runtime.
pub async fn serve(errands: Arc<Errands>) -> io::Result<()> {
    // SAFETY: `errands` keeps the descriptor open for longer than `bell` lives, which never gives it away.
    let bell = unsafe { AsyncFd::register_with_interest(errands.bell.descriptor(), Interest::READABLE) }?;
    loop {
        bell.readable().await?.clear_ready();
        errands.bell.drain();
        errands.bell.answer();
        while let Some((ticket, reply)) = errands.replies.take() {
            if let Some(asked) = errands.with_open(|open| open.remove(&ticket)) {
                // Whoever asked may have gone.
                let _ = asked.send(reply);
            }
        }
    }
}

/// The messages of a running server.
pub struct Running {
    errands: Arc<Errands>,
    /// Where the next page begins.
    shard: usize,
    after: MessageId,
}

impl Running {
    /// From the first message on.
    pub fn new(errands: Arc<Errands>) -> Running {
        Running { errands, shard: 0, after: MessageId(0) }
    }

    /// Has a mail go on out of its repository, through the shard whose turn it is.
    pub async fn reprocess(&mut self, request: Reprocess) -> io::Result<Result<MessageId, String>> {
        let shard = self.shard;
        self.shard = (shard + 1) % self.errands.shards.len().max(1);
        match self.errands.ask(shard, Query::Reprocess(Box::new(request))).await? {
            Reply::Reprocessed(result) => Ok(result),
            _ => Err(unexpected()),
        }
    }

    /// Asks one shard after the other until one knows the message.
    async fn ask_each(&self, query: Query) -> io::Result<Option<Reply>> {
        for shard in 0..self.errands.shards.len() {
            match self.errands.ask(shard, query.clone()).await? {
                Reply::Unknown => {}
                reply => return Ok(Some(reply)),
            }
        }
        Ok(None)
    }
}

fn unexpected() -> io::Error {
    io::Error::other("a shard answered something else")
}

impl Source for Running {
    async fn next_page(&mut self) -> io::Result<Page> {
        match self.errands.ask(self.shard, Query::Page(self.after)).await? {
            Reply::Page(mut page, next) => {
                self.after = next;
                if std::mem::take(&mut page.last) {
                    self.shard += 1;
                    self.after = MessageId(0);
                    page.last = self.shard >= self.errands.shards.len();
                }
                if page.last {
                    self.shard = 0;
                }
                Ok(page)
            }
            _ => Err(unexpected()),
        }
    }

    async fn entry(&mut self, id: MessageId) -> io::Result<Option<Entry>> {
        match self.ask_each(Query::Entry(id)).await? {
            Some(Reply::Entry(entry)) => Ok(Some(*entry)),
            None => Ok(None),
            Some(_) => Err(unexpected()),
        }
    }

    async fn piece(&mut self, id: MessageId, piece: usize) -> io::Result<Option<(Vec<u8>, bool)>> {
        match self.ask_each(Query::Piece(id, piece)).await? {
            Some(Reply::Piece(octets, last)) => Ok(Some((octets, last))),
            None => Ok(None),
            Some(_) => Err(unexpected()),
        }
    }

    async fn change(&mut self, id: MessageId, change: Change) -> io::Result<Result<(), String>> {
        match self.ask_each(Query::Change(id, change)).await? {
            Some(Reply::Changed(done)) => Ok(done),
            None => Ok(Err("is not in the spool".to_owned())),
            Some(_) => Err(unexpected()),
        }
    }

    /// Each change was durable when it was answered.
    async fn settle(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn stats(&mut self) -> io::Result<Vec<LogStats>> {
        let mut all = Vec::new();
        for shard in 0..self.errands.shards.len() {
            match self.errands.ask(shard, Query::Stats).await? {
                Reply::Stats(stats) => all.extend(stats),
                _ => return Err(unexpected()),
            }
        }
        Ok(all)
    }
}
