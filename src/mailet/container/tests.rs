use std::sync::Arc;

use proptest::prelude::*;

use super::super::mailets::{Mailet, attribute, bounce, deliver, header, notify, repository, rewrite};
use super::super::matchers::{self, Matcher};
use super::super::pipeline::Processor;
use super::*;
use crate::directory;
use crate::mail::{Mailbox, MessageId, ReversePath};
use crate::mailet::compose::letter::Share;
use crate::mailet::edit::Edit;
use crate::mailet::mail::{DELIVERY_ERROR, DELIVERY_HOST, Value};

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("a mailbox")
}

fn mail(sender: &str, recipients: &[&str]) -> Mail {
    let reverse_path = if sender.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(mailbox(sender)) };
    let facts = Facts {
        id: MessageId(1),
        received_at: 0,
        now: 0,
        reverse_path,
        client: None,
        helo: "client".into(),
        size: 100,
        envelope_id: None,
        ret: None,
        failures: 0,
        seed: 7,
    };
    let recipients = recipients.iter().enumerate().map(|(place, text)| Recipient::new(place as u32, mailbox(text)));
    Mail {
        facts,
        recipients: recipients.collect(),
        attributes: Attributes::default(),
        edits: Rc::default(),
        state: None,
        error: None,
    }
}

fn pair(matcher: Matcher, mailet: Mailet) -> Pair {
    let (on_match_exception, on_mailet_exception) = Default::default();
    Pair { matcher, negated: false, mailet, on_match_exception, on_mailet_exception }
}

fn to(processor: Place) -> Mailet {
    Mailet::ToProcessor { processor, notice: None }
}

fn local() -> Matcher {
    Matcher::Recipient(matchers::recipient::Condition::IsLocal)
}

fn keep(url: &str, pass_through: bool) -> Mailet {
    Mailet::Repository(repository::Keep { url: url.into(), by_sender_domain: false, pass_through })
}

fn bounce() -> Mailet {
    Mailet::Notify(Box::new(notify::Notify {
        who: notify::Who::Bounce,
        sender: notify::Author::Postmaster,
        message: "no".into(),
        prefix: "Re:".into(),
        inline: Share::None,
        attachment: Share::None,
        attach_error: false,
        pass_through: true,
    }))
}

fn dsn_bounce(attachment: bounce::Attachment) -> Mailet {
    Mailet::Bounce(Box::new(bounce::Bounce {
        sender: notify::Author::Postmaster,
        prefix: None,
        attachment,
        message: bounce::MESSAGE.into(),
        action: super::super::compose::report::Action::Failed,
        default_status: None,
        pass_through: false,
    }))
}

/// What the report says that comes of a mail, and whether all of the mail comes back with it.
fn report_of(container: &Container, mail: Mail) -> (String, bool) {
    use super::super::effect::{Content, Piece};
    let (effects, _) = walk_with(container, mail, |question, walk| Some(answer(question, walk)));
    let pieces = effects.iter().find_map(|effect| match effect {
        Effect::Beside(Beside::Send(new)) => match &new.content {
            Content::Pieces(pieces) => Some(pieces),
            Content::Same(_) => None,
        },
        _ => None,
    });
    let pieces = pieces.expect("a report");
    let texts = pieces.iter().filter_map(|piece| match piece {
        Piece::Octets(octets) => Some(String::from_utf8_lossy(octets)),
        _ => None,
    });
    (texts.collect(), pieces.iter().any(|piece| matches!(piece, Piece::Whole(_))))
}

#[test]
fn a_report_says_what_was_said_last_and_brings_back_what_was_asked_for() {
    use crate::mail::Ret;
    let container = container(vec![vec![pair(Matcher::All, dsn_bounce(bounce::Attachment::Whole))]]);
    for (ret, whole) in [(None, true), (Some(Ret::Full), true), (Some(Ret::Headers), false)] {
        let mut mail = mail("me@there", &["no@there"]);
        mail.facts.ret = ret;
        mail.error = Some("4.4.3 the domain could not be looked up (given up after 4 attempts)".into());
        let (text, has_all) = report_of(&container, mail);
        assert!(text.contains("\r\nStatus: 5.4.3\r\n"), "{text}");
        assert_eq!(has_all, whole, "{ret:?}");
        assert_eq!(text.contains("text/rfc822-headers"), !whole, "{ret:?}");
    }
}

#[test]
fn a_report_names_the_host_that_refused() {
    let container = container(vec![vec![pair(Matcher::All, dsn_bounce(bounce::Attachment::Nothing))]]);
    let told = |attributes: &[(&str, &str)]| {
        let mut mail = mail("me@there", &["no@there"]);
        mail.error = Some("4.4.3 the domain could not be looked up".into());
        attributes.iter().for_each(|(name, text)| mail.attributes.set(name, Value::Text((*text).into())));
        report_of(&container, mail).0
    };
    let (error, host) = ((DELIVERY_ERROR, "550 5.1.1 no"), (DELIVERY_HOST, "mx.there"));
    let report = told(&[error, host]);
    assert!(report.contains("Remote-MTA: dns; mx.there\r\n") && report.contains("by mx.there\r\n"), "{report}");
    for others in [&[error][..], &[host], &[]] {
        let report = told(others);
        assert!(report.contains("Final-Recipient: ") && !report.contains("Remote-MTA"), "{report}");
    }
}

/// Root and error come first; the error processor keeps what it gets.
fn container(processors: Vec<Vec<Pair>>) -> Container {
    let mut all = vec![Vec::new(), vec![pair(Matcher::All, keep("file://error/", false))]];
    let mut processors = processors.into_iter();
    all[0] = processors.next().unwrap_or_default();
    all.extend(processors);
    let named = |(place, pairs): (usize, Vec<Pair>)| Processor { state: format!("p{place}").into(), pairs };
    Container::new(Pipeline {
        processors: all.into_iter().enumerate().map(named).collect(),
        root: 0,
        error: 1,
        error_repository: "file://failed/".into(),
        postmaster: mailbox("postmaster@here"),
        host: "here".into(),
    })
}

/// Whoever is at `here` and begins with `u` is a user; `a` stands for two others, `b` for the same as one of them, `l` is in a
/// circle.
fn answer(question: &Question, walk: &Walk<'_>) -> Answer {
    let directory = |mailbox: &Mailbox| match (mailbox.domain().to_string().as_str(), mailbox.local().starts_with('u'))
    {
        ("here", true) => directory::Place::User,
        ("here", false) => directory::Place::Nobody,
        _ => directory::Place::OtherDomain,
    };
    let target = |text: &str| directory::Target { mailbox: mailbox(text), place: directory(&mailbox(text)) };
    let rewrite = |one: &Mailbox| match one.to_string().as_str() {
        "a@here" => Rewritten::To(["u1@here", "x@there"].map(target).to_vec()),
        "b@here" => Rewritten::To(vec![target("u1@here")]),
        "l@here" => Rewritten::Loop,
        "r@here" => Rewritten::Refused("550 5.1.6 moved".into()),
        _ => Rewritten::Unchanged,
    };
    match question {
        Question::Header => Answer::Header(b"Subject: s\r\nReceived: a\r\nReceived: b\r\n".as_slice().into()),
        Question::Content { .. } => Answer::Content(b"Subject: s\r\n\r\nbody\r\n".as_slice().into()),
        Question::BodyHash(how) => Answer::BodyHash(crate::mailet::dkim::body::hash(*how, b"body\r\n")),
        Question::Directory(whom) => Answer::Directory(walk.whom(*whom).map(directory).collect()),
        Question::Rewrite(whom) => Answer::Rewritten(walk.whom(*whom).map(rewrite).collect()),
        Question::Exists(of) => Answer::Exists(of.iter().map(|_| false).collect()),
        Question::Listed { .. } => Answer::Listed(true),
        Question::Scripts => Answer::Scripts(walk.whom(Whom::Recipients).map(|_| None).collect()),
    }
}

fn walk_with(
    container: &Container,
    mail: Mail,
    answer: impl Fn(&Question, &Walk<'_>) -> Option<Answer>,
) -> (Vec<Effect>, Vec<Question>) {
    let mut walk = container.walk(mail);
    let (mut asked, mut given) = (Vec::new(), None);
    loop {
        match walk.go_on(given.take()) {
            Step::Ask(question) => {
                given = answer(&question, &walk);
                asked.push(question);
                assert!(asked.len() < 10_000, "the walk asks for ever");
            }
            Step::Done(effects) => return (effects, asked),
        }
    }
}

/// The ends of the recipients, as lines.
fn ends(container: &Container, mail: Mail) -> Vec<String> {
    told(&walk_with(container, mail, |question, walk| Some(answer(question, walk))).0)
}

fn told(effects: &[Effect]) -> Vec<String> {
    let line = |effect: &Effect| match effect {
        Effect::End { recipients, end, .. } => {
            let list: Vec<String> = recipients.iter().map(|one| format!("{}:{}", one.place, one.mailbox)).collect();
            format!("{} -> {end}", list.join(" "))
        }
        Effect::Beside(Beside::Send(new)) => format!("send {:?} from <{}>", new.kind, new.reverse_path),
        Effect::Beside(Beside::SendOnce { new, .. }) => format!("send once {:?}", new.kind),
        Effect::Beside(Beside::Log(_)) => "log".to_owned(),
        Effect::Beside(Beside::Copy { repository, .. }) => format!("copy to {repository}"),
        Effect::Beside(other) => format!("{other:?}"),
    };
    effects.iter().map(line).collect()
}

#[test]
fn recipients_part_and_each_comes_to_its_end() {
    let container = container(vec![vec![
        pair(local(), Mailet::Deliver(deliver::Deliver::Local)),
        pair(Matcher::All, Mailet::Deliver(deliver::Deliver::Remote(0))),
    ]]);
    let ends = ends(&container, mail("s@there", &["u1@here", "x@there", "u2@here", "y@there"]));
    assert_eq!(ends, ["0:u1@here 2:u2@here -> mailbox", "1:x@there 3:y@there -> remote 0"]);
}

#[test]
fn the_directory_is_asked_once_for_all() {
    let host = Matcher::Recipient(matchers::recipient::Condition::HostIsLocal);
    let container =
        container(vec![vec![pair(local(), Mailet::Deliver(deliver::Deliver::Local)), pair(host, bounce())]]);
    let (effects, asked) =
        walk_with(&container, mail("s@there", &["u1@here", "n@here"]), |question, walk| Some(answer(question, walk)));
    assert_eq!(asked, [Question::Directory(Whom::Recipients), Question::Header]);
    let expected = ["0:u1@here -> mailbox", "send Bounce from <>", "1:n@here -> drop: Answered"];
    assert_eq!(told(&effects), expected);
}

#[test]
fn what_nothing_ends_is_kept() {
    let container = container(vec![vec![pair(Matcher::All, Mailet::Identity)]]);
    assert_eq!(ends(&container, mail("s@there", &["u1@here"])), ["log", "0:u1@here -> repository file://failed/"]);
}

#[test]
fn a_null_reverse_path_is_never_bounced() {
    let container = container(vec![vec![pair(Matcher::All, bounce())]]);
    assert_eq!(ends(&container, mail("", &["u1@here"])), ["log", "0:u1@here -> repository file://failed/"]);
}

#[test]
fn loops_are_cut_and_bounced_or_kept() {
    let container = container(vec![vec![pair(Matcher::All, to(2))], vec![pair(Matcher::All, to(0))]]);
    assert_eq!(ends(&container, mail("s@there", &["u1@here"])), ["send Report from <>", "0:u1@here -> drop: Answered"]);
    assert_eq!(ends(&container, mail("", &["u1@here"])), ["0:u1@here -> repository file://failed/"]);
}

#[test]
fn the_rewrite_table_makes_others_and_nobody_gets_it_twice() {
    let table = Mailet::Rewrite(rewrite::Rewrite::Table { error: None });
    let container =
        container(vec![vec![pair(Matcher::All, table), pair(Matcher::All, Mailet::Deliver(deliver::Deliver::Local))]]);
    let ends = ends(&container, mail("s@there", &["a@here", "b@here", "l@here", "r@here", "u2@here"]));
    assert_eq!(
        ends,
        [
            "1:u1@here -> drop: Duplicate",
            "0:u1@here 4:u2@here -> mailbox",
            "3:r@here -> repository file://error/",
            "2:l@here -> repository file://error/",
            // As from a mailet, and so a branch of its own.
            "0:x@there -> mailbox",
        ]
    );
}

#[test]
fn the_sender_in_a_circle_is_another_question_than_the_recipients() {
    let circle = Matcher::Sender(matchers::sender::Condition::InRewriteLoop);
    let table = Mailet::Rewrite(rewrite::Rewrite::Table { error: None });
    let deliver = Mailet::Deliver(deliver::Deliver::Local);
    let container =
        container(vec![vec![pair(circle, Mailet::Identity), pair(Matcher::All, table), pair(Matcher::All, deliver)]]);
    assert_eq!(ends(&container, mail("l@here", &["u2@here"])), ["0:u2@here -> mailbox"]);
}

#[test]
fn who_does_not_answer_has_the_mail_tried_again() {
    let container = container(vec![vec![pair(local(), Mailet::Deliver(deliver::Deliver::Local))]]);
    let mail = mail("s@there", &["u1@here"]);
    let none = walk_with(&container, mail.clone(), |_, _| None).0;
    assert_eq!(told(&none), ["0:u1@here -> again, not counted: there was no answer"]);
    let down = walk_with(&container, mail.clone(), |_, _| Some(Answer::Unavailable("down".into()))).0;
    assert_eq!(told(&down), ["0:u1@here -> again, not counted: down"]);
    let wrong = walk_with(&container, mail, |_, _| Some(Answer::Directory(Vec::new()))).0;
    assert_eq!(told(&wrong), ["0:u1@here -> again, not counted: the answer is to another question"]);
}

#[test]
fn failures_go_where_they_are_told() {
    let failing = |on_mailet_exception| {
        let edits = vec![Edit::DeliveredTo; 201];
        let mailet = Mailet::Header(header::Change { name: "SetMimeHeader", edits });
        let deliver = pair(Matcher::All, Mailet::Deliver(deliver::Deliver::Local));
        container(vec![vec![Pair { on_mailet_exception, ..pair(Matcher::All, mailet) }, deliver], Vec::new()])
    };
    let why = "the header was changed more than 200 times";
    let of = |on, failures| {
        let mut mail = mail("s@there", &["u1@here"]);
        mail.facts.failures = failures;
        ends(&failing(on), mail)
    };
    assert_eq!(of(OnMailetException::Error, 0), ["0:u1@here -> repository file://error/"]);
    assert_eq!(of(OnMailetException::Ignore, 0), ["0:u1@here -> mailbox"]);
    assert_eq!(of(OnMailetException::Processor(2), 0), ["log", "0:u1@here -> repository file://failed/"]);
    assert_eq!(of(OnMailetException::Propagate, 3), [format!("0:u1@here -> again: {why}")]);
    assert_eq!(of(OnMailetException::Propagate, 4), ["0:u1@here -> repository file://failed/"]);
    assert_eq!(of(OnMailetException::Processor(0), 0), [format!("0:u1@here -> again: {why}")]);
}

#[test]
fn matchers_that_fail_match_as_told() {
    let failing = |on_match_exception| {
        let matcher = Matcher::Content(matchers::content::Condition::HasAttachment);
        let null = Pair { on_match_exception, ..pair(matcher, Mailet::Deliver(deliver::Deliver::Null)) };
        container(vec![vec![null, pair(Matcher::All, Mailet::Deliver(deliver::Deliver::Local))]])
    };
    let of = |on| told(&walk_with(&failing(on), mail("s@there", &["u1@here"]), |_, _| Some(Answer::TooBig)).0);
    assert_eq!(of(OnMatchException::NoMatch), ["0:u1@here -> mailbox"]);
    assert_eq!(of(OnMatchException::MatchAll), ["0:u1@here -> drop: Asked"]);
    assert_eq!(of(OnMatchException::Error), ["0:u1@here -> repository file://error/"]);
}

#[test]
fn a_processor_can_be_entered_by_its_name() {
    let container = container(vec![Vec::new(), vec![pair(Matcher::All, Mailet::Deliver(deliver::Deliver::Null))]]);
    let entering = Mail { state: Some("p2".into()), ..mail("s@there", &["u1@here"]) };
    assert_eq!(ends(&container, entering), ["0:u1@here -> drop: Asked"]);
}

#[test]
fn what_matches_at_most_so_often_is_counted() {
    let at_most = Matcher::Attribute(matchers::attribute::Condition::AtMost { name: "n".into(), most: 3 });
    let again = pair(at_most, to(0));
    let container = container(vec![vec![again, pair(Matcher::All, Mailet::Deliver(deliver::Deliver::Local))]]);
    let (effects, _) = walk_with(&container, mail("s@there", &["u1@here"]), |_, _| None);
    assert_eq!(told(&effects), ["0:u1@here -> mailbox"]);
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    use matchers::{attribute, delivery, header, recipient, sender, size};
    let leaf = prop_oneof![
        Just(Matcher::All),
        Just(local()),
        Just(Matcher::Recipient(recipient::Condition::HostIsLocal)),
        Just(Matcher::Recipient(recipient::Condition::IsSingle)),
        Just(Matcher::Recipient(recipient::Condition::DomainIs(vec!["there".parse().expect("a domain")]))),
        Just(Matcher::Sender(sender::Condition::InRewriteLoop)),
        Just(Matcher::Sender(sender::Condition::IsNull)),
        Just(Matcher::Header(header::Condition::RelayLimit(2))),
        Just(Matcher::Attribute(attribute::Condition::HasException)),
        Just(Matcher::Size(size::Condition::MoreRecipients(2))),
        Just(Matcher::Size(size::Condition::MoreLines(1))),
        Just(Matcher::Delivery(delivery::Condition::FailureRequested)),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        use matchers::composite::{Condition, Join};
        let join = prop_oneof![Just(Join::Or), Just(Join::And), Just(Join::Not), Just(Join::Xor)];
        (join, prop::collection::vec((any::<bool>(), inner), 1..4))
            .prop_map(|(join, matchers)| Matcher::Composite(Condition { join, matchers, name: "".into() }))
    })
}

fn any_mailet(processors: usize) -> impl Strategy<Value = Mailet> {
    use super::super::mailets::{body, told};
    prop_oneof![
        Just(Mailet::Deliver(deliver::Deliver::Local)),
        Just(Mailet::Deliver(deliver::Deliver::Null)),
        Just(Mailet::Deliver(deliver::Deliver::Remote(0))),
        (0..processors).prop_map(to),
        (0..processors).prop_map(to),
        Just(keep("file://x/", true)),
        Just(keep("file://x/", false)),
        Just(bounce()),
        Just(dsn_bounce(bounce::Attachment::Header)),
        Just(Mailet::Rewrite(rewrite::Rewrite::Table { error: None })),
        Just(Mailet::Rewrite(rewrite::Rewrite::Postmaster)),
        Just(Mailet::Header(header::Change { name: "AddDeliveredToHeader", edits: vec![Edit::DeliveredTo] })),
        Just(Mailet::Attribute(attribute::Change::RemoveAll)),
        Just(Mailet::Body(body::Change::Footer(Arc::from("footer")))),
        Just(Mailet::Told(told::Told::Metric(Arc::from("m")))),
        Just(Mailet::Identity),
    ]
}

fn any_pair(processors: usize) -> impl Strategy<Value = Pair> {
    let on_mailet = prop_oneof![
        Just(OnMailetException::Error),
        Just(OnMailetException::Ignore),
        Just(OnMailetException::Propagate),
        (0..processors).prop_map(OnMailetException::Processor),
    ];
    let on_match = prop_oneof![
        Just(OnMatchException::Error),
        Just(OnMatchException::NoMatch),
        Just(OnMatchException::MatchAll),
        (0..processors).prop_map(OnMatchException::Processor),
    ];
    (any_matcher(), any::<bool>(), any_mailet(processors), on_match, on_mailet).prop_map(
        |(matcher, negated, mailet, on_match_exception, on_mailet_exception)| Pair {
            matcher,
            negated,
            mailet,
            on_match_exception,
            on_mailet_exception,
        },
    )
}

proptest! {
    /// Whatever the pipeline, whatever is answered: every recipient has its end, the walk ends, nothing panics.
    #[test]
    fn every_recipient_comes_to_an_end(
        processors in prop::collection::vec(prop::collection::vec(any_pair(4), 0..5), 3..4),
        names in prop::collection::vec("(u1|u2|a|b|l|r|n|postmaster)@(here|there)", 1..6),
        sender in "(|s@there|l@here)",
        silent in 0u8..20,
    ) {
        let container = container(processors);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mail = mail(&sender, &names);
        let count = std::cell::Cell::new(0u8);
        let (effects, _) = walk_with(&container, mail, |question, walk| {
            count.set(count.get().wrapping_add(1));
            match count.get() % 20 == silent { true => None, false => Some(answer(question, walk)) }
        });
        let mut ends = vec![0u32; names.len()];
        for effect in &effects {
            if let Effect::End { recipients, .. } = effect {
                recipients.iter().for_each(|recipient| ends[recipient.place as usize] += 1);
            }
        }
        // Who is rewritten has an end for each of those in its place; with one pass over the table that is 2 at most, and
        // a table in a circle of processors makes no more, since nobody is in a branch twice.
        prop_assert!(ends.iter().all(|count| *count >= 1), "{ends:?}");
        let rewritten = names.iter().any(|name| name.ends_with("@here") && (name.starts_with("a@") || name.starts_with("b@")));
        prop_assert!(rewritten || ends.iter().all(|count| *count == 1), "{ends:?}");
        if sender.is_empty() {
            let sent = effects.iter().any(|effect| matches!(effect, Effect::Beside(Beside::Send(_))));
            prop_assert!(!sent, "something was sent to the null reverse-path");
        }
    }
}
