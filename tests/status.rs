//! `ringpost status`: the running server, asked from outside.

mod common;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Output;

use common::client::Client;
use common::process::{Conf, Home, eventually};
use serde_json::Value;

fn status(home: &Home, arguments: &[&str]) -> Output {
    home.command().arg("status").args(arguments).output().expect("the command runs")
}

fn json(home: &Home) -> Value {
    let output = status(home, &["--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The sum of a figure over all shards.
fn total(status: &Value, figure: &str) -> u64 {
    let shards = status["shards"].as_array().expect("shards");
    shards.iter().map(|shard| shard[figure].as_u64().expect("a number")).sum()
}

#[test]
fn the_running_server_says_what_runs_where_and_what_it_does() {
    let home = Home::new(&Conf::new().users(&["you"]));
    let process = home.start();
    let mut client = process.smtp();
    client.expect("EHLO client", "250");
    for _ in 0..3 {
        client.envelope("me@example.org", &["you@localhost"]);
        client.expect("DATA", "354");
        client.expect("Subject: hello\r\n\r\nIt works.\r\n.", "250");
    }
    let seen = eventually(|| Some(json(&home)).filter(|status| total(status, "delivered") == 3)).expect("delivered");
    assert_eq!((total(&seen, "accepted"), total(&seen, "connections"), total(&seen, "waiting")), (3, 1, 0));
    assert_eq!(seen["process"].as_u64(), Some(u64::from(process.pid())));

    let text = String::from_utf8(status(&home, &[]).stdout).expect("text");
    for part in
        [&format!("SMTP     {}", process.address(0)), "shard    0 on CPU ", "\nup 0:00:", "  accepted  delivered"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("curl"), "the invitation is for the start: {text}");

    let socket = home.path().join("var/control");
    let mode = std::fs::metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut stranger = UnixStream::connect(&socket).expect("it listens");
    stranger.write_all(b"shutdown\n").expect("it reads");
    let mut answer = String::new();
    stranger.read_to_string(&mut answer).expect("it answers");
    assert_eq!(answer, "error: there is no such request\n");

    process.stop();
    assert!(!socket.exists(), "the socket goes with the server");
    let output = status(&home, &[]);
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("ringpost: no server answers at "));
}

/// Keeps this thread on one CPU.
fn stay_on(cpu: usize) {
    assert!(core_affinity::set_for_current(core_affinity::CoreId { id: cpu }), "CPU {cpu} is ours");
}

#[test]
fn steered_connections_go_to_the_cpu_that_they_come_from() {
    let cpus: Vec<_> = core_affinity::get_core_ids().expect("CPUs").into_iter().map(|cpu| cpu.id).collect();
    let home = Home::new(&Conf::new().with("steering", "cpu"));
    let process = home.start();
    let address = process.address(0);
    for cpu in cpus {
        let clients: Vec<_> = std::thread::scope(|scope| {
            let connecting = scope.spawn(move || {
                stay_on(cpu);
                (0..20).map(|_| Client::hello(address, false)).collect::<Vec<_>>()
            });
            connecting.join().expect("connected")
        });
        let shards = json(&home)["shards"].clone();
        for shard in shards.as_array().expect("shards") {
            let expected = if shard["cpu"].as_u64() == Some(cpu as u64) { clients.len() as u64 } else { 0 };
            assert_eq!(shard["connections"].as_u64(), Some(expected), "from CPU {cpu}: {shards}");
        }
        drop(clients);
        eventually(|| (total(&json(&home), "connections") == 0).then_some(())).expect("they are gone");
    }
    process.stop();
}
