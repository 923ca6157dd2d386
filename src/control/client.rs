//! The control plane as one core reaches it: asks, remembers answers for a while, gives up on late ones.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::desk::{Answered, Asked, Lines, Question, Reply, Request};
use super::names;
use crate::directory::{Answer, Directory, Login, Pending, Proof, Scram, Unavailable};
use crate::io::vitals::Vitals;
use crate::io::wait::Latch;
use crate::mail::{Domain, Mailbox, Username};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a password may take: it waits in the queue to the hashing threads.
const PASSWORD_PATIENCE: Duration = Duration::from_secs(30);

/// How long an answer is believed, and how many of each kind are remembered.
const BELIEVED: Duration = Duration::from_secs(60);
const REMEMBERED: usize = 10_000;

/// Questions that a core may have open, and passwords, which must not take the places of all others.
const OPEN: usize = 1024;
const OPEN_PASSWORDS: usize = 256;

/// One core's way to the control plane; clones are the same.
#[derive(Clone)]
pub struct Client(Rc<State>);

struct State {
    core: usize,
    lines: Arc<Lines>,
    vitals: Arc<Vitals>,
    /// The core's coarse clock, set by its pulse.
    now: Cell<Duration>,
    ticket: Cell<u64>,
    open: RefCell<HashMap<u64, Open>>,
    passwords: Cell<usize>,
    remembered: RefCell<Remembered>,
}

struct Open {
    until: Duration,
    /// The core counts as being at work until it is answered.
    in_flight: bool,
    answer: Latch<Result<Told<Answered>, Unavailable>>,
}

/// A reply, and the number of changes before it.
#[derive(Clone)]
struct Told<R> {
    changes: u64,
    reply: R,
}

/// Answers, each with the time until which it is believed; all are from after the same number of changes.
#[derive(Default)]
struct Remembered {
    changes: u64,
    recipients: Answers<Mailbox, Answer>,
    domains: Answers<Domain, bool>,
    senders: Answers<(Username, Mailbox), bool>,
}

/// Answers of one kind, as many as are put among at most.
pub(super) struct Answers<K, V>(HashMap<K, (V, Duration)>);

impl<K, V> Default for Answers<K, V> {
    fn default() -> Answers<K, V> {
        Answers(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    pub(super) fn get(&self, key: &K, now: Duration) -> Option<V> {
        self.0.get(key).filter(|(_, until)| *until > now).map(|(answer, _)| answer.clone())
    }

    fn put(&mut self, key: K, answer: V, until: Duration) {
        self.put_among(REMEMBERED, key, answer, until);
    }

    /// Remembers it; where there are `most` already they go, for most of them are past.
    pub(super) fn put_among(&mut self, most: usize, key: K, answer: V, until: Duration) {
        if self.0.len() >= most {
            self.0.clear();
        }
        self.0.insert(key, (answer, until));
    }
}

impl Remembered {
    /// Forgets all if the directory has changed since.
    fn keep_up(&mut self, changes: u64) {
        if self.changes != changes {
            *self = Remembered { changes, ..Remembered::default() };
        }
    }
}

impl Client {
    /// Of core number `core`.
    pub fn new(core: usize, lines: Arc<Lines>, vitals: Arc<Vitals>) -> Client {
        Client(Rc::new(State {
            core,
            lines,
            vitals,
            now: Cell::default(),
            ticket: Cell::default(),
            open: RefCell::default(),
            passwords: Cell::default(),
            remembered: RefCell::default(),
        }))
    }

    /// Takes in the answers that have come.
    pub fn take_answers(&self) {
        while let Some(response) = self.0.lines.responses[self.0.core].take() {
            let changes = response.changes;
            self.close(response.ticket, response.reply.map(|reply| Told { changes, reply }));
        }
    }

    /// Sets the clock and gives up on questions that have waited too long.
    pub fn tick(&self, now: Duration) {
        self.0.now.set(now);
        let late: Vec<_> =
            self.0.open.borrow().iter().filter(|(_, open)| open.until <= now).map(|(ticket, _)| *ticket).collect();
        late.into_iter().for_each(|ticket| self.close(ticket, Err(Unavailable)));
    }

    /// Asks the desk about a recipient; the answer comes as ordinary input of the core.
    pub async fn ask(&self, mailbox: Mailbox) -> Result<Answer, Unavailable> {
        let told = self.put(Question::Recipient(mailbox.clone()), PATIENCE).await?;
        let Reply::Recipient(answer) = told.reply else { return Err(Unavailable) };
        self.remember(told.changes, |remembered, until| remembered.recipients.put(mailbox, answer.clone(), until));
        Ok(answer)
    }

    /// The core's coarse clock.
    pub(super) fn now(&self) -> Duration {
        self.0.now.get()
    }

    /// Asks the DNS.
    pub(super) async fn ask_name(
        &self,
        question: names::Question,
        patience: Duration,
    ) -> Result<names::answer::Told, Unavailable> {
        match self.send(Asked::Name(question), patience).await?.reply {
            Answered::Name(told) => Ok(told),
            Answered::Directory(_) => Err(Unavailable),
        }
    }

    async fn put(&self, question: Question, patience: Duration) -> Result<Told<Reply>, Unavailable> {
        let Told { changes, reply } = self.send(Asked::Directory(question), patience).await?;
        match reply {
            Answered::Directory(reply) => Ok(Told { changes, reply }),
            Answered::Name(_) => Err(Unavailable),
        }
    }

    async fn send(&self, question: Asked, patience: Duration) -> Result<Told<Answered>, Unavailable> {
        let state = &self.0;
        if state.open.borrow().len() >= OPEN {
            return Err(Unavailable);
        }
        let ticket = state.ticket.get();
        state.ticket.set(ticket + 1);
        let answer = Latch::default();
        // Whoever waits for the DNS is as idle as who waits for a client: the answer comes when others like, and rings the bell.
        let in_flight = !matches!(question, Asked::Name(_));
        let open = Open { until: state.now.get() + patience, in_flight, answer: answer.clone() };
        state.open.borrow_mut().insert(ticket, open);
        if in_flight {
            state.vitals.begun();
        }
        let request = Request { core: state.core, ticket, question };
        if state.lines.requests.give(request).is_err() {
            self.close(ticket, Err(Unavailable));
        }
        answer.get().await
    }

    /// Asks, and takes the reply that belongs to the question.
    fn ask_for<'a, T: 'a>(&'a self, question: Question, take: fn(Reply) -> Option<T>) -> Pending<'a, T> {
        Box::pin(async move { take(self.put(question, PATIENCE).await?.reply).ok_or(Unavailable) })
    }

    fn close(&self, ticket: u64, answer: Result<Told<Answered>, Unavailable>) {
        if let Some(open) = self.0.open.borrow_mut().remove(&ticket) {
            if open.in_flight {
                self.0.vitals.done();
            } else {
                self.0.vitals.progressed();
            }
            open.answer.set(answer);
        }
    }

    /// Remembers an answer from after so many changes, unless there have been more meanwhile.
    fn remember(&self, changes: u64, put: impl FnOnce(&mut Remembered, Duration)) {
        let mut remembered = self.0.remembered.borrow_mut();
        remembered.keep_up(self.0.lines.changes());
        if remembered.changes == changes {
            put(&mut remembered, self.0.now.get() + BELIEVED);
        }
    }

    /// What is remembered.
    fn recall<T>(&self, get: impl FnOnce(&Remembered, Duration) -> Option<T>) -> Option<T> {
        let mut remembered = self.0.remembered.borrow_mut();
        remembered.keep_up(self.0.lines.changes());
        get(&remembered, self.0.now.get())
    }
}

/// Counts a password that is being verified while it lasts.
struct Counted<'a>(&'a Cell<usize>);

impl<'a> Counted<'a> {
    fn new(count: &'a Cell<usize>) -> Option<Counted<'a>> {
        let more = count.get() + 1;
        (more <= OPEN_PASSWORDS).then(|| {
            count.set(more);
            Counted(count)
        })
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Directory for Client {
    fn known(&self, mailbox: &Mailbox) -> Option<Answer> {
        self.recall(|remembered, now| remembered.recipients.get(mailbox, now))
    }

    fn look_up<'a>(&'a self, mailbox: &Mailbox) -> Pending<'a, Answer> {
        let mailbox = mailbox.clone();
        Box::pin(self.ask(mailbox))
    }

    fn verify<'a>(&'a self, login: Login) -> Pending<'a, Proof> {
        Box::pin(async move {
            let Some(_counted) = Counted::new(&self.0.passwords) else { return Ok(Proof::TooBusy) };
            match self.put(Question::Verify(login), PASSWORD_PATIENCE).await?.reply {
                Reply::Verify(proof) => Ok(proof),
                _ => Err(Unavailable),
            }
        })
    }

    fn scram<'a>(&'a self, name: &str) -> Pending<'a, Option<Scram>> {
        self.ask_for(Question::Scram(name.into()), |reply| match reply {
            Reply::Scram(scram) => Some(scram),
            _ => None,
        })
    }

    fn may_send_as<'a>(&'a self, user: &Username, mailbox: &Mailbox) -> Pending<'a, bool> {
        let key = (user.clone(), mailbox.clone());
        Box::pin(async move {
            if let Some(may) = self.recall(|remembered, now| remembered.senders.get(&key, now)) {
                return Ok(may);
            }
            let told = self.put(Question::MaySendAs(key.0.clone(), key.1.clone()), PATIENCE).await?;
            let Reply::MaySendAs(may) = told.reply else { return Err(Unavailable) };
            self.remember(told.changes, |remembered, until| remembered.senders.put(key, may, until));
            Ok(may)
        })
    }

    fn act_for<'a>(&'a self, user: &Username, name: &str) -> Pending<'a, Option<Username>> {
        self.ask_for(Question::ActFor(user.clone(), name.into()), |reply| match reply {
            Reply::ActFor(user) => Some(user),
            _ => None,
        })
    }

    fn is_local<'a>(&'a self, domain: &Domain) -> Pending<'a, bool> {
        let domain = domain.clone();
        Box::pin(async move {
            if let Some(local) = self.recall(|remembered, now| remembered.domains.get(&domain, now)) {
                return Ok(local);
            }
            let told = self.put(Question::IsLocal(domain.clone()), PATIENCE).await?;
            let Reply::IsLocal(local) = told.reply else { return Err(Unavailable) };
            self.remember(told.changes, |remembered, until| remembered.domains.put(domain, local, until));
            Ok(local)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::desk::Response;
    use crate::io::handover::Doorbell;
    use futures_lite::future::{block_on, poll_once};

    fn client() -> (Client, Arc<Lines>) {
        let bell = Arc::new(Doorbell::new(false).expect("a doorbell"));
        let lines = Arc::new(Lines::new([bell]).expect("lines"));
        (Client::new(0, lines.clone(), Arc::default()), lines)
    }

    fn domain() -> Domain {
        Domain::parse("x").expect("a domain")
    }

    /// Asks whether the domain is ours; how many questions that took. `between` happens before the answer is given.
    fn ask(client: &Client, lines: &Lines, between: impl FnOnce()) -> (Result<bool, Unavailable>, usize) {
        let domain = domain();
        let mut asked = client.is_local(&domain);
        if let Some(answer) = block_on(poll_once(&mut asked)) {
            return (answer, 0);
        }
        let request = lines.requests.take().expect("it is asked");
        let changes = lines.changes();
        between();
        let response =
            Response { ticket: request.ticket, changes, reply: Ok(Answered::Directory(Reply::IsLocal(true))) };
        lines.responses[0].give(response).expect("there is room");
        client.take_answers();
        (block_on(asked), 1)
    }

    #[test]
    fn an_answer_is_remembered_for_a_minute_and_not_beyond_a_change() {
        let (client, lines) = client();
        assert_eq!(ask(&client, &lines, || {}), (Ok(true), 1));
        assert_eq!(ask(&client, &lines, || {}), (Ok(true), 0));
        lines.changed();
        assert_eq!(ask(&client, &lines, || {}), (Ok(true), 1), "it may be another answer now");
        client.tick(BELIEVED);
        assert_eq!(ask(&client, &lines, || {}), (Ok(true), 1), "a minute is over");
    }

    #[test]
    fn an_answer_from_before_a_change_is_not_remembered_after_it() {
        let (client, lines) = client();
        assert_eq!(ask(&client, &lines, || lines.changed()), (Ok(true), 1));
        assert_eq!(ask(&client, &lines, || {}), (Ok(true), 1));
    }

    #[test]
    fn a_late_answer_is_none() {
        let (client, lines) = client();
        let domain = domain();
        let mut asked = client.is_local(&domain);
        assert!(block_on(poll_once(&mut asked)).is_none());
        client.tick(PATIENCE);
        assert_eq!(block_on(asked), Err(Unavailable));
        assert_eq!(lines.requests.len(), 1, "the desk may answer it yet, which nobody hears");
    }

    #[test]
    fn a_core_that_waits_for_the_dns_is_not_at_work() {
        let (client, lines) = client();
        let in_flight = || client.0.vitals.in_flight();
        let question = names::Question::Addresses("x".into());
        let mut name = Box::pin(client.ask_name(question, PATIENCE));
        assert!(block_on(poll_once(&mut name)).is_none());
        assert_eq!((in_flight(), lines.requests.len()), (0, 1), "it is asked, and others may take their time");
        let domain = domain();
        let mut local = client.is_local(&domain);
        assert!(block_on(poll_once(&mut local)).is_none());
        assert_eq!(in_flight(), 1, "the directory is this host's own");
        client.tick(PATIENCE);
        assert_eq!(in_flight(), 0);
        assert!(block_on(name).is_err() && block_on(local).is_err());
    }

    #[test]
    fn passwords_do_not_take_the_places_of_other_questions() {
        let (client, _lines) = client();
        let password = crate::mail::Password::new("p").expect("a password");
        let login = Login { name: "you".into(), password, client: [192, 0, 2, 1].into() };
        let mut waiting: Vec<_> = (0..OPEN_PASSWORDS).map(|_| client.verify(login.clone())).collect();
        for verify in &mut waiting {
            assert!(block_on(poll_once(verify)).is_none());
        }
        assert_eq!(block_on(client.verify(login.clone())), Ok(Proof::TooBusy));
        let domain = domain();
        assert!(block_on(poll_once(&mut client.is_local(&domain))).is_none(), "there is room for it");
        client.tick(PASSWORD_PATIENCE);
        assert_eq!(block_on(waiting.remove(0)), Err(Unavailable));
        drop(waiting);
        assert!(block_on(poll_once(&mut client.verify(login))).is_none(), "there is room again");
    }
}
