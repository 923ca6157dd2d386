//! `regress` against the real ringpost, and the patch with which it is put to the test.

mod common;

use common::{loadtest, ringpost_program, text};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_build_is_compared_with_itself_and_all_figures_are_told() {
    let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let json = work.path().join("json");
    let program = ringpost_program();
    let program = program.to_str().unwrap();
    let few = ["--rounds", "2", "--messages", "100", "--warm-up", "20", "--sessions", "4"];
    let places = ["--work", work.path().to_str().unwrap(), "--json", json.to_str().unwrap()];
    let output = loadtest(&[&["regress", program, program], &few[..], &places[..]].concat());
    let said = text(&output);
    assert!(said.contains("with 95 % confidence") && said.contains("fewer than 6 rounds"), "{said}");
    let figures: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let rounds = figures["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    assert!(rounds.iter().all(|round| round["a_us"].as_f64().unwrap() > 0.0 && round["b_us"].as_f64().unwrap() > 0.0));
    // So few rounds decide nothing for sure; the status says what the verdict says.
    let expected = match figures["verdict"].as_str().unwrap() {
        "SLOWER" => 1,
        "UNDECIDED" => 2,
        _ => 0,
    };
    assert_eq!(output.status.code(), Some(expected), "{said}");
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 1, "only the figures are left");
}

#[test]
fn what_is_no_ringpost_is_told_and_nothing_is_left_running() {
    let work = tempfile::tempdir().unwrap();
    let folder = work.path().to_str().unwrap();
    let output = loadtest(&["regress", "/bin/true", "/nonexistent", "--work", folder]);
    assert!(!output.status.success() && text(&output).contains("/nonexistent"), "{}", text(&output));
    let output = loadtest(&["regress", "/bin/true", "/bin/true", "--work", folder]);
    assert!(!output.status.success() && text(&output).contains("ended at its start"), "{}", text(&output));
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0);
}

#[test]
fn the_patch_that_slows_ringpost_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output =
        Command::new("git").args(["apply", "--check", "loadtest/slower.patch"]).current_dir(root).output().unwrap();
    assert!(output.status.success(), "make loadtest/slower.patch anew: {}", text(&output));
}
