//! Every reply of the server, each in one place, with the section that has its code.
//!
//! Codes and enhanced codes are those of Apache James where it has the reply, so that its clients and its operators' tools
//! find what they know; where RFC 5321 demands another, that one.

use std::net::IpAddr;

use super::settings::{Service, Settings};
use crate::mail::{EnhancedStatus, Mailbox, MessageId, Reply, ReplyCode, ReversePath};
use crate::smtp::sasl::Mechanism;

const fn status(subject: u16, detail: u16) -> EnhancedStatus {
    EnhancedStatus::new(subject, detail)
}

/// The banner (RFC 5321 §4.3.1).
pub fn banner(settings: &Settings) -> Reply {
    let protocol = match settings.protocol {
        Service::Smtp => "ESMTP",
        Service::Lmtp => "LMTP",
    };
    let text = match &settings.greeting {
        Some(greeting) => greeting.to_string(),
        None => format!("{} {protocol} ringpost", settings.hello_name),
    };
    Reply::plain(ReplyCode::READY, text)
}

fn hello_text(settings: &Settings, argument: &str, client: IpAddr) -> String {
    format!("{} Hello {argument} [{}]", settings.hello_name, client.to_canonical())
}

/// HELO is accepted (RFC 5321 §4.1.1.1).
pub fn helo(settings: &Settings, argument: &str, client: IpAddr) -> Reply {
    Reply::plain(ReplyCode::OK, hello_text(settings, argument, client))
}

/// EHLO or LHLO is accepted (RFC 5321 §4.1.1.1); RFC 2034 §3 keeps enhanced codes out of it. `offers` are the lines that
/// announce the service extensions.
pub fn ehlo(settings: &Settings, argument: &str, client: IpAddr, offers: Vec<String>) -> Reply {
    let mut lines = vec![hello_text(settings, argument, client)];
    lines.extend(offers);
    Reply::lines(ReplyCode::OK, None, lines)
}

/// HELO, EHLO or LHLO without a name (RFC 5321 §4.1.1.1).
pub fn hello_without_name(verb: &str) -> Reply {
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 4), format!("Domain address required: {verb}"))
}

/// HELO, EHLO or LHLO with what is no name of a host (RFC 5321 §4.1.1.1).
pub fn hello_bad_name(verb: &str) -> Reply {
    let text = format!("Invalid domain name or ip supplied as {verb} argument");
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 2), text)
}

/// MAIL inside of a transaction (RFC 5321 §4.1.4).
pub fn nested_mail() -> Reply {
    Reply::new(ReplyCode::BAD_SEQUENCE, status(5, 0), "Sender already specified")
}

/// MAIL before the session was opened (RFC 5321 §4.1.4).
pub fn hello_first(service: Service) -> Reply {
    Reply::new(
        ReplyCode::BAD_SEQUENCE,
        status(5, 0),
        match service {
            Service::Smtp => "Need HELO or EHLO before MAIL",
            Service::Lmtp => "Need LHLO before MAIL",
        },
    )
}

/// MAIL without `FROM:` (RFC 5321 §4.1.1.2).
pub fn mail_usage() -> Reply {
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 4), "Usage: MAIL FROM:<sender>")
}

/// MAIL without angle brackets, or with something between them and the parameters (RFC 5321 §4.1.1.2).
pub fn mail_syntax() -> Reply {
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(1, 7), "Syntax error in MAIL command")
}

/// MAIL with what is no address (RFC 5321 §4.1.1.2).
pub fn bad_sender() -> Reply {
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(1, 7), "Syntax error in sender address")
}

/// The sender is accepted (RFC 5321 §3.3).
pub fn sender_ok(reverse_path: &ReversePath, replies: &mut Vec<u8>) {
    Reply::write_new(ReplyCode::OK, status(1, 0), replies, |text| {
        text.extend_from_slice(b"Sender <");
        reverse_path.write(text);
        text.extend_from_slice(b"> OK");
    });
}

/// A parameter that is not known, or belongs to an extension that was not offered (RFC 5321 §4.1.1.11).
pub fn unknown_parameter(keyword: &str) -> Reply {
    let text = format!("Unrecognized or unsupported option: {}", keyword.to_ascii_uppercase());
    Reply::new(ReplyCode::UNKNOWN_PARAMETER, status(5, 4), text)
}

/// What follows the path is no parameter (RFC 5321 §4.1.2).
pub fn malformed_parameter() -> Reply {
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 4), "Syntax error in parameters")
}

/// A parameter given twice (RFC 5321 §4.1.1.11).
pub fn repeated_parameter(keyword: &'static str) -> Reply {
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 4), format!("{keyword} parameter given more than once"))
}

/// A parameter whose value is not one it can have (RFC 1870 §5, RFC 6152 §3, RFC 6531 §3.4).
pub fn bad_value(keyword: &'static str) -> Reply {
    let text = format!("Syntactically incorrect value for {keyword} parameter");
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 4), text)
}

/// HOLDFOR or HOLDUNTIL of somebody unknown (RFC 4865 §4.1).
pub fn hold_needs_login() -> Reply {
    let text = "Needs to be logged in in order to use future release extension";
    Reply::new(ReplyCode::FAILED, status(7, 1), text)
}

/// HOLDFOR and HOLDUNTIL together (RFC 4865 §4.2).
pub fn held_twice() -> Reply {
    let text = "HOLDFOR and HOLDUNTIL cannot both be given";
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 4), text)
}

/// To be held for longer than EHLO says (RFC 4865 §4.2).
pub fn held_too_long() -> Reply {
    let text = "HoldFor is greater than max-future-release-interval or holdUntil exceeded max-future-release-date-time";
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 4), text)
}

/// To be held until a time that is past (RFC 4865 §4.2).
pub fn hold_is_past() -> Reply {
    let text = "HoldFor value is negative or holdUntil value is before now";
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 4), text)
}

/// REQUIRETLS outside of TLS (RFC 8689 §2; RFC 5248 §2.4 names 5.7.10).
pub fn require_tls_in_clear() -> Reply {
    Reply::new(ReplyCode::AUTHENTICATION_REQUIRED, status(7, 10), "REQUIRETLS needs TLS")
}

/// An address beyond ASCII without SMTPUTF8 (RFC 6531 §3.5).
pub fn needs_smtputf8() -> Reply {
    let text = "Address is not ASCII and SMTPUTF8 was not given with MAIL";
    Reply::new(ReplyCode::NAME_NOT_ALLOWED, status(6, 7), text)
}

/// The message is larger than accepted, as declared or as received (RFC 1870 §6).
pub fn too_big() -> Reply {
    let text = "Message size exceeds fixed maximum message size";
    Reply::new(ReplyCode::STORAGE_EXCEEDED, status(3, 4), text)
}

/// RCPT outside of a transaction (RFC 5321 §4.1.4).
pub fn mail_first() -> Reply {
    Reply::new(ReplyCode::BAD_SEQUENCE, status(5, 0), "Need MAIL before RCPT")
}

/// RCPT after BDAT (RFC 3030 §2).
pub fn rcpt_after_bdat() -> Reply {
    Reply::new(ReplyCode::BAD_SEQUENCE, status(5, 1), "RCPT is not allowed after BDAT")
}

/// RCPT without `TO:` (RFC 5321 §4.1.1.3).
pub fn rcpt_usage() -> Reply {
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 2), "Usage: RCPT TO:<recipient>")
}

/// RCPT without angle brackets, or with something between them and the parameters (RFC 5321 §4.1.1.3).
pub fn rcpt_syntax() -> Reply {
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 2), "Syntax error in parameters or arguments")
}

/// RCPT with what is no address (RFC 5321 §4.1.1.3).
pub fn bad_recipient() -> Reply {
    Reply::new(ReplyCode::NAME_NOT_ALLOWED, status(1, 3), "Syntax error in recipient address")
}

/// The recipient is accepted (RFC 5321 §3.3).
pub fn recipient_ok(recipient: &Mailbox, replies: &mut Vec<u8>) {
    Reply::write_new(ReplyCode::OK, status(1, 5), replies, |text| {
        text.extend_from_slice(b"Recipient <");
        recipient.write(text);
        text.extend_from_slice(b"> OK");
    });
}

/// No more recipients in this transaction (RFC 5321 §4.5.3.1.10).
pub fn too_many_recipients() -> Reply {
    Reply::new(ReplyCode::INSUFFICIENT_STORAGE, status(5, 3), "Too many recipients")
}

/// A refusal whose own reply did not refuse anything: it must not be mistaken for consent.
pub fn denied() -> Reply {
    Reply::plain(ReplyCode::FAILED, "Email rejected")
}

/// As [`denied`], for now.
pub fn denied_softly() -> Reply {
    Reply::plain(ReplyCode::LOCAL_ERROR, "Temporary problem. Please try again later")
}

/// As [`denied`], and the connection is closed.
pub fn disconnected() -> Reply {
    Reply::plain(ReplyCode::FAILED, "Server disconnected")
}

/// DATA, RSET or QUIT with an argument (RFC 5321 §4.3.2).
pub fn unexpected_argument(verb: &str) -> Reply {
    let text = format!("Unexpected argument provided with {verb} command");
    Reply::new(ReplyCode::UNRECOGNIZED, status(5, 4), text)
}

/// DATA or BDAT without a sender (RFC 5321 §4.1.1.4, RFC 3030 §2).
pub fn no_sender() -> Reply {
    Reply::new(ReplyCode::BAD_SEQUENCE, status(5, 0), "No sender specified")
}

/// DATA or BDAT without a recipient that was accepted (RFC 5321 §4.1.1.4, RFC 2033 §4.2).
pub fn no_recipients() -> Reply {
    Reply::new(ReplyCode::BAD_SEQUENCE, status(5, 0), "No recipients specified")
}

/// DATA after BDAT (RFC 3030 §2).
pub fn data_after_bdat() -> Reply {
    Reply::new(ReplyCode::BAD_SEQUENCE, status(5, 1), "DATA is not allowed after BDAT")
}

/// DATA after `BODY=BINARYMIME` (RFC 3030 §3).
pub fn data_for_binary() -> Reply {
    Reply::new(ReplyCode::BAD_SEQUENCE, status(5, 1), "BODY=BINARYMIME needs BDAT")
}

/// DATA is accepted (RFC 5321 §4.1.1.4).
pub fn start_mail_input(replies: &mut Vec<u8>) {
    // No status is written with this code.
    Reply::write_new(ReplyCode::START_MAIL_INPUT, status(0, 0), replies, |text| {
        text.extend_from_slice(b"Ok Send data ending with <CRLF>.<CRLF>");
    });
}

/// BDAT whose length cannot be read (RFC 3030 §2).
pub fn bdat_usage() -> Reply {
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 4), "Usage: BDAT octets [LAST]")
}

/// What follows a BDAT of unknown length cannot be told from commands, so nothing more is read (RFC 5321 §3.8).
pub fn lost_in_bdat(settings: &Settings) -> Reply {
    unavailable(settings, status(5, 4), "Length of chunk unknown, closing transmission channel")
}

/// BDAT after another one was refused (RFC 3030 §2).
pub fn bdat_after_failure() -> Reply {
    Reply::new(ReplyCode::BAD_SEQUENCE, status(5, 1), "An earlier BDAT was refused, RSET comes first")
}

/// A chunk that is not the last is here (RFC 3030 §2). The number is of all octets of the message so far.
pub fn chunk_ok(octets: u64) -> Reply {
    Reply::new(ReplyCode::OK, status(0, 0), format!("{octets} octets received"))
}

/// A CR without LF or an LF without CR in the content (RFC 5321 §2.3.8).
pub fn bare_line_end() -> Reply {
    let text = "Message contains bare CR or bare LF, lines must end with CR LF";
    Reply::new(ReplyCode::UNAVAILABLE, status(6, 11), text)
}

/// The message is durable, as whoever made it so proves (RFC 5321 §4.2.5).
pub fn message_received<P>(_proof: &P, id: MessageId, replies: &mut Vec<u8>) {
    Reply::write_new(ReplyCode::OK, status(6, 0), replies, |text| {
        text.extend_from_slice(b"Message received id=");
        id.write(text);
    });
}

/// LMTP: the message is durable for this recipient, as whoever made it so proves (RFC 2033 §4.2).
pub fn message_received_for<P>(_proof: &P, recipient: &Mailbox, id: MessageId) -> Reply {
    Reply::new(ReplyCode::OK, status(6, 0), format!("Message received <{recipient}> id={id}"))
}

/// There is no room for the message (RFC 5321 §4.2.2).
pub fn spool_full() -> Reply {
    Reply::new(ReplyCode::INSUFFICIENT_STORAGE, status(3, 1), "Insufficient system storage")
}

/// Nothing is taken in (RFC 5321 §4.2.2, RFC 3463 §3.4).
pub fn spool_closed() -> Reply {
    Reply::new(ReplyCode::LOCAL_ERROR, status(3, 2), "System is not accepting messages")
}

/// More is under way than can be taken in (RFC 5321 §4.2.2, RFC 3463 §3.5).
pub fn spool_busy() -> Reply {
    Reply::new(ReplyCode::LOCAL_ERROR, status(4, 5), "System is busy, please try again later")
}

/// The message could not be kept (RFC 5321 §4.2.2).
pub fn spool_failed() -> Reply {
    Reply::new(ReplyCode::LOCAL_ERROR, status(3, 0), "Error processing message")
}

/// LMTP: the recipient's mailbox could not take the message now (RFC 2033 §4.2).
pub fn mailbox_failed(recipient: &Mailbox) -> Reply {
    let text = format!("Temporary error delivering message to <{recipient}>");
    Reply::new(ReplyCode::LOCAL_ERROR, status(2, 0), text)
}

/// LMTP: the recipient's mailbox is full (RFC 2033 §4.2).
pub fn mailbox_full(recipient: &Mailbox) -> Reply {
    let text = format!("Over Quota error when delivering message to <{recipient}>");
    Reply::new(ReplyCode::STORAGE_EXCEEDED, status(2, 2), text)
}

/// RSET or NOOP (RFC 5321 §4.1.1.5, §4.1.1.9).
pub fn ok() -> Reply {
    Reply::new(ReplyCode::OK, status(0, 0), "OK")
}

/// VRFY: RFC 5321 §7.3 says that a server which does not verify MUST answer 252.
pub fn cannot_verify() -> Reply {
    let text = "Cannot VRFY user, but will accept message and attempt delivery";
    Reply::new(ReplyCode::CANNOT_VERIFY, status(5, 0), text)
}

/// VRFY without a name (RFC 5321 §4.1.1.6).
pub fn vrfy_usage() -> Reply {
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 4), "Usage: VRFY user")
}

/// EXPN and HELP are in no server's minimum (RFC 5321 §4.5.1), and not in this one (§4.2.4).
pub fn not_supported(verb: &str) -> Reply {
    Reply::new(ReplyCode::NOT_IMPLEMENTED, status(3, 3), format!("{verb} is not supported"))
}

/// QUIT (RFC 5321 §4.1.1.10).
pub fn closing(settings: &Settings) -> Reply {
    let text = format!("{} Service closing transmission channel", settings.hello_name);
    Reply::new(ReplyCode::CLOSING, status(0, 0), text)
}

/// STARTTLS: the handshake may begin (RFC 3207 §4).
pub fn ready_for_tls() -> Reply {
    Reply::new(ReplyCode::READY, status(0, 0), "Ready to start TLS")
}

/// STARTTLS inside TLS (RFC 3207 §4.2).
pub fn tls_already_active() -> Reply {
    Reply::new(ReplyCode::UNRECOGNIZED, status(5, 1), "TLS already active")
}

/// STARTTLS with an argument (RFC 3207 §4).
pub fn start_tls_argument() -> Reply {
    let text = "Syntax error (no parameters allowed) with STARTTLS command";
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 4), text)
}

/// Something came behind STARTTLS in the clear: whoever put it there wants it to count inside TLS (RFC 3207 §5).
pub fn commands_behind_start_tls(settings: &Settings) -> Reply {
    unavailable(settings, status(5, 1), "Nothing may follow STARTTLS before TLS, closing transmission channel")
}

/// STARTTLS after AUTH: what was proved in the clear would have to be proved again.
pub fn tls_after_auth() -> Reply {
    let text = "Syntax error (invalid command in this state) Already authenticated...";
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 4), text)
}

/// AUTH before the session was opened (RFC 4954 §4).
pub fn hello_before_auth() -> Reply {
    Reply::new(ReplyCode::BAD_SEQUENCE, status(5, 0), "Need EHLO before AUTH")
}

/// AUTH after AUTH (RFC 4954 §4).
pub fn authenticated_already() -> Reply {
    let text = "User has previously authenticated.  Further authentication is not required!";
    Reply::new(ReplyCode::BAD_SEQUENCE, status(5, 0), text)
}

/// AUTH inside of a transaction (RFC 4954 §4).
pub fn auth_in_transaction() -> Reply {
    Reply::new(ReplyCode::BAD_SEQUENCE, status(5, 0), "AUTH is not allowed during a mail transaction")
}

/// AUTH without a mechanism (RFC 4954 §4).
pub fn auth_usage() -> Reply {
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 4), "Usage: AUTH (authentication type) <challenge>")
}

/// A mechanism that is not there (RFC 4954 §4).
pub fn unknown_mechanism() -> Reply {
    Reply::new(ReplyCode::PARAMETER_NOT_IMPLEMENTED, status(5, 4), "Unrecognized Authentication Type")
}

/// A mechanism that is there inside of TLS alone (RFC 4954 §6 names 5.7.11).
pub fn encryption_required() -> Reply {
    let text = "Encryption required for requested authentication mechanism";
    Reply::new(ReplyCode::ENCRYPTION_REQUIRED, status(7, 11), text)
}

/// A response that is no base64, or nothing of its mechanism (RFC 4954 §4).
pub fn auth_not_decoded(mechanism: Mechanism) -> Reply {
    let text = format!("Could not decode parameters for AUTH {}", mechanism.name());
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 2), text)
}

/// A response longer than any mechanism needs (RFC 4954 §6).
pub fn auth_line_too_long() -> Reply {
    Reply::new(ReplyCode::UNRECOGNIZED, status(5, 6), "Authentication exchange line is too long")
}

/// The client cancelled the exchange (RFC 4954 §4).
pub fn auth_aborted() -> Reply {
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(7, 1), "Authentication aborted")
}

/// A challenge, in base64 (RFC 4954 §4).
pub fn challenge(base64: String) -> Reply {
    Reply::plain(ReplyCode::CONTINUE, base64)
}

/// The client is whom it says it is (RFC 4954 §6).
pub fn authenticated() -> Reply {
    Reply::new(ReplyCode::AUTHENTICATED, status(7, 0), "Authentication Successful")
}

/// It is not, or may not act for whom it wants to; which of them is not said (RFC 4954 §6).
pub fn authentication_failed() -> Reply {
    Reply::new(ReplyCode::AUTHENTICATION_FAILED, status(7, 8), "Authentication Failed")
}

/// It cannot be said now (RFC 4954 §6).
pub fn authentication_unavailable() -> Reply {
    Reply::new(ReplyCode::AUTHENTICATION_LATER, status(7, 0), "Temporary authentication failure")
}

/// The client failed too often lately to be tried now (RFC 4954 §6).
pub fn authentication_too_often() -> Reply {
    let text = "Too many failed authentications, try again later";
    Reply::new(ReplyCode::AUTHENTICATION_LATER, status(7, 0), text)
}

/// The client gives nothing but wrong passwords (RFC 5321 §4.2.2 421, RFC 3463 §3.8).
pub fn too_many_failures(settings: &Settings) -> Reply {
    unavailable(settings, status(7, 0), "Too many failed authentications, closing transmission channel")
}

/// No command (RFC 5321 §4.2.4). `verb` is what the client sent, of any length and content.
pub fn unrecognized(verb: &[u8]) -> Reply {
    const SHOWN: usize = 32;
    let shown = String::from_utf8_lossy(verb.get(..SHOWN).unwrap_or(verb)).to_ascii_uppercase();
    Reply::new(ReplyCode::UNRECOGNIZED, status(5, 1), format!("Command {shown} unrecognized."))
}

/// An empty line (RFC 5321 §4.2.4).
pub fn empty_line() -> Reply {
    Reply::new(ReplyCode::UNRECOGNIZED, status(5, 1), "Empty command unrecognized.")
}

/// A line longer than allowed (RFC 5321 §4.5.3.1.4, §4.5.3.1.9).
pub fn line_too_long() -> Reply {
    Reply::new(ReplyCode::UNRECOGNIZED, status(5, 2), "Line length exceeded. See RFC 5321 section 4.5.3.1.")
}

/// An argument with control characters or octets that are no UTF-8 (RFC 5321 §2.4, §4.1.2).
pub fn not_text() -> Reply {
    let text = "Argument has control characters or is not UTF-8";
    Reply::new(ReplyCode::BAD_ARGUMENTS, status(5, 2), text)
}

fn unavailable(settings: &Settings, status: EnhancedStatus, text: &str) -> Reply {
    Reply::new(ReplyCode::NOT_AVAILABLE, status, format!("{} {text}", settings.hello_name))
}

/// The client was silent for too long (RFC 5321 §4.5.3.2.7).
pub fn idle(settings: &Settings) -> Reply {
    unavailable(settings, status(4, 2), "Timeout waiting for client, closing transmission channel")
}

/// The client takes longer for a command line or for content than any that works (RFC 5321 §4.5.3.2).
pub fn slow(settings: &Settings) -> Reply {
    unavailable(settings, status(4, 2), "Too slow, closing transmission channel")
}

/// The transaction or the session lasts longer than any that works (RFC 5321 §4.5.3.2).
pub fn too_long(settings: &Settings) -> Reply {
    unavailable(settings, status(4, 2), "Too much time taken, closing transmission channel")
}

/// The spool takes nothing in after its disk failed (RFC 5321 §4.2.3 421, RFC 3463 X.3.2).
pub fn out_of_service(settings: &Settings) -> Reply {
    let text = format!("{} The spool is out of service, try again later", settings.hello_name);
    Reply::new(ReplyCode::NOT_AVAILABLE, status(3, 2), text)
}

/// The server stops (RFC 5321 §3.8).
pub fn shutdown(settings: &Settings) -> Reply {
    unavailable(settings, status(3, 2), "Service shutting down, closing transmission channel")
}

/// The server cannot serve another client now (RFC 5321 §3.8, RFC 3463 §3.8).
pub fn overload(settings: &Settings) -> Reply {
    unavailable(settings, status(7, 0), "Too busy, please try again later")
}

/// The client has too many connections (RFC 5321 §3.8, RFC 3463 §3.8).
pub fn too_many_connections(settings: &Settings) -> Reply {
    unavailable(settings, status(7, 0), "Too many connections from your address")
}

/// The client spoke before it was greeted (RFC 5321 §3.1, §4.3.1).
pub fn early_talker(settings: &Settings) -> Reply {
    let text = format!("{} You spoke before you were greeted", settings.hello_name);
    Reply::new(ReplyCode::FAILED, status(5, 1), text)
}

/// The client speaks HTTP, or no protocol of text.
pub fn other_protocol(settings: &Settings) -> Reply {
    let protocol = match settings.protocol {
        Service::Smtp => "SMTP",
        Service::Lmtp => "LMTP",
    };
    let text = format!("{} This is {protocol}, closing transmission channel", settings.hello_name);
    Reply::new(ReplyCode::FAILED, status(5, 1), text)
}

/// The client makes nothing but errors (RFC 5321 §4.2.2 421, RFC 3463 §3.8).
pub fn too_many_errors(settings: &Settings) -> Reply {
    unavailable(settings, status(7, 0), "Too many errors, closing transmission channel")
}

/// The session was driven in an order that cannot be: it ends rather than guess (RFC 5321 §3.8).
pub fn confused(settings: &Settings) -> Reply {
    unavailable(settings, status(3, 0), "Internal error, closing transmission channel")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Domain;

    #[test]
    fn what_a_client_sent_is_shown_short_and_plain() {
        assert_eq!(unrecognized(b"foo\r\n250 ok").to_string(), "500 5.5.1 Command FOO??250 OK unrecognized.");
        assert_eq!(unrecognized(&[0xff; 5000]).to_string().len(), "500 5.5.1 Command  unrecognized.".len() + 32);
        let long = Mailbox::new(&"\"".repeat(64), Domain::Name("d".repeat(255).into())).unwrap();
        let mut replies = Vec::new();
        recipient_ok(&long, &mut replies);
        assert!(replies.len() <= 512 && replies.ends_with(b"\r\n"));
    }
}
