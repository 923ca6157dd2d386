//! ringpost with its allocations and its copies counted: `ringpost-counted --conf DIR`. `bench count` starts it.
//!
//! Copies are counted where they are done: this program has its own `memcpy` and `memmove`, through which all of its code copies
//! what is of no fixed size. So nothing in ringpost has to say where it copies, and nothing that copies can be forgotten.

use bench::allocations::Counting;
use bench::tally::{self, Tally};
use ringpost::config::{Configuration, Reading};
use std::ffi::{CStr, c_void};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicPtr, Ordering};

#[global_allocator]
static COUNTER: Counting = Counting::new();

type Copy = unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> *mut c_void;

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
    fn get(&self) -> Copy {
        let mut found = self.found.load(Ordering::Relaxed);
        if found.is_null() {
            // SAFETY: the name is a string that ends with zero.
            found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            if found.is_null() {
                std::process::abort();
            }
            self.found.store(found, Ordering::Relaxed);
        }
        // SAFETY: the system's function of that name has this type.
        unsafe { std::mem::transmute::<*mut c_void, Copy>(found) }
    }
}

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
    unsafe { MEMCPY.get()(to, from, octets) }
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
    unsafe { MEMMOVE.get()(to, from, octets) }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringpost-counted: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [option, conf, ..] = &words[..] else { return Err("usage: ringpost-counted --conf DIR".into()) };
    if option != "--conf" {
        return Err(format!("{option} is not known; usage: ringpost-counted --conf DIR"));
    }
    if let Some(path) = std::env::var_os(tally::VARIABLE) {
        COUNTER.count_in(
            Tally::shared(Path::new(&path)).map_err(|error| format!("{}: {error}", Path::new(&path).display()))?,
        );
    }
    check_counting()?;
    let Reading { configuration, problems, .. } = Configuration::read(Path::new(conf));
    let configuration = configuration.ok_or_else(|| format!("the configuration has errors: {problems:?}"))?;
    ringpost::mta::serve::serve(&configuration, |announcement| println!("{announcement}"))
        .map_err(|error| error.to_string())
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
