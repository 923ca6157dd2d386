//! The recipients of a transaction: as the client named them, and where the mail goes.

use std::collections::HashMap;

use crate::mail::{Mailbox, RecipientNote};

/// Octets of ORCPTs that a transaction may have: with the recipients themselves they must fit into one record of the spool. A
/// client that has more parts its recipients over several transactions, as with too many recipients.
const ORIGINALS_MAX: usize = 256 * 1024;

/// Recipients in the order of the RCPT commands. One that nobody rewrote is its own target, as often as it is named; targets
/// of rewritten ones are there once.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    named: Vec<Mailbox>,
    /// Once something was rewritten; until then each one is its own target.
    rewritten: Option<Box<Rewritten>>,
    /// What was said of the targets, once something was said of one.
    said: Option<Box<Said>>,
}

/// Where the mail goes once something was rewritten.
#[derive(Debug)]
struct Rewritten {
    targets: Vec<Mailbox>,
    /// For each one named, the places of its targets.
    routes: Vec<Route>,
    /// The places of targets.
    places: HashMap<Mailbox, usize>,
}

/// What was said of targets.
#[derive(Debug, Default)]
struct Said {
    /// By the targets' places; those behind the last have none.
    notes: Vec<RecipientNote>,
    /// Octets of the ORCPTs among them.
    originals: usize,
}

#[derive(Debug)]
enum Route {
    One(usize),
    Many(Vec<usize>),
}

impl Route {
    fn places(&self) -> &[usize] {
        match self {
            Route::One(place) => std::slice::from_ref(place),
            Route::Many(places) => places,
        }
    }
}

impl Rewritten {
    /// With these, of which each is its own target.
    fn new(named: &[Mailbox]) -> Rewritten {
        Rewritten {
            targets: named.to_vec(),
            routes: (0..named.len()).map(Route::One).collect(),
            places: named.iter().cloned().zip(0..).collect(),
        }
    }

    fn push(&mut self, recipient: &Mailbox) -> usize {
        let place = self.places.get(recipient).copied().unwrap_or_else(|| {
            self.targets.push(recipient.clone());
            self.targets.len() - 1
        });
        self.routes.push(Route::One(place));
        place
    }

    fn place_of(&mut self, target: Mailbox) -> usize {
        let next = self.targets.len();
        let place = *self.places.entry(target.clone()).or_insert(next);
        if place == next {
            self.targets.push(target);
        }
        place
    }
}

impl Recipients {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// As the client named them.
    pub(super) fn named(&self) -> &[Mailbox] {
        &self.named
    }

    /// Where the mail goes.
    pub(super) fn targets(&self) -> &[Mailbox] {
        self.rewritten.as_ref().map_or(&self.named, |rewritten| &rewritten.targets)
    }

    /// What was said of them, one for each; empty where nothing was said of any.
    pub(super) fn notes(&self) -> Vec<RecipientNote> {
        let Some(said) = &self.said else { return Vec::new() };
        let mut notes = said.notes.clone();
        notes.resize(self.targets().len(), RecipientNote::default());
        notes
    }

    /// Octets of the ORCPTs that were given.
    fn originals(&self) -> usize {
        self.said.as_ref().map_or(0, |said| said.originals)
    }

    /// Whether one more with this note can be kept, to however many its mail goes.
    pub(super) fn has_room_for(&self, note: &RecipientNote) -> bool {
        self.originals() + octets(note) <= ORIGINALS_MAX
    }

    /// Notes what was said of a recipient of which this is a target; what was said first stands.
    fn note(&mut self, place: usize, note: &RecipientNote) {
        if note.is_empty() {
            return;
        }
        let targets = self.targets().len();
        let Said { notes, originals } = &mut **self.said.get_or_insert_default();
        notes.resize(targets, RecipientNote::default());
        if let Some(own) = notes.get_mut(place).filter(|own| own.is_empty()) {
            *originals += octets(note);
            *own = note.clone();
        }
    }

    /// How many there are, by whichever count is the larger.
    pub(super) fn len(&self) -> usize {
        self.named.len().max(self.targets().len())
    }

    /// One more whose mail goes to itself.
    pub(super) fn push(&mut self, recipient: Mailbox, note: RecipientNote) {
        let own = self.named.len();
        let place = self.rewritten.as_mut().map_or(own, |rewritten| rewritten.push(&recipient));
        self.named.push(recipient);
        self.note(place, &note);
    }

    /// One more whose mail goes to `targets`, of which there is one or more; false, and nothing is changed, if that made more
    /// than `most`.
    pub(super) fn push_rewritten(
        &mut self,
        recipient: Mailbox,
        note: RecipientNote,
        targets: Vec<Mailbox>,
        most: usize,
    ) -> bool {
        let room = ORIGINALS_MAX.saturating_sub(self.originals());
        let fits = octets(&note).saturating_mul(targets.len()) <= room;
        let rewritten = self.rewritten.get_or_insert_with(|| Box::new(Rewritten::new(&self.named)));
        let new = targets.iter().filter(|target| !rewritten.places.contains_key(target)).count();
        if self.named.len() >= most || rewritten.targets.len().saturating_add(new) > most || !fits {
            return false;
        }
        let route: Vec<usize> = targets.into_iter().map(|target| rewritten.place_of(target)).collect();
        rewritten.routes.push(Route::Many(route.clone()));
        self.named.push(recipient);
        route.iter().for_each(|place| self.note(*place, &note));
        true
    }

    /// Each one named, with the result that counts for it among those of the targets: the first failure, or else that of its
    /// last target. `None`: a target has no result.
    pub(super) fn results<'a, P, E>(
        &'a self,
        results: &'a [Result<P, E>],
    ) -> impl Iterator<Item = (&'a Mailbox, Option<&'a Result<P, E>>)> {
        self.named.iter().enumerate().map(|(place, named)| {
            let own = Route::One(place);
            let route = self.rewritten.as_ref().and_then(|rewritten| rewritten.routes.get(place)).unwrap_or(&own);
            let of_targets = || route.places().iter().map(|place| results.get(*place));
            let complete = of_targets().all(|result| result.is_some());
            let failed = of_targets().flatten().find(|result| result.is_err());
            (named, failed.or(of_targets().last().flatten()).filter(|_| complete))
        })
    }
}

fn octets(note: &RecipientNote) -> usize {
    note.original.as_ref().map_or(0, |original| original.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).expect("a mailbox")
    }

    fn mailboxes(texts: &[&str]) -> Vec<Mailbox> {
        texts.iter().map(|text| mailbox(text)).collect()
    }

    #[test]
    fn targets_of_rewritten_recipients_are_there_once() {
        let mut recipients = Recipients::default();
        recipients.push(mailbox("a@x"), RecipientNote::default());
        recipients.push(mailbox("a@x"), RecipientNote::default());
        assert!(recipients.push_rewritten(
            mailbox("all@x"),
            RecipientNote::default(),
            mailboxes(&["b@x", "a@x", "c@x"]),
            10
        ));
        recipients.push(mailbox("c@x"), RecipientNote::default());
        assert!(recipients.push_rewritten(mailbox("few@x"), RecipientNote::default(), mailboxes(&["c@x"]), 10));
        assert_eq!(recipients.named(), mailboxes(&["a@x", "a@x", "all@x", "c@x", "few@x"]));
        assert_eq!(recipients.targets(), mailboxes(&["a@x", "a@x", "b@x", "c@x"]));
    }

    #[test]
    fn there_are_never_more_targets_than_allowed() {
        let mut recipients = Recipients::default();
        recipients.push(mailbox("a@x"), RecipientNote::default());
        assert!(!recipients.push_rewritten(mailbox("all@x"), RecipientNote::default(), mailboxes(&["b@x", "c@x"]), 2));
        assert_eq!((recipients.named().len(), recipients.targets().len(), recipients.len()), (1, 1, 1));
        assert!(recipients.push_rewritten(mailbox("all@x"), RecipientNote::default(), mailboxes(&["a@x", "c@x"]), 2));
        assert_eq!(recipients.len(), 2);
    }

    #[test]
    fn one_failure_among_its_targets_fails_a_recipient() {
        let mut recipients = Recipients::default();
        recipients.push(mailbox("a@x"), RecipientNote::default());
        assert!(recipients.push_rewritten(mailbox("all@x"), RecipientNote::default(), mailboxes(&["a@x", "b@x"]), 10));
        assert!(recipients.push_rewritten(mailbox("c@x"), RecipientNote::default(), mailboxes(&["d@x"]), 10));
        let results = [Ok(1), Err(2)];
        let told: Vec<_> = recipients.results(&results).map(|(_, result)| result.cloned()).collect();
        assert_eq!(told, [Some(Ok(1)), Some(Err(2)), None]);
    }

    #[test]
    fn what_is_said_of_a_recipient_is_said_of_its_targets_and_what_was_said_first_stands() {
        let note = |text: &str| RecipientNote { notify: None, original: Some(text.into()) };
        let mut recipients = Recipients::default();
        recipients.push(mailbox("a@x"), RecipientNote::default());
        assert!(recipients.notes().is_empty(), "nothing was said");
        assert!(recipients.push_rewritten(mailbox("all@x"), note("rfc822;all@x"), mailboxes(&["b@x", "c@x"]), 10));
        recipients.push(mailbox("c@x"), note("rfc822;c@x"));
        recipients.push(mailbox("a@x"), note("rfc822;a@x"));
        recipients.push(mailbox("d@x"), RecipientNote::default());
        assert_eq!(recipients.targets(), mailboxes(&["a@x", "b@x", "c@x", "d@x"]));
        let originals: Vec<_> = recipients.notes().into_iter().map(|note| note.original).collect();
        let all = Some("rfc822;all@x".into());
        assert_eq!(originals, [Some("rfc822;a@x".into()), all.clone(), all, None]);
    }

    #[test]
    fn what_is_said_of_recipients_is_bounded() {
        let note = RecipientNote { notify: None, original: Some("x".repeat(500).into()) };
        let mut recipients = Recipients::default();
        while recipients.has_room_for(&note) {
            recipients.push(mailbox(&format!("user{}@x", recipients.len())), note.clone());
        }
        assert_eq!(recipients.len(), ORIGINALS_MAX / 500);
        assert!(!recipients.push_rewritten(mailbox("all@x"), note, mailboxes(&["b@x"]), 3000));
        assert!(recipients.has_room_for(&RecipientNote::default()));
    }
}
