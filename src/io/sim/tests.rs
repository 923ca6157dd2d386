//! What a world does, seen from its machines.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::io::{Aligned, Disk, File, Stream, aligned::BLOCK};

fn filled(octet: u8, length: usize) -> Aligned {
    let mut buffer = Aligned::zeroed(length);
    buffer.fill(octet);
    buffer
}

/// A Maildir delivery with every sync that it needs.
async fn deliver(machine: &SimMachine, name: &str) -> io::Result<()> {
    let (tmp, new) = (format!("/tmp/{name}"), format!("/new/{name}"));
    let file = machine.disk().open(tmp.as_ref(), Open::Create).await?;
    file.write_at(filled(7, 3000), 0..3000, 0).await.0?;
    file.sync().await?;
    machine.disk().rename(tmp.as_ref(), new.as_ref()).await?;
    machine.disk().sync_directory("/new".as_ref()).await
}

fn maildir(seed: u64) -> World {
    let world = World::new(seed);
    world.disk().make_directory("/tmp").expect("made");
    world.disk().make_directory("/new").expect("made");
    world
}

fn is_delivered(world: &World, name: &str) -> bool {
    world.disk().read(format!("/new/{name}")).is_ok_and(|content| content == [7; 3000])
}

fn number<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|problem| problem.raw_os_error())
}

/// Runs `count` tasks that each note their number three times, and gives the notes and the world's own record.
fn interleaving(seed: u64) -> (Vec<u64>, u64, Vec<String>) {
    let world = maildir(seed);
    let notes = Rc::new(RefCell::new(Vec::new()));
    for task in 0..8 {
        let (machine, notes) = (world.machine(), notes.clone());
        world.machine().spawn(if task % 2 == 0 { Class::Intake } else { Class::Delivery }, async move {
            notes.borrow_mut().push(task);
            deliver(&machine, &format!("{task}")).await.expect("delivered");
            notes.borrow_mut().push(task);
            machine.sleep(Duration::from_millis(5)).await;
            notes.borrow_mut().push(task);
        });
    }
    world.run_until_idle();
    (notes.take(), world.fingerprint(), world.trace())
}

#[test]
fn the_same_seed_gives_the_same_world_and_another_one_another() {
    for seed in seeds(20) {
        assert_eq!(interleaving(seed), interleaving(seed));
        assert_ne!(interleaving(seed).0, interleaving(seed + 1).0);
        assert_ne!(interleaving(seed).1, interleaving(seed + 1).1);
    }
}

#[test]
fn the_clock_jumps_to_what_is_due_next() {
    let world = World::new(1);
    let machine = world.machine();
    let woke = Rc::new(Cell::new(Duration::ZERO));
    let (sleeper, at) = (machine.clone(), woke.clone());
    machine.spawn(Class::Intake, async move {
        sleeper.sleep(Duration::from_secs(3600)).await;
        at.set(sleeper.now());
    });
    world.run(Duration::from_secs(3599));
    assert_eq!((world.now(), woke.get(), world.tasks()), (Duration::from_secs(3599), Duration::ZERO, 1));
    world.run_until_idle();
    assert!((3600..=3601).contains(&woke.get().as_secs()));
    assert_eq!(world.tasks(), 0);
}

#[test]
fn a_sleep_that_is_given_up_is_not_waited_for() {
    let world = World::new(1);
    let machine = world.machine();
    world.block_on(async {
        let mut long = std::pin::pin!(machine.sleep(Duration::from_secs(100)));
        let poll = std::future::poll_fn(|context| Poll::Ready(long.as_mut().poll(context))).await;
        assert!(poll.is_pending());
    });
    world.run_until_idle();
    assert_eq!(world.now(), Duration::ZERO);
}

#[test]
fn the_wall_clock_runs_with_the_other_and_can_be_set_back() {
    let world = World::new(1);
    let machine = world.machine();
    assert_eq!(machine.wall_clock(), WALL_CLOCK_AT_START);
    world.run(Duration::from_secs(2));
    assert_eq!(machine.wall_clock(), WALL_CLOCK_AT_START + 2_000_000);
    world.set_wall_clock(1_000_000);
    world.run(Duration::from_secs(2));
    assert_eq!((machine.wall_clock(), machine.now()), (3_000_000, Duration::from_secs(4)));
}

#[test]
fn a_task_that_panics_ends_alone_and_is_counted() {
    let world = World::new(1);
    world.allow_panics();
    let done = Rc::new(Cell::new(false));
    world.machine().spawn(Class::Intake, async { panic!("of one") });
    let flag = done.clone();
    world.machine().spawn(Class::Intake, async move { flag.set(true) });
    world.run_until_idle();
    assert!(done.get());
    assert_eq!(world.panics(), ["of one"]);
}

#[test]
#[should_panic(expected = "tasks panicked: [\"unseen\"]")]
fn a_panic_that_nobody_expected_fails_the_test() {
    let world = World::new(1);
    world.machine().spawn(Class::Intake, async { panic!("unseen") });
    world.run_until_idle();
}

#[test]
#[should_panic(expected = "run in circles")]
fn tasks_that_run_in_circles_are_found() {
    let world = World::new(1);
    world.machine().spawn(
        Class::Intake,
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        }),
    );
    world.run_until_idle();
}

#[test]
#[should_panic(expected = "does not become idle")]
fn a_world_that_never_becomes_idle_is_found() {
    let world = World::new(1);
    let machine = world.machine();
    world.machine().spawn(Class::Intake, async move {
        loop {
            machine.sleep(Duration::from_secs(60)).await;
        }
    });
    world.run_until_idle();
}

#[test]
fn operations_end_in_any_order() {
    let orders: Vec<Vec<u64>> = (1..20).map(|seed| interleaving(seed).0[8..16].to_vec()).collect();
    assert!(orders.windows(2).any(|pair| pair[0] != pair[1]));
}

#[test]
fn a_synced_delivery_survives_a_crash_at_every_point() {
    for seed in seeds(10) {
        for (edge, reached) in [(Edge::Before, false), (Edge::After, true)] {
            for n in 1.. {
                let world = maildir(seed);
                let machine = world.machine();
                world.faults().crash_at(n, edge);
                let told = world.block_on(async { deliver(&machine, "a").await.expect("no fault") }).is_some();
                assert_eq!(told, n > 5, "five operations, and no answer after a crash at one of them");
                world.crash();
                world.restart();
                assert!(!told || is_delivered(&world, "a"));
                // What is seen in `new` is there whole, since it was synced before it got there.
                assert!(world.disk().list("/new").expect("there").is_empty() || is_delivered(&world, "a"));
                if n == 5 && reached {
                    assert!(is_delivered(&world, "a"), "stopped after the last sync took effect");
                }
                if told {
                    break;
                }
            }
        }
    }
}

/// Whether a delivery that meets the fault, and says that it succeeded, is found missing after one of many crashes.
fn is_noticed(fault: fn() -> Fault) -> bool {
    (1..100).any(|seed| {
        let world = maildir(seed);
        let machine = world.machine();
        world.faults().add(fault());
        world.block_on(async { deliver(&machine, "a").await }).expect("ends").expect("says that it succeeded");
        world.crash();
        !is_delivered(&world, "a")
    })
}

#[test]
fn a_lost_sync_is_noticed() {
    assert!(is_noticed(|| Fault::lose(Operation::Sync)));
    assert!(is_noticed(|| Fault::lose(Operation::SyncDirectory)));
    assert!(!is_noticed(|| Fault::lose(Operation::Sync).nth(2)), "there is only one");
}

#[test]
fn a_killed_process_leaves_what_it_wrote() {
    for seed in seeds(50) {
        let world = maildir(seed);
        let machine = world.machine();
        let open = world.block_on(async {
            let file = machine.disk().open("/tmp/a".as_ref(), Open::Create).await.expect("created");
            file.write_at(filled(7, 3000), 0..3000, 0).await.0.expect("written");
            let unlinked = machine.disk().open("/tmp/b".as_ref(), Open::Create).await.expect("created");
            unlinked.write_at(filled(7, 3000), 0..3000, 0).await.0.expect("written");
            machine.disk().remove("/tmp/b".as_ref()).await.expect("removed");
            (file, unlinked)
        });
        world.kill();
        let machine = world.restart();
        assert_eq!(world.disk().read("/tmp/a").ok(), Some(vec![7; 3000]));
        let free = machine.disk().free_octets("/".as_ref());
        drop(open);
        assert_eq!(free.ok(), Some((1 << 40) - 3000));
    }
}

#[test]
fn what_is_under_way_at_the_end_took_effect_or_did_not() {
    let removed = (1..50).filter(|seed| {
        let world = maildir(*seed);
        world.disk().write("/tmp/a", b"a").expect("written");
        let machine = world.machine();
        world.block_on(async {
            let mut remove = std::pin::pin!(machine.disk().remove("/tmp/a".as_ref()));
            std::future::poll_fn(|context| Poll::Ready(remove.as_mut().poll(context).is_pending())).await
        });
        world.kill();
        world.disk().list("/tmp").expect("there").is_empty()
    });
    assert!((1..49).contains(&removed.count()));
}

#[test]
fn handles_from_before_a_crash_have_no_effect() {
    let world = maildir(1);
    let old = world.machine();
    let file = world.block_on(async { old.disk().open("/tmp/a".as_ref(), Open::Create).await });
    let file = file.expect("ends").expect("created");
    let (client, mut stream) = world.connect();
    client.send("x").expect("open");
    world.crash();
    let new = world.restart();
    world.disk().write("/tmp/a", b"new").expect("written");
    old.spawn(Class::Intake, async { panic!("of a task that cannot run") });
    assert_eq!(world.block_on(async { file.write_at(filled(1, 1), 0..1, 0).await.0.is_ok() }), None);
    assert_eq!(world.block_on(async { old.disk().remove("/tmp/a".as_ref()).await.is_ok() }), None);
    let read = world.block_on(std::future::poll_fn(|context| stream.poll_read(context, &mut [0; 10])));
    assert_eq!(read.expect("ends").map_err(|problem| problem.kind()), Err(io::ErrorKind::ConnectionReset));
    drop(file);
    let names = world.block_on(async { new.disk().list("/tmp".as_ref()).await });
    assert_eq!(names.and_then(Result::ok), Some(vec!["a".to_owned()]));
    assert_eq!(world.disk().read("/tmp/a").ok(), Some(b"new".to_vec()));
}

#[test]
fn an_operation_that_nobody_waits_for_still_takes_effect() {
    for seed in seeds(50) {
        let world = maildir(seed);
        let machine = world.machine();
        world.disk().write("/tmp/segment", &[0; BLOCK]).expect("written");
        world.block_on(async {
            let file = machine.disk().open("/tmp/segment".as_ref(), Open::Direct).await.expect("opened");
            let mut write = Box::pin(file.write_synced(filled(7, BLOCK), 0..BLOCK, 0));
            std::future::poll_fn(|context| Poll::Ready(write.as_mut().poll(context).is_pending())).await;
        });
        world.run_until_idle();
        world.crash();
        assert_eq!(world.disk().read("/tmp/segment").ok(), Some(vec![7; BLOCK]));
    }
}

#[test]
fn a_direct_write_under_way_may_tear_but_synced_blocks_stay() {
    let mut kinds = [0; 3];
    for seed in 1..200 {
        let world = maildir(seed);
        world.disk().write("/tmp/segment", &[1; 2 * BLOCK]).expect("written");
        let machine = world.machine();
        machine.clone().spawn(Class::Intake, async move {
            let file = machine.disk().open("/tmp/segment".as_ref(), Open::Direct).await.expect("opened");
            file.write_synced(filled(2, BLOCK), 0..BLOCK, 0).await.0.expect("synced");
            file.write_synced(filled(3, BLOCK), 0..BLOCK, BLOCK as u64).await.0.expect("synced");
        });
        world.faults().crash_at(5, Edge::Before);
        world.run_until_idle();
        world.crash();
        let left = world.disk().read("/tmp/segment").expect("there");
        assert_eq!(left[..BLOCK], [2; BLOCK]);
        let new = left[BLOCK..].iter().filter(|octet| **octet == 3).count();
        kinds[if new == 0 {
            0
        } else if new == BLOCK {
            1
        } else {
            2
        }] += 1;
    }
    assert!(kinds.iter().all(|count| *count > 0), "gone, whole, torn: {kinds:?}");
}

#[test]
#[should_panic(expected = "not aligned")]
fn a_direct_write_that_is_not_aligned_is_a_mistake() {
    let world = maildir(1);
    let machine = world.machine();
    world.block_on(async {
        let file = machine.disk().open("/tmp/a".as_ref(), Open::Direct).await.expect("opened");
        file.write_at(filled(1, BLOCK), 0..512, 0).await.0
    });
}

#[test]
fn without_direct_files_any_size_goes() {
    let world = maildir(1);
    world.faults().refuse_direct(true);
    let machine = world.machine();
    world.block_on(async {
        let file = machine.disk().open("/tmp/a".as_ref(), Open::Direct).await.expect("opened");
        assert!(!file.is_direct());
        file.write_at(filled(1, BLOCK), 1..513, 3).await.0.expect("written");
        let (count, buffer) = file.read_at(filled(9, BLOCK), 1000, 1).await;
        assert_eq!((count.ok(), &buffer[..3]), (Some(514), &[0, 0, 1][..]));
        assert_eq!(file.length().await.ok(), Some(515));
    });
}

#[test]
fn files_allow_what_they_were_opened_for() {
    let world = maildir(1);
    let machine = world.machine();
    world.disk().write("/tmp/a", b"abc").expect("written");
    world.block_on(async {
        let file = machine.disk().open("/tmp/a".as_ref(), Open::Read).await.expect("opened");
        assert_eq!(number(file.write_at(filled(1, 1), 0..1, 0).await.0), Some(errno::EBADF));
        assert_eq!(file.read_at(filled(1, 1), 10, 3).await.0.ok(), Some(0));
        assert_eq!(file.read_at(filled(1, 1), 10, u64::MAX).await.0.ok(), Some(0));
        let file = machine.disk().open("/tmp/a".as_ref(), Open::Create).await.expect("opened");
        assert_eq!(file.length().await.ok(), Some(0));
        assert_eq!(number(file.read_at(filled(1, 1), 10, 0).await.0), Some(errno::EBADF));
        assert_eq!(number(file.write_at(filled(1, 1), 0..1, u64::MAX).await.0), Some(errno::EFBIG));
    });
}

#[test]
fn a_full_disk_says_so() {
    let world = maildir(1);
    world.faults().set_capacity(5000);
    let machine = world.machine();
    world.block_on(async {
        deliver(&machine, "a").await.expect("fits");
        assert_eq!(machine.disk().free_octets("/new".as_ref()).ok(), Some(2000));
        assert_eq!(number(deliver(&machine, "b").await), Some(errno::ENOSPC));
        assert_eq!(machine.disk().free_octets("/new".as_ref()).ok(), Some(0));
        machine.disk().remove("/tmp/b".as_ref()).await.expect("removed");
        assert_eq!(machine.disk().free_octets("/new".as_ref()).ok(), Some(2000));
    });
}

#[test]
fn faults_meet_what_they_are_meant_for() {
    let world = maildir(1);
    let machine = world.machine();
    world.faults().add(Fault::fail(Operation::Write, errno::EIO).nth(2));
    world.faults().add(Fault::fail(Operation::Rename, io::ErrorKind::TimedOut).below("/new/c"));
    world.faults().add(Fault::fail(Operation::CreateDirectory, errno::EROFS).from_nth(2));
    world.block_on(async {
        deliver(&machine, "a").await.expect("the first");
        assert_eq!(number(deliver(&machine, "b").await), Some(errno::EIO));
        assert_eq!(deliver(&machine, "c").await.map_err(|problem| problem.kind()), Err(io::ErrorKind::TimedOut));
        deliver(&machine, "d").await.expect("the fourth");
        machine.disk().create_directory("/1".as_ref()).await.expect("the first");
        for path in ["/2", "/3"] {
            assert_eq!(number(machine.disk().create_directory(path.as_ref()).await), Some(errno::EROFS));
        }
    });
    assert_eq!((world.faults().count(Operation::Write), world.faults().count(Operation::Rename)), (4, 3));
    let before = world.faults().boundaries();
    world.faults().clear();
    world.block_on(async { deliver(&machine, "c").await }).expect("ends").expect("no fault any more");
    assert_eq!(world.faults().boundaries(), before + 5);
}

#[test]
fn a_failed_sync_leaves_no_way_back() {
    let lost = (1..100).filter(|seed| {
        let world = maildir(*seed);
        world.disk().write("/tmp/segment", &[0; BLOCK]).expect("written");
        world.faults().add(Fault::fail(Operation::Sync, errno::EIO).nth(1));
        let machine = world.machine();
        world.block_on(async {
            let file = machine.disk().open("/tmp/segment".as_ref(), Open::Direct).await.expect("opened");
            assert_eq!(number(file.write_synced(filled(7, BLOCK), 0..BLOCK, 0).await.0), Some(errno::EIO));
            file.sync().await.expect("the second says that all is well");
        });
        assert_eq!(world.disk().read("/tmp/segment").ok(), Some(vec![7; BLOCK]));
        world.crash();
        world.disk().read("/tmp/segment").ok() != Some(vec![7; BLOCK])
    });
    assert!(lost.count() > 0);
}

#[test]
fn a_slow_disk_takes_its_time() {
    let world = maildir(1);
    let machine = world.machine();
    world.faults().add(Fault::delay(Operation::Sync, Duration::from_secs(30)).below("/tmp"));
    world.block_on(async { deliver(&machine, "a").await }).expect("ends").expect("delivered");
    assert_eq!(world.now().as_secs(), 30);
    world.faults().clear();
    world.faults().set_slowness(10_000);
    world.block_on(async { deliver(&machine, "b").await }).expect("ends").expect("delivered");
    assert!(world.now().as_secs() > 30);
}

/// A server that sends back what it reads, until the client has sent everything.
async fn echo(mut stream: SimStream) -> (usize, usize) {
    let (mut reads, mut total) = (0, 0);
    let mut buffer = vec![0; 100_000];
    loop {
        let count = std::future::poll_fn(|context| stream.poll_read(context, &mut buffer)).await.expect("read");
        if count == 0 {
            stream.shutdown();
            return (reads, total);
        }
        (reads, total) = (reads + 1, total + count);
        let mut sent = 0;
        while sent < count {
            sent +=
                std::future::poll_fn(|context| stream.poll_write(context, &buffer[sent..count])).await.expect("sent");
        }
    }
}

#[test]
fn what_is_sent_arrives_in_order_and_in_pieces_of_any_size() {
    let mut reads = Vec::new();
    for seed in 1..20 {
        let world = World::new(seed);
        let (mut client, stream) = world.connect();
        let sent: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        client.send(&sent).expect("open");
        client.close();
        let came = Rc::new(RefCell::new(Vec::new()));
        let copy = came.clone();
        world.machine().spawn(Class::Intake, async move {
            while let Ok(octets) = client.receive().await {
                if octets.is_empty() {
                    break;
                }
                copy.borrow_mut().extend(octets);
            }
        });
        let (count, total) = world.block_on(echo(stream)).expect("ends");
        world.run_until_idle();
        assert_eq!(total, sent.len());
        assert!(*came.borrow() == sent);
        reads.push(count);
    }
    assert!(reads.windows(2).any(|pair| pair[0] != pair[1]));
}

#[test]
fn a_client_that_does_not_read_holds_the_server_back() {
    let world = World::new(1);
    let (client, stream) = world.connect();
    client.send(vec![b'x'; 1_000_000]).expect("open");
    world.machine().spawn(Class::Intake, async { _ = echo(stream).await });
    world.run_until_idle();
    assert_eq!(client.received().len(), 64 * 1024);
    assert!(!client.is_over());
    world.run_until_idle();
    assert!(!client.received().is_empty());
}

#[test]
fn ends_and_resets_are_told_apart() {
    let world = World::new(1);
    let (client, stream) = world.connect();
    drop(stream);
    assert_eq!(world.block_on(async { client.receive().await.ok() }), Some(Some(vec![])));
    assert!(client.is_over());
    client.send("vanishes").expect("as TCP does");
    assert!(client.send("refused").is_err());

    let (client, stream) = world.connect();
    client.send("QUIT\r\n").expect("open");
    world.run_until_idle();
    drop(stream);
    assert!(world.block_on(async { client.receive().await.is_err() }).expect("ends"), "left unread");

    let (client, mut stream) = world.connect();
    client.reset();
    let read = world.block_on(std::future::poll_fn(|context| stream.poll_read(context, &mut [0; 10])));
    assert!(read.expect("ends").is_err());
    let write = world.block_on(std::future::poll_fn(|context| stream.poll_write(context, b"x")));
    assert!(write.expect("ends").is_err());
}

#[test]
fn lines_come_whole() {
    for seed in seeds(20) {
        let world = World::new(seed);
        let (mut client, stream) = world.connect();
        world.machine().spawn(Class::Intake, async { _ = echo(stream).await });
        client.send("220 ready\r\n250 ok\r\n4").expect("open");
        client.close();
        let lines = world.block_on(async {
            let mut lines = Vec::new();
            for _ in 0..4 {
                lines.push(client.receive_line().await.expect("no reset"));
            }
            lines
        });
        assert_eq!(lines.expect("ends"), ["220 ready\r\n", "250 ok\r\n", "4", ""]);
    }
}

#[test]
fn the_trace_keeps_the_last_events() {
    let world = maildir(1);
    world.keep_trace(3);
    let machine = world.machine();
    world.block_on(async { deliver(&machine, "a").await }).expect("ends").expect("delivered");
    let trace = world.trace();
    assert_eq!(trace.len(), 3);
    assert!(trace[2].ends_with("SyncDirectory [\"/new\"]"), "{trace:?}");
}

#[test]
fn other_hosts_are_reached_refuse_or_are_silent() {
    for seed in seeds(20) {
        let world = World::new(seed);
        let there = Peer::Tcp("192.0.2.25:25".parse().expect("an address"));
        let host = world.host(there.clone());
        let (machine, server, from) = (world.machine(), host.clone(), "192.0.2.9".parse().expect("an address"));
        world.machine().spawn(Class::Delivery, async move {
            let (end, came_from) = server.accept().await;
            assert_eq!(came_from, Some(from));
            end.send("220 there").expect("a client");
            assert_eq!(end.receive_line().await.expect("a client"), "QUIT\n");
            end.reset();
        });
        let said = world.block_on(async {
            let mut stream = machine.connect(&there, Some(from)).await.expect("it answers");
            let mut buffer = [0; 64];
            let mut said = Vec::new();
            while said.len() < 9 {
                let octets = std::future::poll_fn(|context| stream.poll_read(context, &mut buffer)).await;
                said.extend_from_slice(&buffer[..octets.expect("a server")]);
            }
            for octet in b"QUIT\n" {
                std::future::poll_fn(|context| stream.poll_write(context, &[*octet])).await.expect("a server");
            }
            let end = std::future::poll_fn(|context| stream.poll_read(context, &mut buffer)).await;
            assert_eq!(end.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
            said
        });
        assert_eq!(said.as_deref(), Some(&b"220 there"[..]));
        let kind =
            |to: Peer, from| world.block_on(machine.connect(&to, from)).map(|result| result.err().map(|e| e.kind()));
        let refused = Some(Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(kind(Peer::Tcp("192.0.2.26:25".parse().expect("an address")), None), refused);
        assert_eq!(kind(Peer::Unix("/run/lmtp".into()), None), Some(Some(io::ErrorKind::NotFound)));
        assert_eq!(kind(there.clone(), "::1".parse().ok()), Some(Some(io::ErrorKind::AddrNotAvailable)));
        host.set_manner(Manner::Refuses);
        assert_eq!(kind(there.clone(), None), refused);
        host.set_manner(Manner::Silent);
        assert_eq!(kind(there, None), None, "it waits for ever");
        assert_eq!(host.attempts(), 3);
    }
}
