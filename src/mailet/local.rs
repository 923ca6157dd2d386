//! The pipeline as it is in force so far: everything goes into the mailboxes of this host.
//!
//! The spooler obeys this one until it obeys [`super::container`].

use crate::mail::Mailbox;

/// A recipient on its way through the container: its place in the envelope, and the mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Its place in the envelope, from 0.
    pub place: u32,
    /// Where the mail is to go.
    pub mailbox: Mailbox,
}

/// A mail as the container sees it.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The recipients with something left to do.
    pub recipients: Vec<Recipient>,
}

/// Something to be done for a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Put the mail into the recipient's mailbox on this host.
    DeliverLocally(Recipient),
    /// Throw it away for this recipient: nobody gets it.
    Discard(Recipient),
}

/// Which of a mail's recipients a mailet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matcher {
    /// All of them (James: `All`).
    All,
}

/// What is done with the recipients that a matcher chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailet {
    /// Into the mailbox; nothing is left of them in the pipeline (James: `LocalDelivery`).
    LocalDelivery,
    /// Nowhere; nothing is left of them in the pipeline (James: `Null`).
    Null,
}

/// Matchers and mailets in order (James: `<processor state="…">`).
#[derive(Clone, Debug)]
pub struct Processor {
    /// Its state, by which it is named.
    pub state: Box<str>,
    /// What it does, in order.
    pub pairs: Vec<(Matcher, Mailet)>,
}

/// All processors; mail enters at `root`.
#[derive(Clone, Debug)]
pub struct Container {
    root: Processor,
}

impl Container {
    /// A container whose root brings every mail into the mailboxes of this host.
    pub fn local_delivery() -> Container {
        Container { root: Processor { state: "root".into(), pairs: vec![(Matcher::All, Mailet::LocalDelivery)] } }
    }

    /// A container whose root throws every mail away.
    pub fn discarding() -> Container {
        Container { root: Processor { state: "root".into(), pairs: vec![(Matcher::All, Mailet::Null)] } }
    }

    /// Evaluates the pipeline for one mail. Every recipient comes out in an effect.
    pub fn process(&self, mail: Mail) -> Vec<Effect> {
        let mut recipients = mail.recipients;
        let mut effects = Vec::with_capacity(recipients.len());
        for (matcher, mailet) in &self.root.pairs {
            let chosen = matcher.choose(&mut recipients);
            effects.extend(mailet.serve(chosen));
        }
        debug_assert!(recipients.is_empty(), "a recipient fell out of the pipeline");
        effects
    }
}

impl Matcher {
    /// Takes the recipients that match out of `recipients`.
    fn choose(self, recipients: &mut Vec<Recipient>) -> Vec<Recipient> {
        match self {
            Matcher::All => std::mem::take(recipients),
        }
    }
}

impl Mailet {
    fn serve(self, recipients: Vec<Recipient>) -> impl Iterator<Item = Effect> {
        let effect = match self {
            Mailet::LocalDelivery => Effect::DeliverLocally,
            Mailet::Null => Effect::Discard,
        };
        recipients.into_iter().map(effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipient_comes_out() {
        let recipient = |place| Recipient { place, mailbox: Mailbox::parse("you@localhost").expect("a mailbox") };
        let mail = Mail { recipients: (0..3).map(recipient).collect() };
        let effects = Container::discarding().process(mail.clone());
        assert_eq!(effects, (0..3).map(|place| Effect::Discard(recipient(place))).collect::<Vec<_>>());
        let effects = Container::local_delivery().process(mail);
        assert_eq!(effects, (0..3).map(|place| Effect::DeliverLocally(recipient(place))).collect::<Vec<_>>());
    }
}
