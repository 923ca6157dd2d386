//! Passwords that somebody types or pipes; never words of a command line, which everybody on the machine can read.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

use ringpost::mail::Password;
use ringpost::mail::user::PASSWORD_OCTETS;

use super::directory::Failure;

/// Asks at the terminal, twice, or reads one line where standard input is none.
pub fn read(user: &str) -> Result<Password, Failure> {
    let stdin = io::stdin();
    let said = match stdin.is_terminal() {
        true => typed_twice(user).map_err(|error| Failure::usage(format!("no password was read: {error}")))?,
        false => piped(stdin.lock()).map_err(|error| Failure::usage(format!("no password was read: {error}")))?,
    };
    let bounds = format!("a password has 1 to {PASSWORD_OCTETS} octets");
    Password::new(said).ok_or_else(|| Failure::usage(bounds))
}

/// The first line, without its end.
fn piped(input: impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.take(PASSWORD_OCTETS as u64 + 3).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn typed_twice(user: &str) -> io::Result<String> {
    let first = typed(&format!("Password for {user}: "))?;
    match typed("Once more: ")? == first {
        true => Ok(first),
        false => Err(io::Error::other("the two are not the same")),
    }
}

/// A line from the terminal, which does not show it.
fn typed(prompt: &str) -> io::Result<String> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    terminal.write_all(prompt.as_bytes())?;
    let hidden = Hidden::new(terminal.as_raw_fd())?;
    let line = piped(io::BufReader::new(terminal.try_clone()?));
    drop(hidden);
    terminal.write_all(b"\n")?;
    line
}

/// A terminal that does not echo, until this is dropped.
struct Hidden {
    terminal: i32,
    before: libc::termios,
}

impl Hidden {
    fn new(terminal: i32) -> io::Result<Hidden> {
        let mut before = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: the structure has room for what tcgetattr writes.
        if unsafe { libc::tcgetattr(terminal, before.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: tcgetattr has succeeded, so it has been written.
        let before = unsafe { before.assume_init() };
        let mut silent = before;
        silent.c_lflag &= !libc::ECHO;
        // SAFETY: the structure lives through the call.
        if unsafe { libc::tcsetattr(terminal, libc::TCSAFLUSH, &silent) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Hidden { terminal, before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // SAFETY: the structure is what tcgetattr gave, and lives through the call.
        unsafe { libc::tcsetattr(self.terminal, libc::TCSAFLUSH, &self.before) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_read() {
        let piped = |text: &str| piped(text.as_bytes()).expect("it is text");
        assert_eq!(piped("open sesame\r\nmore\n"), "open sesame");
        assert_eq!(piped("sesame"), "sesame");
        assert_eq!(piped(" sesame \n"), " sesame ");
        assert_eq!(piped(""), "");
        assert!(piped(&"a".repeat(5000)).len() > PASSWORD_OCTETS, "too long, and not read to its end");
    }
}
