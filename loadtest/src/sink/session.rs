//! The server's side of a dialogue: octets go in, replies with their delays come out. No socket, no clock.

use super::faults::{Action, Dice, Manner, Stage};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::{memchr, memmem};
use std::collections::VecDeque;
use std::time::Duration;

/// Octets of a command line with its line end (RFC 5321 section 4.5.3.1.4, and room for extensions).
const LINE_LIMIT: usize = 12 * 1024;

/// Recipients of one message.
const RECIPIENT_LIMIT: usize = 1000;

/// What a sink offers and how it behaves.
pub struct Policy {
    /// LHLO, and a reply per recipient.
    pub lmtp: bool,
    /// Octets of a message.
    pub size: u64,
    /// Extensions that are offered, as EHLO lists them, without STARTTLS and AUTH.
    pub extensions: Vec<String>,
    /// Whether STARTTLS is offered.
    pub starttls: bool,
    /// Who may log in, with which password; nobody needs to.
    pub user: Option<(String, String)>,
    /// Delays and faults.
    pub manner: Manner,
}

/// Something to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Say this after a wait. The message, if there is one, counts as acknowledged when that is done.
    Say {
        /// The whole reply.
        text: Vec<u8>,
        /// How long to wait first.
        delay: Duration,
        /// What is acknowledged by it.
        accepted: Option<Box<Accepted>>,
    },
    /// Begin TLS.
    StartTls,
    /// Close the connection.
    Close,
    /// Reset it.
    Reset,
}

/// A message that is acknowledged, for some of its recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The content, dots not doubled.
    pub content: Vec<u8>,
    /// Who it is acknowledged for.
    pub recipients: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Commands,
    /// Content by DATA, which ends with a lone dot.
    Data,
    /// So many octets of BDAT are to come, and whether they are the last.
    Bdat(u64, bool),
    /// The answer to the prompt for user or password, or to AUTH PLAIN's empty one.
    LoginUser,
    LoginPassword,
    PlainResponse,
}

/// A session.
pub struct Session {
    mode: Mode,
    dice: Dice,
    input: Vec<u8>,
    content: Vec<u8>,
    too_large: bool,
    chunking: bool,
    introduced: bool,
    encrypted: bool,
    user: Option<String>,
    from: bool,
    recipients: Vec<String>,
    ended: bool,
    steps: VecDeque<Step>,
}

impl Session {
    /// One that begins now, with its dice.
    pub fn new(dice: Dice, policy: &Policy) -> Session {
        let mut session = Session {
            mode: Mode::Commands,
            dice,
            input: Vec::new(),
            content: Vec::new(),
            too_large: false,
            chunking: false,
            introduced: false,
            encrypted: false,
            user: None,
            from: false,
            recipients: Vec::new(),
            ended: false,
            steps: VecDeque::new(),
        };
        let delay = policy.manner.greeting;
        match session.fault(Stage::Connect, &[], policy) {
            Some(Action::Drop) => session.reset(),
            Some(Action::Reply(code)) => {
                session.say_after(&chosen(code), delay, None);
                session.close();
            }
            None => session.say_after("220 sink.localhost ready\r\n", delay, None),
        }
        session
    }

    /// One for which there is no place.
    pub fn refused(dice: Dice) -> Session {
        let policy = Policy::plain(false);
        let mut session = Session { steps: VecDeque::new(), ended: false, ..Session::new(dice, &policy) };
        session.say_after("421 4.3.2 Too many sessions\r\n", Duration::ZERO, None);
        session.close();
        session
    }

    /// What is to be done next.
    pub fn next(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// TLS has begun, by the first octet or by STARTTLS.
    pub fn encrypted(&mut self) {
        self.encrypted = true;
        self.introduced = false;
        self.forget();
    }

    /// Takes what was received, all of it.
    pub fn receive(&mut self, mut octets: &[u8], policy: &Policy) {
        while !octets.is_empty() && !self.ended {
            match self.mode {
                Mode::Data => self.take_data(&mut octets, policy),
                Mode::Bdat(left, last) => self.take_chunk(&mut octets, left, last, policy),
                _ => self.take_line(&mut octets, policy),
            }
        }
    }

    fn take_line(&mut self, octets: &mut &[u8], policy: &Policy) {
        let end = memchr(b'\n', octets).map_or(octets.len(), |at| at + 1);
        let (taken, rest) = octets.split_at(end);
        *octets = rest;
        self.input.extend_from_slice(taken);
        if self.input.len() > LINE_LIMIT {
            self.say("500 5.5.2 Line too long\r\n", policy);
            return self.close();
        }
        if !self.input.ends_with(b"\n") {
            return;
        }
        let line = std::mem::take(&mut self.input);
        match line.strip_suffix(b"\r\n").map(std::str::from_utf8) {
            Some(Ok(line)) if self.mode == Mode::Commands => self.command(line, octets, policy),
            Some(Ok(line)) => self.auth_line(line, policy),
            _ => self.say("500 5.5.2 Lines end in CR LF and are UTF-8\r\n", policy),
        }
    }

    fn command(&mut self, line: &str, behind: &[u8], policy: &Policy) {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            verb @ ("EHLO" | "LHLO" | "HELO") => self.hello(verb, policy),
            "MAIL" => self.mail(argument, policy),
            "RCPT" => self.rcpt(argument, policy),
            "DATA" => self.data(policy),
            "BDAT" => self.bdat(argument, policy),
            "RSET" => {
                self.forget();
                self.say("250 2.0.0 Forgotten\r\n", policy);
            }
            "NOOP" => self.say("250 2.0.0 Done\r\n", policy),
            "VRFY" => self.say("252 2.5.0 Try it\r\n", policy),
            "QUIT" => {
                self.say("221 2.0.0 Bye\r\n", policy);
                self.close();
            }
            "STARTTLS" if policy.starttls && !self.encrypted => {
                self.say("220 2.0.0 Begin TLS\r\n", policy);
                // What came in clear behind it may be another's (CVE-2011-0411).
                if behind.is_empty() { self.steps.push_back(Step::StartTls) } else { self.close() }
            }
            "AUTH" if policy.user.is_some() => self.auth(argument, policy),
            _ => self.say("500 5.5.1 Unknown here\r\n", policy),
        }
    }

    fn hello(&mut self, verb: &str, policy: &Policy) {
        if (verb == "LHLO") != policy.lmtp {
            return self.say("500 5.5.1 The other protocol is spoken here\r\n", policy);
        }
        self.introduced = true;
        self.forget();
        if verb == "HELO" {
            return self.say("250 sink.localhost\r\n", policy);
        }
        let starttls = (policy.starttls && !self.encrypted).then_some("STARTTLS");
        let auth = policy.user.is_some().then_some("AUTH PLAIN LOGIN");
        let lines = policy.extensions.iter().map(String::as_str).chain(starttls).chain(auth);
        let lines: Vec<&str> = std::iter::once("sink.localhost").chain(lines).collect();
        let mut text = String::new();
        for (at, line) in lines.iter().enumerate() {
            let mark = if at + 1 == lines.len() { ' ' } else { '-' };
            text += &format!("250{mark}{line}\r\n");
        }
        self.say(&text, policy);
    }

    fn mail(&mut self, argument: &str, policy: &Policy) {
        if !self.introduced || self.from {
            return self.say("503 5.5.1 Not now\r\n", policy);
        }
        let Some((_, parameters)) = path(argument, "FROM:") else {
            return self.say("501 5.5.4 MAIL FROM:<path>\r\n", policy);
        };
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.to_ascii_uppercase().as_str() {
                "SIZE" if value.parse::<u64>().is_ok_and(|size| size > policy.size) => {
                    return self.say("552 5.3.4 Too large\r\n", policy);
                }
                "SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID" | "AUTH" => {}
                _ => return self.say("555 5.5.4 Unknown parameter\r\n", policy),
            }
        }
        if !self.misbehaves(Stage::Mail, &[], policy) {
            self.from = true;
            self.say("250 2.1.0 Sender ok\r\n", policy);
        }
    }

    fn rcpt(&mut self, argument: &str, policy: &Policy) {
        if !self.from {
            return self.say("503 5.5.1 MAIL first\r\n", policy);
        }
        let Some((recipient, parameters)) = path(argument, "TO:").filter(|(path, _)| !path.is_empty()) else {
            return self.say("501 5.5.4 RCPT TO:<path>\r\n", policy);
        };
        let is_known = |parameter: &str| {
            let name = parameter.split('=').next().unwrap_or_default().to_ascii_uppercase();
            matches!(name.as_str(), "NOTIFY" | "ORCPT")
        };
        if !parameters.split_ascii_whitespace().all(is_known) {
            return self.say("555 5.5.4 Unknown parameter\r\n", policy);
        }
        if self.recipients.len() == RECIPIENT_LIMIT {
            return self.say("452 4.5.3 Too many recipients\r\n", policy);
        }
        if !self.misbehaves(Stage::Rcpt, &[recipient], policy) {
            self.recipients.push(recipient.into());
            self.say("250 2.1.5 Recipient ok\r\n", policy);
        }
    }

    fn data(&mut self, policy: &Policy) {
        if self.recipients.is_empty() || self.chunking {
            return self.say("503 5.5.1 No recipients, or BDAT has begun\r\n", policy);
        }
        if !self.misbehaves(Stage::Data, &[], policy) {
            self.mode = Mode::Data;
            // So that a lone dot at the very beginning ends the content as any other does.
            self.content.extend_from_slice(b"\r\n");
            self.say("354 Go ahead\r\n", policy);
        }
    }

    fn bdat(&mut self, argument: &str, policy: &Policy) {
        let mut words = argument.split(' ');
        let octets: Option<u64> = words.next().and_then(|word| word.parse().ok());
        let last = words.next().map(|word| word.eq_ignore_ascii_case("LAST"));
        match (octets, last) {
            (Some(octets), None | Some(true)) if words.next().is_none() => {
                // A chunk is taken off the stream even if there is no use for it.
                self.mode = Mode::Bdat(octets, last.is_some());
                self.chunking = true;
                if octets == 0 {
                    self.chunk_ended(last.is_some(), policy);
                }
            }
            _ => {
                // Without the length nobody knows where the next command begins.
                self.say("501 5.5.4 BDAT octets [LAST]\r\n", policy);
                self.close();
            }
        }
    }

    fn take_data(&mut self, octets: &mut &[u8], policy: &Policy) {
        let before = self.content.len();
        self.content.extend_from_slice(octets);
        let from = before.saturating_sub(4);
        let Some(at) = memmem::find(&self.content[from..], b"\r\n.\r\n") else {
            *octets = &[];
            if self.content.len() as u64 > policy.size + 64 * 1024 {
                // The end is still looked for.
                self.too_large = true;
                let keep = self.content.len() - 4;
                self.content.drain(..keep);
            }
            return;
        };
        let end = from + at;
        *octets = &octets[end + 5 - before..];
        let mut content = std::mem::take(&mut self.content);
        content.truncate(end + 2);
        self.content = if self.too_large { content } else { without_doubled_dots(&content) };
        self.message_ended(policy);
    }

    fn take_chunk(&mut self, octets: &mut &[u8], left: u64, last: bool, policy: &Policy) {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(octets.len());
        let (taken, rest) = octets.split_at(count);
        *octets = rest;
        self.too_large |= (self.content.len() + count) as u64 > policy.size;
        if !self.too_large {
            self.content.extend_from_slice(taken);
        }
        self.mode = Mode::Bdat(left - count as u64, last);
        if left == count as u64 {
            self.chunk_ended(last, policy);
        }
    }

    fn chunk_ended(&mut self, last: bool, policy: &Policy) {
        if self.recipients.is_empty() {
            self.forget();
            self.say("503 5.5.1 No recipients\r\n", policy);
        } else if last {
            self.message_ended(policy);
        } else {
            self.mode = Mode::Commands;
            self.say("250 2.0.0 Chunk ok\r\n", policy);
        }
    }

    fn message_ended(&mut self, policy: &Policy) {
        let content = std::mem::take(&mut self.content);
        let recipients = std::mem::take(&mut self.recipients);
        let too_large = self.too_large || content.len() as u64 > policy.size;
        self.forget();
        let mut delay = policy.manner.dot;
        let groups: Vec<Vec<String>> =
            if policy.lmtp { recipients.into_iter().map(|name| vec![name]).collect() } else { vec![recipients] };
        for recipients in groups {
            let names: Vec<&str> = recipients.iter().map(String::as_str).collect();
            let fault = if too_large { Some(Action::Reply(552)) } else { self.fault(Stage::Dot, &names, policy) };
            match fault {
                Some(Action::Drop) => return self.reset(),
                Some(Action::Reply(code)) => self.say_after(&chosen(code), delay, None),
                None => {
                    let accepted = Accepted { content: content.clone(), recipients };
                    self.say_after("250 2.0.0 Kept\r\n", delay, Some(Box::new(accepted)));
                }
            }
            delay = Duration::ZERO;
        }
    }

    fn auth(&mut self, argument: &str, policy: &Policy) {
        let (mechanism, response) = argument.split_once(' ').unwrap_or((argument, ""));
        if !self.introduced || self.user.is_some() || self.from {
            return self.say("503 5.5.1 Not now\r\n", policy);
        }
        match (mechanism.to_ascii_uppercase().as_str(), response) {
            ("PLAIN", "") => {
                self.mode = Mode::PlainResponse;
                self.say("334 \r\n", policy);
            }
            ("PLAIN", response) => self.plain(response, policy),
            ("LOGIN", "") => {
                self.mode = Mode::LoginUser;
                self.say("334 VXNlcm5hbWU6\r\n", policy);
            }
            _ => self.say("504 5.5.4 PLAIN or LOGIN\r\n", policy),
        }
    }

    fn auth_line(&mut self, line: &str, policy: &Policy) {
        match std::mem::replace(&mut self.mode, Mode::Commands) {
            Mode::PlainResponse => self.plain(line, policy),
            Mode::LoginUser => {
                self.user = Some(decoded(line));
                self.mode = Mode::LoginPassword;
                self.say("334 UGFzc3dvcmQ6\r\n", policy);
            }
            _ => {
                let user = self.user.take().unwrap_or_default();
                self.judge(&user, &decoded(line), policy);
            }
        }
    }

    fn plain(&mut self, response: &str, policy: &Policy) {
        let response = decoded(response);
        let mut words = response.splitn(3, '\0').skip(1);
        let (user, password) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        self.judge(user, password, policy);
    }

    fn judge(&mut self, user: &str, password: &str, policy: &Policy) {
        let is_right = policy.user.as_ref().is_some_and(|(name, secret)| name == user && secret == password);
        if is_right {
            self.user = Some(user.into());
            self.say("235 2.7.0 Welcome\r\n", policy);
        } else {
            self.say("535 5.7.8 Wrong\r\n", policy);
        }
    }

    /// Whether a fault was met, which then is what happens.
    fn misbehaves(&mut self, stage: Stage, recipients: &[&str], policy: &Policy) -> bool {
        match self.fault(stage, recipients, policy) {
            None => return false,
            Some(Action::Drop) => self.reset(),
            Some(Action::Reply(code)) => self.say(&chosen(code), policy),
        }
        true
    }

    fn fault(&mut self, stage: Stage, recipients: &[&str], policy: &Policy) -> Option<Action> {
        policy.manner.fault(stage, recipients, &mut self.dice)
    }

    fn say(&mut self, text: &str, policy: &Policy) {
        self.say_after(text, policy.manner.reply, None);
    }

    fn say_after(&mut self, text: &str, delay: Duration, accepted: Option<Box<Accepted>>) {
        self.steps.push_back(Step::Say { text: text.into(), delay, accepted });
    }

    fn close(&mut self) {
        self.ended = true;
        self.steps.push_back(Step::Close);
    }

    fn reset(&mut self) {
        self.ended = true;
        self.steps.push_back(Step::Reset);
    }

    /// Ends the transaction.
    fn forget(&mut self) {
        self.mode = Mode::Commands;
        self.content.clear();
        (self.from, self.too_large, self.chunking) = (false, false, false);
        self.recipients.clear();
    }
}

impl Policy {
    /// One that offers the usual and does nothing wrong.
    pub fn plain(lmtp: bool) -> Policy {
        let size = 64 * 1024 * 1024;
        let extensions = Policy::all_extensions(size);
        Policy { lmtp, size, extensions, starttls: false, user: None, manner: Manner::default() }
    }

    /// All extensions but STARTTLS and AUTH.
    pub fn all_extensions(size: u64) -> Vec<String> {
        let size = format!("SIZE {size}");
        let names = ["PIPELINING", &size, "8BITMIME", "CHUNKING", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"];
        names.iter().map(|name| name.to_string()).collect()
    }
}

fn chosen(code: u16) -> String {
    format!("{code} {}.3.0 Chosen by --fault\r\n", code / 100)
}

/// Path and parameters of `FROM:<path> parameters`.
fn path<'a>(argument: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let head = argument.get(..keyword.len()).filter(|head| head.eq_ignore_ascii_case(keyword))?;
    argument[head.len()..].trim_start().strip_prefix('<')?.split_once('>')
}

fn decoded(text: &str) -> String {
    let octets = STANDARD.decode(text).unwrap_or_default();
    String::from_utf8(octets).unwrap_or_default()
}

/// The content without the line end put before it, and with the dots that were doubled single again.
fn without_doubled_dots(content: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = memmem::find(rest, b"\r\n.") {
        plain.extend_from_slice(&rest[..at + 2]);
        rest = &rest[at + 3..];
    }
    plain.extend_from_slice(rest);
    plain.drain(..2);
    plain
}

#[cfg(test)]
mod tests;
