//! Records written and synced, in every way that a spool might: that many of 4 KiB in one write, then on stable storage.

use super::meter::Meter;
use super::{Case, Place};
use io_uring::{opcode, types};
use ringpost::io::Aligned;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

/// Octets of a record.
const RECORD: usize = 4096;

/// Octets of the file that is written to; then it is begun anew.
const FILE: usize = 64 << 20;

/// Records of a batch.
const BATCHES: [usize; 6] = [1, 4, 16, 64, 256, 1024];

/// What the blocks were before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Not there: the file grows.
    Growing,
    /// There by fallocate(2), never written.
    Fallocated,
    /// There, and written before.
    Written,
}

/// How a write becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    /// By an fdatasync that is submitted once the write has ended.
    After,
    /// By an fdatasync that is linked to the write: one submission.
    Linked,
    /// By itself: O_DSYNC, as RWF_DSYNC of this one write.
    Itself,
}

#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    direct: bool,
    before: Before,
    sync: Sync,
}

const WAYS: [Way; 8] = [
    Way { name: "buffered, growing", direct: false, before: Before::Growing, sync: Sync::After },
    Way { name: "buffered, overwriting", direct: false, before: Before::Written, sync: Sync::After },
    Way { name: "O_DIRECT, growing", direct: true, before: Before::Growing, sync: Sync::After },
    Way { name: "O_DIRECT, fallocated", direct: true, before: Before::Fallocated, sync: Sync::After },
    Way { name: "O_DIRECT, overwriting", direct: true, before: Before::Written, sync: Sync::After },
    Way { name: "O_DIRECT, overwriting, linked sync", direct: true, before: Before::Written, sync: Sync::Linked },
    Way { name: "O_DIRECT, overwriting, O_DSYNC", direct: true, before: Before::Written, sync: Sync::Itself },
    Way { name: "buffered, overwriting, linked sync", direct: false, before: Before::Written, sync: Sync::Linked },
];

pub(super) fn cases() -> Vec<Case> {
    let all = WAYS.iter().flat_map(|way| BATCHES.iter().map(move |records| (*way, *records)));
    let case = |(way, records): (Way, usize)| {
        let name = format!("{} × {}", way.name, crate::figures::whole(records as f64));
        Case::new("disk", name, move |place, meter| write(place, meter, way, records))
    };
    all.map(case).collect()
}

/// The file, and its name until it is dropped.
struct Scratch {
    path: PathBuf,
    file: File,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of it goes with the directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn prepare(place: &Place, way: Way, octets: usize) -> io::Result<Scratch> {
    let path = place.directory.join("records");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    if way.direct {
        options.custom_flags(libc::O_DIRECT);
    }
    let scratch = Scratch { file: options.open(&path)?, path };
    begin_anew(&scratch.file, way.before, octets)?;
    if way.before == Before::Written {
        let zeros = Aligned::zeroed(1 << 20);
        for start in (0..octets).step_by(zeros.len()) {
            scratch.file.write_all_at(&zeros[..zeros.len().min(octets - start)], start as u64)?;
        }
    }
    scratch.file.sync_all()?;
    File::open(&place.directory)?.sync_all()?;
    Ok(scratch)
}

/// Makes what is written next be what it was at first.
fn begin_anew(file: &File, before: Before, octets: usize) -> io::Result<()> {
    if before == Before::Written {
        return Ok(());
    }
    file.set_len(0)?;
    if before == Before::Fallocated {
        // SAFETY: the descriptor is open.
        let status = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, octets as libc::off_t) };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    file.sync_all()
}

fn write(place: &Place, meter: &mut Meter, way: Way, records: usize) -> io::Result<()> {
    let length = records * RECORD;
    // A short run needs no large file.
    let octets = (meter.rounds_expected(100_000).saturating_mul(length)).clamp(length, FILE);
    let scratch = prepare(place, way, octets)?;
    let fd = types::Fd(scratch.file.as_raw_fd());
    let mut buffer = Aligned::zeroed(length);
    buffer.fill(b'x');
    let mut ring = place.ring()?;
    let mut offset = 0;
    while meter.goes_on() {
        if offset + length > octets {
            begin_anew(&scratch.file, way.before, octets)?;
            offset = 0;
        }
        meter.round(1, || {
            let write = opcode::Write::new(fd, buffer.as_ptr(), length as u32).offset(offset as u64);
            let write = if way.sync == Sync::Itself { write.rw_flags(libc::RWF_DSYNC) } else { write }.build();
            let sync = opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build();
            // SAFETY: the buffer stays until the operations have ended, which is waited for; the sync points to nothing.
            let written = unsafe {
                match way.sync {
                    Sync::Linked => ring.linked(write, sync).map(|_| length)?,
                    Sync::Itself => ring.one(&write)? as usize,
                    Sync::After => {
                        let written = ring.one(&write)? as usize;
                        ring.one(&sync)?;
                        written
                    }
                }
            };
            if written == length { Ok(length as u64) } else { Err(io::ErrorKind::StorageFull.into()) }
        })?;
        offset += length;
    }
    Ok(())
}
