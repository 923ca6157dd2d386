//! Servers on cores: shards, acceptors and the control plane as the configuration asks for them.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::client::Client;
use common::process::{Conf, Home, Process, Server, eventually};

/// The CPUs that each thread of this name, and a number behind it, may run on.
fn affinity(process: &Process, name: &str) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("a process").flatten();
    let statuses = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
        line.unwrap_or_default().to_owned()
    };
    let mut cpus: Vec<_> = statuses
        .filter(|status| {
            let number = field(status, "Name:").strip_prefix(name).map(str::to_owned);
            number.is_some_and(|number| number.bytes().all(|octet| octet.is_ascii_digit()))
        })
        .map(|status| field(&status, "Cpus_allowed_list:"))
        .collect();
    cpus.sort();
    cpus
}

/// The CPUs of this machine; the tests below are about their number.
fn cpus() -> usize {
    core_affinity::get_core_ids().map_or(1, |cpus| cpus.len())
}

#[test]
fn every_combination_serves() {
    let all = cpus();
    for (io, boss, executors) in [(1, 0, 1), (2, 0, 3), (9999, 0, 2), (1, 1, 2), (2, 1, 1), (1, 2, 1), (2, 2, 4)] {
        let server = |server: Server| {
            let server = server.with("ioWorkerCount", &io.to_string()).with("bossWorkerCount", &boss.to_string());
            server.with("maxExecutorCount", &executors.to_string())
        };
        let home = Home::new(&Conf::new().servers(vec![server(Server::smtp()), server(Server::lmtp())]));
        let process = home.start();
        let announced = |line: &str| {
            assert!(process.announcement.contains(line), "{io} {boss} {executors}: {}", process.announcement);
        };
        let shards = (2 * io.min(all)).min(all);
        // A thread takes its name and its CPU once it runs, which may be after the announcement.
        let settled = |name: &str, count: usize| {
            let found = || Some(affinity(&process, name)).filter(|found| found.len() == count);
            eventually(found).unwrap_or_else(|| panic!("{name}: {count}, not {:?}", affinity(&process, name)))
        };
        // The executor has a thread of its own beside each shard, of the same name.
        let of_shards = || affinity(&process, "shard-").into_iter().collect::<BTreeSet<_>>();
        eventually(|| (of_shards().len() == shards).then_some(())).expect("each on a CPU of its own");
        settled("control", executors);
        settled("acceptor-", boss.min(all));
        let one_each = || {
            let pinned = [affinity(&process, "shard-"), affinity(&process, "acceptor-")].concat();
            pinned.iter().all(|cpus| cpus.parse::<usize>().is_ok()).then_some(())
        };
        eventually(one_each).expect("one CPU each");
        announced(if executors == 1 { "1 thread on CPU" } else { "threads on CPU" });
        if boss > 0 {
            announced("acceptor 0 on CPU");
            announced("connections come by acceptor 0");
        }
        if io > all {
            announced("is capped at");
        }
        if shards + boss > all {
            announced("share their CPUs with shards");
        }
        for _ in 0..4 {
            assert!(process.smtp().data(&["you@localhost"], b"Subject: a\r\n\r\n").starts_with("250 2.6.0 "));
            assert!(process.lmtp().data(&["you@localhost"], b"Subject: a\r\n\r\n").starts_with("250 2.6.0 "));
        }
        process.stop();
    }
}

#[test]
fn acceptors_hand_connections_to_the_shard_with_the_fewest() {
    let home = Home::new(
        &Conf::new().servers(vec![Server::smtp().with("bossWorkerCount", "1").with("connectionLimit", "40")]),
    );
    let process = home.start();
    let mut clients: Vec<Client> = (0..40).map(|_| process.connect(0)).collect();
    assert!(Client::dial(process.address(0)).expect("it listens").reply().starts_with("421 4.7.0 "));
    // The name of a message tells its shard.
    let mut shards: BTreeMap<String, usize> = BTreeMap::new();
    for client in &mut clients {
        client.expect("EHLO client", "250");
        let reply = client.data(&["you@localhost"], b"Subject: a\r\n\r\n");
        let id = common::client::id(&reply);
        *shards.entry(id[id.len() - 2..].to_owned()).or_default() += 1;
    }
    assert_eq!(shards.len(), cpus());
    let (least, most) = (shards.values().min().copied(), shards.values().max().copied());
    assert!(most <= least.map(|least| least + 1), "{shards:?}");
    drop(clients);
    process.stop();
}
