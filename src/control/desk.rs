//! Where questions of the cores arrive and are answered, on tokio's threads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;

use super::names::answer::Told;
use super::names::{self, Resolver};
use crate::directory::{Answer, Listed, Login, Proof, Scram, Unavailable};
use crate::io::handover::{Doorbell, Handover};
use crate::mail::{Domain, Mailbox, Username};

/// Questions that may wait at the desk; a core that finds no place treats the directory as unavailable.
const WAITING: usize = 4096;

/// Questions to the directory that are being answered at a time; the next one has to wait at the desk. Those to the DNS, which may
/// take long, have places of their own (in [`Resolver`]), and there are no more of them than all cores may have open.
const ANSWERING: usize = 1024;

/// What a core asks.
#[derive(Debug)]
pub enum Asked {
    /// The directory.
    Directory(Question),
    /// The DNS.
    Name(names::Question),
}

/// What it is answered, by whom it asked.
#[derive(Clone, Debug)]
pub enum Answered {
    /// The directory.
    Directory(Reply),
    /// The DNS.
    Name(Told),
}

/// What a core asks the directory.
#[derive(Debug)]
pub enum Question {
    /// What is to be said of this recipient?
    Recipient(Mailbox),
    /// Is this that user's password?
    Verify(Login),
    /// What is this user's SCRAM run checked against?
    Scram(Box<str>),
    /// May this user send from that address?
    MaySendAs(Username, Mailbox),
    /// Who does this user become who asks to act for that one?
    ActFor(Username, Box<str>),
    /// Is this domain ours?
    IsLocal(Domain),
}

/// What the directory answers: each to the question of its name.
#[derive(Clone, Debug)]
pub enum Reply {
    /// To [`Question::Recipient`].
    Recipient(Answer),
    /// To [`Question::Verify`].
    Verify(Proof),
    /// To [`Question::Scram`].
    Scram(Option<Scram>),
    /// To [`Question::MaySendAs`].
    MaySendAs(bool),
    /// To [`Question::ActFor`].
    ActFor(Option<Username>),
    /// To [`Question::IsLocal`].
    IsLocal(bool),
}

/// Who answers at the desk.
pub trait Answerer: Send + Sync + 'static {
    /// Answers a question of its own kind of reply.
    fn answer(&self, question: Question) -> impl Future<Output = Result<Reply, Unavailable>> + Send;
}

/// A question of a core on its way.
#[derive(Debug)]
pub struct Request {
    /// The core's number.
    pub core: usize,
    /// Names the question in its answer.
    pub ticket: u64,
    /// What it asks.
    pub question: Asked,
}

/// The answer to a question on its way.
#[derive(Debug)]
pub struct Response {
    /// The question's.
    pub ticket: u64,
    /// Changes of the directory before it was looked at: an answer from before a change is not remembered after it.
    pub changes: u64,
    /// What is said.
    pub reply: Result<Answered, Unavailable>,
}

/// Both directions between the cores and the desk.
#[derive(Debug)]
pub struct Lines {
    /// From all cores to the desk.
    pub requests: Handover<Request>,
    /// From the desk to each core, by its number.
    pub responses: Vec<Handover<Response>>,
    /// How often what the directory says has changed: what cores remember counts for one number of changes.
    changes: AtomicU64,
    bell: Arc<Doorbell>,
}

impl Lines {
    /// Between the desk and the cores that hear these bells.
    pub fn new(cores: impl IntoIterator<Item = Arc<Doorbell>>) -> io::Result<Lines> {
        let bell = Arc::new(Doorbell::new(true)?);
        let requests = Handover::new(WAITING, bell.clone());
        // A core has at most as many answers coming as there is room for questions.
        let responses = cores.into_iter().map(|core| Handover::new(2 * WAITING, core)).collect();
        Ok(Lines { requests, responses, changes: AtomicU64::new(0), bell })
    }

    /// Gives a core its answer. One so far behind that its line is full will take it for late.
    fn respond(&self, core: usize, response: Response) {
        if let Some(responses) = self.responses.get(core) {
            let _ = responses.give(response);
        }
    }

    /// Changes of the directory so far.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// What the directory says has changed: from now on no core uses what it remembers from before.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

/// Answers questions for ever: `directory` those about users and domains, `names` those about the rest of the world. Must run
/// inside a tokio runtime.
pub async fn serve<A: Answerer>(lines: Arc<Lines>, directory: Arc<A>, names: Arc<Resolver>) -> io::Result<()> {
    // SAFETY: `lines` keeps the descriptor open for longer than `bell` lives, which never gives it away.
    let bell = unsafe { AsyncFd::register_with_interest(lines.bell.descriptor(), Interest::READABLE) }?;
    let places = Arc::new(Semaphore::new(ANSWERING));
    loop {
        bell.readable().await?.clear_ready();
        lines.bell.drain();
        lines.bell.answer();
        while let Some(request) = lines.requests.take() {
            let Request { core, ticket, question } = request;
            let lines = lines.clone();
            match question {
                Asked::Directory(question) => {
                    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
                    let directory = directory.clone();
                    tokio::spawn(async move {
                        let changes = lines.changes();
                        let reply = directory.answer(question).await.map(Answered::Directory);
                        lines.respond(core, Response { ticket, changes, reply });
                        drop(place);
                    });
                }
                Asked::Name(question) => {
                    let names = names.clone();
                    tokio::spawn(async move {
                        let told = names.answer(&question).await;
                        lines.respond(core, Response { ticket, changes: 0, reply: Ok(Answered::Name(told)) });
                    });
                }
            }
        }
    }
}

/// For tests of what stands around a directory.
impl Answerer for Listed {
    async fn answer(&self, question: Question) -> Result<Reply, Unavailable> {
        Ok(match question {
            Question::Recipient(mailbox) => Reply::Recipient(Listed::answer(self, &mailbox)),
            Question::Verify(login) => Reply::Verify(self.prove(&login)),
            Question::Scram(name) => Reply::Scram(self.scram_of(&name)),
            Question::MaySendAs(user, mailbox) => Reply::MaySendAs(self.may_send(&user, &mailbox)),
            Question::ActFor(user, name) => Reply::ActFor(self.act(&user, &name)),
            Question::IsLocal(domain) => Reply::IsLocal(self.has_domain(&domain)),
        })
    }
}
