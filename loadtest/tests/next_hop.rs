//! ringpost sends on to a sink that puts off, refuses, is slow and breaks off: held against both ledgers.

mod common;

use common::{PATIENCE, Ringpost, clean, ringpost_program, sink, text, verified};
use std::process::Command;
use std::time::{Duration, Instant};

/// A container that sends what is not local to a gateway, and tries again after a moment.
fn container(gateway: &str) -> String {
    format!(
        "<mailetcontainer><context><postmaster>postmaster@localhost</postmaster></context>
        <spooler><threads>4</threads><errorRepository>file://var/mail/error/</errorRepository></spooler><processors>
        <processor state='root'><mailet match='All' class='ToProcessor'><processor>transport</processor></mailet></processor>
        <processor state='transport'><mailet match='RecipientIsLocal' class='LocalDelivery'/>
        <mailet match='All' class='RemoteDelivery'><delayTime>100*200</delayTime><maxRetries>100</maxRetries>
        <timeout>5000</timeout><connectionTimeout>5000</connectionTimeout><gateway>{gateway}</gateway></mailet></processor>
        <processor state='error'><mailet match='All' class='ToRepository'>
        <repositoryPath>file://var/mail/error/</repositoryPath></mailet></processor></processors></mailetcontainer>"
    )
}

fn start(gateway: &str) -> Ringpost {
    let authorized = "<authorizedAddresses>127.0.0.0/8</authorizedAddresses>";
    Ringpost::start_with("smtp", authorized, "", &[("mailetcontainer.xml", container(gateway))])
}

/// What a command of the running server says.
fn ask(ringpost: &Ringpost, words: &[&str]) -> String {
    let conf = ringpost.home.path().join("conf");
    let mut command = Command::new(ringpost_program());
    command.arg("--conf").arg(conf).args(words).current_dir(ringpost.home.path());
    text(&command.output().unwrap())
}

/// Waits until nothing is in the spool any more.
fn drained(ringpost: &Ringpost) {
    let begun = Instant::now();
    while !ask(ringpost, &["queue", "list", "--json"]).trim().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{}", ask(ringpost, &["queue", "list"]));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_a_difficult_host_takes_in_the_end_is_what_was_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let ledgers = ["source", "sink"].map(|name| home.path().join(name).to_str().unwrap().to_owned());
    let faults = ["connect:drop:0.1", "mail:421:0.02", "rcpt:451:0.1", "data:451:0.05", "dot:452:0.1", "dot:drop:0.05"];
    let mut options = vec!["--ledger", &ledgers[1], "--delay", "reply:0.002"];
    faults.iter().for_each(|fault| options.extend(["--fault", fault]));
    let sink = sink(&options);
    let ringpost = start(&sink.address);
    let to = [
        "--messages",
        "400",
        "--ledger",
        &ledgers[0],
        "--recipient",
        "you@there.example",
        "--recipient",
        "they@there.example",
    ];
    clean(&ringpost.running.address, &to);
    drained(&ringpost);
    let said = verified(&["--ledger", &ledgers[0], "--sink", &ledgers[1], "--copies", "2"]);
    assert!(said.contains("800"), "{said}");
    let status = ask(&ringpost, &["status"]);
    assert!(status.contains("left alone"), "{status}");
    drop(sink);
}

#[test]
fn who_is_refused_is_reported_and_who_is_not_is_delivered() {
    let home = tempfile::tempdir().unwrap();
    let ledger = home.path().join("sink").to_str().unwrap().to_owned();
    let sink = sink(&["--ledger", &ledger, "--fault", "rcpt:550:1:no*@*"]);
    let ringpost = start(&sink.address);
    let to = [
        "--messages",
        "20",
        "--from",
        "you@localhost",
        "--recipient",
        "no-one@there.example",
        "--recipient",
        "they@there.example",
    ];
    clean(&ringpost.running.address, &to);
    drained(&ringpost);
    let mail = std::path::Path::new(&ringpost.maildir("you")).join("new");
    let reports: Vec<String> = std::fs::read_dir(mail)
        .unwrap()
        .map(|entry| String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()).into_owned())
        .collect();
    assert_eq!(reports.len(), 20);
    for report in &reports {
        assert!(report.contains("Final-Recipient: rfc822; no-one@there.example\n"), "{report}");
        assert!(report.contains("Diagnostic-Code: smtp; 550"), "{report}");
        assert!(!report.contains("they@there.example: failed"), "{report}");
    }
    assert_eq!(
        std::fs::read_to_string(ledger).unwrap().lines().filter(|line| line.contains("they@there.example")).count(),
        20
    );
    drop(sink);
}

#[test]
fn a_host_that_is_not_there_is_named_and_mail_leaves_when_it_is() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ringpost = start(&port);
    clean(&ringpost.running.address, &["--messages", "5", "--recipient", "they@there.example"]);
    let begun = Instant::now();
    let why = loop {
        let list = ask(&ringpost, &["queue", "list", "--json"]);
        if list.contains("4.4.1") && list.lines().count() == 5 {
            break list;
        }
        assert!(begun.elapsed() < PATIENCE, "{list}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(why.contains(&format!("127.0.0.1[127.0.0.1]:{}", port.rsplit_once(':').unwrap().1)), "{why}");
    let sink = sink(&["--listen", &port]);
    drained(&ringpost);
    let said = sink.end();
    assert!(said.contains("messages     5 acknowledged"), "{said}");
}
