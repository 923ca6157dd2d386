//! The keys of a server.

use super::super::key::{Key, is_false, key};

const NO_JMX: &str = "ringpost has no JMX";
const WITH_OIDC: &str =
    "it is used with OAUTHBEARER and XOAUTH2, which ringpost does not do yet; clients are offered what else there is";
const BUFFERS: &str = "ringpost bounds its buffers itself";
const JAVA: &str = "it names a part of Java; James does not read it either";

/// The keys of both protocols.
pub const COMMON: &[Key] = &[
    key("@enabled").default("true").differently(
        "a server that is not enabled is checked too, with warnings at most, so that switching it on brings no surprise",
    ),
    key("jmxName").default("the name of its element").differently(
        "it names the server in the log and in figures; there is no JMX. Two servers with one name are an error, as in James",
    ),
    key("bind").default("0.0.0.0:25, for LMTP 0.0.0.0:24").differently(
        "IPv6 can be written: [::]:25. Two servers that share an address are an error before anything is bound",
    ),
    key("connectionBacklog").default("200"),
    key("connectiontimeout").default("300").differently(
        "seconds, and exactly so; James' code waits twice as long as it is told",
    ),
    key("connectionLimit").default("0").differently(
        "what is no number is an error; James logs it and has no limit. A client too many hears 421 instead of nothing",
    ),
    key("connectionLimitPerIP").default("0").differently(
        "an IPv6 network of limits/ipv6Prefix in ringpost.xml is one client; behind a proxy the client is whom the proxy names, in \
         James the proxy. A connection too many hears 421 instead of nothing",
    ),
    key("helloName").default("the host's name").differently(
        "with autodetect=\"false\" and nothing written it is localhost, as James' documentation says, with a warning; James' \
         code does not start",
    ),
    key("helloName/@autodetect").default("true"),
    key("tls/@socketTLS").default("false").differently(
        "a connection beyond connectionLimit is closed without a word before TLS; a client that offers other protocols by ALPN than smtp, \
         for LMTP lmtp, is refused",
    ),
    key("tls/@startTLS").default("false").differently(
        "anything that comes behind STARTTLS in the clear is refused with 421 and the connection closed; nothing said before TLS counts \
         after it, EHLO included, which James remembers",
    ),
    key("tls/keystore").differently(
        "read by what is in it: JKS or PKCS #12, whatever keystoreType says; JCEKS is not read. All keys in it are used: the first by \
         its alias where no other is for the name that the client asks for",
    ),
    key("tls/keystoreType").default("JKS").differently("JKS or PKCS12; what the file begins with decides, as in Java since 9"),
    key("tls/secret"),
    key("tls/privateKey").differently("PKCS #8, PKCS #1 or SEC 1; with a passphrase PKCS #8 by PBES2 alone"),
    key("tls/certificates"),
    key("tls/supportedProtocols/protocol").often().differently(
        "TLSv1.2 and TLSv1.3, both where none is named; older ones are an error",
    ),
    key("tls/supportedCipherSuites/cipherSuite").often().differently(
        "those with forward secrecy and authenticated encryption; others are left out with a warning",
    ),
    key("tls/clientAuth"),
    key("tls/clientAuth/truststore").differently(
        "JKS or PKCS #12, by what is in it; without it the certification authorities of the machine are believed",
    ),
    key("tls/clientAuth/truststoreType").default("JKS").differently("as keystoreType"),
    key("tls/clientAuth/truststoreSecret"),
    key("tls/enableOCSPCRLChecks").default("false").protects(
        is_false,
        "revoked certificates of clients would be let in: set it to false, and have the truststore hold only an authority whose every \
         certificate may come in",
    ),
    key("tls/sessionCache/size").meaningless("sessions are kept by the clients, in tickets: there is no cache that could fill up"),
    key("tls/sessionCache/timeout").default("12 hours").differently(
        "how long a ticket is good: milliseconds without a unit, 7 days at most; 0 is those 7 days",
    ),
    key("tls/provider").meaningless(JAVA),
    key("tls/algorithm").meaningless(JAVA),
    key("maxmessagesize").default("0").differently(
        "LMTP takes units too, as James' documentation says; James' code takes only KiB there",
    ),
    key("maxLineLength").default("8192").differently("LMTP has it too; in James its lines are always 8192 octets"),
    key("heloEhloEnforcement").default("true, for LMTP false").differently("LMTP has it too; in James it is always false there"),
    key("addressBracketsEnforcement")
        .default("true, for LMTP false")
        .differently("LMTP has it too; in James it is always false there"),
    key("disabledFeatures").often().differently(
        "every EHLO word can be left out but AUTH and STARTTLS; James leaves out only some. As in James this changes what is \
         announced, and no command",
    ),
    key("gracefulShutdown").default("true").differently(
        "true: transactions under way have the time of <shutdown> in ringpost.xml; James has 3 seconds. false: sessions end at once. \
         Either way nothing acknowledged is lost",
    ),
    key("ioWorkerCount").defaults("2 × CPUs", "2 × CPUs", "every CPU of <shards>").differently(
        "how many shards serve the server, each pinned to a CPU; more than there are is as many as there are, which the start says",
    ),
    key("bossWorkerCount").default("0").differently(
        "0: every shard accepts for itself. More: so many executors accept, and hand each connection to the least loaded shard",
    ),
    key("maxExecutorCount").default("16").differently("threads of the control plane; the largest value of all servers counts"),
    key("proxyRequired").default("false").differently(
        "versions 1 and 2; the header must come within timeouts/proxyHeader of ringpost.xml, and the client is whom it names from then on",
    ),
    key("proxyFirst").default("true"),
    key("useEpoll").default("false").meaningless("ringpost uses io_uring"),
    key("highWriteBufferWaterMark").meaningless(BUFFERS),
    key("lowWriteBufferWaterMark").meaningless(BUFFERS),
    key("handlerchain").differently("a server without one has the core handlers, with a warning; James does not start"),
    key("handlerchain/@coreHandlersPackage").default("the CoreCmdHandlerLoader of its protocol"),
    key("handlerchain/handler").apart(),
    key("handlerchain/@enableJmx").default("true").meaningless(NO_JMX),
    key("handlerchain/@jmxHandlersPackage").meaningless(NO_JMX),
    key("handler").older("the same one level up"),
    key("connectBacklog").older("connectionBacklog"),
    key("connectionTimeout").older("connectiontimeout"),
    key("port").older("bind"),
];

/// The keys of SMTP alone.
pub const SMTP: &[Key] = &[
    key("smtpGreeting").default("one that names the server"),
    key("auth/announce").default("as authRequired says, else never").differently(
        "under never there is no AUTH at all; in James it is only not announced. Whoever is in authorizedAddresses and was not \
         offered AUTH under forUnauthorizedAddresses may use it all the same, as in James",
    ),
    key("auth/required").default("false").differently(
        "a chain of NoAuthCmdHandlerLoader obeys it too, so that only authorizedAddresses may send; in James it does not",
    ),
    key("auth/requireSSL").defaults("true", "false", "true").differently(
        "true: outside of TLS AUTH is not announced, and refused with 538 5.7.11; James only does not announce it",
    ),
    key("auth/plainAuthEnabled").default("true"),
    key("auth/saslMechanisms").default("LOGIN, PLAIN; with oidc OAUTHBEARER, XOAUTH2").differently(
        "beyond James there is ScramSha256SaslMechanismFactory: SCRAM-SHA-256, and inside of TLS SCRAM-SHA-256-PLUS. It is the \
         default where plainAuthEnabled is false",
    ),
    key("auth/oidc/oidcConfigurationURL").waits(WITH_OIDC),
    key("auth/oidc/jwksURL").waits(WITH_OIDC),
    key("auth/oidc/claim").waits(WITH_OIDC),
    key("auth/oidc/scope").waits(WITH_OIDC),
    key("auth/oidc/aud").waits(WITH_OIDC),
    key("auth/oidc/introspection/url").waits(WITH_OIDC),
    key("auth/oidc/introspection/auth").waits(WITH_OIDC),
    key("auth/oidc/userinfo/url").waits(WITH_OIDC),
    key("auth/gssapi").later("ringpost has no Kerberos"),
    key("authRequired").older("auth/announce"),
    key("verifyIdentity").defaults("strict", "strict; false before 3.9", "strict").differently(
        "of several From fields every address counts, and so does one that stands in the clear before the one in brackets",
    ),
    key("authorizedAddresses").default("nobody").differently(
        "IPv6 masks count bits, as they are written; James' code masks other ones. Names are looked up once, at the start",
    ),
    key("rejectUnauthenticatedSenders").misplaced("James does not read it either; the key is auth/required"),
    key("allowUnauthenticatedSender").misplaced("James does not read it either; the key is auth/required"),
];

/// The keys of LMTP alone. James reads none of SMTP's here, so neither does ringpost.
pub const LMTP: &[Key] = &[
    key("lmtpGreeting")
        .default("one that names the server")
        .differently("it is said; James' code reads it and never does"),
    key("smtpGreeting").misplaced("the key is lmtpGreeting"),
    key("auth").misplaced("LMTP has no AUTH, in James either"),
    key("authRequired").misplaced("LMTP has no AUTH, in James either"),
    key("authorizedAddresses").misplaced("LMTP never relays"),
    key("verifyIdentity").misplaced("LMTP does not look at the sender, in James either"),
];
