//! The configuration as a whole: the shipped files are right, `ringpost.xml` and the domains count, problems are in order.

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::reading::{HOME, LMTP, RINGPOST, SMTP, addresses, read, right, ringpost, source, sources, told, with};
use ringpost::config::{Configuration, CoreHandlers, LogFormat, LogLevel, Reading, Severity, value};

#[test]
fn the_shipped_files_are_right() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let Reading { configuration, problems, .. } = Configuration::read(&dir);
    assert_eq!(told(&problems), "");
    let configuration = configuration.expect("no problem, so there is a configuration");
    assert_eq!(configuration.home, dir.parent().expect("it is no root"));
    assert_eq!(addresses(&configuration.servers[0]), ["127.0.0.1:2525"]);
    assert_eq!(addresses(&configuration.servers[1]), ["127.0.0.1:2424"]);
    assert!(configuration.servers.iter().all(|server| server.enabled));
    assert_eq!(configuration.domains.names, ["localhost"]);
    assert_eq!(configuration.ringpost.mail_directory, configuration.home.join("var/mail"));
}

/// The server for submission that the shipped file has as a comment is right once it is none.
#[test]
fn the_shipped_server_for_submission_is_right() {
    let shipped = include_str!("../conf/smtpserver.xml");
    let (_, comment) = shipped.rsplit_once("in place of startTLS.").expect("the comment is there");
    let (server, _) = comment.split_once("-->").expect("it ends");
    let configuration = right(&with("smtpserver", &format!("<smtpservers>{server}</smtpservers>")));
    let auth = &configuration.servers[0].auth;
    assert!(auth.required && auth.require_ssl && configuration.servers[0].tls.is_some());
}

/// The comments of the shipped files call their values the defaults.
#[test]
fn the_shipped_ringpost_xml_says_the_defaults() {
    let shipped = right(&with("ringpost", include_str!("../conf/ringpost.xml"))).ringpost;
    assert_eq!(shipped, ringpost(""));
}

#[test]
fn the_shipped_dnsservice_xml_says_the_defaults() {
    let shipped = right(&with("dnsservice", include_str!("../conf/dnsservice.xml"))).dns;
    assert_eq!(shipped, right(&sources()).dns);
}

#[test]
fn every_key_of_ringpost_xml_is_in_the_shipped_file() {
    let shipped = include_str!("../conf/ringpost.xml");
    for key in [
        "home",
        "path",
        "rehash",
        "hashingThreads",
        "directory",
        "shards",
        "segmentSize",
        "prepared",
        "maxSegments",
        "reserve",
        "volatile",
        "recipients",
    ] {
        assert!(shipped.contains(&format!("<{key}>")), "{key}");
    }
    for key in ["hold", "share", "concurrency", "retry", "format", "level", "grace"] {
        assert!(shipped.contains(&format!("<{key}>")), "{key}");
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let configuration = right(&sources());
    let smtp = &configuration.servers[0];
    assert_eq!((smtp.name.as_str(), smtp.enabled, smtp.backlog), ("smtpserver", true, 200));
    assert_eq!((smtp.idle_timeout, smtp.connection_limit), (Duration::from_secs(300), None));
    assert_eq!((smtp.hello_name.as_str(), &smtp.greeting), ("mx.example.net", &None));
    assert_eq!((smtp.max_message_octets, smtp.max_line_octets), (None, 8192));
    assert_eq!((smtp.require_hello, smtp.require_brackets), (true, true));
    assert_eq!(smtp.handlers.core, CoreHandlers::Smtp);
    let lmtp = &configuration.servers[1];
    assert_eq!((lmtp.name.as_str(), lmtp.require_hello, lmtp.require_brackets), ("lmtpserver", false, false));
    assert_eq!((lmtp.handlers.core, lmtp.handlers.handlers.len()), (CoreHandlers::Lmtp, 0));
    let ringpost = &configuration.ringpost;
    assert_eq!(configuration.home, Path::new(HOME));
    assert_eq!(ringpost.directory.path, Path::new("/srv/ringpost/var/directory.sqlite"));
    assert_eq!((ringpost.directory.rehash, ringpost.directory.hashing_threads), (true, 2));
    assert_eq!(ringpost.mail_directory, Path::new("/srv/ringpost/var/mail"));
    assert_eq!(ringpost.spool.directory, Path::new("/srv/ringpost/var/spool"));
    assert_eq!((ringpost.spool.segment_octets, ringpost.spool.reserve_octets), (64 << 20, 1 << 30));
    assert_eq!((ringpost.spool.prepared, ringpost.spool.max_segments), (1, 256));
    assert_eq!((ringpost.shards.as_slice(), ringpost.limits.recipients), ([0, 1, 2, 3].as_slice(), 1000));
    assert_eq!((ringpost.delivery.share, ringpost.delivery.concurrency, ringpost.delivery.hold), (25, 16, false));
    assert_eq!(ringpost.delivery.retry, [60, 300, 900, 3600].map(Duration::from_secs));
    assert_eq!((ringpost.log.format, ringpost.log.level), (LogFormat::Text, LogLevel::Info));
    assert_eq!(ringpost.shutdown_grace, Duration::from_secs(10));
}

#[test]
fn every_key_of_the_domain_list_counts() {
    let domains = |keys: &str| {
        read(&with("domainlist", &format!("<domainlist>{keys}</domainlist>"))).0.expect("it is right").domains
    };
    assert_eq!(domains("").names, ["localhost"]);
    let detected = domains("<autodetect>true</autodetect>");
    assert_eq!(detected.names, ["mx.example.net", "localhost"]);
    assert_eq!(detected.detected, ["mx.example.net"]);
    let named = domains(
        "<defaultDomain>B.example</defaultDomain><domainnames><domainname>A.example</domainname><domainname>b.example</domainname></domainnames>",
    );
    assert_eq!(
        (named.names, named.default),
        (vec!["a.example".to_owned(), "b.example".to_owned()], "b.example".to_owned())
    );
    let literal =
        domains("<autodetectIP>true</autodetectIP><domainnames><domainname>example.org</domainname></domainnames>");
    assert_eq!(literal.names, ["example.org", "localhost", "[192.0.2.1]", "[IPv6:::1]", "[127.0.0.1]"]);
    assert_eq!(literal.detected, ["[192.0.2.1]", "[IPv6:::1]", "[127.0.0.1]"]);
}

#[test]
fn every_key_of_ringpost_xml_counts() {
    assert_eq!(ringpost("<mail><directory>/m</directory></mail>").mail_directory, Path::new("/m"));
    assert_eq!(ringpost("<shards>2, 0-1</shards>").shards, [0, 1, 2]);
    let spool = |keys: &str| ringpost(&format!("<spool>{keys}</spool>")).spool;
    assert_eq!(spool("<directory>s</directory>").directory, Path::new("/srv/ringpost/s"));
    assert_eq!(spool("<segmentSize>16M</segmentSize>").segment_octets, 16 << 20);
    assert_eq!(spool("<prepared>4</prepared>").prepared, 4);
    assert_eq!(spool("<maxSegments>9</maxSegments>").max_segments, 9);
    assert_eq!(spool("<reserve>10G</reserve>").reserve_octets, 10 << 30);
    assert!(spool("<volatile>true</volatile>").volatile);
    assert_eq!(ringpost("<limits><recipients>100</recipients></limits>").limits.recipients, 100);
    let delivery = |keys: &str| ringpost(&format!("<delivery>{keys}</delivery>")).delivery;
    assert!(delivery("<hold>true</hold>").hold);
    assert_eq!(delivery("<share>50</share>").share, 50);
    assert_eq!(delivery("<concurrency>3</concurrency>").concurrency, 3);
    assert_eq!(delivery("<retry>30s, 2h,1d</retry>").retry, [30, 7200, 86_400].map(Duration::from_secs));
    let log = |keys: &str| ringpost(&format!("<log>{keys}</log>")).log;
    assert_eq!(log("<format>JSON</format>").format, LogFormat::Json);
    assert_eq!(log("<level>debug</level>").level, LogLevel::Debug);
    assert_eq!(ringpost("<shutdown><grace>1m</grace></shutdown>").shutdown_grace, Duration::from_secs(60));
    assert_eq!(ringpost("<shutdown><grace>7</grace></shutdown>").shutdown_grace, Duration::from_secs(7));
    let directory = |keys: &str| ringpost(&format!("<directory>{keys}</directory>")).directory;
    assert_eq!(directory("<path>/d</path>").path, Path::new("/d"));
    assert!(!directory("<rehash>false</rehash>").rehash);
    assert_eq!(directory("<hashingThreads>7</hashingThreads>").hashing_threads, 7);
}

#[test]
fn paths_start_at_the_home() {
    let text = RINGPOST.replace("<ringpost>", "<ringpost><home>/h</home>");
    let configuration = right(&with("ringpost", &text));
    assert_eq!(configuration.home, Path::new("/h"));
    assert_eq!(configuration.ringpost.spool.directory, Path::new("/h/var/spool"));
    let text = RINGPOST.replace("<ringpost>", "<ringpost><home>sub</home>");
    assert_eq!(right(&with("ringpost", &text)).ringpost.mail_directory, Path::new("/srv/ringpost/sub/var/mail"));
}

#[test]
fn values_out_of_bounds_are_refused() {
    let wrong = [
        "<spool><segmentSize>64</segmentSize></spool>",
        "<spool><segmentSize>2G</segmentSize></spool>",
        "<spool><segmentSize>1048577B</segmentSize></spool>",
        "<spool><maxSegments>1</maxSegments></spool>",
        "<spool><prepared>0</prepared></spool>",
        "<spool><prepared>8</prepared><maxSegments>8</maxSegments></spool>",
        "<spool><reserve>0</reserve></spool>",
        "<limits><recipients>99</recipients></limits>",
        "<delivery><share>0</share></delivery>",
        "<delivery><share>91</share></delivery>",
        "<delivery><concurrency>0</concurrency></delivery>",
        "<delivery><retry>0s</retry></delivery>",
        "<delivery><retry>1m,</retry></delivery>",
        "<log><level>loud</level></log>",
        "<log><format/></log>",
        "<shards>9</shards>",
        "<shards>3-1</shards>",
        "<shutdown><grace>999999999999999999999d</grace></shutdown>",
        "<home></home>",
        "<mail><directory>file://var/mail</directory></mail>",
    ];
    for keys in wrong {
        let text = RINGPOST.replace("</ringpost>", &format!("{keys}</ringpost>"));
        let (configuration, problems) = read(&with("ringpost", &text));
        assert!(configuration.is_none() && problems.len() == 1, "{keys}: {}", told(&problems));
    }
    for user in [
        "you",
        "@example.org",
        "you@",
        "a b@example.org",
        "a/b@example.org",
        ".a@example.org",
        "..@example.org",
        "ä@example.org",
    ] {
        assert!(value::user(user).is_err(), "{user}");
    }
}

#[test]
fn files_are_read_from_the_directory() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let conf = root.path().join("conf");
    fs::create_dir(&conf).expect("it is new");
    fs::write(conf.join("lmtpserver.xml"), LMTP).expect("it can be written");
    fs::create_dir(conf.join("ringpost.xml")).expect("it is new");
    let Reading { configuration, problems, .. } = Configuration::read(&conf);
    assert!(configuration.is_none(), "a directory is no file");
    assert!(told(&problems).contains("ringpost.xml: error: the file cannot be read"), "{}", told(&problems));
    fs::remove_dir(conf.join("ringpost.xml")).expect("it is empty");
    let Reading { configuration, problems, .. } = Configuration::read(&conf);
    let configuration = configuration.expect("what is missing has its defaults");
    assert_eq!(configuration.home, root.path());
    assert_eq!(configuration.servers.len(), 1);
    assert_eq!(configuration.domains.names, ["localhost"]);
    assert!(!configuration.ringpost.shards.is_empty(), "every CPU of this machine");
    assert_eq!(problems.iter().filter(|problem| problem.severity == Severity::Note).count(), 3, "the missing files");
    assert!(
        Configuration::read(&root.path().join("nowhere")).configuration.is_none(),
        "without a server there is nothing to start"
    );
}

#[test]
fn problems_come_in_the_order_of_the_files_and_are_bounded() {
    let text = LMTP.replace("<bind>", &format!("{}<bind>", "<x/>\n".repeat(300)));
    let mut sources = with("lmtpserver", &text);
    sources.smtpserver =
        source("smtpserver", SMTP.replace("<bind>", "<connectionLimit>many</connectionLimit><y/><bind>").as_bytes());
    let (configuration, problems) = read(&sources);
    assert!(configuration.is_none());
    assert_eq!(problems.len(), 201);
    assert!(
        problems[0].found.contains("connectionLimit")
            && problems[1].found.contains("<y>")
            && problems[2].found.contains("<x>")
    );
    assert_eq!(problems[200].found, "102 more problems are not shown");
}
