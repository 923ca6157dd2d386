//! Measures the cases and prints what they took.

use super::instructions::{Instructions, MEASURED, run_measured};
use super::{Case, Prepared, Size, cases};
use crate::allocations::Counting;
use crate::figures::{Spread, octets, short};
use crate::table::{Column, Table};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Batches of a case, and how long each takes.
const BATCHES: usize = 30;
const BATCH: Duration = Duration::from_millis(4);

/// The benchmark program: measures the cases whose names hold one of the words it is given, or all.
pub fn main(allocator: &Counting) -> ExitCode {
    // Cargo adds a word of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [option, name] = &words[..]
        && option == MEASURED
    {
        let Some(case) = cases().into_iter().find(|case| case.name == name) else { return ExitCode::FAILURE };
        run_measured(&mut (case.prepare)(Size::Full));
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<Case> = cases()
        .into_iter()
        .filter(|case| words.is_empty() || words.iter().any(|word| case.name.contains(word.as_str())))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = cases().iter().map(|case| case.name).collect();
        eprintln!("no case has such a name; there are:\n  {}", names.join("\n  "));
        return ExitCode::FAILURE;
    }
    measure_all(&chosen, allocator)
}

fn measure_all(cases: &[Case], allocator: &Counting) -> ExitCode {
    let instructions = Instructions::find();
    println!("Median of {BATCHES} batches, the ends in per cent of it. Instructions {}.\n", instructions.describe());
    let table = Table::new(
        1,
        &[
            Column("case", 38),
            Column("input", 12),
            Column("ns", 9),
            Column("±, %", 9),
            Column("GB/s", 6),
            Column("allocations", 11),
            Column("their octets", 12),
            Column("instructions", 12),
            Column("an octet", 8),
        ],
    );
    table.head();
    for case in cases {
        table.measuring(case.name);
        let mut prepared = (case.prepare)(Size::Full);
        if (prepared.run)() != prepared.expected {
            eprintln!("{}: the result is wrong", case.name);
            return ExitCode::FAILURE;
        }
        let time = time(&mut prepared);
        let (blocks, octets_asked) = allocations(&mut prepared, allocator);
        let counted = instructions.of(case.name, &mut prepared).unwrap_or_default();
        table.row(&[
            case.name.into(),
            octets(prepared.octets),
            short(time.median),
            time.percent(),
            short(prepared.octets as f64 / time.median),
            short(blocks),
            short(octets_asked),
            short(counted),
            short(counted / prepared.octets as f64),
        ]);
    }
    ExitCode::SUCCESS
}

/// Nanoseconds of a run.
fn time(prepared: &mut Prepared) -> Spread {
    let mut batch = |times: u64| {
        let begun = Instant::now();
        for _ in 0..times {
            std::hint::black_box((prepared.run)());
        }
        begun.elapsed().as_nanos() as f64
    };
    let mut times = 1;
    while batch(times) < BATCH.as_nanos() as f64 {
        times *= 2;
    }
    let all: Vec<f64> = (0..BATCHES).map(|_| batch(times) / times as f64).collect();
    Spread::of(&all)
}

/// Allocations of a run, and octets.
fn allocations(prepared: &mut Prepared, allocator: &Counting) -> (f64, f64) {
    const TIMES: u32 = 20;
    let before = allocator.tally().read();
    for _ in 0..TIMES {
        (prepared.run)();
    }
    let after = allocator.tally().read();
    let each = |after: u64, before: u64| (after - before) as f64 / f64::from(TIMES);
    (each(after.blocks, before.blocks), each(after.octets, before.octets))
}
