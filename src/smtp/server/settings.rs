//! What a server's operator decides about its dialogues.

use crate::mail::Networks;
use crate::smtp::sasl::Mechanism;

/// Which protocol a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// RFC 5321.
    Smtp,
    /// RFC 2033.
    Lmtp,
}

/// The settings of one server's sessions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SMTP or LMTP.
    pub protocol: Service,
    /// The name this server calls itself by, in its banner, in its replies to EHLO and in Received.
    pub hello_name: Box<str>,
    /// The whole text of the banner after its 220; `None` for the usual one.
    pub greeting: Option<Box<str>>,
    /// Octets of the largest message that is accepted, as it comes over the wire; 0 for no limit.
    pub max_message_octets: u64,
    /// Recipients of one transaction that are accepted, at least 1.
    pub max_recipients: usize,
    /// Octets of a command line, CR LF not counted. It is the limit of the session's [`LineReader`](crate::smtp::line::LineReader).
    pub max_line_octets: usize,
    /// Whether MAIL is refused before HELO, EHLO or LHLO.
    pub require_hello: bool,
    /// Whether addresses must stand in angle brackets.
    pub require_brackets: bool,
    /// The domain of addresses without one, and of the postmaster.
    pub default_domain: Box<str>,
    /// Errors of a client that are let pass before the session ends; 0 for any number.
    pub max_errors: u32,
    /// Commands that are none and are let pass before the session ends; 0 for any number.
    pub max_unknown_commands: u32,
    /// Whether a client that speaks before it is greeted is refused.
    pub refuse_early_talkers: bool,
    /// Whether TLS can be begun with STARTTLS.
    pub start_tls: bool,
    /// AUTH, unless nobody may use it here.
    pub auth: Option<Auth>,
    /// Who may relay for their address alone.
    pub authorized: Networks,
    /// Whether a message is asked about once its content has ended.
    pub asks_about_content: bool,
    /// What EHLO and LHLO do not announce. It can be used all the same.
    pub disabled_features: Box<[Feature]>,
    /// Extensions that are there only where the operator wants them.
    pub extensions: Extensions,
}

/// Extensions that are there only where the operator wants them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// DSN (RFC 3461), and DELIVERBY (RFC 2852), which tells by reports what became of it.
    pub dsn: bool,
    /// FUTURERELEASE (RFC 4865), for those who have proved who they are.
    pub future_release: bool,
    /// MT-PRIORITY (RFC 6710).
    pub mt_priority: bool,
    /// REQUIRETLS (RFC 8689), inside of TLS.
    pub require_tls: bool,
}

/// Who may authenticate, and how (RFC 4954).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Announced to all; else to those whose address is not authorized.
    pub always: bool,
    /// Not announced outside of TLS, and refused there.
    pub require_tls: bool,
    /// What there is, in the order it is announced.
    pub mechanisms: Box<[Mechanism]>,
    /// Failures that are let pass before the session ends; 0 for any number.
    pub max_failures: u32,
}

/// A service extension that EHLO and LHLO announce (RFC 5321 §2.2.2), unless it is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// RFC 2920.
    Pipelining,
    /// RFC 1870.
    Size,
    /// RFC 6152.
    EightBitMime,
    /// RFC 3030 §2.
    Chunking,
    /// RFC 3030 §3.
    BinaryMime,
    /// RFC 6531.
    SmtpUtf8,
    /// RFC 2034.
    EnhancedStatusCodes,
    /// RFC 9422.
    Limits,
    /// RFC 3461.
    Dsn,
    /// RFC 2852.
    DeliverBy,
    /// RFC 4865.
    FutureRelease,
    /// RFC 6710.
    MtPriority,
    /// RFC 8689.
    RequireTls,
}

impl Feature {
    /// All of them, in the order they are announced.
    pub const ALL: [Feature; 13] = [
        Feature::Pipelining,
        Feature::Size,
        Feature::EightBitMime,
        Feature::Chunking,
        Feature::BinaryMime,
        Feature::SmtpUtf8,
        Feature::EnhancedStatusCodes,
        Feature::Limits,
        Feature::Dsn,
        Feature::DeliverBy,
        Feature::FutureRelease,
        Feature::MtPriority,
        Feature::RequireTls,
    ];

    /// The word that announces it.
    pub fn keyword(self) -> &'static str {
        match self {
            Feature::Pipelining => "PIPELINING",
            Feature::Size => "SIZE",
            Feature::EightBitMime => "8BITMIME",
            Feature::Chunking => "CHUNKING",
            Feature::BinaryMime => "BINARYMIME",
            Feature::SmtpUtf8 => "SMTPUTF8",
            Feature::EnhancedStatusCodes => "ENHANCEDSTATUSCODES",
            Feature::Limits => "LIMITS",
            Feature::Dsn => "DSN",
            Feature::DeliverBy => "DELIVERBY",
            Feature::FutureRelease => "FUTURERELEASE",
            Feature::MtPriority => "MT-PRIORITY",
            Feature::RequireTls => "REQUIRETLS",
        }
    }
}
