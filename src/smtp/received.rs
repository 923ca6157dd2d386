//! The trace field that a message is given when it comes in (RFC 5321 §4.4).

use std::net::IpAddr;

use crate::mail::octets::{append, append_number};
use crate::mail::{Client, Domain, Envelope, Mailbox, Protocol, Tls, date::Date, limits::TEXT_LINE_OCTETS};

/// Octets of a name that the field repeats from elsewhere: enough for any domain, and little enough that no line of the
/// field comes near [`TEXT_LINE_OCTETS`].
const NAME_OCTETS: usize = 255;

/// Writes the field with its last CR LF to the end of `out`. `named` are the recipients as the client named them: what the
/// rewrite table made of them is nobody's business. `hello_name` is this server's own name.
pub fn write_received(envelope: &Envelope, named: &[Mailbox], hello_name: &str, out: &mut Vec<u8>) {
    let (start, client) = (out.len(), &envelope.client);
    out.extend_from_slice(b"Received: from ");
    match &*client.helo {
        // It said nothing: its address stands for its name.
        "" => address(client, out),
        said => name(said, out),
    }
    out.extend_from_slice(b" (");
    address(client, out);
    out.extend_from_slice(b")\r\n");
    if let Some(Tls { version, cipher }) = &client.tls {
        append(format_args!("\t(using {version} with cipher {cipher})\r\n"), out);
    }
    out.extend_from_slice(b"\tby ");
    name(hello_name, out);
    out.extend_from_slice(b" (ringpost) with ");
    with(envelope, out);
    out.extend_from_slice(b" id ");
    envelope.id.write(out);
    match named {
        // Where there is one alone, so that nobody learns of the others; a recipient that a message without SMTPUTF8 cannot name
        // is left out.
        [recipient] if recipient.is_ascii() || envelope.smtputf8 => {
            out.extend_from_slice(b"\r\n\tfor <");
            recipient.write(out);
            out.push(b'>');
            priority(envelope, out);
            out.extend_from_slice(b"; ");
        }
        _ => {
            priority(envelope, out);
            out.extend_from_slice(b";\r\n\t");
        }
    }
    Date::from_micros(envelope.received_at).write_rfc5322(out);
    out.extend_from_slice(b"\r\n");
    debug_assert!(out[start..].split(|byte| *byte == b'\n').all(|line| line.len() as u64 <= TEXT_LINE_OCTETS));
}

/// The clause that tells of a priority other than the usual one (RFC 6710 §3.6).
fn priority(envelope: &Envelope, out: &mut Vec<u8>) {
    if envelope.priority != 0 {
        append(format_args!(" PRIORITY {}", envelope.priority), out);
    }
}

/// The client's address, as a literal.
fn address(client: &Client, out: &mut Vec<u8>) {
    match client.address.ip().to_canonical() {
        IpAddr::V4(address) => {
            for (octet, before) in address.octets().into_iter().zip(*b"[...") {
                out.push(before);
                append_number(octet.into(), out);
            }
            out.push(b']');
        }
        address => append(Domain::Address(address), out),
    }
}

/// The name after `with` (RFC 3848, RFC 6531 §4.3). Who said HELO has none that tells of TLS, unless it used AUTH, which is an
/// extension after all.
fn with(envelope: &Envelope, out: &mut Vec<u8>) {
    let Client { protocol, tls, user, .. } = &envelope.client;
    let name = match (protocol, envelope.smtputf8) {
        (Protocol::Smtp, false) if user.is_none() => "SMTP",
        (Protocol::Smtp | Protocol::Esmtp, false) => "ESMTP",
        (Protocol::Lmtp, false) => "LMTP",
        (Protocol::Smtp | Protocol::Esmtp, true) => "UTF8SMTP",
        (Protocol::Lmtp, true) => "UTF8LMTP",
    };
    out.extend_from_slice(name.as_bytes());
    if name != "SMTP" && tls.is_some() {
        out.push(b'S');
    }
    if user.is_some() {
        out.push(b'A');
    }
}

/// A name with nothing in it that would end the line, begin a comment or part words.
fn name(text: &str, out: &mut Vec<u8>) {
    let plain = |octet: u8| {
        octet.is_ascii_graphic() && !matches!(octet, b'(' | b')' | b'<' | b'>' | b'\\' | b'"' | b',' | b';')
    };
    if text.len() <= NAME_OCTETS && text.bytes().all(plain) {
        return out.extend_from_slice(text.as_bytes());
    }
    let shown = |c: char| u8::try_from(c).ok().filter(|octet| plain(*octet)).unwrap_or(b'?');
    out.extend(text.chars().take(NAME_OCTETS).map(shown));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{CipherSuite, MessageId, ReversePath, SessionId, TlsVersion, Username};

    fn envelope(address: &str, helo: &str, recipients: &[&str]) -> Envelope {
        Envelope::new(
            MessageId(1),
            SessionId(2),
            1_787_406_275_000_000,
            ReversePath::Null,
            recipients.iter().map(|text| Mailbox::parse(text).unwrap()).collect(),
            Client {
                address: address.parse().unwrap(),
                helo: helo.into(),
                protocol: Protocol::Esmtp,
                tls: None,
                user: None,
            },
        )
    }

    #[test]
    fn a_priority_is_told() {
        let mut envelope = envelope("192.0.2.1:25", "client", &["you@example.org"]);
        envelope.priority = -4;
        assert!(written(&envelope).contains("\r\n\tfor <you@example.org> PRIORITY -4; "), "{}", written(&envelope));
        envelope.recipients.push(Mailbox::parse("me@example.org").unwrap());
        assert!(written(&envelope).contains(" PRIORITY -4;\r\n\t"), "{}", written(&envelope));
    }

    fn written(envelope: &Envelope) -> String {
        let mut out = b"before ".to_vec();
        write_received(envelope, &envelope.recipients, "mx.example", &mut out);
        String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn one_recipient_is_named() {
        let expected = "Received: from client.example ([192.0.2.1])\r\n\
            \tby mx.example (ringpost) with ESMTP id 0000000000001\r\n\
            \tfor <you@localhost>; Sat, 22 Aug 2026 13:44:35 +0000\r\n";
        assert_eq!(written(&envelope("192.0.2.1:25", "client.example", &["you@localhost"])), expected);
    }

    #[test]
    fn many_recipients_are_not() {
        let expected = "Received: from [192.0.2.1] ([192.0.2.1])\r\n\
            \tby mx.example (ringpost) with ESMTP id 0000000000001;\r\n\
            \tSat, 22 Aug 2026 13:44:35 +0000\r\n";
        assert_eq!(written(&envelope("[::ffff:192.0.2.1]:25", "", &["a@b", "b@b"])), expected);
    }

    #[test]
    fn protocols_are_named() {
        let mut envelope = envelope("[2001:db8::1]:25", "[IPv6:2001:db8::1]", &["é@b"]);
        assert!(written(&envelope).starts_with("Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n"));
        assert!(!written(&envelope).contains("for <"));
        envelope.smtputf8 = true;
        assert!(written(&envelope).contains("with UTF8SMTP id ") && written(&envelope).contains("for <é@b>; "));
        envelope.client.protocol = Protocol::Lmtp;
        assert!(written(&envelope).contains("with UTF8LMTP id "));
        envelope.smtputf8 = false;
        assert!(written(&envelope).contains("with LMTP id "));
        envelope.client.protocol = Protocol::Smtp;
        assert!(written(&envelope).contains("with SMTP id "));
    }

    #[test]
    fn tls_and_auth_are_told_of() {
        let mut envelope = envelope("192.0.2.1:25", "client.example", &["a@b", "b@b"]);
        let cipher = CipherSuite::named("TLS_AES_256_GCM_SHA384").unwrap();
        envelope.client.tls = Some(Tls { version: TlsVersion::Tls13, cipher });
        let expected = "Received: from client.example ([192.0.2.1])\r\n\
            \t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n\
            \tby mx.example (ringpost) with ESMTPS id 0000000000001;\r\n\
            \tSat, 22 Aug 2026 13:44:35 +0000\r\n";
        assert_eq!(written(&envelope), expected);
        envelope.client.protocol = Protocol::Lmtp;
        assert!(written(&envelope).contains("with LMTPS id "));
        envelope.smtputf8 = true;
        assert!(written(&envelope).contains("with UTF8LMTPS id "));
        envelope.client.protocol = Protocol::Esmtp;
        assert!(written(&envelope).contains("with UTF8SMTPS id "));
        envelope.client.user = Username::parse("you").ok();
        assert!(written(&envelope).contains("with UTF8SMTPSA id "));
        (envelope.client.tls, envelope.smtputf8) = (None, false);
        assert!(written(&envelope).contains("with ESMTPA id "));
        envelope.client.protocol = Protocol::Smtp;
        assert!(written(&envelope).contains("with ESMTPA id "));
    }

    #[test]
    fn a_hostile_name_stays_on_its_line() {
        let text = written(&envelope("192.0.2.1:25", &format!("a\r\nX: (é{}", "x".repeat(2000)), &["a@b"]));
        assert!(text.starts_with("Received: from a??X:???xxx"));
        assert!(text.lines().count() == 3 && text.lines().all(|line| line.len() < 998));
    }
}
