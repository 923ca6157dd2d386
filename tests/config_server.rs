//! The keys of a server: each has an effect, or is named.

mod common;

use std::time::Duration;

use common::reading::{LMTP, SMTP, addresses, lmtp, problems_of, read, right, smtp, told, with};
use ringpost::config::{CoreHandlers, Position, Severity, value};
use ringpost::hook::TableCheck;
use ringpost::smtp::server::settings::Extensions;

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

#[test]
fn the_strictest_check_of_the_rewrite_table_counts() {
    let handler =
        |keys: &str| format!("<handler class='org.apache.james.smtpserver.fastfail.ValidRcptHandler'>{keys}</handler>");
    let check = |handlers: &str| {
        let chain = "<handler class='org.apache.james.smtpserver.fastfail.ValidRcptHandler'/>";
        right(&with("smtpserver", &SMTP.replace(chain, handlers))).servers[0].handlers.table_check
    };
    let of = |word: &str| handler(&format!("<recipientRewriteTableCheck>{word}</recipientRewriteTableCheck>"));
    assert_eq!(check(&handler("")), TableCheck::AnyTarget);
    assert_eq!(check(&of("mappingExists")), TableCheck::AnyTarget);
    assert_eq!(check(&of("anyMappingValid")), TableCheck::AnyTarget);
    assert_eq!(check(&(of("allMappingsValid") + &of("mappingExists"))), TableCheck::EveryTarget);
    let off = "<enableRecipientRewriteTable>false</enableRecipientRewriteTable>";
    assert_eq!(check(&handler(off)), TableCheck::Nothing);
}

/// What protects is an error where it asks for something, and nothing at all where it does not.
#[test]
fn each_hook_of_an_extension_turns_it_on_and_no_other() {
    let with_hook = |class: &str| {
        let handler = format!("<handlerchain><handler class='org.apache.james.smtpserver.{class}'/>");
        right(&with("smtpserver", &SMTP.replace("<handlerchain>", &handler))).servers[0].handlers.extensions
    };
    let none = Extensions::default();
    assert_eq!(right(&with("smtpserver", SMTP)).servers[0].handlers.extensions, none);
    for (on, hooks) in [
        (Extensions { dsn: true, ..none }, &["EhloHook", "MailParameterHook", "RcptParameterHook", "MessageHook"][..]),
        (Extensions { future_release: true, ..none }, &["EHLOHook", "MailParameterHook"]),
        (Extensions { mt_priority: true, ..none }, &["EhloHook", "ParameterHook", "MessageHook"]),
        (Extensions { require_tls: true, ..none }, &["EhloHook", "ParameterHook", "MessageHook"]),
    ] {
        let package = match (on.dsn, on.future_release, on.mt_priority) {
            (true, ..) => "dsn.DSN",
            (_, true, _) => "futurerelease.FutureRelease",
            (_, _, true) => "priority.SmtpMtPriority",
            _ => "tls.SmtpRequireTls",
        };
        for hook in hooks {
            assert_eq!(with_hook(&format!("{package}{hook}")), on, "{package}{hook}");
        }
    }
}

#[test]
fn what_protects_is_never_left_out_in_silence() {
    let asks = [
        "<tls startTLS='true'/>",
        "<tls socketTLS='yes'/>",
        "<tls startTLS='perhaps'/>",
        "<tls/><tls startTLS='true'/>",
    ];
    for keys in asks {
        let worst = problems_of(keys).iter().map(|problem| problem.severity).max();
        assert_eq!(worst, Some(Severity::Error), "{keys}");
    }
    let idle = "<verifyIdentity>false</verifyIdentity><tls startTLS='false' socketTLS='off'/><auth><announce> Never \
        </announce><required>no</required></auth>";
    assert_eq!(told(&problems_of(idle)), "");
}

/// Where nobody could authenticate who should, that is said.
#[test]
fn auth_that_cannot_come_about_is_told_of() {
    let no_auth = "<handlerchain coreHandlersPackage='org.apache.james.smtpserver.NoAuthCmdHandlerLoader'/>";
    for (keys, told_of) in [
        ("<auth><required>true</required></auth>".to_owned(), "required is true, and there is no AUTH"),
        (
            format!("<auth><announce>always</announce><required>true</required></auth>{no_auth}"),
            "required is true, and there is no AUTH",
        ),
        ("<auth><announce>always</announce></auth>".to_owned(), "AUTH is for TLS alone, and the server has none"),
        (
            "<auth><announce>always</announce><plainAuthEnabled>false</plainAuthEnabled><saslMechanisms>\
             PlainSaslMechanismFactory</saslMechanisms></auth>"
                .to_owned(),
            "AUTH is left without a mechanism",
        ),
    ] {
        let problems = problems_of(&keys);
        assert!(problems.iter().any(|problem| problem.found == told_of), "{keys}: {}", told(&problems));
        assert!(problems.iter().all(|problem| problem.severity < Severity::Error), "{keys}: {}", told(&problems));
    }
    let fine = "<auth><announce>always</announce><requireSSL>false</requireSSL><required>true</required></auth>";
    assert_eq!(told(&problems_of(fine)), "");
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
