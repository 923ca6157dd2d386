//! A client over TCP that says what it is told to, and waits for answers no longer than a test may take.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(40);

/// A connection with the server.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    tls: Option<ClientConnection>,
    received: Vec<u8>,
}

impl Client {
    /// Connects; the server's greeting is still to come.
    pub fn dial(address: SocketAddr) -> io::Result<Client> {
        Client::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// Over a connection that exists.
    pub fn over(stream: TcpStream) -> io::Result<Client> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream, tls: None, received: Vec::new() })
    }

    /// Connects, and is greeted.
    pub fn connect(address: SocketAddr) -> Client {
        let mut client = Client::dial(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        let greeting = client.reply();
        assert!(greeting.starts_with("220 "), "{greeting}");
        client
    }

    /// Connects, and has said hello: EHLO, or LHLO where `lmtp`.
    pub fn hello(address: SocketAddr, lmtp: bool) -> Client {
        let mut client = Client::connect(address);
        client.expect(if lmtp { "LHLO client" } else { "EHLO client" }, "250");
        client
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.tls {
                None => self.stream.read(buffer),
                Some(tls) => rustls::Stream::new(tls, &mut self.stream).read(buffer),
            };
            // A read with a time limit may end early for reasons of the kernel's own: a ring that this thread has closed.
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Does the handshake of TLS, for a server of that name.
    pub fn secure(&mut self, config: Arc<ClientConfig>, name: &str) -> io::Result<()> {
        self.secure_saying(config, name, b"")
    }

    /// The same, with these octets behind the last one of the handshake.
    pub fn secure_saying(&mut self, config: Arc<ClientConfig>, name: &str, words: &[u8]) -> io::Result<()> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        tls.writer().write_all(words)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut self.stream)?;
        }
        self.tls = Some(tls);
        Ok(())
    }

    /// The TLS that [`Client::secure`] brought about.
    pub fn tls(&self) -> &ClientConnection {
        self.tls.as_ref().expect("it is secured")
    }

    /// Says that nothing more is sent, by close_notify.
    pub fn send_close_notify(&mut self) {
        let tls = self.tls.as_mut().expect("it is secured");
        tls.send_close_notify();
        tls.complete_io(&mut self.stream).expect("the server reads");
    }

    /// Sends octets as they are.
    pub fn try_send(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.stream.write_all(octets),
            Some(tls) => {
                let mut stream = rustls::Stream::new(tls, &mut self.stream);
                stream.write_all(octets).and_then(|()| stream.flush())
            }
        }
    }

    /// Sends octets as they are.
    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.try_send(octets.as_ref()).expect("the server reads");
    }

    /// Whether something has come that was not read yet.
    pub fn has_input(&mut self) -> bool {
        self.stream.set_nonblocking(true).expect("a socket");
        let has_input = self.stream.peek(&mut [0]).is_ok();
        self.stream.set_nonblocking(false).expect("a socket");
        has_input || !self.received.is_empty()
    }

    /// The next line, without its end; an error where the connection ends before it.
    pub fn try_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|octets| octets == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(io::Error::other);
            }
            let mut buffer = [0; 4096];
            match self.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(octets) => self.received.extend_from_slice(&buffer[..octets]),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next reply, its lines parted by LF.
    pub fn try_reply(&mut self) -> io::Result<String> {
        let mut reply = self.try_line()?;
        while reply.rsplit('\n').next().is_some_and(|line| line.as_bytes().get(3) == Some(&b'-')) {
            reply.push('\n');
            reply.push_str(&self.try_line()?);
        }
        Ok(reply)
    }

    /// The next reply, its lines parted by LF.
    pub fn reply(&mut self) -> String {
        self.try_reply().unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// Sends a command; its reply.
    pub fn say(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n"));
        self.reply()
    }

    /// Sends a command whose reply must begin as told; the reply.
    pub fn expect(&mut self, command: &str, reply: &str) -> String {
        let said = self.say(command);
        assert!(said.starts_with(reply), "{command}: expected {reply}, got {said}");
        said
    }

    /// Begins a transaction up to and including the recipients, all of which must be taken.
    pub fn envelope(&mut self, from: &str, recipients: &[&str]) {
        self.expect(&format!("MAIL FROM:<{from}>"), "250 2.1.0");
        for recipient in recipients {
            self.expect(&format!("RCPT TO:<{recipient}>"), "250 2.1.5");
        }
    }

    /// Sends a message by DATA (`content` with CR LF, dots not stuffed); the reply to its end.
    pub fn data(&mut self, recipients: &[&str], content: &[u8]) -> String {
        self.envelope("me@example.org", recipients);
        self.expect("DATA", "354");
        self.send(stuffed(content));
        self.reply()
    }

    /// Sends a message by BDAT in chunks of these many octets; the reply to the last one.
    pub fn bdat(&mut self, parameters: &str, recipients: &[&str], content: &[u8], chunk: usize) -> String {
        self.expect(&format!("MAIL FROM:<me@example.org>{parameters}"), "250 2.1.0");
        for recipient in recipients {
            self.expect(&format!("RCPT TO:<{recipient}>"), "250 2.1.5");
        }
        let mut rest = content;
        while rest.len() > chunk {
            let (piece, after) = rest.split_at(chunk);
            rest = after;
            self.send([format!("BDAT {}\r\n", piece.len()).as_bytes(), piece].concat());
            let reply = self.reply();
            assert!(reply.starts_with("250 2.0.0"), "{reply}");
        }
        self.send([format!("BDAT {} LAST\r\n", rest.len()).as_bytes(), rest].concat());
        self.reply()
    }

    /// Says that nothing more is sent.
    pub fn end_input(&mut self) {
        // A server that has closed already is no trouble here.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// All that still comes until the server closes; an error also where the connection is reset.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.received);
        let mut buffer = [0; 4096];
        loop {
            match self.read(&mut buffer)? {
                0 => return Ok(rest),
                octets => rest.extend_from_slice(&buffer[..octets]),
            }
        }
    }

    /// Fails unless the server has closed the connection, in order, with nothing more said.
    pub fn assert_closed(&mut self) {
        let rest = self.rest().expect("the connection ends in order");
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
}

/// Content as DATA carries it: stuffed, with its end.
pub fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 5);
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// The id that a 250 names.
pub fn id(reply: &str) -> &str {
    let (text, id) = reply.rsplit_once("id=").unwrap_or_else(|| panic!("no id in {reply}"));
    assert!(text.starts_with("250 ") && !id.is_empty(), "{reply}");
    id
}
