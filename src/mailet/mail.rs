//! A mail on its way through the container.

use std::net::IpAddr;
use std::rc::Rc;

use super::edit::Edits;
use crate::directory;
pub use crate::mail::Notify;
use crate::mail::{Mailbox, MessageId, Ret, ReversePath};

/// The attribute in which the session leaves who authenticated (James: `SMTPAuthUser`).
pub const AUTH_USER: &str = "org.apache.james.SMTPAuthUser";
/// The attribute that says that the client is in an authorised network.
pub const AUTH_NETWORK: &str = "org.apache.james.SMTPIsAuthNetwork";
/// The attribute of mails that a mailet made.
pub const SENT_BY_MAILET: &str = "org.apache.james.SentByMailet";
/// The attribute that holds a mail's priority, 0 to 9.
pub const PRIORITY: &str = "MAIL_PRIORITY";
/// The attribute with what the next hop said last.
pub const DELIVERY_ERROR: &str = "delivery-error";
/// The attribute with the reply code of the next hop.
pub const DELIVERY_ERROR_CODE: &str = "delivery-error-code";
/// The attribute with the name of the next hop that said it, where one did.
pub const DELIVERY_HOST: &str = "delivery-error-host";
/// The attribute that says whether the next hop refused for good.
pub const DELIVERY_PERMANENT: &str = "is-delivery-permanent-error";

/// Values of an attribute that are kept; more are left out.
pub const ATTRIBUTES_MAX: usize = 256;

/// A recipient: its place in the envelope, and where its mail is to go by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Its place in the envelope, from 0. The rewrite table may put several recipients into one's place.
    pub place: u32,
    /// Where the mail is to go.
    pub mailbox: Mailbox,
    /// What the directory said of it, once it was asked.
    pub known: Option<directory::Place>,
    /// What the sender wants to hear of it.
    pub notify: Notify,
    /// The folder its mail goes into; `None` is the inbox.
    pub folder: Option<Box<str>>,
    /// ORCPT as it was given, in xtext: `rfc822;user@example.org` (RFC 3461 §4.2).
    pub original: Option<Box<str>>,
}

impl Recipient {
    /// A recipient of whom nothing more is known.
    pub fn new(place: u32, mailbox: Mailbox) -> Recipient {
        Recipient { place, mailbox, known: None, notify: Notify::default(), folder: None, original: None }
    }
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(Box<str>),
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(i64),
}

impl Value {
    /// As a text, which is how matchers compare it.
    pub fn text(&self) -> String {
        match self {
            Value::Text(text) => text.to_string(),
            Value::Flag(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
        }
    }
}

/// Attributes by their names; copies share them until one is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Rc<Vec<(Box<str>, Value)>>);

impl Attributes {
    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| &**own == name).map(|(_, value)| value)
    }

    /// Sets it. Beyond [`ATTRIBUTES_MAX`] a new name is not kept.
    pub fn set(&mut self, name: &str, value: Value) {
        let list = Rc::make_mut(&mut self.0);
        match list.iter_mut().find(|(own, _)| &**own == name) {
            Some((_, own)) => *own = value,
            None => {
                if list.len() < ATTRIBUTES_MAX {
                    list.push((name.into(), value));
                }
            }
        }
    }

    /// Takes it away.
    pub fn remove(&mut self, name: &str) {
        if self.get(name).is_some() {
            Rc::make_mut(&mut self.0).retain(|(own, _)| &**own != name);
        }
    }

    /// Takes all of them away.
    pub fn clear(&mut self) {
        *self = Attributes::default();
    }

    /// All of them, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

/// What the body is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// The content as it came.
    #[default]
    Original,
    /// Header and body made anew; the edits come on top.
    Changed(Rc<[u8]>),
}

/// How the content looks to whom it goes: what came, changed while it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Changes to the header.
    pub edits: Rc<Edits>,
    /// The content they are made to.
    pub body: Body,
}

/// What does not change on the way: who brought the mail, and when.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its name.
    pub id: MessageId,
    /// Microseconds since the Unix epoch at which it was received.
    pub received_at: u64,
    /// Microseconds since the Unix epoch at which the walk began.
    pub now: u64,
    /// Where failures are reported to.
    pub reverse_path: ReversePath,
    /// Who brought it; `None` where it was made here.
    pub client: Option<IpAddr>,
    /// What that one called itself.
    pub helo: Box<str>,
    /// Octets of the content.
    pub size: u64,
    /// ENVID as it was given (RFC 3461 §4.4).
    pub envelope_id: Option<Box<str>>,
    /// RET as it was given: how much of the mail a report on its failure brings back (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// Walks of this mail that failed before.
    pub failures: u32,
    /// A number that nobody could foresee, for boundaries.
    pub seed: u64,
}

/// A mail that is to be walked through the container.
#[derive(Clone, Debug)]
pub struct Mail {
    /// What does not change.
    pub facts: Facts,
    /// The recipients with something left to do.
    pub recipients: Vec<Recipient>,
    /// Its attributes.
    pub attributes: Attributes,
    /// Changes to its header that were made before.
    pub edits: Rc<Edits>,
    /// The processor it enters at; `None` is `root`.
    pub state: Option<Box<str>>,
    /// What went wrong before, which `Bounce` and its like tell.
    pub error: Option<Rc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_its_attributes_when_the_other_changes() {
        let mut one = Attributes::default();
        one.set("a", Value::Number(1));
        let mut two = one.clone();
        two.set("a", Value::Flag(true));
        two.set("b", Value::Text("x".into()));
        one.remove("nothing");
        assert_eq!((one.get("a"), one.get("b")), (Some(&Value::Number(1)), None));
        assert_eq!(
            two.iter().map(|(name, value)| format!("{name}={}", value.text())).collect::<Vec<_>>(),
            ["a=true", "b=x"]
        );
    }

    #[test]
    fn attributes_are_bounded() {
        let mut attributes = Attributes::default();
        (0..1000).for_each(|n| attributes.set(&n.to_string(), Value::Number(n)));
        assert_eq!(attributes.iter().count(), ATTRIBUTES_MAX);
        attributes.clear();
        assert_eq!(attributes.iter().count(), 0);
    }
}
