//! Which thread runs on which CPU, which shards serve which server, and which logs of earlier runs a shard looks after.
//!
//! Pure: CPUs and wishes in, a [`Placement`] out, with what an operator should know about it in words.

use std::collections::BTreeMap;

/// A CPU that this process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Its number.
    pub id: usize,
    /// Its NUMA node.
    pub node: usize,
    /// How many hardware threads of its physical core come before it: 0 is the first.
    pub sibling: usize,
}

/// What a server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The server's name.
    pub name: String,
    /// How many shards serve it; `None` is all.
    pub io_workers: Option<usize>,
    /// How many acceptors it has; 0 where its shards accept for themselves.
    pub boss_workers: usize,
    /// Threads of the control plane.
    pub max_executors: usize,
}

/// What runs where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The CPU of each shard.
    pub shards: Vec<usize>,
    /// The CPU of each acceptor.
    pub acceptors: Vec<usize>,
    /// Each server's share, in the order of the wishes.
    pub servers: Vec<Share>,
    /// Threads of the control plane.
    pub control_threads: usize,
    /// The CPUs that they may run on.
    pub control_cpus: Vec<usize>,
    /// What is not as somebody might think.
    pub notes: Vec<String>,
}

/// What one server has of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The shards that serve it, ascending.
    pub shards: Vec<usize>,
    /// The acceptors that listen for it; none where its shards do.
    pub acceptors: Vec<usize>,
}

impl Placement {
    /// Places servers on `cpus`, shards on those of them that `shards` names. Neither is empty.
    pub fn of(cpus: &[Cpu], shards: &[usize], wishes: &[Wish]) -> Placement {
        let mut placement = Placement::default();
        let candidates = in_order(cpus.iter().filter(|cpu| shards.contains(&cpu.id)));
        placement.place_shards(&candidates, wishes);
        placement.place_acceptors(cpus, wishes);
        placement.place_control(cpus, wishes);
        placement
    }

    /// As many shards as the servers together want, each server on its own part of the circle.
    fn place_shards(&mut self, candidates: &[usize], wishes: &[Wish]) {
        let most = candidates.len();
        let counts: Vec<usize> = wishes.iter().map(|wish| wish.io_workers.unwrap_or(most).clamp(1, most)).collect();
        let shards = counts.iter().sum::<usize>().clamp(1, most);
        self.shards = candidates.iter().copied().take(shards).collect();
        let mut next = 0;
        for (wish, count) in wishes.iter().zip(counts) {
            if let Some(wanted) = wish.io_workers.filter(|wanted| *wanted > most) {
                self.note(format!(
                    "{}: ioWorkerCount {wanted} is capped at {most}, one for each CPU of <shards>",
                    wish.name
                ));
            }
            let mut of_server: Vec<usize> = (next..next + count).map(|shard| shard % shards).collect();
            of_server.sort_unstable();
            self.servers.push(Share { shards: of_server, acceptors: Vec::new() });
            next += count;
        }
    }

    /// Acceptors on CPUs without a shard, as far as there are any; the others with the last shards.
    fn place_acceptors(&mut self, cpus: &[Cpu], wishes: &[Wish]) {
        let wanted = wishes.iter().map(|wish| wish.boss_workers).max().unwrap_or(0);
        let count = wanted.min(cpus.len());
        if wanted > count {
            self.note(format!("bossWorkerCount {wanted} is capped at {count}, one for each CPU"));
        }
        let spare = in_order(cpus.iter().filter(|cpu| !self.shards.contains(&cpu.id)));
        if count > spare.len() {
            self.note(format!("{} of {count} acceptors share their CPUs with shards", count - spare.len()));
        }
        self.acceptors = spare.iter().copied().chain(self.shards.iter().rev().copied()).take(count).collect();
        for (share, wish) in self.servers.iter_mut().zip(wishes) {
            share.acceptors = (0..wish.boss_workers.min(count)).collect();
        }
    }

    fn place_control(&mut self, cpus: &[Cpu], wishes: &[Wish]) {
        self.control_threads = wishes.iter().map(|wish| wish.max_executors).max().unwrap_or(1).max(1);
        let taken = |cpu: &&Cpu| self.shards.contains(&cpu.id) || self.acceptors.contains(&cpu.id);
        self.control_cpus = cpus.iter().filter(|cpu| !taken(cpu)).map(|cpu| cpu.id).collect();
        if self.control_cpus.is_empty() {
            self.control_cpus = cpus.iter().map(|cpu| cpu.id).collect();
            self.note("the control plane shares the CPUs of the shards: there is none left for it".to_owned());
        }
    }

    fn note(&mut self, text: String) {
        self.notes.push(text);
    }
}

/// CPUs in the order in which they are used: physical cores before their second threads, and one node after the other in turn,
/// so that a few shards have the memory and the caches of all.
fn in_order<'a>(cpus: impl Iterator<Item = &'a Cpu>) -> Vec<usize> {
    let mut cpus: Vec<&Cpu> = cpus.collect();
    cpus.sort_by_key(|cpu| (cpu.sibling, cpu.id));
    let mut seen: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut keyed: Vec<_> = cpus
        .into_iter()
        .map(|cpu| {
            let place = seen.entry((cpu.sibling, cpu.node)).or_default();
            *place += 1;
            ((cpu.sibling, *place, cpu.node), cpu.id)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, id)| id).collect()
}

/// The number of the shard's log in the name of its directory, if it is one.
pub fn log_number(name: &str) -> Option<usize> {
    let shard = name.strip_prefix("shard-")?.parse().ok()?;
    // Another way to write the same number would be another directory for the same log.
    (name == log_name(shard)).then_some(shard)
}

/// The name of the directory of a shard's log.
pub fn log_name(shard: usize) -> String {
    format!("shard-{shard}")
}

/// The logs that shard number `shard` of `shards` adopts, of those that exist: those of shards that are no more, spread evenly.
pub fn adopted(shard: usize, shards: usize, existing: &[usize]) -> Vec<usize> {
    existing.iter().copied().filter(|log| *log >= shards && log % shards == shard).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(count: usize) -> Vec<Cpu> {
        (0..count).map(|id| Cpu { id, node: 0, sibling: 0 }).collect()
    }

    /// Two nodes of 16 cores with two threads each, numbered as Linux does: the second threads come last.
    fn large() -> Vec<Cpu> {
        (0..64).map(|id| Cpu { id, node: id / 16 % 2, sibling: id / 32 }).collect()
    }

    fn wish(io_workers: Option<usize>, boss_workers: usize, max_executors: usize) -> Wish {
        Wish { name: "server".into(), io_workers, boss_workers, max_executors }
    }

    fn place(cpus: &[Cpu], wishes: &[Wish]) -> Placement {
        let all: Vec<usize> = cpus.iter().map(|cpu| cpu.id).collect();
        Placement::of(cpus, &all, wishes)
    }

    #[test]
    fn the_default_is_a_shard_on_every_cpu() {
        let placement = place(&plain(2), &[wish(None, 0, 16), wish(None, 0, 16)]);
        let share = Share { shards: vec![0, 1], acceptors: vec![] };
        assert_eq!(placement.shards, [0, 1]);
        assert_eq!(placement.servers, [share.clone(), share]);
        assert_eq!((placement.control_threads, placement.control_cpus), (16, vec![0, 1]));
        assert_eq!(placement.notes, ["the control plane shares the CPUs of the shards: there is none left for it"]);
    }

    #[test]
    fn every_combination_on_two_cpus() {
        for (io, boss, executors) in
            (0..=4).flat_map(|io| (0..=3).flat_map(move |boss| (1..=3).map(move |e| (io, boss, e))))
        {
            let io_workers = (io > 0).then_some(io);
            let placement = place(&plain(2), &[wish(io_workers, boss, executors)]);
            let shards = if io == 1 { 1 } else { 2 };
            assert_eq!(placement.shards, [0, 1][..shards]);
            assert_eq!(placement.servers[0].shards, [0, 1][..shards]);
            let acceptors = match (boss, shards) {
                (0, _) => vec![],
                (1, _) => vec![1],
                (_, 1) => vec![1, 0],
                _ => vec![1, 0],
            };
            assert_eq!(placement.acceptors, acceptors);
            assert_eq!(placement.servers[0].acceptors, (0..boss.min(2)).collect::<Vec<_>>());
            assert_eq!(placement.control_threads, executors);
            assert_eq!(placement.control_cpus, if shards + boss < 2 { vec![1] } else { vec![0, 1] });
            let shared = boss.min(2).saturating_sub(2 - shards);
            let said = |text: &str| placement.notes.iter().any(|note| note.contains(text));
            assert_eq!(said("share their CPUs"), shared > 0, "{:?}", placement.notes);
            assert_eq!(said("ioWorkerCount"), io > 2);
            assert_eq!(said("bossWorkerCount 3 is capped at 2"), boss > 2);
            assert_eq!(said("control plane"), shards + boss >= 2);
        }
    }

    #[test]
    fn small_servers_stand_side_by_side_on_a_large_machine() {
        let wishes = [wish(Some(4), 0, 8), wish(Some(2), 2, 16), wish(Some(3), 0, 4)];
        let placement = place(&large(), &wishes);
        assert_eq!(placement.shards, [0, 16, 1, 17, 2, 18, 3, 19, 4]);
        let shards: Vec<_> = placement.servers.iter().map(|share| share.shards.clone()).collect();
        assert_eq!(shards, [vec![0, 1, 2, 3], vec![4, 5], vec![6, 7, 8]]);
        // A physical core of its own for each, on both nodes.
        assert_eq!(placement.acceptors, [5, 20]);
        assert_eq!(placement.servers[1].acceptors, [0, 1]);
        assert_eq!((placement.control_threads, placement.control_cpus.len()), (16, 64 - 9 - 2));
        assert_eq!(placement.notes, [""; 0]);
    }

    #[test]
    fn a_large_machine_is_used_whole_where_that_is_wanted() {
        let placement = place(&large(), &[wish(Some(40), 0, 1), wish(Some(40), 3, 1), wish(Some(100), 0, 1)]);
        assert_eq!(placement.shards.len(), 64);
        assert_eq!(placement.shards[..4], [0, 16, 1, 17]);
        assert_eq!(placement.shards[31..34], [31, 32, 48]);
        // The second goes round the circle.
        assert_eq!(placement.servers[1].shards, (0..16).chain(40..64).collect::<Vec<_>>());
        assert_eq!(placement.servers[2].shards.len(), 64);
        assert_eq!(placement.acceptors, [63, 47, 62]);
        assert_eq!(placement.notes.len(), 3);
        assert!(placement.notes[0].contains("ioWorkerCount 100 is capped at 64"));
    }

    #[test]
    fn shards_stay_on_the_cpus_that_were_named() {
        let placement = Placement::of(&large(), &[3, 5, 40], &[wish(None, 2, 2)]);
        assert_eq!(placement.shards, [3, 5, 40]);
        assert_eq!(placement.acceptors, [0, 16]);
        assert_eq!(placement.control_cpus.len(), 64 - 5);
    }

    fn any_wish() -> impl Strategy<Value = Wish> {
        (prop::option::of(0usize..70), 0usize..70, 0usize..40)
            .prop_map(|(io, boss, executors)| wish(io, boss, executors))
    }

    proptest! {
        #[test]
        fn everyone_is_served_and_nobody_doubled_up_while_there_is_room(
            (cpus, named) in (1usize..65).prop_flat_map(|count| (Just(count), prop::collection::btree_set(0..count, 1..=count))),
            nodes in 1usize..5,
            wishes in prop::collection::vec(any_wish(), 1..6),
        ) {
            let machine: Vec<Cpu> = (0..cpus).map(|id| Cpu { id, node: id % nodes, sibling: id % 2 }).collect();
            let named: Vec<usize> = named.into_iter().collect();
            let placement = Placement::of(&machine, &named, &wishes);
            let distinct = |list: &[usize]| list.iter().collect::<std::collections::BTreeSet<_>>().len() == list.len();
            prop_assert!(distinct(&placement.shards) && placement.shards.iter().all(|cpu| named.contains(cpu)));
            prop_assert!(distinct(&placement.acceptors) && placement.acceptors.iter().all(|cpu| *cpu < cpus));
            let shared = placement.acceptors.iter().filter(|cpu| placement.shards.contains(cpu)).count();
            let both = placement.shards.len() + placement.acceptors.len();
            prop_assert_eq!(shared, both.saturating_sub(cpus));
            prop_assert_eq!(placement.servers.len(), wishes.len());
            let mut load = vec![0usize; placement.shards.len()];
            for (share, wish) in placement.servers.iter().zip(&wishes) {
                prop_assert!(!share.shards.is_empty() && distinct(&share.shards));
                prop_assert_eq!(share.shards.len(), wish.io_workers.unwrap_or(cpus).clamp(1, named.len()));
                prop_assert_eq!(share.acceptors.is_empty(), wish.boss_workers == 0);
                share.shards.iter().for_each(|shard| load[*shard] += 1);
                share.acceptors.iter().for_each(|acceptor| assert!(*acceptor < placement.acceptors.len()));
            }
            // No shard has two servers more than another, and none has none.
            let (least, most) = (load.iter().min().copied(), load.iter().max().copied());
            prop_assert!(least >= Some(1) && most <= least.map(|least| least + 1));
            prop_assert!(placement.control_threads > 0 && !placement.control_cpus.is_empty());
        }
    }

    #[test]
    fn every_log_has_exactly_one_keeper() {
        for shards in 1..5 {
            let existing: Vec<_> = (0..9).collect();
            let mut kept: Vec<_> = (0..shards).collect();
            kept.extend((0..shards).flat_map(|shard| adopted(shard, shards, &existing)));
            kept.sort_unstable();
            assert_eq!(kept, existing);
        }
        assert_eq!(log_number(&log_name(12)), Some(12));
        assert_eq!(log_number("lock"), None);
    }
}
