//! The DNS as one core reaches it: asks the control plane, and remembers answers for a while.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::{Answer, PATIENCE, Question};
use crate::control::client::{Answers, Client};
use crate::delivery::names::{Names, Pending, Unavailable};
use crate::delivery::route::{Addresses, MailExchange};
use crate::io::wait::Places;
use crate::mail::Domain;

/// How long an answer is waited for: the control plane has one sooner, whatever the DNS does.
const WAIT: Duration = Duration::from_secs(PATIENCE.as_secs() + 10);

/// Names that a core looks up at a time; who wants another waits.
const OPEN: usize = 256;

/// How long an answer is believed at most, and how many are remembered: each is a few KiB at most, and the control plane
/// remembers more.
const BELIEVED: Duration = Duration::from_secs(300);
const REMEMBERED: usize = 2_000;

/// One core's way to the DNS; clones are the same.
#[derive(Clone)]
pub struct NameClient(Rc<State>);

struct State {
    client: Client,
    one_address_each: bool,
    places: Places,
    remembered: RefCell<Answers<Question, Answer>>,
}

impl NameClient {
    /// By way of `client`; of hosts that have several addresses one alone is tried where `one_address_each` says so.
    pub fn new(client: Client, one_address_each: bool) -> NameClient {
        let (places, remembered) = (Places::new(OPEN), RefCell::default());
        NameClient(Rc::new(State { client, one_address_each, places, remembered }))
    }

    async fn ask(&self, question: Question) -> Answer {
        let state = &self.0;
        let known = || state.remembered.borrow().get(&question, state.client.now());
        if let Some(answer) = known() {
            return answer;
        }
        let _place = state.places.take().await;
        // Whoever had the place before may have asked the same.
        if let Some(answer) = known() {
            return answer;
        }
        let Ok(told) = state.client.ask_name(question.clone(), WAIT).await else { return question.unavailable() };
        if !told.lasts.is_zero() {
            let until = state.client.now() + told.lasts.min(BELIEVED);
            state.remembered.borrow_mut().put_among(REMEMBERED, question, told.answer.clone(), until);
        }
        told.answer
    }
}

/// A name as it is asked for and remembered: one way to write it.
fn key(name: &str) -> Box<str> {
    name.trim_matches('.').to_ascii_lowercase().into()
}

impl Names for NameClient {
    fn mail_exchange<'a>(&'a self, domain: &Domain) -> Pending<'a, MailExchange> {
        let question = match domain {
            Domain::Name(name) => Some(Question::MailExchange(key(name))),
            Domain::Address(_) => None,
        };
        Box::pin(async move {
            let Some(question) = question else { return MailExchange::NoRecord };
            match self.ask(question).await {
                Answer::MailExchange(exchange) => exchange,
                _ => MailExchange::Unavailable,
            }
        })
    }

    fn addresses<'a>(&'a self, name: &str) -> Pending<'a, Addresses> {
        let name = key(name);
        Box::pin(async move {
            if let Ok(address) = name.parse() {
                return Addresses::Found(vec![address]);
            }
            match self.ask(Question::Addresses(name)).await {
                Answer::Addresses(addresses) => addresses,
                _ => Addresses::Unavailable,
            }
        })
    }

    fn listed<'a>(&'a self, zone: &str, address: IpAddr) -> Pending<'a, Result<bool, Unavailable>> {
        let question = Question::Listed(key(zone), address);
        Box::pin(async move {
            match self.ask(question).await {
                Answer::Listed(listed) => listed,
                _ => Err(Unavailable),
            }
        })
    }

    fn one_address_each(&self) -> bool {
        self.0.one_address_each
    }
}
