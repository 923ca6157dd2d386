//! What the tests tell the layer: a command a line, answered by a line.

use std::time::Duration;

use crate::disk::Errno;
use crate::faults::{Operation, Rule};
use crate::state::{Power, Shared};

/// What can be said.
pub const HELP: &str = "\
freeze                        nothing is answered any more: the instant of the cut
cut SEED                      what was not synced is gone; from now on everything fails
restore                       the disk answers again
fail OPERATION ERRNO [PATH [AFTER]]
                              write, sync, sync-directory, make, rename, remove or read; EIO, ENOSPC, EROFS or EACCES
delay LEAST MOST              milliseconds that a sync takes
lie                           syncs are said to be done and are not
read-only                     nothing may be changed
no-direct                     files cannot be opened with O_DIRECT
capacity OCTETS               so much there is room for in all
clear                         no faults any more; the capacity and no-direct stay
settle                        everything is durable as it is
figures                       octets used, syncs done, operations failed";

/// Obeys; what to answer.
pub fn obey(line: &str, shared: &Shared) -> Result<String, String> {
    let words: Vec<_> = line.split_whitespace().collect();
    let number = |word: &str| word.parse::<u64>().map_err(|_| format!("{word} is not a number"));
    match words[..] {
        ["freeze"] => shared.set_power(Power::Frozen),
        ["cut", seed] => {
            let loss = shared.cut(number(seed)?);
            let ((writes, lost), torn, (names, names_lost)) = (loss.writes, loss.torn, loss.names);
            return Ok(format!("{writes} {lost} {torn} {names} {names_lost}"));
        }
        ["restore"] => shared.set_power(Power::On),
        ["fail", operation, errno] => fail(shared, operation, errno, "", 0)?,
        ["fail", operation, errno, path] => fail(shared, operation, errno, path, 0)?,
        ["fail", operation, errno, path, after] => fail(shared, operation, errno, path, number(after)?)?,
        ["delay", least, most] => {
            let (least, most) = (number(least)?, number(most)?);
            shared.lock().faults.delay = (Duration::from_millis(least), Duration::from_millis(most));
        }
        ["lie"] => shared.lock().faults.lie = true,
        ["read-only"] => shared.lock().faults.read_only = true,
        ["no-direct"] => shared.lock().faults.no_direct = true,
        ["capacity", octets] => shared.lock().faults.capacity = number(octets)?,
        ["clear"] => shared.lock().faults.clear(),
        ["settle"] => shared.lock().settle(),
        ["figures"] => {
            let state = shared.lock();
            return Ok(format!("{} {} {}", state.disk.octets(), state.syncs, state.faults.failed));
        }
        _ => return Err(format!("{line:?} is none of\n{HELP}").replace('\n', "; ")),
    }
    Ok("done".into())
}

fn fail(shared: &Shared, operation: &str, errno: &str, path: &str, after: u64) -> Result<(), String> {
    let operation = Operation::of(operation).ok_or_else(|| format!("{operation} is no operation"))?;
    let errno = errno_of(errno).ok_or_else(|| format!("{errno} is no error that is known here"))?;
    shared.lock().faults.add(Rule { operation, errno, path: path.into(), after });
    Ok(())
}

fn errno_of(word: &str) -> Option<Errno> {
    Some(match word {
        "EIO" => libc::EIO,
        "ENOSPC" => libc::ENOSPC,
        "EROFS" => libc::EROFS,
        "EACCES" => libc::EACCES,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_obeyed_or_refused() {
        let shared = Shared::new(1 << 20, (0, 0));
        assert_eq!(obey("fail write ENOSPC /spool 3", &shared), Ok("done".into()));
        assert_eq!(obey("delay 1 20", &shared), Ok("done".into()));
        assert_eq!(obey("figures", &shared), Ok("0 0 0".into()));
        assert!(obey("fail write EWHAT", &shared).is_err());
        assert!(obey("fail all EIO", &shared).is_err());
        assert!(obey("cut", &shared).is_err());
        assert_eq!(obey("cut 7", &shared), Ok("0 0 0 0 0".into()));
        assert!(shared.wait().is_err());
        assert_eq!(obey("restore", &shared), Ok("done".into()));
        assert!(shared.wait().is_ok());
    }
}
