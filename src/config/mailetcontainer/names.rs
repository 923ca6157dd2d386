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

/// The matchers. What is lost without one is said of the mailet that it chooses for.
pub const MATCHERS: &[Class] = &[
    class("All").ready(""),
    class("RecipientIsLocal").differently("all mail that ringpost accepts is for local recipients").ready(""),
    class("HostIsLocal").differently("all mail that ringpost accepts is for local domains").ready(""),
    meaningless("Or", "it is as good as what it joins").ready(""),
    meaningless("And", "it is as good as what it joins").ready(""),
    meaningless("Not", "it is as good as what it joins").ready(""),
    meaningless("Xor", "it is as good as what it joins").ready(""),
    plain("AtLeastPriority").ready(""),
    plain("AtMost").ready("inside a composite it counts whenever that matches"),
    plain("AtMostPriority").ready(""),
    plain("AttachmentFileNameIs").ready("archives are not looked into"),
    plain("CommandForListserv"),
    plain("CommandListservMatcher"),
    plain("CompareNumericHeaderValue").ready(""),
    plain("DSNDelayRequested").ready(""),
    plain("DSNFailureRequested").ready(""),
    plain("DSNSuccessRequested").ready(""),
    protecting("Dlp", "mail that it would hold back would be delivered: remove it"),
    plain("FetchedFrom").ready(""),
    plain("FileRegexMatcher"),
    plain("HasAttachment").ready(""),
    plain("HasException").ready("whatever went wrong matches, whichever Java class is named"),
    plain("HasHabeasWarrantMark"),
    plain("HasHeader").ready(""),
    plain("HasHeaderWithPrefix").ready(""),
    plain("HasMailAttribute").ready(""),
    plain("HasMailAttributeWithValue").ready(""),
    plain("HasMailAttributeWithValueRegex").ready(""),
    plain("HasMimeType").ready(""),
    plain("HasMimeTypeAnySubPart").ready(""),
    plain("HasMimeTypeParameter"),
    plain("HasPriority").ready(""),
    plain("HostIs").ready(""),
    protecting("InSpammerBlacklist", "mail of listed senders would be delivered: remove it").ready(""),
    plain("IsFromMailingList").ready("known by List- fields and Precedence"),
    protecting("IsInDropList", "mail of dropped senders would be delivered: remove it"),
    plain("IsInWhiteList"),
    protecting("IsMarkedAsSpam", "spam would be delivered: remove it"),
    protecting("IsOverQuota", "no mailbox has a quota: remove it"),
    plain("IsRemoteDeliveryPermanentError").ready(""),
    plain("IsRemoteDeliveryTemporaryError").ready(""),
    plain("IsSMIMEEncrypted"),
    plain("IsSMIMESigned"),
    plain("IsSenderInRRTLoop").ready(""),
    plain("IsSingleRecipient").ready(""),
    plain("IsX509CertificateSubject"),
    protecting("MailboxQuotaFixed", "no mailbox has a quota: remove it"),
    protecting("NESSpamCheck", "spam would be delivered: remove it"),
    plain("NetworkIsInWhitelist"),
    plain("PartHasContentType"),
    protecting(
        "RecipientCountExceeds",
        "its limit would not hold: set limits/recipients in ringpost.xml, and remove it",
    )
    .ready(""),
    plain("RecipientDomainIs").ready(""),
    plain("RecipientHasMXRecord"),
    plain("RecipientIs").ready(""),
    plain("RecipientIsRegex").ready(""),
    protecting("RelayLimit", "mail that goes round in circles would not be stopped: remove it").ready(""),
    plain("RemoteAddrInNetwork").ready(""),
    plain("RemoteAddrNotInNetwork").ready(""),
    plain("RemoteDeliveryFailedWithSMTPCode").ready(""),
    plain("SMTPAuthSuccessful").ready(""),
    plain("SMTPAuthUserIs").ready(""),
    plain("SMTPIsAuthNetwork").ready(""),
    plain("SenderDomainIs").ready(""),
    plain("SenderHasMXRecord"),
    plain("SenderHostIs").ready(""),
    plain("SenderHostIsLocal").ready(""),
    protecting("SenderInFakeDomain", "mail of senders that do not exist would be delivered: remove it").ready(""),
    plain("SenderIs").ready(""),
    plain("SenderIsLocal").ready(""),
    plain("SenderIsNull").ready(""),
    plain("SenderIsRegex").ready(""),
    plain("SentByJmap").ready("there is no JMAP, so it matches nobody"),
    plain("SentByMailet").ready(""),
    protecting("SizeGreaterThan", "its limit would not hold: set maxmessagesize, and remove it").ready(""),
    plain("SubjectIs").ready(""),
    plain("SubjectStartsWith").ready(""),
    protecting("TooManyLines", "its limit would not hold: remove it").ready(""),
    protecting("TooManyRecipients", "its limit would not hold: set limits/recipients in ringpost.xml, and remove it")
        .ready(""),
    plain("UserIs").ready(""),
    plain("XOriginatingIpInNetwork").ready(""),
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

const UNCHANGED: &str = "the mail is delivered as it came";
const NOT_SENT: &str = "ringpost sends no mail of its own yet";
const NO_ATTRIBUTES: &str = "nothing reads attributes yet";
const DELIVERED: &str = "mail that it would stop would be delivered: remove it";
const LEFT_IN: &str = "what it would take out of a mail would stay in: remove it";
const NOT_KEPT: &str = "there are no repositories yet; the mail is delivered";

const fn mailet(name: &'static str, instead: &'static str) -> Class {
    later(name, instead).with_anything()
}

const fn restricting(name: &'static str, advice: &'static str) -> Class {
    protecting(name, advice).with_anything()
}

/// The mailets.
pub const MAILETS: &[Class] = &[
    class("LocalDelivery")
        .with_anything()
        .differently("every mail that was accepted goes into the mailboxes of its recipients, whatever comes before")
        .ready("")
        .with(keys::LOCAL_DELIVERY),
    mailet("LmtpDelivery", "ringpost speaks to no LMTP server yet; the mail goes into the mailbox")
        .ready("beyond James: to an LMTP server")
        .with(keys::LMTP_DELIVERY),
    mailet("ToProcessor", "every mail goes to LocalDelivery, since all recipients are local")
        .ready("")
        .with(keys::TO_PROCESSOR),
    mailet("AddDeliveredToHeader", "the Maildir tells whose the mail is").ready("").with(&[]),
    mailet("AddFooter", UNCHANGED)
        .ready("a text whose charset has not the footer's letters stays as it is")
        .with(keys::ADD_FOOTER),
    mailet("AddHabeasWarrantMark", UNCHANGED),
    mailet("AddSubjectPrefix", UNCHANGED).ready("").with(keys::ADD_SUBJECT_PREFIX),
    mailet("AmqpForwardAttribute", NO_ATTRIBUTES),
    mailet("AttributeToHeader", UNCHANGED),
    restricting("BayesianAnalysis", DELIVERED),
    mailet("BayesianAnalysisFeeder", "nothing learns from it"),
    mailet("Bounce", NOT_SENT).ready("").with(keys::NOTIFY),
    restricting("ClamAVScan", DELIVERED),
    mailet("ClassifyBounce", UNCHANGED),
    mailet("ContactExtractor", NO_ATTRIBUTES),
    mailet("ContentReplacer", UNCHANGED),
    mailet("ConvertTo7Bit", UNCHANGED).ready("").with(&[]),
    mailet("Counter", "nothing is counted"),
    mailet("DKIMSign", "ringpost sends nothing that would need a signature yet"),
    restricting("DKIMVerify", DELIVERED),
    mailet("DSNBounce", NOT_SENT).ready("who asked not to hear of failures does not").with(keys::DSN_BOUNCE),
    restricting("DeconnectionRight", DELIVERED),
    mailet("DumpSystemErr", "nothing is dumped"),
    mailet("ExceptionThrowingMailet", "nothing fails"),
    mailet("Expires", UNCHANGED),
    mailet("ExtractMDNOriginalJMAPMessageId", NO_ATTRIBUTES),
    mailet("FoldLongLines", UNCHANGED),
    mailet("Forward", NOT_SENT).ready("").with(keys::FORWARD),
    mailet("FromRepository", "there are no repositories yet"),
    restricting("GlobalRateLimit", DELIVERED),
    mailet("HeadersToHTTP", NOT_SENT),
    mailet("ICALToHeader", UNCHANGED),
    mailet("ICALToJsonAttribute", NO_ATTRIBUTES),
    mailet("ICSSanitizer", UNCHANGED),
    mailet("ICalendarParser", NO_ATTRIBUTES),
    mailet("Identity", UNCHANGED).ready("").with(&[]),
    mailet("JDBCAlias", "no address is rewritten"),
    mailet("JDBCRecipientRewriteTable", "no address is rewritten"),
    restricting("JMAPFiltering", "the filters of users are not applied: remove it"),
    mailet("LogMessage", "the log has every mail already")
        .ready("16 KiB of a message at most are told")
        .with(keys::LOG_MESSAGE),
    mailet("MailAttributesListToMimeHeaders", UNCHANGED),
    mailet("MailAttributesToMimeHeaders", UNCHANGED),
    mailet("MailToAllUsers", "the mail goes to those it names"),
    mailet("ManageSieveMailet", "there are no filters yet"),
    mailet("MetricsMailet", "nothing is counted by that name yet").ready("").with(keys::METRICS),
    mailet("MimeDecodingMailet", NO_ATTRIBUTES),
    mailet("NotifyPostmaster", NOT_SENT)
        .ready("with the null reverse-path, so that notices lead to no others")
        .with(keys::NOTIFY),
    mailet("NotifySender", NOT_SENT)
        .ready("with the null reverse-path, so that notices lead to no others")
        .with(keys::NOTIFY),
    restricting("Null", DELIVERED).ready("").with(&[]),
    restricting("OnlyText", LEFT_IN),
    restricting("PerRecipientRateLimit", DELIVERED),
    restricting("PerSenderRateLimit", DELIVERED),
    class("PostmasterAlias")
        .differently("done before mail is taken, and whether or not it is named")
        .ready("")
        .with(&[]),
    mailet("PropagateError", "nothing fails"),
    mailet("RandomStoring", "the mail goes to those it names"),
    class("RecipientRewriteTable")
        .differently("done before mail is taken, and whether or not it is named")
        .ready("nobody gets a mail twice because two addresses lead to one")
        .with(keys::REWRITE),
    class("RecipientToLowerCase").differently("users are known whatever their case").ready("").with(&[]),
    mailet("RecoverAttachment", UNCHANGED),
    mailet("Redirect", NOT_SENT).ready("").with(keys::REDIRECT),
    mailet("RemoteDelivery", "ringpost relays nothing yet; mail to other hosts is refused when it comes")
        .ready("")
        .with(keys::REMOTE_DELIVERY),
    mailet("RemoveAllMailAttributes", NO_ATTRIBUTES).ready("").with(&[]),
    mailet("RemoveMailAttribute", NO_ATTRIBUTES).ready("").with(keys::REMOVE_MAIL_ATTRIBUTE),
    restricting("RemoveMimeHeader", LEFT_IN).ready("").with(keys::REMOVE_MIME_HEADER),
    restricting("RemoveMimeHeaderByPrefix", LEFT_IN).ready("").with(keys::REMOVE_MIME_HEADER),
    mailet("ReplaceContent", UNCHANGED),
    mailet("Requeue", "all mail is handled at once"),
    mailet("Resend", NOT_SENT).ready("").with(keys::REDIRECT),
    restricting("RspamdScanner", DELIVERED),
    mailet("SMIMECheckSignature", NO_ATTRIBUTES),
    mailet("SMIMEDecrypt", UNCHANGED),
    mailet("SMIMESign", UNCHANGED),
    restricting("SPF", "nothing tells who forged a sender: remove it"),
    mailet("SanitizeMimeMessageId", UNCHANGED),
    mailet("SaveMailNameInHeaders", UNCHANGED),
    mailet("SerialiseToHTTP", NOT_SENT),
    mailet("ServerTime", NOT_SENT),
    mailet("SetErrorMessage", "nothing fails").ready("").with(keys::SET_ERROR_MESSAGE),
    mailet("SetMailAttribute", NO_ATTRIBUTES).ready(""),
    mailet("SetMimeHeader", UNCHANGED).ready("").with(keys::SET_MIME_HEADER),
    mailet("SetMimeHeaderFromAttribute", UNCHANGED),
    restricting("Sieve", "the filters of users are not applied: remove it")
        .ready("the base language with fileinto, reject and envelope; a script that asks for more keeps the mail")
        .with(&[]),
    mailet("SieveLocalDelivery", "the mail goes into the mailbox, past every filter"),
    mailet("Sign", UNCHANGED),
    restricting("SpamAssassin", DELIVERED),
    mailet("SplitMail", "every recipient is seen to alone already")
        .ready("every recipient is seen to alone where it matters; the mail stays one")
        .with(&[]),
    restricting("StripAttachment", LEFT_IN).ready("").with(keys::STRIP_ATTACHMENT),
    mailet("SubAddressing", "user+detail goes to the inbox of user"),
    mailet("TextCalendarBodyToAttachment", UNCHANGED),
    mailet("ToPlainText", UNCHANGED),
    mailet("ToRecipientFolder", "the mail goes to the inbox"),
    mailet("ToRepository", NOT_KEPT).ready("").with(keys::TO_REPOSITORY),
    mailet("ToSenderDomainRepository", NOT_KEPT).ready("").with(keys::TO_SENDER_DOMAIN_REPOSITORY),
    mailet("ToSenderFolder", "the sender gets no copy"),
    mailet("UnwrapText", UNCHANGED),
    mailet("UseHeaderRecipients", "the envelope's recipients count"),
    mailet("UsersRepositoryAliasingForwarding", "no address is rewritten"),
    mailet("VacationMailet", NOT_SENT),
    mailet("WhiteListManager", "there is no such list"),
    mailet("WithPriority", "all mail is handled in the order it comes")
        .ready("mail is handled in the order it comes; matchers see the priority")
        .with(keys::WITH_PRIORITY),
    mailet("WithStorageDirective", "the mail goes to the inbox").ready("").with(keys::WITH_STORAGE_DIRECTIVE),
    mailet("WrapText", UNCHANGED),
    mailet("XMLRecipientRewriteTable", "no address is rewritten"),
];
