//! Servers that take the load: processes of their own, ended when they are dropped.

use crate::leanest::Form;
use crate::system;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to start (it writes its segments once) or to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// Octets of one of ringpost's segments.
pub const SEGMENT: u64 = 64 << 20;

/// A server that runs.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// What runs, if that is ringpost and can be asked.
    ringpost: Option<Run>,
}

/// A ringpost that runs.
struct Run {
    program: PathBuf,
    home: PathBuf,
}

/// How ringpost is started.
#[derive(Clone, Debug)]
pub struct Ringpost {
    /// The program.
    pub program: PathBuf,
    /// Segments that are written before it takes mail.
    pub prepared: u64,
    /// The CPU of its only shard.
    pub cpu: usize,
    /// The CPUs that the process may use.
    pub cpus: Vec<usize>,
    /// Deliveries at a time; none, and mail stays in the spool, if 0.
    pub deliveries: usize,
    /// The program, with its options, that runs it; none if empty.
    pub under: Vec<String>,
    /// Variables that it is given.
    pub environment: Vec<(String, PathBuf)>,
}

impl Ringpost {
    /// A program on the first of these CPUs, with one segment prepared.
    pub fn new(program: PathBuf, cpus: Vec<usize>) -> Ringpost {
        let (under, environment) = Default::default();
        Ringpost { program, prepared: 1, cpu: cpus[0], cpus, deliveries: 0, under, environment }
    }
}

impl Server {
    /// One of the leanest program's forms.
    pub fn leanest(form: Form, directory: &Path, cpu: usize) -> Result<Server, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(["leanest", "--form", form.name(), "--cpu", &cpu.to_string(), "--directory"]).arg(directory);
        command.stdout(Stdio::piped());
        let mut child = spawn(command, &[cpu])?;
        let Some(told) = child.stdout.take() else { return Err("its output is not there".into()) };
        let mut line = String::new();
        // It tells one line, or ends.
        let read = BufReader::new(told).read_line(&mut line);
        let address = line.trim().rsplit(' ').next().and_then(|address| address.parse().ok());
        match (read, address) {
            (Ok(_), Some(address)) => Ok(Server { child, address, ringpost: None }),
            _ => {
                end(&mut child);
                Err(format!("the {} form did not start", form.name()))
            }
        }
    }

    /// ringpost with one shard that keeps what it takes, in a new home below `directory`.
    pub fn ringpost(ringpost: &Ringpost, directory: &Path) -> Result<Server, String> {
        let home = directory.join("ringpost");
        let cleared = if home.exists() { fs::remove_dir_all(&home) } else { Ok(()) };
        let written = cleared.and_then(|()| write_home(&home, ringpost));
        let address = written.map_err(|error| format!("{}: {error}", home.display()))?;
        add_user(&ringpost.program, &home)?;
        Server::start(ringpost, &home, address)
    }

    /// ringpost over what an earlier one left below `directory`.
    pub fn ringpost_again(ringpost: &Ringpost, directory: &Path) -> Result<Server, String> {
        let home = directory.join("ringpost");
        let address = write_home(&home, ringpost).map_err(|error| format!("{}: {error}", home.display()))?;
        Server::start(ringpost, &home, address)
    }

    fn start(ringpost: &Ringpost, home: &Path, address: SocketAddr) -> Result<Server, String> {
        let log = home.join("log");
        let output = File::create(&log).and_then(|log| Ok((log.try_clone()?, log)));
        let (out, err) = output.map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = match &ringpost.under[..] {
            [] => Command::new(&ringpost.program),
            [runner, options @ ..] => {
                let mut command = Command::new(runner);
                command.args(options).arg(&ringpost.program);
                command
            }
        };
        command.envs(ringpost.environment.iter().map(|(name, value)| (name, value)));
        command.arg("--conf").arg(home.join("conf")).arg("serve").current_dir(home).stdout(out).stderr(err);
        let child = spawn(command, &ringpost.cpus)?;
        let run = Run { program: ringpost.program.clone(), home: home.to_owned() };
        let mut server = Server { child, address, ringpost: Some(run) };
        server.wait_until_prepared(&log)?;
        Ok(server)
    }

    /// The port opens before the segments are written; its log tells once they are.
    fn wait_until_prepared(&mut self, log: &Path) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let told = fs::read_to_string(log).unwrap_or_default();
            if told.contains(" spool-prepared ") && greets(self.address) {
                return Ok(());
            }
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || begun.elapsed() > PATIENCE || system::is_stopping() {
                return Err(format!("ringpost did not start ({ended:?}):\n{told}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in order and returns what it told.
    pub fn end(mut self) -> Result<String, String> {
        end(&mut self.child);
        let log = self.ringpost.as_ref().ok_or("it has no log")?.home.join("log");
        fs::read_to_string(&log).map_err(|error| format!("{}: {error}", log.display()))
    }

    /// Batches that ringpost has written and synced since its start; 0 of the leanest program, which does not count them.
    pub fn batches(&self) -> Result<u64, String> {
        let Some(run) = &self.ringpost else { return Ok(0) };
        // What it tells is up to a quarter of a second old.
        std::thread::sleep(Duration::from_millis(300));
        let mut command = Command::new(&run.program);
        let told = command.arg("--conf").arg(run.home.join("conf")).args(["status", "--json"]).output();
        let told = told.map_err(|error| format!("ringpost status: {error}"))?.stdout;
        let told: serde_json::Value = serde_json::from_slice(&told).map_err(|error| format!("its status: {error}"))?;
        let shards = told["shards"].as_array().ok_or("its status tells no shards")?;
        Ok(shards.iter().filter_map(|shard| shard["batches"].as_u64()).sum())
    }

    /// Segments of the spool, if it has one.
    pub fn segments(&self) -> Option<u64> {
        segments_below(&self.ringpost.as_ref()?.home.join("var/spool"))
    }
}

fn segments_below(folder: &Path) -> Option<u64> {
    let mut count = 0;
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let is_segment = entry.file_name().to_string_lossy().starts_with("segment-");
        count += if is_segment { 1 } else { segments_below(&entry.path()).unwrap_or(0) };
    }
    Some(count)
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Tells a process to stop, and ends it if it does not.
fn end(child: &mut Child) {
    // SAFETY: the process is our child and was not waited for, so the number is its own.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
    let begun = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if begun.elapsed() > Duration::from_secs(60) {
            // It is gone then, one way or the other.
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a program that may use only these CPUs, and that does not hear the terminal's interrupt: we end it ourselves.
pub fn spawn(mut command: Command, cpus: &[usize]) -> Result<Child, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let cpus = cpus.to_vec();
    // SAFETY: between fork and exec only two system calls are made, on memory that was made before.
    unsafe { command.pre_exec(move || system::pin(&cpus)) };
    command.process_group(0).stdin(Stdio::null());
    command.spawn().map_err(|error| format!("{program}: {error}; cargo build --release --workspace"))
}

fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) else { return false };
    let mut greeting = [0; 3];
    let quiet = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let greeted = quiet.and_then(|()| stream.read_exact(&mut greeting)).and_then(|()| stream.write_all(b"QUIT\r\n"));
    greeted.is_ok() && &greeting == b"220"
}

/// Whom the load is for.
fn add_user(program: &Path, home: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg("--conf").arg(home.join("conf")).args(["user", "add", "--no-password", "you@localhost"]);
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("{}: {error}", program.display()))?;
    if status.success() { Ok(()) } else { Err(format!("ringpost user add: {status}")) }
}

/// The configuration of one run; where it is to listen.
fn write_home(home: &Path, ringpost: &Ringpost) -> std::io::Result<SocketAddr> {
    let address = free_address()?;
    fs::create_dir_all(home.join("conf"))?;
    let files = [
        (
            "smtpserver.xml",
            format!(
                "<smtpservers><smtpserver enabled='true'><jmxName>bench</jmxName><bind>{address}</bind>\
                 <connectionBacklog>4096</connectionBacklog><connectionLimit>0</connectionLimit>\
                 <connectionLimitPerIP>0</connectionLimitPerIP>\
                 <verifyIdentity>disabled</verifyIdentity><handlerchain coreHandlersPackage='org.apache.james.smtpserver.\
                 NoAuthCmdHandlerLoader'><handler class='org.apache.james.smtpserver.fastfail.ValidRcptHandler'/>\
                 </handlerchain></smtpserver></smtpservers>"
            ),
        ),
        ("lmtpserver.xml", "<lmtpservers></lmtpservers>".into()),
        (
            "domainlist.xml",
            "<domainlist><autodetect>false</autodetect><autodetectIP>false</autodetectIP>\
             <defaultDomain>localhost</defaultDomain><domainnames><domainname>localhost</domainname></domainnames>\
             </domainlist>"
                .into(),
        ),
        (
            "ringpost.xml",
            format!(
                "<ringpost><home>{}</home><shards>{}</shards>\
                 <spool><segmentSize>{}M</segmentSize><prepared>{}</prepared><maxSegments>1024</maxSegments>\
                 <reserve>64M</reserve></spool>\
                 <delivery><hold>{}</hold><concurrency>{}</concurrency></delivery></ringpost>",
                home.display(),
                ringpost.cpu,
                SEGMENT >> 20,
                ringpost.prepared,
                ringpost.deliveries == 0,
                ringpost.deliveries.max(1)
            ),
        ),
    ];
    for (name, text) in files {
        fs::write(home.join("conf").join(name), text + "\n")?;
    }
    Ok(address)
}
