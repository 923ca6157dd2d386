//! `ringpost queue` and `ringpost spool`.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use ringpost::config::Configuration;
use ringpost::control::admin::command::{ALL, Command, Form, Which};
use ringpost::control::admin::stopped::Stopped;
use ringpost::control::admin::{Change, Out, execute};
use ringpost::mail::MessageId;
use ringpost::mta::requirements::lock_spool;

use super::exit;
use super::tell;

/// What can be done with messages that wait.
#[derive(Clone, Debug, Subcommand)]
pub enum Queue {
    /// The messages that wait; `*` is being delivered, `!` is held
    List {
        /// As JSON objects, one a line, in the shape of `postqueue -j`
        #[arg(long)]
        json: bool,
    },
    /// All that is known of messages, and their header
    Show {
        /// As JSON objects, one a line
        #[arg(long)]
        json: bool,
        /// Their ids
        #[arg(required = true)]
        ids: Vec<MessageId>,
    },
    /// Deliver messages no further until they are released
    Hold {
        /// Their ids, or ALL
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Let held messages go on
    Release {
        /// Their ids, or ALL
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Take messages out of the queue for good: nobody is told
    Remove {
        /// Their ids, or ALL
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Try messages at once that wait for their next attempt
    Flush {
        /// Their ids, or ALL
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Why messages are still here
    Why {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<MessageId>,
    },
}

/// What can be done with a spool.
#[derive(Clone, Debug, Subcommand)]
pub enum Spool {
    /// Read all that waits, and hold it against its checksums; exit status 65 if something is damaged
    Verify,
    /// How much there is in each log
    Stats {
        /// As JSON objects, one a line
        #[arg(long)]
        json: bool,
    },
    /// Write messages to a directory: ID.eml, and the envelope as ID.json
    Export {
        /// The directory, which is made if it is not there
        directory: PathBuf,
        /// Their ids, or ALL
        #[arg(default_value = ALL)]
        ids: Vec<String>,
    },
    /// What recovery has set aside, and whole records in it
    Quarantine,
}

/// Does something with messages that wait.
pub fn queue(conf: &Path, verb: Queue) -> ExitCode {
    let form = |json: bool| if json { Form::Json } else { Form::Text };
    let change = |change, ids: &[String]| which(ids).map(|which| Command::Change(change, which));
    let command = match &verb {
        Queue::List { json } => Ok(Command::List(form(*json))),
        Queue::Show { json, ids } => Ok(Command::Show(form(*json), ids.clone())),
        Queue::Why { ids } => Ok(Command::Why(ids.clone())),
        Queue::Hold { ids } => change(Change::Hold(true), ids),
        Queue::Release { ids } => change(Change::Hold(false), ids),
        Queue::Remove { ids } => change(Change::Remove, ids),
        Queue::Flush { ids } => change(Change::Flush, ids),
    };
    run(conf, command, print)
}

/// Does something with the spool.
pub fn spool(conf: &Path, verb: Spool) -> ExitCode {
    match verb {
        Spool::Verify => run(conf, Ok(Command::Verify), print),
        Spool::Stats { json } => run(conf, Ok(Command::Stats(if json { Form::Json } else { Form::Text })), print),
        Spool::Export { directory, ids } => {
            run(conf, which(&ids).map(Command::Export), |answer| take_export(answer, &directory))
        }
        Spool::Quarantine => match configuration(conf) {
            Ok(configuration) => super::quarantine::list(&configuration.ringpost.spool.directory),
            Err(status) => status,
        },
    }
}

fn which(ids: &[String]) -> Result<Which, String> {
    if ids == [ALL] {
        return Ok(Which::All);
    }
    let read = |id: &String| id.parse().map_err(|error| format!("{id}: {error}"));
    ids.iter().map(read).collect::<Result<_, _>>().map(Which::These)
}

/// The configuration, or why there is none.
pub(super) fn configuration(conf: &Path) -> Result<Configuration, ExitCode> {
    if let Err(why) = tell::directory(conf) {
        eprintln!("ringpost: {why}");
        return Err(ExitCode::from(exit::CONFIG));
    }
    Configuration::read(conf).configuration.ok_or_else(|| {
        eprintln!("ringpost: the configuration in {} has errors; `ringpost check` tells them", conf.display());
        ExitCode::from(exit::CONFIG)
    })
}

/// Asks whoever has the spool; `take` says whether the answer had no errors.
fn run(
    conf: &Path,
    command: Result<Command, String>,
    take: impl FnOnce(&mut dyn BufRead) -> io::Result<bool>,
) -> ExitCode {
    let command = match command {
        Ok(command) => command,
        Err(why) => {
            eprintln!("ringpost: {why}");
            return ExitCode::from(exit::USAGE);
        }
    };
    let configuration = match configuration(conf) {
        Ok(configuration) => configuration,
        Err(status) => return status,
    };
    let (socket, spool) = (&configuration.ringpost.control_socket, &configuration.ringpost.spool.directory);
    let taken = match UnixStream::connect(socket) {
        Ok(mut server) => server.write_all(command.line().as_bytes()).and_then(|()| take(&mut BufReader::new(server))),
        // Nobody serves it: the spool is read as it lies there, if that is so.
        Err(unanswered) => match lock_spool(spool) {
            Ok(Ok(lock)) => {
                let taken = ask_stopped(spool, command, take);
                drop(lock);
                taken
            }
            Ok(Err(in_use)) => {
                eprintln!("ringpost: {in_use}; and no server answers at {}: {unanswered}", socket.display());
                return ExitCode::from(exit::UNAVAILABLE);
            }
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", spool.display()))),
        },
    };
    match taken {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(exit::DATA),
        // Who reads it may have had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringpost: {error}");
            ExitCode::from(exit::INPUT_OUTPUT)
        }
    }
}

struct Pipe(UnixStream);

impl Out for Pipe {
    async fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.write_all(octets)
    }
}

/// Reads a spool that nobody uses; the answer comes as from a server.
fn ask_stopped(
    spool: &Path,
    command: Command,
    take: impl FnOnce(&mut dyn BufRead) -> io::Result<bool>,
) -> io::Result<bool> {
    let (ours, theirs) = UnixStream::pair()?;
    let spool = spool.to_owned();
    let answering = std::thread::spawn(move || {
        let mut stopped = Stopped::open(&spool)?;
        futures_lite::future::block_on(execute(&command, &mut stopped, &mut Pipe(theirs)))
    });
    let taken = take(&mut BufReader::new(ours));
    match answering.join() {
        Ok(answered) => answered.and(taken),
        Err(_) => Err(io::Error::other("the spool could not be read")),
    }
}

const ERROR: &[u8] = b"error: ";

/// Prints the answer; lines that are errors go to standard error.
pub(super) fn print(answer: &mut dyn BufRead) -> io::Result<bool> {
    let (mut out, mut right) = (io::stdout().lock(), true);
    let mut line = Vec::new();
    while answer.read_until(b'\n', &mut line)? > 0 {
        match line.strip_prefix(ERROR) {
            Some(error) => {
                right = false;
                complain(error);
            }
            None => out.write_all(&line)?,
        }
        line.clear();
    }
    out.flush()?;
    Ok(right)
}

fn complain(error: &[u8]) {
    eprintln!("ringpost: {}", String::from_utf8_lossy(error).trim_end());
}

/// Writes what comes to files. A message that is not whole is not left there.
fn take_export(answer: &mut dyn BufRead, directory: &Path) -> io::Result<bool> {
    fs::create_dir_all(directory)?;
    let (mut count, mut right) = (0u64, true);
    let mut line = Vec::new();
    while answer.read_until(b'\n', &mut line)? > 0 {
        if let Some(error) = line.strip_prefix(ERROR) {
            right = false;
            complain(error);
        } else {
            let id = id_of(&line).ok_or_else(|| io::Error::other("the server sent something else"))?;
            let content = directory.join(format!("{id}.eml"));
            match take_content(answer, &content.with_extension("eml.new")) {
                Ok(()) => {
                    fs::write(directory.join(format!("{id}.json")), &line)?;
                    fs::rename(content.with_extension("eml.new"), &content)?;
                    count += 1;
                }
                Err(error) => {
                    let _ = fs::remove_file(content.with_extension("eml.new"));
                    return Err(io::Error::new(error.kind(), format!("{id}: {error}")));
                }
            }
        }
        line.clear();
    }
    println!("{count} messages are in {}", directory.display());
    Ok(right)
}

/// The id at the start of an envelope.
fn id_of(envelope: &[u8]) -> Option<MessageId> {
    let rest = envelope.strip_prefix(b"{\"id\":\"")?;
    std::str::from_utf8(rest.get(..13)?).ok()?.parse().ok()
}

fn take_content(answer: &mut dyn BufRead, to: &Path) -> io::Result<()> {
    let mut file = File::create(to)?;
    let mut length = String::new();
    loop {
        length.clear();
        answer.read_line(&mut length)?;
        match u64::from_str_radix(length.trim_end(), 16) {
            Ok(0) => return file.sync_all(),
            Ok(octets) => {
                if io::copy(&mut answer.take(octets), &mut file)? < octets {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Err(_) if length.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(_) => return Err(io::Error::other(length.trim_end().to_owned())),
        }
    }
}
