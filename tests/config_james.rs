//! What James' files say, as values: TLS, AUTH, relaying, users, mappings, name servers, repositories, the mail container.

mod common;

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use common::reading::{SMTP, put, read, reading, right, sources, told, with};
use ringpost::config::location::{Places, location};
use ringpost::config::properties;
use ringpost::config::server::auth::{Announce, Mechanism};
use ringpost::config::server::tls::{Credentials, KeystoreKind, TlsStart, TlsVersion};
use ringpost::config::usersrepository::UsersSource;
use ringpost::config::{Configuration, Origin, ServerSettings, Severity, value};
use ringpost::directory::password::{Algorithm, Mode};
use ringpost::hook::IdentityMode;
use ringpost::mta::directory;

/// The first server with these keys, and every key that protects accepted.
fn server(keys: &str) -> ServerSettings {
    let mut sources = with("smtpserver", &SMTP.replace("<verifyIdentity>disabled</verifyIdentity>", keys));
    let accepted = "<accept-inactive key='smtpserver/tls/enableOCSPCRLChecks'/>";
    put(&mut sources, "ringpost", format!("<ringpost>{accepted}</ringpost>").as_bytes());
    let (configuration, problems) = read(&sources);
    configuration.unwrap_or_else(|| panic!("{}", told(&problems))).servers.remove(0)
}

fn file(name: &str, text: &str) -> Configuration {
    let (configuration, problems) = read(&with(name, text));
    configuration.unwrap_or_else(|| panic!("{}", told(&problems)))
}

#[test]
fn tls_is_read_in_full() {
    assert_eq!(server("<tls startTLS='false'><keystore>file://conf/missing</keystore></tls>").tls, None);
    let tls = server(
        "<tls socketTLS='true'><keystore>file://conf/keystore</keystore><keystoreType>PKCS12</keystoreType>\
         <secret>hunter2</secret><supportedProtocols><protocol>TLSv1.3</protocol><protocol>TLSv1.2</protocol>\
         </supportedProtocols><supportedCipherSuites><cipherSuite>TLS_AES_256_GCM_SHA384</cipherSuite>\
         </supportedCipherSuites><clientAuth><truststore>file:///etc/trust</truststore>\
         <truststoreSecret>other</truststoreSecret></clientAuth><enableOCSPCRLChecks>true</enableOCSPCRLChecks>\
         <sessionCache><size>7</size><timeout>5 minutes</timeout></sessionCache></tls>",
    );
    assert!(!format!("{tls:?}").contains("hunter2"), "passwords are never shown");
    let tls = tls.tls.expect("it is on");
    assert_eq!((tls.start, &tls.versions[..]), (TlsStart::Connection, &[TlsVersion::Tls12, TlsVersion::Tls13][..]));
    let suites: Vec<&str> = tls.cipher_suites.iter().map(|suite| suite.name()).collect();
    assert_eq!(suites, ["TLS_AES_256_GCM_SHA384"]);
    let Credentials::Keystore(keystore) = tls.credentials else { panic!("it is a keystore") };
    assert_eq!(
        (keystore.path.as_path(), keystore.kind),
        (Path::new("/srv/ringpost/conf/keystore"), KeystoreKind::Pkcs12)
    );
    assert_eq!(keystore.secret.reveal(), "hunter2");
    let trusted = tls.client_auth.expect("it is asked for").truststore.expect("it is named");
    assert_eq!(
        (trusted.path.as_path(), trusted.kind, trusted.secret.reveal()),
        (Path::new("/etc/trust"), KeystoreKind::Jks, "other")
    );
    assert_eq!((tls.revocation, tls.session_cache_size), (true, Some(7)));
    assert_eq!(tls.session_cache_timeout, Some(Duration::from_secs(300)));

    let pem = "<tls startTLS='true'><privateKey>classpath:key.pem</privateKey><certificates>certs.pem</certificates><clientAuth/></tls>";
    let tls = server(pem).tls.expect("it is on");
    assert_eq!(tls.start, TlsStart::Command);
    assert!(tls.client_auth.is_some_and(|auth| auth.truststore.is_none()), "to be there is enough");
    let Credentials::Pem { private_key, certificates, secret } = tls.credentials else { panic!("it is PEM") };
    assert_eq!(private_key, Path::new("/srv/ringpost/conf/key.pem"));
    assert_eq!((certificates.as_path(), secret), (Path::new("/srv/ringpost/certs.pem"), None));
}

#[test]
fn auth_is_read_in_full() {
    let none = server("").auth;
    assert_eq!((none.announce, none.required, none.require_ssl), (Announce::Never, false, true));
    assert_eq!(none.mechanisms, [Mechanism::Login, Mechanism::Plain]);
    for (older, announce) in [
        ("true", Announce::ForUnauthorizedAddresses),
        ("announce", Announce::Always),
        ("false", Announce::Never),
        ("anything", Announce::Never),
    ] {
        assert_eq!(server(&format!("<authRequired>{older}</authRequired>")).auth.announce, announce, "{older}");
    }
    let both = server("<authRequired>true</authRequired><auth><announce>ALWAYS</announce></auth>");
    assert_eq!(both.auth.announce, Announce::Always, "today's spelling counts");
    let auth = server(
        "<auth><announce>always</announce><required>true</required><requireSSL>false</requireSSL>\
         <plainAuthEnabled>false</plainAuthEnabled><saslMechanisms>org.apache.james.protocols.sasl.oidc.XOauth2SaslMechanismFactory,\
         PlainSaslMechanismFactory , OauthBearerSaslMechanismFactory</saslMechanisms><oidc>\
         <oidcConfigurationURL>https://sso.example.org/c</oidcConfigurationURL><jwksURL>https://sso.example.org/k</jwksURL>\
         <claim>email</claim><scope>openid</scope><aud>james</aud><introspection><url>https://sso.example.org/i</url>\
         <auth>Basic xyz</auth></introspection><userinfo><url>https://sso.example.org/u</url></userinfo></oidc></auth>",
    )
    .auth;
    assert_eq!((auth.announce, auth.required, auth.require_ssl), (Announce::Always, true, false));
    assert_eq!(auth.mechanisms, [Mechanism::XOAuth2, Mechanism::OAuthBearer], "in their order, less PLAIN");
    let scram = server(
        "<auth><saslMechanisms>ScramSha256SaslMechanismFactory, LoginSaslMechanismFactory</saslMechanisms></auth>",
    );
    assert_eq!(scram.auth.mechanisms, [Mechanism::ScramSha256, Mechanism::Login]);
    let no_plain = server("<auth><plainAuthEnabled>false</plainAuthEnabled></auth>").auth;
    assert_eq!(no_plain.mechanisms, [Mechanism::ScramSha256], "what is left without passwords in the open");
    let oidc = auth.oidc.expect("it is there");
    assert_eq!((oidc.claim.as_str(), oidc.audience.as_str(), oidc.scope.as_str()), ("email", "james", "openid"));
    assert!(oidc.introspection.is_some() && oidc.userinfo_url.is_some());
}

#[test]
fn authorized_addresses_have_all_the_notations_of_james() {
    let authorized =
        |text: &str| server(&format!("<authorizedAddresses>{text}</authorizedAddresses>")).authorized_addresses;
    let holds = |text: &str, address: &str| authorized(text).contains(address.parse::<IpAddr>().expect("an address"));
    assert!(!server("").authorized_addresses.contains(IpAddr::from([127, 0, 0, 1])), "absent it is nobody");
    for (text, inside, outside) in [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("127.0.0.0/8", "127.9.9.9", "128.0.0.1"),
        ("127.0.0.0/255.0.0.0", "127.9.9.9", "128.0.0.1"),
        ("127.*", "127.9.9.9", "128.0.0.1"),
        ("10.1.*", "10.1.9.9", "10.2.0.0"),
        ("localhost/8", "127.9.9.9", "128.0.0.1"),
        ("example.org", "192.0.2.1", "192.0.2.2"),
        ("2001:db8::/64", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ("2001:db8::%64", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
        ("192.0.2.0/24", "::ffff:192.0.2.9", "::ffff:192.0.3.9"),
        ("*", "8.8.8.8", "::1"),
    ] {
        assert!(holds(text, inside) && !holds(text, outside), "{text}");
    }
    let several = authorized("127.0.0.1, 10.0.0.0/8\n192.0.2.1,unknown.example.org");
    assert_eq!(several.0.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.1", "10.0.0.0/8", "192.0.2.1"]);
    for wrong in [
        "10.1.2.*.",
        "*.1",
        "1.2.3.4.*",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/255.0.255.0",
        "10.0.0.0/",
        "a b/8/8",
        "999.*",
    ] {
        let text = SMTP.replace("<bind>", &format!("<authorizedAddresses>{wrong}</authorizedAddresses><bind>"));
        assert!(read(&with("smtpserver", &text)).0.is_none(), "{wrong}");
    }
}

#[test]
fn identity_proxy_and_threads_are_read() {
    for (text, mode) in [
        ("strict", IdentityMode::Strict),
        (" TRUE ", IdentityMode::Strict),
        ("relaxed", IdentityMode::Relaxed),
        ("disabled", IdentityMode::Disabled),
        ("false", IdentityMode::Disabled),
    ] {
        assert_eq!(server(&format!("<verifyIdentity>{text}</verifyIdentity>")).identity, mode, "{text}");
    }
    assert_eq!(server("").identity, IdentityMode::Strict, "where nothing is written");
    let plain = server("");
    assert_eq!((plain.proxy.required, plain.proxy.first, plain.connection_limit_per_ip), (false, true, None));
    assert_eq!((plain.io_workers, plain.boss_workers, plain.max_executors), (None, 0, 16));
    let set = server(
        "<proxyRequired>true</proxyRequired><proxyFirst>false</proxyFirst><connectionLimitPerIP>3</connectionLimitPerIP>\
         <ioWorkerCount>2</ioWorkerCount><bossWorkerCount>1</bossWorkerCount><maxExecutorCount>4</maxExecutorCount>",
    );
    assert_eq!((set.proxy.required, set.proxy.first, set.connection_limit_per_ip), (true, false, Some(3)));
    assert_eq!((set.io_workers, set.boss_workers, set.max_executors), (Some(2), 1, 4));
}

/// `check` shows every key that has a default, and where its value came from.
#[test]
fn the_effective_settings_have_every_key_with_a_default() {
    let servers = reading(&sources()).servers;
    for (server, shown) in servers.iter().zip(["smtpGreeting", "lmtpGreeting"]) {
        assert!(server.rows.iter().any(|row| row.key == shown));
        for row in &server.rows {
            assert!(!row.value.is_empty(), "{}", row.key);
        }
    }
    let row = |key: &str| servers[0].rows.iter().find(|row| row.key == key).unwrap_or_else(|| panic!("{key}"));
    assert!(matches!(row("bind").origin, Origin::Written(position) if position.line == 1));
    assert_eq!(row("connectionBacklog").origin, Origin::Default);
    assert_eq!(row("auth/requireSSL").origin, Origin::OwnDefault { james: "false" });
    assert_eq!((row("verifyIdentity").value.as_str(), row("verifyIdentity").done), ("disabled", true));
}

#[test]
fn users_are_read_in_full() {
    let users = |text: &str| file("usersrepository", text).users.expect("it is there");
    let plain = users("<usersrepository/>");
    assert_eq!((plain.source, plain.virtual_hosting), (UsersSource::Local, true));
    let written = |text: &str| Algorithm::parse(text, Mode::Plain).expect("it is one");
    assert_eq!(plain.algorithm, written("PBKDF2-SHA512-1000-512"));
    let set = users(
        "<usersrepository><algorithm>PBKDF2-SHA512-20000-256</algorithm><verifyFailureDelay>2</verifyFailureDelay>\
         <administratorId>a@example.org</administratorId><administratorIds><administratorId>b@example.org</administratorId>\
         </administratorIds></usersrepository>",
    );
    assert_eq!(set.algorithm, written("PBKDF2-SHA512-20000-256"));
    assert_eq!((set.verify_failure_delay, set.administrators.len()), (Duration::from_secs(2), 2));
    let algorithm =
        |text: &str| users(&format!("<usersrepository><algorithm>{text}</algorithm></usersrepository>")).algorithm;
    assert_eq!(algorithm("PBKDF2"), written("PBKDF2-1000-512"));
    assert_eq!(algorithm("sha-256/salted"), written("SHA-256/salted"));
    let of_mode = "<usersrepository><algorithm>MD5</algorithm><hashingMode>legacy</hashingMode></usersrepository>";
    assert_eq!((algorithm("MD5"), users(of_mode).algorithm), (written("MD5/plain"), written("MD5/legacy")));
    let off = users("<usersrepository><enableVirtualHosting>false</enableVirtualHosting></usersrepository>");
    assert!(!off.virtual_hosting);
    let ldap = users(
        "<usersrepository class='org.apache.james.user.ldap.ReadOnlyUsersLDAPRepository' ldapHosts='ldap://a, ldaps://b:636' \
         principal='uid=me' credentials='hunter2' userBase='ou=p' userIdAttribute='uid' userObjectClass='person' poolSize='2'/>",
    );
    assert!(!format!("{ldap:?}").contains("hunter2"));
    let UsersSource::Ldap(ldap) = ldap.source else { panic!("it is LDAP") };
    assert_eq!((ldap.hosts, ldap.pool_size), (vec!["ldap://a".to_owned(), "ldaps://b:636".to_owned()], 2));
}

#[test]
fn the_postmaster_is_of_a_domain_of_ours() {
    let postmaster = |written: &str| {
        let text = format!(
            "<mailetcontainer><context><postmaster>{written}</postmaster></context><spooler><errorRepository>\
             file://var/error</errorRepository></spooler><processors><processor state='root'><mailet match='All' \
             class='LocalDelivery'/></processor><processor state='error'><mailet match='All' class='LocalDelivery'/>\
             </processor></processors></mailetcontainer>"
        );
        let configuration = read(&with("mailetcontainer", &text)).0.expect("it is right");
        directory::settings(&configuration).postmaster.to_string()
    };
    assert_eq!(postmaster("boss@example.org"), "boss@example.org");
    assert_eq!(postmaster("boss"), "boss@localhost", "of the default domain");
    assert_eq!(postmaster("boss@elsewhere.example"), "postmaster@localhost", "nobody there would get it");
    assert_eq!(directory::settings(&right(&sources())).postmaster.to_string(), "postmaster@localhost");
}

#[test]
fn reports_name_this_host_as_its_first_server_does() {
    let mut sources = with(
        "mailetcontainer",
        "<mailetcontainer><spooler><errorRepository>file://var/error</errorRepository></spooler><processors>\
         <processor state='root'><mailet match='All' class='LocalDelivery'/></processor><processor state='error'>\
         <mailet match='All' class='LocalDelivery'/></processor></processors></mailetcontainer>",
    );
    let hello = "<helloName autodetect='false'>mx.example.org</helloName>";
    let text = SMTP.replace("<verifyIdentity>disabled</verifyIdentity>", hello);
    put(&mut sources, "smtpserver", text.as_bytes());
    let container = right(&sources).container.expect("it is there");
    assert_eq!(container.pipeline.expect("it is right").host.as_ref(), "mx.example.org");
}

#[test]
fn mappings_name_servers_repositories_and_webadmin_are_read() {
    let table = file(
        "recipientrewritetable",
        "<recipientrewritetable><mapping>A@example.org=alias:b@example.org;c@example.org</mapping>\
         <mapping>example.org=regex:(.*)@.*:${1}@example.com</mapping></recipientrewritetable>",
    );
    let mappings = table.rewrites.expect("it is there").mappings;
    let mappings: Vec<String> = mappings.iter().map(|(source, mapping)| format!("{source}={mapping}")).collect();
    let expected = ["a@example.org=alias:b@example.org", "a@example.org=c@example.org"];
    assert_eq!(mappings[..2], expected);
    assert_eq!(mappings[2..], ["example.org=regex:(.*)@.*:${1}@example.com"]);
    let off = "<recipientrewritetable><recursiveMapping>false</recursiveMapping></recipientrewritetable>";
    assert_eq!(file("recipientrewritetable", off).rewrites.expect("it is there").mapping_limit, 0);

    let dns = "<dnsservice><servers><server>192.0.2.53</server></servers><autodiscover>false</autodiscover>\
               <singleIPperMX>true</singleIPperMX></dnsservice>";
    let dns = file("dnsservice", dns).dns;
    assert_eq!(
        (dns.servers.len(), dns.autodiscover, dns.single_ip_per_mx, dns.max_cache_size),
        (1, false, true, 50_000)
    );

    let store = "<mailrepositorystore><defaultProtocol>file</defaultProtocol><mailrepositories><mailrepository class='x'>\
                 <protocols><protocol>file</protocol></protocols></mailrepository></mailrepositories></mailrepositorystore>";
    assert_eq!(file("mailrepositorystore", store).repositories.expect("it is there").protocols, ["file"]);

    let webadmin = file("webadmin", "enabled=true\nport = 8001\nhost: 0.0.0.0").webadmin.expect("it is there");
    assert_eq!((webadmin.enabled, webadmin.port, webadmin.host.as_str()), (true, 8001, "0.0.0.0"));
    let (off, problems) = read(&with("webadmin", "enabled=false\nport=x"));
    assert!(
        off.is_some() && problems.iter().all(|problem| problem.severity < Severity::Error),
        "what is off keeps nothing from starting"
    );
}

#[test]
fn values_are_filled_in() {
    let keys = "<verifyIdentity>disabled</verifyIdentity><connectionBacklog>${env:PORT}</connectionBacklog>\
                <smtpGreeting>${sys:greeting}, $${env:PORT}</smtpGreeting>";
    let mut sources = with(
        "smtpserver",
        &SMTP
            .replace("<verifyIdentity>disabled</verifyIdentity>", keys)
            .replace("127.0.0.1:25", "${env:HOST_NOT}0.0.0.0:${env:PORT}"),
    );
    assert!(read(&sources).0.is_none(), "HOST_NOT is not set");
    let text =
        SMTP.replace("<verifyIdentity>disabled</verifyIdentity>", keys).replace("127.0.0.1:25", "0.0.0.0:${env:PORT}");
    put(&mut sources, "smtpserver", text.as_bytes());
    put(&mut sources, "jvm", b"greeting = hello from ${sys:nobody}\n");
    let server = read(&sources).0.expect("everything is set").servers.remove(0);
    assert_eq!(server.bind, ["0.0.0.0:2526".parse().expect("an address")]);
    assert_eq!((server.backlog, server.greeting.as_deref()), (2526, Some("hello from ${sys:nobody}, ${env:PORT}")));
    let leaked = SMTP.replace("<bind>", "<connectionLimit>${env:PASSWORD}</connectionLimit><bind>");
    let text = told(&read(&with("smtpserver", &leaked)).1);
    assert!(text.contains("connectionLimit is \"(secret)\"") && !text.contains("hunter2"), "{text}");
}

#[test]
fn files_are_found_where_james_finds_them() {
    let places = Places { home: Path::new("/home"), conf: Path::new("/etc/conf") };
    for (text, path) in [
        ("file://conf/keystore", "/home/conf/keystore"),
        ("file:///etc/keystore", "/etc/keystore"),
        ("file:conf/keystore", "/home/conf/keystore"),
        ("classpath:keystore", "/etc/conf/keystore"),
        ("classpath:/keystore", "/etc/conf/keystore"),
        ("conf/keystore", "/home/conf/keystore"),
        ("/etc/keystore", "/etc/keystore"),
    ] {
        assert_eq!(location(text, places), Ok(path.into()), "{text}");
    }
    for text in ["", "file://", "classpath:", "https://example.org/x"] {
        assert!(location(text, places).is_err(), "{text}");
    }
}

#[test]
fn durations_are_those_of_james() {
    let plain = Duration::from_secs(1);
    for (text, millis) in [
        ("7", 7_000),
        ("7ms", 7),
        ("7 msecs", 7),
        ("7 s", 7_000),
        ("7sec", 7_000),
        ("7 Minutes", 420_000),
        ("2h", 7_200_000),
        ("1 day", 86_400_000),
        ("1w", 604_800_000),
        ("1 month", 2_592_000_000),
        ("1y", 31_536_000_000),
    ] {
        assert_eq!(value::james_duration(text, plain), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "s", "-1s", "1.5h", "1 fortnight", "99999999999999999999", "18446744073709551615 y"] {
        assert!(value::james_duration(text, plain).is_err(), "{text}");
    }
}

#[test]
fn properties_are_read_as_java_reads_them() {
    let text =
        "# comment\n! another\n\n a = b \n c:d\ne f\ng\\ h=i\\tj\nk=one, \\\n    two\nl\nm==n\no=\\u00e9\\\\\r\np=q";
    let file = properties::parse("f", text.as_bytes()).expect("it is right");
    let pairs: Vec<(&str, &str)> = file.root.children.iter().map(|e| (e.name.as_str(), e.text.as_str())).collect();
    let expected = [
        ("a", "b"),
        ("c", "d"),
        ("e", "f"),
        ("g h", "i\tj"),
        ("k", "one, two"),
        ("l", ""),
        ("m", "=n"),
        ("o", "é\\"),
        ("p", "q"),
    ];
    assert_eq!(pairs, expected);
    let a = &file.root.children[0];
    assert_eq!((a.position.to_string(), a.text_position.to_string()), ("4:2".to_owned(), "4:6".to_owned()));
    for wrong in ["a=\\u12", "a=\\uzzzz", "a=\\ud800", "\\u"] {
        assert!(properties::parse("f", wrong.as_bytes()).is_err(), "{wrong}");
    }
    assert!(properties::parse("f", b"a=\xff").is_err());
}

/// The settings of deliveries, as values.
#[test]
fn deliveries_are_read_in_full() {
    use ringpost::config::mailetcontainer::ContainerSettings;
    use ringpost::delivery::settings::{LmtpPlace, Security, Trust};
    let container = |mailet: &str| -> ContainerSettings {
        let text = format!(
            "<mailetcontainer><spooler><errorRepository>file://var/mail/error/</errorRepository></spooler><processors>\
             <processor state='root'>{mailet}<mailet match='All' class='LocalDelivery'/></processor>\
             <processor state='error'/><processor state='bounces'/></processors></mailetcontainer>"
        );
        let (configuration, problems) = read(&with("mailetcontainer", &text));
        configuration.and_then(|all| all.container).unwrap_or_else(|| panic!("{}", told(&problems)))
    };
    let plain = container("<mailet match='All' class='RemoteDelivery'/>").remotes.remove(0);
    assert_eq!((plain.security, plain.trust, plain.load_balancing), (Security::Opportunistic, Trust::Name, true));
    assert_eq!((plain.schedule.retries(), plain.timeout.as_secs(), plain.connect_timeout.as_secs()), (5, 180, 60));
    let full = container(
        "<mailet match='All' class='RemoteDelivery'><delayTime>5000, 2*1 minute</delayTime><maxRetries>4</maxRetries>\
         <maxDnsProblemRetries>2</maxDnsProblemRetries><timeout>1000</timeout><connectiontimeout>2000</connectiontimeout>\
         <bounceProcessor>bounces</bounceProcessor><startTLS>true</startTLS><verifyServerIdentity>false</verifyServerIdentity>\
         <gateway>a.example.org, [2001:db8::1]:26</gateway><gatewayPort>587</gatewayPort><gatewayUsername>you</gatewayUsername>\
         <gatewayPassword>hunter2</gatewayPassword><loadBalancing>false</loadBalancing><heloName>me.example.org</heloName>\
         <bind>192.0.2.1</bind></mailet>",
    )
    .remotes
    .remove(0);
    let waits: Vec<u64> = (1..=5).map_while(|failed| full.schedule.delay(failed)).map(|wait| wait.as_secs()).collect();
    assert_eq!((waits, full.dns_retries), (vec![5, 60, 60, 60], 2));
    assert_eq!((full.timeout.as_millis(), full.connect_timeout.as_millis()), (1000, 2000));
    assert_eq!((full.security, full.trust, full.load_balancing), (Security::StartTls, Trust::Authority, false));
    let gateways: Vec<String> = full.gateways.iter().map(|one| format!("{} {}", one.host, one.port)).collect();
    assert_eq!(gateways, ["a.example.org 587", "2001:db8::1 26"]);
    assert_eq!(full.credentials.as_ref().map(|one| &*one.username), Some("you"));
    assert!(!format!("{full:?}").contains("hunter2"), "a password is not told");
    assert_eq!(
        (full.bounce_processor.as_deref(), full.helo_name.as_deref()),
        (Some("bounces"), Some("me.example.org"))
    );
    let lmtp = container("<mailet match='All' class='LmtpDelivery'><socket>/run/dovecot/lmtp</socket></mailet>")
        .lmtps
        .remove(0);
    assert_eq!(lmtp.place, LmtpPlace::Unix("/run/dovecot/lmtp".into()));
}
