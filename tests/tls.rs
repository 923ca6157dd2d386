//! TLS of the real process, spoken to by rustls.

mod common;

use std::fs;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::client::{Client, id};
use common::process::{Conf, Home, Process, Server, eventually};
use common::tls::{NAME, OTHER, any_client, certificate, client, client_with, keystore, other_pem, pem};
use ringpost::mail::TlsVersion;
use rustls::{ClientConfig, HandshakeKind};

/// A server whose TLS begins with the connection.
fn implicit(inside: &str) -> Server {
    Server::smtp().with("tls socketTLS='true'", &format!("{}{inside}", pem()))
}

/// A server with STARTTLS.
fn explicit(inside: &str) -> Server {
    Server::smtp().with("tls startTLS='true'", &format!("{}{inside}", pem()))
}

fn home(servers: Vec<Server>) -> Home {
    Home::new(&Conf::new().servers(servers))
}

/// In TLS from the start; the greeting is still to come.
fn dial(process: &Process, server: usize, config: &Arc<ClientConfig>, name: &str) -> io::Result<Client> {
    let mut client = Client::dial(process.address(server))?;
    client.secure(config.clone(), name)?;
    Ok(client)
}

/// In TLS by STARTTLS.
fn upgraded(process: &Process, server: usize, config: &Arc<ClientConfig>) -> Client {
    let mut client = Client::hello(process.address(server), false);
    client.expect("STARTTLS", "220 2.0.0");
    client.secure(config.clone(), NAME).expect("a handshake");
    client
}

fn says(client: &mut Client, command: &str) -> Vec<String> {
    client.say(command).lines().map(str::to_owned).collect()
}

#[test]
fn mail_comes_by_both_ways_and_both_versions_and_says_so() {
    let home = home(vec![implicit(""), explicit(""), Server::lmtp().with("tls startTLS='true'", &pem())]);
    let process = home.start();
    for (version, suite) in
        [(TlsVersion::Tls13, "TLS_AES_256_GCM_SHA384"), (TlsVersion::Tls12, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")]
    {
        let config = client(&[version], &["smtp"]);
        let mut by_socket = dial(&process, 0, &config, NAME).expect("a handshake");
        assert!(by_socket.reply().starts_with("220 localhost"));
        assert!(!says(&mut by_socket, "EHLO client").iter().any(|line| line.contains("STARTTLS")));
        by_socket.expect("STARTTLS", "500 5.5.1");
        let mut by_command = upgraded(&process, 1, &config);
        assert!(!says(&mut by_command, "EHLO client").iter().any(|line| line.contains("STARTTLS")));
        for client in [&mut by_socket, &mut by_command] {
            let reply = client.data(&["you@localhost"], b"Subject: secret\r\n\r\ntext\r\n");
            let (trace, content) = home.delivered("you", id(&reply));
            let trace = trace.concat();
            assert!(trace.contains(&format!("(using {version} with cipher {suite})")), "{trace}");
            assert!(trace.contains("with ESMTPS id "), "{trace}");
            assert_eq!(content, b"Subject: secret\n\ntext\n");
            client.expect("QUIT", "221");
            client.assert_closed();
        }
        process.wait_for_log("tls", &[&format!("version={version}"), &format!("cipher={suite}")]);
    }
    let mut lmtp = Client::hello(process.address(2), true);
    lmtp.expect("STARTTLS", "220 2.0.0");
    lmtp.secure(client(&TlsVersion::ALL, &["lmtp"]), NAME).expect("a handshake");
    lmtp.expect("LHLO client", "250");
    let reply = lmtp.data(&["you@localhost"], b"Subject: local\r\n\r\ntext\r\n");
    assert!(home.delivered("you", id(&reply)).0.concat().contains("with LMTPS id "));
    process.stop();
}

#[test]
fn the_kernel_has_the_part_in_it_that_it_can_have_and_the_start_says_which() {
    let conf = Conf::new().servers(vec![implicit(""), explicit("")]);
    let home = Home::new(&conf);
    let process = home.start();
    assert!(!process.announcement.contains("\n  TLS "), "{}", process.announcement);
    process.stop();

    let home = Home::new(&conf.with("tls/kernel", "auto"));
    let process = home.start();
    let line = process.announcement.lines().find(|line| line.starts_with("  TLS ")).expect("a line").to_owned();
    let event = process.wait_for_log("kernel-tls", &["offered="]);
    // Where the kernel has it the module is loaded now, and is among what it names.
    let named = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp").unwrap_or_default();
    if named.split_whitespace().any(|name| name == "tls") {
        assert!(line.contains("records by the kernel: TLSv1.2 AES-128-GCM"), "{line}");
        assert!(event.contains("TLSv1.3 AES-128-GCM") && event.contains("key_updates="), "{event}");
    } else {
        assert!(line.contains("by ringpost alone, the kernel has no part in it: No such file or directory"), "{line}");
        assert!(event.contains("offered=none why=\"No such file or directory"), "{event}");
    }
    for version in TlsVersion::ALL {
        let config = client(&[version], &["smtp"]);
        let mut by_socket = dial(&process, 0, &config, NAME).expect("a handshake");
        assert!(by_socket.reply().starts_with("220 localhost"));
        let mut by_command = upgraded(&process, 1, &config);
        for client in [&mut by_socket, &mut by_command] {
            client.expect("EHLO client", "250");
            let content = [b"Subject: large\r\n\r\n".to_vec(), b"0123456789\r\n".repeat(20_000)].concat();
            let reply = client.data(&["you@localhost"], &content);
            let expected = String::from_utf8(content).expect("ASCII").replace("\r\n", "\n");
            assert!(home.delivered("you", id(&reply)).1 == expected.as_bytes(), "{version}");
            client.expect("QUIT", "221");
            client.assert_closed();
        }
    }
    process.stop();
}

#[test]
fn large_messages_pass_in_records_of_any_size() {
    let home = home(vec![implicit("")]);
    let process = home.start();
    let mut client = dial(&process, 0, &any_client(), NAME).expect("a handshake");
    client.reply();
    client.expect("EHLO client", "250");
    let line = [b'x'; 98].as_slice();
    for octets in [100, 16_300, 40_000, 1_000_000] {
        let content = [b"Subject: large\r\n\r\n".to_vec(), [line, b"\r\n"].concat().repeat(octets / 100)].concat();
        let reply = client.data(&["you@localhost"], &content);
        let expected = String::from_utf8(content).expect("ASCII").replace("\r\n", "\n");
        assert!(home.delivered("you", id(&reply)).1 == expected.as_bytes(), "{octets}");
    }
    process.stop();
}

#[test]
fn what_is_pipelined_behind_starttls_is_never_used() {
    let home = home(vec![explicit("")]);
    let process = home.start();
    for behind in ["MAIL FROM:<evil@example.org>\r\n", "EHLO evil\r\n", "R", "\x16\x03\x01\x02\x00"] {
        let mut client = Client::hello(process.address(0), false);
        client.send(format!("STARTTLS\r\n{behind}"));
        let reply = client.reply();
        assert!(reply.starts_with("421 4.5.1 "), "{behind:?}: {reply}");
        client.assert_closed();
    }
    // What comes in the clear after the 220 is no TLS, and nothing of it is understood or answered.
    let mut client = Client::hello(process.address(0), false);
    client.expect("STARTTLS", "220 2.0.0");
    client.send("EHLO evil\r\nMAIL FROM:<evil@example.org>\r\n");
    let rest = client.rest().expect("it ends in order");
    assert!(rest.first() == Some(&21) && rest.len() == 7, "an alert, and nothing else: {rest:?}");
    process.wait_for_log("disconnect", &["why=\"tls: "]);
    process.stop();
}

#[test]
fn nothing_said_before_starttls_counts_after_it() {
    let home = home(vec![explicit("")]);
    let process = home.start();
    let mut client = Client::hello(process.address(0), false);
    client.envelope("me@example.org", &["you@localhost"]);
    client.expect("STARTTLS now", "501 5.5.4");
    client.expect("STARTTLS", "220 2.0.0");
    client.secure(any_client(), NAME).expect("a handshake");
    client.expect("DATA", "503");
    client.expect("RCPT TO:<you@localhost>", "503");
    client.expect("MAIL FROM:<me@example.org>", "503 5.5.0 Need HELO or EHLO");
    client.expect("STARTTLS", "500 5.5.1 TLS already active");
    client.expect("EHLO client", "250");
    client.data(&["you@localhost"], b"Subject: x\r\n\r\n");
    process.stop();
}

#[test]
fn a_client_of_another_protocol_is_refused() {
    let home = home(vec![implicit(""), Server::lmtp().with("tls socketTLS='true'", &pem())]);
    let process = home.start();
    for (server, right, wrong) in [(0, "smtp", "lmtp"), (1, "lmtp", "smtp")] {
        for protocols in [&[][..], &[right], &["h2", right]] {
            let mut client = dial(&process, server, &client(&TlsVersion::ALL, protocols), NAME).expect("a handshake");
            assert!(client.reply().starts_with("220 "), "{protocols:?}");
            let agreed = (!protocols.is_empty()).then_some(right.as_bytes());
            assert_eq!(client.tls().alpn_protocol(), agreed);
        }
        for protocols in [&["http/1.1"][..], &[wrong], &["h2", "imap"]] {
            let error = dial(&process, server, &client(&TlsVersion::ALL, protocols), NAME).unwrap_err();
            assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
        }
    }
    process.wait_for_log("turned-away", &["server=server-0", "why=\"tls: "]);
    process.stop();
}

#[test]
fn the_name_decides_which_certificate_is_shown() {
    let conf = Conf::new().servers(vec![implicit(""), explicit("")]);
    let home = Home::new(&conf.with("tls/certificate", &other_pem()));
    let process = home.start();
    for (name, file) in [(NAME, "mx.pem"), ("localhost", "mx.pem"), (OTHER, "net.pem")] {
        let client = dial(&process, 0, &any_client(), name).expect("a handshake");
        let shown = client.tls().peer_certificates().expect("certificates");
        assert_eq!(shown[0], certificate(file), "{name}");
        assert_eq!(shown[1], certificate("server-ca.pem"));
    }
    let error = dial(&process, 0, &any_client(), "unknown.example").unwrap_err().to_string();
    assert!(
        error.contains("not valid for name \"unknown.example\"") && error.contains(NAME),
        "the default is shown: {error}"
    );
    process.stop();
}

/// Whether the second of two connections resumed the session of the first.
fn resumes(process: &Process, server: usize, config: &Arc<ClientConfig>) -> bool {
    resumes_after(Duration::ZERO, process, server, config)
}

/// Whether it did when so much time went by between them.
fn resumes_after(pause: Duration, process: &Process, server: usize, config: &Arc<ClientConfig>) -> bool {
    let mut kinds = (0..2).map(|nth| {
        thread::sleep(pause * nth);
        let mut client = dial(process, server, config, NAME).expect("a handshake");
        assert!(client.reply().starts_with("220 "));
        client.expect("QUIT", "221");
        client.tls().handshake_kind()
    });
    kinds.next();
    kinds.next().flatten() == Some(HandshakeKind::Resumed)
}

#[test]
fn sessions_are_resumed_on_whatever_shard_unless_that_is_off() {
    for (on, version) in
        [(true, TlsVersion::Tls13), (true, TlsVersion::Tls12), (false, TlsVersion::Tls13), (false, TlsVersion::Tls12)]
    {
        let conf = Conf::new().servers(vec![implicit(""), implicit("")]).with("tls/tickets", &on.to_string());
        let home = Home::new(&conf);
        let process = home.start();
        for _ in 0..8 {
            assert_eq!(resumes(&process, 0, &client(&[version], &[])), on, "{version}");
        }
        // A ticket of one server is nothing to another.
        let config = client(&[version], &[]);
        dial(&process, 0, &config, NAME).expect("a handshake").reply();
        let other = dial(&process, 1, &config, NAME).expect("a handshake");
        assert_eq!(other.tls().handshake_kind(), Some(HandshakeKind::Full));
        process.stop();
    }
}

#[test]
fn a_ticket_is_good_for_the_time_that_is_said() {
    let home = home(vec![implicit("<sessionCache><timeout>1</timeout></sessionCache>")]);
    let process = home.start();
    let pause = Duration::from_millis(2);
    assert!(!resumes_after(pause, &process, 0, &client(&[TlsVersion::Tls13], &[])), "a millisecond is over");
    process.stop();
}

/// A home with keys and certificates of its own that can be changed.
fn home_with_own_keys() -> Home {
    let keys = "<privateKey>conf/key.pem</privateKey><certificates>conf/chain.pem</certificates>";
    let home = Home::new(&Conf::new());
    put_keys(&home, "mx-key.pem", "mx-chain.pem");
    home.configure(&Conf::new().servers(vec![Server::smtp().with("tls socketTLS='true'", keys)]));
    home
}

fn put_keys(home: &Home, key: &str, chain: &str) {
    for (from, to) in [(key, "key.pem"), (chain, "chain.pem")] {
        let kept = home.conf().join(format!("{to}.new"));
        fs::copy(keystore(from), &kept).expect("a file");
        fs::rename(kept, home.conf().join(to)).expect("a file");
    }
}

fn shown(process: &Process) -> Vec<u8> {
    // Whichever of the two names it is for, the certificate is looked at and not the name.
    let by_name = |name| dial(process, 0, &any_client(), name).ok();
    let client = by_name(NAME).or_else(|| by_name(OTHER)).expect("a handshake");
    client.tls().peer_certificates().expect("certificates")[0].to_vec()
}

#[test]
fn certificates_are_read_again_on_sighup_and_when_they_change_and_no_session_notices() {
    let home = home_with_own_keys();
    let process = home.start();
    let (first, second) = (certificate("mx.pem").to_vec(), certificate("net.pem").to_vec());
    let mut session = dial(&process, 0, &any_client(), NAME).expect("a handshake");
    session.reply();
    session.expect("EHLO client", "250");
    session.envelope("me@example.org", &["you@localhost"]);
    assert!(shown(&process) == first);

    put_keys(&home, "net-key.pem", "net-chain.pem");
    process.signal(libc::SIGHUP);
    process.wait_for_log("certificates-reloaded", &["server=server-0", "why=SIGHUP"]);
    eventually(|| (shown(&process) == second).then_some(())).expect("every shard has the new one");

    put_keys(&home, "mx-key.pem", "mx-chain.pem");
    process.wait_for_log("certificates-reloaded", &["server=server-0", "why=changed"]);
    eventually(|| (shown(&process) == first).then_some(())).expect("every shard has the first one again");

    // The key of one and the certificate of the other do not fit.
    put_keys(&home, "net-key.pem", "mx-chain.pem");
    process.signal(libc::SIGHUP);
    process.wait_for_log("certificates-kept", &["server=server-0", "is of another key", "stay in use"]);
    assert!(shown(&process) == first);
    session.expect("DATA", "354");
    session.send("Subject: through it all\r\n\r\n.\r\n");
    assert!(session.reply().starts_with("250 2.6.0"));
    process.stop();
}

#[test]
fn clients_must_show_a_certificate_that_the_truststore_knows() {
    let auth = |file: &str, secret: &str| {
        format!("<clientAuth><truststore>{}</truststore>{secret}</clientAuth>", keystore(file).display())
    };
    let secret = "<truststoreSecret>james72laBalle</truststoreSecret>";
    let home = home(vec![
        implicit(&auth("trust.jks", secret)),
        explicit(&auth("trust.p12", &format!("{secret}<truststoreType>PKCS12</truststoreType>"))),
    ]);
    let process = home.start();
    let known = client_with("friend.pem", "friend-key.pem");
    let mut client = dial(&process, 0, &known, NAME).expect("a handshake");
    assert!(client.reply().starts_with("220 "));
    upgraded(&process, 1, &known).expect("EHLO client", "250");
    for config in [any_client(), client_with("net.pem", "net-key.pem")] {
        // By TLS 1.3 the client's side of the handshake is done before the server has looked at the certificate.
        let refused = dial(&process, 0, &config, NAME).and_then(|mut client| client.try_reply());
        assert!(refused.is_err(), "{refused:?}");
    }
    // With a certificate sessions are resumed too, and only for who has shown it.
    assert!(resumes(&process, 0, &known));
    process.stop();
}

#[test]
fn versions_and_suites_are_those_that_are_named() {
    let only = |version: &str| format!("<supportedProtocols><protocol>{version}</protocol></supportedProtocols>");
    let suites = "<supportedCipherSuites><cipherSuite>TLS_CHACHA20_POLY1305_SHA256</cipherSuite>\
        <cipherSuite>TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256</cipherSuite></supportedCipherSuites>";
    let home = home(vec![implicit(&only("TLSv1.2")), implicit(&only("TLSv1.3")), implicit(suites)]);
    let process = home.start();
    let works = |server, version| dial(&process, server, &client(&[version], &[]), NAME).is_ok();
    assert!(works(0, TlsVersion::Tls12) && !works(0, TlsVersion::Tls13));
    assert!(!works(1, TlsVersion::Tls12) && works(1, TlsVersion::Tls13));
    for (version, suite) in [
        (TlsVersion::Tls13, "TLS13_CHACHA20_POLY1305_SHA256"),
        (TlsVersion::Tls12, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    ] {
        let client = dial(&process, 2, &client(&[version], &[]), NAME).expect("a handshake");
        let agreed = client.tls().negotiated_cipher_suite().expect("a suite").suite();
        assert_eq!(format!("{agreed:?}"), suite);
    }
    process.stop();
}

#[test]
fn a_connection_that_ends_in_content_leaves_no_message() {
    let home = home(vec![implicit("")]);
    let process = home.start();
    for notify in [true, false] {
        for command in ["DATA", "BDAT 1000", "BDAT 1000 LAST"] {
            let mut client = dial(&process, 0, &any_client(), NAME).expect("a handshake");
            client.reply();
            client.expect("EHLO client", "250");
            client.envelope("me@example.org", &["you@localhost"]);
            if command == "DATA" {
                client.expect(command, "354");
            } else {
                client.send(format!("{command}\r\n"));
            }
            // All of a message but its last dot, or its last octets.
            client.send("Subject: half\r\n\r\ntext\r\n");
            if notify {
                client.send_close_notify();
            }
            client.end_input();
            let rest = client.rest();
            assert!(rest.as_ref().map_or(true, |rest| !rest.starts_with(b"250")), "{rest:?}");
        }
    }
    let begun = process.wait_for_log("disconnect", &["accepted=0", "why=\"closed by client\""]);
    assert!(begun.contains("accepted=0"));
    process.wait_for_log("disconnect", &["closed without close_notify"]);
    let mut client = dial(&process, 0, &any_client(), NAME).expect("a handshake");
    client.reply();
    client.expect("EHLO client", "250");
    let reply = client.data(&["you@localhost"], b"Subject: whole\r\n\r\n");
    home.delivered("you", id(&reply));
    assert_eq!(home.mail_count("you"), 1);
    process.stop();
}

#[test]
fn a_handshake_has_its_time() {
    let conf = Conf::new().servers(vec![implicit(""), explicit("")]).with("timeouts/tlsHandshake", "1s");
    let home = Home::new(&conf);
    let process = home.start();
    let mut silent = Client::dial(process.address(0)).expect("it listens");
    let mut slow = Client::dial(process.address(0)).expect("it listens");
    slow.send(b"\x16\x03\x01\x02");
    let mut after = Client::hello(process.address(1), false);
    after.expect("STARTTLS", "220 2.0.0");
    for client in [&mut silent, &mut slow, &mut after] {
        let rest = client.rest().unwrap_or_default();
        assert!(rest.is_empty(), "nothing is said in clear: {rest:?}");
    }
    process.wait_for_log("turned-away", &["why=\"tls: slow\""]);
    process.wait_for_log("disconnect", &["why=slow"]);
    process.stop();
}

#[test]
fn the_proxy_speaks_before_tls_or_inside_it() {
    let proxied = |first: &str| implicit("").with("proxyRequired", "true").with("proxyFirst", first);
    let home = home(vec![proxied("true"), proxied("false")]);
    let process = home.start();
    let header = "PROXY TCP4 192.0.2.7 198.51.100.2 56324 465\r\n";
    let mut first = Client::dial(process.address(0)).expect("it listens");
    first.send(header);
    first.secure(any_client(), NAME).expect("a handshake");
    let mut inside = dial(&process, 1, &any_client(), NAME).expect("a handshake");
    inside.send(header);
    for client in [&mut first, &mut inside] {
        assert!(client.reply().starts_with("220 "));
        assert!(client.say("EHLO client").contains("[192.0.2.7]"));
    }
    // The other way round there is no header, and not a word.
    assert!(dial(&process, 0, &any_client(), NAME).is_err());
    let mut wrong = Client::dial(process.address(1)).expect("it listens");
    wrong.send(header);
    let rest = wrong.rest().unwrap_or_default();
    assert!(rest.is_empty() || rest[0] == 21, "{rest:?}");
    process.stop();
}

#[test]
fn beyond_the_limit_there_is_silence_where_tls_begins_with_the_connection() {
    let limited = |server: Server| server.with("connectionLimit", "1");
    let home = home(vec![limited(implicit("")), limited(explicit("")), implicit("").with("connectionLimitPerIP", "1")]);
    let process = home.start();
    for server in [0, 2] {
        let mut held = dial(&process, server, &any_client(), NAME).expect("a handshake");
        assert!(held.reply().starts_with("220 "));
        let mut other = Client::dial(process.address(server)).expect("it listens");
        assert!(other.rest().unwrap_or_default().is_empty());
    }
    let _held = Client::hello(process.address(1), false);
    let mut other = Client::dial(process.address(1)).expect("it listens");
    assert!(other.reply().starts_with("421 4.7.0 "), "in clear it is told");
    process.wait_for_log("turned-away", &["server=server-0", "why=connectionLimit"]);
    process.wait_for_log("turned-away", &["server=server-2", "why=connectionLimitPerIP"]);
    process.stop();
}

#[test]
fn early_talkers_are_refused_inside_tls_too() {
    for (refuse, expected) in [("true", "554 5.5.1 localhost You spoke before you were greeted"), ("false", "220 ")] {
        let home = Home::new(&Conf::new().servers(vec![implicit("")]).with("limits/refuseEarlyTalkers", refuse));
        let process = home.start();
        let mut client = Client::dial(process.address(0)).expect("it listens");
        // The client's first words come in one piece with the end of its handshake.
        client.secure_saying(any_client(), NAME, b"EHLO early\r\n").expect("a handshake");
        let greeting = client.reply();
        assert!(greeting.starts_with(expected), "{greeting}");
        process.stop();
    }
}

#[test]
fn without_its_keys_a_server_does_not_start_and_says_what_makes_them() {
    let missing = "<privateKey>conf/none.pem</privateKey><certificates>conf/none.crt</certificates>";
    let wrong = format!("<keystore>{}</keystore><secret>wrong</secret>", keystore("java.jks").display());
    for (inside, told) in [
        (missing, "openssl req -x509 -newkey rsa:3072 -nodes -days 365 -keyout "),
        (&wrong, "is not opened by the password that is written"),
        ("<keystore>conf/none</keystore>", "keytool -genkeypair "),
    ] {
        let home = Home::new(&Conf::new());
        home.configure(&Conf::new().servers(vec![Server::smtp().with("tls startTLS='true'", inside)]));
        let failed = home.fail_to_start(|_| {});
        assert_eq!(failed.status.code(), Some(78));
        assert!(failed.stderr.contains("conf/smtpserver.xml:2:") && failed.stderr.contains(told), "{failed}");
    }
}
