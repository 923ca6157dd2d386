//! The spool's directory under the running process: what happens when somebody takes it away, and how the operator gets back.

mod common;

use std::fs;
use std::path::PathBuf;

use common::client::Client;
use common::process::{Conf, Home, Process, eventually};

fn conf() -> Conf {
    Conf::new().with("spool/segmentSize", "1M").with("delivery/hold", "true")
}

/// What MAIL hears on a connection to a shard with this spool state, once there is such a shard.
fn mail_reply(process: &Process, expected: &str) -> String {
    let heard = eventually(|| {
        let mut smtp = Client::hello(process.address(0), false);
        let reply = smtp.say("MAIL FROM:<me@example.org>");
        reply.starts_with(expected).then_some(reply)
    });
    heard.unwrap_or_else(|| panic!("nobody hears {expected}"))
}

fn shards(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.path().join("var/spool")).expect("the spool").flatten().map(|entry| entry.path());
    let mut shards: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    shards.sort();
    shards
}

#[test]
fn a_spool_that_was_taken_away_takes_no_mail_and_gives_all_back() {
    let home = Home::new(&conf());
    let process = home.start();
    for _ in 0..10 {
        let mut smtp = process.smtp();
        smtp.envelope("me@example.org", &["you@localhost"]);
        smtp.expect("DATA", "354");
        smtp.send("Subject: kept\r\n\r\n.\r\n");
        assert!(smtp.reply().starts_with("250"));
    }
    let shards = shards(&home);
    let away = home.path().join("away");
    fs::create_dir(&away).expect("made");
    for (number, shard) in shards.iter().enumerate() {
        // One is moved away whole, of the others the segments.
        if number == 0 {
            fs::rename(shard, away.join("shard")).expect("renamed");
        } else {
            let to = away.join(number.to_string());
            fs::create_dir(&to).expect("made");
            for file in fs::read_dir(shard).expect("listed").flatten() {
                fs::rename(file.path(), to.join(file.file_name())).expect("renamed");
            }
        }
        process.wait_for_log("spool-closed", &[&format!("spool={}", shard.display())]);
        if number == 0 && shards.len() > 1 {
            mail_reply(&process, "250");
        }
    }
    let reply = mail_reply(&process, "421 4.3.2");
    assert!(reply.contains("out of service"), "{reply}");
    process.stop();
    // The operator puts everything back where it was.
    for (number, shard) in shards.iter().enumerate() {
        if number == 0 {
            fs::rename(away.join("shard"), shard).expect("renamed");
        } else {
            for file in fs::read_dir(away.join(number.to_string())).expect("listed").flatten() {
                fs::rename(file.path(), shard.join(file.file_name())).expect("renamed");
            }
        }
    }
    home.configure(&conf().with("delivery/hold", "false"));
    let process = home.start();
    eventually(|| (home.mail_count("you") == 10).then_some(())).expect("all of it is there");
    process.stop();
}

#[test]
fn a_log_that_cannot_be_opened_is_named_at_the_start() {
    let home = Home::new(&conf());
    fs::create_dir_all(home.path().join("var/spool")).expect("made");
    fs::write(home.path().join("var/spool/shard-0"), "in its place").expect("written");
    let failed = home.fail_to_start(|_| {});
    assert!(failed.stderr.contains("var/spool/shard-0"), "{failed}");
}

#[test]
fn a_spool_in_memory_is_refused_unless_it_is_wanted() {
    let memory = tempfile::tempdir_in("/dev/shm").expect("Linux has it, on tmpfs");
    let conf = Conf::new().with("spool/directory", &memory.path().display().to_string());
    let home = Home::new(&conf.clone().with("spool/volatile", "false"));
    let failed = home.fail_to_start(|_| {});
    assert_eq!(failed.status.code(), Some(78));
    assert!(failed.stderr.contains("tmpfs, which forgets what it has synced"), "{failed}");
    home.configure(&conf);
    let process = home.start();
    let mut smtp = process.smtp();
    smtp.envelope("me@example.org", &["you@localhost"]);
    process.stop();
}
