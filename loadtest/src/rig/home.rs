//! ringpost over a home of its own, with the settings that comparisons need.

use super::log::LogCount;
use super::process::{Server, free_port, greets};
use crate::process::StopSignal;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What becomes of accepted mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays in the spool.
    Held,
    /// It is kept safely, and then thrown away.
    Discarded,
}

/// A directory with configuration and spool.
pub struct Home {
    directory: PathBuf,
    program: PathBuf,
    port: u16,
    log: PathBuf,
    has_directory: bool,
}

/// The spool's settings.
#[derive(Clone, Copy, Debug)]
pub struct Spool {
    /// Octets of a segment, in MiB.
    pub segment: u32,
    /// Segments of each shard that are written once before the load.
    pub prepared: u32,
}

impl Home {
    /// Makes the directory and writes the configuration into it.
    pub fn new(directory: &Path, program: &Path, spool: Spool, fate: Fate) -> Result<Home, String> {
        let port = free_port()?;
        let failed = |error: io::Error| format!("{}: {error}", directory.display());
        fs::create_dir_all(directory.join("conf")).map_err(failed)?;
        let (hold, discard) = (fate == Fate::Held, fate == Fate::Discarded);
        // Only a version that knows <discard> is asked for it.
        let discard = if discard { "<discard>true</discard>" } else { "" };
        let Spool { segment, prepared } = spool;
        // Earlier versions have their users in ringpost.xml.
        let asked = Command::new(program).args(["user", "add", "--help"]).stdin(Stdio::null()).output();
        let has_directory = asked.is_ok_and(|output| output.status.success());
        let users = if has_directory { "" } else { "<users><user>you@localhost</user></users>" };
        let files = [
            (
                "smtpserver.xml",
                format!(
                    "<smtpservers><smtpserver enabled=\"true\"><jmxName>smtpserver</jmxName><bind>127.0.0.1:{port}</bind>\
                     <verifyIdentity>disabled</verifyIdentity>\
                     <handlerchain coreHandlersPackage=\"org.apache.james.smtpserver.NoAuthCmdHandlerLoader\">\
                     <handler class=\"org.apache.james.smtpserver.fastfail.ValidRcptHandler\"/>\
                     </handlerchain></smtpserver></smtpservers>\n"
                ),
            ),
            ("lmtpserver.xml", "<lmtpservers></lmtpservers>\n".into()),
            (
                "domainlist.xml",
                "<domainlist><autodetect>false</autodetect><autodetectIP>false</autodetectIP>\
                 <defaultDomain>localhost</defaultDomain><domainnames><domainname>localhost</domainname></domainnames>\
                 </domainlist>\n"
                    .into(),
            ),
            (
                "ringpost.xml",
                format!(
                    "<ringpost>{users}<delivery><hold>{hold}</hold>{discard}</delivery>\
                     <spool><segmentSize>{segment}M</segmentSize><prepared>{prepared}</prepared><reserve>256M</reserve>\
                     </spool></ringpost>\n"
                ),
            ),
        ];
        for (name, text) in files {
            fs::write(directory.join("conf").join(name), text).map_err(failed)?;
        }
        let log = directory.join("log");
        Ok(Home { directory: directory.to_owned(), program: program.to_owned(), port, log, has_directory })
    }

    /// Makes the user to whom the load is sent.
    fn add_user(&self) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.arg("--conf").arg(self.directory.join("conf")).args(["user", "add", "--no-password", "you@localhost"]);
        let output = command.current_dir(&self.directory).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{}: {error}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("ringpost user add: {}", said.trim())) }
    }

    /// Starts it and waits until all segments are written.
    pub fn start(&self, stop: &StopSignal) -> Result<Server, String> {
        if self.has_directory && !self.var().exists() {
            self.add_user()?;
        }
        let failed = |error: io::Error| format!("{}: {error}", self.log.display());
        let log = File::create(&self.log).map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.arg("--conf").arg(self.directory.join("conf")).arg("serve").current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
        let mut server = Server::start("ringpost", command)?;
        let ready = server.wait_until("complete start", stop, || self.is_ready());
        ready.map_err(|why| format!("{why}\n{}", self.said().chars().take(2000).collect::<String>()))?;
        // A setting that the program does not know would make it do other work than the comparison says.
        match self.said().lines().find(|line| line.contains("has no effect")) {
            Some(line) => Err(format!("{} ignores what is needed: {line}", self.program.display())),
            None => Ok(server),
        }
    }

    /// The port opens before the segments are written; each shard tells once it has them all.
    fn is_ready(&self) -> bool {
        let said = self.said();
        let shards =
            said.lines().filter(|line| line.trim_start().starts_with("shard ") && line.contains(" on CPU ")).count();
        let prepared = said.lines().filter(|line| line.contains(" spool-prepared ")).count();
        shards > 0 && prepared >= shards && greets(self.port)
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        let octets = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// Counts the messages that its log says were thrown away.
    pub fn discarded(&self) -> LogCount {
        LogCount::new(self.log.clone(), " discarded ")
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All of it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where its spool and its mailboxes are.
    pub fn var(&self) -> PathBuf {
        self.directory.join("var")
    }

    /// Segments that its spool has now.
    pub fn segments(&self) -> usize {
        let shards = fs::read_dir(self.var().join("spool")).into_iter().flatten().flatten();
        let files = shards.flat_map(|shard| fs::read_dir(shard.path()).into_iter().flatten().flatten());
        files.filter(|file| file.file_name().to_string_lossy().starts_with("segment-")).count()
    }
}

/// The version a program says it is.
pub fn version(program: &Path) -> Result<String, String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}
