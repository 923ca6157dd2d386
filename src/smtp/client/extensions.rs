//! What a server offers in its reply to EHLO or LHLO (RFC 5321 §4.1.1.1).

use super::reply::Reply;

/// The extensions that a client uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// BINARYMIME (RFC 3030).
    pub binary_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// STARTTLS (RFC 3207).
    pub start_tls: bool,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
    /// MT-PRIORITY (RFC 6710).
    pub mt_priority: bool,
    /// DELIVERBY (RFC 2852), and the seconds that are to be left at least where mail is to be returned.
    pub deliver_by: Option<u64>,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status: bool,
    /// SIZE (RFC 1870); `Some(None)` where it names no limit.
    pub size: Option<Option<u64>>,
    /// AUTH PLAIN (RFC 4954).
    pub auth_plain: bool,
    /// AUTH LOGIN.
    pub auth_login: bool,
    /// The recipients that LIMITS says one transaction may have (RFC 9422).
    pub recipients: Option<u64>,
}

impl Extensions {
    /// Reads the lines after the first.
    pub fn of(reply: &Reply) -> Extensions {
        let mut all = Extensions::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            // Old servers write AUTH=LOGIN.
            let first = words.next().unwrap_or_default().to_ascii_uppercase();
            let (keyword, joined) = first.split_once('=').map_or((first.as_str(), None), |(a, b)| (a, Some(b)));
            match keyword {
                "PIPELINING" => all.pipelining = true,
                "8BITMIME" => all.eight_bit_mime = true,
                "CHUNKING" => all.chunking = true,
                "BINARYMIME" => all.binary_mime = true,
                "SMTPUTF8" => all.smtputf8 = true,
                "DSN" => all.dsn = true,
                "STARTTLS" => all.start_tls = true,
                "REQUIRETLS" => all.require_tls = true,
                "MT-PRIORITY" => all.mt_priority = true,
                "DELIVERBY" => all.deliver_by = Some(words.next().and_then(|number| number.parse().ok()).unwrap_or(0)),
                "ENHANCEDSTATUSCODES" => all.enhanced_status = true,
                "SIZE" => all.size = Some(words.next().and_then(|number| number.parse().ok()).filter(|most| *most > 0)),
                "LIMITS" => {
                    let most = words.find_map(|word| word.strip_prefix("RCPTMAX="));
                    all.recipients = most.and_then(|number| number.parse().ok()).filter(|most| *most > 0);
                }
                "AUTH" => {
                    for mechanism in joined.into_iter().chain(words) {
                        all.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        all.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                _ => {}
            }
        }
        // Content that is binary can be sent in chunks alone.
        all.binary_mime &= all.chunking;
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_read_whatever_their_case() {
        let lines = [
            "host SIZE 5",
            "size 1000",
            "AUTH=login PLAIN",
            "binarymime",
            "Limits MAILMAX=1 RCPTMAX=20",
            "X",
            "mt-priority MIXER",
            "DeliverBy 60",
        ];
        let reply = Reply { code: 250, lines: lines.map(str::to_owned).to_vec() };
        let all = Extensions::of(&reply);
        let expected = Extensions {
            size: Some(Some(1000)),
            auth_plain: true,
            auth_login: true,
            recipients: Some(20),
            mt_priority: true,
            deliver_by: Some(60),
            ..Extensions::default()
        };
        assert_eq!(all, expected);
    }
}
