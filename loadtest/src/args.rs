//! Values on the command line that several subcommands take.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// The first address that `to` resolves to.
pub fn resolve(to: &str) -> Result<SocketAddr, String> {
    let mut addresses = to.to_socket_addrs().map_err(|error| format!("--to {to}: {error}"))?;
    addresses.next().ok_or_else(|| format!("--to {to}: no address"))
}

/// Seconds of at most a week, with decimals.
pub fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=604_800.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number of seconds up to 604800".into()),
    }
}

/// A number above zero, with decimals.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1e9 => Ok(number),
        _ => Err("not a number above 0 and up to 1000000000".into()),
    }
}

/// An address that can stand between angle brackets in commands and header alike.
pub fn address(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|octet| octet.is_ascii_graphic() && !b"<>".contains(&octet));
    if plain && text.len() <= 254 { Ok(text.into()) } else { Err("not a plain ASCII address".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_cannot_carry_commands() {
        assert!(address("you@localhost").is_ok());
        for text in ["a b@c", "a@b\r\nDATA", "<a@b>", "ä@b"] {
            assert!(address(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_bounded() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(positive("0.5"), Ok(0.5));
        for text in ["-1", "nan", "inf", "1e10", "", "x"] {
            assert!(seconds(text).is_err() && positive(text).is_err(), "{text:?}");
        }
        assert!(positive("0").is_err());
    }
}
