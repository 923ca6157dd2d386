//! Octets that change while nobody looks.

use ringpost::io::sim::{Random, seeds};
use ringpost::spool::record::{ALIGNMENT, Header, Kind, Message};
use ringpost::spool::segment::{SEGMENT_HEADER, decode_header};

use super::client::SMTP;
use super::host::{Host, SPOOL};
use super::ledger::Fate;
use super::mail::pick;

/// A host that was killed while it held ten messages, which came one after the other; some are chains of records.
fn killed_with_mail(seed: u64) -> Host {
    let mut host = Host::new(seed);
    host.hold = true;
    assert!(host.start());
    for _ in 0..10 {
        let size = pick(&mut host.random, &[0, 200, 5_000, 40_000, 300_000]);
        let mail = host.plain_mail(0, size);
        host.send(SMTP, vec![mail]);
        assert!(host.settle());
    }
    assert_eq!(host.ledger.count(Fate::Accepted), 10);
    host.kill();
    host.hold = false;
    host
}

/// Where a record is: the segment's name, its first octet, its header.
type Place = (String, usize, Header);

/// All whole records, in the order of segments and places.
fn records(host: &Host) -> Vec<Place> {
    let mut found = Vec::new();
    let secret = host.world.disk().read(format!("{SPOOL}/secret")).expect("every log has one");
    let key = decode_header(&secret).expect("it is whole").key;
    for name in host.segments() {
        let octets = host.world.disk().read(format!("{SPOOL}/{name}")).expect("listed");
        let mut at = SEGMENT_HEADER;
        while at < octets.len() {
            match Header::decode(&octets[at..], key).filter(|header| header.matches(&octets[at..])) {
                Some(header) => {
                    found.push((name.clone(), at, header));
                    at += header.stride();
                }
                None => at += ALIGNMENT,
            }
        }
    }
    found
}

fn overwrite(host: &Host, name: &str, at: usize, octets: &[u8]) {
    let path = format!("{SPOOL}/{name}");
    let mut content = host.world.disk().read(&path).expect("listed");
    content[at..at + octets.len()].copy_from_slice(octets);
    host.world.disk().write(&path, &content).expect("there is room");
}

/// Changes some octets of a record, one or many.
fn damage(host: &mut Host, (name, start, header): &Place) {
    let length = if host.random.one_in(2) { 1 } else { 1 + host.random.index(header.length as usize) };
    let at = start + host.random.index(header.length as usize - length + 1);
    let path = format!("{SPOOL}/{name}");
    let old = host.world.disk().read(&path).expect("listed")[at..at + length].to_vec();
    let new: Vec<_> = old.iter().map(|octet| octet ^ host.random.between(1, 255) as u8).collect();
    overwrite(host, name, at, &new);
}

/// Messages that did not arrive, by the files in the one mailbox.
fn missing(host: &Host) -> usize {
    let problems = host.ledger.problems(&host.world, super::ledger::Strictness::Safe);
    assert!(problems.iter().all(|problem| problem.ends_with("found 0 times")), "{problems:#?}");
    problems.len()
}

#[test]
fn one_damaged_record_costs_one_message_and_is_set_aside() {
    for seed in seeds(25) {
        let mut host = killed_with_mail(seed);
        let all = records(&host);
        // Of the very last batch nothing says that it was ever whole.
        let last = all.iter().map(|(_, _, header)| header.epoch).max().unwrap_or(0);
        let last = all.iter().rposition(|(_, _, header)| header.epoch == last).unwrap_or(0);
        let known: Vec<_> =
            all.iter().enumerate().filter(|(place, _)| *place != last).map(|(_, hit)| hit.clone()).collect();
        let hit = pick(&mut host.random, &known);
        damage(&mut host, &hit);
        assert!(host.start());
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        assert_eq!(missing(&host), 1, "seed {seed}: {hit:?}");
        let kept = host.world.disk().list(format!("{SPOOL}/quarantine")).expect("damage was set aside");
        assert_eq!(kept.len(), host.quarantined());
        // A message that lacks a part of its content is of no use, but what there is of it is kept as well.
        assert!(kept.len() == if hit.2.kind == Kind::Chunk { 2 } else { 1 }, "seed {seed}: {hit:?}: {kept:?}");
    }
}

#[test]
fn a_damaged_segment_header_costs_nothing() {
    for seed in seeds(10) {
        let mut host = killed_with_mail(seed);
        let names = host.segments();
        let name = pick(&mut host.random, &names);
        let at = host.random.index(20);
        let length = 1 + host.random.index(SEGMENT_HEADER - at);
        let octets = vec![host.random.bits() as u8; length];
        overwrite(&host, &name, at, &octets);
        assert!(host.start());
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        assert_eq!(missing(&host), 0, "seed {seed}: {name}");
    }
}

/// What can happen to the files of a log.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip,
    Blank,
    Garbage,
    Cut,
    Longer,
    Copied,
    Removed,
    Secret,
}

const HARMS: [Harm; 8] =
    [Harm::Flip, Harm::Blank, Harm::Garbage, Harm::Cut, Harm::Longer, Harm::Copied, Harm::Removed, Harm::Secret];

/// Does harm to a file; which segment it was, if it was one.
fn harm(host: &mut Host, what: Harm) -> Option<String> {
    let names = host.segments();
    let name = pick(&mut host.random, &names);
    let path = format!("{SPOOL}/{name}");
    let mut octets = host.world.disk().read(&path).expect("listed");
    let start = host.random.index(octets.len().max(1));
    let end = start + host.random.index(octets.len() - start + 1);
    match what {
        Harm::Flip => octets.iter_mut().skip(start).take(1 + end % 5).for_each(|octet| *octet ^= 0x55),
        Harm::Blank => octets[start..end].fill(0),
        Harm::Garbage => octets[start..end].iter_mut().for_each(|octet| *octet = host.random.bits() as u8),
        Harm::Cut => octets.truncate(start),
        Harm::Longer => octets.extend((0..start % 9000).map(|number| number as u8)),
        Harm::Copied => {
            let other = pick(&mut host.random, &names);
            octets = host.world.disk().read(format!("{SPOOL}/{other}")).expect("listed");
        }
        Harm::Removed => {
            host.world.disk().remove(&path).expect("listed");
            return Some(name);
        }
        Harm::Secret => {
            let garbage: Vec<_> = (0..host.random.index(5000)).map(|_| host.random.bits() as u8).collect();
            host.world.disk().write(format!("{SPOOL}/secret"), &garbage).expect("there is room");
            return None;
        }
    }
    host.world.disk().write(&path, &octets).expect("there is room");
    Some(name)
}

/// The numbers of messages that have no record in these segments.
fn spared(host: &Host, hit: &[String]) -> Vec<usize> {
    let all = records(host);
    let segment_of =
        |epoch: u64| all.iter().find(|(_, _, header)| header.epoch == epoch).map(|(name, _, _)| name.clone());
    let mut numbers = Vec::new();
    for (name, at, header) in all.iter().filter(|(_, _, header)| header.kind == Kind::Message) {
        let octets = host.world.disk().read(format!("{SPOOL}/{name}")).expect("listed");
        let message = Message::decode(header, &octets[*at..], *at as u32).expect("it is whole");
        let mut segments = message.extents.iter().filter_map(|extent| segment_of(extent.epoch));
        if segments.all(|segment| !hit.contains(&segment)) {
            let path = message.envelope.reverse_path.to_string();
            let digits: String = path.chars().filter(char::is_ascii_digit).collect();
            numbers.push(digits.parse().expect("m, its number, the client's domain"));
        }
    }
    numbers
}

#[test]
fn whatever_happens_to_files_the_host_starts_and_what_was_spared_arrives() {
    let mut arrived = 0;
    for seed in seeds(20) {
        let mut host = killed_with_mail(seed);
        let harms: Vec<_> = (0..host.random.between(1, 4)).map(|_| pick(&mut host.random, &HARMS)).collect();
        // Read before, when all is whole; a segment is hit if any of the harms hits it.
        let before = host.world.disk().list(SPOOL).expect("listed");
        let originals: Vec<_> = host
            .segments()
            .into_iter()
            .map(|name| (name.clone(), host.world.disk().read(format!("{SPOOL}/{name}")).expect("listed")))
            .collect();
        let secret = host.world.disk().read(format!("{SPOOL}/secret")).expect("every log has one");
        let mut hit = Vec::new();
        for what in &harms {
            hit.extend(harm(&mut host, *what));
        }
        let harmed: Vec<_> = host
            .segments()
            .into_iter()
            .map(|name| (name.clone(), host.world.disk().read(format!("{SPOOL}/{name}")).expect("listed")))
            .collect();
        let harmed_secret = host.world.disk().read(format!("{SPOOL}/secret")).expect("every log has one");
        for (name, octets) in &originals {
            host.world.disk().write(format!("{SPOOL}/{name}"), octets).expect("there is room");
        }
        host.world.disk().write(format!("{SPOOL}/secret"), &secret).expect("there is room");
        let spared = spared(&host, &hit);
        for name in before.iter().filter(|name| name.starts_with("segment-")) {
            host.world.disk().remove(format!("{SPOOL}/{name}")).expect("it is there");
        }
        for (name, octets) in &harmed {
            host.world.disk().write(format!("{SPOOL}/{name}"), octets).expect("there is room");
        }
        host.world.disk().write(format!("{SPOOL}/secret"), &harmed_secret).expect("there is room");

        assert!(host.start());
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        let problems = host.ledger.problems(&host.world, super::ledger::Strictness::Safe);
        assert!(
            problems.iter().all(|problem| problem.ends_with("found 0 times")),
            "seed {seed}: {harms:?} {problems:#?}"
        );
        for number in &spared {
            let missing = problems.iter().any(|problem| problem.starts_with(&format!("message {number} ")));
            assert!(!missing, "seed {seed}: {harms:?} of {hit:?}: message {number} was spared and is not there");
        }
        arrived += spared.len();
        let mail = host.plain_mail(1, 1000);
        let number = mail.number;
        host.send(SMTP, vec![mail]);
        assert!(host.settle());
        host.ledger.with(number, |entry| assert_eq!(entry.fates, [Fate::Accepted], "seed {seed}"));
        // And it does so again.
        host.crash_or_kill();
        assert!(host.start() && host.settle(), "seed {seed}");
    }
    assert!(arrived > 10, "{arrived}");
}

#[test]
fn any_octets_in_segments_keep_no_host_from_starting() {
    for seed in seeds(10) {
        let mut host = killed_with_mail(seed);
        for name in host.segments() {
            let length = host.world.disk().read(format!("{SPOOL}/{name}")).expect("listed").len();
            let (start, mut random) = (host.random.index(length), Random::new(host.random.bits()));
            let octets: Vec<_> = (0..random.index(length - start)).map(|_| random.bits() as u8).collect();
            overwrite(&host, &name, start, &octets);
        }
        assert!(host.start());
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        missing(&host);
        let mail = host.plain_mail(1, 1000);
        let number = mail.number;
        host.send(SMTP, vec![mail]);
        assert!(host.settle());
        host.ledger.with(number, |entry| assert_eq!(entry.fates, [Fate::Accepted], "seed {seed}"));
    }
}
