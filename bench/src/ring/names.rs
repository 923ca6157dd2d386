//! Files that are made, renamed and removed: what a spool of a file a message, and a Maildir, must do.

use super::meter::Meter;
use super::{Case, Place};
use crate::uring::{Driver, outcome};
use io_uring::{opcode, types};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Octets of a file.
const OCTETS: usize = 4096;

/// Files in a Maildir at most; then another one is begun. What was removed lately makes new files dear: ext4 without a journal looks
/// at each inode that was removed within the last minutes before it takes another. So nothing is removed while it is measured.
const FILES: usize = 512;

const ANYWHERE: types::Fd = types::Fd(libc::AT_FDCWD);

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![Case::new("names", "remove a synced file of 4 KiB", remove)];
    for depth in [1, 4, 16] {
        let name = format!("delivery to a Maildir, {depth} at a time");
        cases.push(Case::new("names", name, move |place, meter| deliver(place, meter, depth)));
    }
    cases
}

/// A directory with all in it, gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make(place: &Place, name: &str) -> io::Result<Folder> {
        let path = place.directory.join(name);
        fs::create_dir(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it goes with the directory above.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

fn remove(place: &Place, meter: &mut Meter) -> io::Result<()> {
    const AT_A_TIME: usize = 32;
    let folder = Folder::make(place, "removed")?;
    let mut ring = place.ring()?;
    while meter.goes_on() {
        let mut paths = Vec::new();
        for number in 0..AT_A_TIME.min(meter.rounds_expected(1000)) {
            let path = folder.0.join(number.to_string());
            let mut file = File::create(&path)?;
            file.write_all(&[b'x'; OCTETS])?;
            file.sync_all()?;
            paths.push(c_path(&path)?);
        }
        File::open(&folder.0)?.sync_all()?;
        for path in &paths {
            let entry = opcode::UnlinkAt::new(ANYWHERE, path.as_ptr()).build();
            meter.round(1, || {
                // SAFETY: the path stays until the operation has ended, which is waited for.
                unsafe { ring.one(&entry) }.map(|_| 0)
            })?;
        }
    }
    Ok(())
}

/// What a delivery waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opened,
    Written,
    Synced,
    Closed,
    Renamed,
    DirectorySynced,
}

/// One delivery after the other, each by itself.
struct Courier {
    stage: Stage,
    made: CString,
    delivered: CString,
    file: types::Fd,
}

/// All that deliveries share.
struct Maildir {
    tmp: PathBuf,
    new: PathBuf,
    directory: File,
    content: [u8; OCTETS],
}

/// What is made goes with the place's directory.
fn deliver(place: &Place, meter: &mut Meter, depth: usize) -> io::Result<()> {
    let mut ring = place.ring()?;
    let (mut maildirs, mut files, a_round) = (0, 0, depth * 8.min(meter.rounds_expected(1000)));
    let mut maildir = Maildir::make(&place.directory.join(format!("maildir-{depth}-0")))?;
    while meter.goes_on() {
        if files + a_round > FILES {
            (maildirs, files) = (maildirs + 1, 0);
            maildir = Maildir::make(&place.directory.join(format!("maildir-{depth}-{maildirs}")))?;
        }
        let numbers = files..files + a_round;
        meter.round(a_round as u64, || maildir.deliver(&mut ring, numbers, depth))?;
        files += a_round;
    }
    Ok(())
}

impl Maildir {
    fn make(path: &Path) -> io::Result<Maildir> {
        let (tmp, new) = (path.join("tmp"), path.join("new"));
        [path, &tmp, &new].into_iter().try_for_each(fs::create_dir)?;
        Ok(Maildir { directory: File::open(&new)?, tmp, new, content: [b'x'; OCTETS] })
    }

    /// Makes the files of these numbers, `depth` at a time.
    fn deliver(&self, ring: &mut Driver, mut numbers: std::ops::Range<usize>, depth: usize) -> io::Result<u64> {
        let octets = (numbers.len() * OCTETS) as u64;
        let mut couriers = Vec::new();
        for number in numbers.by_ref().take(depth) {
            couriers.push(self.courier(number)?);
            self.next(ring, &couriers[couriers.len() - 1], couriers.len() - 1)?;
        }
        let mut under_way = couriers.len();
        let mut failed = None;
        // Whatever fails, the others are seen to their end: the kernel reads what they point to.
        while under_way > 0 {
            ring.wait(1)?;
            while let Some((whose, result, _)) = ring.taken() {
                let place = whose as usize;
                let ended = match outcome(result) {
                    Ok(result) => !couriers[place].completed(result),
                    Err(error) => {
                        failed = Some(error);
                        true
                    }
                };
                if ended
                    && failed.is_none()
                    && let Some(number) = numbers.next()
                {
                    couriers[place] = self.courier(number)?;
                } else if ended {
                    under_way -= 1;
                    continue;
                }
                self.next(ring, &couriers[place], place)?;
            }
        }
        failed.map_or(Ok(octets), Err)
    }

    fn courier(&self, number: usize) -> io::Result<Courier> {
        let name = number.to_string();
        let (made, delivered) = (c_path(&self.tmp.join(&name))?, c_path(&self.new.join(&name))?);
        Ok(Courier { stage: Stage::Opened, made, delivered, file: types::Fd(-1) })
    }

    /// Submits what a courier then waits for.
    fn next(&self, ring: &mut Driver, courier: &Courier, place: usize) -> io::Result<()> {
        let entry = match courier.stage {
            Stage::Opened => {
                let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
                opcode::OpenAt::new(ANYWHERE, courier.made.as_ptr()).flags(flags).mode(0o600).build()
            }
            Stage::Written => opcode::Write::new(courier.file, self.content.as_ptr(), OCTETS as u32).build(),
            Stage::Synced => opcode::Fsync::new(courier.file).build(),
            Stage::Closed => opcode::Close::new(courier.file).build(),
            Stage::Renamed => {
                opcode::RenameAt::new(ANYWHERE, courier.made.as_ptr(), ANYWHERE, courier.delivered.as_ptr()).build()
            }
            Stage::DirectorySynced => opcode::Fsync::new(types::Fd(self.directory.as_raw_fd())).build(),
        };
        // SAFETY: a courier's strings are on the heap and stay until it has ended; so does the content.
        unsafe { ring.push(&entry.user_data(place as u64)) }
    }
}

impl Courier {
    /// Goes on to the next stage; false after the last.
    fn completed(&mut self, result: u32) -> bool {
        self.stage = match self.stage {
            Stage::Opened => {
                self.file = types::Fd(result as i32);
                Stage::Written
            }
            Stage::Written => Stage::Synced,
            Stage::Synced => Stage::Closed,
            Stage::Closed => Stage::Renamed,
            Stage::Renamed => Stage::DirectorySynced,
            Stage::DirectorySynced => return false,
        };
        true
    }
}
