//! Where questions of the cores arrive and are answered, on tokio's threads.

use std::io;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::directory::{Answer, Listed};
use crate::io::handover::{Doorbell, Handover};
use crate::mail::Mailbox;

/// Questions that may wait at the desk; a core that finds no place treats the directory as unavailable.
const WAITING: usize = 4096;

/// A question of a core.
#[derive(Debug)]
pub struct Request {
    /// The core's number.
    pub core: usize,
    /// Names the question in its answer.
    pub ticket: u64,
    /// Whose mailbox is this?
    pub mailbox: Mailbox,
}

/// The answer to a question.
#[derive(Debug)]
pub struct Response {
    /// The question's.
    pub ticket: u64,
    /// What the directory says.
    pub answer: Answer,
}

/// Both directions between the cores and the desk.
#[derive(Debug)]
pub struct Lines {
    /// From all cores to the desk.
    pub requests: Handover<Request>,
    /// From the desk to each core, by its number.
    pub responses: Vec<Handover<Response>>,
    bell: Arc<Doorbell>,
}

impl Lines {
    /// Between the desk and the cores that hear these bells.
    pub fn new(cores: impl IntoIterator<Item = Arc<Doorbell>>) -> io::Result<Lines> {
        let bell = Arc::new(Doorbell::new(true)?);
        let requests = Handover::new(WAITING, bell.clone());
        // A core has at most as many answers coming as there is room for questions.
        let responses = cores.into_iter().map(|core| Handover::new(2 * WAITING, core)).collect();
        Ok(Lines { requests, responses, bell })
    }
}

/// Answers questions for ever. Must run inside a tokio runtime.
pub async fn serve(lines: Arc<Lines>, directory: Arc<Listed>) -> io::Result<()> {
    // SAFETY: `lines` keeps the descriptor open for longer than `bell` lives, which never gives it away.
    let bell = unsafe { AsyncFd::register_with_interest(lines.bell.descriptor(), Interest::READABLE) }?;
    loop {
        bell.readable().await?.clear_ready();
        lines.bell.drain();
        lines.bell.answer();
        while let Some(Request { core, ticket, mailbox }) = lines.requests.take() {
            let answer = directory.answer(&mailbox);
            if let Some(responses) = lines.responses.get(core) {
                // A core so far behind that its line is full will take the answer for late.
                let _ = responses.give(Response { ticket, answer });
            }
        }
    }
}
