//! A mail that goes on is in the spool or in its repository, or in both, and never in neither.

use std::time::Duration;

use super::*;
use crate::delivery::repository::label::tests::label;
use crate::delivery::repository::{Label, MailName, RepositoryName};
use crate::io::sim::{Edge, Fault, Operation, SimMachine, World, errno};
use crate::mail::SessionId;
use crate::spool::{Opened, Settings};

const URL: &str = "file://var/mail/error/";
const CONTENT: &[u8] = b"Subject: x\r\n\r\n.a\r\n..b\r\n";

fn settings() -> Settings {
    Settings {
        segment_octets: 128 * 1024,
        prepared: 1,
        max_segments: 16,
        reserve_octets: 0,
        max_messages: 10,
        longest_delay: Duration::from_secs(60),
    }
}

async fn open(machine: &SimMachine) -> Opened<SimMachine> {
    let opened = Spool::open(machine.clone(), "/log".as_ref(), settings(), Box::new(|_| {}));
    opened.await.expect("any state of a log can be opened")
}

fn kept() -> Label {
    label(7, &["you@localhost", "me@localhost"])
}

fn request() -> Reprocess {
    let envelope = kept().envelope;
    let mail = MailName::new(envelope.id, &envelope.recipients);
    Reprocess { repository: RepositoryName::of_url(URL), mail, processor: "transport".into() }
}

/// A world with a mail in a repository and an open spool.
fn prepared(seed: u64) -> (World, Spool<SimMachine>, Repositories<SimMachine>) {
    let world = World::new(seed);
    let machine = world.machine();
    let repositories = Repositories::new(machine.clone(), "/repositories".as_ref());
    let spool = world.block_on(async {
        let mut keeping = repositories.begin(URL, kept()).await.expect("there is room");
        keeping.push(CONTENT).await.expect("there is room");
        keeping.finish().await.expect("there is room");
        let spool = open(&machine).await.spool;
        spool.settled().await;
        spool
    });
    world.run(Duration::from_secs(1));
    (world, spool.expect("nothing stops it"), repositories)
}

fn is_kept(world: &World) -> bool {
    let path = request().repository.path("/repositories".as_ref());
    let envelope = world.disk().read(path.join(request().mail.envelope()));
    envelope.is_ok_and(|_| world.disk().read(path.join(request().mail.content())).expect("it is whole") == CONTENT)
}

/// Whether message 9 is there; if it is, it is the mail.
async fn is_in(spool: &Spool<SimMachine>) -> bool {
    if !spool.has(MessageId(9)) {
        return false;
    }
    let stored = spool.read(MessageId(9)).await.expect("it is there");
    let mut content = Vec::new();
    let all = spool.read_content(&stored, async |slice| {
        content.extend_from_slice(slice);
        Ok(())
    });
    all.await.expect("it is whole");
    assert_eq!(content, CONTENT);
    let message = &stored.message;
    assert!(!message.content.dot_stuffed && message.content.octets == CONTENT.len() as u64);
    assert_eq!(message.envelope, Envelope { id: MessageId(9), ..kept().envelope });
    let journey = Journey::decode(&message.fields.notes).expect("it was written");
    assert_eq!((journey.state.as_deref(), journey.failures, &journey.error), (Some("transport"), 0, &kept().error));
    assert_eq!(label_attributes(&journey.attributes), kept().attributes);
    true
}

#[test]
fn it_goes_from_one_to_the_other_as_it_was() {
    let (world, spool, repositories) = prepared(1);
    world.block_on(async {
        let taken = reprocess(&spool, &repositories, MessageId(9), &request()).await.expect("there is room");
        assert!(taken.id == MessageId(9) && taken.left.is_none());
        assert!(is_in(&spool).await && !is_kept(&world));
        assert_eq!(spool.take_due(), Some(MessageId(9)));
        let again = reprocess(&spool, &repositories, MessageId(10), &request()).await;
        assert!(matches!(again, Err(Undone::Gone)));
        assert_eq!(kept().envelope.session, SessionId(5), "who brought it is not forgotten");
    });
}

#[test]
fn a_crash_anywhere_loses_it_from_neither() {
    let count = {
        let (world, spool, repositories) = prepared(1);
        let before = world.faults().boundaries();
        world.block_on(async { drop(reprocess(&spool, &repositories, MessageId(9), &request()).await) });
        world.faults().boundaries() - before
    };
    assert!(count >= 4, "{count}");
    for seed in 0..4 {
        for at in 1..=count {
            for edge in [Edge::Before, Edge::After] {
                let (world, spool, repositories) = prepared(seed);
                world.faults().crash_at(at, edge);
                world.block_on(async { drop(reprocess(&spool, &repositories, MessageId(9), &request()).await) });
                drop((spool, repositories));
                world.crash();
                let machine = world.restart();
                world.block_on(async {
                    let spool = open(&machine).await.spool;
                    assert!(is_in(&spool).await || is_kept(&world), "seed {seed}, at {at} {edge:?}");
                });
            }
        }
    }
}

#[test]
fn where_the_spool_takes_none_it_stays() {
    let (world, spool, repositories) = prepared(1);
    world.faults().add(Fault::fail(Operation::Write, errno::EIO).below("/log"));
    world.block_on(async {
        let result = reprocess(&spool, &repositories, MessageId(9), &request()).await;
        assert!(matches!(result, Err(Undone::NotTaken(_))), "{result:?}");
    });
    assert!(is_kept(&world));
}

#[test]
fn where_it_cannot_be_removed_that_is_said() {
    let (world, spool, repositories) = prepared(1);
    world.faults().add(Fault::fail(Operation::Remove, errno::EIO).below("/repositories"));
    world.block_on(async {
        let taken = reprocess(&spool, &repositories, MessageId(9), &request()).await.expect("there is room");
        assert!(taken.left.is_some() && is_in(&spool).await && is_kept(&world));
    });
}
