//! The header by which a proxy says whom it speaks for: PROXY protocol, versions 1 and 2.
//!
//! Pure, total and bounded: [`decode`] looks at what has come so far and says what it is, or how many octets more it surely
//! takes; whoever receives no more than that never takes an octet of what follows the header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Octets of the longest header of version 1, CR LF counted.
const TEXT_MOST: usize = 107;

/// Octets of the shortest header of either version: that of one who cannot name anybody.
const SHORTEST: usize = b"PROXY UNKNOWN\r\n".len();

/// What a header of version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Octets of the part of version 2 that has a fixed size.
const FIXED: usize = 16;

/// Octets of addresses and TLVs in version 2 that are taken. The longest addresses are of 216 octets; certificates' names and
/// identifiers of connections as TLVs fit into the rest.
const BLOCK_MOST: usize = 2048;

/// What has come so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The beginning of a header that takes at least so many octets more.
    NeedMore(usize),
    /// A whole header, and nothing else.
    Header(Origin),
    /// No header.
    Malformed,
}

/// For whom the proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// For itself (LOCAL, such as a health check), or for somebody it cannot name (UNKNOWN): the connection's own addresses
    /// are the ones to use.
    Itself,
    /// For a client.
    Client {
        /// The client's address.
        source: SocketAddr,
        /// The address that the client connected to.
        destination: SocketAddr,
    },
}

/// Decodes all that has come since the connection began.
pub fn decode(received: &[u8]) -> Decoded {
    if received.is_empty() {
        Decoded::NeedMore(SHORTEST)
    } else if starts_alike(received, b"PROXY ") {
        decode_text(received)
    } else if starts_alike(received, SIGNATURE) {
        decode_binary(received)
    } else {
        Decoded::Malformed
    }
}

/// Whether what there is of `received` agrees with `start`.
fn starts_alike(received: &[u8], start: &[u8]) -> bool {
    received.iter().zip(start).all(|(a, b)| a == b)
}

fn decode_text(received: &[u8]) -> Decoded {
    match received.strip_suffix(b"\r\n") {
        _ if received.len() > TEXT_MOST => Decoded::Malformed,
        Some(line) => std::str::from_utf8(line).ok().and_then(parse_line).map_or(Decoded::Malformed, Decoded::Header),
        // A CR or LF that does not end the header has no place in it.
        None if ends_wrongly(received) || received.len() == TEXT_MOST => Decoded::Malformed,
        None => Decoded::NeedMore(if received.ends_with(b"\r") { 1 } else { 2.min(TEXT_MOST - received.len()) }),
    }
}

fn ends_wrongly(received: &[u8]) -> bool {
    let line = received.strip_suffix(b"\r").unwrap_or(received);
    line.iter().any(|octet| matches!(octet, b'\r' | b'\n'))
}

fn parse_line(line: &str) -> Option<Origin> {
    if line.contains(['\r', '\n']) {
        return None;
    }
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    match words.next()? {
        // Whatever follows is to be ignored.
        "UNKNOWN" => Some(Origin::Itself),
        "TCP4" => parse_addresses(words, |text| text.parse::<Ipv4Addr>().map(IpAddr::V4).ok()),
        "TCP6" => parse_addresses(words, |text| text.parse::<Ipv6Addr>().map(IpAddr::V6).ok()),
        _ => None,
    }
}

/// Source, destination, source port and destination port, and nothing behind.
fn parse_addresses<'a>(mut words: impl Iterator<Item = &'a str>, parse: fn(&str) -> Option<IpAddr>) -> Option<Origin> {
    let mut address = || parse(words.next()?);
    let (source, destination) = (address()?, address()?);
    let mut port = || parse_port(words.next()?);
    let (source_port, destination_port) = (port()?, port()?);
    let client = Origin::Client {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    };
    words.next().is_none().then_some(client)
}

/// Digits without leading zeros.
fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    let plain = text == "0" || !text.starts_with('0');
    (digits && plain).then(|| text.parse().ok()).flatten()
}

fn decode_binary(received: &[u8]) -> Decoded {
    let Some((fixed, block)) = received.split_first_chunk::<FIXED>() else {
        return Decoded::NeedMore(FIXED - received.len());
    };
    let [.., version_and_command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > BLOCK_MOST || block.len() > length {
        return Decoded::Malformed;
    }
    let known = match version_and_command {
        // The family of LOCAL means nothing.
        0x20 => true,
        0x21 => matches!(family, 0x00 | 0x11 | 0x12 | 0x21 | 0x22 | 0x31 | 0x32),
        _ => false,
    };
    if !known {
        return Decoded::Malformed;
    }
    if block.len() < length {
        return Decoded::NeedMore(length - block.len());
    }
    let origin = match (version_and_command, family) {
        (0x21, 0x11) => addresses::<4>(block),
        (0x21, 0x21) => addresses::<16>(block),
        // Of what is no TCP, nothing can be a client's address.
        _ => Some(Origin::Itself),
    };
    origin.map_or(Decoded::Malformed, Decoded::Header)
}

/// The addresses that a block begins with; TLVs may follow.
fn addresses<const N: usize>(block: &[u8]) -> Option<Origin>
where
    [u8; N]: Into<IpAddr>,
{
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    Some(Origin::Client {
        source: SocketAddr::new((*source).into(), u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new((*destination).into(), u16::from_be_bytes(*destination_port)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Receives as whoever decodes does: never more than is surely needed. What came of it, and how much was taken.
    fn receive(stream: &[u8], piece: usize) -> (Decoded, usize) {
        let mut taken = 0;
        loop {
            match decode(&stream[..taken]) {
                Decoded::NeedMore(octets) => {
                    assert!(octets > 0, "needs more, and nothing, after {taken}");
                    let more = octets.min(piece).min(stream.len() - taken);
                    if more == 0 {
                        return (Decoded::NeedMore(octets), taken);
                    }
                    taken += more;
                    assert!(taken <= FIXED + BLOCK_MOST);
                }
                end => return (end, taken),
            }
        }
    }

    fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend((block.len() as u16).to_be_bytes());
        header.extend(block);
        header
    }

    fn client(source: &str, destination: &str) -> Decoded {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Decoded::Header(Origin::Client { source, destination })
    }

    #[test]
    fn headers_of_version_1() {
        let long = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        for (header, expected) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n", client("192.0.2.1:56324", "198.51.100.2:25")),
            ("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", client("[2001:db8::1]:0", "[::1]:65535")),
            (
                &format!("PROXY TCP6 {long} {long} 65535 65535\r\n"),
                client(&format!("[{long}]:65535"), &format!("[{long}]:65535")),
            ),
            ("PROXY UNKNOWN\r\n", Decoded::Header(Origin::Itself)),
            ("PROXY UNKNOWN ffff::1 what ever\r\n", Decoded::Header(Origin::Itself)),
            (&format!("PROXY UNKNOWN {}\r\n", "x".repeat(91)), Decoded::Header(Origin::Itself)),
        ] {
            for piece in [1, 2, 1000] {
                let stream = format!("{header}EHLO client\r\n");
                assert_eq!(receive(stream.as_bytes(), piece), (expected, header.len()), "{header}");
            }
        }
    }

    #[test]
    fn headers_of_version_2() {
        let four = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 0, 25];
        let six: Vec<u8> = [[0u8; 15].as_slice(), &[1], &[0; 15], &[2], &[0, 1, 0, 25]].concat();
        let tlvs = [four.as_slice(), &[0x20, 0, 3, 1, 2, 3, 0xff]].concat();
        for (header, expected) in [
            (binary(0x21, 0x11, &four), client("192.0.2.1:56324", "198.51.100.2:25")),
            (binary(0x21, 0x11, &tlvs), client("192.0.2.1:56324", "198.51.100.2:25")),
            (binary(0x21, 0x21, &six), client("[::1]:1", "[::2]:25")),
            (binary(0x20, 0x00, &[]), Decoded::Header(Origin::Itself)),
            (binary(0x20, 0x77, &four), Decoded::Header(Origin::Itself)),
            (binary(0x21, 0x00, &[1; 7]), Decoded::Header(Origin::Itself)),
            (binary(0x21, 0x12, &four), Decoded::Header(Origin::Itself)),
            (binary(0x21, 0x31, &[b'/'; 216]), Decoded::Header(Origin::Itself)),
            (binary(0x21, 0x00, &[0; BLOCK_MOST]), Decoded::Header(Origin::Itself)),
        ] {
            for piece in [1, 7, 10_000] {
                let stream = [header.as_slice(), b"EHLO client\r\n"].concat();
                assert_eq!(receive(&stream, piece), (expected, header.len()), "{header:?}");
            }
        }
    }

    #[test]
    fn what_is_no_header() {
        let texts = [
            "EHLO client\r\n",
            "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY\r\n",
            "PROXY \r\n",
            "PROXY TCP5 a b 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 ::1 ::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +25 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 025 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rx",
            "PROXY UNKNOWN\r\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 \u{e9}\r\n",
            "\r\n\r\n\0\r\nQUIP\n",
            "\r\n\r\n\r\n",
        ];
        let mut headers: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        headers.push(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).into_bytes());
        headers.push([b"PROXY UNKNOWN ".as_slice(), &[b'x'; 500]].concat());
        headers.push(binary(0x11, 0x11, &[0; 12]));
        headers.push(binary(0x22, 0x11, &[0; 12]));
        headers.push(binary(0x21, 0x41, &[0; 12]));
        headers.push(binary(0x21, 0x13, &[0; 12]));
        headers.push(binary(0x21, 0x11, &[0; 11]));
        headers.push(binary(0x21, 0x21, &[0; 35]));
        headers.push(binary(0x20, 0x00, &[0; BLOCK_MOST + 1]));
        for header in headers {
            assert_eq!(receive(&header, 1).0, Decoded::Malformed, "{:?}", String::from_utf8_lossy(&header));
        }
    }

    fn any_header() -> impl Strategy<Value = Vec<u8>> {
        let text = "(PROXY|PROX) (TCP4|TCP6|UNKNOWN) (192\\.0\\.2\\.[0-9]{1,3}|::[0-9a-f]{1,4}) (1\\.2\\.3\\.4|::1) [0-9]{1,6} [0-9]{1,5}\r?\n?";
        let block = prop::collection::vec(any::<u8>(), 0..60);
        prop_oneof![
            text.prop_map(String::into_bytes),
            (prop_oneof![Just(0x20), Just(0x21), any::<u8>()], prop_oneof![Just(0x11), Just(0x21), any::<u8>()], block)
                .prop_map(|(command, family, block)| binary(command, family, &block)),
            prop::collection::vec(any::<u8>(), 0..300),
        ]
    }

    proptest! {
        #[test]
        fn how_it_arrives_does_not_matter(header in any_header(), rest in prop::collection::vec(any::<u8>(), 0..40), piece in 1usize..50) {
            let stream = [header, rest].concat();
            let (by_octet, taken) = receive(&stream, 1);
            let (by_piece, also_taken) = receive(&stream, piece);
            match by_octet {
                Decoded::Malformed => prop_assert_eq!(by_piece, Decoded::Malformed),
                _ => prop_assert_eq!((by_octet, taken), (by_piece, also_taken)),
            }
            if matches!(by_octet, Decoded::Header(_)) {
                prop_assert_eq!(decode(&stream[..taken]), by_octet);
            }
        }
    }
}
