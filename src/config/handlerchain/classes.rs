//! The handlers of James by their classes, and what they are here.

use super::super::class::{Class, class, later, meaningless, protecting};
use super::super::key::{Key, boolean, key, something, whole};
use super::super::value::{self, Expected};

const CORE: &str = "it is part of the core commands already, in James too";
const NO_CHECK: &str = "mail that it would refuse would be taken: remove it";
const NO_LIMIT: &str = "its limit would not hold: remove it";
const NO_LIST: &str = "passwords come from the users alone: make them users, and remove it";
const DSN: &str = "one of the four turns all of DSN on, and DELIVERBY (RFC 2852) with it. What is wrong in RET, ENVID, NOTIFY or ORCPT is refused with 501 (James: let pass, or 451)";
const FUTURE_RELEASE: &str =
    "one of the two turns both on. HOLDFOR and HOLDUNTIL together are refused with 501 (James: 554)";
const MT_PRIORITY: &str = "one of the three turns all on. The priority is kept with the message and told in Received; \
                           mail is handled in the order in which it comes. It is handed on to next hops that offer the extension";
const REQUIRE_TLS: &str = "one of the three turns all on. Outside of TLS the parameter is refused with 530; \
                           the header field TLS-Required is not looked at";
const WITH_PRIORITY: &str = "all mail is handled in the order it comes";

/// The packages of hooks that turn an extension on.
pub const DSN_HOOKS: &str = "org.apache.james.smtpserver.dsn.";
/// FUTURERELEASE.
pub const FUTURE_RELEASE_HOOKS: &str = "org.apache.james.smtpserver.futurerelease.";
/// MT-PRIORITY.
pub const MT_PRIORITY_HOOKS: &str = "org.apache.james.smtpserver.priority.";
/// REQUIRETLS.
pub const REQUIRE_TLS_HOOKS: &str = "org.apache.james.smtpserver.tls.SmtpRequireTls";

const JMX: &str = "ringpost has no JMX";

/// The classes of SMTP.
pub const SMTP: &[Class] = &[
    class("org.apache.james.smtpserver.CoreCmdHandlerLoader"),
    class("org.apache.james.smtpserver.NoAuthCmdHandlerLoader"),
    meaningless("org.apache.james.smtpserver.jmx.JMXHandlersLoader", JMX),
    class(super::VALID_RCPT).with(VALID_RCPT).differently(
        "recipients are looked up whether or not the chain names it. A recipient is valid where it is a user, or the rewrite table has it",
    ),
    protecting("org.apache.james.smtpserver.fastfail.MaxRcptHandler", "its limit would not hold: set limits/recipients in ringpost.xml, and remove it")
        .with(&[key("maxRcpt").checked(whole)]),
    protecting("org.apache.james.smtpserver.fastfail.DNSRBLHandler", NO_CHECK).with(&[
        key("rblservers/whitelist").often().checked(something),
        key("rblservers/blacklist").often().checked(something),
        key("getDetail").checked(boolean),
    ]),
    protecting("org.apache.james.smtpserver.fastfail.ValidSenderDomainHandler", NO_CHECK),
    protecting("org.apache.james.smtpserver.fastfail.ResolvableEhloHeloHandler", NO_CHECK).with(CHECK_NETWORKS),
    protecting("org.apache.james.smtpserver.fastfail.ReverseEqualsEhloHeloHandler", NO_CHECK).with(CHECK_NETWORKS),
    protecting("org.apache.james.smtpserver.fastfail.SPFHandler", NO_CHECK)
        .with(&[key("blockSoftFail").checked(boolean), key("blockPermError").checked(boolean)]),
    protecting("org.apache.james.smtpserver.DKIMHook", NO_CHECK).with(&[
        key("forceCRLF").checked(boolean),
        key("signatureRequired").checked(boolean),
        key("onlyForSenderDomain").checked(something),
        key("validatedEntities").checked(something),
        key("expectedDToken").checked(something),
        key("forceCLRF").misplaced("James does not read it either; the key is forceCRLF"),
    ]),
    protecting("org.apache.james.smtpserver.fastfail.URIRBLHandler", NO_CHECK).with(&[
        key("uriRblServers/server").often().checked(something),
        key("getDetail").checked(boolean),
        key("action").meaningless("James does not read it either"),
    ]),
    protecting("org.apache.james.smtpserver.fastfail.JDBCGreylistHandler", NO_CHECK).with(&[
        key("tempBlockTime").checked(duration),
        key("unseenLifeTime").checked(duration),
        key("autoWhiteListLifeTime").checked(duration),
        key("whitelistedNetworks"),
        key("sqlFile").checked(something),
        key("repositoryPath").checked(something),
    ]),
    protecting("org.apache.james.smtpserver.fastfail.SpamTrapHandler", NO_CHECK)
        .with(&[key("spamTrapRecip").often(), key("blockTime").checked(whole)]),
    protecting("org.apache.james.smtpserver.fastfail.ValidRcptMX", NO_CHECK).with(&[key("invalidMXNetworks").often()]),
    protecting("org.apache.james.smtpserver.fastfail.MaxUnknownCmdHandler", NO_LIMIT)
        .with(&[key("maxUnknownCmdCount").checked(whole)]),
    protecting("org.apache.james.smtpserver.fastfail.AllowedUnauthenticatedSender", NO_CHECK).with(&[
        key("allowedSenders/allowedSender").often().checked(something),
        key("allowedSenders/allowedSender/@fromIps").checked(something),
        key("allowNullSender").checked(boolean),
    ]),
    class("org.apache.james.protocols.smtp.core.fastfail.SupressDuplicateRcptHandler")
        .differently("it does nothing, as in James, where the duplicate is added all the same"),
    meaningless("org.apache.james.protocols.smtp.core.AcceptRecipientIfRelayingIsAllowed", CORE),
    later("org.apache.james.smtpserver.POP3BeforeSMTPHandler", "nobody relays for having fetched mail; there is AUTH")
        .with(&[key("expireTime").checked(duration)]),
    protecting("org.apache.james.smtpserver.ConfigurationAuthHook", NO_LIST).with_anything(),
    class("org.apache.james.smtpserver.UsersRepositoryAuthHook").differently("the users are asked whether or not the chain names it"),
    protecting("org.apache.james.smtpserver.EnforceHeaderLimitationsMessageHook", NO_LIMIT)
        .with(&[key("maxLines").checked(whole), key("maxSize").checked(something)]),
    later("org.apache.james.smtpserver.SetMimeHeaderHandler", "messages are not changed")
        .with(&[key("headername").checked(something), key("headervalue")]),
    later("org.apache.james.smtpserver.SetMailAttributeMessageHook", "the attribute is not set")
        .with(&[key("name").checked(something), key("value")]),
    later("org.apache.james.smtpserver.MailPriorityHandler", WITH_PRIORITY).with(&[
        key("priorityEntries/priorityEntry").often(),
        key("priorityEntries/priorityEntry/domain").checked(something),
        key("priorityEntries/priorityEntry/priority").checked(priority),
    ]),
    meaningless("org.apache.james.smtpserver.AddDefaultAttributesMessageHook", CORE),
    meaningless("org.apache.james.smtpserver.SendMailHandler", CORE),
    class("org.apache.james.smtpserver.dsn.DSNEhloHook").differently(DSN),
    class("org.apache.james.smtpserver.dsn.DSNMailParameterHook").differently(DSN),
    class("org.apache.james.smtpserver.dsn.DSNRcptParameterHook").differently(DSN),
    class("org.apache.james.smtpserver.dsn.DSNMessageHook").differently(DSN),
    class("org.apache.james.smtpserver.futurerelease.FutureReleaseEHLOHook").differently(FUTURE_RELEASE),
    class("org.apache.james.smtpserver.futurerelease.FutureReleaseMailParameterHook").differently(FUTURE_RELEASE),
    class("org.apache.james.smtpserver.priority.SmtpMtPriorityEhloHook").differently(MT_PRIORITY),
    class("org.apache.james.smtpserver.priority.SmtpMtPriorityParameterHook").differently(MT_PRIORITY),
    class("org.apache.james.smtpserver.priority.SmtpMtPriorityMessageHook").differently(MT_PRIORITY),
    class("org.apache.james.smtpserver.tls.SmtpRequireTlsEhloHook").differently(REQUIRE_TLS),
    class("org.apache.james.smtpserver.tls.SmtpRequireTlsParameterHook").differently(REQUIRE_TLS),
    class("org.apache.james.smtpserver.tls.SmtpRequireTlsMessageHook").differently(REQUIRE_TLS),
    protecting("org.apache.james.smtpserver.tls.EnforceMtaSts", "mail in clear would be taken: remove it"),
    later("org.apache.james.smtpserver.tls.TestMtaSts", "it only logs; the log tells nothing of TLS yet"),
    class("org.apache.james.smtpserver.smtputf8.SmtpUtf8EhloHook").differently("SMTPUTF8 is announced and done whether or not the chain names it"),
    class("org.apache.james.smtpserver.smtputf8.SmtpUtf8MailHook").differently("SMTPUTF8 is announced and done whether or not the chain names it"),
    class("org.apache.james.smtpserver.smtputf8.SmtpUtf8RcptHook").differently("SMTPUTF8 is announced and done whether or not the chain names it"),
    protecting("org.apache.james.smtpserver.netty.MaxConnectionLifespanHandler", NO_LIMIT).with(&[key("duration").checked(duration)]),
    protecting("org.apache.james.spamassassin.SpamAssassinHandler", NO_CHECK).with(SPAMASSASSIN),
    protecting("org.apache.james.smtpserver.fastfail.SpamAssassinHandler", NO_CHECK).with(SPAMASSASSIN),
    protecting("org.apache.james.crowdsec.CrowdsecSMTPConnectHandler", NO_CHECK),
    protecting("org.apache.james.crowdsec.CrowdsecEhloHook", NO_CHECK),
    protecting("org.apache.james.CrowdsecEhloHook", NO_CHECK),
    meaningless("org.apache.james.smtpserver.JamesWelcomeMessageHandler", CORE),
    meaningless("org.apache.james.smtpserver.JamesDataCmdHandler", CORE),
    meaningless("org.apache.james.smtpserver.JamesMailCmdHandler", CORE),
    meaningless("org.apache.james.smtpserver.JamesRcptCmdHandler", CORE),
    meaningless("org.apache.james.smtpserver.AuthRequiredToRelayRcptHook", CORE),
    meaningless("org.apache.james.smtpserver.SenderAuthIdentifyVerificationHook", CORE),
    meaningless("org.apache.james.smtpserver.SenderAuthIdentifyVerificationRcptHook", CORE),
    meaningless("org.apache.james.smtpserver.AuthRequiredHook", CORE),
    meaningless("org.apache.james.smtpserver.DataLineJamesMessageHookHandler", CORE),
    meaningless("org.apache.james.protocols.smtp.core.esmtp.AuthCmdHandler", CORE),
    meaningless("org.apache.james.protocols.smtp.core.esmtp.EhloCmdHandler", CORE),
    meaningless("org.apache.james.protocols.smtp.core.HeloCmdHandler", CORE),
    meaningless("org.apache.james.protocols.smtp.core.HelpCmdHandler", CORE),
    meaningless("org.apache.james.protocols.smtp.core.esmtp.StartTlsCmdHandler", CORE),
    meaningless("org.apache.james.protocols.smtp.core.UnknownCmdHandler", CORE),
];

/// The classes of LMTP.
pub const LMTP: &[Class] = &[
    class("org.apache.james.lmtpserver.CoreCmdHandlerLoader"),
    meaningless("org.apache.james.lmtpserver.jmx.JMXHandlersLoader", JMX),
    class(super::CONTAINER_LOADER).differently(
        "each recipient is answered for itself: a client that is told of a failure never has to send to those who have the mail",
    ),
    class(super::CONTAINER_HANDLER).with(&[key("splitExecution").default("false")]),
    meaningless(super::VALID_RCPT, CORE).with(VALID_RCPT),
    meaningless("org.apache.james.protocols.lmtp.core.WelcomeMessageHandler", CORE),
    meaningless("org.apache.james.protocols.lmtp.core.LhloCmdHandler", CORE),
    meaningless("org.apache.james.lmtpserver.DataLineLMTPHandler", CORE),
    meaningless("org.apache.james.lmtpserver.hook.MailboxDeliverToRecipientHandler", CORE),
];

/// The classes that the core of either protocol has.
pub const BOTH: &[Class] = &[
    meaningless("org.apache.james.protocols.api.handler.CommandDispatcher", CORE),
    meaningless("org.apache.james.protocols.api.handler.CommandHandlerResultLogger", CORE),
    meaningless("org.apache.james.protocols.smtp.core.ExpnCmdHandler", CORE),
    meaningless("org.apache.james.protocols.smtp.core.NoopCmdHandler", CORE),
    meaningless("org.apache.james.protocols.smtp.core.QuitCmdHandler", CORE),
    meaningless("org.apache.james.protocols.smtp.core.RsetCmdHandler", CORE),
    meaningless("org.apache.james.protocols.smtp.core.VrfyCmdHandler", CORE),
    meaningless("org.apache.james.protocols.smtp.core.PostmasterAbuseRcptHook", CORE),
    meaningless("org.apache.james.protocols.smtp.core.ReceivedDataLineFilter", CORE),
    meaningless("org.apache.james.protocols.smtp.core.esmtp.MailSizeEsmtpExtension", CORE),
    meaningless("org.apache.james.protocols.smtp.core.log.HookResultLogger", CORE),
];

const VALID_RCPT: &[Key] = &[
    key("enableRecipientRewriteTable").default("true"),
    key("recipientRewriteTableCheck")
        .default("mappingExists")
        .differently("as anyMappingValid, for what no user would get is not taken"),
];

const CHECK_NETWORKS: &[Key] =
    &[key("checkAuthNetworks").misplaced("James' documentation has it, and its code does not read it")];

const SPAMASSASSIN: &[Key] = &[
    key("spamdRejectionHits").checked(something),
    key("spamdHost").checked(something),
    key("spamdPort").checked(whole),
];

fn priority(text: &str) -> Result<(), Expected> {
    value::number(text, 1, 9).map(drop)
}

fn duration(text: &str) -> Result<(), Expected> {
    value::james_duration(text, std::time::Duration::from_millis(1)).map(drop)
}
