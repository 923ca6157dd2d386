//! `Sieve`: what the users' own scripts say.

use std::rc::Rc;

use super::notify::{attributes_of_new, next_generation};
use super::{Next, Run};
use crate::mail::{Mailbox, ReversePath};
use crate::mailet::compose::letter::{Letter, Share};
use crate::mailet::compose::report::{Action as Outcome, Fate, Original, Report};
use crate::mailet::compose::status::Status;
use crate::mailet::effect::{Beside, Content, Drop, End, Kind, NewMail};
use crate::mailet::header::{decoded, first};
use crate::mailet::mail::Recipient;
use crate::mailet::matchers::Stop;
use crate::mailet::question::Question;
use crate::mailet::sieve::Script;
use crate::mailet::sieve::run::{Action, Subject};
use crate::mailet::sieve::vacation::Vacation;

pub(super) fn serve(run: &mut Run<'_>) -> Result<Next, Stop> {
    let Some(scripts) = &run.branch.scripts else {
        return Err(Stop::Ask(Question::Scripts));
    };
    if scripts.iter().all(Option::is_none) {
        return Ok(Next::On);
    }
    let scripts = scripts.clone();
    let header: Rc<[u8]> = run.view().header()?.into();
    let attributes = next_generation(&run.branch.attributes)?;
    let old = std::mem::take(&mut run.branch.recipients);
    for (place, recipient) in old.into_iter().enumerate() {
        let actions = match scripts.get(place).and_then(Option::as_ref) {
            None => vec![Action::Keep],
            Some(script) => actions(script, &header, &recipient, run),
        };
        carry_out(actions, recipient, &header, &attributes, run);
    }
    Ok(Next::On)
}

/// What the script says; a script that is wrong keeps the mail and is told to the log.
fn actions(script: &str, header: &[u8], recipient: &Recipient, run: &mut Run<'_>) -> Vec<Action> {
    let facts = run.facts;
    let subject = Subject { header, size: facts.size, from: &facts.reverse_path, to: &recipient.mailbox };
    let result = Script::parse(script).map_err(|error| error.to_string());
    let result = result.and_then(|script| script.run(subject).map_err(|error| error.to_string()));
    result.unwrap_or_else(|error| {
        let line = format!("the script of {} is not obeyed, and {} kept: {error}", recipient.mailbox, facts.id);
        run.beside(Beside::Log(line.into()));
        vec![Action::Keep]
    })
}

/// The first folder is where the recipient's way goes on; others get copies.
fn carry_out(
    actions: Vec<Action>,
    recipient: Recipient,
    header: &[u8],
    attributes: &crate::mailet::mail::Attributes,
    run: &mut Run<'_>,
) {
    let (mut folders, mut answered) = (Vec::new(), false);
    for action in actions {
        match action {
            Action::Keep => folders.push(None),
            Action::FileInto(folder) => folders.push(inbox_or(folder)),
            Action::Redirect(to) => {
                let content = Content::Same(run.branch.form.clone());
                let new = NewMail {
                    reverse_path: run.facts.reverse_path.clone(),
                    recipients: vec![to],
                    content,
                    attributes: attributes.clone(),
                    kind: Kind::Redirect,
                };
                run.beside(Beside::Send(Box::new(new)));
                answered = true;
            }
            Action::Vacation(vacation) => {
                if let Some(answer) = away(&vacation, &recipient, header, run) {
                    run.beside(answer);
                }
            }
            Action::Reject(words) => match rejected(&words, &recipient, header, run) {
                Some(new) => {
                    run.beside(Beside::Send(Box::new(new)));
                    answered = true;
                }
                // Nobody can be told, so nobody takes it back.
                None => folders.push(None),
            },
        }
    }
    folders.dedup();
    let mut folders = folders.into_iter();
    let Some(first) = folders.next() else {
        let why = if answered { Drop::Answered } else { Drop::Discarded };
        run.ended.push((vec![recipient], End::Drop(why)));
        return;
    };
    for folder in folders {
        let copy = Recipient { folder, ..recipient.clone() };
        let form = run.branch.form.clone();
        run.beside(Beside::File { recipient: copy, form });
    }
    run.branch.recipients.push(Recipient { folder: first, ..recipient });
}

/// The answer that a script's `vacation` sends, to the reverse-path and with none of its own (RFC 5230 §5).
fn away(vacation: &Vacation, recipient: &Recipient, header: &[u8], run: &Run<'_>) -> Option<Beside> {
    let to = run.facts.reverse_path.mailbox()?;
    let of = decoded(header, "Subject").unwrap_or_default();
    let letter = Letter {
        of: run.facts.id,
        seed: run.facts.seed.wrapping_add(run.effects.len() as u64),
        now: run.facts.now,
        host: &run.pipeline.host,
        from: vacation.from.as_ref().unwrap_or(&recipient.mailbox),
        to: to.to_string(),
        reply_to: None,
        subject: vacation.subject.clone().unwrap_or_else(|| format!("Auto: {of}")),
        in_reply_to: first(header, "Message-ID"),
        automatic: true,
        text: vacation.reason.clone(),
        inline: Share::None,
        attachment: Share::None,
        error: None,
        header,
        form: run.branch.form.clone(),
    };
    let new = NewMail {
        reverse_path: ReversePath::Null,
        recipients: vec![to.clone()],
        content: Content::Pieces(letter.compose()),
        attributes: attributes_of_new(&run.branch.attributes),
        kind: Kind::Notice,
    };
    let user = recipient.mailbox.clone();
    Some(Beside::SendOnce { user, key: vacation.key(to), days: vacation.days, new: Box::new(new) })
}

fn inbox_or(folder: String) -> Option<Box<str>> {
    (!folder.eq_ignore_ascii_case("INBOX")).then(|| folder.into())
}

/// The report that a script's `reject` sends (RFC 5429 §2.2); `None` to the null reverse-path.
fn rejected(words: &str, recipient: &Recipient, header: &[u8], run: &Run<'_>) -> Option<NewMail> {
    let ReversePath::Mailbox(to) = &run.facts.reverse_path else { return None };
    let facts = run.facts;
    let user: &Mailbox = &recipient.mailbox;
    let fate = Fate {
        recipient: user,
        original: recipient.original.as_deref(),
        action: Outcome::Failed,
        status: Status { class: 5, subject: 7, detail: 1 },
        remote: None,
        diagnostic: None,
        until: None,
    };
    let text = format!("The recipient's script has refused your message, with these words:\n\n{words}\n");
    let report = Report {
        of: facts.id,
        seed: facts.seed.wrapping_add(run.effects.len() as u64),
        now: facts.now,
        arrived: facts.received_at,
        host: &run.pipeline.host,
        from: &run.pipeline.postmaster,
        to,
        envelope_id: facts.envelope_id.as_deref(),
        received_from: facts.client.map(|_| &*facts.helo),
        subject: None,
        text: &text,
        fates: vec![fate],
        original: Original::Header(header),
    };
    Some(NewMail {
        reverse_path: ReversePath::Null,
        recipients: vec![to.clone()],
        content: Content::Pieces(report.compose()),
        attributes: attributes_of_new(&run.branch.attributes),
        kind: Kind::Report,
    })
}
