//! What a server's operator decides about its dialogues.

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
}
