//! What is made and held before anything runs: directories, the spool's lock, listening sockets.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::error::{Error, file_error};
use super::filesystem::FileSystem;
use super::placement::{Placement, log_number};
use super::requirements;
use crate::config::{Configuration, ServerSettings, Steering};
use crate::io::metal::BoundListener;

/// The directories of an installation, made and held.
pub struct Directories {
    /// Where the logs are.
    pub spool: PathBuf,
    /// Where the Maildirs are.
    pub mail: PathBuf,
    /// What the spool is on.
    pub file_system: FileSystem,
    /// Logs that exist, by their numbers.
    pub logs: Vec<usize>,
    _lock: std::fs::File,
}

impl Directories {
    /// Makes what is not there, and locks the spool for this process.
    pub fn prepare(configuration: &Configuration) -> Result<Directories, Error> {
        let (spool, mail) = (&configuration.ringpost.spool.directory, &configuration.ringpost.mail_directory);
        for directory in [spool, mail, &configuration.ringpost.repositories] {
            make_durably(directory).map_err(file_error("cannot make the directory", directory))?;
        }
        let lock = requirements::lock_spool(spool).map_err(file_error("cannot lock the spool", spool))??;
        let file_system =
            FileSystem::of(spool).map_err(file_error("cannot look at the file system of the spool", spool))?;
        if file_system.forgetful && !configuration.ringpost.spool.volatile {
            return Err(requirements::Missing::Forgetful {
                directory: spool.display().to_string(),
                kind: file_system.name,
            }
            .into());
        }
        let entries = std::fs::read_dir(spool).map_err(file_error("cannot read the spool", spool))?;
        let mut logs: Vec<_> =
            entries.flatten().filter_map(|entry| log_number(&entry.file_name().to_string_lossy())).collect();
        logs.sort_unstable();
        Ok(Directories { spool: spool.clone(), mail: mail.clone(), file_system, logs, _lock: lock })
    }
}

/// Makes a directory and those above it, and syncs the names of those it made.
fn make_durably(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let missing: Vec<_> = directory.ancestors().take_while(|path| !path.exists()).collect();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    for made in missing {
        if let Some(parent) = made.parent() {
            std::fs::File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

/// The sockets of one shard or acceptor, by the place of their server.
pub type Listeners = Vec<Vec<BoundListener>>;

/// All listening sockets.
pub struct Bound {
    /// Those of each shard.
    pub shards: Vec<Listeners>,
    /// Those of each acceptor.
    pub acceptors: Vec<Listeners>,
    /// The addresses of each server, ports that were chosen included.
    pub addresses: Vec<Vec<SocketAddr>>,
}

/// Binds every address of every server once for each shard or acceptor that listens there, before anything runs.
pub fn bind_all(configuration: &Configuration, placement: &Placement) -> Result<Bound, Error> {
    let none = |count: usize| -> Vec<Listeners> {
        let of_one = || placement.servers.iter().map(|_| Vec::new()).collect();
        (0..count).map(|_| of_one()).collect()
    };
    let (shards, acceptors) = (none(placement.shards.len()), none(placement.acceptors.len()));
    let mut bound = Bound { shards, acceptors, addresses: Vec::new() };
    for (place, (server, share)) in enabled(configuration).zip(&placement.servers).enumerate() {
        let mut addresses = server.bind.clone();
        let (listening, who, cpus) = match share.acceptors.is_empty() {
            true => (&mut bound.shards, &share.shards, &placement.shards),
            false => (&mut bound.acceptors, &share.acceptors, &placement.acceptors),
        };
        let steered = configuration.ringpost.steering == Steering::Cpu;
        for address in &mut addresses {
            for number in who {
                let error = |error| Error::Bind { name: server.name.clone(), address: *address, error };
                let cpu = cpus.get(*number).copied().filter(|_| steered);
                let listener = BoundListener::bind(*address, server.backlog, cpu).map_err(error)?;
                // Port 0 asks for any: the first one's choice is everyone's.
                let bound_to = listener.local_address().map_err(error)?;
                listening[*number][place].push(listener);
                *address = bound_to;
            }
        }
        bound.addresses.push(addresses);
    }
    Ok(bound)
}

/// The servers that are to be started.
pub fn enabled(configuration: &Configuration) -> impl Iterator<Item = &ServerSettings> {
    configuration.servers.iter().filter(|server| server.enabled)
}
