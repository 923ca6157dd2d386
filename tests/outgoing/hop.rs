//! A next hop in the simulated network: speaks SMTP or LMTP as a policy says, and keeps what it took.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringpost::io::sim::{ClientEnd, Host, SimMachine, World};
use ringpost::io::{Class, Machine, Peer};
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

/// What a hop does with a command.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Says this.
    Say(&'static str),
    /// Says the usual.
    Usual,
    /// Breaks the connection off.
    Drop,
    /// Takes the mail, and breaks the connection off before it says so.
    TakeAndDrop,
    /// Takes its time, then says the usual.
    Late(Duration),
}

/// Asked with every command, with `greeting` at first, with `handshake` after STARTTLS, and with `.` or `. RECIPIENT` (LMTP)
/// after the content.
pub type Policy = Rc<dyn Fn(&str) -> Answer>;

/// A recipient's copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The recipient.
    pub recipient: String,
    /// Where failures are reported to.
    pub sender: String,
    /// The parameters of MAIL and RCPT.
    pub parameters: String,
    /// Whether the client was told.
    pub told: bool,
    /// Whether it came under TLS.
    pub tls: bool,
    /// What came, without stuffed dots.
    pub content: Vec<u8>,
}

impl Taken {
    /// The value of its subject.
    pub fn subject(&self) -> String {
        let text = String::from_utf8_lossy(&self.content);
        let value = text.lines().find_map(|line| line.strip_prefix("Subject: "));
        value.unwrap_or_default().to_owned()
    }
}

/// A hop.
#[derive(Clone)]
pub struct Hop {
    /// Its place in the network.
    pub host: Host,
    /// What it took.
    pub taken: Rc<RefCell<Vec<Taken>>>,
    /// Connections that are open, and the most that ever were.
    pub open: Rc<Cell<(usize, usize)>>,
    /// Connections so far.
    pub connections: Rc<Cell<usize>>,
    lmtp: bool,
    extensions: Rc<Vec<&'static str>>,
    policy: Rc<RefCell<Policy>>,
    tls: Option<Arc<ServerConfig>>,
}

/// A server's key, and a certificate of these names, which `roots` vouch for from now on.
pub fn certified(names: &[&str], roots: &mut RootCertStore) -> Arc<ServerConfig> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    roots.add(made.cert.der().clone()).expect("it is one");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("it is one");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("known ones");
    Arc::new(
        builder
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("they belong together"),
    )
}

impl Hop {
    /// At an address, with these extensions, saying the usual. It serves after [`Hop::serve`].
    pub fn new(world: &World, at: &str, extensions: &[&'static str]) -> Hop {
        let lmtp = at.starts_with('/');
        let peer = match lmtp {
            true => Peer::Unix(at.into()),
            false => Peer::Tcp(at.parse().expect("an address and a port")),
        };
        Hop {
            host: world.host(peer),
            taken: Rc::default(),
            open: Rc::default(),
            connections: Rc::default(),
            lmtp,
            extensions: Rc::new(extensions.to_vec()),
            policy: Rc::new(RefCell::new(Rc::new(|_: &str| Answer::Usual))),
            tls: None,
        }
    }

    /// It offers STARTTLS, and under TLS no more; REQUIRETLS among its extensions is offered under TLS alone.
    pub fn with_tls(self, config: Arc<ServerConfig>) -> Hop {
        Hop { tls: Some(config), ..self }
    }

    /// From now on it does this.
    pub fn set_policy(&self, policy: impl Fn(&str) -> Answer + 'static) {
        *self.policy.borrow_mut() = Rc::new(policy);
    }

    /// Serves, in the machine's present life.
    pub fn serve(&self, machine: &SimMachine) {
        let (hop, own) = (self.clone(), machine.clone());
        machine.spawn(Class::Intake, async move {
            loop {
                let (end, _) = hop.host.accept().await;
                let (hop, machine) = (hop.clone(), own.clone());
                own.spawn(Class::Intake, async move {
                    let (now, most) = hop.open.get();
                    hop.open.set((now + 1, most.max(now + 1)));
                    hop.connections.set(hop.connections.get() + 1);
                    // A connection that breaks is the client's affair.
                    let _ = hop.talk(&machine, end).await;
                    let (now, most) = hop.open.get();
                    hop.open.set((now.saturating_sub(1), most));
                });
            }
        });
    }

    /// What it took for a recipient.
    pub fn taken_for(&self, recipient: &str) -> Vec<Taken> {
        self.taken.borrow().iter().filter(|taken| taken.recipient == recipient).cloned().collect()
    }

    async fn talk(&self, machine: &SimMachine, end: ClientEnd) -> io::Result<()> {
        let mut line = Line { end, received: Vec::new(), tls: None };
        let (mut sender, mut recipients) = (None::<(String, String)>, Vec::<(String, String)>::new());
        if self.answer(machine, &mut line, "greeting", "220 there ESMTP").await?.is_none() {
            return Ok(());
        }
        loop {
            let content;
            let command = line.line().await?;
            let word = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let usual = match &*word {
                "EHLO" | "LHLO" => self.hello(line.tls.is_some()),
                "DATA" => "354 go on".to_owned(),
                "STARTTLS" => "220 go on".to_owned(),
                "QUIT" => "221 bye".to_owned(),
                "RCPT" if sender.is_none() => "503 5.5.1 MAIL first".to_owned(),
                "BDAT" => String::new(),
                _ => "250 2.0.0 ok".to_owned(),
            };
            if word == "BDAT" {
                let octets = command.split(' ').nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
                content = line.octets(octets).await?;
            } else {
                let Some(said) = self.answer(machine, &mut line, &command, &usual).await? else { return Ok(()) };
                let done = said.starts_with('2');
                match &*word {
                    "MAIL" if done => (sender, recipients) = (Some(path(&command)), Vec::new()),
                    "RCPT" if done && sender.is_some() => recipients.push(path(&command)),
                    "RSET" => (sender, recipients) = (None, Vec::new()),
                    "STARTTLS" if done && !self.shake_hands(&mut line)? => return Ok(()),
                    "QUIT" => return Ok(()),
                    _ => {}
                }
                if !said.starts_with("354") {
                    continue;
                }
                content = line.content().await?;
            }
            let Some(from) = sender.take() else { continue };
            if !self.take(machine, &mut line, &from, &std::mem::take(&mut recipients), &content).await? {
                return Ok(());
            }
        }
    }

    /// Answers to content; false where the connection is over.
    async fn take(
        &self,
        machine: &SimMachine,
        line: &mut Line,
        from: &(String, String),
        recipients: &[(String, String)],
        content: &[u8],
    ) -> io::Result<bool> {
        let groups: Vec<Vec<&(String, String)>> = match self.lmtp {
            true => recipients.iter().map(|one| vec![one]).collect(),
            false => vec![recipients.iter().collect()],
        };
        let tls = line.tls.is_some();
        for group in groups {
            let question = if self.lmtp { format!(". {}", group[0].0) } else { ".".to_owned() };
            let answer = self.policy.borrow().clone()(&question);
            let keep = |told| {
                let taken = group.iter().map(|(recipient, parameters)| Taken {
                    recipient: recipient.clone(),
                    tls,
                    sender: from.0.clone(),
                    parameters: format!("{}{parameters}", from.1),
                    told,
                    content: content.to_vec(),
                });
                self.taken.borrow_mut().extend(taken);
            };
            match answer {
                Answer::TakeAndDrop => {
                    keep(false);
                    return Ok(false);
                }
                Answer::Drop => return Ok(false),
                Answer::Say(text) if !text.starts_with('2') => line.send(&format!("{text}\r\n"))?,
                Answer::Late(time) => {
                    machine.sleep(time).await;
                    line.send("250 2.0.0 taken\r\n")?;
                    keep(true);
                }
                Answer::Say(_) | Answer::Usual => {
                    // What is said arrives, or the connection breaks: then the client was not told, and asks again.
                    line.send("250 2.0.0 taken\r\n")?;
                    keep(true);
                }
            }
        }
        Ok(true)
    }

    /// What was said; none where the connection is over.
    async fn answer(
        &self,
        machine: &SimMachine,
        line: &mut Line,
        command: &str,
        usual: &str,
    ) -> io::Result<Option<String>> {
        let answer = self.policy.borrow().clone()(command);
        let text = match answer {
            Answer::Drop | Answer::TakeAndDrop => return Ok(None),
            Answer::Say(text) => text.to_owned(),
            Answer::Usual => usual.to_owned(),
            Answer::Late(time) => {
                machine.sleep(time).await;
                usual.to_owned()
            }
        };
        line.send(&format!("{text}\r\n"))?;
        Ok((!text.starts_with("421")).then_some(text))
    }

    /// Goes on under TLS; false where the policy says otherwise, and the connection is over.
    fn shake_hands(&self, line: &mut Line) -> io::Result<bool> {
        match (self.policy.borrow().clone()("handshake"), &self.tls) {
            (Answer::Usual, Some(config)) => {
                line.tls = Some(ServerConnection::new(config.clone()).map_err(io::Error::other)?);
                Ok(true)
            }
            (Answer::Say(text), _) => line.send(&format!("{text}\r\n")).map(|()| false),
            _ => Ok(false),
        }
    }

    fn hello(&self, secured: bool) -> String {
        let mut lines = vec!["there"];
        lines.extend(self.extensions.iter().filter(|word| **word != "REQUIRETLS" || secured));
        lines.extend((self.tls.is_some() && !secured).then_some("STARTTLS"));
        let last = lines.len() - 1;
        let line = |(place, text): (usize, &&str)| format!("250{}{text}", if place == last { ' ' } else { '-' });
        lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\r\n")
    }
}

/// The path of a command, and its parameters.
fn path(command: &str) -> (String, String) {
    let (_, rest) = command.split_once('<').unwrap_or_default();
    let (path, parameters) = rest.split_once('>').unwrap_or_default();
    (path.to_owned(), parameters.to_owned())
}

struct Line {
    end: ClientEnd,
    /// In clear.
    received: Vec<u8>,
    tls: Option<ServerConnection>,
}

impl Line {
    async fn fill(&mut self) -> io::Result<()> {
        let octets = self.end.receive().await?;
        if octets.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &mut self.tls {
            None => self.received.extend(octets),
            Some(tls) => {
                let mut rest = &*octets;
                while !rest.is_empty() {
                    tls.read_tls(&mut rest)?;
                    let state = tls.process_new_packets().map_err(io::Error::other)?;
                    let before = self.received.len();
                    self.received.resize(before + state.plaintext_bytes_to_read(), 0);
                    tls.reader().read_exact(&mut self.received[before..])?;
                }
                self.flush()?;
            }
        }
        Ok(())
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        match &mut self.tls {
            None => self.end.send(text),
            Some(tls) => {
                tls.writer().write_all(text.as_bytes())?;
                self.flush()
            }
        }
    }

    /// Sends what TLS has to say.
    fn flush(&mut self) -> io::Result<()> {
        let mut octets = Vec::new();
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            tls.write_tls(&mut octets)?;
        }
        if octets.is_empty() { Ok(()) } else { self.end.send(octets) }
    }

    async fn raw_line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(feed) = self.received.iter().position(|octet| *octet == b'\n') {
                return Ok(self.received.drain(..=feed).collect());
            }
            self.fill().await?;
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.raw_line().await?).trim_end().to_owned())
    }

    async fn octets(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.received.len() < count {
            self.fill().await?;
        }
        Ok(self.received.drain(..count).collect())
    }

    async fn content(&mut self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let line = self.raw_line().await?;
            match line.strip_prefix(b".") {
                Some(b"\r\n") => return Ok(content),
                Some(rest) => content.extend_from_slice(rest),
                None => content.extend(line),
            }
        }
    }
}
