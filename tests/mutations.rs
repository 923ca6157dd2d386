//! The patches of tests/mutations still apply, each to the code that it is to break: `tests/mutations/run` shows that the tests
//! notice every one.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The lines that a patch wants to find in a file, hunk by hunk.
fn wanted(patch: &str) -> HashMap<String, Vec<Vec<&str>>> {
    let mut files: HashMap<String, Vec<Vec<&str>>> = HashMap::new();
    let mut file = String::new();
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("--- a/") {
            file = path.to_owned();
        } else if line.starts_with("@@ ") {
            files.entry(file.clone()).or_default().push(Vec::new());
        } else if let Some(hunk) = files.get_mut(&file).and_then(|hunks| hunks.last_mut()) {
            match line.split_at_checked(1) {
                Some((" " | "-", text)) if !line.starts_with("--- ") => hunk.push(text),
                _ => {}
            }
        }
    }
    files
}

#[test]
fn every_mutation_applies_and_names_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patches = fs::read_dir(root.join("tests/mutations")).expect("the patches").flatten().map(|entry| entry.path());
    let patches: Vec<_> =
        patches.filter(|path| path.extension().is_some_and(|extension| extension == "patch")).collect();
    assert!(patches.len() >= 10, "{}", patches.len());
    for path in patches {
        let patch = fs::read_to_string(&path).expect("it is there");
        assert!(patch.lines().any(|line| line.starts_with("test: --")), "{} names no test", path.display());
        let files = wanted(&patch);
        assert!(!files.is_empty(), "{} changes nothing", path.display());
        for (file, hunks) in files {
            let text = fs::read_to_string(root.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let lines: Vec<_> = text.lines().collect();
            for hunk in hunks {
                let found = lines.windows(hunk.len()).any(|window| window == hunk.as_slice());
                assert!(found, "{} does not apply to {file} any more:\n{}", path.display(), hunk.join("\n"));
            }
        }
    }
}
