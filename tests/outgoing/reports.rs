//! What senders are told, and when; what goes on in a processor instead; and the times that a sender sets.

use std::time::Duration;

use ringpost::delivery::settings::RemoteSettings;
use ringpost::io::sim::{Edge, WALL_CLOCK_AT_START};
use ringpost::mail::{ByMode, DeliverBy, Notify, RecipientNote, Ret};
use ringpost::mailet::mail::{DELIVERY_ERROR, DELIVERY_ERROR_CODE, DELIVERY_HOST, DELIVERY_PERMANENT, Value};

use super::here::{Here, envelope, remote, settings, zone};
use super::hop::{Answer, Hop};

const MAIL: &[u8] = b"Subject: m\r\nX-Own: yes\r\n\r\nhello there\r\n";

fn here(remote: RemoteSettings, extensions: &[&'static str]) -> (Here, Hop) {
    let mut here = Here::new(5, zone(&[("a.example", "198.51.100.1")]), settings(vec![remote], Vec::new()));
    let hop = Hop::new(&here.world, "198.51.100.1:25", extensions);
    hop.set_policy(|command| match command {
        _ if command.starts_with("RCPT TO:<no") => Answer::Say("550 5.1.1 no such user"),
        _ if command.starts_with("RCPT TO:<later") => Answer::Say("451 4.3.2 not now"),
        _ => Answer::Usual,
    });
    here.start();
    hop.serve(&here.world.machine());
    (here, hop)
}

fn noted(notes: &[Option<Notify>]) -> Vec<RecipientNote> {
    let note =
        |notify: &Option<Notify>| RecipientNote { notify: *notify, original: Some("rfc822;orig+2B@x.example".into()) };
    notes.iter().map(note).collect()
}

#[test]
fn a_report_has_what_a_machine_and_a_person_need() {
    let (mut here, _hop) = here(remote(&[60]), &["PIPELINING"]);
    let mut mail = envelope(1, "me@here.example", &["no@a.example", "you@a.example", "later@a.example"]);
    mail.notes = noted(&[None, None, None]);
    mail.dsn.envelope_id = Some("QQ314159".into());
    here.send(mail, here.to_remote(0), MAIL);
    assert!(here.settle());
    let back = here.back.borrow().clone();
    assert_eq!(back.len(), 2, "one at once, and one when it was put off too often");
    let (first, second) = (&back[0], &back[1]);
    assert_eq!(first.envelope.reverse_path.to_string(), "");
    assert_eq!(first.envelope.recipients[0].to_string(), "me@here.example");
    assert!(first.journey.made_here && first.journey.route.is_none() && first.journey.state.is_none());
    for line in [
        "From: Mail Delivery System <postmaster@here.example>",
        "To: me@here.example",
        "Auto-Submitted: auto-replied",
        "Reporting-MTA: dns; here.example",
        "Original-Envelope-Id: QQ314159",
        "Received-From-MTA: dns; client.example",
        "Original-Recipient: rfc822; orig+@x.example",
        "Final-Recipient: rfc822; no@a.example",
        "Action: failed",
        "Status: 5.1.1",
        "Remote-MTA: dns; mx.a.example",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user",
        "X-Own: yes",
    ] {
        assert!(first.content.contains(&format!("{line}\r\n")), "{line} is not in\n{}", first.content);
    }
    assert!(!first.content.contains("hello there"), "the header alone goes back");
    assert!(second.content.contains("451 4.3.2 not now (given up after 2 attempts)"), "{}", second.content);
    let told = here.told("bounced", &["id", "to", "relay", "dsn", "text"]);
    assert!(
        told[0].ends_with("<no@a.example> | mx.a.example[198.51.100.1]:25 | 5.1.1 | 550 5.1.1 no such user"),
        "{told:?}"
    );
}

#[test]
fn senders_hear_what_they_asked_to_hear() {
    let (here, hop) = here(remote(&[60]), &["PIPELINING"]);
    let wanted = |success, failure| Some(Notify { success, failure, delay: false });
    let mut mail =
        envelope(1, "me@here.example", &["no1@a.example", "no2@a.example", "one@a.example", "two@a.example"]);
    mail.notes = noted(&[Some(Notify::NEVER), wanted(true, true), wanted(true, false), wanted(false, true)]);
    mail.dsn.ret = Some(Ret::Full);
    here.send(mail, here.to_remote(0), MAIL);
    assert!(here.settle());
    let to = ["no1@a.example", "no2@a.example", "one@a.example", "two@a.example"];
    assert_eq!(to.map(|to| here.reports(to, "failed")), [0, 1, 0, 0]);
    assert_eq!(to.map(|to| here.reports(to, "relayed")), [0, 0, 1, 0], "the host does not report");
    let back = here.back.borrow();
    let of = |word: &str| back.iter().find(|back| back.content.contains(word)).expect("a report").content.clone();
    assert!(of("Action: failed").contains("hello there"), "RET=FULL");
    assert!(!of("Action: relayed").contains("hello there"), "only of failures");
    assert!(hop.taken.borrow().iter().all(|taken| taken.parameters.is_empty()), "the host has no DSN");
}

#[test]
fn a_host_that_reports_is_told_what_to_report() {
    let (here, hop) = here(remote(&[60]), &["DSN"]);
    let mut mail = envelope(1, "me@here.example", &["one@a.example"]);
    mail.notes = noted(&[Some(Notify { success: true, failure: true, delay: false })]);
    mail.dsn.ret = Some(Ret::Headers);
    mail.dsn.envelope_id = Some("QQ".into());
    here.send(mail, here.to_remote(0), MAIL);
    assert!(here.settle());
    assert!(here.back.borrow().is_empty());
    let expected = " RET=HDRS ENVID=QQ NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig+2B@x.example";
    assert_eq!(hop.taken.borrow()[0].parameters, expected);
}

#[test]
fn who_traces_a_mail_or_sets_it_a_time_hears_of_the_host_that_has_it_now() {
    let to = ["one@a.example", "two@a.example", "three@a.example", "no@a.example"];
    let notes = noted(&[None, Some(Notify::NEVER), Some(Notify { success: false, failure: true, delay: false }), None]);
    for (extensions, mode, trace, reports) in [
        (&["DSN", "DELIVERBY"][..], ByMode::Notify, true, true),
        (&["DSN", "DELIVERBY"], ByMode::Return, true, true),
        (&["DSN", "DELIVERBY"], ByMode::Return, false, false),
        (&["DSN", "DELIVERBY"], ByMode::Notify, false, false),
        (&["DSN"], ByMode::Notify, true, true),
        (&["DSN"], ByMode::Notify, false, true),
        (&[], ByMode::Notify, true, true),
        (&[], ByMode::Notify, false, true),
    ] {
        let (here, hop) = here(remote(&[60]), extensions);
        let mut mail = envelope(1, "me@here.example", &to);
        mail.notes = notes.clone();
        mail.deliver_by = Some(DeliverBy { deadline: WALL_CLOCK_AT_START + 600 * 1_000_000, mode, trace });
        here.send(mail, here.to_remote(0), MAIL);
        assert!(here.settle());
        let count = usize::from(reports);
        assert_eq!(to.map(|to| here.reports(to, "relayed")), [count, 0, count, 0], "{extensions:?} {mode:?} {trace}");
        assert_eq!(to.map(|to| here.reports(to, "failed")), [0, 0, 0, 1]);
        assert_eq!(hop.taken.borrow().len(), 3);
        let back = here.back.borrow();
        let told = back.iter().find(|back| back.content.contains("Action: relayed"));
        assert_eq!(told.is_some(), reports);
        if let Some(told) = told {
            assert_eq!(told.content.contains("does not report"), !extensions.contains(&"DSN"), "{}", told.content);
            let untimed = extensions == ["DSN"];
            assert_eq!(told.content.contains("does not heed the time"), untimed, "{}", told.content);
            assert!(told.content.contains("Remote-MTA: dns; mx.a.example\r\n"));
        }
    }
}

#[test]
fn a_report_of_success_is_not_lost_in_a_crash() {
    let mut crashes = 0;
    for at in 1..40 {
        for edge in [Edge::Before, Edge::After] {
            let (mut here, hop) = here(remote(&[60]), &[]);
            let mut mail = envelope(1, "me@here.example", &["you@a.example"]);
            mail.notes = noted(&[Some(Notify { success: true, failure: true, delay: false })]);
            assert!(here.send(mail, here.to_remote(0), MAIL));
            here.world.faults().crash_at(at, edge);
            here.world.run(Duration::from_secs(30));
            if here.world.is_stopped() {
                crashes += 1;
                here.world.crash();
                here.start();
                hop.serve(&here.world.machine());
            }
            assert!(here.settle());
            let (taken, told) = (hop.taken.borrow().len(), here.reports("you@a.example", "relayed"));
            assert!(taken >= 1 && told >= 1, "at {at} {edge:?}: taken {taken}, told {told}");
            assert!(taken <= 2 && told <= 2, "at {at} {edge:?}: taken {taken}, told {told}");
        }
    }
    assert!(crashes > 10, "{crashes}");
}

#[test]
fn nobody_is_told_at_the_null_reverse_path() {
    let (mut here, _hop) = here(remote(&[60]), &[]);
    here.send(envelope(1, "", &["no@a.example", "later@a.example"]), here.to_remote(0), MAIL);
    assert!(here.settle());
    assert!(here.back.borrow().is_empty());
    assert_eq!(here.told("bounced", &["to"]), ["<no@a.example>", "<later@a.example>"]);
}

#[test]
fn what_is_given_up_goes_to_the_bounce_processor_with_what_was_said() {
    let settings =
        RemoteSettings { bounce_processor: Some("bounces".into()), on_success: Some("sent".into()), ..remote(&[60]) };
    let (here, _hop) = here(settings, &[]);
    let to = ["no1@a.example", "no2@a.example", "you@a.example", "later@a.example"];
    here.send(envelope(1, "me@here.example", &to), here.to_remote(0), MAIL);
    assert!(here.settle());
    let back = here.back.borrow();
    let told: Vec<_> = back
        .iter()
        .map(|back| {
            let of = |name: &str| back.journey.attributes.get(name).map(Value::text).unwrap_or_default();
            let to: Vec<_> = back.envelope.recipients.iter().map(ToString::to_string).collect();
            let state = back.journey.state.as_deref().unwrap_or_default();
            let [code, permanent, host, error] =
                [DELIVERY_ERROR_CODE, DELIVERY_PERMANENT, DELIVERY_HOST, DELIVERY_ERROR].map(of);
            format!("{state} {to:?} {code} {permanent} {host} {error}")
        })
        .collect();
    let expected = [
        r#"sent ["you@a.example"]    "#,
        r#"bounces ["no1@a.example", "no2@a.example"] 550 true mx.a.example 550 5.1.1 no such user"#,
        r#"bounces ["later@a.example"] 451 false mx.a.example 451 4.3.2 not now (given up after 2 attempts)"#,
    ];
    assert_eq!(told, expected);
    assert!(back.iter().all(|back| back.content == String::from_utf8_lossy(MAIL)), "it is the mail itself");
    assert!(back.iter().all(|back| back.envelope.reverse_path.to_string() == "me@here.example"));
}

#[test]
fn who_waits_long_is_told_once() {
    let (mut here, _hop) = here(remote(&[3600, 3600, 3600, 3600, 3600, 3600]), &[]);
    let mut mail = envelope(1, "me@here.example", &["later1@a.example", "later2@a.example"]);
    mail.notes = noted(&[Some(Notify { success: false, failure: true, delay: true }), Some(Notify::NEVER)]);
    here.send(mail, here.to_remote(0), MAIL);
    here.world.run(Duration::from_secs(4 * 3600 - 60));
    assert!(here.back.borrow().is_empty());
    here.world.run(Duration::from_secs(120));
    assert_eq!((here.reports("later1@a.example", "delayed"), here.reports("later2@a.example", "delayed")), (1, 0));
    assert!(here.settle());
    assert_eq!(here.reports("later1@a.example", "delayed"), 1);
    assert_eq!((here.reports("later1@a.example", "failed"), here.reports("later2@a.example", "failed")), (1, 0));
    let back = here.back.borrow();
    assert!(back[0].content.contains("Will-Retry-Until: ") && back[0].content.contains("Status: 4.3.2\r\n"));
    drop(back);
    assert_eq!(here.told("bounced", &["to"]).len(), 2);
}

#[test]
fn what_is_held_is_not_sent_before_its_time() {
    let (here, hop) = here(remote(&[60]), &[]);
    let mut mail = envelope(1, "me@here.example", &["you@a.example"]);
    mail.hold_until = Some(WALL_CLOCK_AT_START + 7200 * 1_000_000);
    here.send(mail, here.to_remote(0), MAIL);
    here.world.run(Duration::from_secs(7190));
    assert_eq!((hop.taken.borrow().len(), hop.connections.get()), (0, 0));
    assert!(here.settle());
    assert!((7200..7300).contains(&here.world.now().as_secs()), "{:?}", here.world.now());
    assert_eq!(hop.taken.borrow().len(), 1);
}

#[test]
fn mail_has_as_much_time_as_its_sender_gives_it() {
    let by = |mode, seconds: u64| {
        Some(DeliverBy { deadline: WALL_CLOCK_AT_START + seconds * 1_000_000, mode, trace: false })
    };
    let (here, hop) = here(remote(&[600, 600, 600]), &["DELIVERBY"]);
    let mut mail = envelope(1, "me@here.example", &["later1@a.example"]);
    mail.deliver_by = by(ByMode::Return, 900);
    here.send(mail, here.to_remote(0), MAIL);
    let mut mail = envelope(2, "me@here.example", &["later2@a.example"]);
    mail.deliver_by = by(ByMode::Notify, 900);
    here.send(mail, here.to_remote(0), MAIL);
    here.world.run(Duration::from_secs(890));
    assert!(here.back.borrow().is_empty());
    here.world.run(Duration::from_secs(400));
    assert_eq!((here.reports("later1@a.example", "failed"), here.reports("later2@a.example", "failed")), (1, 0));
    assert_eq!(here.reports("later2@a.example", "delayed"), 1);
    assert!(here.back.borrow().iter().any(|back| back.content.contains("Status: 5.4.7\r\n")));
    assert!(here.settle());
    assert_eq!(here.reports("later2@a.example", "failed"), 1);
    assert!(hop.taken.borrow().is_empty());
}
