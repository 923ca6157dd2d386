//! The leanest program: it speaks the dialogue with fixed replies, receives, finds the end of data, writes and syncs the same
//! octets, on one core, and does nothing else. What ringpost takes beyond it is what being a mail server costs.
//!
//! Four forms of it tell which way to the kernel is the best.

pub mod batch;
pub mod conversation;
mod one_ring;
mod over_glommio;

use crate::system;
use std::fs::OpenOptions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How it reaches network and disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// glommio's sockets and glommio's files
    Glommio,
    /// glommio's sockets, and a ring of its own for the disk
    Mixed,
    /// glommio's executor, and a ring of its own for disk and sockets: ringpost's way
    Executor,
    /// One ring of its own for both
    Ring,
}

impl Form {
    /// All of them.
    pub const ALL: [Form; 4] = [Form::Glommio, Form::Mixed, Form::Executor, Form::Ring];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Form::Glommio => "glommio",
            Form::Mixed => "mixed",
            Form::Executor => "executor",
            Form::Ring => "ring",
        }
    }
}

/// What `bench leanest` is asked to do.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// How it reaches network and disk
    #[arg(long)]
    pub form: Form,
    /// Where it listens; with port 0 on a free one, which it tells
    #[arg(long, default_value = "127.0.0.1:0")]
    pub bind: SocketAddr,
    /// On which disk: a directory that a file is made in, and removed again
    #[arg(long, default_value = ".")]
    pub directory: PathBuf,
    /// The CPU it runs on; the first that it may use if not given
    #[arg(long)]
    pub cpu: Option<usize>,
    /// MiB of the file that it writes round and round
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(4..=65_536))]
    pub mebibytes: u64,
}

/// What a form is given.
struct Setup {
    cpu: usize,
    bind: SocketAddr,
    /// A file written once already.
    file: PathBuf,
    octets: u64,
}

/// Serves until a signal comes.
pub fn run(options: &Options) -> Result<(), String> {
    let folder = crate::folder_in(&options.directory)?;
    let file = folder.path().join("segments");
    let octets = options.mebibytes << 20;
    prepare(&file, octets).map_err(|error| format!("{}: {error}", file.display()))?;
    let cpu = options.cpu.unwrap_or_else(|| system::cpus()[0]);
    let setup = Setup { cpu, bind: options.bind, file, octets };
    let serving = match options.form {
        Form::Ring => one_ring::start(setup),
        form => over_glommio::start(setup, form),
    };
    let Serving { address, failed } = serving.map_err(|error| format!("cannot serve: {error}"))?;
    println!("listening on {address}");
    while !system::is_stopping() {
        if let Ok(error) = failed.recv_timeout(Duration::from_millis(50)) {
            return Err(error.to_string());
        }
    }
    Ok(())
}

/// A form that serves on a thread of its own until the process ends.
struct Serving {
    address: SocketAddr,
    failed: std::sync::mpsc::Receiver<io::Error>,
}

/// Writes the whole file once, so that overwriting it changes nothing but its content.
fn prepare(path: &Path, octets: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let zeros = vec![0; 1 << 20];
    for start in (0..octets).step_by(zeros.len()) {
        if system::is_stopping() {
            return Err(system::stopped());
        }
        file.write_all_at(&zeros, start)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    /// What the server says to all of it, up to its end.
    fn hear(address: SocketAddr, said: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        stream.write_all(said).expect("it receives");
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("it answers and closes");
        heard
    }

    #[test]
    fn every_form_answers_and_writes() {
        for form in Form::ALL {
            let folder = tempfile::tempdir().expect("a directory");
            let file = folder.path().join("segments");
            prepare(&file, 4 << 20).expect("a file");
            let setup =
                Setup { cpu: system::cpus()[0], bind: ([127, 0, 0, 1], 0).into(), file: file.clone(), octets: 4 << 20 };
            let serving = match form {
                Form::Ring => one_ring::start(setup),
                form => over_glommio::start(setup, form),
            };
            let address = serving.expect("it serves").address;
            let long = b"0123456789abcdef\r\n".repeat(40_000);
            let messages =
                [&b"short"[..], b"\r\n.\r\nMAIL\r\nDATA\r\n", &long, b".\r\nMAIL\r\nDATA\r\nlast\r\n.\r\nQUIT\r\n"];
            let said = [b"EHLO x\r\nMAIL\r\nRCPT\r\nDATA\r\n", &messages.concat()[..]].concat();
            let heard = hear(address, &said);
            let codes: Vec<&str> = heard.lines().map(|line| &line[..3]).collect();
            let expected = "220 250 250 250 250 250 354 250 250 354 250 250 354 250 221";
            assert_eq!(codes.join(" "), expected, "{form:?}: {heard}");
            let written = std::fs::read(&file).expect("the file");
            for content in [&b"short\r\n"[..], &long[..100_000], b"last\r\n"] {
                assert!(memchr::memmem::find(&written, content).is_some(), "{form:?}");
            }
        }
    }
}
