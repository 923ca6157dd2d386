//! What is made and held before anything runs: directories, the spool's lock, listening sockets.

use std::io;
use std::path::{Path, PathBuf};

use super::error::{Error, file_error};
use super::placement::log_number;
use super::requirements;
use crate::config::{Configuration, ServerSettings};
use crate::io::glommio::BoundListener;

/// The directories of an installation, made and held.
pub struct Directories {
    /// Where the logs are.
    pub spool: PathBuf,
    /// Where the Maildirs are.
    pub mail: PathBuf,
    /// Logs that exist, by their numbers.
    pub logs: Vec<usize>,
    _lock: std::fs::File,
}

impl Directories {
    /// Makes what is not there, and locks the spool for this process.
    pub fn prepare(configuration: &Configuration) -> Result<Directories, Error> {
        let (spool, mail) = (&configuration.ringpost.spool.directory, &configuration.ringpost.mail_directory);
        for directory in [spool, mail] {
            make_durably(directory).map_err(file_error("cannot make the directory", directory))?;
        }
        let lock = requirements::lock_spool(spool).map_err(file_error("cannot lock the spool", spool))??;
        let entries = std::fs::read_dir(spool).map_err(file_error("cannot read the spool", spool))?;
        let mut logs: Vec<_> =
            entries.flatten().filter_map(|entry| log_number(&entry.file_name().to_string_lossy())).collect();
        logs.sort_unstable();
        Ok(Directories { spool: spool.clone(), mail: mail.clone(), logs, _lock: lock })
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

/// The sockets of one shard, by the place of their server.
pub type ShardListeners = Vec<Vec<BoundListener>>;

/// Binds every address of every server once a shard, before anything runs.
pub fn bind_all(configuration: &Configuration) -> Result<Vec<ShardListeners>, Error> {
    let shards = configuration.ringpost.shards.len();
    let mut all: Vec<ShardListeners> = (0..shards).map(|_| Vec::new()).collect();
    for server in enabled(configuration) {
        let mut of_shards: Vec<Vec<BoundListener>> = (0..shards).map(|_| Vec::new()).collect();
        for address in &server.bind {
            let mut address = *address;
            for listeners in &mut of_shards {
                let error = |error| Error::Bind { name: server.name.clone(), address, error };
                let listener = BoundListener::bind(address, server.backlog).map_err(error)?;
                // Port 0 asks for any: the first shard's choice is everyone's.
                address = listener.local_address().map_err(error)?;
                listeners.push(listener);
            }
        }
        all.iter_mut().zip(of_shards).for_each(|(shard, listeners)| shard.push(listeners));
    }
    Ok(all)
}

/// The servers that are to be started.
pub fn enabled(configuration: &Configuration) -> impl Iterator<Item = &ServerSettings> {
    configuration.servers.iter().filter(|server| server.enabled)
}
