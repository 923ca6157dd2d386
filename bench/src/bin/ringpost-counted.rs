//! `ringpost` with its allocations and its copies counted, in all else the same program. `bench count` starts it.
//!
//! Copies are counted where they are done: this program has its own `memcpy` and `memmove`, through which all of its code copies
//! what is of no fixed size. So nothing in ringpost has to say where it copies, and nothing that copies can be forgotten.

// What stands in the program's own folder, not in its library.
#[path = "../../../src/cli/mod.rs"]
mod cli;

use bench::allocations::Counting;
use bench::tally::{self, Tally};
use std::ffi::{CStr, c_long, c_void};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

#[global_allocator]
static COUNTER: Counting = Counting::new();

type Copy = unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> *mut c_void;
type Call = unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;

/// Rings are waited for by poll(2).
static POLLING: AtomicBool = AtomicBool::new(false);

/// A function of the system's library that has the same name as one here, once it was looked up.
struct Original {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Original {
    const fn named(name: &'static CStr) -> Original {
        Original { name, found: AtomicPtr::new(std::ptr::null_mut()) }
    }

    #[inline]
    fn get(&self) -> *mut c_void {
        let mut found = self.found.load(Ordering::Relaxed);
        if found.is_null() {
            // SAFETY: the name is a string that ends with zero.
            found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            if found.is_null() {
                std::process::abort();
            }
            self.found.store(found, Ordering::Relaxed);
        }
        found
    }

    #[inline]
    fn as_copy(&self) -> Copy {
        // SAFETY: the system's memcpy and memmove have this type, and nothing else is asked for in this way.
        unsafe { std::mem::transmute::<*mut c_void, Copy>(self.get()) }
    }
}

static SYSCALL: Original = Original::named(c"syscall");
static MEMCPY: Original = Original::named(c"memcpy");
static MEMMOVE: Original = Original::named(c"memmove");

/// Counts and copies.
///
/// # Safety
///
/// As for the system's function of this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, octets: usize) -> *mut c_void {
    COUNTER.tally().copied(octets);
    // SAFETY: the caller keeps to the function's contract.
    unsafe { MEMCPY.as_copy()(to, from, octets) }
}

/// Counts and copies.
///
/// # Safety
///
/// As for the system's function of this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut c_void, from: *const c_void, octets: usize) -> *mut c_void {
    COUNTER.tally().copied(octets);
    // SAFETY: the caller keeps to the function's contract.
    unsafe { MEMMOVE.as_copy()(to, from, octets) }
}

/// Calls the kernel. Where rings are waited for by poll(2), a call that would wait inside of io_uring_enter is parted: valgrind
/// lets no other thread run while one is in there.
///
/// # Safety
///
/// As for the system's function of this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    // SAFETY: the system's function takes up to six arguments, all of them of the size of this type, and ignores what a call has
    // no use for.
    let call = unsafe { std::mem::transmute::<*mut c_void, Call>(SYSCALL.get()) };
    let waits = number == libc::SYS_io_uring_enter && third > 0 && POLLING.load(Ordering::Relaxed);
    if !waits {
        // SAFETY: the caller keeps to the function's contract.
        return unsafe { call(number, first, second, third, fourth, fifth, sixth) };
    }
    // SAFETY: as above, without waiting.
    let submitted = unsafe { call(number, first, second, 0, fourth, fifth, sixth) };
    if submitted < 0 {
        return submitted;
    }
    let mut ring = libc::pollfd { fd: first as i32, events: libc::POLLIN, revents: 0 };
    let at_most = if fourth & EXTENDED == 0 { std::ptr::null() } else { longest_wait(fifth as *const WaitArguments) };
    // SAFETY: there is one structure, and it is ours; the time is the caller's, and stays as long as the call.
    let ready = unsafe { libc::ppoll(&mut ring, 1, at_most, std::ptr::null()) };
    // An interruption, or that the time is over, is what the call itself would have told.
    match ready {
        _ if submitted > 0 => submitted,
        0 => {
            // SAFETY: the number of the error is the thread's own.
            unsafe { *libc::__errno_location() = libc::ETIME };
            -1
        }
        1.. => submitted,
        _ => -1,
    }
}

/// The flag that says that the fifth argument of io_uring_enter points to [`WaitArguments`].
const EXTENDED: c_long = 1 << 3;

/// As the kernel has them (struct io_uring_getevents_arg).
#[repr(C)]
struct WaitArguments {
    signals: u64,
    signals_octets: u32,
    least: u32,
    time: u64,
}

fn longest_wait(arguments: *const WaitArguments) -> *const libc::timespec {
    // SAFETY: where the flag is set, the kernel reads the same from there.
    unsafe { (*arguments).time as *const libc::timespec }
}

fn main() -> ExitCode {
    match count() {
        Ok(()) => cli::run(),
        Err(error) => {
            eprintln!("ringpost-counted: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Counts where it was told to.
fn count() -> Result<(), String> {
    if let Some(path) = std::env::var_os(tally::VARIABLE) {
        let tally = Tally::shared(Path::new(&path));
        COUNTER.count_in(tally.map_err(|error| format!("{}: {error}", Path::new(&path).display()))?);
    }
    POLLING.store(std::env::var_os(tally::POLLING).is_some(), Ordering::Relaxed);
    check_counting()
}

/// Where the linker chose the system's functions, nothing would be counted, and that must not look like no copies.
fn check_counting() -> Result<(), String> {
    let before = COUNTER.tally().read();
    let from = std::hint::black_box(vec![1u8; 4 * tally::LARGE]);
    let mut to = vec![0u8; std::hint::black_box(2 * tally::LARGE)];
    to.copy_from_slice(&from[..2 * tally::LARGE]);
    std::hint::black_box(&to);
    let counted = COUNTER.tally().read().since(before);
    match counted.copies >= 1 && counted.blocks >= 2 {
        true => Ok(()),
        false => Err(format!("copies and allocations are not counted in this build: {counted:?}")),
    }
}
