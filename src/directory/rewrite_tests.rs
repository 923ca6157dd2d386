use super::*;
use futures_lite::future::block_on;
use proptest::prelude::*;
use std::convert::Infallible;

/// A table in memory.
#[derive(Clone, Debug, Default)]
struct Listed(Vec<(Source, Mapping)>);

impl Listed {
    fn new(entries: &[(&str, &str)]) -> Listed {
        let entry = |(source, mapping): &(&str, &str)| {
            (Source::parse(source).expect("a source"), Mapping::parse(mapping).expect("a mapping"))
        };
        Listed(entries.iter().map(entry).collect())
    }

    fn of(&self, source: &Source) -> Vec<Mapping> {
        self.0.iter().filter(|(known, _)| known == source).map(|(_, mapping)| mapping.clone()).collect()
    }
}

impl Table for Listed {
    type Error = Infallible;

    async fn mappings(&self, source: &Source) -> Result<Vec<Mapping>, Infallible> {
        Ok(self.of(source))
    }
}

impl Backwards for Listed {
    type Error = Infallible;

    async fn sources(&self, mapping: &Mapping) -> Result<Vec<Source>, Infallible> {
        Ok(self.0.iter().filter(|(_, known)| known == mapping).map(|(source, _)| source.clone()).collect())
    }
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("a mailbox")
}

fn resolved(table: &Listed, address: &str, limit: u32) -> String {
    match block_on(resolve(table, &mailbox(address), limit)) {
        Ok(Resolved::Same) => "same".to_owned(),
        Ok(Resolved::To(targets)) => targets.iter().map(Mailbox::to_string).collect::<Vec<_>>().join(" "),
        Ok(Resolved::Refused(text)) => format!("refused: {text}"),
        Ok(Resolved::TooMany) => "too many".to_owned(),
    }
}

#[track_caller]
fn becomes(entries: &[(&str, &str)], address: &str, expected: &str) {
    assert_eq!(resolved(&Listed::new(entries), address, 10), expected);
}

#[test]
fn addresses_become_their_targets() {
    becomes(&[], "a@x", "same");
    becomes(&[("a@x", "b@x")], "A@X", "b@x");
    becomes(&[("a@x", "b@x")], "c@x", "same");
    becomes(&[("x", "domain:y")], "a@x", "a@y");
    becomes(&[("x", "domain:y"), ("a@x", "b@z")], "a@x", "b@z");
    becomes(&[("a@x", "b@x")], "a+list@x", "b@x");
    becomes(&[("a@x", "b@x"), ("a+list@x", "c@x")], "a+list@x", "c@x");
    becomes(&[("all@x", "group:a@x"), ("all@x", "group:b@x"), ("all@x", "group:a@x")], "all@x", "a@x b@x");
}

#[test]
fn mappings_are_followed_in_the_order_of_their_kinds() {
    let entries = [("a@x", "last@x"), ("a@x", "forward:third@x"), ("a@x", "group:second@x"), ("x", "domain:y")];
    // What has no entry of its own has that of its domain.
    becomes(&entries, "a@x", "second@y third@y last@y");
    becomes(&[("x", "regex:(.*)@x:${1}@later"), ("x", "domain:y")], "a@x", "a@y a@later");
}

#[test]
fn a_forward_to_itself_keeps_a_copy_and_nothing_else_does() {
    becomes(&[("a@x", "forward:a@x"), ("a@x", "forward:b@x")], "a@x", "a@x b@x");
    becomes(&[("a@x", "group:b@x"), ("a@x", "group:a@x")], "a@x", "same");
    becomes(&[("a@x", "b@x"), ("b@x", "b@x")], "a@x", "b@x");
    becomes(&[("x", "domainAlias:x")], "a@x", "same");
}

#[test]
fn a_refusal_anywhere_refuses() {
    becomes(&[("a@x", "error:550 5.1.6 Gone")], "a@x", "refused: 550 5.1.6 Gone");
    becomes(&[("all@x", "group:a@x"), ("all@x", "group:b@x"), ("b@x", "error:Gone")], "all@x", "refused: Gone");
}

#[test]
fn loops_and_long_ways_end() {
    becomes(&[("a@x", "b@x"), ("b@x", "a@x")], "a@x", "too many");
    becomes(&[("x", "domain:y"), ("y", "domain:x")], "a@x", "too many");
    let way = Listed::new(&[("a@x", "b@x"), ("b@x", "c@x"), ("c@x", "d@x")]);
    assert_eq!(resolved(&way, "a@x", 3), "too many");
    assert_eq!(resolved(&way, "a@x", 4), "d@x");
    assert_eq!(resolved(&way, "a@x", 0), "b@x", "not followed");
}

#[test]
fn what_multiplies_is_bounded() {
    // Ten levels of ten members each: more ways than anyone could go.
    let mut entries = Vec::new();
    for level in 0..10 {
        for (from, to) in (0..10).flat_map(|from| (0..10).map(move |to| (from, to))) {
            entries.push((format!("g{level}-{from}@x"), format!("group:g{}-{to}@x", level + 1)));
        }
    }
    let entries: Vec<_> = entries.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    becomes(&entries, "g0-0@x", "too many");
    let members: Vec<_> = (0..=TARGETS).map(|number| format!("group:m{number}@x")).collect();
    let entries: Vec<_> = members.iter().map(|member| ("all@x", member.as_str())).collect();
    becomes(&entries, "all@x", "too many");
    assert_eq!(resolved(&Listed::new(&entries[..500]), "all@x", 10).split(' ').count(), 500);
}

#[test]
fn users_send_from_their_aliases() {
    let table = Listed::new(&[
        ("sales@x", "alias:you@x"),
        ("shop@x", "alias:sales@x"),
        ("team@x", "group:you@x"),
        ("fwd@x", "forward:you@x"),
        ("plain@x", "you@x"),
        ("y", "domainAlias:x"),
        ("z", "domain:x"),
        ("other@elsewhere", "alias:you@x"),
        ("branch", "domainAlias:elsewhere"),
    ]);
    let may = |from: &str, limit| {
        block_on(may_send_as(&table, &mailbox("you@x"), &mailbox(from), limit)).expect("infallible")
    };
    for from in
        ["You@X", "you+list@x", "sales@x", "shop@x", "you@y", "shop@y", "other@elsewhere", "other@branch", "other@y"]
    {
        assert!(may(from, 10), "{from}");
    }
    for from in ["team@x", "fwd@x", "plain@x", "you@z", "me@x", "you@branch", "sales@branch"] {
        assert!(!may(from, 10), "{from}");
    }
    assert!(may("sales@x", 1) && !may("shop@x", 1), "aliases of aliases count as far as the limit goes");
}

/// What James does, said as it says it: recursion, without bounds but the limit.
enum Outcome {
    Targets(Vec<Mailbox>),
    Refused(String),
    TooMany,
}

fn naive(table: &Listed, address: &Mailbox, left: u32) -> Outcome {
    if left == 0 {
        return Outcome::TooMany;
    }
    let mut mappings = table.of(&Source::Mailbox(address.clone()));
    if mappings.is_empty() {
        mappings = table.of(&Source::Domain(address.domain().clone()));
    }
    mappings.sort_by_key(|mapping| mapping.kind().order());
    let mut targets = Vec::new();
    for mapping in &mappings {
        match mapping.rewrite(address) {
            Rewritten::Refused(text) => return Outcome::Refused(text.to_owned()),
            Rewritten::Nothing => {}
            Rewritten::To(target) if target == *address && mapping.kind() == Kind::Forward => targets.push(target),
            Rewritten::To(target) if target == *address => return Outcome::Targets(Vec::new()),
            Rewritten::To(target) => match naive(table, &target, left - 1) {
                Outcome::Targets(deeper) if deeper.is_empty() => targets.push(target),
                Outcome::Targets(deeper) => targets.extend(deeper),
                other => return other,
            },
        }
    }
    Outcome::Targets(targets)
}

fn tables() -> impl Strategy<Value = Listed> {
    let address = "[a-e]@[xy]";
    let mapping = prop_oneof![
        4 => "(group:|forward:|alias:)?[a-e]@[xy]",
        1 => "domain(Alias)?:[xy]",
        1 => "regex:\\(\\[a-c\\]\\)@\\(\\.\\*\\):\\$\\{1\\}@y",
        1 => "error:no",
    ];
    let entry = (prop_oneof![4 => address, 1 => "[xy]"], mapping);
    prop::collection::vec(entry, 0..10).prop_map(|entries| {
        let entries: Vec<_> = entries.iter().map(|(source, mapping)| (source.as_str(), mapping.as_str())).collect();
        Listed::new(&entries)
    })
}

proptest! {
    #[test]
    fn it_does_what_james_does(table in tables(), address in "[a-e]@[xy]", limit in 1u32..6) {
        let address = mailbox(&address);
        let expected = match naive(&table, &address, limit) {
            Outcome::Targets(targets) if targets.is_empty() => Resolved::Same,
            Outcome::Targets(targets) => {
                let mut once = Vec::new();
                targets.into_iter().for_each(|target| add(&mut once, target));
                Resolved::To(once)
            }
            Outcome::Refused(text) => Resolved::Refused(text.into()),
            Outcome::TooMany => Resolved::TooMany,
        };
        prop_assert_eq!(block_on(resolve(&table, &address, limit)).expect("infallible"), expected);
    }

    #[test]
    fn it_ends_whatever_the_table_holds(table in tables(), address in "[a-e]@[xy]") {
        if let Ok(Resolved::To(targets)) = block_on(resolve(&table, &mailbox(&address), 1000)) {
            prop_assert!(!targets.is_empty() && targets.len() <= TARGETS);
        }
    }
}
