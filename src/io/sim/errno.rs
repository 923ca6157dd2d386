//! The error numbers of Linux that disks and networks answer with.

/// No such file or directory.
pub const ENOENT: i32 = 2;
/// Input or output error: the device failed.
pub const EIO: i32 = 5;
/// The file is not open for this.
pub const EBADF: i32 = 9;
/// Permission denied.
pub const EACCES: i32 = 13;
/// The name exists.
pub const EEXIST: i32 = 17;
/// Not a directory.
pub const ENOTDIR: i32 = 20;
/// Is a directory.
pub const EISDIR: i32 = 21;
/// Invalid argument.
pub const EINVAL: i32 = 22;
/// Too many open files in this process.
pub const EMFILE: i32 = 24;
/// The file would be too large.
pub const EFBIG: i32 = 27;
/// No space left on the device.
pub const ENOSPC: i32 = 28;
/// Read-only file system.
pub const EROFS: i32 = 30;
