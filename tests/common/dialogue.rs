//! Dialogues as files: what a client sends, and what the server must answer.
//!
//! ```text
//! # A comment.
//! set maxmessagesize 1K            settings come before the first C: or S:
//! S: 220 localhost ESMTP ringpost
//! C: EHLO client                   sent with CR LF
//! C> no line end                   sent as it stands
//! S: 250 2.6.0 Message received id=<id>
//! closed                           the server has closed the connection here
//! ```
//!
//! Settings have the names they have in James' files: `helloName`, `smtpGreeting`, `maxmessagesize`, `maxLineLength`,
//! `heloEhloEnforcement`, `addressBracketsEnforcement`, `disabledFeatures` (one word each). Beside them there are `lmtp`, `recipients` (how many one message
//! may have), `users` (of the domain localhost), `client` (its address), `store` (what becomes of every message: `full`,
//! `closed`, `busy`, `failed`, `rejected`) and `mailbox` (what becomes of one user's: `alice mailbox-full`).
//!
//! Of those who authenticate: `announce`, `requireSSL`, `authRequired`, `authFailures`, `saslMechanisms` (by their SASL names),
//! `authorizedAddresses` (one network each), `verifyIdentity`, `socketTLS`, and what the directory knows: `password`, `sender`
//! (a user and an address it may send from), `administrator`, `domain` (one more of ours), `directory down`. `pipeline` is what
//! becomes of mail: `RemoteDelivery` where it leaves for other domains, after the rewrite table. This server's nonce
//! in SCRAM is always `server`.
//!
//! In what is sent `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` stand for one octet each, and `\{text*9}` for nine times the
//! text. In what is expected `<id>` stands for the name of any message. Every line that the server sends is written down.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ringpost::hook::{IdentityMode, TableCheck};
use ringpost::mail::{Network, Networks};
use ringpost::smtp::sasl::Mechanism;
use ringpost::smtp::server::settings::{Extensions, Feature};

/// A file, read.
#[derive(Debug)]
pub struct Dialogue {
    pub setup: Setup,
    pub exchanges: Vec<Exchange>,
}

/// Some lines sent, and the lines that answer them.
#[derive(Debug, Default)]
pub struct Exchange {
    pub client: Vec<u8>,
    pub server: Vec<String>,
    pub closed: bool,
}

/// The server that a dialogue is held with.
#[derive(Clone, Debug)]
pub struct Setup {
    pub lmtp: bool,
    pub hello_name: String,
    pub greeting: Option<String>,
    pub max_message_octets: u64,
    pub max_recipients: usize,
    pub max_line_octets: usize,
    pub require_hello: bool,
    pub require_brackets: bool,
    pub disabled_features: Vec<Feature>,
    pub extensions: Extensions,
    pub start_tls: bool,
    pub socket_tls: bool,
    /// Whether AUTH is announced to all; `None` where there is none.
    pub auth_always: Option<bool>,
    pub auth_requires_tls: bool,
    pub auth_required: bool,
    pub mechanisms: Vec<Mechanism>,
    pub max_failures: u32,
    pub authorized: Networks,
    /// Mail leaves for other domains, after the rewrite table.
    pub leads_out: bool,
    pub identity: IdentityMode,
    /// Users, whole addresses, and their passwords.
    pub passwords: Vec<(String, String)>,
    /// Users and addresses beside their own that they may send from.
    pub senders: Vec<(String, String)>,
    pub administrators: Vec<String>,
    /// Addresses and what the rewrite table makes of them in the end: `error:text`, or addresses parted by spaces.
    pub rewrites: Vec<(String, String)>,
    /// What makes a recipient valid who is no user.
    pub table_check: TableCheck,
    /// Domains of ours, the first of which is that of the users.
    pub domains: Vec<String>,
    pub directory_down: bool,
    /// Users of the domain `localhost`.
    pub users: Vec<String>,
    /// What becomes of every message instead of being stored.
    pub store: Option<String>,
    /// What becomes of messages to these users instead of being delivered.
    pub mailboxes: Vec<(String, String)>,
    pub client: String,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            lmtp: false,
            hello_name: "localhost".into(),
            greeting: None,
            max_message_octets: 0,
            max_recipients: 1000,
            max_line_octets: 8192,
            require_hello: true,
            require_brackets: true,
            disabled_features: Vec::new(),
            extensions: Extensions::default(),
            start_tls: false,
            socket_tls: false,
            auth_always: None,
            auth_requires_tls: true,
            auth_required: false,
            mechanisms: vec![Mechanism::Login, Mechanism::Plain],
            max_failures: 3,
            authorized: Networks::default(),
            leads_out: false,
            identity: IdentityMode::Disabled,
            passwords: Vec::new(),
            senders: Vec::new(),
            administrators: Vec::new(),
            rewrites: Vec::new(),
            table_check: TableCheck::default(),
            domains: vec!["localhost".into()],
            directory_down: false,
            users: vec!["you".into(), "postmaster".into()],
            store: None,
            mailboxes: Vec::new(),
            client: "127.0.0.1".into(),
        }
    }
}

impl Setup {
    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "lmtp" => self.lmtp = true,
            "pipeline" => self.leads_out = (value == "RemoteDelivery").then_some(true)?,
            "helloName" => self.hello_name = value.into(),
            "smtpGreeting" => self.greeting = Some(value.into()),
            "maxmessagesize" => self.max_message_octets = size(value)?,
            "recipients" => self.max_recipients = value.parse().ok()?,
            "maxLineLength" => self.max_line_octets = value.parse().ok()?,
            "heloEhloEnforcement" => self.require_hello = value.parse().ok()?,
            "addressBracketsEnforcement" => self.require_brackets = value.parse().ok()?,
            "extension" => match value {
                "DSN" => self.extensions.dsn = true,
                "FUTURERELEASE" => self.extensions.future_release = true,
                "MT-PRIORITY" => self.extensions.mt_priority = true,
                "REQUIRETLS" => self.extensions.require_tls = true,
                _ => return None,
            },
            "disabledFeatures" => self.disabled_features.push(feature(value)?),
            "users" => self.users = value.split(' ').map(String::from).collect(),
            "store" => self.store = Some(value.into()),
            "mailbox" => self.mailboxes.push(pair(value)?),
            "client" => self.client = value.into(),
            "socketTLS" => self.socket_tls = true,
            "announce" => {
                self.auth_always = match value {
                    "always" => Some(true),
                    "forUnauthorizedAddresses" => Some(false),
                    "never" => None,
                    _ => return None,
                }
            }
            "requireSSL" => self.auth_requires_tls = value.parse().ok()?,
            "authRequired" => self.auth_required = value.parse().ok()?,
            "authFailures" => self.max_failures = value.parse().ok()?,
            "saslMechanisms" => {
                self.mechanisms = value.split(' ').map(Mechanism::named).collect::<Option<_>>()?;
            }
            "authorizedAddresses" => self.authorized.0.push(network(value)?),
            "verifyIdentity" => self.identity = identity(value)?,
            "password" => self.passwords.push(pair(value)?),
            "sender" => self.senders.push(pair(value)?),
            "administrator" => self.administrators.push(value.into()),
            "rewrite" => self.rewrites.push(pair(value)?),
            "recipientRewriteTableCheck" => {
                self.table_check = match value {
                    "mappingExists" => TableCheck::AnyTarget,
                    "allMappingsValid" => TableCheck::EveryTarget,
                    _ => return None,
                }
            }
            "domain" => self.domains.push(value.into()),
            "directory" => self.directory_down = value == "down",
            _ => return None,
        }
        Some(())
    }
}

fn pair(value: &str) -> Option<(String, String)> {
    value.split_once(' ').map(|(first, second)| (first.into(), second.into()))
}

fn identity(word: &str) -> Option<IdentityMode> {
    Some(match word {
        "strict" => IdentityMode::Strict,
        "relaxed" => IdentityMode::Relaxed,
        "disabled" => IdentityMode::Disabled,
        _ => return None,
    })
}

fn network(text: &str) -> Option<Network> {
    let (address, prefix) = text.split_once('/')?;
    Network::new(address.parse().ok()?, prefix.parse().ok()?)
}

fn feature(keyword: &str) -> Option<Feature> {
    Feature::ALL.into_iter().find(|feature| feature.keyword() == keyword)
}

/// A size as in the configuration: without a unit it is in KiB.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "B" => 1,
        "" | "K" => 1 << 10,
        "M" => 1 << 20,
        _ => return None,
    };
    Some(digits.parse::<u64>().ok()? * unit)
}

/// Every dialogue of the folder, sorted by name.
pub fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let entries = std::fs::read_dir(&folder).expect("the folder of dialogues is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "smtp"));
    files.sort();
    files
}

impl Dialogue {
    pub fn read(file: &Path) -> Dialogue {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Dialogue::parse(&text).unwrap_or_else(|line| panic!("{}:{line}: not understood", file.display()))
    }

    /// The dialogue, or the number of the first line that is not understood.
    pub fn parse(text: &str) -> Result<Dialogue, usize> {
        let mut dialogue = Dialogue { setup: Setup::default(), exchanges: vec![Exchange::default()] };
        for (number, line) in text.lines().enumerate() {
            dialogue.line(line).ok_or(number + 1)?;
        }
        Ok(dialogue)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        if line.is_empty() || line.starts_with('#') {
            return Some(());
        }
        if let Some(setting) = line.strip_prefix("set ") {
            let (key, value) = setting.split_once(' ').unwrap_or((setting, ""));
            let started = self.exchanges.len() > 1 || !self.exchanges[0].server.is_empty();
            return if started { None } else { self.setup.set(key, value) };
        }
        if line == "closed" {
            self.exchanges.last_mut()?.closed = true;
            return Some(());
        }
        match line.split_once([':', '>'])?.0 {
            "S" => self.exchanges.last_mut()?.server.push(line.strip_prefix("S: ")?.to_owned()),
            "C" => {
                if self.exchanges.last().is_some_and(|last| !last.server.is_empty() || last.closed) {
                    self.exchanges.push(Exchange::default());
                }
                let octets = &mut self.exchanges.last_mut()?.client;
                unescape(line.strip_prefix("C:").or(line.strip_prefix("C>"))?.strip_prefix(' ').unwrap_or(""), octets)?;
                if line.starts_with("C:") {
                    octets.extend_from_slice(b"\r\n");
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Everything the client sends.
    pub fn input(&self) -> Vec<u8> {
        self.exchanges.iter().flat_map(|exchange| exchange.client.iter().copied()).collect()
    }

    /// Every line that is expected.
    pub fn expected(&self) -> Vec<String> {
        self.exchanges.iter().flat_map(|exchange| exchange.server.iter().cloned()).collect()
    }

    pub fn closes(&self) -> bool {
        self.exchanges.iter().any(|exchange| exchange.closed)
    }
}

fn unescape(text: &str, octets: &mut Vec<u8>) -> Option<()> {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        octets.extend_from_slice(&rest.as_bytes()[..at]);
        let mut escape = rest[at + 1..].chars();
        match escape.next()? {
            'r' => octets.push(b'\r'),
            'n' => octets.push(b'\n'),
            't' => octets.push(b'\t'),
            '0' => octets.push(0),
            '\\' => octets.push(b'\\'),
            'x' => {
                octets.push(u8::from_str_radix(escape.as_str().get(..2)?, 16).ok()?);
                escape = escape.as_str()[2..].chars();
            }
            '{' => {
                let (piece, after) = escape.as_str().split_once('}')?;
                let (piece, times) = piece.rsplit_once('*')?;
                octets.extend_from_slice(&piece.as_bytes().repeat(times.parse().ok()?));
                escape = after.chars();
            }
            _ => return None,
        }
        rest = escape.as_str();
    }
    octets.extend_from_slice(rest.as_bytes());
    Some(())
}

/// The lines of what a server sent; the last one must be whole.
pub fn lines(sent: &[u8]) -> Vec<String> {
    let text = String::from_utf8(sent.to_vec()).expect("a server sends ASCII");
    match text.strip_suffix("\r\n") {
        Some(text) => text.split("\r\n").map(String::from).collect(),
        None => {
            assert_eq!(text, "", "a server sends whole lines");
            Vec::new()
        }
    }
}

/// What differs between the lines expected and those that came, if anything does.
pub fn difference(expected: &[String], actual: &[String]) -> Option<String> {
    let same = expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| matches(e, a));
    if same {
        return None;
    }
    let mut text = String::new();
    for line in 0..expected.len().max(actual.len()) {
        let (e, a) = (expected.get(line), actual.get(line));
        let mark = if e.zip(a).is_some_and(|(e, a)| matches(e, a)) { ' ' } else { '!' };
        let none = String::from("(nothing)");
        writeln!(text, "{mark} expected {}\n{mark}  but got {}", e.unwrap_or(&none), a.unwrap_or(&none)).ok()?;
    }
    Some(text)
}

fn matches(expected: &str, actual: &str) -> bool {
    const ID: usize = 13;
    match expected.split_once("<id>") {
        None => expected == actual,
        Some((before, after)) => actual.strip_prefix(before).is_some_and(|rest| {
            let id = rest.get(..ID).is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            id && rest.get(ID..).is_some_and(|rest| matches(after, rest))
        }),
    }
}
