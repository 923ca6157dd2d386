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
        ("require \"vacation\";", 1, "there is no extension \"vacation\" here"),
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
