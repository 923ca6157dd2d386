//! Base64 (RFC 4648 §4) as AUTH has it: padded, without line ends, and in one way only (RFC 4954 §4).

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;

use super::Malformed;

/// Decodes text that is exactly what encoding would give.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    STANDARD.decode(text).map_err(|_| Malformed)
}

/// Encodes.
pub fn encode(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4648 §10.
    #[test]
    fn the_examples_of_the_rfc() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (octets, text) in pairs {
            assert_eq!((encode(octets.as_bytes()), decode(text.as_bytes())), (text.to_owned(), Ok(octets.into())));
        }
    }

    #[test]
    fn there_is_one_way_to_write_it() {
        for wrong in
            ["Zg", "Zg=", "Zh==", "Zg==Zg==", "Zm9v ", " Zm9v", "Zm\r\n9v", "Z", "=", "====", "Zm9-", "Zm9_", "é"]
        {
            assert_eq!(decode(wrong.as_bytes()), Err(Malformed), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same(octets in prop::collection::vec(any::<u8>(), 0..60), text in "[A-Za-z0-9+/=]{0,20}") {
            prop_assert_eq!(decode(encode(&octets).as_bytes()), Ok(octets));
            if let Ok(octets) = decode(text.as_bytes()) {
                prop_assert_eq!(encode(&octets), text);
            }
        }
    }
}
