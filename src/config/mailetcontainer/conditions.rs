//! `match="Name=condition"` read into a matcher.

use super::super::value::{self, Expected};
use crate::mail::{Domain, Mailbox, Network, Networks};
use crate::mailet::matchers::{Matcher, attribute, content, delivery, domain, header, recipient, remote, sender, size};
use crate::mailet::pattern::Pattern;

/// What a matcher is, where the pipeline can have it.
pub enum Read {
    /// This.
    Matcher(Matcher),
    /// Its condition is wrong: what was expected.
    Wrong(Expected),
    /// The pipeline does not have it yet.
    NotYet,
}

/// The matcher of a name that is known, with its condition.
pub fn read(name: &str, condition: Option<&str>) -> Read {
    let text = condition.unwrap_or_default().trim();
    let result = plain(name)
        .map(Ok)
        .or_else(|| of_people(name, text))
        .or_else(|| of_mail(name, text))
        .or_else(|| of_figures(name, text));
    match result {
        None => Read::NotYet,
        Some(Ok(matcher)) => Read::Matcher(matcher),
        Some(Err(expected)) => Read::Wrong(expected),
    }
}

/// Matchers without a condition.
fn plain(name: &str) -> Option<Matcher> {
    Some(match name {
        "All" => Matcher::All,
        "RecipientIsLocal" => Matcher::Recipient(recipient::Condition::IsLocal),
        "HostIsLocal" => Matcher::Recipient(recipient::Condition::HostIsLocal),
        "IsSingleRecipient" => Matcher::Recipient(recipient::Condition::IsSingle),
        "SenderHostIsLocal" => Matcher::Sender(sender::Condition::HostIsLocal),
        "SenderIsLocal" => Matcher::Sender(sender::Condition::IsLocal),
        "SenderIsNull" => Matcher::Sender(sender::Condition::IsNull),
        "IsSenderInRRTLoop" => Matcher::Sender(sender::Condition::InRewriteLoop),
        "SMTPAuthSuccessful" => Matcher::Remote(remote::Condition::AuthSuccessful),
        "SMTPIsAuthNetwork" => Matcher::Remote(remote::Condition::IsAuthNetwork),
        "SentByMailet" => Matcher::Remote(remote::Condition::SentByMailet),
        "SentByJmap" => Matcher::Remote(remote::Condition::SentByJmap),
        "HasException" => Matcher::Attribute(attribute::Condition::HasException),
        "DSNSuccessRequested" => Matcher::Delivery(delivery::Condition::SuccessRequested),
        "DSNFailureRequested" => Matcher::Delivery(delivery::Condition::FailureRequested),
        "DSNDelayRequested" => Matcher::Delivery(delivery::Condition::DelayRequested),
        "IsRemoteDeliveryPermanentError" => Matcher::Delivery(delivery::Condition::Failed { permanent: true }),
        "IsRemoteDeliveryTemporaryError" => Matcher::Delivery(delivery::Condition::Failed { permanent: false }),
        "HasAttachment" => Matcher::Content(content::Condition::HasAttachment),
        "SenderInFakeDomain" => Matcher::Domain(domain::Condition::SenderInFakeDomain),
        "IsFromMailingList" => Matcher::Header(header::Condition::IsFromMailingList),
        _ => return None,
    })
}

/// Matchers of recipients, senders and clients.
fn of_people(name: &str, text: &str) -> Option<Result<Matcher, Expected>> {
    Some(match name {
        "HostIs" | "RecipientDomainIs" => {
            domains(text).map(|list| Matcher::Recipient(recipient::Condition::DomainIs(list)))
        }
        "RecipientIs" => mailboxes(text).map(|list| Matcher::Recipient(recipient::Condition::Is(list))),
        "UserIs" => Ok(Matcher::Recipient(recipient::Condition::UserIs(words(text)))),
        "RecipientIsRegex" => Pattern::new(text).map(|regex| Matcher::Recipient(recipient::Condition::IsRegex(regex))),
        "SenderIs" => mailboxes(text).map(|list| Matcher::Sender(sender::Condition::Is(list))),
        "SenderHostIs" | "SenderDomainIs" => {
            domains(text).map(|list| Matcher::Sender(sender::Condition::DomainIs(list)))
        }
        "SenderIsRegex" => Pattern::new(text).map(|regex| Matcher::Sender(sender::Condition::IsRegex(regex))),
        "SMTPAuthUserIs" => Ok(Matcher::Remote(remote::Condition::AuthUserIs(words(text)))),
        "RemoteAddrInNetwork" => in_networks(text, false),
        "RemoteAddrNotInNetwork" => in_networks(text, true),
        "XOriginatingIpInNetwork" => networks(text).map(|list| Matcher::Remote(remote::Condition::OriginatingIn(list))),
        "InSpammerBlacklist" => value::domain(text.trim_end_matches('.'))
            .map(|zone| Matcher::Domain(domain::Condition::Listed(zone.into()))),
        _ => return None,
    })
}

fn in_networks(text: &str, not: bool) -> Result<Matcher, Expected> {
    networks(text).map(|networks| Matcher::Remote(remote::Condition::AddressIn { networks, not }))
}

/// Matchers of header, content and attributes.
fn of_mail(name: &str, text: &str) -> Option<Result<Matcher, Expected>> {
    let of_header = |condition| Ok(Matcher::Header(condition));
    Some(match name {
        "HasHeader" => has_header(text),
        "HasHeaderWithPrefix" => of_header(header::Condition::HasWithPrefix(text.into())),
        "SubjectIs" => of_header(header::Condition::SubjectIs(text.into())),
        "SubjectStartsWith" => of_header(header::Condition::SubjectStartsWith(text.into())),
        "HasMimeType" => of_header(header::Condition::HasMimeType(words(text))),
        "FetchedFrom" => of_header(header::Condition::FetchedFrom(text.into())),
        "CompareNumericHeaderValue" => compare(text),
        "HasMimeTypeAnySubPart" => Ok(Matcher::Content(content::Condition::HasType(words(text)))),
        "AttachmentFileNameIs" => file_names(text),
        "AtMost" => {
            let (name, most) = text.split_once(':').unwrap_or(("AT_MOST_EXECUTIONS", text));
            let most = value::number(most, 1, u64::from(u32::MAX));
            most.map(|most| Matcher::Attribute(attribute::Condition::AtMost { name: name.into(), most: most as i64 }))
        }
        "HasMailAttribute" => Ok(Matcher::Attribute(attribute::Condition::Has(text.into()))),
        "HasMailAttributeWithValue" => name_and_value(text)
            .map(|(name, value)| Matcher::Attribute(attribute::Condition::HasValue(name.into(), value.into()))),
        "HasMailAttributeWithValueRegex" => name_and_value(text).and_then(|(name, value)| {
            let regex = Pattern::new(value)?;
            Ok(Matcher::Attribute(attribute::Condition::HasValueRegex(name.into(), regex)))
        }),
        _ => return None,
    })
}

/// Matchers of figures.
fn of_figures(name: &str, text: &str) -> Option<Result<Matcher, Expected>> {
    let count = |least| value::number(text, least, u64::from(u32::MAX)).map(|count| count as usize);
    let priority = |of: fn(i64) -> (i64, i64)| {
        let (least, most) = value::number(text, 0, 9).map(|priority| of(priority as i64))?;
        Ok(Matcher::Attribute(attribute::Condition::Priority { least, most }))
    };
    Some(match name {
        "RelayLimit" => count(1).map(|limit| Matcher::Header(header::Condition::RelayLimit(limit))),
        "SizeGreaterThan" => octets(text).map(|octets| Matcher::Size(size::Condition::GreaterThan(octets))),
        "TooManyRecipients" | "RecipientCountExceeds" => {
            count(0).map(|count| Matcher::Size(size::Condition::MoreRecipients(count)))
        }
        "TooManyLines" => count(0).map(|count| Matcher::Size(size::Condition::MoreLines(count))),
        "HasPriority" => priority(|priority| (priority, priority)),
        "AtLeastPriority" => priority(|priority| (priority, 9)),
        "AtMostPriority" => priority(|priority| (0, priority)),
        "RemoteDeliveryFailedWithSMTPCode" => {
            value::number(text, 100, 599).map(|code| Matcher::Delivery(delivery::Condition::FailedWith(code as u16)))
        }
        _ => return None,
    })
}

/// Words separated by commas or blanks, as James splits them.
pub fn words(text: &str) -> Vec<Box<str>> {
    text.split([',', ' ', '\t', '\n', '\r']).filter(|word| !word.is_empty()).map(Box::from).collect()
}

fn mailboxes(text: &str) -> Result<Vec<Mailbox>, Expected> {
    let list: Result<Vec<Mailbox>, _> = words(text).iter().map(|word| Mailbox::parse(word)).collect();
    list.map_err(|_| "addresses such as you@example.org, separated by commas".to_owned())
}

fn domains(text: &str) -> Result<Vec<Domain>, Expected> {
    let list: Result<Vec<Domain>, _> = words(text).iter().map(|word| Domain::parse(word)).collect();
    list.map_err(|_| "domains such as example.org, separated by commas".to_owned())
}

fn networks(text: &str) -> Result<Networks, Expected> {
    let one = |word: &str| {
        let (address, prefix) = match word.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (word, None),
        };
        let address = address.parse().ok()?;
        match prefix {
            None => Some(Network::host(address)),
            Some(prefix) => Network::new(address, prefix.parse().ok().or_else(|| mask(prefix))?),
        }
    };
    let list: Option<Vec<Network>> = words(text).iter().map(|word| one(word)).collect();
    list.map(Networks).ok_or_else(|| "networks such as 127.0.0.0/8, separated by commas".to_owned())
}

/// `255.255.255.0` as a count of bits.
fn mask(text: &str) -> Option<u8> {
    let bits = text.parse::<std::net::Ipv4Addr>().ok()?.to_bits();
    (bits.leading_ones() == bits.count_ones()).then_some(bits.leading_ones() as u8)
}

fn octets(text: &str) -> Result<u64, Expected> {
    value::octets(text, Some(1)).ok_or_else(|| "a size such as 1000, 10k or 2m".to_owned())
}

fn has_header(text: &str) -> Result<Matcher, Expected> {
    let one = |part: &str| match part.split_once('=') {
        Some((name, value)) => (Box::from(name.trim()), Some(Box::from(value.trim()))),
        None => (Box::from(part.trim()), None),
    };
    let list: Vec<(Box<str>, Option<Box<str>>)> =
        text.split('+').filter(|part| !part.trim().is_empty()).map(one).collect();
    match list.is_empty() || list.iter().any(|(name, _)| name.is_empty()) {
        true => Err("names of header fields, each with =value or without, joined by +".to_owned()),
        false => Ok(Matcher::Header(header::Condition::Has(list))),
    }
}

fn name_and_value(text: &str) -> Result<(&str, &str), Expected> {
    let parts = text.split_once(',').map(|(name, value)| (name.trim(), value.trim()));
    parts.filter(|(name, _)| !name.is_empty()).ok_or_else(|| "name, value".to_owned())
}

fn file_names(text: &str) -> Result<Matcher, Expected> {
    let masks = words(text);
    if masks.iter().any(|mask| mask.starts_with('-')) {
        return Err("names of files; -z, which looks into archives, is not done".to_owned());
    }
    match masks.iter().any(|mask| mask.trim_matches('*').contains('*')) {
        true => Err("names of files, with * at an end alone".to_owned()),
        false => Ok(Matcher::Content(content::Condition::FileNameIs(masks))),
    }
}

fn compare(text: &str) -> Result<Matcher, Expected> {
    let expected = || "a header field, one of < <= == >= >, and a number".to_owned();
    let list: Vec<&str> = text.split_whitespace().collect();
    let [name, word, number] = list[..] else { return Err(expected()) };
    let (less, equal, more) = match word {
        "<" | "LT" => (true, false, false),
        "<=" | "=<" | "LE" => (true, true, false),
        "==" | "=" | "EQ" => (false, true, false),
        ">=" | "=>" | "GE" => (false, true, true),
        ">" | "GT" => (false, false, true),
        _ => return Err(expected()),
    };
    let number = header::thousandths(number).ok_or_else(expected)?;
    let how = header::Comparison::Orders { less, equal, more };
    Ok(Matcher::Header(header::Condition::Compare { name: name.into(), how, number }))
}
