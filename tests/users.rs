//! Users, domains and the rewrite table, changed from the command line: on a stopped server and on a running one, at once.

mod common;

use std::io::Write;
use std::process::{Output, Stdio};

use base64::Engine;
use common::process::{Conf, Home, Server, eventually};

/// Runs a verb with something on its standard input.
fn say(home: &Home, words: &[&str], said: &str) -> Output {
    let mut command = home.command();
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it is started");
    let mut input = child.stdin.take().expect("it is piped");
    // One that is refused for its words alone reads nothing.
    let _ = input.write_all(said.as_bytes());
    drop(input);
    child.wait_with_output().expect("it ends")
}

#[track_caller]
fn refused(home: &Home, words: &[&str], status: i32, why: &str) {
    let output = say(home, words, "");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{told}");
    assert!(told.contains(why), "{told}");
}

/// What a list says, for programs.
fn list(home: &Home, what: &str) -> serde_json::Value {
    serde_json::from_str(&home.run(&[what, "list", "--json"])).expect("JSON")
}

#[test]
fn a_running_server_obeys_at_once_and_a_stopped_one_from_its_start_on() {
    let home = Home::new(&Conf::new().users(&["you"]));
    home.run(&["alias", "add", "sales@localhost", "you@localhost"]);
    let process = home.start();
    let mut client = process.smtp();
    client.expect("MAIL FROM:<me@example.org>", "250");
    for (recipient, reply) in [
        ("you@localhost", "250"),
        ("sales@localhost", "250"),
        ("postmaster@localhost", "250"),
        ("new@localhost", "550 5.1.1"),
        ("list@localhost", "550 5.1.1"),
        ("you@example.org", "550 5.7.1"),
    ] {
        client.expect(&format!("RCPT TO:<{recipient}>"), reply);
    }
    // What the core remembers of them counts no more as soon as a command has ended.
    home.run(&["user", "add", "--no-password", "new@localhost"]);
    client.expect("RCPT TO:<new@localhost>", "250");
    home.run(&["alias", "add", "--kind", "group", "list@localhost", "you@localhost"]);
    home.run(&["alias", "add", "--kind", "group", "list@localhost", "new@localhost"]);
    client.expect("RCPT TO:<list@localhost>", "250");
    home.run(&["alias", "remove", "sales@localhost", "you@localhost"]);
    client.expect("RCPT TO:<sales@localhost>", "550 5.1.1");
    home.run(&["alias", "add", "--kind", "error", "sales@localhost", "551 5.1.6 Sold"]);
    client.expect("RCPT TO:<sales@localhost>", "551 5.1.6 Sold");
    home.run(&["domain", "add", "Example.org"]);
    client.expect("RCPT TO:<you@example.org>", "550 5.1.1");
    home.run(&["alias", "add", "--kind", "domainAlias", "example.org", "localhost"]);
    client.expect("RCPT TO:<you@example.org>", "250");
    client.expect("RCPT TO:<postmaster@example.org>", "250");
    home.run(&["alias", "add", "away@localhost", "you@elsewhere.example"]);
    client.expect("RCPT TO:<away@localhost>", "451 4.4.0");
    home.run(&["user", "remove", "new@localhost"]);
    client.expect("RCPT TO:<new@localhost>", "550 5.1.1");
    process.stop();

    let process = home.start();
    let mut client = process.smtp();
    client.expect("MAIL FROM:<me@example.org>", "250");
    client.expect("RCPT TO:<you@example.org>", "250");
    client.expect("RCPT TO:<sales@localhost>", "551 5.1.6 Sold");
    client.expect("RCPT TO:<new@localhost>", "550 5.1.1");
    process.stop();
}

#[test]
fn mail_goes_to_the_targets_once_each() {
    let home = Home::new(&Conf::new().users(&["you", "alice"]));
    for member in ["you@localhost", "alice@localhost", "gone@localhost"] {
        home.run(&["alias", "add", "--kind", "group", "all@localhost", member]);
    }
    home.run(&["alias", "add", "sales@localhost", "all@localhost"]);
    let process = home.start();
    let recipients = ["all@localhost", "Sales+autumn@localhost", "you@localhost"];
    let reply = process.smtp().data(&recipients, b"Subject: once\r\n");
    let id = common::client::id(&reply);
    for user in ["you", "alice"] {
        let (trace, content) = home.delivered(user, id);
        assert_eq!(content, b"Subject: once\n");
        assert_eq!(trace[1], format!("Delivered-To: {user}@localhost\n"));
    }
    let reply = process.smtp().data(&["sales@localhost"], b"Subject: one\r\n");
    let (trace, _) = home.delivered("alice", common::client::id(&reply));
    assert!(trace[4].contains("for <sales@localhost>; "), "as the client named it: {trace:?}");
    home.delivered("you", common::client::id(&reply));

    let mut lmtp = process.lmtp();
    lmtp.envelope("me@example.org", &["all@localhost", "alice@localhost"]);
    lmtp.expect("DATA", "354");
    lmtp.send("Subject: by LMTP\r\n\r\n.\r\n");
    let replies = [lmtp.reply(), lmtp.reply()];
    assert!(replies.iter().all(|reply| reply.starts_with("250 2.6.0")), "{replies:?}");
    lmtp.expect("NOOP", "250 2.0.0");
    process.stop();
    assert_eq!((home.mail("you").len(), home.mail("alice").len()), (3, 3), "nobody has a message twice");
}

#[test]
fn without_virtual_hosting_a_user_has_one_mailbox_in_all_domains() {
    let home = Home::without_users(&Conf::new());
    let users = "<usersrepository><enableVirtualHosting>false</enableVirtualHosting></usersrepository>";
    std::fs::write(home.conf().join("usersrepository.xml"), users).expect("it can be written");
    home.run(&["domain", "add", "example.org"]);
    home.run(&["user", "add", "--no-password", "you"]);
    let process = home.start();
    let reply = process.smtp().data(&["You+a@example.org", "you@localhost"], b"Subject: one mailbox\r\n");
    home.delivered("you", common::client::id(&reply));
    process.stop();
    assert_eq!(home.mail("you").len(), 1);
    assert!(!home.path().join("var/mail/example.org").exists());
    refused(&home, &["user", "add", "--no-password", "me@localhost"], 1, "the part before the @");
}

#[test]
fn lists_are_for_people_and_for_programs() {
    let home = Home::new(&Conf::new().users(&["you"]));
    assert!(say(&home, &["user", "add", "me@localhost"], "open sesame\n").status.success());
    home.run(&["domain", "add", "example.org"]);
    home.run(&["alias", "add", "sales@localhost", "you@localhost"]);
    home.run(&["alias", "add", "--kind", "regex", "localhost", "(.*)-(.*)@localhost:${2}"]);
    let check = || {
        assert_eq!(
            list(&home, "user"),
            serde_json::json!([
                {"name": "me@localhost", "algorithm": "argon2id", "scram": "true"},
                {"name": "postmaster@localhost", "algorithm": "", "scram": "false"},
                {"name": "you@localhost", "algorithm": "", "scram": "false"},
            ])
        );
        assert_eq!(
            list(&home, "domain"),
            serde_json::json!([
                {"name": "example.org", "origin": "database"}, {"name": "localhost", "origin": "domainlist.xml"},
            ])
        );
        assert_eq!(
            list(&home, "alias"),
            serde_json::json!([
                {"source": "localhost", "kind": "regex", "target": "(.*)-(.*)@localhost:${2}", "origin": "database"},
                {"source": "sales@localhost", "kind": "alias", "target": "you@localhost", "origin": "database"},
            ])
        );
        let people = home.run(&["user", "list"]);
        assert_eq!(
            people,
            "me@localhost          argon2id\npostmaster@localhost  no password\nyou@localhost         no password\n"
        );
    };
    check();
    let process = home.start();
    check();
    assert_eq!(home.run(&["alias", "list", "--json", "Sales@localhost"]).matches("source").count(), 1);
    process.stop();
}

#[test]
fn hashes_of_james_are_imported() {
    let home = Home::without_users(&Conf::new());
    let file = "# users of James\n\
                you@localhost,CEo1Ae3vaEXy8eQZjsOiuBz1xrw=,SHA-1\n\
                me@localhost;AXr/xqdGju3776gv2wfzFL4HrIQmlMlTm5BVbEvePMziqaoXtp13G3IThNMQVDRn1kqPsXdKzXyX/g7j+jMzHw==\n\
                wrong@localhost,no-hash!,MD5\n\
                foreign@example.org,CEo1Ae3vaEXy8eQZjsOiuBz1xrw=,SHA-1\n";
    let output = say(&home, &["user", "import", "-"], file);
    let (told, said) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!((output.status.code(), &*said), (Some(1), "2 users were added\n"), "{told}");
    assert!(told.contains("-:4: wrong@localhost has no hash of MD5/plain"), "{told}");
    assert!(
        told.contains("-:5: foreign@example.org would get no mail: example.org is not one of our domains"),
        "{told}"
    );
    assert_eq!(
        list(&home, "user"),
        serde_json::json!([
            {"name": "me@localhost", "algorithm": "PBKDF2-SHA512-1000-512/plain", "scram": "false"},
            {"name": "postmaster@localhost", "algorithm": "", "scram": "false"},
            {"name": "you@localhost", "algorithm": "SHA-1/plain", "scram": "false"},
        ])
    );
}

#[test]
fn passwords_of_james_log_in_and_are_hashed_anew_and_a_new_one_counts_at_once() {
    let server = Server::smtp().with("auth", "<announce>always</announce><requireSSL>false</requireSSL>");
    let home = Home::without_users(&Conf::new().servers(vec![server]));
    let file = "you@localhost,CEo1Ae3vaEXy8eQZjsOiuBz1xrw=,SHA-1\n";
    assert!(say(&home, &["user", "import", "-"], file).status.success());
    let process = home.start();
    let plain = |password: &str| {
        let words = base64::engine::general_purpose::STANDARD.encode(format!("\0you@localhost\0{password}"));
        process.smtp().say(&format!("AUTH PLAIN {words}"))
    };
    assert!(plain("sesame").starts_with("235"));
    let kept = || list(&home, "user").as_array().expect("an array")[1]["algorithm"].clone();
    eventually(|| (kept() == "argon2id").then_some(())).unwrap_or_else(|| panic!("it is still {}", kept()));
    assert!(plain("sesame").starts_with("235"), "known by its new hash");
    assert!(say(&home, &["user", "passwd", "you@localhost"], "open sesame\n").status.success());
    assert!(plain("sesame").starts_with("535"), "what was remembered counts no more");
    assert!(plain("open sesame").starts_with("235"));
    process.stop();
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let home = Home::new(&Conf::new().users(&["you"]));
    for running in [false, true] {
        let process = running.then(|| home.start());
        for (words, status, why) in [
            (
                &["user", "add", "--no-password", "you@localhost"][..],
                1,
                "another password: ringpost user passwd you@localhost",
            ),
            (&["user", "add", "--no-password", "you@example.org"], 1, "first: ringpost domain add example.org"),
            (&["user", "add", "--no-password", "you"], 1, "an address, such as you@example.org"),
            (&["user", "add", "--no-password", "a b@localhost"], 64, "is no user's name"),
            (&["user", "add", "me@localhost", "us@localhost"], 64, "one by one"),
            (&["user", "add", "me@localhost"], 64, "a password has 1 to 1024 octets"),
            (&["user", "passwd", "me@localhost"], 64, "a password has"),
            (&["user", "remove", "me@localhost"], 1, "there is no user me@localhost; ringpost user list shows all"),
            (&["domain", "remove", "localhost"], 1, "domainlist.xml names it"),
            (&["domain", "add", "-x"], 64, "unexpected argument"),
            (&["domain", "add", "a b"], 64, "is no domain such as example.org"),
            (&["alias", "add", "a@localhost", "b c@localhost"], 64, "is no address"),
            (&["alias", "add", "--kind", "nick", "a@localhost", "b@localhost"], 64, "one of alias, group"),
            (&["alias", "add", "--kind", "domain", "a@localhost", "example.org"], 64, "are of domains"),
            (&["alias", "add", "a@example.org", "you@localhost"], 1, "first: ringpost domain add example.org"),
            (&["alias", "remove", "a@localhost", "you@localhost"], 1, "has no mapping alias:you@localhost"),
        ] {
            refused(&home, words, status, why);
        }
        process.into_iter().for_each(|process| drop(process.stop()));
    }
    assert_eq!(list(&home, "user").as_array().map(Vec::len), Some(2), "nothing was changed");
}

#[test]
fn the_directory_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new(&Conf::new());
    let process = home.start();
    for end in ["", "-wal", "-shm"] {
        let file = home.path().join(format!("var/directory.sqlite{end}"));
        let mode =
            std::fs::metadata(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    process.stop();
}

#[test]
fn a_directory_that_is_none_is_told_at_the_start() {
    let home = Home::new(&Conf::new().users(&["you"]));
    let file = home.path().join("var/directory.sqlite");
    assert!(
        !file.with_extension("sqlite-wal").metadata().is_ok_and(|log| log.len() > 0),
        "all of it is in the file itself"
    );
    std::fs::write(&file, "this is no database. ".repeat(400)).expect("it can be written");
    let failed = home.fail_to_start(|_| {});
    assert!(failed.stderr.contains("cannot open the directory"), "{failed}");
    assert!(failed.stderr.contains("directory.sqlite: ") && failed.stderr.contains("not a database"), "{failed}");
    refused(&home, &["user", "list"], 69, "cannot open the directory");
}
