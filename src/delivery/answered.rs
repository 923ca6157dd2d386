//! Who was answered on whose behalf (RFC 5230 §4.2): a small file in the user's Maildir for each answer that counts still.
//!
//! The file's name has 16 bits of the answer's key, so a user has 65,536 of them at most, whoever writes. Two senders that meet in
//! one share it: the second is not answered while the first would not be, which is the lesser evil. Of two mails of one sender that
//! come at the same moment a core answers one; two cores know nothing of each other, and may then both answer.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::maildir::Maildirs;
use crate::io::{Aligned, Disk, File, Machine, Open};
use crate::mail::Mailbox;

/// The directory of these files in a Maildir.
const DIRECTORY: &str = "vacation";

/// Octets of such a file that are read: a time in microseconds since the Unix epoch.
const OCTETS: usize = 32;

impl<M: Machine> Maildirs<M> {
    /// Claims an answer for this user: true once in `time`, and then durable before it is answered, so that a crash costs an answer
    /// and never makes two.
    pub async fn claim_answer(&self, user: &Mailbox, key: &[u8; 32], time: Duration) -> io::Result<bool> {
        let (disk, now) = (self.machine().disk(), self.machine().wall_clock());
        let directory = self.path(user).join(DIRECTORY);
        let path = directory.join(format!("{:02x}{:02x}", key[0], key[1]));
        // Two mails of one sender at a time are answered once.
        let Some(_claim) = Claim::begin(self.answering(), &path) else { return Ok(false) };
        match disk.open(&path, Open::Read).await {
            Ok(file) => {
                let (read, buffer) = file.read_at(Aligned::zeroed(OCTETS), OCTETS, 0).await;
                let text = String::from_utf8_lossy(&buffer[..read?]).trim().parse::<u64>();
                // A clock that was far ahead when this was written must not silence a user for ever.
                if text.is_ok_and(|until| until > now && until - now <= time.as_micros() as u64 * 2) {
                    return Ok(false);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.make(user).await?;
        match disk.create_directory(&directory).await {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => disk.sync_directory(&self.path(user)).await?,
        }
        let text = format!("{}\n", now + time.as_micros() as u64);
        let mut buffer = Aligned::zeroed(OCTETS);
        buffer[..text.len()].copy_from_slice(text.as_bytes());
        let unfinished = path.with_extension("new");
        let file = disk.open(&unfinished, Open::Create).await?;
        file.write_at(buffer, 0..text.len(), 0).await.0?;
        file.sync().await?;
        match disk.rename(&unfinished, &path).await {
            // Another core was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            renamed => renamed?,
        }
        disk.sync_directory(&directory).await?;
        Ok(true)
    }
}

/// Answers that this core is claiming.
pub(super) type Answering = Rc<RefCell<HashSet<PathBuf>>>;

/// One of them, until it is dropped.
struct Claim<'a>(&'a Answering, &'a Path);

impl<'a> Claim<'a> {
    fn begin(all: &'a Answering, path: &'a Path) -> Option<Claim<'a>> {
        let is_new = all.borrow_mut().insert(path.to_owned());
        is_new.then(|| Claim(all, path))
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().remove(self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::{Edge, World};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn key(number: u8) -> [u8; 32] {
        [number; 32]
    }

    fn user() -> Mailbox {
        Mailbox::parse("you@localhost").expect("a mailbox")
    }

    fn world(seed: u64) -> World {
        let world = World::new(seed);
        world.disk().make_directory("/mail").expect("the disk is empty");
        world
    }

    #[test]
    fn a_sender_is_answered_once_in_a_while() {
        let world = world(1);
        let maildirs = Maildirs::new(world.machine(), "/mail".as_ref(), "host");
        let claim = async |key, days| maildirs.claim_answer(&user(), &key, DAY * days).await.expect("there is room");
        world.block_on(async {
            assert!(claim(key(1), 7).await);
            assert!(!claim(key(1), 7).await);
            assert!(claim(key(2), 7).await, "another sender");
        });
        world.run(DAY * 6);
        world.block_on(async { assert!(!claim(key(1), 7).await) });
        world.run(DAY + Duration::from_secs(1));
        world.block_on(async { assert!(claim(key(1), 7).await && !claim(key(1), 7).await) });
    }

    #[test]
    fn of_two_mails_at_a_time_one_is_answered() {
        let world = world(1);
        let maildirs = Maildirs::new(world.machine(), "/mail".as_ref(), "host");
        let (user, key) = (user(), key(1));
        let both =
            futures_lite::future::zip(maildirs.claim_answer(&user, &key, DAY), maildirs.claim_answer(&user, &key, DAY));
        let (one, other) = world.block_on(both).expect("nothing stops it");
        assert!(one.expect("there is room") && !other.expect("there is room"));
    }

    #[test]
    fn a_clock_that_was_wrong_silences_nobody_for_ever() {
        let world = world(1);
        let maildirs = Maildirs::new(world.machine(), "/mail".as_ref(), "host");
        world.set_wall_clock(4_000_000_000_000_000);
        world.block_on(async { assert!(maildirs.claim_answer(&user(), &key(1), DAY).await.expect("there is room")) });
        world.set_wall_clock(1_795_000_000_000_000);
        world.block_on(async { assert!(maildirs.claim_answer(&user(), &key(1), DAY).await.expect("there is room")) });
    }

    #[test]
    fn no_crash_makes_two_answers() {
        for at in 1..40 {
            for edge in [Edge::Before, Edge::After] {
                let world = world(at);
                let mut claimed = 0;
                world.faults().crash_at(at, edge);
                for _ in 0..3 {
                    let maildirs = Maildirs::new(world.machine(), "/mail".as_ref(), "host");
                    let (user, key) = (user(), key(1));
                    let claim = world.block_on(maildirs.claim_answer(&user, &key, DAY));
                    claimed += u32::from(matches!(claim, Some(Ok(true))));
                    world.crash();
                    world.restart();
                }
                assert!(claimed <= 1, "at {at} {edge:?}");
            }
        }
    }
}
