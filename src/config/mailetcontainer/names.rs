//! The matchers and mailets of James, and what they are here.

use super::super::class::{Class, class, later, meaningless, protecting};

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
pub const COMPOSITES: [&str; 4] = ["Or", "And", "Not", "Xor"];

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
    class("All"),
    class("RecipientIsLocal").differently("all mail that ringpost accepts is for local recipients"),
    class("HostIsLocal").differently("all mail that ringpost accepts is for local domains"),
    meaningless("Or", "it is as good as what it joins"),
    meaningless("And", "it is as good as what it joins"),
    meaningless("Not", "it is as good as what it joins"),
    meaningless("Xor", "it is as good as what it joins"),
    plain("AtLeastPriority"),
    plain("AtMost"),
    plain("AtMostPriority"),
    plain("AttachmentFileNameIs"),
    plain("CommandForListserv"),
    plain("CommandListservMatcher"),
    plain("CompareNumericHeaderValue"),
    plain("DSNDelayRequested"),
    plain("DSNFailureRequested"),
    plain("DSNSuccessRequested"),
    protecting("Dlp", "mail that it would hold back would be delivered: remove it"),
    plain("FetchedFrom"),
    plain("FileRegexMatcher"),
    plain("HasAttachment"),
    plain("HasException"),
    plain("HasHabeasWarrantMark"),
    plain("HasHeader"),
    plain("HasHeaderWithPrefix"),
    plain("HasMailAttribute"),
    plain("HasMailAttributeWithValue"),
    plain("HasMailAttributeWithValueRegex"),
    plain("HasMimeType"),
    plain("HasMimeTypeAnySubPart"),
    plain("HasMimeTypeParameter"),
    plain("HasPriority"),
    plain("HostIs"),
    protecting("InSpammerBlacklist", "mail of listed senders would be delivered: remove it"),
    plain("IsFromMailingList"),
    protecting("IsInDropList", "mail of dropped senders would be delivered: remove it"),
    plain("IsInWhiteList"),
    protecting("IsMarkedAsSpam", "spam would be delivered: remove it"),
    protecting("IsOverQuota", "no mailbox has a quota: remove it"),
    plain("IsRemoteDeliveryPermanentError"),
    plain("IsRemoteDeliveryTemporaryError"),
    plain("IsSMIMEEncrypted"),
    plain("IsSMIMESigned"),
    plain("IsSenderInRRTLoop"),
    plain("IsSingleRecipient"),
    plain("IsX509CertificateSubject"),
    protecting("MailboxQuotaFixed", "no mailbox has a quota: remove it"),
    protecting("NESSpamCheck", "spam would be delivered: remove it"),
    plain("NetworkIsInWhitelist"),
    plain("PartHasContentType"),
    protecting(
        "RecipientCountExceeds",
        "its limit would not hold: set limits/recipients in ringpost.xml, and remove it",
    ),
    plain("RecipientDomainIs"),
    plain("RecipientHasMXRecord"),
    plain("RecipientIs"),
    plain("RecipientIsRegex"),
    protecting("RelayLimit", "mail that goes round in circles would not be stopped: remove it"),
    plain("RemoteAddrInNetwork"),
    plain("RemoteAddrNotInNetwork"),
    plain("RemoteDeliveryFailedWithSMTPCode"),
    plain("SMTPAuthSuccessful"),
    plain("SMTPAuthUserIs"),
    plain("SMTPIsAuthNetwork"),
    plain("SenderDomainIs"),
    plain("SenderHasMXRecord"),
    plain("SenderHostIs"),
    plain("SenderHostIsLocal"),
    protecting("SenderInFakeDomain", "mail of senders that do not exist would be delivered: remove it"),
    plain("SenderIs"),
    plain("SenderIsLocal"),
    plain("SenderIsNull"),
    plain("SenderIsRegex"),
    plain("SentByJmap"),
    plain("SentByMailet"),
    protecting("SizeGreaterThan", "its limit would not hold: set maxmessagesize, and remove it"),
    plain("SubjectIs"),
    plain("SubjectStartsWith"),
    protecting("TooManyLines", "its limit would not hold: remove it"),
    protecting("TooManyRecipients", "its limit would not hold: set limits/recipients in ringpost.xml, and remove it"),
    plain("UserIs"),
    plain("XOriginatingIpInNetwork"),
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
        .differently("every mail that was accepted goes into the mailboxes of its recipients, whatever comes before"),
    mailet("ToProcessor", "every mail goes to LocalDelivery, since all recipients are local"),
    mailet("AddDeliveredToHeader", "the Maildir tells whose the mail is"),
    mailet("AddFooter", UNCHANGED),
    mailet("AddHabeasWarrantMark", UNCHANGED),
    mailet("AddSubjectPrefix", UNCHANGED),
    mailet("AmqpForwardAttribute", NO_ATTRIBUTES),
    mailet("AttributeToHeader", UNCHANGED),
    restricting("BayesianAnalysis", DELIVERED),
    mailet("BayesianAnalysisFeeder", "nothing learns from it"),
    mailet("Bounce", NOT_SENT),
    restricting("ClamAVScan", DELIVERED),
    mailet("ClassifyBounce", UNCHANGED),
    mailet("ContactExtractor", NO_ATTRIBUTES),
    mailet("ContentReplacer", UNCHANGED),
    mailet("ConvertTo7Bit", UNCHANGED),
    mailet("Counter", "nothing is counted"),
    mailet("DKIMSign", "ringpost sends nothing that would need a signature yet"),
    restricting("DKIMVerify", DELIVERED),
    mailet("DSNBounce", NOT_SENT),
    restricting("DeconnectionRight", DELIVERED),
    mailet("DumpSystemErr", "nothing is dumped"),
    mailet("ExceptionThrowingMailet", "nothing fails"),
    mailet("Expires", UNCHANGED),
    mailet("ExtractMDNOriginalJMAPMessageId", NO_ATTRIBUTES),
    mailet("FoldLongLines", UNCHANGED),
    mailet("Forward", NOT_SENT),
    mailet("FromRepository", "there are no repositories yet"),
    restricting("GlobalRateLimit", DELIVERED),
    mailet("HeadersToHTTP", NOT_SENT),
    mailet("ICALToHeader", UNCHANGED),
    mailet("ICALToJsonAttribute", NO_ATTRIBUTES),
    mailet("ICSSanitizer", UNCHANGED),
    mailet("ICalendarParser", NO_ATTRIBUTES),
    mailet("Identity", UNCHANGED),
    mailet("JDBCAlias", "no address is rewritten"),
    mailet("JDBCRecipientRewriteTable", "no address is rewritten"),
    restricting("JMAPFiltering", "the filters of users are not applied: remove it"),
    mailet("LogMessage", "the log has every mail already"),
    mailet("MailAttributesListToMimeHeaders", UNCHANGED),
    mailet("MailAttributesToMimeHeaders", UNCHANGED),
    mailet("MailToAllUsers", "the mail goes to those it names"),
    mailet("ManageSieveMailet", "there are no filters yet"),
    mailet("MetricsMailet", "nothing is counted by that name yet"),
    mailet("MimeDecodingMailet", NO_ATTRIBUTES),
    mailet("NotifyPostmaster", NOT_SENT),
    mailet("NotifySender", NOT_SENT),
    restricting("Null", DELIVERED),
    restricting("OnlyText", LEFT_IN),
    restricting("PerRecipientRateLimit", DELIVERED),
    restricting("PerSenderRateLimit", DELIVERED),
    class("PostmasterAlias").with_anything().differently("done before mail is taken, and whether or not it is named"),
    mailet("PropagateError", "nothing fails"),
    mailet("RandomStoring", "the mail goes to those it names"),
    class("RecipientRewriteTable")
        .with_anything()
        .differently("done before mail is taken, and whether or not it is named"),
    class("RecipientToLowerCase").with_anything().differently("users are known whatever their case"),
    mailet("RecoverAttachment", UNCHANGED),
    mailet("Redirect", NOT_SENT),
    mailet("RemoteDelivery", "ringpost relays nothing yet; mail to other hosts is refused when it comes"),
    mailet("RemoveAllMailAttributes", NO_ATTRIBUTES),
    mailet("RemoveMailAttribute", NO_ATTRIBUTES),
    restricting("RemoveMimeHeader", LEFT_IN),
    restricting("RemoveMimeHeaderByPrefix", LEFT_IN),
    mailet("ReplaceContent", UNCHANGED),
    mailet("Requeue", "all mail is handled at once"),
    mailet("Resend", NOT_SENT),
    restricting("RspamdScanner", DELIVERED),
    mailet("SMIMECheckSignature", NO_ATTRIBUTES),
    mailet("SMIMEDecrypt", UNCHANGED),
    mailet("SMIMESign", UNCHANGED),
    restricting("SPF", "nothing tells who forged a sender: remove it"),
    mailet("SanitizeMimeMessageId", UNCHANGED),
    mailet("SaveMailNameInHeaders", UNCHANGED),
    mailet("SerialiseToHTTP", NOT_SENT),
    mailet("ServerTime", NOT_SENT),
    mailet("SetErrorMessage", "nothing fails"),
    mailet("SetMailAttribute", NO_ATTRIBUTES),
    mailet("SetMimeHeader", UNCHANGED),
    mailet("SetMimeHeaderFromAttribute", UNCHANGED),
    restricting("Sieve", "the filters of users are not applied: remove it"),
    mailet("SieveLocalDelivery", "the mail goes into the mailbox, past every filter"),
    mailet("Sign", UNCHANGED),
    restricting("SpamAssassin", DELIVERED),
    mailet("SplitMail", "every recipient is seen to alone already"),
    restricting("StripAttachment", LEFT_IN),
    mailet("SubAddressing", "user+detail goes to the inbox of user"),
    mailet("TextCalendarBodyToAttachment", UNCHANGED),
    mailet("ToPlainText", UNCHANGED),
    mailet("ToRecipientFolder", "the mail goes to the inbox"),
    mailet("ToRepository", NOT_KEPT),
    mailet("ToSenderDomainRepository", NOT_KEPT),
    mailet("ToSenderFolder", "the sender gets no copy"),
    mailet("UnwrapText", UNCHANGED),
    mailet("UseHeaderRecipients", "the envelope's recipients count"),
    mailet("UsersRepositoryAliasingForwarding", "no address is rewritten"),
    mailet("VacationMailet", NOT_SENT),
    mailet("WhiteListManager", "there is no such list"),
    mailet("WithPriority", "all mail is handled in the order it comes"),
    mailet("WithStorageDirective", "the mail goes to the inbox"),
    mailet("WrapText", UNCHANGED),
    mailet("XMLRecipientRewriteTable", "no address is rewritten"),
];
