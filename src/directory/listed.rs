//! A directory that fits into memory and asks nobody.

use std::collections::{HashMap, HashSet};
use std::future::ready;

use super::{Answer, Directory, Login, Naming, Pending, Proof, Scram, user_of};
use crate::mail::scram::{hmac, is_same};
use crate::mail::{Domain, Mailbox, Password, ScramCredentials, Username};

/// Iterations of the SCRAM material made here: few, because nothing here is worth more.
const ITERATIONS: u32 = 4096;

/// Users and domains in memory, with virtual hosting.
#[derive(Clone, Debug)]
pub struct Listed {
    naming: Naming,
    domains: HashSet<Domain>,
    users: HashMap<Mailbox, Option<Password>>,
    rewritten: HashMap<Mailbox, Answer>,
    senders: HashSet<(Username, Mailbox)>,
    administrators: HashSet<Username>,
}

impl Default for Listed {
    fn default() -> Listed {
        Listed::new([], [])
    }
}

impl Listed {
    /// Of these domains and users. Local parts are compared without regard to case and without `+detail`, as James does. The
    /// first domain is the one of names without one.
    pub fn new(domains: impl IntoIterator<Item = Domain>, users: impl IntoIterator<Item = Mailbox>) -> Listed {
        let domains: Vec<Domain> = domains.into_iter().collect();
        let default_domain = domains.first().cloned().unwrap_or(Domain::Name("localhost".into()));
        Listed {
            naming: Naming { virtual_hosting: true, default_domain },
            domains: domains.into_iter().collect(),
            users: users.into_iter().map(|user| (user_of(&user), None)).collect(),
            rewritten: HashMap::new(),
            senders: HashSet::new(),
            administrators: HashSet::new(),
        }
    }

    /// With this password for a user, who is there from now on.
    pub fn with_password(mut self, user: Mailbox, password: Password) -> Listed {
        self.users.insert(user_of(&user), Some(password));
        self
    }

    /// With this answer for an address.
    pub fn with_answer(mut self, mailbox: Mailbox, answer: Answer) -> Listed {
        self.rewritten.insert(user_of(&mailbox), answer);
        self
    }

    /// With this address for a user to send from beside its own.
    pub fn with_sender(mut self, user: Username, mailbox: Mailbox) -> Listed {
        self.senders.insert((user, user_of(&mailbox)));
        self
    }

    /// With this user as one that may act for others.
    pub fn with_administrator(mut self, user: Username) -> Listed {
        self.administrators.insert(user);
        self
    }

    /// What is known of a mailbox.
    pub fn answer(&self, mailbox: &Mailbox) -> Answer {
        let user = user_of(mailbox);
        if let Some(answer) = self.rewritten.get(&user) {
            answer.clone()
        } else if !self.domains.contains(mailbox.domain()) {
            Answer::OtherDomain
        } else if self.users.contains_key(&user) {
            Answer::User
        } else {
            Answer::UnknownUser
        }
    }

    /// What becomes of a login.
    pub fn prove(&self, login: &Login) -> Proof {
        let right = self
            .password_of(&login.name)
            .filter(|(_, password)| is_same(password.reveal().as_bytes(), login.password.reveal().as_bytes()));
        right.map_or(Proof::Refused, |(user, _)| Proof::Proved(user))
    }

    fn password_of(&self, name: &str) -> Option<(Username, &Password)> {
        let user = self.naming.login(name)?;
        let password = self.users.get(&self.naming.mailbox(&user)?)?.as_ref()?;
        Some((user, password))
    }

    /// A user's SCRAM material, or nobody's.
    pub fn scram_of(&self, name: &str) -> Option<Scram> {
        let user = self.naming.login(name)?;
        let salt = hmac(b"listed", user.as_str().as_bytes());
        let credentials = match self.password_of(name) {
            Some((_, password)) => ScramCredentials::derive(password.reveal(), &salt[..16], ITERATIONS),
            None => ScramCredentials {
                salt: salt[..16].into(),
                iterations: ITERATIONS,
                stored_key: hmac(b"nobody", &salt),
                server_key: hmac(b"nobody's", &salt),
            },
        };
        Some(Scram { user, credentials })
    }

    /// Whether a user may send from an address.
    pub fn may_send(&self, user: &Username, mailbox: &Mailbox) -> bool {
        let own = self.naming.user(mailbox).as_ref() == Some(user);
        own || self.senders.contains(&(user.clone(), user_of(mailbox)))
    }

    /// Whether a domain is one of ours.
    pub fn has_domain(&self, domain: &Domain) -> bool {
        self.domains.contains(domain)
    }

    /// Who a user becomes that asks to act for `name`.
    pub fn act(&self, user: &Username, name: &str) -> Option<Username> {
        let other = self.naming.login(name)?;
        let exists = || self.naming.mailbox(&other).is_some_and(|mailbox| self.users.contains_key(&mailbox));
        (other == *user || (self.administrators.contains(user) && exists())).then_some(other)
    }
}

impl Directory for Listed {
    fn known(&self, mailbox: &Mailbox) -> Option<Answer> {
        Some(self.answer(mailbox))
    }

    fn look_up<'a>(&'a self, mailbox: &Mailbox) -> Pending<'a, Answer> {
        Box::pin(ready(Ok(self.answer(mailbox))))
    }

    fn verify<'a>(&'a self, login: Login) -> Pending<'a, Proof> {
        Box::pin(ready(Ok(self.prove(&login))))
    }

    fn scram<'a>(&'a self, name: &str) -> Pending<'a, Option<Scram>> {
        Box::pin(ready(Ok(self.scram_of(name))))
    }

    fn may_send_as<'a>(&'a self, user: &Username, mailbox: &Mailbox) -> Pending<'a, bool> {
        Box::pin(ready(Ok(self.may_send(user, mailbox))))
    }

    fn act_for<'a>(&'a self, user: &Username, name: &str) -> Pending<'a, Option<Username>> {
        Box::pin(ready(Ok(self.act(user, name))))
    }

    fn is_local<'a>(&'a self, domain: &Domain) -> Pending<'a, bool> {
        Box::pin(ready(Ok(self.has_domain(domain))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).expect("a mailbox")
    }

    fn name(text: &str) -> Username {
        Username::parse(text).expect("a name")
    }

    fn listed() -> Listed {
        let password = Password::new("sesame").expect("a password");
        Listed::new([mailbox("x@localhost").domain().clone()], [mailbox("You@localhost")])
            .with_password(mailbox("me@localhost"), password)
    }

    #[test]
    fn users_are_known_whatever_their_case_and_detail() {
        let listed = listed();
        assert_eq!(listed.answer(&mailbox("you@LOCALHOST")), Answer::User);
        assert_eq!(listed.answer(&mailbox("YOU+lists@localhost")), Answer::User);
        assert_eq!(listed.answer(&mailbox("\"you\"@localhost")), Answer::User);
        assert_eq!(listed.answer(&mailbox("+you@localhost")), Answer::UnknownUser);
        assert_eq!(listed.answer(&mailbox("you@example.org")), Answer::OtherDomain);
    }

    #[test]
    fn passwords_prove_users() {
        let listed = listed();
        let prove = |name: &str, password: &str| {
            let password = Password::new(password).expect("a password");
            listed.prove(&Login { name: name.into(), password, client: [192, 0, 2, 1].into() })
        };
        assert_eq!(prove("ME", "sesame"), Proof::Proved(name("me@localhost")));
        assert_eq!(prove("me@localhost", "Sesame"), Proof::Refused);
        assert_eq!(prove("you", "sesame"), Proof::Refused, "a user without a password");
        assert_eq!(prove("nobody", "sesame"), Proof::Refused);
    }

    #[test]
    fn nobody_has_scram_material_too() {
        let listed = listed();
        let scram = |name| block_on(listed.scram(name)).expect("an answer");
        assert_eq!(scram("nobody"), scram("Nobody@localhost"));
        assert_ne!(scram("nobody"), scram("somebody"));
        let mine = scram("me").expect("a name").credentials;
        assert_eq!(mine, ScramCredentials::derive("sesame", &mine.salt, mine.iterations));
        assert_eq!(scram("no/name"), None);
    }

    #[test]
    fn users_send_as_themselves_and_administrators_act_for_others() {
        let (me, you) = (name("me@localhost"), name("you@localhost"));
        let listed = listed().with_sender(me.clone(), mailbox("sales@localhost")).with_administrator(me.clone());
        let may = |user, text| block_on(listed.may_send_as(user, &mailbox(text))).expect("an answer");
        assert!(may(&me, "Me+x@localhost") && may(&me, "sales@localhost"));
        assert!(!may(&me, "you@localhost") && !may(&you, "sales@localhost"));
        let act = |user, name| block_on(listed.act_for(user, name)).expect("an answer");
        assert_eq!(act(&me, "YOU"), Some(you.clone()));
        assert_eq!(act(&you, "you"), Some(you.clone()));
        assert_eq!((act(&you, "me"), act(&me, "nobody")), (None, None));
        assert!(block_on(listed.is_local(mailbox("x@LocalHost").domain())).expect("an answer"));
    }
}
