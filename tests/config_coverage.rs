//! No key and no class is passed over: what is done changes the configuration, and what is not done is named.

mod common;

use common::reading::{put, read, sources, told};
use ringpost::config::key::{Key, Occurs, Standing};
use ringpost::config::tables::{CLASSES, JAMES, KeyTable, OWN};
use ringpost::config::{Configuration, Severity, Sources};

/// Something to write for each key that is done, that makes the configuration another one.
const SAMPLES: &[(&str, &str)] = &[
    ("@enabled", "false"),
    ("jmxName", "other"),
    ("bind", "127.0.0.9:2525"),
    ("port", "2525"),
    ("connectionBacklog", "7"),
    ("connectBacklog", "7"),
    ("connectiontimeout", "7"),
    ("connectionTimeout", "7"),
    ("connectionLimit", "7"),
    ("connectionLimitPerIP", "7"),
    ("proxyRequired", "true"),
    ("proxyFirst", "false"),
    ("ioWorkerCount", "1"),
    ("bossWorkerCount", "1"),
    ("maxExecutorCount", "7"),
    ("helloName", "other.example.org"),
    ("helloName/@autodetect", "false"),
    ("maxmessagesize", "7"),
    ("maxLineLength", "1000"),
    ("heloEhloEnforcement", "CHANGED"),
    ("addressBracketsEnforcement", "CHANGED"),
    ("disabledFeatures", "PIPELINING"),
    ("gracefulShutdown", "false"),
    ("smtpGreeting", "hello"),
    ("lmtpGreeting", "hello"),
    ("authRequired", "true"),
    ("auth/announce", "always"),
    ("auth/required", "true"),
    ("auth/requireSSL", "false"),
    ("auth/plainAuthEnabled", "false"),
    ("auth/saslMechanisms", "PlainSaslMechanismFactory"),
    ("verifyIdentity", "relaxed"),
    ("authorizedAddresses", "127.0.0.1"),
    ("verifyFailureDelay", "7s"),
    ("autodetect", "true"),
    ("autodetectIP", "true"),
    ("defaultDomain", "other.example.org"),
    ("domainnames/domainname", "other.example.org"),
    ("servernames/servername", "other.example.org"),
    ("servernames/@autodetect", "true"),
    ("servernames/@autodetectIP", "true"),
    ("home", "elsewhere"),
    ("directory/path", "elsewhere"),
    ("directory/rehash", "false"),
    ("directory/hashingThreads", "7"),
    ("algorithm", "SHA-512"),
    ("hashingMode", "salted"),
    ("enableVirtualHosting", "false"),
    ("supportsVirtualHosting", "false"),
    ("administratorId", "boss@example.org"),
    ("administratorIds/administratorId", "boss@example.org"),
    ("recursiveMapping", "false"),
    ("mappingLimit", "7"),
    ("mapping", "a@example.org=b@example.org"),
    ("mail/directory", "elsewhere"),
    ("repositories/directory", "elsewhere"),
    ("servers/server", "192.0.2.53"),
    ("authoritative", "true"),
    ("maxcachesize", "7"),
    ("negativeCacheTTL", "7"),
    ("singleIPperMX", "true"),
    ("shards", "1"),
    ("spool/directory", "elsewhere"),
    ("spool/segmentSize", "1M"),
    ("spool/prepared", "2"),
    ("spool/maxSegments", "7"),
    ("spool/reserve", "7M"),
    ("spool/volatile", "true"),
    ("limits/recipients", "777"),
    ("limits/ipv6Prefix", "48"),
    ("limits/withoutHeader", "7"),
    ("limits/errors", "7"),
    ("limits/unknownCommands", "7"),
    ("limits/authFailures", "7"),
    ("limits/authFailureDelay", "7s"),
    ("limits/refuseEarlyTalkers", "false"),
    ("timeouts/proxyHeader", "7s"),
    ("timeouts/tlsHandshake", "7s"),
    ("timeouts/commandLine", "7s"),
    ("tls/tickets", "false"),
    ("tls/kernel", "auto"),
    ("timeouts/transaction", "7s"),
    ("timeouts/session", "7s"),
    ("timeouts/contentRate", "7"),
    ("timeouts/contentWindow", "7s"),
    ("delivery/discard", "true"),
    ("delivery/hold", "true"),
    ("delivery/share", "7"),
    ("delivery/concurrency", "7"),
    ("delivery/retry", "7m"),
    ("log/format", "json"),
    ("log/level", "debug"),
    ("steering", "cpu"),
    ("control/socket", "run/ringpost"),
    ("shutdown/grace", "7s"),
];

/// What makes TLS another one than [`TLS`] is: the attributes of `<tls>`, and what is in it.
const TLS_SAMPLES: &[(&str, &str, &str)] = &[
    ("tls/@socketTLS", "socketTLS='true'", "<keystore>one</keystore>"),
    ("tls/@startTLS", "startTLS='false'", "<keystore>one</keystore>"),
    ("tls/keystore", "startTLS='true'", "<keystore>other</keystore>"),
    ("tls/keystoreType", "startTLS='true'", "<keystore>one</keystore><keystoreType>PKCS12</keystoreType>"),
    ("tls/secret", "startTLS='true'", "<keystore>one</keystore><secret>other</secret>"),
    ("tls/privateKey", "startTLS='true'", "<privateKey>a</privateKey><certificates>b</certificates>"),
    ("tls/certificates", "startTLS='true'", "<privateKey>a</privateKey><certificates>b</certificates>"),
    (
        "tls/supportedProtocols/protocol",
        "startTLS='true'",
        "<keystore>one</keystore><supportedProtocols><protocol>TLSv1.3</protocol></supportedProtocols>",
    ),
    (
        "tls/supportedCipherSuites/cipherSuite",
        "startTLS='true'",
        "<keystore>one</keystore><supportedCipherSuites><cipherSuite>TLS_AES_256_GCM_SHA384</cipherSuite>\
         </supportedCipherSuites>",
    ),
    ("tls/clientAuth", "startTLS='true'", "<keystore>one</keystore><clientAuth/>"),
    (
        "tls/clientAuth/truststore",
        "startTLS='true'",
        "<keystore>one</keystore><clientAuth><truststore>two</truststore></clientAuth>",
    ),
    (
        "tls/clientAuth/truststoreType",
        "startTLS='true'",
        "<keystore>one</keystore><clientAuth><truststore>two</truststore><truststoreType>PKCS12</truststoreType></clientAuth>",
    ),
    (
        "tls/clientAuth/truststoreSecret",
        "startTLS='true'",
        "<keystore>one</keystore><clientAuth><truststore>two</truststore><truststoreSecret>x</truststoreSecret></clientAuth>",
    ),
    (
        "tls/sessionCache/timeout",
        "startTLS='true'",
        "<keystore>one</keystore><sessionCache><timeout>7s</timeout></sessionCache>",
    ),
];

/// TLS without anything that need not be said.
const TLS: (&str, &str) = ("startTLS='true'", "<keystore>one</keystore>");

/// Keys that other tests show, because they say nothing alone.
const ELSEWHERE: &[&str] = &[
    // Without it a server must be named.
    "autodiscover",
    "tls/certificate",
    "tls/certificate/keystore",
    "tls/certificate/keystoreType",
    "tls/certificate/secret",
    "tls/certificate/privateKey",
    "tls/certificate/certificates",
    "handler",
    "handlerchain",
    "handlerchain/@coreHandlersPackage",
    "handlerchain/handler",
    "@class",
    "context/postmaster",
    "spooler/errorRepository",
    "mailrepositories/mailrepository",
    "mailrepositories/mailrepository/protocols/protocol",
    "processors/processor",
    "processors/processor/@state",
    "processors/processor/mailet",
    "processors/processor/matcher",
    "accept-inactive",
    "accept-inactive/@class",
    "accept-inactive/@key",
];

/// The elements on the way to a key, with a value at its end.
fn nested(path: &str, value: &str) -> String {
    match path.split_once('/') {
        Some((first, rest)) => match rest.strip_prefix('@') {
            Some(attribute) => format!("<{first} {attribute}=\"{value}\">{}</{first}>", beside(first)),
            None => format!("<{first}>{}</{first}>", nested(rest, value)),
        },
        None => match path {
            "helloName" => format!("<helloName autodetect=\"false\">{value}</helloName>"),
            _ => format!("<{path}>{value}</{path}>"),
        },
    }
}

/// What stands in an element whose attribute is tried.
fn beside(element: &str) -> &'static str {
    if element == "helloName" { "other.example.org" } else { "" }
}

/// A configuration in which one key is written.
fn with_key(scope: &str, path: &str, value: &str) -> Sources {
    let mut sources = sources();
    let (open, inside) = match path.strip_prefix('@') {
        Some(attribute) => (format!(" {attribute}=\"{value}\""), String::new()),
        None => (String::new(), nested(path, value)),
    };
    let chain = if path.starts_with("handlerchain") { "" } else { "<handlerchain/>" };
    let text = match scope {
        "smtpserver" => {
            let identity = if path == "verifyIdentity" { "" } else { "<verifyIdentity>disabled</verifyIdentity>" };
            format!("<smtpservers><smtpserver{open}>{inside}{identity}{chain}</smtpserver></smtpservers>")
        }
        "lmtpserver" => format!("<lmtpservers><lmtpserver{open}>{inside}{chain}</lmtpserver></lmtpservers>"),
        "webadmin" | "jvm" => format!("{path}={value}"),
        root => format!("<{root}{open}>{inside}</{root}>"),
    };
    put(&mut sources, scope, text.as_bytes());
    sources
}

fn tables() -> impl Iterator<Item = (&'static str, &'static Key)> {
    let of = |table: &'static KeyTable| {
        table.scopes.iter().flat_map(move |scope| table.keys.iter().map(move |key| (*scope, key)))
    };
    JAMES.iter().chain([&OWN]).flat_map(of)
}

/// The configuration with nothing in that scope.
fn without(scope: &str) -> Configuration {
    read(&with_key(scope, "nothing", "")).0.unwrap_or_else(|| panic!("{scope} without a key is right"))
}

/// Of a server its settings count; that it writes its value, of course, is not enough.
#[test]
fn every_key_that_is_done_changes_something() {
    let tls = |path: &str| TLS_SAMPLES.iter().any(|(known, ..)| *known == path);
    let elsewhere = |path: &str| ELSEWHERE.contains(&path) || tls(path);
    for (scope, key) in tables().filter(|(_, key)| key.standing.is_done() && !elsewhere(key.path)) {
        let sample = SAMPLES.iter().find(|(path, _)| *path == key.path);
        let (_, value) = sample.unwrap_or_else(|| panic!("{scope}/{} has no sample", key.path));
        let value = match (*value, scope) {
            ("CHANGED", "smtpserver") => "false",
            ("CHANGED", _) => "true",
            (value, _) => value,
        };
        let (configuration, problems) = read(&with_key(scope, key.path, value));
        match configuration {
            Some(configuration) => assert_ne!(configuration, without(scope), "{scope}/{}", key.path),
            None => assert!(told(&problems).contains(key.path), "{scope}/{}: {}", key.path, told(&problems)),
        }
    }
}

/// A configuration in which one server speaks TLS so.
fn with_tls(scope: &str, attributes: &str, inside: &str) -> Configuration {
    let mut sources = sources();
    let identity = if scope == "smtpserver" { "<verifyIdentity>disabled</verifyIdentity>" } else { "" };
    let text =
        format!("<{scope}s><{scope}><tls {attributes}>{inside}</tls>{identity}<handlerchain/></{scope}></{scope}s>");
    put(&mut sources, scope, text.as_bytes());
    let (configuration, problems) = read(&sources);
    configuration.unwrap_or_else(|| panic!("{inside}: {}", told(&problems)))
}

#[test]
fn every_key_of_tls_that_is_done_changes_something() {
    for (scope, key) in tables().filter(|(scope, key)| *scope != "ringpost" && key.path.starts_with("tls/")) {
        let sample = TLS_SAMPLES.iter().find(|(path, ..)| *path == key.path);
        assert_eq!(sample.is_some(), key.standing.is_done(), "{scope}/{} has a sample if it is done", key.path);
        let Some((_, attributes, inside)) = sample else { continue };
        assert_ne!(with_tls(scope, attributes, inside), with_tls(scope, TLS.0, TLS.1), "{scope}/{}", key.path);
    }
    let own = |inside: &str| {
        let mut sources = sources();
        let text = format!("<ringpost><tls><certificate>{inside}</certificate></tls></ringpost>");
        put(&mut sources, "ringpost", text.as_bytes());
        read(&sources).0.expect("it is right").ringpost.tls.certificates
    };
    let ways = [
        own("<keystore>one</keystore>"),
        own("<keystore>other</keystore>"),
        own("<keystore>one</keystore><keystoreType>PKCS12</keystoreType>"),
        own("<keystore>one</keystore><secret>x</secret>"),
        own("<privateKey>one</privateKey><certificates>two</certificates>"),
        own("<privateKey>other</privateKey><certificates>two</certificates>"),
        own("<privateKey>one</privateKey><certificates>other</certificates>"),
    ];
    for (index, way) in ways.iter().enumerate() {
        assert!(way.len() == 1 && !ways[..index].contains(way), "{index}");
    }
}

#[test]
fn every_key_that_is_not_done_is_named() {
    for (scope, key) in tables().filter(|(_, key)| !key.standing.is_done() && key.occurs != Occurs::Apart) {
        let (_, problems) = read(&with_key(scope, key.path, "true"));
        let name = key.path.rsplit(['/', '@']).next().expect("a split has a last part");
        let named = problems.iter().filter(|problem| problem.found.contains(name));
        let worst = named.map(|problem| problem.severity).max();
        let expected = match key.standing {
            Standing::Protects(_) | Standing::Gone(_) => Severity::Error,
            Standing::Later(_) | Standing::Misplaced(_) => Severity::Warning,
            _ => Severity::Note,
        };
        assert!(worst >= Some(expected) || scope == "jvm", "{scope}/{}: {}", key.path, told(&problems));
    }
}

/// A value that asks for nothing is no problem, and the same is accepted by name where it asks for something.
#[test]
fn what_protects_asks_for_nothing_or_is_accepted_by_name() {
    for (scope, key) in tables().filter(|(_, key)| matches!(key.standing, Standing::Protects(_))) {
        let nothing = if key.path == "mapping" { "a@b=c" } else { "false" };
        let problems = read(&with_key(scope, key.path, nothing)).1;
        assert!(problems.iter().all(|p| !p.found.contains("does not do yet")), "{scope}/{}", key.path);

        let something = match key.path {
            "mapping" => "a@b=error:x",
            _ => "true",
        };
        let mut sources = with_key(scope, key.path, something);
        let name = format!("{scope}/{}", key.path);
        let text = format!("<ringpost><accept-inactive key=\"{name}\"/></ringpost>");
        put(&mut sources, "ringpost", text.as_bytes());
        let problems = read(&sources).1;
        let about: Vec<_> = problems.iter().filter(|p| p.found.contains("does not do yet")).collect();
        assert_eq!(about.len(), 1, "{name}: {}", told(&problems));
        assert_eq!((about[0].severity, about[0].advice.as_str()), (Severity::Warning, "ringpost.xml accepts that"));
    }
}

/// A condition that is right for a matcher.
fn condition(class: &str) -> &'static str {
    match class {
        "RecipientIs" | "SenderIs" => "you@example.org",
        "HasMailAttributeWithValue" | "HasMailAttributeWithValueRegex" => "name, value",
        "RemoteAddrInNetwork" | "RemoteAddrNotInNetwork" | "XOriginatingIpInNetwork" => "192.0.2.0/24",
        "RemoteDeliveryFailedWithSMTPCode" => "550",
        "HostIs" | "RecipientDomainIs" | "SenderHostIs" | "SenderDomainIs" => "example.org",
        "CompareNumericHeaderValue" => "X-Score >= 5",
        _ => "1",
    }
}

/// What must stand in a mailet.
fn parameters(class: &str) -> &'static str {
    match class {
        "ToProcessor" => "<processor>error</processor>",
        "ToRepository" => "<repositoryPath>file://var/mail/x/</repositoryPath>",
        "ToSenderDomainRepository" => "<urlPrefix>file://var/mail/x/</urlPrefix>",
        "MetricsMailet" => "<metricName>x</metricName>",
        "SetMimeHeader" => "<name>X-A</name><value>b</value>",
        "RemoveMimeHeader" | "RemoveMimeHeaderByPrefix" | "RemoveMailAttribute" => "<name>x</name>",
        "AddSubjectPrefix" => "<subjectPrefix>x</subjectPrefix>",
        "WithPriority" => "<priority>7</priority>",
        "SetErrorMessage" => "<errorMessage>x</errorMessage>",
        "WithStorageDirective" => "<targetFolderName>x</targetFolderName>",
        "AddFooter" => "<text>x</text>",
        "StripAttachment" => "<pattern>x</pattern>",
        "Forward" => "<forwardTo>you@example.org</forwardTo>",
        "LmtpDelivery" => "<host>127.0.0.1</host>",
        "DKIMSign" => {
            "<signatureTemplate>v=1; a=ed25519-sha256; d=example.org; s=a; h=from; bh=; b=;</signatureTemplate><privateKey>\
             -----BEGIN PRIVATE KEY-----MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g-----END PRIVATE KEY-----\
             </privateKey>"
        }
        _ => "",
    }
}

/// A configuration that names one class.
fn with_class(table: &str, class: &str, accept: bool) -> Sources {
    let mut sources = sources();
    let chain = format!("<handlerchain><handler class='{class}'/></handlerchain>");
    let smtp =
        format!("<smtpservers><smtpserver><verifyIdentity>false</verifyIdentity>{chain}</smtpserver></smtpservers>");
    let (matcher, mailet) = match table {
        "Matchers" => (format!("{class}={}", condition(class)), "LocalDelivery"),
        _ => ("All".into(), class),
    };
    let inside = parameters(class);
    match table {
        "Handlers of LMTP" => {
            let text = format!("<lmtpservers><lmtpserver>{chain}</lmtpserver></lmtpservers>");
            put(&mut sources, "lmtpserver", text.as_bytes());
        }
        "Matchers" | "Mailets" => {
            let text = format!(
                "<mailetcontainer><spooler><errorRepository>file://var/mail/error/</errorRepository></spooler><processors>\
                 <processor state='root'><mailet match='{matcher}' class='{mailet}'>{inside}</mailet></processor>\
                 <processor state='error'/></processors></mailetcontainer>"
            );
            put(&mut sources, "mailetcontainer", text.as_bytes());
        }
        _ => put(&mut sources, "smtpserver", smtp.as_bytes()),
    }
    if accept {
        let text = format!("<ringpost><accept-inactive class=\"{class}\"/></ringpost>");
        put(&mut sources, "ringpost", text.as_bytes());
    }
    sources
}

#[test]
fn every_class_is_done_or_named_and_accepted_by_name_alone() {
    for (table, class) in CLASSES.iter().flat_map(|table| table.classes.iter().map(move |class| (table.title, class))) {
        let of = |accept| {
            let (configuration, problems) = read(&with_class(table, class.name, accept));
            let about = problems.iter().filter(|problem| problem.found.contains(class.name));
            let about = about.filter(|problem| !problem.file.ends_with("ringpost.xml"));
            (configuration.is_some(), about.map(|problem| problem.severity).max(), told(&problems))
        };
        let (starts, worst, text) = of(false);
        let expected = match class.standing {
            Standing::Protects(_) => Some(Severity::Error),
            Standing::Later(_) => Some(Severity::Warning),
            Standing::Meaningless(_) => Some(Severity::Note),
            _ => None,
        };
        assert_eq!((starts, worst), (expected != Some(Severity::Error), expected), "{}: {text}", class.name);
        if expected == Some(Severity::Error) {
            let (starts, worst, text) = of(true);
            assert_eq!((starts, worst), (true, Some(Severity::Warning)), "{}: {text}", class.name);
        }
    }
}

/// What the tables say is done is in the pipeline, and nothing else.
#[test]
fn what_is_done_is_in_the_pipeline() {
    for (table, class) in CLASSES.iter().flat_map(|table| table.classes.iter().map(move |class| (table.title, class))) {
        if !["Matchers", "Mailets"].contains(&table) {
            continue;
        }
        // A composite matcher has a name of its own and others inside.
        if ["Or", "And", "Not", "Xor"].contains(&class.name) {
            continue;
        }
        let (configuration, problems) =
            read(&with_class(table, class.name, matches!(class.standing, Standing::Protects(_))));
        let container = configuration.and_then(|configuration| configuration.container);
        let pipeline = container.and_then(|container| container.pipeline);
        let text = pipeline.unwrap_or_else(|| panic!("{}: {}", class.name, told(&problems))).to_string();
        assert_eq!(
            !text.contains("is not done yet"),
            class.is_done() || matches!(class.standing, Standing::Meaningless(_)),
            "{}: {text}",
            class.name
        );
    }
}

/// Nothing stands twice in a table, and nothing is called what it is not.
#[test]
fn the_tables_have_every_name_once() {
    for table in JAMES.iter().chain([&OWN]) {
        for (index, key) in table.keys.iter().enumerate() {
            assert!(table.keys.iter().skip(index + 1).all(|other| other.path != key.path), "{}", key.path);
        }
    }
    for table in CLASSES {
        for (index, class) in table.classes.iter().enumerate() {
            assert!(table.classes.iter().skip(index + 1).all(|other| other.name != class.name), "{}", class.name);
        }
    }
}
