//! Each option of the source does what it says, against the sink and against the real ringpost.

mod common;

use common::{PATIENCE, Ringpost, clean, loadtest, sink, source, text, verified};
use std::fs;
use std::net::TcpListener;

/// A ledger for the source and one for the sink, and how they compare.
fn through_a_sink(sink_options: &[&str], source_options: &[&str], copies: &str) -> (serde_json::Value, String) {
    let home = tempfile::tempdir().unwrap();
    let (sent, taken) = (home.path().join("sent"), home.path().join("taken"));
    let (sent, taken) = (sent.to_str().unwrap(), taken.to_str().unwrap());
    let server = sink(&[&["--ledger", taken], sink_options].concat());
    let figures = clean(&server.address, &[&["--ledger", sent, "--quiet"], source_options].concat());
    let said = verified(&["--ledger", sent, "--sink", taken, "--copies", copies]);
    (figures, said)
}

#[test]
fn every_pace_and_framing_arrives_whole() {
    for pace in [&[][..], &["--group"], &["--pipelining"]] {
        for framing in [&[][..], &["--bdat"]] {
            let options = [&["--messages", "60", "--sessions", "3"], pace, framing].concat();
            let (figures, said) = through_a_sink(&[], &options, "1");
            assert_eq!(figures["acknowledged"], 60, "{options:?}");
            assert!(said.contains("acknowledged 60, of these found whole 60"), "{said}");
            for phase in ["connect", "greeting", "mail_to_rcpt", "dot_to_250"] {
                assert!(figures["phases_ms"][phase]["count"].as_u64().unwrap() > 0, "{phase} {options:?}");
            }
        }
    }
}

#[test]
fn real_sizes_are_many_and_arrive_whole() {
    let pipelined_chunks = ["--messages", "200", "--size", "real", "--sessions", "4", "--bdat", "--pipelining"];
    for options in [&pipelined_chunks[..], &pipelined_chunks[..6]] {
        let (figures, said) = through_a_sink(&[], options, "1");
        assert!(said.contains("found whole 200"), "{said}");
        assert!(figures["size"].as_f64().unwrap() > 20_000.0, "the mean of real mail is far above its median");
    }
    let (output, _) = source("127.0.0.1:1", &["--messages", "1", "--size", "@/nonexistent"]);
    assert!(text(&output).contains("/nonexistent"), "{}", text(&output));
}

#[test]
fn several_recipients_are_a_copy_each() {
    let recipients = ["--recipient", "a@localhost", "--recipient", "b@localhost", "--recipient", "c@localhost"];
    let (_, said) = through_a_sink(&[], &[&recipients[..], &["--messages", "20", "--pipelining"]].concat(), "3");
    assert!(said.contains("acknowledged 60, of these found whole 60"), "{said}");
    let (figures, said) =
        through_a_sink(&["--lmtp"], &[&recipients[..], &["--messages", "20", "--lmtp"]].concat(), "1");
    assert!(said.contains("acknowledged 60, of these found whole 60"), "{said}");
    assert_eq!(figures["acknowledged"], 20);
}

#[test]
fn tls_is_spoken_and_strangers_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let certificate = home.path().join("certificate.pem");
    let certificate = certificate.to_str().unwrap();
    for mode in ["--tls", "--starttls"] {
        let server = sink(&[mode, "--write-certificate", certificate]);
        let options = [mode, "--messages", "30", "--sessions", "3", "--messages-per-connection", "5", "--pipelining"];
        for trust in [&["--ca", certificate][..], &["--insecure"], &["--insecure", "--tls-resume"]] {
            let figures = clean(&server.address, &[&options[..], trust].concat());
            let handshakes = figures["phases_ms"]["tls"]["count"].as_u64().unwrap();
            // A session may find that the others have taken what was left.
            assert!((6..=9).contains(&handshakes), "{mode} {trust:?}: {handshakes}");
            assert_eq!(figures["acknowledged"], 30);
        }
        let large = ["--insecure", "--messages", "3", "--size", "3000000", "--bdat"];
        clean(&server.address, &[&[mode], &large[..]].concat());
        let wrong_name = ["--ca", certificate, "--tls-name", "elsewhere.example", "--stall-timeout", "60"];
        let (output, _) =
            source(&server.address, &[&[mode, "--messages", "1", "--sessions", "1"], &wrong_name[..]].concat());
        assert!(!output.status.success() && text(&output).contains("TLS handshake"), "{}", text(&output));
        let (output, _) = source(&server.address, &[mode, "--messages", "1"]);
        assert!(text(&output).contains("--insecure"), "{}", text(&output));
    }
    let plain = sink(&[]);
    let (output, _) = source(&plain.address, &["--starttls", "--insecure", "--messages", "1", "--sessions", "1"]);
    assert!(text(&output).contains("does not offer STARTTLS"), "{}", text(&output));
}

#[test]
fn auth_is_said_with_either_mechanism_and_a_wrong_password_is_told() {
    let home = tempfile::tempdir().unwrap();
    let (right, wrong) = (home.path().join("right"), home.path().join("wrong"));
    fs::write(&right, "secret\n").unwrap();
    fs::write(&wrong, "guess\n").unwrap();
    let server = sink(&["--user", "me:secret"]);
    for mechanism in ["plain", "login"] {
        let options = |file: &std::path::Path| {
            let file = file.to_str().unwrap().to_string();
            ["--auth", mechanism, "--user", "me", "--messages", "4", "--sessions", "2", "--password-file"]
                .map(String::from)
                .into_iter()
                .chain([file])
                .collect::<Vec<_>>()
        };
        let right = options(&right);
        let figures = clean(&server.address, &right.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(figures["phases_ms"]["auth"]["count"], 2, "{mechanism}");
        let wrong = options(&wrong);
        let (output, _) = source(&server.address, &wrong.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(!output.status.success() && text(&output).contains("AUTH: 535 5.7.8 Wrong"), "{}", text(&output));
    }
    let unwilling = sink(&[]);
    let file = right.to_str().unwrap();
    let options = ["--auth", "plain", "--user", "me", "--password-file", file, "--messages", "1"];
    let (output, _) = source(&unwilling.address, &options);
    assert!(text(&output).contains("does not offer PLAIN"), "{}", text(&output));
}

#[test]
fn an_open_loop_measures_from_when_a_message_was_due() {
    // The server takes 0.2 s a message, and one session can do 5 a second: of 40 due in a second, most wait long.
    let slow = sink(&["--delay", "dot:0.2"]);
    let options = ["--rate", "40", "--arrivals", "even", "--duration", "1", "--sessions", "1"];
    let figures = clean(&slow.address, &options);
    assert_eq!(figures["acknowledged"], 40);
    let phases = &figures["phases_ms"];
    let of = |phase: &str, figure: &str| phases[phase][figure].as_f64().unwrap();
    // The last was due after 0.975 s and comes after 8 s, whatever the machine is like; a closed loop sees 0.2 s alone.
    assert!(of("due_to_250", "max") > 6500.0 && of("due_to_250", "p50") > 2500.0, "{phases}");
    assert!(of("dot_to_250", "p50") >= 200.0 && of("due_to_mail", "max") > 6000.0, "{phases}");
    let figures = clean(&slow.address, &["--messages", "5", "--sessions", "1"]);
    assert!(figures["phases_ms"].get("due_to_250").is_none());
}

#[test]
fn what_was_due_and_never_begun_fails_the_run() {
    let slow = sink(&["--delay", "dot:0.5"]);
    let options = ["--rate", "100", "--duration", "1", "--sessions", "1", "--drain", "0.5"];
    let (output, figures) = source(&slow.address, &options);
    assert!(!output.status.success() && text(&output).contains("NEVER BEGUN"), "{}", text(&output));
    assert!(figures["never_begun"].as_u64().unwrap() > 10);
    assert_eq!(figures["begun"], figures["acknowledged"]);
}

#[test]
fn the_ramp_is_not_in_the_figures() {
    let server = sink(&[]);
    let options = ["--rate", "200", "--ramp", "1", "--duration", "2", "--sessions", "20", "--arrivals", "even"];
    let figures = clean(&server.address, &options);
    // Half the rate while it grows, all of it afterwards.
    assert_eq!(figures["acknowledged"], 300);
    let counted = figures["counted"].as_u64().unwrap();
    assert!((150..=300).contains(&counted), "{counted}");
    let dot = figures["phases_ms"]["due_to_250"]["count"].as_u64().unwrap();
    assert!(dot <= 200, "only what was due after the ramp: {dot}");
}

#[test]
fn several_processes_are_one_run() {
    let options = ["--processes", "3", "--sessions", "7", "--messages", "100", "--pipelining"];
    let (figures, said) = through_a_sink(&[], &options, "1");
    assert!(said.contains("acknowledged 100, of these found whole 100"), "{said}");
    assert_eq!((&figures["sessions"], &figures["begun"]), (&7.into(), &100.into()));
    assert_eq!(figures["phases_ms"]["dot_to_250"]["count"], 100);
    let server = sink(&["--fault", "mail:451"]);
    let (output, figures) = source(&server.address, &["--processes", "2", "--sessions", "2", "--messages", "10"]);
    assert!(!output.status.success());
    assert_eq!(figures["errors"]["MAIL: 451 4.3.0 Chosen by --fault"], 10, "{}", text(&output));
    let (output, _) = source(&server.address, &["--processes", "2", "--sessions", "1", "--messages", "10"]);
    assert!(text(&output).contains("more than there are sessions"), "{}", text(&output));
}

#[test]
fn slow_sessions_take_as_long_as_they_should_and_the_others_do_not() {
    let server = sink(&[]);
    let begun = std::time::Instant::now();
    let options =
        ["--sessions", "2", "--slow", "1", "--slow-rate", "4000", "--duration", "0.5", "--stall-timeout", "60"];
    let figures = clean(&server.address, &options);
    // 4096 octets and the commands at 4000 a second.
    assert!(begun.elapsed().as_secs_f64() > 1.0);
    assert!(figures["acknowledged"].as_u64().unwrap() >= 2, "{figures}");
}

#[test]
fn local_addresses_are_used_in_turn() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let options = ["--local", "127.0.0.2", "--local", "127.0.0.3", "--sessions", "4", "--messages", "4", "--quiet"];
    let mut child = common::start(&[&["source", "--to", &to], &options[..]].concat());
    let mut peers: Vec<String> = (0..4).map(|_| listener.accept().unwrap().1.ip().to_string()).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    peers.sort();
    assert_eq!(peers, ["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"]);
}

#[test]
fn histograms_are_written() {
    let server = sink(&[]);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run.hlog");
    clean(&server.address, &["--messages", "10", "--histograms", path.to_str().unwrap()]);
    let log = fs::read_to_string(path).unwrap();
    assert!(log.contains("Tag=dot_to_250,") && log.contains("Tag=connect,"), "{log}");
}

#[test]
fn verify_is_there_under_either_name() {
    let output = loadtest(&["source", "verify", "--ledger", "/nonexistent", "--maildir", "/nonexistent"]);
    assert!(!output.status.success() && text(&output).contains("/nonexistent"), "{}", text(&output));
    assert!(!loadtest(&["source"]).status.success(), "neither a load nor verify");
}

#[test]
fn ringpost_keeps_what_it_acknowledges() {
    let ringpost = Ringpost::start("smtp", "", "");
    let home = tempfile::tempdir().unwrap();
    let ledger = home.path().join("ledger");
    let ledger = ledger.to_str().unwrap();
    let options =
        ["--messages", "120", "--sessions", "6", "--pipelining", "--size", "real", "--processes", "2", "--bdat"];
    clean(&ringpost.running.address, &[&["--ledger", ledger], &options[..]].concat());
    let patience = PATIENCE.as_secs().to_string();
    let said = verified(&["--ledger", ledger, "--maildir", &ringpost.maildir("you"), "--wait", &patience]);
    assert!(said.contains("acknowledged 120, of these found whole 120"), "{said}");
}

#[test]
fn ringpost_speaks_lmtp_with_the_source() {
    let ringpost = Ringpost::start("lmtp", "", "");
    let home = tempfile::tempdir().unwrap();
    let ledger = home.path().join("ledger");
    let ledger = ledger.to_str().unwrap();
    let recipients = ["--recipient", "you@localhost", "--recipient", "they@localhost"];
    let options = ["--lmtp", "--messages", "20", "--sessions", "2", "--ledger", ledger];
    clean(&ringpost.running.address, &[&recipients[..], &options].concat());
    // No wait: LMTP's 250 says that the message is in the mailbox.
    let said =
        verified(&["--ledger", ledger, "--maildir", &ringpost.maildir("you"), "--maildir", &ringpost.maildir("they")]);
    assert!(said.contains("acknowledged 40, of these found whole 40"), "{said}");
}

#[test]
fn ringpost_believes_the_proxy_header() {
    // Two connections of one address are one too many, so the claims must be different ones.
    let server = "<proxyRequired>true</proxyRequired><connectionLimitPerIP>1</connectionLimitPerIP>";
    let ringpost = Ringpost::start("smtp", server, "<delivery><hold>true</hold></delivery>");
    // Each run claims addresses of its own: the server may need a moment to notice that those before are gone.
    for (version, first, only) in [("v1", "192.0.2.1", "192.0.2.99"), ("v2", "198.51.100.1", "198.51.100.99")] {
        let options = ["--proxy", version, "--sessions", "4", "--duration", "0.3", "--proxy-source"];
        clean(&ringpost.running.address, &[&options[..], &[first, "--proxy-sources", "4"]].concat());
        let (output, _) = source(&ringpost.running.address, &[&options[..], &[only]].concat());
        assert!(!output.status.success() && text(&output).contains("421"), "{}", text(&output));
    }
}
