//! Mail is kept whole or not at all, whenever the power fails and whatever the disk refuses.

use super::label::tests::label;
use super::*;
use crate::io::sim::{Edge, Fault, Operation, SimMachine, World, errno};

const ROOT: &str = "/base/repositories";
const URL: &str = "file://var/mail/error/";
const DIRECTORY: &str = "/base/repositories/var/mail/error";

fn content() -> Vec<u8> {
    (0..150_000u32).map(|number| (number % 251) as u8).collect()
}

fn repositories(machine: SimMachine) -> Repositories<SimMachine> {
    Repositories::new(machine, ROOT.as_ref())
}

async fn keep(machine: SimMachine) -> io::Result<Kept> {
    let mut keeping = repositories(machine).begin(URL, label(7, &["you@localhost"])).await?;
    for slice in content().chunks(10_007) {
        if let Err(error) = keeping.push(slice).await {
            keeping.abandon().await;
            return Err(error);
        }
    }
    keeping.finish().await
}

fn world() -> World {
    let world = World::new(1);
    world.disk().make_directory("/base").expect("the disk is empty");
    world
}

fn name() -> MailName {
    MailName::new(label(7, &[]).envelope.id, &label(7, &["you@localhost"]).envelope.recipients)
}

fn names(world: &World) -> Vec<String> {
    world.disk().list(DIRECTORY).unwrap_or_default()
}

/// Whether the mail is there; if it is, it is whole.
fn is_kept(world: &World) -> bool {
    let Ok(envelope) = world.disk().read(format!("{DIRECTORY}/{}", name().envelope())) else { return false };
    assert_eq!(Label::parse(&envelope).expect("it is whole"), label(7, &["you@localhost"]));
    assert!(world.disk().read(format!("{DIRECTORY}/{}", name().content())).expect("it is there") == content());
    true
}

/// How many places to crash at `work` has.
fn boundaries(world: &World, work: impl Future<Output = ()>) -> u64 {
    let before = world.faults().boundaries();
    world.block_on(work).expect("nothing stops it");
    world.faults().boundaries() - before
}

fn edges(boundaries: u64) -> impl Iterator<Item = (u64, Edge)> {
    (1..=boundaries).flat_map(|at| [(at, Edge::Before), (at, Edge::After)])
}

#[test]
fn a_mail_reads_back_and_goes() {
    let world = world();
    let machine = world.machine();
    world.block_on(async {
        let kept = keep(machine.clone()).await.expect("there is room");
        assert_eq!(*kept.name(), name());
        let (repositories, repository) = (repositories(machine), RepositoryName::of_url(URL));
        let label_there = repositories.label(&repository, kept.name()).await.expect("it is there");
        assert_eq!(label_there, label(7, &["you@localhost"]));
        let mut read = Vec::new();
        let all = repositories.read(&repository, kept.name(), async |slice| {
            read.extend_from_slice(slice);
            Ok(())
        });
        all.await.expect("it is there");
        assert!(read == content());
        repositories.remove(&repository, kept.name()).await.expect("it is there");
        let gone = repositories.label(&repository, kept.name()).await.expect_err("it is gone");
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    });
    assert_eq!(names(&world), Vec::<String>::new());
}

#[test]
fn mail_of_one_message_for_different_recipients_is_kept_apart() {
    let world = world();
    let machine = world.machine();
    world.block_on(async {
        for recipient in ["a@localhost", "b@localhost", "a@localhost"] {
            let keeping =
                repositories(machine.clone()).begin(URL, label(7, &[recipient])).await.expect("there is room");
            keeping.finish().await.expect("there is room");
        }
    });
    assert_eq!(names(&world).len(), 4, "{:?}", names(&world));
}

#[test]
fn a_crash_anywhere_leaves_a_mail_whole_or_not_there() {
    let count = {
        let world = world();
        let machine = world.machine();
        boundaries(&world, async { drop(keep(machine).await) })
    };
    assert!(count >= 20, "{count}");
    for seed in 0..4 {
        for (at, edge) in edges(count) {
            let world = World::new(seed);
            world.disk().make_directory("/base").expect("the disk is empty");
            world.faults().crash_at(at, edge);
            let machine = world.machine();
            let acknowledged = matches!(world.block_on(keep(machine)), Some(Ok(_)));
            world.crash();
            let machine = world.restart();
            assert!(is_kept(&world) || !acknowledged, "at {at} {edge:?}");
            world.block_on(keep(machine)).expect("nothing stops it").expect("there is room");
            assert!(is_kept(&world));
            world.crash();
            world.restart();
            assert!(is_kept(&world), "what was acknowledged stays");
            assert_eq!(names(&world).len(), 2, "nothing else is left: {:?}", names(&world));
        }
    }
}

#[test]
fn a_crash_while_a_mail_is_removed_leaves_it_whole_or_not_there() {
    let prepared = |seed| {
        let world = World::new(seed);
        world.disk().make_directory("/base").expect("the disk is empty");
        let machine = world.machine();
        world.block_on(keep(machine)).expect("nothing stops it").expect("there is room");
        world
    };
    let remove = async |machine: SimMachine| {
        let _ = repositories(machine).remove(&RepositoryName::of_url(URL), &name()).await;
    };
    let count = {
        let world = prepared(0);
        boundaries(&world, remove(world.machine()))
    };
    assert_eq!(count, 3);
    for seed in 0..4 {
        for (at, edge) in edges(count) {
            let world = prepared(seed);
            world.faults().crash_at(at, edge);
            let ended = world.block_on(remove(world.machine())).is_some();
            world.crash();
            world.restart();
            assert!(!is_kept(&world) || !ended, "at {at} {edge:?}");
        }
    }
}

#[test]
fn a_disk_that_refuses_is_an_error_and_leaves_nothing_behind() {
    let operations = [
        (Operation::Open, errno::ENOSPC),
        (Operation::Write, errno::ENOSPC),
        (Operation::Sync, errno::EIO),
        (Operation::Rename, errno::EIO),
        (Operation::CreateDirectory, errno::ENOSPC),
        (Operation::SyncDirectory, errno::EIO),
    ];
    let mut met = 0;
    for (operation, number) in operations {
        for nth in 1.. {
            let world = world();
            world.faults().add(Fault::fail(operation, number).nth(nth).below("/base"));
            let machine = world.machine();
            let result = world.block_on(keep(machine)).expect("nothing stops it");
            let Err(error) = result else {
                assert!(is_kept(&world));
                break;
            };
            met += 1;
            assert_eq!(error.raw_os_error(), Some(number));
            assert!(
                names(&world).iter().all(|name| !name.ends_with(UNFINISHED)),
                "{operation:?} {nth}: {:?}",
                names(&world)
            );
            world.faults().clear();
            let machine = world.machine();
            world.block_on(keep(machine)).expect("nothing stops it").expect("there is room again");
            assert!(is_kept(&world));
        }
    }
    assert!(met > 15, "{met}");
}

#[test]
fn a_repository_that_was_removed_meanwhile_is_made_again() {
    let world = world();
    let repositories = repositories(world.machine());
    let once = async |id| {
        let keeping = repositories.begin(URL, label(id, &["you@localhost"])).await.expect("it is made");
        keeping.finish().await.expect("it is made");
    };
    world.block_on(once(1)).expect("nothing stops it");
    let made = world.faults().count(Operation::CreateDirectory);
    world.block_on(once(2)).expect("nothing stops it");
    assert_eq!(world.faults().count(Operation::CreateDirectory), made, "it is known to be there");
    world.faults().add(Fault::fail(Operation::Open, io::ErrorKind::NotFound).nth(1));
    world.block_on(once(3)).expect("nothing stops it");
    assert!(world.faults().count(Operation::CreateDirectory) > made);
    assert_eq!(names(&world).len(), 6);
}
