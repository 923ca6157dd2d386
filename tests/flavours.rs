//! Configurations in the shape of James' flavours and versions: each starts and behaves, or is refused for exactly the
//! reasons that are written down. With RINGPOST_BLESS=1 the reasons are written anew.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::dialogue::Setup;
use common::driver::Driver;
use common::golden::assert_golden;
use common::reading::{put, read};
use ringpost::config::{Configuration, Problem, Protocol, ServerSettings, Severity, Sources};
use ringpost::mta::settings::{chain, session_settings};

fn flavours() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flavours");
    let entries = fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("readable").path());
    let mut flavours: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    flavours.sort();
    flavours
}

/// The files of a flavour, beside a `ringpost.xml` with `more`.
fn sources(flavour: &Path, more: &str) -> Sources {
    let mut sources = Sources { directory: "/srv/ringpost/conf".into(), ..Sources::default() };
    for entry in fs::read_dir(flavour).expect("it is there") {
        let path = entry.expect("readable").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("the names are ASCII");
        if path.extension().is_some_and(|extension| extension != "txt") {
            put(&mut sources, name, &fs::read(&path).expect("readable"));
        }
    }
    put(&mut sources, "ringpost", format!("<ringpost>{more}</ringpost>").as_bytes());
    sources
}

/// The first line of each problem, notes left out.
fn reasons(problems: &[Problem]) -> String {
    let told = problems.iter().filter(|problem| problem.severity > Severity::Note);
    let first_line = |problem: &Problem| problem.to_string().lines().next().unwrap_or_default().to_owned() + "\n";
    told.map(first_line).collect()
}

/// What the advice of each error says to write into `ringpost.xml`.
fn acceptances(problems: &[Problem]) -> String {
    let mut accepted: Vec<String> = Vec::new();
    for problem in problems.iter().filter(|problem| problem.severity == Severity::Error) {
        let (_, element) = problem.advice.split_once("in ringpost.xml: ").unwrap_or_else(|| panic!("{problem}"));
        if !accepted.iter().any(|one| one == element) {
            accepted.push(element.to_owned());
        }
    }
    accepted.concat()
}

#[test]
fn each_flavour_is_refused_for_exactly_the_reasons_written_down() {
    let flavours = flavours();
    assert!(flavours.len() >= 9);
    for flavour in flavours {
        let (configuration, problems) = read(&sources(&flavour, ""));
        let text = reasons(&problems);
        assert_golden(&flavour.join("told.txt"), &text);
        assert_eq!(configuration.is_none(), text.contains(": error: "), "{}", flavour.display());
    }
}

/// Accepted as the messages say, every flavour starts, and each of its servers talks as its files ask.
#[test]
fn each_flavour_starts_once_its_reasons_are_accepted_and_behaves() {
    for flavour in flavours() {
        let accepted = acceptances(&read(&sources(&flavour, "")).1);
        let (configuration, problems) = read(&sources(&flavour, &accepted));
        let configuration = configuration.unwrap_or_else(|| panic!("{}: {}", flavour.display(), reasons(&problems)));
        let started: Vec<&ServerSettings> = configuration.servers.iter().filter(|server| server.enabled).collect();
        assert!(!started.is_empty(), "{}", flavour.display());
        for server in started {
            talk(&configuration, server);
        }
    }
}

/// What the server says to some lines; the last line of each reply.
fn replies(configuration: &Configuration, server: &ServerSettings, lines: &[&str]) -> Vec<String> {
    let lmtp = server.protocol == Protocol::Lmtp;
    let setup = Setup { lmtp, client: "192.0.2.7".into(), ..Setup::default() };
    let mut driver = Driver::under(session_settings(configuration, server), chain(configuration, server), &setup);
    for line in lines {
        driver.receive(format!("{line}\r\n").as_bytes());
    }
    let text = String::from_utf8(driver.sent).expect("replies are text");
    text.lines().map(str::to_owned).collect()
}

fn talk(configuration: &Configuration, server: &ServerSettings) {
    let hello = if server.protocol == Protocol::Smtp { "EHLO" } else { "LHLO" };
    let hello = format!("{hello} client.example.org");
    let lines = [&hello, "MAIL FROM:<me@example.org>", "RCPT TO:<you@localhost>", "RCPT TO:<me@example.org>", "QUIT"];
    let said = replies(configuration, server, &lines);
    let greeting = server.greeting.clone().unwrap_or_else(|| server.hello_name.clone());
    assert!(said[0].starts_with(&format!("220 {greeting}")), "{said:?}");
    let chunking = said.iter().any(|line| line.ends_with("CHUNKING"));
    assert_eq!(chunking, server.disabled_features.is_empty(), "{said:?}");
    let codes: Vec<&str> = said.iter().rev().take(4).map(|line| line.split(' ').next().unwrap_or_default()).collect();
    // A stranger, whom nobody lets send to other domains, nor at all where AUTH is required.
    let expected = if server.auth.required { ["221", "503", "503", "530"] } else { ["221", "550", "250", "250"] };
    assert_eq!(codes, expected, "{said:?}");
}

fn flavour(name: &str) -> Configuration {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flavours").join(name);
    let accepted = acceptances(&read(&sources(&path, "")).1);
    read(&sources(&path, &accepted)).0.expect("it starts")
}

#[test]
fn older_files_mean_what_they_meant() {
    let legacy = flavour("legacy-3.6");
    let server = &legacy.servers[0];
    assert_eq!((server.hello_name.as_str(), server.idle_timeout.as_secs()), ("mx.example.org", 360));
    assert_eq!((server.max_message_octets, server.require_hello), (Some(10 << 20), false));
    let said = replies(&legacy, server, &["MAIL FROM:<>"]);
    assert_eq!(said, ["220 mx.example.org at your service", "250 2.1.0 Sender <> OK"]);

    let oldest = flavour("james-2.3");
    assert_eq!(oldest.servers[0].bind, ["0.0.0.0:25".parse().expect("an address")]);
    assert_eq!(oldest.domains.names, ["localhost", "mx.example.net"]);
}

#[test]
fn what_a_version_added_is_read() {
    let newest = flavour("distributed-3.10");
    let [global, tls, submission] = &newest.servers[..3] else { panic!("there are three") };
    assert_eq!((global.max_line_octets, global.graceful_shutdown), (16_384, false));
    assert_eq!((global.auth.required, tls.auth.required, submission.auth.required), (false, true, true));
    assert_eq!((global.auth.require_ssl, tls.auth.require_ssl), (false, true));
    assert!(global.tls.is_none() && tls.tls.is_some() && submission.tls.is_some());
    assert!(!newest.servers[3].enabled);
    let container = newest.container.expect("it is there");
    assert_eq!(container.pipeline.map(|pipeline| pipeline.processors.len()), Some(9));
    assert_eq!(container.remotes.len(), 1);
    assert_eq!(
        flavour("memory-3.9").servers[0].bind,
        ["0.0.0.0:25".parse().expect("an address")],
        "by ${{sys:smtp.port}}"
    );
    assert_eq!(flavour("lmtp-container-3.9").servers[0].max_message_octets, Some(10 << 20), "LMTP takes units");
}
