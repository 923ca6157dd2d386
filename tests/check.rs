//! `ringpost check` as a command, and that `ringpost serve` says the same.

use std::fs::{self, File};
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const CHAIN: &str = "<verifyIdentity>false</verifyIdentity><handlerchain><handler \
    class='org.apache.james.smtpserver.fastfail.ValidRcptHandler'/></handlerchain>";

/// A home whose `conf` has these files.
fn home(files: &[(&str, &str)]) -> TempDir {
    let home = tempfile::tempdir().expect("a temporary directory");
    let conf = home.path().join("conf");
    fs::create_dir(&conf).expect("it is new");
    for (name, text) in files {
        fs::write(conf.join(name), text).expect("it can be written");
    }
    home
}

fn command(home: &Path, verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringpost"));
    command.current_dir(home).args(["--conf", "conf", verb]).env_remove("NO_COLOR");
    command
}

fn run(home: &TempDir, verb: &str) -> Output {
    command(home.path(), verb).output().expect("it runs")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).expect("it is UTF-8")
}

fn server(keys: &str) -> String {
    format!("<smtpservers>\n<smtpserver>\n{keys}{CHAIN}</smtpserver></smtpservers>")
}

#[test]
fn what_is_right_is_shown_with_its_defaults_and_nothing_is_bound() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound");
    let keys = format!("<bind>{address}</bind>\n<maxmessagesize>10M</maxmessagesize>");
    let home = home(&[("smtpserver.xml", &server(&keys)), ("ringpost.xml", "<ringpost/>")]);
    let output = run(&home, "check");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("SMTP server smtpserver (conf/smtpserver.xml:2)"), "{said}");
    let row = |key: &str| said.lines().find(|line| line.split_whitespace().next() == Some(key)).unwrap_or_default();
    let words = |key: &str| row(key).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words("bind"), format!("bind {address} line 3"));
    assert_eq!(words("maxmessagesize"), "maxmessagesize 10 MiB line 4");
    assert_eq!(words("connectiontimeout"), "connectiontimeout 300 s default");
    assert_eq!(words("auth/requireSSL"), "auth/requireSSL true default; in James' code: false");
    assert_eq!(words("authorizedAddresses"), "authorizedAddresses nobody default");
    assert!(said.ends_with("conf: 0 errors, 0 warnings, 2 notes; ringpost would start\n"), "{said}");
    assert!(!home.path().join("var").exists(), "nothing was made either");
}

#[test]
fn what_is_wrong_is_told_at_once_by_check_and_by_serve() {
    let keys = "<bind>127.0.0.1</bind>\n<conectionLimit>5</conectionLimit>\n<tls startTLS='true'/>\n";
    let home =
        home(&[("smtpserver.xml", &server(keys)), ("domainlist.xml", "<domainlist>\n<autodetect>maybe</autodetect>")]);
    let output = run(&home, "check");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(78), "{said}");
    for part in [
        "conf/smtpserver.xml:3:7: error: bind is \"127.0.0.1\"; expected host:port",
        "\n    3 | <bind>127.0.0.1</bind>\n      |       ^\n",
        "conf/smtpserver.xml:4:1: warning: <conectionLimit> is unknown here; did you mean <connectionLimit>?",
        "conf/smtpserver.xml:5:1: error: TLS is on, and there is no key and certificate for it",
        "conf/domainlist.xml:2:31: error: the file ends, and <domainlist> of line 1 is still open",
        "; ringpost would not start\n",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains('\x1b'), "no colours but on a terminal");
    let served = run(&home, "serve");
    assert_eq!(served.status.code(), Some(78));
    let problems = said.split_once("SMTP server").expect("the servers come after the problems").0;
    assert!(text(&served.stderr).starts_with(problems), "{}", text(&served.stderr));
}

#[test]
fn files_for_other_parts_of_james_are_named() {
    let files =
        [("smtpserver.xml", &*server("<bind>127.0.0.1:0</bind>")), ("imapserver.xml", "<x"), ("jmap.properties", "")];
    let said = text(&run(&home(&files), "check").stdout);
    assert!(said.contains("note: ringpost does not read imapserver.xml, jmap.properties; James has them"), "{said}");
}

#[test]
fn a_directory_without_files_has_nothing_to_start() {
    let output = run(&home(&[]), "check");
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stdout).contains("there is nothing to start"));
    let nowhere = tempfile::tempdir().expect("a temporary directory");
    let output = run(&nowhere, "check");
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).starts_with("ringpost would not start: there is no directory conf; name the one"));
}

#[test]
fn the_shipped_configuration_is_right() {
    let output = run_in(Path::new(env!("CARGO_MANIFEST_DIR")), "check");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

fn run_in(home: &Path, verb: &str) -> Output {
    command(home, verb).output().expect("it runs")
}

/// Runs `check` with a terminal for its standard output, and gives back what the terminal was sent.
fn on_a_terminal(home: &TempDir, no_color: Option<&str>) -> String {
    let (mut master, mut slave) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: openpty writes two descriptors and looks at nothing else, for the other pointers are null.
    let opened = unsafe { libc::openpty(&mut master, &mut slave, null, std::ptr::null(), std::ptr::null()) };
    assert_eq!(opened, 0, "a pseudo terminal");
    // SAFETY: both descriptors were opened just now and are nobody else's.
    let (mut master, slave) = unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) };
    assert!(slave.as_raw_fd() > 2);
    let mut command = command(home.path(), "check");
    if let Some(value) = no_color {
        command.env("NO_COLOR", value);
    }
    let mut child = command.stdout(Stdio::from(slave)).spawn().expect("it runs");
    drop(command);
    let mut sent = Vec::new();
    let mut part = [0; 4096];
    // A terminal whose other side is closed is an error to read from, not an end.
    while let Ok(octets @ 1..) = master.read(&mut part) {
        sent.extend_from_slice(&part[..octets]);
    }
    child.wait().expect("it ends");
    text(&sent)
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let home = home(&[("smtpserver.xml", &server("<bind>x</bind>"))]);
    let coloured = on_a_terminal(&home, None);
    assert!(coloured.contains("\x1b[1;31merror:\x1b[0m bind is \"x\""), "{coloured:?}");
    assert!(coloured.contains("\x1b[1;32m^\x1b[0m"), "{coloured:?}");
    assert!(on_a_terminal(&home, Some("")).contains('\x1b'), "an empty NO_COLOR says nothing");
    assert!(!on_a_terminal(&home, Some("1")).contains('\x1b'));
}
