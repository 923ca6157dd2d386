//! What a shard does for operators.

use std::rc::Rc;

use super::figures::SpoolState;
use super::outgoing::Outgoing;
use super::reprocess::{Taken, reprocess};
use crate::control::admin::errands::Reprocess;
use crate::control::admin::errands::{Query, Reply};
use crate::control::admin::{Change, LogStats, Page};
use crate::control::journal::{Journal, Level};
use crate::delivery::repository::Repositories;
use crate::io::Machine;
use crate::mail::MessageId;
use crate::spool::Spool;
use crate::spool::queue::Undone;

/// Messages that are shown at a time.
const PAGE: usize = 64;

/// The spools of a shard, as operators see them.
pub struct Office<M: Machine> {
    /// Each with its directory.
    pub spools: Vec<(String, Spool<M>)>,
    /// What leaves them.
    pub outgoings: Vec<Outgoing<M>>,
    /// What operators do is written down.
    pub journal: Rc<Journal>,
    /// For the time of that.
    pub machine: M,
    /// Where mail is kept.
    pub repositories: Repositories<M>,
    /// Names for messages that are made of it.
    pub next_message: Box<dyn Fn() -> MessageId>,
}

impl<M: Machine> Office<M> {
    /// Answers a question.
    pub async fn answer(&self, query: Query) -> Reply {
        match query {
            Query::Page(after) => self.page(after).await,
            Query::Stats => Reply::Stats(self.spools.iter().map(|(log, spool)| stats(log, spool)).collect()),
            Query::Entry(id) => match self.holder(id) {
                None => Reply::Unknown,
                Some(spool) => match spool.entry(id).await {
                    Ok(Some(entry)) => Reply::Entry(Box::new(entry)),
                    Ok(None) => Reply::Unknown,
                    Err(error) => Reply::Failed(format!("{id}: {error}")),
                },
            },
            Query::Piece(id, piece) => match self.holder(id) {
                None => Reply::Unknown,
                Some(spool) => match spool.piece(id, piece).await {
                    Ok(Some((octets, last))) => Reply::Piece(octets, last),
                    Ok(None) => Reply::Unknown,
                    Err(error) => Reply::Failed(format!("{id}: {error}")),
                },
            },
            Query::Change(id, change) => match self.holder(id) {
                None => Reply::Unknown,
                Some(spool) => Reply::Changed(self.change(spool, id, change).await.map_err(|why| why.to_string())),
            },
            Query::Reprocess(request) => Reply::Reprocessed(self.reprocess(&request).await),
        }
    }

    /// Mail that goes on goes into the shard's own spool.
    async fn reprocess(&self, request: &Reprocess) -> Result<MessageId, String> {
        let Some((_, spool)) = self.spools.first() else { return Err("has no spool to go to".to_owned()) };
        let taken = reprocess(spool, &self.repositories, (self.next_message)(), request).await;
        let Taken { id, left } = taken.map_err(|why| why.to_string())?;
        let (mail, repository, processor) = (&request.mail, &request.repository, &request.processor);
        let now = self.machine.wall_clock();
        let fields: [(&'static str, &dyn std::fmt::Display); 5] =
            [("id", &id), ("mail", mail), ("repository", repository), ("processor", processor), ("by", &"operator")];
        self.journal.note(Level::Info, now, "reprocessed", &fields);
        if let Some(error) = left {
            let text = format!("{error}; it goes on and is in the repository all the same: remove it there");
            self.journal.note(
                Level::Warning,
                now,
                "not-removed",
                &[("mail", mail), ("repository", repository), ("text", &text)],
            );
        }
        Ok(id)
    }

    fn holder(&self, id: MessageId) -> Option<&Spool<M>> {
        self.spools.iter().map(|(_, spool)| spool).find(|spool| spool.has(id))
    }

    /// The messages of all its spools together, in the order of their ids.
    async fn page(&self, after: MessageId) -> Reply {
        let of_each =
            self.spools.iter().flat_map(|(_, spool)| spool.ids(after, PAGE).into_iter().map(move |id| (id, spool)));
        let mut ids: Vec<_> = of_each.collect();
        ids.sort_by_key(|(id, _)| *id);
        let last = ids.len() < PAGE;
        ids.truncate(PAGE);
        let next = ids.last().map_or(after, |(id, _)| *id);
        let mut page = Page { last, ..Page::default() };
        for (id, spool) in ids {
            match spool.entry(id).await {
                Ok(entry) => page.entries.extend(entry),
                Err(error) => page.unreadable.push((id, error.to_string())),
            }
        }
        Reply::Page(page, next)
    }

    async fn change(&self, spool: &Spool<M>, id: MessageId, change: Change) -> Result<(), Undone> {
        // What waits for its turn in a lane waits in the spool from now on.
        if matches!(change, Change::Hold(true) | Change::Remove) {
            self.outgoings.iter().for_each(|outgoing| outgoing.withdraw(id));
        }
        let what = match change {
            Change::Hold(held) => {
                spool.hold(id, held).await?;
                if held { "held" } else { "released" }
            }
            Change::Remove => {
                spool.remove(id).await?;
                "removed"
            }
            Change::Flush => {
                self.outgoings.iter().for_each(Outgoing::flush);
                spool.flush(id)?;
                "flushed"
            }
        };
        self.journal.note(Level::Info, self.machine.wall_clock(), what, &[("id", &id), ("by", &"operator")]);
        Ok(())
    }
}

fn stats<M: Machine>(log: &str, spool: &Spool<M>) -> LogStats {
    let figures = spool.figures();
    LogStats {
        log: log.to_owned(),
        messages: spool.len() as u64,
        segments: figures.segments,
        free: figures.free,
        octets: figures.octets,
        state: if figures.unread > 0 { "being read" } else { SpoolState::from(&figures).name() },
        damage: Vec::new(),
    }
}
