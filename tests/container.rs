//! `mailetcontainer.xml` in force: what becomes of mail in a real `ringpost serve`.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::client::{Client, id, stuffed};
use common::process::{Conf, Home, Process, Server, eventually};

/// A pipeline with these processors beside an `error` that keeps what it gets.
fn pipeline(processors: &str) -> String {
    format!(
        "<mailetcontainer><context><postmaster>postmaster@localhost</postmaster></context>\
         <spooler><errorRepository>file://var/mail/failed/</errorRepository></spooler><processors>{processors}\
         <processor state='error'><mailet match='All' class='ToRepository'><repositoryPath>file://var/mail/error/</repositoryPath>\
         </mailet></processor></processors></mailetcontainer>"
    )
}

/// A home with that `mailetcontainer.xml`; failures are tried again at once.
fn home_with(conf: &Conf, container: &str) -> Home {
    let home = Home::new(&conf.clone().with("delivery/retry", "1s"));
    fs::write(home.conf().join("mailetcontainer.xml"), container).expect("it is written");
    home
}

/// One of James' pipelines, as it is.
fn james(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipeline").join(name);
    fs::read_to_string(path).expect("readable")
}

/// A server whose clients on this host may relay.
fn authorized() -> Server {
    Server::smtp().with("authorizedAddresses", "127.0.0.0/8")
}

const LETTER: &[u8] =
    b"From: Me <me@localhost>\r\nTo: you@localhost\r\nBcc: hidden@localhost\r\nSubject: hello\r\n\r\n.Text\r\n";

/// The reply to a message from that sender.
fn send(client: &mut Client, from: &str, to: &[&str], content: &[u8]) -> String {
    assert!(client.say(&format!("MAIL FROM:<{from}>")).starts_with("250 "));
    for to in to {
        let reply = client.say(&format!("RCPT TO:<{to}>"));
        assert!(reply.starts_with("250 "), "{to}: {reply}");
    }
    assert!(client.say("DATA").starts_with("354 "));
    client.send(stuffed(content));
    client.reply()
}

/// The first message in a directory of a Maildir that has `text` in it, once there is one.
fn arrives(home: &Home, user: &str, folder: &str, text: &str) -> String {
    let directory = home.maildir(user).join(folder).join("new");
    let found = eventually(|| messages(&directory).into_iter().find(|message| message.contains(text)));
    found.unwrap_or_else(|| panic!("{text:?} does not come to {}: {:?}", directory.display(), messages(&directory)))
}

fn messages(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let read = entries.filter_map(|entry| fs::read(entry.ok()?.path()).ok());
    read.map(|octets| String::from_utf8_lossy(&octets).into_owned()).collect()
}

/// What is kept in a repository, contents and envelopes.
fn kept(home: &Home, repository: &str) -> Vec<String> {
    messages(&home.path().join("var/repositories").join(repository))
}

/// Waits until something with `text` in it is kept.
fn is_kept(home: &Home, repository: &str, text: &str) -> String {
    let found = eventually(|| kept(home, repository).into_iter().find(|kept| kept.contains(text)));
    found.unwrap_or_else(|| panic!("{text:?} is not in {repository}: {:?}", kept(home, repository)))
}

/// Waits until nothing is left to do.
fn is_idle(home: &Home) {
    let status = || home.run(&["status", "--json"]);
    let idle = || status().contains("\"waiting\":0").then_some(());
    eventually(idle).unwrap_or_else(|| panic!("{}", status()));
}

#[test]
fn james_distributed_pipeline_runs_as_it_is() {
    let conf = Conf::new().servers(vec![authorized(), Server::lmtp()]).users(&["you", "me"]);
    let home = home_with(&conf, &james("distributed.xml"));
    for target in ["you@localhost", "nobody@localhost"] {
        home.run(&["alias", "add", "--kind", "group", "both@localhost", target]);
    }
    home.run(&["alias", "add", "away@localhost", "friend@example.net"]);
    let script = "require [\"fileinto\"]; if header :contains \"subject\" \"junk\" { fileinto \"Junk\"; }\r\n";
    fs::create_dir_all(home.maildir("you")).expect("it is made");
    fs::write(home.maildir("you").join("active.sieve"), script).expect("it is written");
    let process = home.start();
    let mut client = process.smtp();

    // Local mail: what James' sample takes out of a header is out, and the dot at the start of a line is not lost.
    let reply = send(&mut client, "me@localhost", &["you@localhost"], LETTER);
    let message = arrives(&home, "you", "", "Subject: hello");
    assert!(message.contains(id(&reply)) && message.ends_with("\n\n.Text\n"), "{message}");
    assert!(!message.contains("hidden@localhost"), "{message}");
    assert_eq!(message.matches("Delivered-To: ").count(), 1, "{message}");

    // The users' own scripts.
    send(&mut client, "me@localhost", &["you@localhost"], b"Subject: junk of the day\r\n\r\nText\r\n");
    arrives(&home, "you", ".Junk", "junk of the day");

    // Somebody nobody knows, by way of the rewrite table: one gets it, of the other the sender hears.
    send(&mut client, "me@localhost", &["both@localhost"], b"Subject: for both\r\n\r\nText\r\n");
    arrives(&home, "you", "", "Subject: for both");
    let bounce = arrives(&home, "me", "", "no such user here");
    assert!(bounce.contains("Return-Path: <>") && bounce.contains("RCPT TO: nobody@localhost"), "{bounce}");
    is_kept(&home, "var/mail/address-error", "Subject: for both");

    // Another domain, from who may relay, and by the rewrite table from who may not: both have a way out.
    let reply = send(&mut client, "me@localhost", &["x@example.net", "y@example.com"], LETTER);
    let first = process.wait_for_log("passed-on", &[&format!("id={}", id(&reply)), "way=remote"]);
    assert!(first.contains("nrcpt=1"), "one child for each destination: {first}");
    let reply = send(&mut client, "me@localhost", &["away@localhost"], LETTER);
    process.wait_for_log("passed-on", &[&format!("id={}", id(&reply)), "way=remote"]);

    // Round and round among hosts.
    let circling =
        ["Received: from somewhere\r\n".repeat(31).as_bytes(), b"Subject: circling\r\n\r\nText\r\n"].concat();
    send(&mut client, "me@localhost", &["you@localhost"], &circling);
    is_kept(&home, "var/mail/relay-limit-exceeded", "Subject: circling");
    let status = home.run(&["status"]);
    assert!(status.contains("mailetContainerLocalAddressError  1"), "{status}");
    process.stop();
}

#[test]
fn james_relay_pipeline_runs_as_it_is() {
    let strangers = Server::smtp();
    let home = home_with(&Conf::new().servers(vec![authorized(), strangers]), &james("relay.xml"));
    let process = home.start();
    let mut client = process.smtp();
    let reply = send(&mut client, "me@localhost", &["x@example.net"], LETTER);
    process.wait_for_log("passed-on", &[&format!("id={}", id(&reply)), "nrcpt=1", "way=remote"]);
    // It has no mailboxes, whoever is a user.
    let reply = send(&mut client, "sender@example.org", &["you@localhost"], LETTER);
    is_kept(&home, "var/mail/address-error", id(&reply));
    process.wait_for_log("made", &[&format!("of={}", id(&reply)), "kind=bounce", "to=<sender@example.org>"]);
    // And who may not relay is told so before anything is taken.
    let mut stranger = Client::hello(process.address(1), false);
    assert!(stranger.say("MAIL FROM:<me@example.org>").starts_with("250 "));
    assert!(stranger.say("RCPT TO:<x@example.net>").starts_with("550 5.7.1 "));
    process.stop();
}

#[test]
fn changes_to_header_and_body_are_in_the_mailbox() {
    let container = pipeline(
        "<processor state='root'>
         <mailet match='All' class='SetMimeHeader'><name>X-Seen</name><value>yes</value></mailet>
         <mailet match='All' class='AddSubjectPrefix'><subjectPrefix>[list]</subjectPrefix></mailet>
         <mailet match='HasHeader=X-Footer' class='AddFooter'><text>The end.</text></mailet>
         <mailet match='HasHeader=X-Copy' class='ToRepository'><repositoryPath>file://var/mail/copies/</repositoryPath>
         <passThrough>true</passThrough></mailet>
         <mailet match='All' class='LocalDelivery'/></processor>",
    );
    let home = home_with(&Conf::new(), &container);
    let process = home.start();
    let mut client = process.smtp();
    let large: Vec<u8> =
        (0..20_000u32).flat_map(|n| format!(".line {n} of a large message\r\n").into_bytes()).collect();
    let content = [b"Subject: large\r\n.odd: field\r\n\r\n".as_slice(), &large].concat();
    for reply in [
        send(&mut client, "me@example.org", &["you@localhost"], &content),
        client.bdat("", &["you@localhost"], &content, 70_001),
    ] {
        let message = arrives(&home, "you", "", id(&reply));
        let (head, body) = message.split_once("\n\n").expect("a header and a body");
        assert!(head.ends_with("\n.odd: field\nX-Seen: yes"), "{head}");
        assert!(head.contains("\nSubject: [list] large\n"), "{head}");
        assert_eq!(body, String::from_utf8(large.clone()).expect("text").replace("\r\n", "\n"));
    }
    let footer = b"Subject: footer\r\nX-Footer: 1\r\nX-Copy: 1\r\n\r\nText\r\n";
    let reply = send(&mut client, "me@example.org", &["you@localhost", "postmaster@localhost"], footer);
    for user in ["you", "postmaster"] {
        let message = arrives(&home, user, "", "X-Footer");
        assert!(message.ends_with("Text\nThe end.\n") && message.contains("\nX-Seen: yes\n"), "{message}");
    }
    let copy = is_kept(&home, "var/mail/copies", "The end.");
    assert!(copy.contains(id(&reply)) && copy.contains("Subject: [list] footer\r\n"), "{copy}");
    is_idle(&home);
    process.stop();
}

#[test]
fn loops_are_cut_and_what_fails_five_times_is_kept() {
    let names: Vec<String> = (0..201).map(|number| format!("X-{number}")).collect();
    let container = pipeline(&format!(
        "<processor state='root'>
         <mailet match='SubjectIs=loop' class='ToProcessor'><processor>there</processor></mailet>
         <mailet match='SubjectIs=fails' class='RemoveMimeHeader'><name>{0}</name></mailet>
         <mailet match='SubjectIs=again' class='RemoveMimeHeader'><name>{0}</name>
         <onMailetException>propagate</onMailetException></mailet>
         <mailet match='All' class='LocalDelivery'/></processor>
         <processor state='there'><mailet match='All' class='ToProcessor'><processor>back</processor></mailet></processor>
         <processor state='back'><mailet match='All' class='ToProcessor'><processor>there</processor></mailet></processor>",
        names.join(",")
    ));
    let home = home_with(&Conf::new(), &container);
    let process = home.start();
    let mut client = process.smtp();
    let reply = send(&mut client, "you@localhost", &["postmaster@localhost"], b"Subject: loop\r\n\r\nText\r\n");
    let report = arrives(&home, "you", "", "in circles");
    assert!(report.contains("Status: 5.4.6") && report.contains("Final-Recipient: rfc822; postmaster@localhost"));
    process.wait_for_log("discarded", &[id(&reply), "it was answered"]);

    send(&mut client, "me@example.org", &["you@localhost"], b"Subject: fails\r\n\r\nText\r\n");
    is_kept(&home, "var/mail/error", "Subject: fails");

    let reply = send(&mut client, "me@example.org", &["you@localhost"], b"Subject: again\r\n\r\nText\r\n");
    is_kept(&home, "var/mail/failed", "Subject: again");
    is_idle(&home);
    assert_eq!(home.mail_count("you"), 1, "the report alone");
    let log = process.stop();
    let children = log.iter().filter(|line| line.contains(" passed-on ") && line.contains("way=container")).count();
    assert_eq!(children, 4, "after each failure but the fifth it is tried again: {}", id(&reply));
}

#[test]
fn mail_that_is_not_brought_is_not_answered_twice() {
    // The mailbox cannot be made: what was said beside is not said again while it is tried.
    let container = pipeline(
        "<processor state='root'>
         <mailet match='SenderIs=me@localhost' class='NotifyPostmaster'><passThrough>true</passThrough></mailet>
         <mailet match='All' class='LocalDelivery'/></processor>",
    );
    let home = home_with(&Conf::new().users(&["you", "me"]), &container);
    fs::create_dir_all(home.maildir("you").parent().expect("a domain")).expect("it is made");
    fs::write(home.maildir("you"), b"in the way").expect("it is written");
    let process = home.start();
    let mut client = process.smtp();
    let reply = send(&mut client, "me@localhost", &["you@localhost"], b"Subject: late\r\n\r\nText\r\n");
    let line = process.wait_for_log("passed-on", &[id(&reply), "way=mailbox"]);
    let child = line.split("child=").nth(1).and_then(|rest| rest.split(' ').next()).expect("an id").to_owned();
    process.wait_for_log("deferred", &[&format!("id={child}")]);
    fs::remove_file(home.maildir("you")).expect("it was there");
    arrives(&home, "you", "", "Subject: late");
    is_idle(&home);
    assert_eq!(home.mail_count("postmaster"), 1, "one notice");
    process.stop();
}

/// Children live over a restart.
#[test]
fn what_waits_for_its_turn_outlives_a_kill() {
    let container = pipeline(
        "<processor state='root'><mailet match='All' class='AddFooter'><text>The end.</text></mailet>
         <mailet match='All' class='SetMailAttribute'><seen>yes</seen></mailet>
         <mailet match='All' class='LocalDelivery'/></processor>",
    );
    let home = home_with(&Conf::new(), &container);
    fs::create_dir_all(home.maildir("you").parent().expect("a domain")).expect("it is made");
    fs::write(home.maildir("you"), b"in the way").expect("it is written");
    let process = home.start();
    let reply = send(&mut process.smtp(), "me@example.org", &["you@localhost"], b"Subject: late\r\n\r\nText\r\n");
    process.wait_for_log("passed-on", &[id(&reply), "way=mailbox"]);
    process.kill();
    fs::remove_file(home.maildir("you")).expect("it was there");
    let process = home.start();
    assert!(arrives(&home, "you", "", "Subject: late").ends_with("Text\nThe end.\n"));
    is_idle(&home);
    process.stop();
}

/// Writes the LMTP server with that chain.
fn lmtp(home: &Home, inside: &str) -> PathBuf {
    let path = home.conf().join("lmtpserver.xml");
    let xml = format!(
        "<lmtpservers><lmtpserver><jmxName>server-1</jmxName><bind>127.0.0.1:0</bind><helloName autodetect='false'>localhost\
         </helloName><handlerchain coreHandlersPackage='org.apache.james.lmtpserver.MailetContainerCmdHandlerLoader'>{inside}\
         </handlerchain></lmtpserver></lmtpservers>"
    );
    fs::write(&path, xml).expect("it is written");
    path
}

#[test]
fn lmtp_goes_straight_into_the_mailbox_or_through_the_container() {
    let container = pipeline(
        "<processor state='root'>
         <mailet match='All' class='SetMimeHeader'><name>X-Seen</name><value>yes</value></mailet>
         <mailet match='IsSingleRecipient' class='SetMimeHeader'><name>X-Alone</name><value>yes</value></mailet>
         <mailet match='RecipientIs=kept@localhost' class='ToRepository'><repositoryPath>file://var/mail/kept/</repositoryPath></mailet>
         <mailet match='RecipientIs=never@localhost' class='RemoveMimeHeader'><name>X-Nothing</name></mailet>
         <mailet match='All' class='LocalDelivery'/></processor>",
    );
    let users = ["you", "kept", "blocked"];
    let to = ["you@localhost", "kept@localhost", "blocked@localhost"];
    let split = "<handler class='org.apache.james.lmtpserver.MailetContainerHandler'><splitExecution>true</splitExecution></handler>";
    for (inside, seen, alone) in [(None, false, false), (Some(""), true, false), (Some(split), true, true)] {
        let home = home_with(&Conf::new().users(&users), &container);
        if let Some(inside) = inside {
            lmtp(&home, inside);
        }
        fs::create_dir_all(home.maildir("you").parent().expect("a domain")).expect("it is made");
        fs::write(home.maildir("blocked"), b"in the way").expect("it is written");
        let process = home.start();
        let mut client = process.lmtp();
        let mut replies = vec![send(&mut client, "me@example.org", &to, b"Subject: by LMTP\r\n\r\nText\r\n")];
        replies.extend((1..to.len()).map(|_| client.reply()));
        assert!(replies[0].starts_with("250 2.6.0 Message received"), "{replies:?}");
        assert!(replies[1].starts_with("250 2.6.0 Message received"), "{replies:?}");
        assert!(replies[2].starts_with("451 4."), "{replies:?}");
        let message = arrives(&home, "you", "", "by LMTP");
        assert_eq!((message.contains("X-Seen: yes"), message.contains("X-Alone: yes")), (seen, alone), "{message}");
        match inside {
            None => drop(arrives(&home, "kept", "", "by LMTP")),
            Some(_) => drop(is_kept(&home, "var/mail/kept", "by LMTP")),
        }
        // The client has what failed; nothing is left to do here.
        is_idle(&home);
        process.stop();
    }
}

#[test]
fn without_a_way_out_nothing_is_taken_for_other_domains() {
    let local = pipeline("<processor state='root'><mailet match='All' class='LocalDelivery'/></processor>");
    for container in [None, Some(local)] {
        let home = Home::new(&Conf::new().servers(vec![authorized(), Server::lmtp()]));
        if let Some(container) = &container {
            fs::write(home.conf().join("mailetcontainer.xml"), container).expect("it is written");
        }
        let process: Process = home.start();
        let mut client = process.smtp();
        assert!(client.say("MAIL FROM:<me@localhost>").starts_with("250 "));
        assert!(client.say("RCPT TO:<x@example.net>").starts_with("451 4.4.0 "));
        process.stop();
    }
}
