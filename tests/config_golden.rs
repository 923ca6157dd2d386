//! Broken configurations, and what is told of them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::golden::assert_golden;
use common::reading::{put, read, sources, told};

/// Every broken file and what is told of it, word by word. With RINGPOST_BLESS=1 the texts are written anew.
#[test]
fn broken_files_are_told_as_their_golden_text_says() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config");
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "xml" || extension == "properties"));
    assert!(files.len() >= 50);
    for path in files {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("the names are ASCII");
        let kind = stem.split('-').next().expect("a split has a first part");
        let mut sources = sources();
        put(&mut sources, kind, &fs::read(&path).expect("readable"));
        let text = told(&read(&sources).1);
        assert_ne!(text, "", "{stem} is not broken");
        assert_golden(&path.with_extension("txt"), &text);
    }
}

#[test]
fn a_repository_with_a_protocol_that_no_store_has_is_told() {
    let mut sources = sources();
    let store = "<mailrepositorystore><mailrepositories><mailrepository class='x'><protocols><protocol>cassandra</protocol></protocols>
        </mailrepository></mailrepositories></mailrepositorystore>";
    let container = "<mailetcontainer><spooler><errorRepository>cassandra://var/mail/error/</errorRepository></spooler><processors>
        <processor state='root'><mailet match='All' class='ToRepository'><repositoryPath>cassandar://x/</repositoryPath></mailet></processor>
        <processor state='error'><mailet match='All' class='ToRepository'><repositoryPath>file://y/</repositoryPath></mailet></processor>
        </processors></mailetcontainer>";
    put(&mut sources, "mailrepositorystore", store.as_bytes());
    put(&mut sources, "mailetcontainer", container.as_bytes());
    let text = told(&read(&sources).1);
    assert!(text.contains("repositoryPath begins with cassandar, which no <mailrepository>"), "{text}");
    assert!(text.contains("did you mean cassandra://?") && text.contains("begins with file, which"), "{text}");
    assert!(!text.contains("errorRepository begins with"), "{text}");
}
