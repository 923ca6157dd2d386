//! One mail, every matcher, and whether it matches: all (`+`), nobody (`-`), or some, place by place.

use super::*;
use crate::directory::Place as Whose;
use crate::mail::{Mailbox, MessageId, Network, Networks, ReversePath};
use crate::mailet::mail::{AUTH_NETWORK, AUTH_USER, Attributes, Notify, Value};
use crate::mailet::pattern::Pattern;

const HEADER: &str = "Received: a\r\nReceived: b\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nList-Id: x\r\n\
    X-Originating-IP: [192.0.2.9]\r\nX-Score: 4.5\r\nContent-Type: multipart/mixed; boundary=b\r\n";

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("a mailbox")
}

fn networks(text: &str) -> Networks {
    let (address, prefix) = text.split_once('/').expect("a network");
    let network = Network::new(address.parse().expect("an address"), prefix.parse().expect("a number"));
    Networks(vec![network.expect("it fits")])
}

fn told(matcher: &Matcher) -> String {
    let facts = Facts {
        id: MessageId(1),
        received_at: 0,
        now: 0,
        reverse_path: ReversePath::Mailbox(mailbox("Sender@There.example")),
        client: Some("192.0.2.1".parse().expect("an address")),
        helo: "client".into(),
        size: 1000,
        envelope_id: None,
        ret: None,
        failures: 0,
        seed: 0,
    };
    let body = "--b\r\n\r\ntext\r\n--b\r\nContent-Disposition: attachment; filename=A.EXE\r\n\r\nx\r\n--b--\r\n";
    let known = Known {
        body_hashes: Vec::new(),
        header: Some(Rc::from(HEADER.as_bytes())),
        content: Some(Ok(Rc::from(format!("{HEADER}\r\n{body}").as_bytes()))),
        sender: Some(Whose::Nobody),
        sender_rewritten: Some(Rewritten::Loop),
        exists: vec![("there.example".parse().expect("a domain"), false)],
        listed: vec![("list.example".into(), true)],
    };
    let mut attributes = Attributes::default();
    attributes.set(AUTH_USER, Value::Text("Alice".into()));
    attributes.set(AUTH_NETWORK, Value::Flag(true));
    attributes.set("n", Value::Number(7));
    attributes.set("is-delivery-permanent-error", Value::Flag(true));
    attributes.set("delivery-error-code", Value::Number(550));
    let mut recipients = [
        Recipient::new(0, mailbox("One@here.example")),
        Recipient::new(1, mailbox("two@here.example")),
        Recipient::new(2, mailbox("x@far.example")),
    ];
    for (recipient, answer) in recipients.iter_mut().zip([Whose::User, Whose::Nobody, Whose::OtherDomain]) {
        recipient.known = Some(answer);
    }
    recipients[0].notify = Notify { success: true, failure: false, delay: false };
    let form = Form::default();
    let view = View {
        facts: &facts,
        known: &known,
        recipients: &recipients,
        attributes: &attributes,
        form: &form,
        failed: false,
    };
    match matcher.evaluate(view) {
        Ok(Matched::All) => "+".to_owned(),
        Ok(Matched::None) => "-".to_owned(),
        Ok(Matched::Some(list)) => list.iter().map(|one| if *one { '+' } else { '-' }).collect(),
        Err(stop) => format!("{stop:?}"),
    }
}

#[test]
fn every_matcher_matches_whom_it_should() {
    use {
        attribute as a, composite as c, content as b, delivery as d, domain as n, header as h, recipient as r,
        remote as m, sender as s, size as z,
    };
    let pattern = |text: &str| Pattern::new(text).expect("it is one");
    #[expect(non_snake_case)]
    let (R, S, H) = (Matcher::Recipient, Matcher::Sender, Matcher::Header);
    let compare = |less, equal, more| {
        H(h::Condition::Compare {
            name: "x-score".into(),
            how: h::Comparison::Orders { less, equal, more },
            number: 4500,
        })
    };
    let composite =
        |join, matchers: Vec<(bool, Matcher)>| Matcher::Composite(c::Condition { join, matchers, name: "".into() });
    let user = || (false, R(r::Condition::IsLocal));
    let host = || (false, R(r::Condition::HostIsLocal));
    let all = || (false, Matcher::All);
    let table = [
        (Matcher::All, "+"),
        (R(r::Condition::IsLocal), "+--"),
        (R(r::Condition::HostIsLocal), "++-"),
        (R(r::Condition::DomainIs(vec!["FAR.example".parse().expect("a domain")])), "--+"),
        (R(r::Condition::Is(vec![mailbox("one@HERE.example")])), "+--"),
        (R(r::Condition::UserIs(vec!["ONE".into(), "x".into()])), "+-+"),
        (R(r::Condition::IsRegex(pattern("t.*@here\\.example"))), "-+-"),
        (R(r::Condition::IsSingle), "-"),
        (S(s::Condition::Is(vec![mailbox("sender@there.example")])), "+"),
        (S(s::Condition::DomainIs(vec!["here.example".parse().expect("a domain")])), "-"),
        (S(s::Condition::HostIsLocal), "+"),
        (S(s::Condition::IsLocal), "-"),
        (S(s::Condition::IsNull), "-"),
        (S(s::Condition::IsRegex(pattern("(?i)sender@.*"))), "+"),
        (S(s::Condition::InRewriteLoop), "+"),
        (Matcher::Remote(m::Condition::AuthSuccessful), "+"),
        (Matcher::Remote(m::Condition::IsAuthNetwork), "+"),
        (Matcher::Remote(m::Condition::AuthUserIs(vec!["alice".into()])), "+"),
        (Matcher::Remote(m::Condition::AuthUserIs(vec!["bob".into()])), "-"),
        (Matcher::Remote(m::Condition::AddressIn { networks: networks("192.0.2.0/24"), not: false }), "+"),
        (Matcher::Remote(m::Condition::AddressIn { networks: networks("192.0.2.0/24"), not: true }), "-"),
        (Matcher::Remote(m::Condition::OriginatingIn(networks("192.0.2.8/29"))), "+"),
        (Matcher::Remote(m::Condition::SentByMailet), "-"),
        (Matcher::Remote(m::Condition::SentByJmap), "-"),
        (H(h::Condition::Has(vec![("subject".into(), None), ("list-id".into(), Some("X".into()))])), "+"),
        (H(h::Condition::Has(vec![("subject".into(), None), ("none".into(), None)])), "-"),
        (H(h::Condition::HasWithPrefix("x-orig".into())), "+"),
        (H(h::Condition::SubjectIs("GRÜßE".into())), "+"),
        (H(h::Condition::SubjectStartsWith("Grü".into())), "+"),
        (H(h::Condition::SubjectStartsWith("grü".into())), "-"),
        (H(h::Condition::RelayLimit(2)), "+"),
        (H(h::Condition::RelayLimit(3)), "-"),
        (H(h::Condition::HasMimeType(vec!["Multipart/Mixed".into()])), "+"),
        (compare(false, true, false), "+"),
        (compare(true, false, true), "-"),
        (H(h::Condition::IsFromMailingList), "+"),
        (H(h::Condition::FetchedFrom("x".into())), "-"),
        (Matcher::Attribute(a::Condition::Has("n".into())), "+"),
        (Matcher::Attribute(a::Condition::HasValue("n".into(), "7".into())), "+"),
        (Matcher::Attribute(a::Condition::HasValueRegex("n".into(), pattern("[0-6]"))), "-"),
        (Matcher::Attribute(a::Condition::Priority { least: 5, most: 9 }), "+"),
        (Matcher::Attribute(a::Condition::AtMost { name: "n".into(), most: 8 }), "+"),
        (Matcher::Attribute(a::Condition::AtMost { name: "n".into(), most: 7 }), "-"),
        (Matcher::Attribute(a::Condition::HasException), "-"),
        (Matcher::Size(z::Condition::GreaterThan(999)), "+"),
        (Matcher::Size(z::Condition::GreaterThan(1000)), "-"),
        (Matcher::Size(z::Condition::MoreRecipients(2)), "+"),
        (Matcher::Size(z::Condition::MoreLines(7)), "+"),
        (Matcher::Size(z::Condition::MoreLines(8)), "-"),
        (Matcher::Delivery(d::Condition::SuccessRequested), "+--"),
        (Matcher::Delivery(d::Condition::FailureRequested), "-++"),
        (Matcher::Delivery(d::Condition::DelayRequested), "-++"),
        (Matcher::Delivery(d::Condition::Failed { permanent: true }), "+"),
        (Matcher::Delivery(d::Condition::Failed { permanent: false }), "-"),
        (Matcher::Delivery(d::Condition::FailedWith(550)), "+"),
        (Matcher::Content(b::Condition::HasAttachment), "+"),
        (Matcher::Content(b::Condition::FileNameIs(vec!["*.exe".into()])), "+"),
        (Matcher::Content(b::Condition::FileNameIs(vec!["b*".into()])), "-"),
        (Matcher::Content(b::Condition::HasType(vec!["text/plain".into()])), "+"),
        (Matcher::Domain(n::Condition::Listed("list.example".into())), "+"),
        (Matcher::Domain(n::Condition::SenderInFakeDomain), "+"),
        (composite(c::Join::Or, vec![user(), (true, R(r::Condition::HostIsLocal))]), "+-+"),
        (composite(c::Join::And, vec![host(), (true, R(r::Condition::IsLocal))]), "-+-"),
        (composite(c::Join::Not, vec![host(), user()]), "--+"),
        (composite(c::Join::Xor, vec![host(), user()]), "-+-"),
        (composite(c::Join::Xor, vec![host(), user(), all()]), "+-+"),
        // Nobody is asked for the sake of what changes nothing any more.
        (composite(c::Join::Or, vec![all(), (false, Matcher::Domain(n::Condition::Listed("unknown".into())))]), "+"),
    ];
    for (matcher, expected) in table {
        assert_eq!(told(&matcher), expected, "{matcher}");
    }
}

#[test]
fn what_is_not_known_is_asked() {
    let listed = Matcher::Domain(domain::Condition::Listed("unknown".into()));
    assert!(told(&listed).contains("Listed { zone: \"unknown\", address: 192.0.2.1 }"));
}
