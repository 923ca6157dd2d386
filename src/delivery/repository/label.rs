//! What stands beside a mail that is kept: a JSON object that a person can read, and that says all that is needed to let the mail
//! go on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::mail::date::Date;
use crate::mail::{
    BodyType, ByMode, CipherSuite, Client, DeliverBy, Dsn, Envelope, Mailbox, MessageId, Notify, Protocol,
    RecipientNote, Ret, ReversePath, SessionId, Tls, TlsVersion, Username,
};

/// Octets of a label that are read at most: 50,000 recipients with the longest addresses take less.
pub const LABEL_OCTETS: usize = 32 << 20;

/// A mail that is kept, beside its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its envelope; the recipients are those for whom it is kept.
    pub envelope: Envelope,
    /// Microseconds since the Unix epoch at which it was kept.
    pub kept_at: u64,
    /// The processor it came to last, where that is known.
    pub state: Option<Box<str>>,
    /// What went wrong.
    pub error: Option<Box<str>>,
    /// Walks that failed.
    pub failures: u32,
    /// A mail made here, not one that came in.
    pub made_here: bool,
    /// Its attributes.
    pub attributes: Attributes,
}

/// The attributes of a mail that is kept.
pub type Attributes = BTreeMap<String, Attribute>;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Attribute {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// Why a text is no label.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON, or lacks something, or has something that is not known.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A value is none that may stand there.
    #[error("{value:?} is no {what}")]
    Value {
        /// What it should be.
        what: &'static str,
        /// What it is.
        value: String,
    },
}

/// The object, in the order in which it is written. What is not known is an error: it might forbid what would be done without it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    sender: String,
    recipients: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Box<str>>,
    /// For people; `kept_at` and `received_at` count.
    kept: String,
    received: String,
    client: WrittenClient,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    made_here: bool,
    body: String,
    smtputf8: bool,
    session: String,
    received_at: u64,
    kept_at: u64,
    #[serde(default, skip_serializing_if = "WrittenAsked::is_nothing")]
    asked: WrittenAsked,
}

/// What the sender asked for beside the addresses.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenAsked {
    #[serde(skip_serializing_if = "Option::is_none")]
    envid: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ret: Option<String>,
    /// One for each recipient, or none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<WrittenNote>,
    #[serde(skip_serializing_if = "is_false")]
    require_tls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_until: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_by: Option<WrittenDeliverBy>,
    #[serde(skip_serializing_if = "is_zero")]
    priority: i8,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenNote {
    #[serde(skip_serializing_if = "Option::is_none")]
    notify: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orcpt: Option<Box<str>>,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDeliverBy {
    deadline: u64,
    mode: String,
    trace: bool,
}

impl WrittenAsked {
    fn is_nothing(&self) -> bool {
        *self == WrittenAsked::default()
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &i8) -> bool {
    *value == 0
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenClient {
    address: String,
    helo: String,
    protocol: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<WrittenTls>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTls {
    version: String,
    cipher: String,
}

const BODIES: [(BodyType, &str); 3] =
    [(BodyType::SevenBit, "7BIT"), (BodyType::EightBitMime, "8BITMIME"), (BodyType::BinaryMime, "BINARYMIME")];

const PROTOCOLS: [(Protocol, &str); 3] =
    [(Protocol::Smtp, "SMTP"), (Protocol::Esmtp, "ESMTP"), (Protocol::Lmtp, "LMTP")];

const RETS: [(Ret, &str); 2] = [(Ret::Full, "FULL"), (Ret::Headers, "HDRS")];

const MODES: [(ByMode, &str); 2] = [(ByMode::Return, "R"), (ByMode::Notify, "N")];

impl Label {
    /// The label as it is written, over several lines.
    pub fn text(&self) -> String {
        // Texts, numbers and lists of them have no reason to fail.
        serde_json::to_string_pretty(&Written::from(self)).unwrap_or_default() + "\n"
    }

    /// The same in one line, without an end of line.
    pub fn line(&self) -> String {
        serde_json::to_string(&Written::from(self)).unwrap_or_default()
    }

    /// Reads what [`Label::text`] wrote.
    pub fn parse(text: &[u8]) -> Result<Label, Unreadable> {
        let written: Written = serde_json::from_slice(text)?;
        let reverse_path = match written.sender.as_str() {
            "" => ReversePath::Null,
            sender => ReversePath::Mailbox(mailbox(sender)?),
        };
        let id = written.id.parse::<MessageId>().map_err(|_| wrong("id", &written.id))?;
        let session = written.session.parse::<SessionId>().map_err(|_| wrong("id", &written.session))?;
        let recipients = written.recipients.iter().map(|text| mailbox(text)).collect::<Result<_, _>>()?;
        let (body, client) = (named(&BODIES, "kind of body", &written.body)?, client(written.client)?);
        let envelope = Envelope {
            body,
            smtputf8: written.smtputf8,
            ..Envelope::new(id, session, written.received_at, reverse_path, recipients, client)
        };
        let envelope = asked(envelope, written.asked)?;
        if envelope.recipients.is_empty() {
            return Err(wrong("list of recipients", "[]"));
        }
        let Written { kept_at, state, error, failures, made_here, attributes, .. } = written;
        Ok(Label { envelope, kept_at, state, error, failures, made_here, attributes })
    }
}

impl From<&Label> for Written {
    fn from(label: &Label) -> Written {
        let Label { envelope, kept_at, state, error, failures, made_here, attributes } = label;
        let Client { address, helo, protocol, tls, user } = &envelope.client;
        let tls = tls.map(|tls| WrittenTls { version: tls.version.to_string(), cipher: tls.cipher.to_string() });
        let user = user.as_ref().map(ToString::to_string);
        let (address, helo) = (address.to_string(), helo.to_string());
        Written {
            id: envelope.id.to_string(),
            sender: envelope.reverse_path.to_string(),
            recipients: envelope.recipients.iter().map(ToString::to_string).collect(),
            state: state.clone(),
            error: error.clone(),
            kept: Date::from_micros(*kept_at).rfc3339().to_string(),
            received: Date::from_micros(envelope.received_at).rfc3339().to_string(),
            client: WrittenClient { address, helo, protocol: name(&PROTOCOLS, *protocol), tls, user },
            attributes: attributes.clone(),
            failures: *failures,
            made_here: *made_here,
            body: name(&BODIES, envelope.body),
            smtputf8: envelope.smtputf8,
            session: envelope.session.to_string(),
            received_at: envelope.received_at,
            kept_at: *kept_at,
            asked: WrittenAsked::from(envelope),
        }
    }
}

impl From<&Envelope> for WrittenAsked {
    fn from(envelope: &Envelope) -> WrittenAsked {
        let Envelope { dsn, notes, require_tls, hold_until, deliver_by, priority, .. } = envelope;
        let note = |note: &RecipientNote| WrittenNote {
            notify: note.notify.map(|notify| notify.to_string()),
            orcpt: note.original.clone(),
        };
        let by =
            |by: DeliverBy| WrittenDeliverBy { deadline: by.deadline, mode: name(&MODES, by.mode), trace: by.trace };
        WrittenAsked {
            envid: dsn.envelope_id.clone(),
            ret: dsn.ret.map(|ret| name(&RETS, ret)),
            notes: notes.iter().map(note).collect(),
            require_tls: *require_tls,
            hold_until: *hold_until,
            deliver_by: deliver_by.map(by),
            priority: *priority,
        }
    }
}

/// The envelope with what the sender asked for.
fn asked(envelope: Envelope, asked: WrittenAsked) -> Result<Envelope, Unreadable> {
    let WrittenAsked { envid, ret, notes, require_tls, hold_until, deliver_by, priority } = asked;
    let note = |WrittenNote { notify, orcpt }| {
        let notify = notify.map(|text| Notify::parse(&text).ok_or_else(|| wrong("NOTIFY", &text)));
        Ok::<_, Unreadable>(RecipientNote { notify: notify.transpose()?, original: orcpt })
    };
    let notes = notes.into_iter().map(note).collect::<Result<Vec<_>, _>>()?;
    if !notes.is_empty() && notes.len() != envelope.recipients.len() {
        return Err(wrong("note for each recipient", &notes.len().to_string()));
    }
    let by = |WrittenDeliverBy { deadline, mode, trace }| {
        Ok::<_, Unreadable>(DeliverBy { deadline, mode: named(&MODES, "mode of DELIVERBY", &mode)?, trace })
    };
    Ok(Envelope {
        dsn: Dsn { envelope_id: envid, ret: ret.map(|ret| named(&RETS, "RET", &ret)).transpose()? },
        notes,
        require_tls,
        hold_until,
        deliver_by: deliver_by.map(by).transpose()?,
        priority,
        ..envelope
    })
}

fn client(written: WrittenClient) -> Result<Client, Unreadable> {
    let WrittenClient { address, helo, protocol, tls, user } = written;
    let tls = tls.map(|WrittenTls { version, cipher }| {
        let known = TlsVersion::ALL.into_iter().find(|known| known.name() == version);
        let version = known.ok_or_else(|| wrong("version of TLS", &version))?;
        let cipher = CipherSuite::named(&cipher).ok_or_else(|| wrong("cipher suite", &cipher))?;
        Ok::<_, Unreadable>(Tls { version, cipher })
    });
    let user = user.map(|user| Username::parse(&user).map_err(|_| wrong("user", &user)));
    Ok(Client {
        address: address.parse().map_err(|_| wrong("address with a port", &address))?,
        helo: helo.into(),
        protocol: named(&PROTOCOLS, "protocol", &protocol)?,
        tls: tls.transpose()?,
        user: user.transpose()?,
    })
}

fn mailbox(text: &str) -> Result<Mailbox, Unreadable> {
    Mailbox::parse(text).map_err(|_| wrong("mailbox", text))
}

fn wrong(what: &'static str, value: &str) -> Unreadable {
    Unreadable::Value { what, value: value.to_owned() }
}

fn name<T: PartialEq>(names: &[(T, &str)], value: T) -> String {
    names.iter().find(|(known, _)| *known == value).map_or_else(String::new, |(_, name)| (*name).to_owned())
}

fn named<T: Copy>(names: &[(T, &str)], what: &'static str, text: &str) -> Result<T, Unreadable> {
    names.iter().find(|(_, name)| *name == text).map(|(value, _)| *value).ok_or_else(|| wrong(what, text))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A label for tests.
    pub(crate) fn label(id: u64, recipients: &[&str]) -> Label {
        Label {
            envelope: Envelope {
                body: BodyType::EightBitMime,
                ..Envelope::new(
                    MessageId(id),
                    SessionId(5),
                    1_795_000_000_000_000,
                    ReversePath::Mailbox(Mailbox::parse("a@example.org").expect("a mailbox")),
                    recipients.iter().map(|text| Mailbox::parse(text).expect("a mailbox")).collect(),
                    Client {
                        address: "[2001:db8::1]:25".parse().expect("an address"),
                        helo: "client.example".into(),
                        protocol: Protocol::Esmtp,
                        tls: CipherSuite::all().next().map(|cipher| Tls { version: TlsVersion::Tls13, cipher }),
                        user: Username::parse("you@example.org").ok(),
                    },
                )
            },
            kept_at: 1_795_000_001_000_000,
            state: Some("error".into()),
            error: Some("it went \"wrong\"\r\n".into()),
            failures: 5,
            made_here: false,
            attributes: Attributes::from([
                ("flag".to_owned(), Attribute::Flag(true)),
                ("number".to_owned(), Attribute::Number(-7)),
                ("text".to_owned(), Attribute::Text("1".to_owned())),
            ]),
        }
    }

    #[test]
    fn what_the_sender_asked_for_is_kept_and_a_label_without_it_is_read() {
        let mut label = label(7, &["you@localhost", "me@localhost"]);
        assert!(!label.text().contains("asked"), "usual mail says nothing of it");
        label.envelope.dsn = Dsn { envelope_id: Some("QQ+2B".into()), ret: Some(Ret::Headers) };
        let original = Some("rfc822;you@example.org".into());
        label.envelope.notes = vec![RecipientNote { notify: Some(Notify::NEVER), original }, RecipientNote::default()];
        (label.envelope.require_tls, label.envelope.hold_until, label.envelope.priority) = (true, Some(5), -9);
        label.envelope.deliver_by = Some(DeliverBy { deadline: 9, mode: ByMode::Notify, trace: true });
        assert_eq!(Label::parse(label.text().as_bytes()).expect("a label"), label);
        label.envelope.notes.pop();
        assert!(Label::parse(label.text().as_bytes()).is_err(), "a note that is missing");
        let unknown = label.text().replace("\"require_tls\"", "\"require_more\"");
        assert!(Label::parse(unknown.as_bytes()).is_err());
    }

    #[test]
    fn a_label_reads_back_over_lines_and_in_one() {
        let mut label = label(7, &["you@localhost", "\"a b\"@example.org", "jürgen@[192.0.2.1]"]);
        assert_eq!(Label::parse(label.text().as_bytes()).expect("a label"), label);
        assert_eq!(Label::parse(label.line().as_bytes()).expect("a label"), label);
        assert!(!label.line().contains('\n'));
        (label.envelope.reverse_path, label.envelope.client.tls, label.envelope.client.user) = Default::default();
        (label.state, label.error, label.attributes) = Default::default();
        assert_eq!(Label::parse(label.text().as_bytes()).expect("a label"), label);
    }

    #[test]
    fn a_person_can_read_it() {
        let text = label(7, &["you@localhost"]).text();
        let start = "{\n  \"id\": \"0000000000007\",\n  \"sender\": \"a@example.org\",\n  \"recipients\": [\n    \"you@localhost\"\n  ],\n";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("\"kept\": \"2026-11-18T"), "{text}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let text = label(7, &["you@localhost"]).text();
        for (from, to, why) in [
            ("you@localhost", "you localhost", "\"you localhost\" is no mailbox"),
            ("0000000000007", "7", "\"7\" is no id"),
            ("8BITMIME", "9BIT", "\"9BIT\" is no kind of body"),
            ("\"failures\"", "\"mistakes\"", "unknown field `mistakes`"),
            ("TLSv1.3", "TLSv1.9", "\"TLSv1.9\" is no version of TLS"),
        ] {
            let error = Label::parse(text.replace(from, to).as_bytes()).expect_err(to).to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(Label::parse(text.replace("\n    \"you@localhost\"\n  ", "").as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_harm(octets in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..600, change in any::<u8>()) {
            let _ = Label::parse(&octets);
            let mut text = label(7, &["you@localhost"]).text().into_bytes();
            let place = cut % text.len();
            text[place] = change;
            let _ = Label::parse(&text);
            let _ = Label::parse(&text[..place]);
        }
    }
}
