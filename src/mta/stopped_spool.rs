//! A spool that no process serves, opened as a server would open it, for one command of an operator.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::channel;

use super::placement::log_name;
use super::reprocess::{Taken, reprocess as take};
use super::requirements;
use super::topology;
use super::translate::spool_settings;
use crate::config::Configuration;
use crate::control::admin::Out;
use crate::control::admin::errands::Reprocess;
use crate::control::admin::repository::{Command, Spooling};
use crate::control::space;
use crate::control::watchdog::{Watchdog, Watched};
use crate::delivery::repository::Repositories;
use crate::io::Machine;
use crate::io::handover::Doorbell;
use crate::io::metal::{CoreSetup, GlommioMachine, Sleeps};
use crate::io::vitals::Vitals;
use crate::mail::{IdSource, MessageId};
use crate::spool::{Settings, Spool};

/// Has mails go on out of their repositories: they are in the log of the first shard when this ends well. The spool must be
/// locked. What a server would have answered.
pub fn reprocess(configuration: &Configuration, commands: Vec<Command>) -> io::Result<Vec<u8>> {
    requirements::check().map_err(io::Error::other)?;
    let ringpost = &configuration.ringpost;
    let spool = &ringpost.spool.directory;
    let vitals = Arc::new(Vitals::default());
    let setup = CoreSetup {
        name: "repository".to_owned(),
        cpu: topology::cpus().first().map_or(0, |cpu| cpu.id),
        delivery_share: ringpost.delivery.share,
        doorbell: Arc::new(Doorbell::new(false)?),
        vitals: vitals.clone(),
        free_octets: Arc::new(AtomicU64::new(space::free_octets(spool)?)),
        sleeps: Sleeps::InOwnRing,
    };
    let (log, settings) = (spool.join(log_name(0)), spool_settings(configuration));
    let repositories = ringpost.repositories.clone();
    let (sender, done) = channel();
    let thread = GlommioMachine::start(setup, move |machine| async move {
        // Whoever asked waits for it.
        let _ = sender.send(work(machine, log, settings, repositories, commands).await);
    })?;
    let watchdog = Watchdog::start(vec![Watched::new(vitals, &thread)], |_| {})?;
    let done = done.recv();
    watchdog.stop();
    let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("the spool could not be opened")));
    match done {
        Ok(answer) => answer,
        Err(_) => Err(ended.err().unwrap_or_else(|| io::Error::other("the spool could not be opened"))),
    }
}

async fn work(
    machine: GlommioMachine,
    log: PathBuf,
    settings: Settings,
    repositories: PathBuf,
    commands: Vec<Command>,
) -> io::Result<Vec<u8>> {
    let opened = Spool::open(machine.clone(), &log, settings, Box::new(|_| {})).await?;
    let mut answer = Answer(Vec::new());
    for file in &opened.quarantined {
        let line = format!("error: what was damaged in {} is set aside in {}\n", log.display(), file.display());
        answer.put(line.as_bytes()).await?;
    }
    for (segment, error) in &opened.unreadable {
        answer.put(format!("error: {} cannot be read: {error}\n", segment.display()).as_bytes()).await?;
    }
    let mut own = Own {
        spool: opened.spool,
        repositories: Repositories::new(machine.clone(), &repositories),
        ids: IdSource::new(0, opened.newest.map_or(0, |id| id.made_at())),
        machine,
    };
    for command in &commands {
        command.execute(&mut own, &mut answer).await?;
    }
    own.spool.settled().await;
    Ok(answer.0)
}

struct Answer(Vec<u8>);

impl Out for Answer {
    async fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(octets);
        Ok(())
    }
}

/// The spool, as this process has it.
struct Own {
    spool: Spool<GlommioMachine>,
    repositories: Repositories<GlommioMachine>,
    ids: IdSource,
    machine: GlommioMachine,
}

impl Spooling for Own {
    async fn reprocess(&mut self, request: Reprocess) -> io::Result<Result<MessageId, String>> {
        let id = MessageId(self.ids.next(self.machine.wall_clock()));
        Ok(match take(&self.spool, &self.repositories, id, &request).await {
            Ok(Taken { id, left: None }) => Ok(id),
            Ok(Taken { id, left: Some(error) }) => {
                Err(format!("goes on as {id}, and is in the repository all the same, remove it there: {error}"))
            }
            Err(why) => Err(why.to_string()),
        })
    }
}
