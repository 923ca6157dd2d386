//! The program and the real ringpost as processes, and what they said.

#![allow(dead_code, reason = "not every test needs everything")]

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything that must happen is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs in the background and is ended with the test.
pub struct Running {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
    /// Where it listens.
    pub address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it by SIGTERM; all that it said since it told its address.
    pub fn end(mut self) -> String {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        let mut text = String::new();
        self.output.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success(), "{text}");
        text
    }
}

pub fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub fn loadtest(arguments: &[&str]) -> Output {
    start(arguments).wait_with_output().unwrap()
}

/// Everything a program said.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A sink with these options.
pub fn sink(options: &[&str]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.arg("sink").args(options).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").expect("where it listens").to_string();
    Running { child, output: Some(output), address }
}

/// Runs the source against `to`; what it said and its figures.
pub fn source(to: &str, options: &[&str]) -> (Output, Value) {
    let home = tempfile::tempdir().unwrap();
    let json = home.path().join("json");
    let base = ["source", "--to", to, "--json", json.to_str().unwrap()];
    let output = loadtest(&[&base[..], options].concat());
    let figures = fs::read(&json).map_or(Value::Null, |octets| serde_json::from_slice(&octets).unwrap());
    (output, figures)
}

/// The same where all must be well.
pub fn clean(to: &str, options: &[&str]) -> Value {
    let (output, figures) = source(to, options);
    assert!(output.status.success(), "{options:?}: {}", text(&output));
    figures
}

/// `verify` where nothing must be missing; what it said.
pub fn verified(arguments: &[&str]) -> String {
    let output = loadtest(&[&["verify"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

/// The real ringpost over a home that is gone afterwards.
pub struct Ringpost {
    pub running: Running,
    pub home: tempfile::TempDir,
}

/// The program beside ours: `cargo test` over the workspace builds it first.
pub fn ringpost_program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("ringpost");
    assert!(program.exists(), "{} is not there: cargo build", program.display());
    program
}

impl Ringpost {
    /// One server, `smtp` or `lmtp`, with these further elements.
    pub fn start(protocol: &str, server: &str, ringpost: &str) -> Ringpost {
        Ringpost::start_with(protocol, server, ringpost, &[])
    }

    /// The same with further files of the configuration.
    pub fn start_with(protocol: &str, server: &str, ringpost: &str, files: &[(&str, String)]) -> Ringpost {
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let conf = home.path().join("conf");
        fs::create_dir(&conf).unwrap();
        let servers = |name: &str| {
            let chain = "<handlerchain coreHandlersPackage='org.apache.james.smtpserver.NoAuthCmdHandlerLoader'>\
                <handler class='org.apache.james.smtpserver.fastfail.ValidRcptHandler'/></handlerchain>\
                <verifyIdentity>disabled</verifyIdentity>";
            let chain = if name == "smtp" { chain } else { "<handlerchain/>" };
            let one = format!(
                "<{name}server><jmxName>{name}</jmxName><bind>127.0.0.1:0</bind>{server}{chain}</{name}server>"
            );
            format!("<{name}servers>{}</{name}servers>", if name == protocol { &one } else { "" })
        };
        let domains = "<domainlist><autodetect>false</autodetect><autodetectIP>false</autodetectIP>\
            <defaultDomain>localhost</defaultDomain><domainnames><domainname>localhost</domainname></domainnames></domainlist>";
        let own =
            format!("<ringpost><spool><segmentSize>4M</segmentSize><reserve>1M</reserve></spool>{ringpost}</ringpost>");
        for (name, text) in [
            ("smtpserver.xml", servers("smtp")),
            ("lmtpserver.xml", servers("lmtp")),
            ("domainlist.xml", domains.into()),
            ("ringpost.xml", own),
        ] {
            fs::write(conf.join(name), text).unwrap();
        }
        for (name, text) in files {
            fs::write(conf.join(name), text).unwrap();
        }
        let mut add = Command::new(ringpost_program());
        add.arg("--conf").arg(&conf).args(["user", "add", "--no-password", "you@localhost", "they@localhost"]);
        assert!(add.current_dir(home.path()).stdout(Stdio::null()).status().unwrap().success());
        let log = home.path().join("log");
        let output = fs::File::create(&log).unwrap();
        let mut command = Command::new(ringpost_program());
        command.arg("--conf").arg(&conf).arg("serve").current_dir(home.path());
        let child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        let mut running = Running { child, output: None, address: String::new() };
        let begun = Instant::now();
        loop {
            let said = fs::read_to_string(&log).unwrap();
            if let Some(address) = listening(&said) {
                running.address = address;
                return Ringpost { running, home };
            }
            let ended = running.child.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "ringpost does not start: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn maildir(&self, user: &str) -> String {
        self.home.path().join("var/mail/localhost").join(user).to_str().unwrap().into()
    }
}

/// The address that ringpost's announcement tells.
fn listening(said: &str) -> Option<String> {
    let at = said.find("127.0.0.1:")?;
    let end = said[at + 10..].find(|c: char| !c.is_ascii_digit())? + at + 10;
    (end > at + 10 && &said[at + 10..end] != "0").then(|| said[at..end].to_string())
}
