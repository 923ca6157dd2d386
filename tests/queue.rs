//! `ringpost queue` and `ringpost spool`, against a running server and a stopped one.

mod common;

use std::fs;
use std::process::{Command, Output};

use common::client::Client;
use common::process::{Conf, Home, Process, eventually};

fn ringpost(home: &Home, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringpost"));
    command.arg("--conf").arg(home.conf()).args(arguments).output().expect("it runs")
}

/// What it prints; it must end well.
fn says(home: &Home, arguments: &[&str]) -> String {
    let output = ringpost(home, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {} {error}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn json(home: &Home, arguments: &[&str]) -> Vec<serde_json::Value> {
    says(home, arguments).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Sends a message; its id.
fn send(process: &Process, subject: &str) -> String {
    let mut smtp = Client::hello(process.address(0), false);
    smtp.envelope("me@example.org", &["you@localhost"]);
    smtp.expect("DATA", "354");
    smtp.send(format!("Subject: {subject}\r\n\r\n..dot\r\n{subject}\r\n.\r\n"));
    let reply = smtp.reply();
    assert!(reply.starts_with("250"), "{reply}");
    let (_, id) = reply.rsplit_once("id=").unwrap_or_else(|| panic!("no id in {reply}"));
    id.trim_end().to_owned()
}

/// Nobody can deliver to `you` from now on.
fn block(home: &Home) {
    let maildir = home.maildir("you");
    fs::create_dir_all(maildir.parent().expect("a directory")).expect("made");
    fs::write(maildir, "in its place").expect("written");
}

fn unblock(home: &Home) {
    fs::remove_file(home.maildir("you")).expect("it is there");
}

fn states(home: &Home) -> Vec<(String, String)> {
    let word = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let list = json(home, &["queue", "list", "--json"]);
    let mut states: Vec<_> = list.iter().map(|entry| (word(&entry["queue_id"]), word(&entry["queue_name"]))).collect();
    states.sort();
    states
}

fn is_sorted_as(home: &Home, expected: &[(&String, &str)]) {
    let mut expected: Vec<_> = expected.iter().map(|(id, state)| ((*id).clone(), (*state).to_owned())).collect();
    expected.sort();
    eventually(|| (states(home) == expected).then_some(()))
        .unwrap_or_else(|| panic!("{:?} and not {expected:?}", states(home)));
}

#[test]
fn mail_that_waits_is_shown_and_goes_where_the_operator_wants_it() {
    let home = Home::new(&Conf::new().with("delivery/retry", "1h"));
    block(&home);
    let process = home.start();
    assert_eq!(says(&home, &["queue", "list"]), "No mail waits.\n");
    let ids: Vec<_> = ["one", "two", "three"].iter().map(|subject| send(&process, subject)).collect();
    let [one, two, three] = ids.as_slice() else { panic!("three") };
    is_sorted_as(&home, &[(one, "deferred"), (two, "deferred"), (three, "deferred")]);

    let list = says(&home, &["queue", "list"]);
    assert!(list.contains(one) && list.contains("<you@localhost>") && list.contains("in 3 messages."), "{list}");
    let entry = &json(&home, &["queue", "list", "--json"])[0];
    assert_eq!(entry["sender"], "me@example.org");
    let recipient = &entry["recipients"][0];
    assert_eq!((&recipient["address"], &recipient["attempts"]), (&"you@localhost".into(), &1.into()));
    assert!(recipient["delay_reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{entry}");
    assert!(entry["arrival_time"].as_u64() > Some(1_700_000_000) && entry["message_size"].as_u64() > Some(100));
    let why = says(&home, &["queue", "why", one]);
    assert!(why.contains("waits for its next attempt") && why.contains("1 failed attempt"), "{why}");
    let show = says(&home, &["queue", "show", two]);
    assert!(show.contains("  Subject: two") && !show.contains("..dot"), "{show}");

    says(&home, &["queue", "hold", one]);
    assert_eq!(says(&home, &["queue", "remove", two]), "1 message removed\n");
    is_sorted_as(&home, &[(one, "hold"), (three, "deferred")]);
    let gone = ringpost(&home, &["queue", "remove", two]);
    assert_eq!(gone.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("is not in the spool"));
    assert_eq!(ringpost(&home, &["queue", "hold", "nonsense"]).status.code(), Some(64));

    let export = home.path().join("export");
    says(&home, &["spool", "export", export.to_str().expect("a path")]);
    let mail = fs::read(export.join(format!("{three}.eml"))).expect("exported");
    assert!(mail.ends_with(b"\r\nSubject: three\r\n\r\n.dot\r\nthree\r\n"), "{}", String::from_utf8_lossy(&mail));
    let envelope = fs::read(export.join(format!("{one}.json"))).expect("exported");
    let envelope: serde_json::Value = serde_json::from_slice(&envelope).expect("JSON");
    assert_eq!((&envelope["sender"], &envelope["state"]), (&"me@example.org".into(), &"hold".into()));
    assert!(says(&home, &["spool", "verify"]).starts_with("2 messages with "));
    let waiting: u64 =
        json(&home, &["spool", "stats", "--json"]).iter().filter_map(|log| log["messages"].as_u64()).sum();
    assert_eq!(waiting, 2);

    unblock(&home);
    says(&home, &["queue", "flush", "ALL"]);
    home.delivered("you", three);
    is_sorted_as(&home, &[(one, "hold")]);
    // What is held stays so over the next start.
    process.kill();
    let process = home.start();
    is_sorted_as(&home, &[(one, "hold")]);
    says(&home, &["queue", "release", one]);
    says(&home, &["queue", "flush", one]);
    home.delivered("you", one);
    assert_eq!(home.mail_count("you"), 2);
    process.wait_for_log("released", &[one]);
    process.stop();
}

#[test]
fn a_stopped_spool_is_read_and_changed_as_a_running_one() {
    let home = Home::new(&Conf::new().with("delivery/retry", "1h"));
    block(&home);
    let process = home.start();
    let ids: Vec<_> = ["one", "two", "three"].iter().map(|subject| send(&process, subject)).collect();
    let [one, two, three] = ids.as_slice() else { panic!("three") };
    is_sorted_as(&home, &[(one, "deferred"), (two, "deferred"), (three, "deferred")]);
    let running = json(&home, &["queue", "show", "--json", one]);
    process.kill();

    is_sorted_as(&home, &[(one, "deferred"), (two, "deferred"), (three, "deferred")]);
    assert_eq!(json(&home, &["queue", "show", "--json", one]), running, "it looks the same");
    assert!(says(&home, &["queue", "list"]).contains("in 3 messages."));
    says(&home, &["queue", "hold", one]);
    says(&home, &["queue", "remove", two]);
    says(&home, &["queue", "flush", three]);
    is_sorted_as(&home, &[(one, "hold"), (three, "deferred")]);
    assert!(says(&home, &["spool", "verify"]).starts_with("2 messages with "));
    assert!(says(&home, &["spool", "stats"]).contains("stopped"));
    let export = home.path().join("export");
    says(&home, &["spool", "export", export.to_str().expect("a path"), three]);
    let mail = fs::read(export.join(format!("{three}.eml"))).expect("exported");
    assert!(mail.ends_with(b"\r\nSubject: three\r\n\r\n.dot\r\nthree\r\n"));

    unblock(&home);
    let process = home.start();
    home.delivered("you", three);
    is_sorted_as(&home, &[(one, "hold")]);
    assert_eq!(home.mail_count("you"), 1);
    process.stop();
    // A process that holds the spool without answering is not gone behind.
    let lock = fs::File::open(home.path().join("var/spool/lock")).expect("it is there");
    lock.lock().expect("nobody has it");
    assert_eq!(ringpost(&home, &["queue", "list"]).status.code(), Some(69));
}

#[test]
fn damage_in_a_stopped_spool_is_told_and_what_was_set_aside_is_listed() {
    let home = Home::new(&Conf::new().with("delivery/hold", "true").with("shards", "0"));
    let process = home.start();
    let ids: Vec<_> = (0..3).map(|number| send(&process, &number.to_string())).collect();
    process.kill();
    let segment = home.path().join("var/spool/shard-0/segment-000000");
    let mut octets = fs::read(&segment).expect("it is there");
    let at = octets.windows(12).position(|part| part == b"Subject: 1\r\n").expect("it is in there");
    octets[at] ^= 0x20;
    fs::write(&segment, octets).expect("written");
    let verify = ringpost(&home, &["spool", "verify"]);
    assert_eq!(verify.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&verify.stderr).contains("are no record"), "{verify:?}");
    home.start().stop();
    let quarantine = says(&home, &["spool", "quarantine"]);
    assert!(quarantine.contains(&format!("the envelope of {}, damaged", ids[1])), "{quarantine}");
    assert!(quarantine.ends_with("1 files in quarantine\n"), "{quarantine}");
    assert_eq!(json(&home, &["queue", "list", "--json"]).len(), 2);
}
