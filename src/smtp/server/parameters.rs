//! The parameters of MAIL and RCPT (RFC 5321 §4.1.1.11), read for a client that stands where it stands.
//!
//! Always there are SIZE (RFC 1870), BODY (RFC 6152, RFC 3030) and SMTPUTF8 (RFC 6531); AUTH (RFC 4954 §5) where the server has
//! it; and where the operator has turned them on RET, ENVID, NOTIFY and ORCPT (RFC 3461) with BY (RFC 2852), HOLDFOR and HOLDUNTIL (RFC 4865),
//! MT-PRIORITY (RFC 6710) and REQUIRETLS (RFC 8689).

use super::settings::Extensions;
use super::{Asked, replies};
use crate::mail::date::micros_of_rfc3339;
use crate::mail::dsn::{ENVELOPE_ID_OCTETS, ORIGINAL_OCTETS, xtext};
use crate::mail::{BodyType, ByMode, DeliverBy, Dsn, Mailbox, Notify, RecipientNote, Reply, Ret};
use crate::smtp::grammar::decimal;
use crate::smtp::parameter::{Parameter, parameters};

/// Seconds that mail may be held for its sender at most (RFC 4865 §4.2), as in James.
pub const HOLD_SECONDS_MAX: u64 = 86_400;

/// Digits of HOLDFOR (RFC 4865 §4.4) and of BY (RFC 2852 §4.1.2).
const SECONDS_DIGITS: usize = 9;

const MICROS_A_SECOND: u64 = 1_000_000;

/// Where a client stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// The server has AUTH.
    pub auth: bool,
    /// What the operator has turned on.
    pub extensions: Extensions,
    /// The session is inside TLS.
    pub secure: bool,
    /// The client has proved who it is.
    pub proved: bool,
    /// Microseconds since the Unix epoch.
    pub now: u64,
}

/// The parameters that were given with MAIL.
#[derive(Debug, Default)]
pub(super) struct MailParameters {
    pub size: Option<u64>,
    pub body: Option<BodyType>,
    pub smtputf8: Option<()>,
    /// `AUTH` was given.
    auth: Option<()>,
    dsn: Dsn,
    deliver_by: Option<DeliverBy>,
    hold_for: Option<u64>,
    hold_until: Option<u64>,
    priority: Option<i8>,
    require_tls: Option<()>,
}

impl MailParameters {
    pub fn read(text: &str, standing: &Standing) -> Result<MailParameters, Reply> {
        let mut given = MailParameters::default();
        for parameter in parameters(text) {
            given.note(parameter.map_err(|_| replies::malformed_parameter())?, standing)?;
        }
        if given.hold_for.is_some() && given.hold_until.is_some() {
            return Err(replies::held_twice());
        }
        Ok(given)
    }

    /// What was asked for beyond what is always there; `None` where nothing was.
    pub fn asked(self, standing: &Standing) -> Option<Box<Asked>> {
        let (hold_until, priority) = (self.hold_until(), self.priority(standing));
        let (require_tls, deliver_by) = (self.require_tls.is_some(), self.deliver_by);
        let asked = Asked { dsn: self.dsn, require_tls, hold_until, deliver_by, priority };
        (asked != Asked::default()).then(|| Box::new(asked))
    }

    /// When the mail may go on, if it is to be held.
    fn hold_until(&self) -> Option<u64> {
        self.hold_for.or(self.hold_until)
    }

    /// MT-PRIORITY. Who has not proved who it is gets none above the usual (RFC 6710 §5), as in James.
    fn priority(&self, standing: &Standing) -> i8 {
        let priority = self.priority.unwrap_or(0);
        if standing.proved { priority } else { priority.min(0) }
    }

    fn note(&mut self, Parameter { keyword, value }: Parameter<'_>, standing: &Standing) -> Result<(), Reply> {
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        let alone = || value.is_none().then_some(());
        let on = standing.extensions;
        match () {
            // RFC 1870 §3 allows 20 digits; what no 64 bits hold is no size.
            () if is("SIZE") => set_once(&mut self.size, "SIZE", value.and_then(decimal)),
            () if is("BODY") => set_once(&mut self.body, "BODY", value.and_then(body_type)),
            () if is("SMTPUTF8") => set_once(&mut self.smtputf8, "SMTPUTF8", alone()),
            // Who submitted the message first is worth knowing to whom it is sent on, and to nobody here (RFC 4954 §5).
            () if is("AUTH") && standing.auth => set_once(&mut self.auth, "AUTH", value.and_then(submitter)),
            () if is("RET") && on.dsn => set_once(&mut self.dsn.ret, "RET", value.and_then(Ret::parse)),
            () if is("ENVID") && on.dsn => {
                set_once(&mut self.dsn.envelope_id, "ENVID", value.filter(|id| is_envelope_id(id)).map(Into::into))
            }
            () if is("BY") && on.dsn => {
                set_once(&mut self.deliver_by, "BY", value.and_then(|value| deliver_by(value, standing.now)))
            }
            () if is("HOLDFOR") && on.future_release => {
                may_be_held(standing)?;
                set_once(&mut self.hold_for, "HOLDFOR", value.and_then(hold_seconds))?;
                let seconds = self.hold_for.unwrap_or(0);
                self.hold_for = Some(within_limit(standing, standing.now.saturating_add(seconds * MICROS_A_SECOND))?);
                Ok(())
            }
            () if is("HOLDUNTIL") && on.future_release => {
                may_be_held(standing)?;
                set_once(&mut self.hold_until, "HOLDUNTIL", value.and_then(micros_of_rfc3339))?;
                self.hold_until = Some(within_limit(standing, self.hold_until.unwrap_or(0))?);
                Ok(())
            }
            () if is("MT-PRIORITY") && on.mt_priority => {
                set_once(&mut self.priority, "MT-PRIORITY", value.and_then(priority))
            }
            // What is said in the clear may have been put there by anybody, and cannot have been kept from anybody.
            () if is("REQUIRETLS") && on.require_tls && !standing.secure => Err(replies::require_tls_in_clear()),
            () if is("REQUIRETLS") && on.require_tls => set_once(&mut self.require_tls, "REQUIRETLS", alone()),
            () => Err(replies::unknown_parameter(keyword)),
        }
    }
}

/// Reads the parameters that were given with RCPT.
pub(super) fn recipient_note(text: &str, extensions: Extensions, smtputf8: bool) -> Result<RecipientNote, Reply> {
    let mut note = RecipientNote::default();
    for parameter in parameters(text) {
        let Parameter { keyword, value } = parameter.map_err(|_| replies::malformed_parameter())?;
        let is = |name: &str| extensions.dsn && keyword.eq_ignore_ascii_case(name);
        match () {
            () if is("NOTIFY") => set_once(&mut note.notify, "NOTIFY", value.and_then(Notify::parse))?,
            () if is("ORCPT") => {
                let original = value.filter(|text| is_original(text, smtputf8));
                set_once(&mut note.original, "ORCPT", original.map(Into::into))?;
            }
            () => return Err(replies::unknown_parameter(keyword)),
        }
    }
    Ok(note)
}

/// Sets a parameter that has a valid value and was not given before.
fn set_once<T>(place: &mut Option<T>, keyword: &'static str, value: Option<T>) -> Result<(), Reply> {
    if place.is_some() {
        return Err(replies::repeated_parameter(keyword));
    }
    *place = Some(value.ok_or_else(|| replies::bad_value(keyword))?);
    Ok(())
}

/// `AUTH=` names a mailbox in xtext, or nobody (RFC 4954 §5).
fn submitter(value: &str) -> Option<()> {
    let text = xtext(value)?;
    (text == "<>" || Mailbox::parse(&text).is_ok()).then_some(())
}

fn body_type(value: &str) -> Option<BodyType> {
    let is = |name: &str| value.eq_ignore_ascii_case(name);
    match () {
        () if is("7BIT") => Some(BodyType::SevenBit),
        () if is("8BITMIME") => Some(BodyType::EightBitMime),
        () if is("BINARYMIME") => Some(BodyType::BinaryMime),
        () => None,
    }
}

/// ENVID stands for printable ASCII, of which reports make one line (RFC 3461 §4.4).
fn is_envelope_id(value: &str) -> bool {
    let is_printable = |text: String| text.bytes().all(|octet| octet == b' ' || octet.is_ascii_graphic());
    value.len() <= ENVELOPE_ID_OCTETS && xtext(value).is_some_and(is_printable)
}

/// ORCPT has a type of address and an address in xtext (RFC 3461 §4.2); with SMTPUTF8 one of the type `utf-8` may stand there as
/// it is (RFC 6533 §3).
fn is_original(value: &str, smtputf8: bool) -> bool {
    let Some((kind, address)) = value.split_once(';') else { return false };
    let special = |octet: u8| b"()<>@,;:\\\".[]".contains(&octet);
    let is_atom = !kind.is_empty() && kind.bytes().all(|octet| octet.is_ascii_graphic() && !special(octet));
    let as_it_is = smtputf8 && kind.eq_ignore_ascii_case("utf-8") && !address.is_ascii();
    let is_address = match as_it_is {
        true => !address.chars().any(|c| c.is_control() || c.is_whitespace()),
        false => xtext(address).is_some_and(|address| !address.chars().any(char::is_control)),
    };
    value.len() <= ORIGINAL_OCTETS && is_atom && !address.is_empty() && is_address
}

/// Only who has proved who it is may have its mail held, as in James (RFC 4865 §4.1 is about submission).
fn may_be_held(standing: &Standing) -> Result<(), Reply> {
    if standing.proved { Ok(()) } else { Err(replies::hold_needs_login()) }
}

fn hold_seconds(value: &str) -> Option<u64> {
    decimal(value).filter(|seconds| *seconds > 0 && value.len() <= SECONDS_DIGITS)
}

fn within_limit(standing: &Standing, until: u64) -> Result<u64, Reply> {
    if until <= standing.now {
        Err(replies::hold_is_past())
    } else if until > standing.now.saturating_add(HOLD_SECONDS_MAX * MICROS_A_SECOND) {
        Err(replies::held_too_long())
    } else {
        Ok(until)
    }
}

/// Seconds from now, `;`, and what happens then: `R`, which needs some time, or `N`, to which a `T` may be added (RFC 2852 §4.1.2).
fn deliver_by(value: &str, now: u64) -> Option<DeliverBy> {
    let (time, how) = value.split_once(';')?;
    let (is_past, digits) = match time.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, time.strip_prefix('+').unwrap_or(time)),
    };
    let seconds = decimal(digits).filter(|_| !digits.is_empty() && digits.len() <= SECONDS_DIGITS)?;
    let (mode, trace) = match how.to_ascii_uppercase().as_str() {
        "R" => (ByMode::Return, false),
        "RT" => (ByMode::Return, true),
        "N" => (ByMode::Notify, false),
        "NT" => (ByMode::Notify, true),
        _ => return None,
    };
    let micros = seconds * MICROS_A_SECOND;
    let deadline = if is_past { now.saturating_sub(micros) } else { now.saturating_add(micros) };
    let has_time = mode == ByMode::Notify || (!is_past && seconds > 0);
    has_time.then_some(DeliverBy { deadline, mode, trace })
}

/// `-9` to `9` (RFC 6710 §3).
fn priority(value: &str) -> Option<i8> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let is_digit = digits.len() == 1 && digits.bytes().all(|octet| octet.is_ascii_digit());
    (is_digit && value != "-0").then(|| value.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_767_225_600_000_000;

    fn standing() -> Standing {
        let extensions = Extensions { dsn: true, future_release: true, mt_priority: true, require_tls: true };
        Standing { auth: true, extensions, secure: true, proved: true, now: NOW }
    }

    #[test]
    fn mail_is_held_until_one_moment_however_it_is_said() {
        let until = |text| MailParameters::read(text, &standing()).map(|given| given.hold_until()).ok().flatten();
        assert_eq!(until("HOLDFOR=60"), Some(NOW + 60_000_000));
        assert_eq!(until("HOLDUNTIL=2026-01-01T00:01:00Z"), Some(NOW + 60_000_000));
        assert_eq!(until("HOLDUNTIL=2026-01-01T02:01:00+02:00"), Some(NOW + 60_000_000));
        assert_eq!(until("HOLDFOR=86400"), Some(NOW + 86_400_000_000));
        assert_eq!(until(""), None);
        for bad in ["HOLDFOR=0", "HOLDFOR=86401", "HOLDFOR=9999999999", "HOLDFOR=-1", "HOLDUNTIL=2026-01-01T00:00:00Z"]
        {
            assert!(MailParameters::read(bad, &standing()).is_err(), "{bad}");
        }
    }

    #[test]
    fn strangers_get_no_better_place() {
        let priority = |proved, text| {
            let standing = Standing { proved, ..standing() };
            MailParameters::read(text, &standing).map(|given| given.priority(&standing)).ok()
        };
        assert_eq!((priority(true, "MT-PRIORITY=9"), priority(false, "MT-PRIORITY=9")), (Some(9), Some(0)));
        assert_eq!((priority(true, "MT-PRIORITY=-9"), priority(false, "MT-PRIORITY=-9")), (Some(-9), Some(-9)));
        for bad in
            ["MT-PRIORITY=10", "MT-PRIORITY=-0", "MT-PRIORITY=+1", "MT-PRIORITY=", "MT-PRIORITY", "MT-PRIORITY=1.5"]
        {
            assert_eq!(priority(true, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_time_for_delivery_is_left_where_mail_is_to_be_returned() {
        let of = |text| {
            deliver_by(text, NOW).map(|by| (by.deadline as i64 - NOW as i64, by.mode == ByMode::Return, by.trace))
        };
        assert_eq!(of("120;R"), Some((120_000_000, true, false)));
        assert_eq!(of("+120;rt"), Some((120_000_000, true, true)));
        assert_eq!(of("-5;N"), Some((-5_000_000, false, false)));
        assert_eq!(of("0;NT"), Some((0, false, true)));
        for bad in
            ["", "120", ";R", "-;N", "0;R", "-5;R", "1234567890;N", "120;", "120;X", "120;TR", "1.5;N", "120;R;N"]
        {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn original_recipients_are_of_a_type() {
        for good in ["rfc822;you@example.org", "RFC822;bob+2Bx@example.org", "x400;+22a+22", "utf-8;you@example.org"] {
            assert!(is_original(good, false), "{good}");
        }
        let long = format!("rfc822;{}@example.org", "a".repeat(500));
        for bad in ["you@example.org", ";you@example.org", "rfc822;", "rfc822;a=b", "rfc822;+0D+0A", "rf(c;a@b", &long]
        {
            assert!(!is_original(bad, false), "{bad}");
        }
        assert!(is_original("utf-8;jos\u{e9}@example.org", true) && !is_original("utf-8;jos\u{e9}@example.org", false));
        assert!(!is_original("utf-8;jos\u{e9} @example.org", true) && !is_original("rfc822;jos\u{e9}@b", true));
    }

    proptest! {
        #[test]
        fn any_parameters_are_read_without_harm(text in "([A-Z-]{0,12}=?[ -~é]{0,40} ?){0,4}", bits in 0u8..16) {
            let has = |bit: u8| bits & 1 << bit != 0;
            let standing = Standing { secure: has(0), proved: has(1), now: if has(2) { u64::MAX } else { NOW }, ..standing() };
            if let Ok(given) = MailParameters::read(&text, &standing) {
                prop_assert!((-9..=9).contains(&given.priority(&standing)));
                prop_assert!(given.hold_until().is_none_or(|until| until > standing.now));
                prop_assert!(given.require_tls.is_none() || standing.secure);
            }
            if let Ok(note) = recipient_note(&text, standing.extensions, has(3)) {
                prop_assert!(note.original.is_none_or(|original| original.len() <= ORIGINAL_OCTETS));
            }
        }
    }
}
