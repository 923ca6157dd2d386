//! What it costs to go through the ring at all.

use super::meter::Meter;
use super::{Case, Place};
use io_uring::opcode;
use std::io;

pub(super) fn cases() -> Vec<Case> {
    [1, 8, 64]
        .map(|count| Case::new("submit", format!("nop, {count} a call"), move |place, meter| nops(place, meter, count)))
        .into()
}

fn nops(place: &Place, meter: &mut Meter, a_call: u64) -> io::Result<()> {
    const CALLS: u64 = 64;
    let mut ring = place.ring()?;
    while meter.goes_on() {
        meter.round(CALLS * a_call, || {
            for _ in 0..CALLS {
                for _ in 0..a_call {
                    // SAFETY: it points to nothing.
                    unsafe { ring.push(&opcode::Nop::new().build()) }?;
                }
                let mut ended = 0;
                while ended < a_call {
                    ring.wait((a_call - ended) as usize)?;
                    while ring.taken().is_some() {
                        ended += 1;
                    }
                }
            }
            Ok(0)
        })?;
    }
    Ok(())
}
