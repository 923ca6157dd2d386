//! Records that hold no content of the protocol inside, after the handshake: what they ask for.

use crate::mail::TlsVersion;

/// The kind of records with alerts (RFC 8446 §5.1).
pub(super) const ALERT: u8 = 21;

/// The kind of records with messages of the handshake.
pub(super) const HANDSHAKE: u8 = 22;

/// Close_notify (RFC 8446 §6.1).
pub(super) const CLOSE_NOTIFY: [u8; 2] = [1, 0];

/// No_renegotiation, a warning (RFC 5246 §7.2.2).
pub(super) const NO_RENEGOTIATION: [u8; 2] = [1, 100];

/// KeyUpdate with update_not_requested (RFC 8446 §4.6.3).
pub(super) const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// An alert that ends the connection (RFC 8446 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fatal {
    UnexpectedMessage = 10,
    BadRecordMac = 20,
    RecordOverflow = 22,
    IllegalParameter = 47,
    DecodeError = 50,
    InternalError = 80,
}

impl Fatal {
    /// What is sent.
    pub(super) fn octets(self) -> [u8; 2] {
        [2, self as u8]
    }
}

/// What a record asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The peer will send nothing more.
    Close,
    /// A warning: nothing.
    Nothing,
    /// The peer has ended the connection, and says by what alert why.
    End(u8),
    /// The peer seals with new keys from here on; where `answer`, we are to do so too.
    NewKeys { answer: bool },
    /// Another handshake, which there is never.
    Renegotiation,
}

/// What the first message in `octets` asks for and how many octets it has; nothing while it is not whole.
pub(super) fn first(version: TlsVersion, kind: u8, octets: &[u8]) -> Result<Option<(Asked, usize)>, Fatal> {
    match kind {
        ALERT => alert(version, octets),
        HANDSHAKE => handshake(version, octets),
        // Change_cipher_spec has its place in the handshake alone; of others nothing is known.
        _ => Err(Fatal::UnexpectedMessage),
    }
}

fn alert(version: TlsVersion, octets: &[u8]) -> Result<Option<(Asked, usize)>, Fatal> {
    const USER_CANCELED: u8 = 90;
    let asked = match *octets {
        [] | [_] => return Ok(None),
        [1 | 2, 0, ..] => Asked::Close,
        [1, USER_CANCELED, ..] => Asked::Nothing,
        [1, _, ..] if version == TlsVersion::Tls12 => Asked::Nothing,
        [2, description, ..] => Asked::End(description),
        [1, ..] => return Err(Fatal::DecodeError),
        [..] => return Err(Fatal::IllegalParameter),
    };
    Ok(Some((asked, 2)))
}

fn handshake(version: TlsVersion, octets: &[u8]) -> Result<Option<(Asked, usize)>, Fatal> {
    const CLIENT_HELLO: u8 = 1;
    const KEY_UPDATE: u8 = 24;
    let Some((&[kind, high, middle, low], rest)) = octets.split_first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    match (version, kind) {
        (TlsVersion::Tls13, KEY_UPDATE) if length == 1 => match *rest {
            [] => Ok(None),
            [answer @ (0 | 1)] => Ok(Some((Asked::NewKeys { answer: answer == 1 }, 5))),
            // Keys change with a record (RFC 8446 §5.1).
            [0 | 1, ..] => Err(Fatal::UnexpectedMessage),
            [..] => Err(Fatal::IllegalParameter),
        },
        (TlsVersion::Tls13, KEY_UPDATE) => Err(Fatal::DecodeError),
        (TlsVersion::Tls12, CLIENT_HELLO) if rest.len() < length => Ok(None),
        (TlsVersion::Tls12, CLIENT_HELLO) => Ok(Some((Asked::Renegotiation, 4 + length))),
        _ => Err(Fatal::UnexpectedMessage),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::TlsVersion::{Tls12, Tls13};

    #[test]
    fn what_records_ask_for() {
        let whole = |asked, octets| Ok(Some((asked, octets)));
        let cases = [
            (Tls13, ALERT, &[1, 0][..], whole(Asked::Close, 2)),
            (Tls12, ALERT, &[1, 0], whole(Asked::Close, 2)),
            (Tls13, ALERT, &[1, 90, 1, 0], whole(Asked::Nothing, 2)),
            (Tls12, ALERT, &[1, 100], whole(Asked::Nothing, 2)),
            (Tls13, ALERT, &[1, 100], Err(Fatal::DecodeError)),
            (Tls13, ALERT, &[2, 48], whole(Asked::End(48), 2)),
            (Tls13, ALERT, &[3, 48], Err(Fatal::IllegalParameter)),
            (Tls13, ALERT, &[1], Ok(None)),
            (Tls13, HANDSHAKE, &KEY_UPDATE, whole(Asked::NewKeys { answer: false }, 5)),
            (Tls13, HANDSHAKE, &[24, 0, 0, 1, 1], whole(Asked::NewKeys { answer: true }, 5)),
            (Tls13, HANDSHAKE, &[24, 0, 0, 1], Ok(None)),
            (Tls13, HANDSHAKE, &[24, 0, 0], Ok(None)),
            (Tls13, HANDSHAKE, &[24, 0, 0, 1, 2], Err(Fatal::IllegalParameter)),
            (Tls13, HANDSHAKE, &[24, 0, 0, 2], Err(Fatal::DecodeError)),
            (Tls13, HANDSHAKE, &[24, 0, 0, 1, 0, 24], Err(Fatal::UnexpectedMessage)),
            (Tls12, HANDSHAKE, &KEY_UPDATE, Err(Fatal::UnexpectedMessage)),
            (Tls12, HANDSHAKE, &[1, 0, 0, 2, 3, 3], whole(Asked::Renegotiation, 6)),
            (Tls12, HANDSHAKE, &[1, 0, 0, 2, 3], Ok(None)),
            (Tls13, HANDSHAKE, &[1, 0, 0, 2, 3, 3], Err(Fatal::UnexpectedMessage)),
            (Tls13, 20, &[1], Err(Fatal::UnexpectedMessage)),
            (Tls12, 24, &[1], Err(Fatal::UnexpectedMessage)),
        ];
        for (version, kind, octets, expected) in cases {
            assert_eq!(first(version, kind, octets), expected, "{version} {kind} {octets:?}");
        }
        assert_eq!(Fatal::BadRecordMac.octets(), [2, 20]);
    }

    proptest! {
        #[test]
        fn any_octets_are_something(kind: u8, newer: bool, octets in proptest::collection::vec(any::<u8>(), 0..20)) {
            let version = if newer { Tls13 } else { Tls12 };
            if let Ok(Some((_, used))) = first(version, kind, &octets) {
                prop_assert!((1..=octets.len()).contains(&used));
            }
        }
    }
}
