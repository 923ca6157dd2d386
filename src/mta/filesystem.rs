//! What the spool's file system is, how it is written to, and whether it keeps what it has synced.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A file system, as far as the spool is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its name, with what is special about its mount.
    pub name: String,
    /// Direct writes work there.
    pub direct: bool,
    /// What is synced there is lost when the machine stops.
    pub forgetful: bool,
}

/// Magic numbers that libc has no name for.
const RAMFS: u64 = 0x8584_58F6;
const ZFS: u64 = 0x2FC1_2FC1;
const F2FS: u64 = 0xF2F5_2010;

impl FileSystem {
    /// Of a directory that has a file named `lock`.
    pub fn of(directory: &Path) -> io::Result<FileSystem> {
        let path = CString::new(directory.as_os_str().as_bytes()).map_err(io::Error::other)?;
        let mut figures = std::mem::MaybeUninit::<libc::statfs>::uninit();
        // SAFETY: the path ends with a zero and the kernel fills the structure in.
        let magic = unsafe {
            if libc::statfs(path.as_ptr(), figures.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            figures.assume_init().f_type as u64
        };
        let device = std::fs::metadata(directory)?.dev();
        let device = format!("{}:{}", libc::major(device), libc::minor(device));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let direct = File::options().read(true).custom_flags(libc::O_DIRECT).open(directory.join("lock")).is_ok();
        Ok(FileSystem::judge(magic, &options(&mounts, &device), direct))
    }

    /// By its magic number and the options that it is mounted with.
    fn judge(magic: u64, options: &[&str], direct: bool) -> FileSystem {
        let (name, in_memory) = match magic {
            magic if magic == libc::EXT4_SUPER_MAGIC as u64 => ("ext4", false),
            magic if magic == libc::XFS_SUPER_MAGIC as u64 => ("xfs", false),
            magic if magic == libc::BTRFS_SUPER_MAGIC as u64 => ("btrfs", false),
            magic if magic == libc::OVERLAYFS_SUPER_MAGIC as u64 => ("overlay", false),
            magic if magic == libc::NFS_SUPER_MAGIC as u64 => ("nfs", false),
            magic if magic == libc::FUSE_SUPER_MAGIC as u64 => ("fuse", false),
            magic if magic == libc::TMPFS_MAGIC as u64 => ("tmpfs", true),
            RAMFS => ("ramfs", true),
            ZFS => ("zfs", false),
            F2FS => ("f2fs", false),
            other => return FileSystem { name: format!("file system {other:#x}"), direct, forgetful: false },
        };
        // Overlay's `volatile`, which newer kernels show as a kind of `fsync`, leaves syncs out; without barriers they do not reach
        // the medium.
        const WITHOUT: [&str; 4] = ["volatile", "fsync=volatile", "nobarrier", "barrier=0"];
        let without = options.iter().find(|option| WITHOUT.contains(option));
        let name = without.map_or_else(|| name.to_owned(), |option| format!("{name} mounted with {option}"));
        FileSystem { name, direct, forgetful: in_memory || without.is_some() }
    }

    /// For people: what it is, and how the spool is written there.
    pub fn describe(&self) -> String {
        let how = if self.direct { "direct writes" } else { "writes through the page cache, then fdatasync" };
        let copies = if self.name.starts_with("btrfs") || self.name.starts_with("zfs") {
            "; it copies on write, so segments that are used again are no faster there"
        } else {
            ""
        };
        let forgets = if self.forgetful { "; what it holds is gone when the machine stops" } else { "" };
        format!("{}, {how}{copies}{forgets}", self.name)
    }
}

/// The options of the file system with this device number (`major:minor`), of the mount and of the file system itself
/// (proc_pid_mountinfo(5)).
fn options<'a>(mounts: &'a str, device: &str) -> Vec<&'a str> {
    let Some(mount) = mounts.lines().find(|line| line.split(' ').nth(2) == Some(device)) else { return Vec::new() };
    let of_mount = mount.split(' ').nth(5).unwrap_or_default();
    let of_file_system = mount.rsplit_once(' ').map_or("", |(_, options)| options);
    of_mount.split(',').chain(of_file_system.split(',')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,nobarrier
31 22 0:27 / /merged rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w,volatile
32 22 0:29 / /newer rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w,uuid=on,fsync=volatile
33 22 8:1 / /data rw,noatime - xfs /dev/sda1 rw,attr2,inode64
";

    #[test]
    fn what_forgets_is_told_from_what_keeps() {
        let judge = |magic: i64, device: &str| FileSystem::judge(magic as u64, &options(MOUNTS, device), true);
        let forgetful = |magic, device| judge(magic, device).forgetful;
        assert!(forgetful(libc::TMPFS_MAGIC, "0:99"));
        assert!(forgetful(RAMFS as i64, "0:99"));
        assert!(forgetful(libc::OVERLAYFS_SUPER_MAGIC, "0:27"));
        assert!(forgetful(libc::OVERLAYFS_SUPER_MAGIC, "0:29"));
        assert!(!forgetful(libc::OVERLAYFS_SUPER_MAGIC, "0:28"));
        assert!(forgetful(libc::EXT4_SUPER_MAGIC, "254:0"));
        for magic in [libc::EXT4_SUPER_MAGIC, libc::XFS_SUPER_MAGIC, libc::BTRFS_SUPER_MAGIC, 0x1234] {
            assert!(!forgetful(magic, "8:1"));
        }
        assert_eq!(judge(libc::XFS_SUPER_MAGIC, "8:1").describe(), "xfs, direct writes");
        assert_eq!(
            judge(libc::EXT4_SUPER_MAGIC, "254:0").describe(),
            "ext4 mounted with nobarrier, direct writes; what it holds is gone when the machine stops"
        );
        assert_eq!(judge(0x1234, "8:1").name, "file system 0x1234");
    }
}
