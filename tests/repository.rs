//! `ringpost repository`, with a running server and without one.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::process::{Conf, Home, eventually};
use ringpost::delivery::repository::label::Attributes;
use ringpost::delivery::repository::{Label, MailName, RepositoryName};
use ringpost::mail::{Client, Envelope, Mailbox, MessageId, Protocol, ReversePath, SessionId};

fn ringpost(home: &Home, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringpost"));
    command.arg("--conf").arg(home.conf()).arg("repository").args(arguments).output().expect("it runs")
}

/// What it prints; it must end well.
fn says(home: &Home, arguments: &[&str]) -> String {
    let output = ringpost(home, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {} {error}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// What it complains about; it must end with that status.
fn complains(home: &Home, arguments: &[&str], status: i32) -> String {
    let output = ringpost(home, arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn json(home: &Home, arguments: &[&str]) -> Vec<serde_json::Value> {
    says(home, arguments).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

const URL: &str = "file://var/mail/error/";
const NAME: &str = "var/mail/error";

fn directory(home: &Home) -> PathBuf {
    home.path().join("var/repositories").join(NAME)
}

/// Puts a mail to `you` into the repository, as a server would have; its name.
fn keep(home: &Home, number: u64, content: &str) -> String {
    let mailbox = |text: &str| Mailbox::parse(text).expect("a mailbox");
    let label = Label {
        envelope: Envelope::new(
            MessageId(1 << 50 | number),
            SessionId(7),
            1_795_000_000_000_000,
            ReversePath::Mailbox(mailbox("me@example.org")),
            vec![mailbox("you@localhost")],
            Client {
                address: "192.0.2.1:25".parse().expect("an address"),
                helo: "client.example".into(),
                protocol: Protocol::Esmtp,
                tls: None,
                user: None,
            },
        ),
        kept_at: 1_795_000_000_000_000 + number,
        state: None,
        error: Some("nobody knew what to do".into()),
        failures: 5,
        made_here: false,
        attributes: Attributes::new(),
    };
    let name = MailName::new(label.envelope.id, &label.envelope.recipients);
    fs::create_dir_all(directory(home)).expect("made");
    fs::write(directory(home).join(name.content()), content).expect("written");
    fs::write(directory(home).join(name.envelope()), label.text()).expect("written");
    assert_eq!(RepositoryName::of_url(URL).to_string(), NAME);
    name.to_string()
}

fn names(home: &Home) -> Vec<String> {
    json(home, &["list", "--json", NAME]).iter().map(|mail| mail["name"].as_str().expect("a text").to_owned()).collect()
}

/// The subjects of what `you` has got.
fn subjects(home: &Home) -> Vec<String> {
    let mails = fs::read_dir(home.maildir("you").join("new")).into_iter().flatten().flatten();
    let subject = |path: PathBuf| {
        let text = fs::read_to_string(path).expect("readable");
        text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned()
    };
    let mut subjects: Vec<_> = mails.map(|entry| subject(entry.path())).collect();
    subjects.sort();
    subjects
}

#[test]
fn mail_that_was_kept_is_shown_goes_on_and_is_purged() {
    let home = Home::new(&Conf::new());
    let process = home.start();
    assert_eq!(says(&home, &["list"]), "There are no repositories yet.\n");
    let large = format!("Subject: large\r\n\r\n{}", "..x\r\n".repeat(200_000));
    let contents = ["Subject: one\r\n\r\n.dot\r\n", "Subject: two\r\n\r\n\r\n", &large, "Subject: four\r\n\r\n", ""];
    let kept: Vec<_> = contents.iter().zip(1..).map(|(content, number)| keep(&home, number, content)).collect();
    let [one, two, three, four, five] = kept.as_slice() else { panic!("five") };

    let list = says(&home, &["list"]);
    assert!(
        list.lines().nth(1).is_some_and(|line| line.trim_start().starts_with("5 ") && line.ends_with(NAME)),
        "{list}"
    );
    assert_eq!(json(&home, &["list", "--json"])[0]["mails"], 5);
    let list = says(&home, &["list", NAME]);
    assert!(list.contains(one) && list.contains("(nobody knew what to do)") && list.contains("in 5 mails."), "{list}");
    let mail = &json(&home, &["list", "--json", URL])[0];
    assert_eq!(
        (&mail["name"], &mail["sender"], &mail["failures"]),
        (&one.as_str().into(), &"me@example.org".into(), &5.into())
    );
    let show = says(&home, &["show", NAME, one, two]);
    assert!(
        show.contains("  Subject: one\n") && show.contains("recipient <you@localhost>") && !show.contains(".dot"),
        "{show}"
    );
    assert_eq!(json(&home, &["show", "--json", NAME, one])[0]["size"], 22);

    let complaint = complains(&home, &["show", "var/mail/eror", one], 65);
    assert!(complaint.contains("there is no repository var/mail/eror"), "{complaint}");
    assert!(complains(&home, &["show", "../../etc", one], 64).contains("is no repository"));
    assert!(complains(&home, &["show", NAME, "nonsense"], 64).contains("names no mail"));
    assert!(complains(&home, &["show", NAME, "ALL"], 64).contains("names no mail"));
    assert!(complains(&home, &["purge", NAME, "0000000000000"], 65).contains("is not in the repository"));
    assert!(
        complains(&home, &["reprocess", "--processor", "nowhere", NAME, one], 64).contains("there is no processor")
    );

    let id = two.split('-').next().expect("a name");
    assert_eq!(says(&home, &["purge", NAME, id]), "1 mail purged\n");
    let done = says(&home, &["reprocess", NAME, one]);
    assert!(done.starts_with(&format!("{one} goes on as ")), "{done}");
    process.wait_for_log("reprocessed", &[one, "by=operator"]);
    eventually(|| (subjects(&home) == ["one"]).then_some(())).expect("it is delivered");
    assert_eq!(names(&home), [three, four, five].map(String::clone));
    assert!(complains(&home, &["reprocess", NAME, one], 65).contains("is not in the repository"));

    let done = says(&home, &["reprocess", NAME, "ALL"]);
    assert_eq!(done.lines().count(), 3, "{done}");
    eventually(|| (subjects(&home) == ["", "four", "large", "one"]).then_some(())).expect("all are delivered");
    assert_eq!(fs::read_dir(directory(&home)).expect("it stays").count(), 0);
    let mails = fs::read_dir(home.maildir("you").join("new")).expect("it is there").flatten();
    let sizes: Vec<_> = mails.map(|entry| entry.metadata().expect("it is there").len()).collect();
    let lines = large.replace("\r\n", "\n").len() as u64;
    assert!(sizes.iter().any(|size| (lines..lines + 300).contains(size)), "dots are as they were: {sizes:?}");
    assert_eq!(says(&home, &["list", NAME]), format!("No mail is in {NAME}.\n"));
    assert_eq!(says(&home, &["purge", NAME, "ALL"]), "0 mails purged\n");
    process.stop();
}

#[test]
fn without_a_server_the_same_is_done() {
    let home = Home::new(&Conf::new());
    home.start().stop();
    let one = keep(&home, 1, "Subject: one\r\n\r\n");
    let two = keep(&home, 2, "Subject: two\r\n\r\n");
    let three = keep(&home, 3, "Subject: three\r\n\r\n");
    assert_eq!(names(&home), [one.clone(), two.clone(), three.clone()]);
    assert_eq!(says(&home, &["purge", NAME, &three]), "1 mail purged\n");
    let done = says(&home, &["reprocess", NAME, "ALL"]);
    assert!(done.contains(&format!("{one} goes on as ")) && done.contains(&format!("{two} goes on as ")), "{done}");
    assert_eq!(names(&home), Vec::<String>::new());
    let process = home.start();
    eventually(|| (subjects(&home) == ["one", "two"]).then_some(())).expect("they are delivered");
    process.stop();
    // A process that holds the spool without answering is not gone behind.
    let four = keep(&home, 4, "Subject: four\r\n\r\n");
    let lock = fs::File::open(home.path().join("var/spool/lock")).expect("it is there");
    lock.lock().expect("nobody has it");
    complains(&home, &["reprocess", NAME, &four], 69);
    assert_eq!(names(&home), [four]);
}

#[test]
fn what_is_damaged_is_said_and_stays() {
    let home = Home::new(&Conf::new());
    let process = home.start();
    let (one, two) = (keep(&home, 1, "Subject: one\r\n\r\n"), keep(&home, 2, "Subject: two\r\n\r\n"));
    fs::write(directory(&home).join(format!("{one}.json")), "{}").expect("written");
    assert!(complains(&home, &["list", NAME], 65).contains(&format!("{one}.json: missing field")));
    assert!(
        complains(&home, &["reprocess", NAME, "ALL"], 65).contains(&format!("{one} cannot be read: missing field"))
    );
    eventually(|| (subjects(&home) == ["two"]).then_some(())).expect("the other goes on");
    assert!(
        directory(&home).join(format!("{one}.eml")).exists() && !directory(&home).join(format!("{two}.eml")).exists()
    );
    process.stop();
}
