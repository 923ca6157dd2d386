//! The real process killed in the middle of changes to its directory, again and again: whatever it acknowledged is there after it,
//! and nothing is there by half.

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use common::process::{Conf, Home, eventually};
use ringpost::control::directory::command::{Answered, Command, read_answer};
use ringpost::control::directory::record::Record;
use ringpost::directory::{Mapping, Source};
use ringpost::mail::Username;

const KILLS: usize = 8;

/// Changes that are acknowledged before each kill, at least: more with each, so that the log of the database is found in many
/// states.
const CHANGES: usize = 12;

/// What a change leaves: a user with its record, or an entry of the rewrite table.
fn change(number: usize) -> (Command, String) {
    match number % 2 {
        0 => {
            let name = Username::parse(&format!("user{number}@localhost")).expect("a name");
            let record = Record::from_words(&["SHA-1/plain".to_owned(), "CEo1Ae3vaEXy8eQZjsOiuBz1xrw=".to_owned()]);
            (Command::AddUser(name.clone(), record), name.to_string())
        }
        _ => {
            let source = Source::parse(&format!("alias{number}@localhost")).expect("a source");
            let mapping = Mapping::parse("alias:you@localhost").expect("a mapping");
            (Command::AddMapping(source.clone(), mapping), source.to_string())
        }
    }
}

/// Makes one change after the other until the server is gone; how many were acknowledged is in `acknowledged`. Gives back the names
/// of these, and the number of the next change.
fn make_changes(socket: PathBuf, first: usize, acknowledged: Arc<AtomicUsize>) -> JoinHandle<(Vec<String>, usize)> {
    std::thread::spawn(move || {
        let mut server = BufReader::new(UnixStream::connect(socket).expect("the server runs"));
        let mut names = Vec::new();
        for number in first.. {
            let (command, name) = change(number);
            let mut line = String::new();
            let asked = server.get_mut().write_all(command.line().as_bytes());
            if asked.and_then(|()| server.read_line(&mut line)).unwrap_or(0) == 0 {
                return (names, number + 1);
            }
            assert_eq!(read_answer(&line), Some(Answered::End(Ok(()))), "{name}");
            names.push(name);
            acknowledged.store(names.len(), Ordering::Release);
        }
        unreachable!("there is always another number")
    })
}

/// The names in a list.
fn names(home: &Home, what: &str, column: &str) -> BTreeSet<String> {
    let list: serde_json::Value = serde_json::from_str(&home.run(&[what, "list", "--json"])).expect("JSON");
    let name = |row: &serde_json::Value| row[column].as_str().expect("text").to_owned();
    list.as_array().expect("an array").iter().map(name).collect()
}

/// What SQLite finds wrong with its file.
fn integrity(file: &Path) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
        let pool = sqlx::SqlitePool::connect_with(options).await.expect("it opens");
        let row = sqlx::query_scalar::<_, String>("PRAGMA integrity_check").fetch_one(&pool).await.expect("it is read");
        pool.close().await;
        row
    })
}

#[test]
fn nothing_acknowledged_is_lost_by_kills() {
    let home = Home::new(&Conf::new().users(&["you"]));
    let file = home.path().join("var/directory.sqlite");
    let (mut acknowledged, mut next) = (Vec::new(), 0);
    for kill in 0..KILLS {
        let process = home.start();
        let count = Arc::new(AtomicUsize::new(0));
        let changes = make_changes(home.path().join("var/control"), next, count.clone());
        let wanted = CHANGES + 7 * kill;
        eventually(|| (count.load(Ordering::Acquire) >= wanted || changes.is_finished()).then_some(()))
            .unwrap_or_else(|| panic!("{} of {wanted} changes were acknowledged", count.load(Ordering::Acquire)));
        process.kill();
        let (names_now, next_now) = changes.join().expect("every answer was right");
        assert!(names_now.len() >= wanted, "the server ended by itself");
        acknowledged.extend(names_now);
        next = next_now;

        // Looked at by a server after one kill, and without one after the other.
        let process = (kill % 2 == 0).then(|| home.start());
        let found = &names(&home, "user", "name") | &names(&home, "alias", "source");
        let missing: Vec<_> = acknowledged.iter().filter(|name| !found.contains(*name)).collect();
        assert!(missing.is_empty(), "after kill {kill}: {missing:?} were acknowledged");
        // Beside them the two users of the start, and what was under way at each kill.
        let unasked = found.len() - acknowledged.len();
        assert!(unasked <= 2 + kill + 1, "{unasked} are there that nobody was told of");
        process.into_iter().for_each(|process| drop(process.stop()));
        assert_eq!(integrity(&file), "ok");
    }
    println!("{} changes were acknowledged over {KILLS} kills, and all are there", acknowledged.len());
}
