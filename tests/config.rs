//! The configuration: every key has an effect, everything else is named with its line and column, and the shipped files
//! are right.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use ringpost::config::{
    Configuration, Content, CoreHandlers, Host, LogFormat, LogLevel, Problem, Problems, RingpostSettings,
    ServerSettings, Severity, Source, Sources, value,
};
use ringpost::config::{File, Position, xml};

const HOME: &str = "/srv/ringpost";
const SMTP: &str = "<smtpservers><smtpserver><bind>127.0.0.1:25</bind><verifyIdentity>disabled</verifyIdentity>\
    <handlerchain><handler class='org.apache.james.smtpserver.fastfail.ValidRcptHandler'/></handlerchain>\
    </smtpserver></smtpservers>";
const LMTP: &str = "<lmtpservers><lmtpserver><bind>127.0.0.1:24</bind><handlerchain/></lmtpserver></lmtpservers>";
const DOMAINS: &str = "<domainlist><domainnames><domainname>example.org</domainname></domainnames></domainlist>";
const RINGPOST: &str = "<ringpost><users><user>you@example.org</user></users></ringpost>";

fn host() -> Host {
    Host { name: "mx.example.net".to_owned(), cpus: vec![0, 1, 2, 3], resolve }
}

fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    match name {
        "localhost" => Ok(vec![IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)]),
        "six.example.org" => Ok(vec![IpAddr::V6(Ipv6Addr::LOCALHOST)]),
        "empty.example.org" => Ok(Vec::new()),
        _ => Err(io::Error::other("name not known")),
    }
}

fn source(name: &str, text: &[u8]) -> Source {
    Source { path: format!("conf/{name}.xml"), content: Content::Octets(text.to_vec()) }
}

fn sources() -> Sources {
    Sources {
        smtpserver: source("smtpserver", SMTP.as_bytes()),
        lmtpserver: source("lmtpserver", LMTP.as_bytes()),
        domainlist: source("domainlist", DOMAINS.as_bytes()),
        ringpost: source("ringpost", RINGPOST.as_bytes()),
    }
}

fn read(sources: &Sources) -> (Option<Configuration>, Vec<Problem>) {
    let mut problems = Problems::default();
    let configuration = Configuration::from_sources(sources, Path::new(HOME), &host(), &mut problems);
    (configuration, problems.into_vec())
}

/// The same files with other text in one of them.
fn with(name: &str, text: &str) -> Sources {
    let (mut sources, source) = (sources(), source(name, text.as_bytes()));
    match name {
        "smtpserver" => sources.smtpserver = source,
        "lmtpserver" => sources.lmtpserver = source,
        "domainlist" => sources.domainlist = source,
        "ringpost" => sources.ringpost = source,
        other => panic!("no such file: {other}"),
    }
    sources
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect::<Vec<_>>().join("\n")
}

/// The configuration of files in which nothing is wrong.
fn right(sources: &Sources) -> Configuration {
    let (configuration, problems) = read(sources);
    assert_eq!(told(&problems), "");
    configuration.expect("nothing is wrong")
}

fn smtp(keys: &str) -> ServerSettings {
    let bind = if keys.contains("<bind>") { "" } else { "<bind>127.0.0.1:25</bind>" };
    let text = format!(
        "<smtpservers><smtpserver>{bind}{keys}<verifyIdentity>disabled</verifyIdentity><handlerchain>\
         <handler class='org.apache.james.smtpserver.fastfail.ValidRcptHandler'/></handlerchain></smtpserver></smtpservers>"
    );
    right(&with("smtpserver", &text)).servers.remove(0)
}

fn lmtp(keys: &str) -> ServerSettings {
    let bind = if keys.contains("<bind>") { "" } else { "<bind>127.0.0.1:24</bind>" };
    let text = format!("<lmtpservers><lmtpserver>{bind}{keys}<handlerchain/></lmtpserver></lmtpservers>");
    right(&with("lmtpserver", &text)).servers.remove(1)
}

fn ringpost(keys: &str) -> RingpostSettings {
    let text = format!("<ringpost><users><user>you@example.org</user></users>{keys}</ringpost>");
    right(&with("ringpost", &text)).ringpost
}

/// What is told of a server with these keys.
fn problems_of(keys: &str) -> Vec<Problem> {
    let text = SMTP.replace("<verifyIdentity>disabled</verifyIdentity>", keys);
    read(&with("smtpserver", &text)).1
}

fn addresses(server: &ServerSettings) -> Vec<String> {
    server.bind.iter().map(ToString::to_string).collect()
}

#[test]
fn the_shipped_files_are_right() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let (configuration, problems) = Configuration::read(&dir);
    assert_eq!(told(&problems), "");
    let configuration = configuration.expect("no problem, so there is a configuration");
    assert_eq!(configuration.home, dir.parent().expect("it is no root"));
    assert_eq!(addresses(&configuration.servers[0]), ["127.0.0.1:2525"]);
    assert_eq!(addresses(&configuration.servers[1]), ["127.0.0.1:2424"]);
    assert!(configuration.servers.iter().all(|server| server.enabled));
    assert_eq!(configuration.domains.names, ["localhost"]);
    assert_eq!(configuration.ringpost.users, ["postmaster@localhost", "you@localhost"]);
    assert_eq!(configuration.ringpost.mail_directory, configuration.home.join("var/mail"));
}

/// The comments of the shipped files call their values the defaults, but for `<users>`.
#[test]
fn the_shipped_ringpost_xml_says_the_defaults() {
    let shipped = include_str!("../conf/ringpost.xml").replace("@localhost", "@example.org");
    let mut shipped = right(&with("ringpost", &shipped)).ringpost;
    shipped.users = vec!["you@example.org".to_owned()];
    assert_eq!(shipped, ringpost(""));
}

#[test]
fn every_key_of_ringpost_xml_is_in_the_shipped_file() {
    let shipped = include_str!("../conf/ringpost.xml");
    for key in
        ["home", "user", "directory", "shards", "segmentSize", "prepared", "maxSegments", "reserve", "recipients"]
    {
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
fn every_key_of_a_server_counts() {
    assert_eq!(smtp("<jmxName> mx </jmxName>").name, "mx");
    assert_eq!(lmtp("<jmxName>local</jmxName>").name, "local");
    assert_eq!(smtp("<connectionBacklog> 7 </connectionBacklog>").backlog, 7);
    assert_eq!(smtp("<connectiontimeout>360</connectiontimeout>").idle_timeout, Duration::from_secs(360));
    assert_eq!(smtp("<connectionLimit> 5 </connectionLimit>").connection_limit, Some(5));
    assert_eq!(smtp("<connectionLimit> 0 </connectionLimit>").connection_limit, None);
    assert_eq!(smtp("<maxLineLength>1000</maxLineLength>").max_line_octets, 1000);
    assert_eq!(smtp("<maxLineLength>1048576</maxLineLength>").max_line_octets, 1_048_576);
    assert!(!smtp("<heloEhloEnforcement>No</heloEhloEnforcement>").require_hello);
    assert!(!smtp("<addressBracketsEnforcement>OFF</addressBracketsEnforcement>").require_brackets);
    assert!(lmtp("<heloEhloEnforcement>y</heloEhloEnforcement>").require_hello);
    assert!(lmtp("<addressBracketsEnforcement>t</addressBracketsEnforcement>").require_brackets);
    assert_eq!(smtp("<smtpGreeting>a &amp; b</smtpGreeting>").greeting.as_deref(), Some("a & b"));
    assert_eq!(lmtp("<lmtpGreeting>hello</lmtpGreeting>").greeting.as_deref(), Some("hello"));
    assert_eq!(smtp("<smtpGreeting/>").greeting, None);
}

#[test]
fn a_server_that_is_not_enabled_says_so() {
    let text = SMTP.replace("<smtpserver>", "<smtpserver enabled='false'>");
    assert!(!right(&with("smtpserver", &text)).servers[0].enabled);
    let text = SMTP.replace("<smtpserver>", "<smtpserver enabled='true'>");
    assert!(right(&with("smtpserver", &text)).servers[0].enabled);
}

#[test]
fn the_hello_name_is_the_hosts_unless_it_is_given() {
    assert_eq!(smtp("<helloName/>").hello_name, "mx.example.net");
    assert_eq!(smtp("<helloName autodetect='true'/>").hello_name, "mx.example.net");
    assert_eq!(smtp("<helloName autodetect='false'>mx.example.org</helloName>").hello_name, "mx.example.org");
    assert_eq!(smtp("<helloName autodetect='no'>[IPv6:::1]</helloName>").hello_name, "[IPv6:::1]");
    let chain = "<verifyIdentity>disabled</verifyIdentity>";
    let text = SMTP.replace(chain, &format!("{chain}<helloName autodetect='false'></helloName>"));
    let (configuration, problems) = read(&with("smtpserver", &text));
    assert_eq!(configuration.expect("a warning does not keep it").servers[0].hello_name, "localhost");
    assert_eq!(problems.iter().map(|problem| problem.severity).collect::<Vec<_>>(), [Severity::Warning]);
}

#[test]
fn message_sizes_are_those_of_james() {
    let sizes = [
        ("0", None),
        ("UNLIMITED", None),
        ("unknown", None),
        ("0M", None),
        ("10", Some(10 << 10)),
        (" 10 ", Some(10 << 10)),
        ("10B", Some(10)),
        ("10k", Some(10 << 10)),
        ("10M", Some(10 << 20)),
        ("2 G", Some(2 << 30)),
    ];
    for (text, octets) in sizes {
        assert_eq!(smtp(&format!("<maxmessagesize>{text}</maxmessagesize>")).max_message_octets, octets, "{text}");
        assert_eq!(lmtp(&format!("<maxmessagesize>{text}</maxmessagesize>")).max_message_octets, octets, "{text}");
    }
    for text in ["", "M", "-1", "+1", "1.5M", "1T", "10 10", "18446744073709551615K", "ä", "1ä"] {
        assert!(value::message_size(text).is_err(), "{text}");
    }
}

#[test]
fn a_server_listens_where_bind_says() {
    let several = smtp("<bind>127.0.0.1:25 , 127.0.0.2 : 26,[::]:25,[::1]:2525</bind>");
    assert_eq!(addresses(&several), ["127.0.0.1:25", "127.0.0.2:26", "[::]:25", "[::1]:2525"]);
    assert_eq!(addresses(&smtp("<bind>localhost:0</bind>")), ["127.0.0.1:0"], "as Java, IPv4 first");
    assert_eq!(addresses(&smtp("<bind>six.example.org:25</bind>")), ["[::1]:25"]);
    for text in [
        "", ",", "25", ":25", "a:", "a:b", "a:65536", "::1:25", "[::1]", "[a]:25", "a b:25", "a:25,", "[::1:25", "ä:25",
    ] {
        assert!(value::bind(text).is_err(), "{text}");
    }
}

#[test]
fn two_servers_never_share_an_address_or_a_name() {
    let twice = |first: &str, second: &str| {
        let one = |name: &str, bind: &str| {
            format!("<lmtpserver><jmxName>{name}</jmxName><bind>{bind}</bind><handlerchain/></lmtpserver>")
        };
        let text = format!("<lmtpservers>{}{}</lmtpservers>", one("a", first), one("b", second));
        read(&with("lmtpserver", &text)).1
    };
    for (first, second) in [("127.0.0.1:24", "127.0.0.1:24"), ("0.0.0.0:24", "127.0.0.1:24"), ("[::1]:24", "[::]:24")] {
        assert_eq!(twice(first, second).len(), 1, "{first} {second}");
    }
    for (first, second) in [("127.0.0.1:24", "127.0.0.2:24"), ("0.0.0.0:24", "[::]:24"), ("127.0.0.1:0", "127.0.0.1:0")]
    {
        assert_eq!(told(&twice(first, second)), "", "{first} {second}");
    }
    let named = with("lmtpserver", &LMTP.replace("<bind>", "<jmxName>smtpserver</jmxName><bind>"));
    let (configuration, problems) = read(&named);
    assert!(
        configuration.is_none() && told(&problems).contains("\"smtpserver\" is taken already at conf/smtpserver.xml:1")
    );
}

#[test]
fn the_chain_names_the_classes_of_james() {
    let chain = |core: &str| SMTP.replace("<handlerchain>", &format!("<handlerchain coreHandlersPackage='{core}'>"));
    let configuration = right(&with("smtpserver", &chain("org.apache.james.smtpserver.NoAuthCmdHandlerLoader")));
    let handlers = &configuration.servers[0].handlers;
    assert_eq!(handlers.core, CoreHandlers::SmtpNoAuth);
    assert_eq!(handlers.handlers[0].class, "org.apache.james.smtpserver.fastfail.ValidRcptHandler");
    let column =
        chain("org.apache.james.smtpserver.NoAuthCmdHandlerLoader").find("<handler ").expect("it is there") + 1;
    assert_eq!(handlers.handlers[0].position, Position { line: 1, column: column as u32 });
    let configuration = right(&with("smtpserver", &chain("org.apache.james.smtpserver.CoreCmdHandlerLoader")));
    assert_eq!(configuration.servers[0].handlers.core, CoreHandlers::Smtp);
    let named = LMTP.replace(
        "<handlerchain/>",
        "<handlerchain coreHandlersPackage='org.apache.james.lmtpserver.CoreCmdHandlerLoader'>\
         <handler class='org.apache.james.lmtpserver.CoreCmdHandlerLoader'/></handlerchain>",
    );
    assert_eq!(right(&with("lmtpserver", &named)).servers[1].handlers.core, CoreHandlers::Lmtp);
}

/// What protects is an error where it asks for something, and nothing at all where it does not.
#[test]
fn what_protects_is_never_left_out_in_silence() {
    let asks = [
        "<tls startTLS='true'/>",
        "<tls socketTLS='yes'/>",
        "<tls startTLS='perhaps'/>",
        "<tls><clientAuth/></tls>",
        "<auth><announce>always</announce></auth>",
        "<auth><announce>forUnauthorizedAddresses</announce></auth>",
        "<auth><required>true</required></auth>",
        "<authRequired>true</authRequired>",
        "<authRequired>announce</authRequired>",
        "<verifyIdentity>true</verifyIdentity>",
        "<verifyIdentity>strict</verifyIdentity>",
        "<verifyIdentity>relaxed</verifyIdentity>",
        "<tls/><tls startTLS='true'/>",
    ];
    for keys in asks {
        let worst = problems_of(keys).iter().map(|problem| problem.severity).max();
        assert_eq!(worst, Some(Severity::Error), "{keys}");
    }
    let idle = "<verifyIdentity>false</verifyIdentity><tls startTLS='false' socketTLS='off'/><auth><announce> Never \
        </announce><required>no</required></auth><authRequired>false</authRequired>";
    assert_eq!(told(&problems_of(idle)), "");
}

#[test]
fn a_server_that_is_not_started_keeps_nothing_from_starting() {
    let text = "<smtpservers><smtpserver enabled='false'><bind>nonsense</bind><tls startTLS='true'/></smtpserver></smtpservers>";
    let (configuration, problems) = read(&with("smtpserver", text));
    assert!(configuration.is_some());
    assert!(problems.iter().any(|problem| problem.severity == Severity::Warning && problem.found.contains("nonsense")));
    assert!(problems.iter().all(|problem| problem.severity < Severity::Error), "{}", told(&problems));
    let text = text.replace("</smtpservers>", "<smtpserver><bind>nonsense</bind></smtpserver></smtpservers>");
    assert!(read(&with("smtpserver", &text)).0.is_none(), "the one after it is checked in full");
}

#[test]
fn every_key_of_the_domain_list_counts() {
    let domains = |keys: &str| {
        let mut sources = with("domainlist", &format!("<domainlist>{keys}</domainlist>"));
        sources.ringpost = source("ringpost", b"<ringpost><users><user>you@localhost</user></users></ringpost>");
        read(&sources).0.expect("it is right").domains
    };
    assert_eq!(domains("").names, ["localhost"]);
    assert_eq!(domains("<autodetect>true</autodetect>").names, ["mx.example.net", "localhost"]);
    let named = domains(
        "<defaultDomain>B.example</defaultDomain><domainnames><domainname>A.example</domainname><domainname>b.example</domainname></domainnames>",
    );
    assert_eq!(
        (named.names, named.default),
        (vec!["a.example".to_owned(), "b.example".to_owned()], "b.example".to_owned())
    );
    let (configuration, _) = read(&with("domainlist", "<domainlist><autodetectIP>true</autodetectIP></domainlist>"));
    assert!(configuration.is_none(), "autodetectIP is not done, so it must not pass");
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
    let text = RINGPOST.replace("</users>", "<user>I.Me@EXAMPLE.ORG</user></users>");
    assert_eq!(right(&with("ringpost", &text)).ringpost.users, ["you@example.org", "I.Me@example.org"]);
}

#[test]
fn paths_start_at_the_home() {
    let text = RINGPOST.replace("<users>", "<home>/h</home><users>");
    let configuration = right(&with("ringpost", &text));
    assert_eq!(configuration.home, Path::new("/h"));
    assert_eq!(configuration.ringpost.spool.directory, Path::new("/h/var/spool"));
    let text = RINGPOST.replace("<users>", "<home>sub</home><users>");
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
    let (configuration, problems) = Configuration::read(&conf);
    assert!(configuration.is_none(), "a directory is no file");
    assert!(told(&problems).contains("ringpost.xml: error: the file cannot be read"), "{}", told(&problems));
    fs::remove_dir(conf.join("ringpost.xml")).expect("it is empty");
    let (configuration, problems) = Configuration::read(&conf);
    let configuration = configuration.expect("what is missing has its defaults");
    assert_eq!(configuration.home, root.path());
    assert_eq!(configuration.servers.len(), 1);
    assert_eq!(configuration.domains.names, ["localhost"]);
    assert!(!configuration.ringpost.shards.is_empty(), "every CPU of this machine");
    assert_eq!(problems.iter().filter(|problem| problem.severity == Severity::Note).count(), 3, "the missing files");
    assert!(
        Configuration::read(&root.path().join("nowhere")).0.is_none(),
        "without a server there is nothing to start"
    );
}

#[test]
fn problems_come_in_the_order_of_the_files_and_are_bounded() {
    let text = LMTP.replace("<bind>", &format!("{}<bind>", "<x/>\n".repeat(300)));
    let mut sources = with("lmtpserver", &text);
    sources.smtpserver = source("smtpserver", SMTP.replace("<bind>", "<tls startTLS='true'/><y/><bind>").as_bytes());
    let (configuration, problems) = read(&sources);
    assert!(configuration.is_none());
    assert_eq!(problems.len(), 201);
    assert!(
        problems[0].found.contains("startTLS")
            && problems[1].found.contains("<y>")
            && problems[2].found.contains("<x>")
    );
    assert_eq!(problems[200].found, "102 more problems are not shown");
}

/// Every broken file and what is told of it, word by word. With RINGPOST_BLESS=1 the texts are written anew.
#[test]
fn broken_files_are_told_as_their_golden_text_says() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config");
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "xml"));
    assert!(files.len() >= 20);
    for path in files {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("the names are ASCII");
        let kind = stem.split('-').next().expect("a split has a first part");
        let mut sources = with(kind, "");
        let changed = source(kind, &fs::read(&path).expect("readable"));
        match kind {
            "smtpserver" => sources.smtpserver = changed,
            "lmtpserver" => sources.lmtpserver = changed,
            "domainlist" => sources.domainlist = changed,
            _ => sources.ringpost = changed,
        }
        let text = told(&read(&sources).1);
        assert_ne!(text, "", "{stem} is not broken");
        let golden = path.with_extension("txt");
        if std::env::var_os("RINGPOST_BLESS").is_some() {
            fs::write(&golden, &text).expect("it can be written");
        }
        assert_eq!(text, fs::read_to_string(&golden).unwrap_or_default(), "{stem}");
    }
}

#[test]
fn xml_is_read_with_its_positions() {
    let text = "\u{feff}<?xml version='1.0'?>\r\n<a x = 'ä &lt;' y=\"2\">\r\n\t<é> t &#65;<!-- c --><![CDATA[<]]> &amp; </é>\n  <b/></a>\n";
    let file = File::parse("f", text.as_bytes()).expect("it is well-formed");
    let root = &file.root;
    let place = |line, column| Position { line, column };
    assert_eq!((root.name.as_str(), root.position, root.text.as_str()), ("a", place(2, 1), ""));
    let attributes: Vec<_> = root.attributes.iter().map(|a| (&*a.name, &*a.value, a.position)).collect();
    assert_eq!(attributes, [("x", "ä <", place(2, 4)), ("y", "2", place(2, 17))]);
    let child = &root.children[0];
    assert_eq!(
        (&*child.name, &*child.text, child.position, child.text_position),
        ("é", "t A< &", place(3, 2), place(3, 6))
    );
    assert_eq!((&*root.children[1].name, root.children[1].position), ("b", place(4, 3)));
    assert_eq!(file.line(4), "  <b/></a>");
    assert_eq!(file.line(2), "<a x = 'ä &lt;' y=\"2\">");
    assert_eq!((file.line(0), file.line(99)), ("\u{3c}?xml version='1.0'?>", ""));
}

#[test]
fn what_is_no_xml_is_refused() {
    let deep = format!("{}{}", "<a>".repeat(xml::DEPTH_MAX + 1), "</a>".repeat(xml::DEPTH_MAX + 1));
    let many = format!("<a>{}</a>", "<b/>".repeat(xml::NODES_MAX));
    let large = format!("<a>{}</a>", " ".repeat(xml::OCTETS_MAX));
    let texts = [
        "",
        " ",
        "text",
        "<a>",
        "</a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a",
        "<a b/>",
        "<a b=c/>",
        "<a b='/>",
        "<a b='1' b='2'/>",
        "<a>&nbsp;</a>",
        "<a b='&x;'/>",
        "<a>&</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a b='&#1;'/>",
        "<a>\u{1}</a>",
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
        "<a><!-- </a>",
        "<a><!-- -- --></a>",
        "<a><![CDATA[</a>",
        "<a>]]></a>",
        "<a><?x</a>",
        " <?xml version='1.0'?><a/>",
        "<1/>",
        "< a/>",
        "<a><></></a>",
        "<a <b/>",
        "<a b='<'/>",
        "<?xml version='1.0' encoding='ISO-8859-1'?><a>ä</a>",
        &deep,
        &many,
        &large,
    ];
    for text in texts {
        assert!(File::parse("f", text.as_bytes()).is_err(), "{:?}", text.get(..40).unwrap_or(text));
    }
    assert!(File::parse("f", b"<a>\xff</a>").is_err());
    assert!(File::parse("f", b"<?xml version='1.0' encoding='ISO-8859-1'?><a>a</a>").is_ok(), "ASCII reads the same");
}

/// Problems go to logs, where no password belongs.
#[test]
fn no_password_is_told() {
    for keys in [
        "<tls>\n<secret>hunter2</secret></tls>",
        "<tls><secret>hunter2 & more</secret></tls>",
        "<trustStoreSecret>hunter2</trustStoreSecret>",
    ] {
        let text = told(&problems_of(keys));
        assert!(!text.is_empty() && !text.contains("hunter2"), "{text}");
    }
}

/// Every element is where the tree says it is.
fn check_positions(file: &File, element: &xml::Element) {
    let at =
        |position: Position| file.line(position.line).chars().skip(position.column as usize - 1).collect::<String>();
    assert!(at(element.position).starts_with(&format!("<{}", element.name)));
    assert!(element.attributes.iter().all(|attribute| at(attribute.position).starts_with(&attribute.name)));
    element.children.iter().for_each(|child| check_positions(file, child));
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(problem) = File::parse("f", &octets) {
            prop_assert!(!problem.to_string().is_empty());
        }
    }

    #[test]
    fn anything_like_xml_is_read_or_refused(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("<a>"), Just("</a>"), Just("<b c='d'/>"), Just("<"), Just(">"), Just("&amp;"), Just("&"), Just(";"), Just("&#65;"),
                Just("<!--"), Just("-->"), Just("<![CDATA["), Just("]]>"), Just("<?"), Just("?>"), Just("'"), Just("\""), Just("="),
                Just("ä"), Just("\n"), Just("\r\n"), Just("\t"), Just("<!DOCTYPE"), Just(" é='1'"), Just("<a"), Just("\u{feff}"), Just("x"),
            ],
            0..40,
        )
    ) {
        for text in [parts.concat(), format!("<a>{}</a>", parts.concat())] {
            match File::parse("f", text.as_bytes()) {
                Ok(file) => check_positions(&file, &file.root),
                Err(problem) => prop_assert!(!problem.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn any_value_is_read_or_refused(text in "\\PC{0,12}|[0-9:,\\[\\]KMGsmhd@. +-]{0,12}") {
        let _ = (value::boolean(&text), value::message_size(&text), value::size(&text, 0, u64::MAX), value::number(&text, 0, 9));
        let _ = (value::durations(&text), value::bind(&text), value::cpus(&text), value::domain(&text), value::user(&text));
        let _ = (value::greeting(&text), value::hello_name(&text), value::path(&text));
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        for key in ["bind", "helloName", "maxmessagesize", "tls", "handlerchain", "auth"] {
            let _ = told(&problems_of(&format!("<{key}>{escaped}</{key}>")));
        }
    }
}
