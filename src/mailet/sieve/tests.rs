use proptest::prelude::*;

use super::run::{Action, RunError, Subject};
use super::*;
use crate::mail::{Mailbox, ReversePath};

const HEADER: &[u8] = b"From: \"Boss, The\" <boss@Example.org>\r\nTo: you@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= [list] hello\r\nX-Spam: YES\r\n";

fn run(script: &str) -> Result<Vec<Action>, RunError> {
    let script = Script::parse(script).unwrap_or_else(|error| panic!("{script}: {error}"));
    let from = ReversePath::Mailbox(Mailbox::parse("bounce@example.org").expect("a mailbox"));
    let to = Mailbox::parse("you+x@example.com").expect("a mailbox");
    script.run(Subject { header: HEADER, size: 2048, from: &from, to: &to })
}

fn holds(test: &str) -> bool {
    let script = format!("require \"envelope\"; if {test} {{ discard; }}");
    run(&script).expect("it runs").is_empty()
}

#[test]
fn tests_hold_or_not() {
    for (test, expected) in [
        ("true", true),
        ("not false", true),
        ("allof (true, false)", false),
        ("anyof (false, true)", true),
        ("exists [\"from\", \"X-SPAM\"]", true),
        ("exists [\"from\", \"x-none\"]", false),
        ("size :over 2K", false),
        ("size :over 2047", true),
        ("size :under 1M", true),
        ("header :contains \"subject\" \"[LIST]\"", true),
        ("header :contains :comparator \"i;octet\" \"subject\" \"[LIST]\"", false),
        ("header :is \"subject\" \"Grüße [list] hello\"", true),
        ("header :matches \"subject\" \"*[list]*o\"", true),
        ("header :matches \"subject\" \"*\\\\?*\"", false),
        ("header :is \"x-spam\" [\"no\", \"yes\"]", true),
        ("address :is \"from\" \"boss@example.org\"", true),
        ("address :localpart \"from\" \"BOSS\"", true),
        ("address :domain :matches \"from\" \"ex?mple.*\"", true),
        ("envelope :is \"from\" \"bounce@example.org\"", true),
        ("envelope :localpart \"to\" \"you+x\"", true),
        ("envelope \"auth\" \"x\"", false),
    ] {
        assert_eq!(holds(test), expected, "{test}");
    }
}

#[test]
fn actions_are_collected_and_keep_is_implied() {
    assert_eq!(run(""), Ok(vec![Action::Keep]));
    assert_eq!(run("discard;"), Ok(vec![]));
    assert_eq!(run("discard; keep; keep;"), Ok(vec![Action::Keep]));
    assert_eq!(run("stop; discard;"), Ok(vec![Action::Keep]));
    let script = "require [\"fileinto\"]; # a comment\nif header :is \"x-spam\" \"yes\" { fileinto \"Junk\"; stop; } /* more */ discard;";
    assert_eq!(run(script), Ok(vec![Action::FileInto("Junk".to_owned())]));
    let script = "if false { keep; } elsif true { redirect \"a@example.org\"; } else { discard; }";
    assert_eq!(run(script), Ok(vec![Action::Redirect(Mailbox::parse("a@example.org").expect("a mailbox"))]));
    let script = "require \"reject\"; reject text: # here\r\nNo.\r\n..\r\n.\r\n;";
    assert_eq!(run(script), Ok(vec![Action::Reject("No.\r\n.\r\n".to_owned())]));
}

fn vacation(script: &str, header: &str, from: &str) -> Vec<Action> {
    let script =
        Script::parse(&format!("require \"vacation\"; {script}")).unwrap_or_else(|error| panic!("{script}: {error}"));
    let from = ReversePath::parse(from, "example.org").expect("a path");
    let to = Mailbox::parse("you@example.com").expect("a mailbox");
    script.run(Subject { header: header.as_bytes(), size: 1, from: &from, to: &to }).expect("it runs")
}

#[test]
fn a_person_is_answered_and_the_mail_is_kept() {
    let actions =
        vacation("vacation :days 3 :subject \"Away\" \"I am.\";", "To: You <YOU@example.com>\r\n", "a@example.org");
    let [Action::Vacation(answer), Action::Keep] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!((answer.days, answer.subject.as_deref(), answer.reason.as_str()), (3, Some("Away"), "I am."));
    let actions = vacation("vacation \"x\"; discard;", "Cc: a@b.c, you@example.com\r\n", "a@example.org");
    assert!(matches!(actions.as_slice(), [Action::Vacation(_)]), "{actions:?}");
    let other = "vacation :days 0 :addresses [\"me@example.net\"] :handle \"h\" \"x\";";
    let actions = vacation(other, "Resent-To: me@example.net\r\n", "a@example.org");
    assert!(matches!(actions.as_slice(), [Action::Vacation(answer), _] if answer.days == 1), "{actions:?}");
    let twice = Script::parse("require \"vacation\"; vacation \"a\"; vacation \"b\";").expect("a script");
    let (from, to) =
        (ReversePath::parse("a@b.c", "").expect("a path"), Mailbox::parse("you@example.com").expect("a mailbox"));
    let subject = Subject { header: b"To: you@example.com\r\n", size: 1, from: &from, to: &to };
    assert_eq!(twice.run(subject), Err(RunError::TwoVacations));
}

#[test]
fn no_machine_no_list_and_no_stranger_is_answered() {
    let to = "To: you@example.com\r\n";
    for (more, from) in [
        ("", ""),
        ("", "MAILER-DAEMON@example.org"),
        ("", "owner-list@example.org"),
        ("", "list-request@example.org"),
        ("", "you@example.com"),
        ("Auto-Submitted: auto-replied\r\n", "a@example.org"),
        ("Auto-Submitted: auto-generated; x=y\r\n", "a@example.org"),
        ("List-Id: <a.example.org>\r\n", "a@example.org"),
        ("Precedence: Bulk\r\n", "a@example.org"),
    ] {
        assert_eq!(vacation("vacation \"x\";", &format!("{more}{to}"), from), [Action::Keep], "{more} {from}");
    }
    assert_eq!(vacation("vacation \"x\";", "To: someone@example.com\r\n", "a@example.org"), [Action::Keep]);
    let person = vacation("vacation \"x\";", &format!("Auto-Submitted: no\r\n{to}"), "a@example.org");
    assert_eq!(person.len(), 2);
}

#[test]
fn answers_are_told_apart_by_whom_and_by_what() {
    let key = |script: &str, from: &str| match vacation(script, "To: you@example.com\r\n", from).as_slice() {
        [Action::Vacation(answer), _] => answer.key(&Mailbox::parse(from).expect("a mailbox")),
        other => panic!("{other:?}"),
    };
    let one = key("vacation \"x\";", "a@example.org");
    assert_eq!(one, key("vacation :days 9 \"x\";", "A@example.org"));
    assert_ne!(one, key("vacation \"y\";", "a@example.org"));
    assert_ne!(one, key("vacation \"x\";", "b@example.org"));
    assert_eq!(
        key("vacation :handle \"h\" \"x\";", "a@example.org"),
        key("vacation :handle \"h\" \"y\";", "a@example.org")
    );
}

#[test]
fn what_goes_too_far_is_refused() {
    assert_eq!(run("require \"reject\"; keep; reject \"no\";"), Err(RunError::RejectAndMore));
    let many: String = (0..5).map(|n| format!("redirect \"a{n}@example.org\";")).collect();
    assert_eq!(run(&many), Err(RunError::TooMany));
    let many: String = (0..33).map(|n| format!("fileinto \"a{n}\";")).collect();
    assert_eq!(run(&format!("require \"fileinto\"; {many}")), Err(RunError::TooMany));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (script, line, what) in [
        ("keep", 1, "a ; is missing"),
        ("\nkeep;\nfoo;", 3, "there is no command \"foo\" here"),
        ("require \"variables\";", 1, "there is no extension \"variables\" here"),
        ("vacation \"a\";", 1, "vacation is used without require"),
        ("require \"vacation\"; vacation :mime \"a\";", 1, "there is no :mime here"),
        ("require \"vacation\"; vacation :days \"a\";", 1, ":days wants a number"),
        ("require \"vacation\"; vacation :from \"a\" \"b\";", 1, "\"a\": the address has no domain"),
        ("fileinto \"a\";", 1, "fileinto is used without require"),
        ("keep; require \"fileinto\";", 1, "require comes before all other commands"),
        ("if true { keep;", 1, "a } is missing"),
        ("keep; }", 1, "there is a } too many"),
        ("if header :regex \"a\" \"b\" { }", 1, "there is no :regex here"),
        ("if header :domain \"a\" \"b\" { }", 1, "header looks at no parts of addresses"),
        ("else { }", 1, "else has no if before it"),
        ("redirect \"nobody\";", 1, "\"nobody\": the address has no domain"),
        ("\"open", 1, "a string does not end"),
        ("/* open", 1, "a comment does not end"),
        ("if size :over 99999999999999999999 { }", 1, "the number is too large"),
        ("if size :over 9999999999999G { }", 1, "the number is too large"),
        ("ä;", 1, "\"ä\" is no word of the language"),
    ] {
        let error = Script::parse(script).expect_err(script);
        assert_eq!((error.line, error.what.as_str()), (line, what), "{script}");
    }
    let deep = format!("{}{}", "if true {".repeat(20), "}".repeat(20));
    assert!(Script::parse(&deep).expect_err("it is too deep").what.contains("too deep"));
    let deep = format!("if {}true {{}}", "not ".repeat(20));
    assert!(Script::parse(&deep).expect_err("it is too deep").what.contains("too deep"));
    assert!(
        Script::parse(&" ".repeat(SCRIPT_MAX + 1)).is_err() && Script::parse(&"; ".repeat(TOKENS_MAX + 1)).is_err()
    );
}

/// A mask as one would write it down; takes for ever where there are many stars.
fn naive(text: &[char], mask: &[char]) -> bool {
    match mask.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skipped| naive(&text[skipped..], rest)),
        Some(('?', rest)) => text.split_first().is_some_and(|(_, text)| naive(text, rest)),
        Some((c, rest)) => text.split_first().is_some_and(|(first, text)| first == c && naive(text, rest)),
    }
}

proptest! {
    #[test]
    fn masks_fit_as_the_naive_twin_says(text in "[ab]{0,8}", mask in "[ab*?]{0,6}") {
        let naive = naive(&text.chars().collect::<Vec<_>>(), &mask.chars().collect::<Vec<_>>());
        prop_assert_eq!(fits(&text, &mask), naive);
    }

    #[test]
    fn any_text_is_a_script_or_an_error(text in "(?s).{0,200}") {
        let _ = Script::parse(&text);
    }

    #[test]
    fn any_words_are_a_script_or_an_error_and_run(words in prop::collection::vec(
        "(if|elsif|else|true|not|anyof|header|address|exists|size|:over|:is|:matches|10|keep|discard|stop|redirect|\"a@b\"|\"from\"|\\[|\\]|\\(|\\)|\\{|\\}|,|;)", 0..30))
    {
        if let Ok(script) = Script::parse(&words.join(" ")) {
            let to = Mailbox::parse("a@b").expect("a mailbox");
            let _ = script.run(Subject { header: HEADER, size: 1, from: &ReversePath::Null, to: &to });
        }
    }
}
