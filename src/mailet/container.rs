//! The container: walks a mail through the pipeline and says what is to be done.
//!
//! A walk is a value that can be left and taken up again: [`Walk::go_on`] runs until it must know something or is done.
//! Where a matcher chooses some of the recipients the walk parts in two branches, which share what they have in common.
//!
//! **Invariants:** every recipient comes to exactly one [`Effect::End`]; a walk ends after at most [`STEPS_MAX`] steps
//! whatever the pipeline and the answers are; nothing here panics.

use std::rc::Rc;

use super::effect::{Beside, Drop, Effect, End, Left};
use super::mail::{Attributes, Body, Facts, Form, Mail, Recipient, SENT_BY_MAILET, Value};
use super::mailets::{Next, Run, Served};
use super::matchers::{Known, Matched, Stop, TooBig, View};
use super::pipeline::{OnMailetException, OnMatchException, Pair, Pipeline, Place};
use super::question::{Answer, Question, Rewritten, Whom};
use crate::mail::Mailbox;

/// Times that a branch may change its processor; beyond, it goes in circles, and its recipients are bounced.
pub const PROCESSORS_MAX: u32 = 32;
/// Pairs that one walk looks at, and questions it asks, over all its branches. Beyond, what is left is bounced.
pub const STEPS_MAX: u32 = 250_000;
/// Recipients of one branch: the rewrite table may make many of one.
pub const RECIPIENTS_MAX: usize = 50_000;
/// Walks of a mail that may fail before it is kept in the error repository.
pub const FAILURES_MAX: u32 = 5;

/// Evaluates a pipeline.
#[derive(Clone, Debug)]
pub struct Container {
    pipeline: Pipeline,
    error_repository: Rc<str>,
}

/// What a walk says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It must know this; call [`Walk::go_on`] with the answer.
    Ask(Question),
    /// It is done.
    Done(Vec<Effect>),
}

/// Some of the recipients, and where they are.
#[derive(Clone, Debug)]
pub struct Branch {
    /// Who is on it.
    pub recipients: Vec<Recipient>,
    /// Their attributes.
    pub attributes: Attributes,
    /// How the content looks to them.
    pub form: Form,
    /// What `Bounce` and its like tell.
    pub error: Option<Rc<str>>,
    /// Whether something went wrong on the way here.
    pub failed: bool,
    /// Whether something was sent or kept for them already, so that they may end without more.
    pub answered: bool,
    /// What the rewrite table makes of them, once it was asked.
    pub rewritten: Option<Vec<Rewritten>>,
    /// Their scripts, once it was asked for them.
    pub scripts: Option<Vec<Option<Rc<str>>>>,
    /// The processor.
    place: Place,
    /// The pair.
    pair: usize,
    /// Whether the pair's matcher chose them already.
    chosen: bool,
    /// Processors it has been in.
    processors: u32,
}

/// A mail on its way.
#[derive(Debug)]
pub struct Walk<'a> {
    container: &'a Container,
    facts: Facts,
    known: Known,
    branches: Vec<Branch>,
    effects: Vec<Effect>,
    steps: u32,
    asked: Option<Question>,
}

impl Container {
    /// Of that pipeline.
    pub fn new(pipeline: Pipeline) -> Container {
        let error_repository = Rc::from(&*pipeline.error_repository);
        Container { pipeline, error_repository }
    }

    /// The pipeline.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Begins with a mail.
    pub fn walk(&self, mail: Mail) -> Walk<'_> {
        let Mail { facts, recipients, attributes, edits, state, error } = mail;
        let place = state.and_then(|state| self.pipeline.place(&state)).unwrap_or(self.pipeline.root);
        let branch = Branch {
            recipients,
            attributes,
            form: Form { edits, body: Body::Original },
            error,
            failed: false,
            answered: false,
            rewritten: None,
            scripts: None,
            place,
            pair: 0,
            chosen: false,
            processors: 1,
        };
        let (effects, known) = (Vec::with_capacity(4), Known::default());
        Walk { container: self, facts, known, branches: vec![branch], effects, steps: 0, asked: None }
    }
}

impl Walk<'_> {
    /// Goes on until something must be known, or to the end. `answer` is to the question it asked last; without one that
    /// counts as unavailable. After [`Step::Done`] there is nothing more to do.
    pub fn go_on(&mut self, answer: Option<Answer>) -> Step {
        if let Some(question) = self.asked.take() {
            let answer = answer.unwrap_or_else(|| Answer::Unavailable("there was no answer".into()));
            if let Err(Unlearned { why, counts }) = self.learn(&question, answer) {
                let branch = self.branches.pop();
                branch.into_iter().for_each(|branch| self.again(branch, why.clone().into(), counts));
            }
        }
        while let Some(branch) = self.branches.pop() {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                self.cut(branch);
            } else if let Err(question) = self.step(branch) {
                self.asked = Some(question.clone());
                return Step::Ask(question);
            }
        }
        Step::Done(std::mem::take(&mut self.effects))
    }

    /// Whom the last question is about, in the order in which the answer must be.
    pub fn whom(&self, whom: Whom) -> impl Iterator<Item = &Mailbox> {
        let branch = self.branches.last().filter(|_| whom == Whom::Recipients);
        let recipients = branch.into_iter().flat_map(|branch| &branch.recipients).map(|recipient| &recipient.mailbox);
        recipients.chain(self.facts.reverse_path.mailbox().filter(|_| whom == Whom::Sender))
    }

    /// One pair for one branch. With a question the branch is back where it was.
    fn step(&mut self, mut branch: Branch) -> Result<(), Question> {
        let container = self.container;
        if branch.recipients.is_empty() {
            return Ok(());
        }
        let Some(pair) = container.pipeline.processors.get(branch.place).and_then(|of| of.pairs.get(branch.pair))
        else {
            self.ran_out(branch);
            return Ok(());
        };
        if !branch.chosen {
            match pair.matcher.evaluate(self.view(&branch)) {
                Ok(matched) => {
                    if matched != Matched::None {
                        pair.matcher.mark(&mut branch.attributes);
                    }
                    let matched = if pair.negated { matched.negated() } else { matched };
                    let Some(chosen) = self.part(branch, &matched) else { return Ok(()) };
                    branch = chosen;
                }
                Err(Stop::Ask(question)) => {
                    self.branches.push(branch);
                    return Err(question);
                }
                Err(Stop::Fail(why)) => {
                    let Some(chosen) = self.matcher_failed(branch, pair, why) else { return Ok(()) };
                    branch = chosen;
                }
            }
            branch.chosen = true;
        }
        self.serve(branch, pair)
    }

    /// Has the pair's mailet do its work.
    fn serve(&mut self, mut branch: Branch, pair: &Pair) -> Result<(), Question> {
        let run = Run {
            pipeline: &self.container.pipeline,
            facts: &self.facts,
            known: &self.known,
            branch: &mut branch,
            effects: &mut self.effects,
            ended: Vec::new(),
            parted: Vec::new(),
            sent_on: Vec::new(),
        };
        let Served { result, ended, parted, sent_on } = pair.mailet.serve(run);
        match result {
            Err(Stop::Ask(question)) => {
                self.branches.push(branch);
                return Err(question);
            }
            Err(Stop::Fail(why)) => self.mailet_failed(branch, pair, why),
            Ok(next) => {
                branch.rewritten = None;
                branch.scripts = None;
                for (recipients, end) in ended {
                    self.end(Branch { recipients, ..like(&branch) }, end);
                }
                if !sent_on.is_empty() {
                    let mut branch = Branch { recipients: sent_on, ..like(&branch) };
                    branch.attributes.set(SENT_BY_MAILET, Value::Flag(true));
                    self.advance(branch);
                }
                for (recipients, place, error) in parted {
                    let error = Some(error);
                    self.enter(Branch { recipients, error, failed: true, ..like(&branch) }, place);
                }
                match next {
                    Next::On => self.advance(branch),
                    Next::To(place) => self.enter(branch, place),
                    Next::End(end) => self.end(branch, end),
                }
            }
        }
        Ok(())
    }

    fn view<'b>(&'b self, branch: &'b Branch) -> View<'b> {
        View {
            facts: &self.facts,
            known: &self.known,
            recipients: &branch.recipients,
            attributes: &branch.attributes,
            form: &branch.form,
            failed: branch.failed,
        }
    }

    /// Those who match; the others go on to the next pair.
    fn part(&mut self, mut branch: Branch, matched: &Matched) -> Option<Branch> {
        match matched {
            Matched::All => Some(branch),
            Matched::None => {
                self.advance(branch);
                None
            }
            Matched::Some(_) => {
                let count = branch.recipients.len();
                let (mut chosen, mut others) = (Vec::with_capacity(count), Vec::with_capacity(count));
                for (place, recipient) in branch.recipients.drain(..).enumerate() {
                    if matched.at(place) { chosen.push(recipient) } else { others.push(recipient) }
                }
                let mut rest = like(&branch);
                rest.recipients = others;
                self.advance(rest);
                branch.recipients = chosen;
                Some(branch)
            }
        }
    }

    fn advance(&mut self, mut branch: Branch) {
        branch.pair += 1;
        branch.chosen = false;
        self.branches.push(branch);
    }

    fn enter(&mut self, mut branch: Branch, place: Place) {
        branch.processors += 1;
        if branch.processors > PROCESSORS_MAX {
            return self.cut(branch);
        }
        (branch.place, branch.pair, branch.chosen) = (place, 0, false);
        self.branches.push(branch);
    }

    fn end(&mut self, branch: Branch, end: End) {
        if !branch.recipients.is_empty() {
            let state =
                self.container.pipeline.processors.get(branch.place).map_or_else(|| "".into(), |of| of.state.clone());
            let Branch { recipients, form, attributes, error, .. } = branch;
            self.effects.push(Effect::End { recipients, form, end, left: Left { state, attributes, error } });
        }
    }

    /// The last pair is behind: where nothing was said or kept of the mail, it is kept, so that nothing is lost.
    fn ran_out(&mut self, branch: Branch) {
        let end = match branch.answered {
            true => End::Drop(Drop::Answered),
            false => {
                let state = self.container.pipeline.state(branch.place);
                let line = format!("nothing in the processor {state} ends the way of {}; it is kept", self.facts.id);
                self.effects.push(Effect::Beside(Beside::Log(line.into())));
                End::Repository(self.container.error_repository.clone())
            }
        };
        self.end(branch, end);
    }

    /// The branch goes in circles: its sender is told, where there is one to be told; else it is kept.
    fn cut(&mut self, mut branch: Branch) {
        branch.error = Some("554 5.4.6 The mail goes in circles among the processors of this host".into());
        let mut run = Run {
            pipeline: &self.container.pipeline,
            facts: &self.facts,
            known: &self.known,
            branch: &mut branch,
            effects: &mut self.effects,
            ended: Vec::new(),
            parted: Vec::new(),
            sent_on: Vec::new(),
        };
        let end = match super::mailets::bounce::looped(&mut run) {
            true => End::Drop(Drop::Answered),
            false => End::Repository(self.container.error_repository.clone()),
        };
        self.end(branch, end);
    }

    fn matcher_failed(&mut self, mut branch: Branch, pair: &Pair, why: Rc<str>) -> Option<Branch> {
        let place = match pair.on_match_exception {
            OnMatchException::MatchAll => return Some(branch),
            OnMatchException::NoMatch => {
                self.advance(branch);
                return None;
            }
            OnMatchException::Error => self.container.pipeline.error,
            OnMatchException::Processor(place) => place,
        };
        (branch.error, branch.failed) = (Some(why.clone()), true);
        self.fail_to(branch, place, why);
        None
    }

    fn mailet_failed(&mut self, mut branch: Branch, pair: &Pair, why: Rc<str>) {
        let place = match pair.on_mailet_exception {
            OnMailetException::Ignore => return self.advance(branch),
            OnMailetException::Propagate => return self.again(branch, why, true),
            OnMailetException::Error => self.container.pipeline.error,
            OnMailetException::Processor(place) => place,
        };
        (branch.error, branch.failed) = (Some(why.clone()), true);
        self.fail_to(branch, place, why);
    }

    /// To the processor for what failed. What fails there must not go there once more.
    fn fail_to(&mut self, branch: Branch, place: Place, why: Rc<str>) {
        match branch.place == place {
            true => self.again(branch, why, true),
            false => self.enter(branch, place),
        }
    }

    /// The walk failed for these.
    fn again(&mut self, branch: Branch, why: Rc<str>, counts: bool) {
        let given_up = counts && self.facts.failures + 1 >= FAILURES_MAX;
        let end = match given_up {
            true => End::Repository(self.container.error_repository.clone()),
            false => End::Again { why, counts },
        };
        self.end(branch, end);
    }

    /// Takes in an answer. An error says why what was asked is still not known.
    fn learn(&mut self, question: &Question, answer: Answer) -> Result<(), Unlearned> {
        let Some(branch) = self.branches.last_mut() else { return Ok(()) };
        let count = branch.recipients.len();
        match (question, answer) {
            (_, Answer::Unavailable(why)) => return Err(Unlearned { why, counts: false }),
            (Question::Header, Answer::TooBig) => {
                return Err(Unlearned { why: "its header is larger than mailets can read".into(), counts: true });
            }
            (Question::Header, Answer::Header(header)) => self.known.header = Some(header),
            (Question::Content { .. }, Answer::Content(content)) => self.known.content = Some(Ok(content)),
            (Question::Content { .. }, Answer::TooBig) => self.known.content = Some(Err(TooBig)),
            (Question::BodyHash(how), Answer::BodyHash(hash)) => self.known.body_hashes.push((*how, hash)),
            (Question::Directory(Whom::Sender), Answer::Directory(answers)) if answers.len() == 1 => {
                self.known.sender = answers.first().copied();
            }
            (Question::Directory(Whom::Recipients), Answer::Directory(answers)) if answers.len() == count => {
                let known = branch.recipients.iter_mut().zip(answers);
                known.for_each(|(recipient, answer)| recipient.known = Some(answer));
            }
            (Question::Rewrite(Whom::Sender), Answer::Rewritten(answers)) if answers.len() == 1 => {
                self.known.sender_rewritten = answers.into_iter().next();
            }
            (Question::Rewrite(Whom::Recipients), Answer::Rewritten(answers)) if answers.len() == count => {
                branch.rewritten = Some(answers);
            }
            (Question::Exists(of), Answer::Exists(answers)) if of.len() == answers.len() => {
                self.known.exists.extend(of.iter().cloned().zip(answers));
            }
            (Question::Listed { zone, .. }, Answer::Listed(listed)) => self.known.listed.push((zone.clone(), listed)),
            (Question::Scripts, Answer::Scripts(scripts)) if scripts.len() == count => branch.scripts = Some(scripts),
            _ => return Err(Unlearned { why: "the answer is to another question".into(), counts: false }),
        }
        Ok(())
    }
}

/// What was asked is still not known.
struct Unlearned {
    why: Box<str>,
    /// Whether that is a failure of the mail.
    counts: bool,
}

/// A branch where this one is, without anybody on it.
fn like(branch: &Branch) -> Branch {
    Branch {
        recipients: Vec::new(),
        attributes: branch.attributes.clone(),
        form: branch.form.clone(),
        error: branch.error.clone(),
        failed: branch.failed,
        answered: branch.answered,
        rewritten: None,
        scripts: None,
        place: branch.place,
        pair: branch.pair,
        chosen: branch.chosen,
        processors: branch.processors,
    }
}

#[cfg(test)]
mod tests;
