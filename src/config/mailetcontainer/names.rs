//! The matchers and mailets of James, and what they are here.

use super::super::class::{Class, class, later, meaningless, protecting};
use super::keys;
use crate::mailet::matchers::composite::Join;

/// The packages that James looks in for mailets.
pub const MAILET_PACKAGES: &[&str] = &[
    "org.apache.james.transport.mailets",
    "org.apache.james.transport.mailets.debug",
    "org.apache.james.transport.mailets.delivery",
    "org.apache.james.transport.mailets.remote.delivery",
    "org.apache.james.jmap.mailet",
    "org.apache.james.jmap.mailet.filter",
    "org.apache.james.jdkim.mailets",
    "org.apache.james.rspamd",
    "org.apache.james.spamassassin",
    "org.apache.james.mailetcontainer.impl",
];

/// The packages that James looks in for matchers.
pub const MATCHER_PACKAGES: &[&str] = &[
    "org.apache.james.transport.matchers",
    "org.apache.james.transport.matchers.dlp",
    "org.apache.james.mailetcontainer.impl.matchers",
    "org.apache.james.jmap.mailet",
];

/// Matchers that join others.
pub const COMPOSITES: [(&str, Join); 4] =
    [("Or", Join::Or), ("And", Join::And), ("Not", Join::Not), ("Xor", Join::Xor)];

/// A parameter that names a processor.
pub struct Referring {
    /// The mailet that has it; empty for all of them.
    pub mailet: &'static str,
    /// Its name.
    pub parameter: &'static str,
    /// What it may say beside the name of a processor.
    pub words: &'static [&'static str],
}

const fn refers(mailet: &'static str, parameter: &'static str) -> Referring {
    Referring { mailet, parameter, words: &[] }
}

/// Every parameter that names a processor.
pub const REFERRING: &[Referring] = &[
    Referring { mailet: "", parameter: "onMailetException", words: &["ignore", "propagate"] },
    Referring { mailet: "", parameter: "onMatchException", words: &["nomatch", "matchall"] },
    refers("ToProcessor", "processor"),
    refers("RemoteDelivery", "bounceProcessor"),
    refers("RemoteDelivery", "onSuccess"),
    refers("RecipientRewriteTable", "errorProcessor"),
    refers("Requeue", "processor"),
    refers("PerSenderRateLimit", "exceededProcessor"),
    refers("PerRecipientRateLimit", "exceededProcessor"),
    refers("GlobalRateLimit", "exceededProcessor"),
    refers("RandomStoring", "processor"),
    refers("MailToAllUsers", "processor"),
];

const NOT_FOR: &str = "what is done with it is named with its mailet";

const fn plain(name: &'static str) -> Class {
    later(name, NOT_FOR)
}

/// The matchers. What is lost without one is said of the mailet that it chooses for: a mailet whose matcher is not done does nothing.
pub const MATCHERS: &[Class] = &[
    class("All"),
    class("RecipientIsLocal"),
    class("HostIsLocal"),
    class("Or"),
    class("And"),
    class("Not"),
    class("Xor"),
    class("AtLeastPriority"),
    class("AtMost").differently("inside a composite it counts whenever that matches"),
    class("AtMostPriority"),
    class("AttachmentFileNameIs").differently("archives are not looked into"),
    plain("CommandForListserv"),
    plain("CommandListservMatcher"),
    class("CompareNumericHeaderValue"),
    class("DSNDelayRequested"),
    class("DSNFailureRequested"),
    class("DSNSuccessRequested"),
    protecting("Dlp", "mail that it would hold back would be delivered: remove it"),
    class("FetchedFrom"),
    plain("FileRegexMatcher"),
    class("HasAttachment"),
    class("HasException").differently("whatever went wrong matches, whichever Java class is named"),
    plain("HasHabeasWarrantMark"),
    class("HasHeader"),
    class("HasHeaderWithPrefix"),
    class("HasMailAttribute"),
    class("HasMailAttributeWithValue"),
    class("HasMailAttributeWithValueRegex"),
    class("HasMimeType"),
    class("HasMimeTypeAnySubPart"),
    plain("HasMimeTypeParameter"),
    class("HasPriority"),
    class("HostIs"),
    class("InSpammerBlacklist"),
    class("IsFromMailingList").differently("known by List- fields and Precedence"),
    protecting("IsInDropList", "mail of dropped senders would be delivered: remove it"),
    plain("IsInWhiteList"),
    protecting("IsMarkedAsSpam", "spam would be delivered: remove it"),
    protecting("IsOverQuota", "no mailbox has a quota: remove it"),
    class("IsRemoteDeliveryPermanentError"),
    class("IsRemoteDeliveryTemporaryError"),
    plain("IsSMIMEEncrypted"),
    plain("IsSMIMESigned"),
    class("IsSenderInRRTLoop"),
    class("IsSingleRecipient"),
    plain("IsX509CertificateSubject"),
    protecting("MailboxQuotaFixed", "no mailbox has a quota: remove it"),
    protecting("NESSpamCheck", "spam would be delivered: remove it"),
    plain("NetworkIsInWhitelist"),
    plain("PartHasContentType"),
    class("RecipientCountExceeds"),
    class("RecipientDomainIs"),
    plain("RecipientHasMXRecord"),
    class("RecipientIs"),
    class("RecipientIsRegex"),
    class("RelayLimit"),
    class("RemoteAddrInNetwork"),
    class("RemoteAddrNotInNetwork"),
    class("RemoteDeliveryFailedWithSMTPCode"),
    class("SMTPAuthSuccessful"),
    class("SMTPAuthUserIs"),
    class("SMTPIsAuthNetwork"),
    class("SenderDomainIs"),
    plain("SenderHasMXRecord"),
    class("SenderHostIs"),
    class("SenderHostIsLocal"),
    class("SenderInFakeDomain"),
    class("SenderIs"),
    class("SenderIsLocal"),
    class("SenderIsNull"),
    class("SenderIsRegex"),
    class("SentByJmap").differently("there is no JMAP, so it matches nobody"),
    class("SentByMailet"),
    class("SizeGreaterThan"),
    class("SubjectIs"),
    class("SubjectStartsWith"),
    class("TooManyLines"),
    class("TooManyRecipients"),
    class("UserIs"),
    class("XOriginatingIpInNetwork"),
];

/// Matchers that say nothing without a condition.
pub const WITH_CONDITION: &[&str] = &[
    "AtLeastPriority",
    "AtMost",
    "AtMostPriority",
    "AttachmentFileNameIs",
    "HasHeader",
    "HasHeaderWithPrefix",
    "HasMailAttribute",
    "HasMailAttributeWithValue",
    "HasMailAttributeWithValueRegex",
    "HasMimeType",
    "HasPriority",
    "HostIs",
    "InSpammerBlacklist",
    "RecipientCountExceeds",
    "RecipientDomainIs",
    "RecipientIs",
    "RecipientIsRegex",
    "RelayLimit",
    "RemoteAddrInNetwork",
    "RemoteAddrNotInNetwork",
    "RemoteDeliveryFailedWithSMTPCode",
    "SMTPAuthUserIs",
    "SenderDomainIs",
    "SenderHostIs",
    "SenderIs",
    "SenderIsRegex",
    "SizeGreaterThan",
    "SubjectIs",
    "SubjectStartsWith",
    "TooManyLines",
    "TooManyRecipients",
    "XOriginatingIpInNetwork",
];

const UNCHANGED: &str = "the mail goes on as it came";
const NOT_SENT: &str = "nothing is sent";
const NO_ATTRIBUTES: &str = "the attribute is not there for who would read it";
const DELIVERED: &str = "mail that it would stop would go on: remove it";
const LEFT_IN: &str = "what it would take out of a mail would stay in: remove it";

const fn mailet(name: &'static str, instead: &'static str) -> Class {
    later(name, instead).with_anything()
}

const fn restricting(name: &'static str, advice: &'static str) -> Class {
    protecting(name, advice).with_anything()
}

/// The mailets.
pub const MAILETS: &[Class] = &[
    class("LocalDelivery").with(keys::LOCAL_DELIVERY),
    class("LmtpDelivery").differently("James has none: mail goes to an LMTP server, such as Dovecot").with(keys::LMTP_DELIVERY),
    class("ToProcessor").with(keys::TO_PROCESSOR),
    class("AddDeliveredToHeader"),
    class("AddFooter").differently("a text whose charset has not the footer's letters stays as it is").with(keys::ADD_FOOTER),
    mailet("AddHabeasWarrantMark", UNCHANGED),
    class("AddSubjectPrefix").with(keys::ADD_SUBJECT_PREFIX),
    mailet("AmqpForwardAttribute", NO_ATTRIBUTES),
    mailet("AttributeToHeader", UNCHANGED),
    restricting("BayesianAnalysis", DELIVERED),
    mailet("BayesianAnalysisFeeder", "nothing learns from it"),
    class("Bounce").with(keys::NOTIFY),
    restricting("ClamAVScan", DELIVERED),
    mailet("ClassifyBounce", UNCHANGED),
    mailet("ContactExtractor", NO_ATTRIBUTES),
    mailet("ContentReplacer", UNCHANGED),
    class("ConvertTo7Bit"),
    mailet("Counter", "nothing is counted"),
    class("DKIMSign").differently("l=, z= and rsa-sha1 are refused; keys of Ed25519 sign as well").with(keys::DKIM_SIGN),
    restricting("DKIMVerify", DELIVERED),
    class("DSNBounce")
        .differently(
            "who asked not to hear of failures does not. This host is called by helloName, [machine] too, which in \
             James is the machine's name",
        )
        .with(keys::DSN_BOUNCE),
    restricting("DeconnectionRight", DELIVERED),
    mailet("DumpSystemErr", "nothing is dumped"),
    mailet("ExceptionThrowingMailet", "nothing fails"),
    mailet("Expires", UNCHANGED),
    mailet("ExtractMDNOriginalJMAPMessageId", NO_ATTRIBUTES),
    mailet("FoldLongLines", UNCHANGED),
    class("Forward").with(keys::FORWARD),
    mailet("FromRepository", "ringpost repository reprocess lets mail go on"),
    restricting("GlobalRateLimit", DELIVERED),
    mailet("HeadersToHTTP", NOT_SENT),
    mailet("ICALToHeader", UNCHANGED),
    mailet("ICALToJsonAttribute", NO_ATTRIBUTES),
    mailet("ICSSanitizer", UNCHANGED),
    mailet("ICalendarParser", NO_ATTRIBUTES),
    class("Identity"),
    mailet("JDBCAlias", "no address is rewritten"),
    mailet("JDBCRecipientRewriteTable", "no address is rewritten"),
    meaningless("JMAPFiltering", "there is no JMAP here, so nobody has filters of it").with_anything(),
    class("LogMessage").differently("16 KiB of a message at most are told").with(keys::LOG_MESSAGE),
    mailet("MailAttributesListToMimeHeaders", UNCHANGED),
    mailet("MailAttributesToMimeHeaders", UNCHANGED),
    mailet("MailToAllUsers", "the mail goes to those it names"),
    mailet("ManageSieveMailet", "a filter is the file active.sieve in a user's Maildir"),
    class("MetricsMailet").with(keys::METRICS),
    mailet("MimeDecodingMailet", NO_ATTRIBUTES),
    class("NotifyPostmaster").differently("with the null reverse-path, so that notices lead to no others").with(keys::NOTIFY),
    class("NotifySender").differently("with the null reverse-path, so that notices lead to no others").with(keys::NOTIFY),
    class("Null"),
    restricting("OnlyText", LEFT_IN),
    restricting("PerRecipientRateLimit", DELIVERED),
    restricting("PerSenderRateLimit", DELIVERED),
    class("PostmasterAlias"),
    mailet("PropagateError", "nothing fails"),
    mailet("RandomStoring", "the mail goes to those it names"),
    class("RecipientRewriteTable").differently("what it names of other domains goes there as from a mailet; nobody gets a mail twice because two addresses lead to one. Where no mailet is one, the table is applied at RCPT").with(keys::REWRITE),
    class("RecipientToLowerCase"),
    mailet("RecoverAttachment", UNCHANGED),
    class("Redirect").with(keys::REDIRECT),
    class("RemoteDelivery").with(keys::REMOTE_DELIVERY),
    class("RemoveAllMailAttributes"),
    class("RemoveMailAttribute").with(keys::REMOVE_MAIL_ATTRIBUTE),
    class("RemoveMimeHeader").with(keys::REMOVE_MIME_HEADER),
    class("RemoveMimeHeaderByPrefix").with(keys::REMOVE_MIME_HEADER),
    mailet("ReplaceContent", UNCHANGED),
    mailet("Requeue", "all mail is handled at once"),
    class("Resend").with(keys::REDIRECT),
    restricting("RspamdScanner", DELIVERED),
    mailet("SMIMECheckSignature", NO_ATTRIBUTES),
    mailet("SMIMEDecrypt", UNCHANGED),
    mailet("SMIMESign", UNCHANGED),
    restricting("SPF", "nothing tells who forged a sender: remove it"),
    mailet("SanitizeMimeMessageId", UNCHANGED),
    mailet("SaveMailNameInHeaders", UNCHANGED),
    mailet("SerialiseToHTTP", NOT_SENT),
    mailet("ServerTime", NOT_SENT),
    class("SetErrorMessage").with(keys::SET_ERROR_MESSAGE),
    class("SetMailAttribute").with_anything(),
    class("SetMimeHeader").with(keys::SET_MIME_HEADER),
    mailet("SetMimeHeaderFromAttribute", UNCHANGED),
    class("Sieve").differently(
        "the base language with fileinto, reject, envelope and vacation; a script that asks for more keeps the mail",
    ),
    mailet("SieveLocalDelivery", "the mail goes into the mailbox, past every filter"),
    mailet("Sign", UNCHANGED),
    restricting("SpamAssassin", DELIVERED),
    class("SplitMail").differently("every recipient is seen to alone where it matters; the mail stays one"),
    class("StripAttachment").with(keys::STRIP_ATTACHMENT),
    mailet("SubAddressing", "user+detail goes to the inbox of user"),
    mailet("TextCalendarBodyToAttachment", UNCHANGED),
    mailet("ToPlainText", UNCHANGED),
    mailet("ToRecipientFolder", "the mail goes to the inbox"),
    class("ToRepository").with(keys::TO_REPOSITORY),
    class("ToSenderDomainRepository").with(keys::TO_SENDER_DOMAIN_REPOSITORY),
    mailet("ToSenderFolder", "the sender gets no copy"),
    mailet("UnwrapText", UNCHANGED),
    mailet("UseHeaderRecipients", "the envelope's recipients count"),
    mailet("UsersRepositoryAliasingForwarding", "no address is rewritten"),
    mailet("VacationMailet", "users are answered for by vacation in their Sieve scripts, which the mailet Sieve obeys"),
    mailet("WhiteListManager", "there is no such list"),
    class("WithPriority").differently("mail is handled in the order it comes; matchers see the priority").with(keys::WITH_PRIORITY),
    class("WithStorageDirective").with(keys::WITH_STORAGE_DIRECTIVE),
    mailet("WrapText", UNCHANGED),
    mailet("XMLRecipientRewriteTable", "no address is rewritten"),
];
