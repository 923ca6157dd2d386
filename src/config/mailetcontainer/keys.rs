//! The parameters of the mailets that the pipeline can have, as tables.

use super::super::key::{Key, boolean, key, something, whole};

const NOT_NEEDED: &str = "the sender's domain is looked up when mail comes in";
const LOGGED: &str = "the log's level is set in ringpost.xml, in <log>";

const fn debug() -> Key {
    key("debug").checked(boolean).default("false").meaningless(LOGGED)
}

const fn fake_domain() -> Key {
    key("fakeDomainCheck").checked(boolean).default("true").meaningless(NOT_NEEDED)
}

const fn pass_through(default: &'static str) -> Key {
    key("passThrough").default(default)
}

/// `LocalDelivery`.
pub const LOCAL_DELIVERY: &[Key] =
    &[key("consume").checked(boolean).default("true").unless(is_true).later("the way of a mail ends in the mailbox")];

fn is_true(text: &str) -> bool {
    super::value::boolean(text) == Ok(true)
}

/// `LmtpDelivery`.
pub const LMTP_DELIVERY: &[Key] = &[
    key("host"),
    key("port").default("24"),
    key("socket"),
    key("timeout").default("180000"),
    key("connectionTimeout").default("60000"),
    key("delayTime").default("6 hours"),
    key("maxRetries").default("5"),
];

/// `RemoteDelivery`.
pub const REMOTE_DELIVERY: &[Key] = &[
    key("outgoing").checked(something).default("outgoing").meaningless("ringpost has one queue, the spool"),
    key("delayTime").default("6 hours"),
    key("maxRetries").default("5"),
    key("maxDnsProblemRetries").default("0"),
    key("timeout").default("180000"),
    key("connectionTimeout").default("60000"),
    key("connectiontimeout").older("connectionTimeout"),
    key("bounceProcessor"),
    key("onSuccess"),
    key("startTLS").default("false").differently("false is STARTTLS where the host offers it, true is nothing without"),
    key("sslEnable").default("false"),
    key("verifyServerIdentity").default("true"),
    key("sslTrustAllCerts").default("false"),
    key("gateway"),
    key("gatewayPort").default("25"),
    key("gatewayUsername"),
    key("gatewayusername").older("gatewayUsername"),
    key("gatewayPassword"),
    key("loadBalancing").default("true"),
    key("heloName"),
    key("bind"),
    key("sendpartial")
        .default("false")
        .differently("what some recipients' host refused never keeps the others from it"),
    key("deliveryThreads")
        .checked(whole)
        .meaningless("James reads it nowhere; deliveries have their bound in ringpost.xml"),
    key("usePriority").checked(boolean).default("false").meaningless("mail is handled in the order it comes"),
    key("debug").checked(boolean).default("false").meaningless(LOGGED),
    key("mail.smtp.starttls.enable").checked(boolean).older("startTLS"),
];

/// `ToProcessor`.
pub const TO_PROCESSOR: &[Key] = &[key("processor"), key("notice"), debug()];

/// `ToRepository`.
pub const TO_REPOSITORY: &[Key] = &[
    key("repositoryPath"),
    pass_through("false"),
    key("allowRepositoryCreation").checked(boolean).meaningless("a repository is there as soon as it has a mail"),
];

/// `ToSenderDomainRepository`.
pub const TO_SENDER_DOMAIN_REPOSITORY: &[Key] = &[
    key("urlPrefix"),
    pass_through("false"),
    key("allowRepositoryCreation").checked(boolean).meaningless("a repository is there as soon as it has a mail"),
];

/// `DKIMSign`.
pub const DKIM_SIGN: &[Key] = &[
    key("signatureTemplate"),
    key("privateKeyFilepath"),
    key("privateKey"),
    key("privateKeyPassword"),
    key("forceCRLF").checked(boolean).default("true").meaningless("lines of mail end with CR LF here"),
];

/// `RecipientRewriteTable`.
pub const REWRITE: &[Key] = &[
    key("errorProcessor").default("error"),
    key("rewriteSenderUponForward").checked(boolean).default("true").later("a forwarded mail keeps its reverse-path"),
    key("forwardAutomaticallySentMails").checked(boolean).default("true").unless(is_true).later("they are forwarded"),
];

/// `SetMimeHeader`.
pub const SET_MIME_HEADER: &[Key] = &[key("name"), key("value")];
/// `RemoveMimeHeader` and `RemoveMimeHeaderByPrefix`.
pub const REMOVE_MIME_HEADER: &[Key] = &[key("name")];
/// `AddSubjectPrefix`.
pub const ADD_SUBJECT_PREFIX: &[Key] = &[key("subjectPrefix")];
/// `RemoveMailAttribute`.
pub const REMOVE_MAIL_ATTRIBUTE: &[Key] = &[key("name")];
/// `WithPriority`.
pub const WITH_PRIORITY: &[Key] = &[key("priority")];
/// `SetErrorMessage`.
pub const SET_ERROR_MESSAGE: &[Key] = &[key("errorMessage")];
/// `WithStorageDirective`.
pub const WITH_STORAGE_DIRECTIVE: &[Key] = &[
    key("targetFolderName"),
    key("seen").checked(boolean).unless(super::super::key::is_false).later("mail is new when it comes"),
    key("important").checked(boolean).unless(super::super::key::is_false).later("mail has no flags when it comes"),
    key("keywords").later("mail has no flags when it comes"),
];
/// `MetricsMailet`.
pub const METRICS: &[Key] = &[key("metricName")];
/// `LogMessage`.
pub const LOG_MESSAGE: &[Key] = &[
    key("headers").default("true"),
    key("body").default("true"),
    key("maxBody").defaults("unlimited", "unlimited", "16384").differently("16 KiB at most are told"),
    key("comment"),
    key("level").meaningless(LOGGED),
    pass_through("true"),
];
/// `AddFooter`.
pub const ADD_FOOTER: &[Key] = &[key("text")];
/// `StripAttachment`.
pub const STRIP_ATTACHMENT: &[Key] = &[
    key("pattern"),
    key("notpattern"),
    key("remove").default("no"),
    key("decodeFilename").checked(boolean).meaningless("names of files are always decoded"),
    key("directory").later("what is taken out is not kept in a directory"),
    key("attribute").later("what is taken out is not kept in an attribute"),
    key("replaceFilenamePattern").later("names of files are looked at as they are"),
    key("mimeType").later("parts are known by the names of their files"),
];

/// `DSNBounce`.
pub const DSN_BOUNCE: &[Key] = &[
    key("sender").default("postmaster"),
    key("prefix"),
    key("attachment").default("message"),
    key("messageString"),
    key("action").default("failed"),
    key("defaultStatus").default("unknown"),
    pass_through("true"),
    debug(),
];

/// `Bounce`, `NotifySender` and `NotifyPostmaster`.
pub const NOTIFY: &[Key] = &[
    key("sender").default("postmaster"),
    key("sendingAddress").older("sender"),
    key("message"),
    key("notice").older("message"),
    key("prefix").default("Re:"),
    key("inline").default("none"),
    key("attachment").default("message"),
    key("attachError").default("false"),
    key("attachStackTrace").older("attachError"),
    key("to").later("the notice is for whom it goes to"),
    pass_through("true"),
    fake_domain(),
    debug(),
];

/// `Redirect` and `Resend`.
pub const REDIRECT: &[Key] = &[
    key("recipients"),
    key("to"),
    key("sender").default("unaltered"),
    key("replyTo").default("unaltered"),
    key("replyto").older("replyTo"),
    key("reversePath"),
    key("subject"),
    key("prefix"),
    key("message"),
    key("inline"),
    key("attachment").default("none"),
    key("attachError").default("false"),
    key("isReply").default("false"),
    key("static").checked(boolean).meaningless("nothing is worked out twice"),
    pass_through("false"),
    fake_domain(),
    debug(),
];

/// `Forward`.
pub const FORWARD: &[Key] =
    &[key("forwardTo"), key("forwardto").older("forwardTo"), pass_through("false"), fake_domain(), debug()];
