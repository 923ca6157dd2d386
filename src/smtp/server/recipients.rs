//! The recipients of a transaction: as the client named them, and where the mail goes.

use std::collections::HashMap;

use crate::mail::Mailbox;

/// Recipients in the order of the RCPT commands. One that nobody rewrote is its own target, as often as it is named; targets
/// of rewritten ones are there once.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    named: Vec<Mailbox>,
    targets: Vec<Mailbox>,
    /// For each one named, the places of its targets.
    routes: Vec<Vec<usize>>,
    /// The places of targets, kept once something was rewritten.
    places: HashMap<Mailbox, usize>,
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
        &self.targets
    }

    /// How many there are, by whichever count is the larger.
    pub(super) fn len(&self) -> usize {
        self.named.len().max(self.targets.len())
    }

    /// One more whose mail goes to itself.
    pub(super) fn push(&mut self, recipient: Mailbox) {
        let place = self.places.get(&recipient).copied().unwrap_or_else(|| {
            self.targets.push(recipient.clone());
            self.targets.len() - 1
        });
        self.named.push(recipient);
        self.routes.push(vec![place]);
    }

    /// One more whose mail goes to `targets`, of which there is one or more; false, and nothing is changed, if that made more
    /// than `most`.
    pub(super) fn push_rewritten(&mut self, recipient: Mailbox, targets: Vec<Mailbox>, most: usize) -> bool {
        if self.places.is_empty() {
            self.places = self.targets.iter().cloned().zip(0..).collect();
        }
        let new = targets.iter().filter(|target| !self.places.contains_key(target)).count();
        if self.named.len() >= most || self.targets.len().saturating_add(new) > most {
            return false;
        }
        let route = targets.into_iter().map(|target| self.place_of(target)).collect();
        self.named.push(recipient);
        self.routes.push(route);
        true
    }

    fn place_of(&mut self, target: Mailbox) -> usize {
        let next = self.targets.len();
        let place = *self.places.entry(target.clone()).or_insert(next);
        if place == next {
            self.targets.push(target);
        }
        place
    }

    /// Each one named, with the result that counts for it among those of the targets: the first failure, or else that of its
    /// last target. `None`: a target has no result.
    pub(super) fn results<'a, P, E>(
        &'a self,
        results: &'a [Result<P, E>],
    ) -> impl Iterator<Item = (&'a Mailbox, Option<&'a Result<P, E>>)> {
        self.named.iter().zip(&self.routes).map(|(named, route)| {
            let of_targets: Option<Vec<_>> = route.iter().map(|place| results.get(*place)).collect();
            let result = of_targets
                .and_then(|results| results.iter().find(|result| result.is_err()).or(results.last()).copied());
            (named, result)
        })
    }
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
        recipients.push(mailbox("a@x"));
        recipients.push(mailbox("a@x"));
        assert!(recipients.push_rewritten(mailbox("all@x"), mailboxes(&["b@x", "a@x", "c@x"]), 10));
        recipients.push(mailbox("c@x"));
        assert!(recipients.push_rewritten(mailbox("few@x"), mailboxes(&["c@x"]), 10));
        assert_eq!(recipients.named(), mailboxes(&["a@x", "a@x", "all@x", "c@x", "few@x"]));
        assert_eq!(recipients.targets(), mailboxes(&["a@x", "a@x", "b@x", "c@x"]));
    }

    #[test]
    fn there_are_never_more_targets_than_allowed() {
        let mut recipients = Recipients::default();
        recipients.push(mailbox("a@x"));
        assert!(!recipients.push_rewritten(mailbox("all@x"), mailboxes(&["b@x", "c@x"]), 2));
        assert_eq!((recipients.named().len(), recipients.targets().len(), recipients.len()), (1, 1, 1));
        assert!(recipients.push_rewritten(mailbox("all@x"), mailboxes(&["a@x", "c@x"]), 2));
        assert_eq!(recipients.len(), 2);
    }

    #[test]
    fn one_failure_among_its_targets_fails_a_recipient() {
        let mut recipients = Recipients::default();
        recipients.push(mailbox("a@x"));
        assert!(recipients.push_rewritten(mailbox("all@x"), mailboxes(&["a@x", "b@x"]), 10));
        assert!(recipients.push_rewritten(mailbox("c@x"), mailboxes(&["d@x"]), 10));
        let results = [Ok(1), Err(2)];
        let told: Vec<_> = recipients.results(&results).map(|(_, result)| result.cloned()).collect();
        assert_eq!(told, [Some(Ok(1)), Some(Err(2)), None]);
    }
}
