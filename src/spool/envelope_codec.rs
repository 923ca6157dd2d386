//! How an envelope is written in a record, and the bounded cursor that everything in a record is read with.

use std::net::{IpAddr, SocketAddr};

use crate::mail::{
    BodyType, CipherSuite, Client, Envelope, Mailbox, MessageId, Protocol, ReversePath, SessionId, Tls, TlsVersion,
    Username,
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

/// Beside the protocol: version and cipher suite of TLS follow.
const SECURED: u8 = 0x80;

/// Beside the protocol: the name of the user follows, behind what is said of TLS.
const AUTHENTICATED: u8 = 0x40;

/// Appends `envelope`, without its id: that stands in the record's header.
pub fn encode_envelope(envelope: &Envelope, to: &mut Vec<u8>) {
    to.extend_from_slice(&envelope.session.0.to_le_bytes());
    to.extend_from_slice(&envelope.received_at.to_le_bytes());
    to.push(envelope.body as u8);
    to.push(u8::from(envelope.smtputf8));
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
        ReversePath::Mailbox(mailbox) => put_text(&mailbox.to_string(), to),
    }
    to.extend_from_slice(&(envelope.recipients.len() as u32).to_le_bytes());
    for recipient in &envelope.recipients {
        put_text(&recipient.to_string(), to);
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
    let smtputf8 = cursor.u8()? != 0;
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
    Ok(Envelope { id, session, received_at, reverse_path, recipients, body, smtputf8, client })
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
