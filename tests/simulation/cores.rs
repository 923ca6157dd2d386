//! Other numbers of cores from start to start: logs of cores that are gone are worked off by those that are there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ringpost::io::Machine;
use ringpost::io::sim::{World, seeds};
use ringpost::mail::{Content, IdSource, MessageId};
use ringpost::mta::placement::adopted;
use ringpost::spool::{Outcome, OutcomeResult, Spool};

use super::host::spool_settings;
use super::week::envelope;

fn log(number: usize) -> PathBuf {
    PathBuf::from(format!("/spool/{number}"))
}

#[test]
fn nothing_is_lost_and_nothing_delivered_twice_whatever_the_number_of_cores() {
    for seed in seeds(2) {
        let world = World::new(seed);
        world.disk().make_directory("/spool").expect("the disk is empty");
        let mut random = world.random();
        let (mut accepted, mut delivered) = (BTreeSet::new(), Vec::new());
        for (run, cores) in [1, 64, 3, 2, 1, 2].into_iter().enumerate() {
            let machine = if run == 0 { world.machine() } else { world.restart() };
            let existing: Vec<_> = (0..64).filter(|number| world.disk().list(log(*number)).is_ok()).collect();
            let ran = world.block_on(async {
                for core in 0..cores {
                    let logs = std::iter::once(core).chain(adopted(core, cores, &existing));
                    for (place, number) in logs.enumerate() {
                        let settings = spool_settings(128 * 1024);
                        let directory = log(number);
                        let opened = Spool::open(machine.clone(), &directory, settings, Box::new(|_| {}));
                        let opened = opened.await.expect("nothing stops it");
                        let spool = opened.spool;
                        // Most of what is there is delivered, some waits for the next run.
                        while let Some(id) = spool.take_due() {
                            if run < 5 && random.one_in(3) {
                                continue;
                            }
                            let outcome = Outcome { recipient: 0, result: OutcomeResult::Delivered };
                            spool.resolve(id, &[outcome]).await.expect("noted");
                            delivered.push(id);
                        }
                        let mut ids = IdSource::new(core, opened.newest.map_or(0, MessageId::made_at));
                        for _ in 0..if place == 0 && run < 5 { 3 } else { 0 } {
                            let id = MessageId(ids.next(machine.wall_clock()));
                            let mut incoming = spool.incoming(envelope(id, machine.wall_clock()));
                            incoming.push(&vec![b'x'; random.index(20_000)]).await.expect("there is room");
                            incoming.commit(&Content::default()).await.expect("there is room");
                            assert!(accepted.insert(id), "an id was given twice");
                        }
                        spool.settled().await;
                    }
                }
            });
            ran.expect("the world goes on");
            world.crash();
        }
        let count = delivered.len();
        let delivered: BTreeSet<_> = delivered.into_iter().collect();
        assert_eq!((delivered.len(), &delivered), (count, &accepted), "seed {seed}");
    }
}
