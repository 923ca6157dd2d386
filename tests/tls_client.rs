//! The client's end of TLS against another implementation: `openssl s_server`, where there is one.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ringpost::io::Stream;
use ringpost::io::tls::{ClientTls, ClientTlsConfig, Transport, Verification, roots};
use ringpost::mail::TlsVersion;

/// How long anything that must happen is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A socket that is asked again and again.
struct Socket(TcpStream);

impl Socket {
    fn poll(result: io::Result<usize>) -> Poll<io::Result<usize>> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }
}

impl Stream for Socket {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Socket::poll(self.0.read(buffer))
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> usize {
        self.0.read(buffer).unwrap_or(0)
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Socket::poll(self.0.write(buffer))
    }

    fn shutdown(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

/// A server that says every line backwards.
struct Server {
    child: Child,
    port: u16,
    certificate: rustls::pki_types::CertificateDer<'static>,
    _files: tempfile::TempDir,
}

impl Server {
    /// `None` where there is no OpenSSL.
    fn start(version: &str) -> Option<Server> {
        let files = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let made = rcgen::generate_simple_self_signed(vec!["mx.example.org".to_owned()]).expect("a certificate");
        let (certificate, key) = (files.path().join("certificate.pem"), files.path().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).expect("it can be written");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("it can be written");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-rev", version, "-accept", &format!("127.0.0.1:{port}")])
            .arg("-cert")
            .arg(&certificate)
            .arg("-key")
            .arg(&key)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let certificate = made.cert.der().clone();
        Some(Server { child: child.ok()?, port, certificate, _files: files })
    }

    fn connect(&self) -> Transport<Socket> {
        let began = Instant::now();
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => {
                    stream.set_nonblocking(true).expect("a socket");
                    return Transport::Plain(Socket(stream));
                }
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn shake_hands(&self, verification: &Verification, name: &str) -> io::Result<Transport<Socket>> {
        let config = ClientTlsConfig::new(verification).map_err(io::Error::other)?;
        let tls = ClientTls::new(&config, name).map_err(io::Error::other)?;
        let mut transport = self.connect();
        transport.begin_tls_as_client(&tls)?;
        wait(|context| transport.poll_handshake(context))?;
        Ok(transport)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>) -> io::Result<T> {
    let (mut context, began) = (Context::from_waker(Waker::noop()), Instant::now());
    loop {
        if let Poll::Ready(result) = poll(&mut context) {
            return result;
        }
        if began.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

#[test]
fn another_implementation_is_understood() {
    for (option, version) in [("-tls1_2", TlsVersion::Tls12), ("-tls1_3", TlsVersion::Tls13)] {
        let Some(server) = Server::start(option) else {
            eprintln!("there is no openssl here, so nothing was tried");
            return;
        };
        let trusted = Arc::new(roots(vec![server.certificate.clone()]));
        let mut transport =
            server.shake_hands(&Verification::Full(trusted.clone()), "mx.example.org").expect("a handshake");
        assert_eq!(transport.secured_with().map(|tls| tls.version), Some(version));
        let line: String = ('a'..='z').cycle().take(15_000).chain(['\n']).collect();
        let mut sent = 0;
        while sent < line.len() {
            sent += wait(|context| transport.poll_write(context, &line.as_bytes()[sent..])).expect("it is taken");
        }
        let (mut received, mut buffer) = (Vec::new(), [0; 5000]);
        while received.last() != Some(&b'\n') {
            let octets = wait(|context| transport.poll_read(context, &mut buffer)).expect("it is said");
            assert!(octets > 0, "it goes on");
            received.extend_from_slice(&buffer[..octets]);
        }
        let backwards: Vec<u8> = line.trim_end().bytes().rev().chain([b'\n']).collect();
        assert!(received == backwards, "what is said is what was said, backwards");
        transport.shutdown();
        drop(transport);
        assert!(server.shake_hands(&Verification::Full(trusted.clone()), "other.example.org").is_err());
        assert!(server.shake_hands(&Verification::AnyName(trusted), "other.example.org").is_ok());
        assert!(server.shake_hands(&Verification::Nothing, "other.example.org").is_ok());
    }
}
