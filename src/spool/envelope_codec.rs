//! How an envelope is written in a record, and the bounded cursor that everything in a record is read with.

use std::net::{IpAddr, SocketAddr};

use crate::mail::{
    BodyType, ByMode, CipherSuite, Client, DeliverBy, Envelope, Mailbox, MessageId, Notify, Protocol, RecipientNote,
    Ret, ReversePath, SessionId, Tls, TlsVersion, Username,
};

/// The octets are no record of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record's payload is malformed")]
pub struct Malformed;

/// Reads numbers and texts from the front of octets; never past their end.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// At the front of `octets`.
    pub fn new(octets: &'a [u8]) -> Cursor<'a> {
        Cursor(octets)
    }

    /// The next `count` octets.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Nothing is left.
    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    /// One octet.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Two octets.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four octets.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight octets.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A text, as [`put_text`] wrote it.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = usize::from(self.u16()?);
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed)
    }
}

/// Appends a text of at most 65,535 octets; a longer one is cut at a character's end.
pub fn put_text(text: &str, to: &mut Vec<u8>) {
    let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
    to.extend_from_slice(&(text.len() as u16).to_le_bytes());
    to.extend_from_slice(text.as_bytes());
}

/// Appends an address as [`put_text`] would.
pub fn put_mailbox(mailbox: &Mailbox, to: &mut Vec<u8>) {
    let start = to.len();
    to.extend_from_slice(&[0, 0]);
    mailbox.write(to);
    let length = to.len() - start - 2;
    match u16::try_from(length) {
        Ok(length) => to[start..start + 2].copy_from_slice(&length.to_le_bytes()),
        Err(_) => {
            let text = String::from_utf8_lossy(&to.split_off(start)[2..]).into_owned();
            put_text(&text, to);
        }
    }
}

/// Beside the protocol: version and cipher suite of TLS follow.
const SECURED: u8 = 0x80;

/// Beside the protocol: the name of the user follows, behind what is said of TLS.
const AUTHENTICATED: u8 = 0x40;

/// Beside whether SMTPUTF8 was given: what else was asked for follows behind the recipients. Usual mail asks for nothing.
const ASKED: u8 = 2;

/// Appends `envelope`, without its id: that stands in the record's header.
pub fn encode_envelope(envelope: &Envelope, to: &mut Vec<u8>) {
    to.extend_from_slice(&envelope.session.0.to_le_bytes());
    to.extend_from_slice(&envelope.received_at.to_le_bytes());
    to.push(envelope.body as u8);
    let asked = if asks_for_something(envelope) { ASKED } else { 0 };
    to.push(u8::from(envelope.smtputf8) | asked);
    let secured = if envelope.client.tls.is_some() { SECURED } else { 0 };
    let authenticated = if envelope.client.user.is_some() { AUTHENTICATED } else { 0 };
    to.push(envelope.client.protocol as u8 | secured | authenticated);
    if let Some(Tls { version, cipher }) = envelope.client.tls {
        to.extend_from_slice(&version.number().to_le_bytes());
        to.extend_from_slice(&cipher.number().to_le_bytes());
    }
    if let Some(user) = &envelope.client.user {
        put_text(user.as_str(), to);
    }
    match envelope.client.address.ip() {
        IpAddr::V4(address) => to.extend_from_slice(&address.to_ipv6_mapped().octets()),
        IpAddr::V6(address) => to.extend_from_slice(&address.octets()),
    }
    to.extend_from_slice(&envelope.client.address.port().to_le_bytes());
    put_text(&envelope.client.helo, to);
    match &envelope.reverse_path {
        ReversePath::Null => put_text("", to),
        ReversePath::Mailbox(mailbox) => put_mailbox(mailbox, to),
    }
    to.extend_from_slice(&(envelope.recipients.len() as u32).to_le_bytes());
    for recipient in &envelope.recipients {
        put_mailbox(recipient, to);
    }
    if asked != 0 {
        encode_asked(envelope, to);
    }
}

fn asks_for_something(envelope: &Envelope) -> bool {
    let Envelope { dsn, notes, require_tls, hold_until, deliver_by, priority, .. } = envelope;
    let timed = hold_until.is_some() || deliver_by.is_some();
    dsn.ret.is_some() || dsn.envelope_id.is_some() || !notes.is_empty() || *require_tls || timed || *priority != 0
}

/// What is there of what was asked for, in the order in which it follows.
mod asked {
    pub const REQUIRE_TLS: u16 = 1;
    pub const RET_FULL: u16 = 1 << 1;
    pub const RET_HEADERS: u16 = 1 << 2;
    pub const ENVELOPE_ID: u16 = 1 << 3;
    pub const HOLD_UNTIL: u16 = 1 << 4;
    pub const DELIVER_BY: u16 = 1 << 5;
    pub const BY_NOTIFY: u16 = 1 << 6;
    pub const BY_TRACE: u16 = 1 << 7;
    pub const PRIORITY: u16 = 1 << 8;
    pub const NOTES: u16 = 1 << 9;
    pub const ALL: u16 = (1 << 10) - 1;
}

/// What is there of a recipient's note.
mod noted {
    pub const NOTIFY: u8 = 1;
    pub const SUCCESS: u8 = 1 << 1;
    pub const FAILURE: u8 = 1 << 2;
    pub const DELAY: u8 = 1 << 3;
    pub const ORIGINAL: u8 = 1 << 4;
    pub const ALL: u8 = (1 << 5) - 1;
}

fn encode_asked(envelope: &Envelope, to: &mut Vec<u8>) {
    let Envelope { dsn, notes, require_tls, hold_until, deliver_by, priority, .. } = envelope;
    let by = |is: fn(&DeliverBy) -> bool| deliver_by.as_ref().is_some_and(is);
    let there = [
        (asked::REQUIRE_TLS, *require_tls),
        (asked::RET_FULL, dsn.ret == Some(Ret::Full)),
        (asked::RET_HEADERS, dsn.ret == Some(Ret::Headers)),
        (asked::ENVELOPE_ID, dsn.envelope_id.is_some()),
        (asked::HOLD_UNTIL, hold_until.is_some()),
        (asked::DELIVER_BY, deliver_by.is_some()),
        (asked::BY_NOTIFY, by(|by| by.mode == ByMode::Notify)),
        (asked::BY_TRACE, by(|by| by.trace)),
        (asked::PRIORITY, *priority != 0),
        (asked::NOTES, !notes.is_empty()),
    ];
    let flags = there.iter().filter(|(_, is)| *is).fold(0, |flags, (flag, _)| flags | flag);
    to.extend_from_slice(&u16::to_le_bytes(flags));
    if let Some(id) = &dsn.envelope_id {
        put_text(id, to);
    }
    for time in [*hold_until, deliver_by.map(|by| by.deadline)].into_iter().flatten() {
        to.extend_from_slice(&time.to_le_bytes());
    }
    if *priority != 0 {
        to.extend_from_slice(&priority.to_le_bytes());
    }
    if !notes.is_empty() {
        // One for each recipient, whoever made the envelope.
        let none = RecipientNote::default();
        for place in 0..envelope.recipients.len() {
            encode_note(notes.get(place).unwrap_or(&none), to);
        }
    }
}

fn encode_note(note: &RecipientNote, to: &mut Vec<u8>) {
    let wants = |is: fn(Notify) -> bool| note.notify.is_some_and(is);
    let there = [
        (noted::NOTIFY, note.notify.is_some()),
        (noted::SUCCESS, wants(|notify| notify.success)),
        (noted::FAILURE, wants(|notify| notify.failure)),
        (noted::DELAY, wants(|notify| notify.delay)),
        (noted::ORIGINAL, note.original.is_some()),
    ];
    to.push(there.iter().filter(|(_, is)| *is).fold(0, |flags, (flag, _)| flags | flag));
    if let Some(original) = &note.original {
        put_text(original, to);
    }
}

/// Reads what [`encode_envelope`] wrote.
pub fn decode_envelope(cursor: &mut Cursor<'_>, id: MessageId) -> Result<Envelope, Malformed> {
    let session = SessionId(cursor.u64()?);
    let received_at = cursor.u64()?;
    let body = match cursor.u8()? {
        0 => BodyType::SevenBit,
        1 => BodyType::EightBitMime,
        2 => BodyType::BinaryMime,
        _ => return Err(Malformed),
    };
    let flags = cursor.u8()?;
    let how = cursor.u8()?;
    let protocol = match how & !(SECURED | AUTHENTICATED) {
        0 => Protocol::Smtp,
        1 => Protocol::Esmtp,
        2 => Protocol::Lmtp,
        _ => return Err(Malformed),
    };
    let tls = if how & SECURED == 0 { None } else { Some(tls(cursor)?) };
    let user = if how & AUTHENTICATED == 0 { None } else { Some(user(cursor)?) };
    let address = IpAddr::from(cursor.array::<16>()?).to_canonical();
    let address = SocketAddr::new(address, cursor.u16()?);
    let client = Client { address, helo: cursor.text()?.into(), protocol, tls, user };
    let reverse_path = match cursor.text()? {
        "" => ReversePath::Null,
        text => ReversePath::Mailbox(mailbox(text)?),
    };
    let count = cursor.u32()?;
    let mut recipients = Vec::new();
    for _ in 0..count {
        recipients.push(mailbox(cursor.text()?)?);
    }
    let mut envelope = Envelope {
        body,
        smtputf8: flags & !ASKED != 0,
        ..Envelope::new(id, session, received_at, reverse_path, recipients, client)
    };
    if flags & ASKED != 0 {
        decode_asked(cursor, &mut envelope)?;
    }
    Ok(envelope)
}

/// What is not known would be disobeyed if it were left out: the record is not to be believed then.
fn decode_asked(cursor: &mut Cursor<'_>, envelope: &mut Envelope) -> Result<(), Malformed> {
    let flags = cursor.u16()?;
    if flags & !asked::ALL != 0 {
        return Err(Malformed);
    }
    let has = |flag: u16| flags & flag != 0;
    envelope.require_tls = has(asked::REQUIRE_TLS);
    envelope.dsn.ret = match (has(asked::RET_FULL), has(asked::RET_HEADERS)) {
        (true, false) => Some(Ret::Full),
        (false, true) => Some(Ret::Headers),
        (false, false) => None,
        (true, true) => return Err(Malformed),
    };
    if has(asked::ENVELOPE_ID) {
        envelope.dsn.envelope_id = Some(cursor.text()?.into());
    }
    if has(asked::HOLD_UNTIL) {
        envelope.hold_until = Some(cursor.u64()?);
    }
    if has(asked::DELIVER_BY) {
        let mode = if has(asked::BY_NOTIFY) { ByMode::Notify } else { ByMode::Return };
        envelope.deliver_by = Some(DeliverBy { deadline: cursor.u64()?, mode, trace: has(asked::BY_TRACE) });
    }
    if has(asked::PRIORITY) {
        envelope.priority = i8::from_le_bytes(cursor.array()?);
    }
    if has(asked::NOTES) {
        for _ in 0..envelope.recipients.len() {
            envelope.notes.push(decode_note(cursor)?);
        }
    }
    Ok(())
}

fn decode_note(cursor: &mut Cursor<'_>) -> Result<RecipientNote, Malformed> {
    let flags = cursor.u8()?;
    if flags & !noted::ALL != 0 {
        return Err(Malformed);
    }
    let has = |flag: u8| flags & flag != 0;
    let notify = has(noted::NOTIFY).then(|| Notify {
        success: has(noted::SUCCESS),
        failure: has(noted::FAILURE),
        delay: has(noted::DELAY),
    });
    let original = if has(noted::ORIGINAL) { Some(cursor.text()?.into()) } else { None };
    Ok(RecipientNote { notify, original })
}

fn tls(cursor: &mut Cursor<'_>) -> Result<Tls, Malformed> {
    let version = TlsVersion::numbered(cursor.u16()?).ok_or(Malformed)?;
    let cipher = CipherSuite::numbered(cursor.u16()?).ok_or(Malformed)?;
    Ok(Tls { version, cipher })
}

fn user(cursor: &mut Cursor<'_>) -> Result<Username, Malformed> {
    Username::parse(cursor.text()?).map_err(|_| Malformed)
}

fn mailbox(text: &str) -> Result<Mailbox, Malformed> {
    Mailbox::parse(text).map_err(|_| Malformed)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mail::Dsn;
    use proptest::prelude::*;

    /// From nobody, of a client in clear.
    pub(in crate::spool) fn plain(id: u64, received_at: u64, recipients: &[&str]) -> Envelope {
        let client = Client {
            address: "192.0.2.1:25".parse().expect("an address"),
            helo: "client.example".into(),
            protocol: Protocol::Esmtp,
            tls: None,
            user: None,
        };
        let recipients = recipients.iter().map(|text| Mailbox::parse(text).expect("a mailbox")).collect();
        Envelope::new(MessageId(id), SessionId(5), received_at, ReversePath::Null, recipients, client)
    }

    /// From somebody, in all that MAIL says without extensions but those for text.
    pub(in crate::spool) fn usual(recipients: usize) -> Envelope {
        let names: Vec<String> = (0..recipients).map(|place| format!("user{place}@example.org")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Envelope {
            reverse_path: ReversePath::Mailbox(Mailbox::parse("a@example.org").expect("a mailbox")),
            body: BodyType::EightBitMime,
            smtputf8: true,
            ..plain(77, 1_795_000_000_000_000, &names)
        }
    }

    fn encoded(envelope: &Envelope) -> Vec<u8> {
        let mut octets = Vec::new();
        encode_envelope(envelope, &mut octets);
        octets
    }

    fn notes() -> impl Strategy<Value = RecipientNote> {
        let notify = (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(success, failure, delay)| Notify {
            success,
            failure,
            delay,
        });
        let original = proptest::option::of("rfc822;[a-z+2B]{1,20}");
        (proptest::option::of(notify), original)
            .prop_map(|(notify, original)| RecipientNote { notify, original: original.map(Into::into) })
    }

    #[test]
    fn what_was_written_before_anything_could_be_asked_for_is_read() {
        // As it was written then: no flag, and nothing behind the recipients.
        let mut old = Vec::new();
        old.extend_from_slice(&5u64.to_le_bytes());
        old.extend_from_slice(&1_795_000_000_000_000u64.to_le_bytes());
        old.extend_from_slice(&[1, 1, 1]);
        old.extend_from_slice(&std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets());
        old.extend_from_slice(&25u16.to_le_bytes());
        put_text("client.example", &mut old);
        put_text("a@example.org", &mut old);
        old.extend_from_slice(&1u32.to_le_bytes());
        put_text("user0@example.org", &mut old);
        assert_eq!(encoded(&usual(1)), old, "usual mail costs nothing more");
        assert_eq!(decode_envelope(&mut Cursor::new(&old), MessageId(77)), Ok(usual(1)));
    }

    #[test]
    fn what_is_not_known_is_not_believed() {
        let octets = encoded(&Envelope { require_tls: true, ..usual(1) });
        let known = |octets: &[u8]| decode_envelope(&mut Cursor::new(octets), MessageId(77)).is_ok();
        assert!(known(&octets));
        for (from_end, flag) in [(1, 0x04), (1, 0x80)] {
            let mut changed = octets.clone();
            let place = changed.len() - from_end;
            changed[place] |= flag;
            assert!(!known(&changed), "{from_end} {flag}");
        }
        let note = RecipientNote { notify: Some(Notify::NEVER), original: None };
        let mut octets = encoded(&Envelope { notes: vec![note], ..usual(1) });
        assert!(known(&octets));
        *octets.last_mut().expect("the note") |= 0x80;
        assert!(!known(&octets));
    }

    proptest! {
        #[test]
        fn all_that_was_asked_for_reads_back(
            recipients in 1usize..5,
            flags in 0u8..128,
            envelope_id in "[!-~]{1,100}",
            notes in proptest::collection::vec(notes(), 5),
            times in any::<(u64, u64)>(),
            priority in -9i8..=9,
        ) {
            let has = |bit: u8| flags & 1 << bit != 0;
            let ret = if has(1) { Ret::Full } else { Ret::Headers };
            let mode = if has(1) { ByMode::Return } else { ByMode::Notify };
            let envelope = Envelope {
                dsn: Dsn { envelope_id: has(0).then(|| envelope_id.into()), ret: has(2).then_some(ret) },
                notes: if has(3) { notes[..recipients].to_vec() } else { Vec::new() },
                require_tls: has(4),
                hold_until: has(5).then_some(times.0),
                deliver_by: has(6).then_some(DeliverBy { deadline: times.1, mode, trace: has(0) }),
                priority,
                ..usual(recipients)
            };
            let mut octets = encoded(&envelope);
            let length = octets.len();
            octets.extend_from_slice(b"what follows");
            let mut cursor = Cursor::new(&octets);
            let decoded = decode_envelope(&mut cursor, MessageId(77));
            prop_assert_eq!(decoded.as_ref(), Ok(&envelope));
            prop_assert_eq!(cursor.take(12), Ok(&b"what follows"[..]));
            // Cut anywhere, it is none.
            prop_assert_eq!(decode_envelope(&mut Cursor::new(&octets[..length - 1]), MessageId(77)), Err(Malformed));
        }

        #[test]
        fn any_octets_are_read_without_harm(octets in proptest::collection::vec(any::<u8>(), 0..200), keep in 0usize..120) {
            let note = RecipientNote { notify: Some(Notify::NEVER), original: Some("rfc822;a@b".into()) };
            let envelope = Envelope { notes: vec![note.clone(), note], priority: 3, hold_until: Some(1), ..usual(2) };
            let mut all = encoded(&envelope);
            all.truncate(keep);
            all.extend_from_slice(&octets);
            let _ = decode_envelope(&mut Cursor::new(&all), MessageId(1));
        }
    }
}
