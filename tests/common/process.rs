//! The real `ringpost`, as a process of its own over a directory that is gone afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::client::Client;

/// How long anything that must happen is waited for.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// One server of a configuration: its keys by their names in James' files, with attributes if need be. A key that is written
/// several times has a line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub lmtp: bool,
    pub keys: BTreeMap<String, String>,
    handlers: Vec<String>,
}

impl Server {
    fn new(lmtp: bool) -> Server {
        Server { lmtp, keys: BTreeMap::new(), handlers: Vec::new() }
            .with("bind", "127.0.0.1:0")
            .with("helloName", "localhost")
    }

    pub fn smtp() -> Server {
        Server::new(false)
    }

    pub fn lmtp() -> Server {
        Server::new(true)
    }

    /// With a handler of the package `org.apache.james.smtpserver`.
    pub fn with_handler(mut self, class: &str) -> Server {
        self.handlers.push(class.to_owned());
        self
    }

    pub fn with(mut self, key: &str, value: &str) -> Server {
        self.keys.insert(key.to_owned(), value.to_owned());
        self
    }

    fn xml(&self, number: usize) -> String {
        let element = if self.lmtp { "lmtpserver" } else { "smtpserver" };
        let mut xml = format!("<{element}><jmxName>server-{number}</jmxName>");
        for (key, value) in &self.keys {
            let attribute = if key == "helloName" { " autodetect='false'" } else { "" };
            for value in value.split('\n') {
                let element = key.split(' ').next().unwrap_or_default();
                xml.push_str(&format!("<{key}{attribute}>{value}</{element}>"));
            }
        }
        xml.push_str(match self.lmtp {
            true => "<handlerchain/>",
            false => "<handlerchain><handler class='org.apache.james.smtpserver.fastfail.ValidRcptHandler'/>",
        });
        for class in &self.handlers {
            xml.push_str(&format!("<handler class='org.apache.james.smtpserver.{class}'/>"));
        }
        if !self.lmtp {
            xml.push_str("</handlerchain>");
        }
        if !self.lmtp && !self.keys.contains_key("verifyIdentity") {
            xml.push_str("<verifyIdentity>disabled</verifyIdentity>");
        }
        xml + &format!("</{element}>\n")
    }
}

/// A configuration.
#[derive(Clone, Debug)]
pub struct Conf {
    pub users: Vec<String>,
    pub servers: Vec<Server>,
    /// Keys of `ringpost.xml` by their paths, such as `delivery/hold`.
    pub ringpost: BTreeMap<String, String>,
}

impl Conf {
    /// One SMTP and one LMTP server for the users `you` and `postmaster` of localhost, over a small spool.
    pub fn new() -> Conf {
        let conf = Conf {
            users: vec!["postmaster@localhost".into(), "you@localhost".into()],
            servers: vec![Server::smtp(), Server::lmtp()],
            ringpost: BTreeMap::new(),
        };
        // Wherever the tests run, a process that is killed shows what they are to show.
        let conf = conf.with("spool/volatile", "true");
        conf.with("spool/segmentSize", "4M").with("spool/reserve", "1M").with("shutdown/grace", "5s")
    }

    /// With another value of a key of `ringpost.xml`.
    pub fn with(mut self, path: &str, value: &str) -> Conf {
        self.ringpost.insert(path.to_owned(), value.to_owned());
        self
    }

    /// With these users of localhost.
    pub fn users(mut self, users: &[&str]) -> Conf {
        self.users = users.iter().map(|user| format!("{user}@localhost")).collect();
        self
    }

    /// With these servers instead.
    pub fn servers(mut self, servers: Vec<Server>) -> Conf {
        self.servers = servers;
        self
    }

    fn servers_xml(&self, lmtp: bool) -> Option<String> {
        let servers = self.servers.iter().enumerate().filter(|(_, server)| server.lmtp == lmtp);
        let xml: String = servers.map(|(number, server)| server.xml(number)).collect();
        let root = if lmtp { "lmtpservers" } else { "smtpservers" };
        (!xml.is_empty()).then(|| format!("<{root}>\n{xml}</{root}>\n"))
    }

    fn ringpost_xml(&self) -> String {
        let mut sections: BTreeMap<&str, String> = BTreeMap::new();
        for (path, value) in &self.ringpost {
            match path.split_once('/') {
                Some((section, key)) => {
                    sections.entry(section).or_default().push_str(&format!("<{key}>{value}</{key}>"));
                }
                None => sections.entry(path).or_default().push_str(value),
            }
        }
        let sections: String = sections.iter().map(|(name, xml)| format!("<{name}>{xml}</{name}>\n")).collect();
        format!("<ringpost>\n{sections}</ringpost>\n")
    }
}

/// A directory with `conf` and all that ringpost makes beside it.
pub struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    /// With users in its directory.
    pub fn new(conf: &Conf) -> Home {
        let home = Home::without_users(conf);
        // The postmaster is there from the first.
        let users: Vec<&str> =
            conf.users.iter().map(String::as_str).filter(|user| !user.starts_with("postmaster@")).collect();
        if !users.is_empty() {
            home.run(&[&["user", "add", "--no-password"], users.as_slice()].concat());
        }
        home
    }

    /// With a configuration and nothing else.
    pub fn without_users(conf: &Conf) -> Home {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory for the test");
        let home = Home { directory };
        fs::create_dir(home.conf()).expect("a directory for the configuration");
        home.configure(conf);
        home
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn conf(&self) -> PathBuf {
        self.path().join("conf")
    }

    /// Writes the configuration for the next start.
    pub fn configure(&self, conf: &Conf) {
        for (name, xml) in [
            ("smtpserver.xml", conf.servers_xml(false)),
            ("lmtpserver.xml", conf.servers_xml(true)),
            ("domainlist.xml", Some("<domainlist><defaultDomain>localhost</defaultDomain></domainlist>\n".into())),
            ("ringpost.xml", Some(conf.ringpost_xml())),
        ] {
            // Without the file there would be a server on James' own port.
            let none = format!("<{0}s/>\n", name.trim_end_matches(".xml"));
            fs::write(self.conf().join(name), xml.unwrap_or(none)).expect("the configuration is written");
        }
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringpost"));
        command.arg("--conf").arg(self.conf());
        command
    }

    /// Runs another verb of the command, which must succeed; its standard output.
    pub fn run(&self, words: &[&str]) -> String {
        self.run_with(words, "")
    }

    /// The same with something on its standard input.
    pub fn run_with(&self, words: &[&str], input: &str) -> String {
        let mut command = self.command();
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = command.spawn().expect("it runs");
        // One that does not read it has ended before.
        let _ = running.stdin.take().expect("it is piped").write_all(input.as_bytes());
        let output = running.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ringpost {}: {told}", words.join(" "));
        String::from_utf8(output.stdout).expect("it is UTF-8")
    }

    /// Starts ringpost, which must become ready.
    pub fn start(&self) -> Process {
        Process::start(self.command(), true).unwrap_or_else(|failed| panic!("{failed}"))
    }

    /// Starts a process that is prepared as told, which must become ready.
    pub fn start_prepared(&self, prepare: impl FnOnce(&mut Command)) -> Process {
        let mut command = self.command();
        prepare(&mut command);
        Process::start(command, true).unwrap_or_else(|failed| panic!("{failed}"))
    }

    /// Starts ringpost with nobody reading its log.
    pub fn start_with_stuck_log(&self) -> Process {
        Process::start(self.command(), false).unwrap_or_else(|failed| panic!("{failed}"))
    }

    /// Starts ringpost, which must give up by itself; how it did.
    pub fn fail_to_start(&self, prepare: impl FnOnce(&mut Command)) -> Failed {
        let mut command = self.command();
        prepare(&mut command);
        match Process::start(command, true) {
            Ok(process) => panic!("it started:\n{}", process.announcement),
            Err(failed) => failed,
        }
    }

    /// The Maildir of a user of localhost.
    pub fn maildir(&self, user: &str) -> PathBuf {
        self.path().join("var/mail/localhost").join(user)
    }

    /// Every message in a user's mailbox, by the names of their files.
    pub fn mail(&self, user: &str) -> Vec<Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.maildir(user).join("new")) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files.iter().map(|file| fs::read(file).expect("a message")).collect()
    }

    /// Messages in a user's mailbox.
    pub fn mail_count(&self, user: &str) -> usize {
        fs::read_dir(self.maildir(user).join("new")).map_or(0, Iterator::count)
    }

    /// The message of this id for this user, once it is delivered; its trace fields and the rest.
    pub fn delivered(&self, user: &str, id: &str) -> (Vec<String>, Vec<u8>) {
        let found = eventually(|| {
            let mut mail = self.mail(user).into_iter().map(|message| split(&message));
            mail.find(|(trace, _)| trace.iter().any(|line| line.contains(&format!(" id {id}"))))
        });
        found.unwrap_or_else(|| panic!("{id} is not in the mailbox of {user}"))
    }
}

/// The lines that ringpost puts before a message: Return-Path, Delivered-To, and Received of three lines, or of four over TLS.
fn split(message: &[u8]) -> (Vec<String>, Vec<u8>) {
    let mut lines = message.split_inclusive(|octet| *octet == b'\n');
    let mut trace: Vec<&[u8]> = lines.by_ref().take(5).collect();
    if trace.get(3).is_some_and(|line| line.starts_with(b"\t(using ")) {
        trace.extend(lines.next());
    }
    let rest = message[trace.iter().map(|line| line.len()).sum()..].to_vec();
    (trace.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect(), rest)
}

/// What comes of `look`, once something does.
pub fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        match look() {
            None if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
            found => return found,
        }
    }
}

/// How a process ended that did not become ready.
#[derive(Debug)]
pub struct Failed {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ringpost did not start ({}):\n{}{}", self.status, self.stdout, self.stderr)
    }
}

/// A running ringpost; it is killed when this is dropped.
pub struct Process {
    child: Child,
    log: Arc<Log>,
    stderr: Option<ChildStderr>,
    /// Name and address of each listener.
    listeners: Vec<(String, SocketAddr)>,
    pub announcement: String,
}

/// What a process has written to its log.
#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    grown: Condvar,
}

impl Process {
    fn start(mut command: Command, read_log: bool) -> Result<Process, Failed> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        end_with_this_thread(&mut command);
        let mut child = command.spawn().expect("the process is started");
        let announced = read_announcement(child.stdout.take().expect("a pipe"));
        let mut stderr = child.stderr.take();
        let log = Arc::new(Log::default());
        if read_log {
            log.clone().read(stderr.take().expect("a pipe"));
        }
        let mut process = Process { child, log, stderr, listeners: Vec::new(), announcement: String::new() };
        match announced.recv_timeout(PATIENCE) {
            Ok(text) if text.ends_with("\n\n") => {
                process.listeners = listeners(&text);
                process.announcement = text;
                Ok(process)
            }
            Ok(stdout) => {
                let status = process.wait();
                let stderr = process.whole_log().join("\n");
                Err(Failed { status, stdout, stderr })
            }
            Err(_) => panic!("ringpost is neither ready nor at its end:\n{}", process.log_so_far().join("\n")),
        }
    }

    /// The address of the server of that jmxName.
    pub fn listener(&self, name: &str) -> SocketAddr {
        let found = self.listeners.iter().find(|(server, _)| *server == name);
        found.unwrap_or_else(|| panic!("no {name} in {}", self.announcement)).1
    }

    /// The address of server number `number` of the configuration.
    pub fn address(&self, number: usize) -> SocketAddr {
        self.listener(&format!("server-{number}"))
    }

    /// Connects to server number `number`.
    pub fn connect(&self, number: usize) -> Client {
        Client::connect(self.address(number))
    }

    /// A session with the SMTP server of [`Conf::new`] that has said EHLO.
    pub fn smtp(&self) -> Client {
        Client::hello(self.address(0), false)
    }

    /// A session with the LMTP server of [`Conf::new`] that has said LHLO.
    pub fn lmtp(&self) -> Client {
        Client::hello(self.address(1), true)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a pid");
        // SAFETY: kill takes no pointers, and the child is ours and not waited for yet.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "{}", std::io::Error::last_os_error());
    }

    /// Asks it to stop; it must end in order.
    pub fn stop(mut self) -> Vec<String> {
        self.signal(libc::SIGTERM);
        let status = self.wait();
        assert!(status.success(), "{status}");
        self.whole_log()
    }

    /// Ends it without a chance to do anything more.
    pub fn kill(mut self) {
        self.signal(libc::SIGKILL);
        self.wait();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        eventually(|| self.child.try_wait().expect("it is ours")).expect("the process ends")
    }

    /// Starts to read a log that nobody has read so far.
    pub fn read_log(&mut self) {
        self.log.clone().read(self.stderr.take().expect("nobody reads the log yet"));
    }

    pub fn log_so_far(&self) -> Vec<String> {
        self.log.lines.lock().expect("no panic").0.clone()
    }

    /// The whole log of a process that has ended.
    pub fn whole_log(&self) -> Vec<String> {
        let lines = self.log.lines.lock().expect("no panic");
        let (lines, _) =
            self.log.grown.wait_timeout_while(lines, PATIENCE, |(_, whole)| !*whole).expect("the log is read");
        lines.0.clone()
    }

    /// The first line of the log (as text) that is about `event` and contains every one of `fields`.
    pub fn wait_for_log(&self, event: &str, fields: &[&str]) -> String {
        let event = format!(" {event}");
        self.wait_for_line(&[&[&*event], fields].concat())
    }

    /// The first line of the log that contains all of this.
    pub fn wait_for_line(&self, parts: &[&str]) -> String {
        let wanted = |line: &&String| parts.iter().all(|part| line.contains(part));
        let lines = self.log.lines.lock().expect("no panic");
        let (lines, _) = self
            .log
            .grown
            .wait_timeout_while(lines, PATIENCE, |(lines, whole)| !*whole && !lines.iter().any(|line| wanted(&line)))
            .expect("the log is read");
        let found = lines.0.iter().find(wanted).cloned();
        drop(lines);
        found.unwrap_or_else(|| panic!("no line with {parts:?} in the log"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.log_so_far();
            eprintln!("the last lines of the log:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        // One that has ended already is no trouble.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    fn read(self: Arc<Self>, stderr: ChildStderr) {
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n') {
                let Ok(line) = line else { break };
                self.lines.lock().expect("no panic").0.push(String::from_utf8_lossy(&line).into_owned());
                self.grown.notify_all();
            }
            self.lines.lock().expect("no panic").1 = true;
            self.grown.notify_all();
        });
    }
}

/// Kills the process when the thread that starts it ends, so that none is left behind by a test that is aborted.
pub fn end_with_this_thread(command: &mut Command) {
    // SAFETY: what runs between fork and exec is one system call.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        })
    };
}

/// Reads standard output: the announcement up to its empty line; what there is where it ends before. The rest is read and
/// thrown away.
fn read_announcement(stdout: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, announced) = channel();
    std::thread::spawn(move || {
        let (mut stdout, mut text) = (BufReader::new(stdout), String::new());
        while !text.ends_with("\n\n") && stdout.read_line(&mut text).is_ok_and(|octets| octets > 0) {}
        let _ = sender.send(text);
        let _ = std::io::copy(&mut stdout, &mut std::io::sink());
    });
    announced
}

/// Lines such as `  SMTP     127.0.0.1:2525 (smtpserver)`.
fn listeners(announcement: &str) -> Vec<(String, SocketAddr)> {
    let lines = announcement.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| ["SMTP", "LMTP"].contains(word))?;
        let address = words.next()?.parse().ok()?;
        Some((words.next()?.trim_matches(['(', ')']).to_owned(), address))
    });
    lines.collect()
}
