use super::*;
use crate::directory::password::{Algorithm, Mode};
use crate::directory::{Kind, Naming};
use crate::io::handover::Doorbell;
use std::collections::{BTreeSet, HashMap};

const CLIENT: [u8; 4] = [192, 0, 2, 1];

struct Bench {
    keeper: Arc<Keeper>,
    lines: Arc<Lines>,
    directory: tempfile::TempDir,
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("a domain")
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("a mailbox")
}

fn name(text: &str) -> Username {
    Username::parse(text).expect("a name")
}

fn secret(text: &str) -> Password {
    Password::new(text).expect("a password")
}

fn settings(virtual_hosting: bool) -> Settings {
    let written = HashMap::from([(
        Source::parse("info@x").expect("a source"),
        vec![Mapping::parse("alias:you@x").expect("a mapping")],
    )]);
    Settings {
        rules: Rules {
            naming: Naming { virtual_hosting, default_domain: domain("x") },
            named: vec![domain("x"), domain("y")],
            detected: BTreeSet::from(["[192.0.2.9]".to_owned()]),
            written,
        },
        mapping_limit: 10,
        postmaster: mailbox("postmaster@x"),
        administrators: HashSet::from([name(if virtual_hosting { "root@x" } else { "root" })]),
        rehash: true,
    }
}

impl Bench {
    async fn new(settings: Settings) -> Bench {
        let directory = tempfile::tempdir().expect("a directory");
        Bench::at(directory, settings).await
    }

    async fn at(directory: tempfile::TempDir, settings: Settings) -> Bench {
        let bell = Arc::new(Doorbell::new(false).expect("a doorbell"));
        let lines = Arc::new(Lines::new([bell]).expect("lines"));
        let first = settings.rules.postmaster();
        let store =
            Store::open(&directory.path().join("var/directory.sqlite"), first.as_ref()).await.expect("a database");
        let hashing = Hashing::start(1).expect("threads");
        let keeper = Keeper::new(settings, store, hashing, [1; 32], lines.clone()).await.expect("a directory");
        Bench { keeper: Arc::new(keeper), lines, directory }
    }

    async fn does(&self, command: Command) {
        assert_eq!(self.keeper.run(&command).await, Ok(Vec::new()), "{command:?}");
    }

    async fn refuses(&self, command: Command) -> String {
        self.keeper.run(&command).await.expect_err("it is refused")
    }

    async fn user(&self, user: &str, password: &str) {
        self.does(Command::AddUser(name(user), Some(Record::of(&secret(password)).expect("memory")))).await;
    }

    async fn maps(&self, source: &str, kind: Kind, target: &str) {
        let mapping = Mapping::new(kind, target).expect("a mapping");
        self.does(Command::AddMapping(Source::parse(source).expect("a source"), mapping)).await;
    }

    async fn said_of(&self, text: &str) -> String {
        match self.keeper.answer(Question::Recipient(mailbox(text))).await {
            Ok(Reply::Recipient(Answer::Rewritten(Rewriting { targets, .. }))) => {
                let target = |target: &Target| format!("{} {:?}", target.mailbox, target.place);
                targets.iter().map(target).collect::<Vec<_>>().join(", ")
            }
            Ok(Reply::Recipient(Answer::Refused(reply))) => reply.to_string(),
            other => format!("{other:?}").replace("Ok(Recipient(", "").replace("))", ""),
        }
    }

    async fn login(&self, user: &str, password: &str) -> Proof {
        let login = Login { name: user.into(), password: secret(password), client: CLIENT.into() };
        match self.keeper.answer(Question::Verify(login)).await {
            Ok(Reply::Verify(proof)) => proof,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn recipients_are_looked_up_after_the_rewrite_table() {
    let bench = Bench::new(settings(true)).await;
    bench.user("you@x", "sesame").await;
    bench.does(Command::AddUser(name("me@y"), None)).await;
    for (source, kind, target) in [
        ("sales@x", Kind::Alias, "you@x"),
        ("all@x", Kind::Group, "you@x"),
        ("all@x", Kind::Group, "sales"),
        ("all@x", Kind::Group, "nobody@x"),
        ("all@x", Kind::Group, "friend@elsewhere"),
        ("gone@x", Kind::Error, "551 5.1.6 Gone"),
        ("loop@x", Kind::Address, "pool@x"),
        ("pool@x", Kind::Address, "loop@x"),
        ("me@y", Kind::Forward, "me@y"),
        ("me@y", Kind::Forward, "you@x"),
    ] {
        bench.maps(source, kind, target).await;
    }
    for (recipient, said) in [
        ("You+list@X", "User"),
        ("nobody@x", "UnknownUser"),
        ("you@elsewhere", "OtherDomain"),
        ("sales@x", "you@x User"),
        ("info@x", "you@x User"),
        ("all@x", "you@x User, nobody@x Nobody, friend@elsewhere OtherDomain"),
        ("gone@x", "551 5.1.6 Gone"),
        ("loop@x", "554 5.4.6 Too many mappings to process"),
        ("me@y", "me@y User, you@x User"),
        ("postmaster@x", "User"),
        ("Postmaster@y", "postmaster@x User"),
        ("postmaster@elsewhere", "OtherDomain"),
        ("you@[192.0.2.9]", "UnknownUser"),
        ("postmaster@[192.0.2.9]", "postmaster@x User"),
    ] {
        assert_eq!(bench.said_of(recipient).await, said, "{recipient}");
    }
    bench.does(Command::RemoveUser(name("postmaster@x"))).await;
    assert_eq!(bench.said_of("postmaster@y").await, "postmaster@x User", "there is always a postmaster");
}

#[tokio::test]
async fn without_virtual_hosting_a_user_is_the_same_in_every_domain() {
    let bench = Bench::new(settings(false)).await;
    bench.user("you", "sesame").await;
    assert_eq!(bench.said_of("you@x").await, "User");
    assert_eq!(bench.said_of("You+a@y").await, "you@x User");
    assert_eq!(bench.said_of("info@x").await, "you@x User");
    assert_eq!(bench.login("YOU", "sesame").await, Proof::Proved(name("you")));
    assert_eq!(bench.login("you@x", "sesame").await, Proof::Refused);
    for (from, expected) in [("you@y", true), ("info@x", true), ("me@x", false)] {
        assert_eq!(
            bench.keeper.may_send_as(&name("you"), &mailbox(from)).await.expect("an answer"),
            expected,
            "{from}"
        );
    }
    assert!(bench.refuses(Command::AddUser(name("me@x"), None)).await.contains("before the @"));
}

#[tokio::test]
async fn passwords_are_proved_remembered_and_forgotten_with_a_change() {
    let bench = Bench::new(settings(true)).await;
    bench.user("you@x", "sesame").await;
    assert_eq!(bench.login("You", "sesame").await, Proof::Proved(name("you@x")));
    assert!(bench.keeper.proven.is_right(&name("you@x"), &secret("sesame"), Instant::now()));
    assert_eq!(bench.login("you@x", "Sesame").await, Proof::Refused);
    assert_eq!(bench.login("nobody@x", "sesame").await, Proof::Refused);
    assert_eq!(bench.login("no/name", "sesame").await, Proof::Refused);
    assert_eq!(bench.login("postmaster", "sesame").await, Proof::Refused, "without a password nobody logs in");
    let before = bench.lines.changes();
    bench.does(Command::SetPassword(name("you@x"), Record::of(&secret("other")).expect("memory"))).await;
    assert!(bench.lines.changes() > before, "what cores remember counts no more");
    assert_eq!(bench.login("you@x", "sesame").await, Proof::Refused, "at once");
    assert_eq!(bench.login("you@x", "other").await, Proof::Proved(name("you@x")));
    bench.does(Command::RemoveUser(name("you@x"))).await;
    assert_eq!(bench.login("you@x", "other").await, Proof::Refused);
}

#[tokio::test]
async fn what_james_has_hashed_is_hashed_anew_at_the_next_login() {
    let bench = Bench::new(settings(true)).await;
    let sha = Algorithm::parse("SHA-1", Mode::Plain).expect("an algorithm");
    // SHA-1 of "sesame".
    let imported = Record::imported(sha, "CEo1Ae3vaEXy8eQZjsOiuBz1xrw=");
    let imported = imported.expect("a record");
    assert!(imported.verify("", "sesame"), "the vector is right");
    bench.does(Command::AddUser(name("you@x"), Some(imported.clone()))).await;
    assert_eq!(bench.login("you", "Sesame").await, Proof::Refused);
    let scram = bench.keeper.scram("you").await.expect("an answer").expect("a name");
    assert_eq!(scram.credentials, bench.keeper.nobodys(&name("you@x")), "none before the first login");
    assert_eq!(bench.login("you", "sesame").await, Proof::Proved(name("you@x")));
    let until = Instant::now() + Duration::from_secs(60);
    let kept = loop {
        let kept = bench.keeper.store.record(&name("you@x")).await.expect("an answer").expect("a record");
        if kept != imported {
            break kept;
        }
        assert!(Instant::now() < until, "it is not hashed anew");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(kept.is_up_to_date() && kept.verify("you@x", "sesame"));
    let scram = bench.keeper.scram("you").await.expect("an answer").expect("a name");
    assert_eq!(Some(scram.credentials), kept.scram);
}

#[tokio::test]
async fn nobody_has_scram_material_that_never_changes() {
    let bench = Bench::new(settings(true)).await;
    bench.user("you@x", "sesame").await;
    let scram = async |keeper: &Keeper, name| keeper.scram(name).await.expect("an answer");
    let nobody = scram(&bench.keeper, "nobody").await;
    assert_eq!(scram(&bench.keeper, "Nobody@x").await, nobody);
    assert_ne!(scram(&bench.keeper, "somebody").await, nobody);
    assert_eq!(scram(&bench.keeper, "a b").await, None);
    let yours = scram(&bench.keeper, "you").await.expect("a name").credentials;
    assert_eq!(yours, ScramCredentials::derive("sesame", &yours.salt, yours.iterations));
    let nobodys = nobody.clone().expect("a name").credentials;
    assert_eq!((nobodys.salt.len(), nobodys.iterations), (yours.salt.len(), yours.iterations), "they look alike");
    let Bench { keeper, directory, .. } = bench;
    keeper.store.clone().close().await;
    let again = Bench::at(directory, settings(true)).await;
    assert_eq!(scram(&again.keeper, "nobody").await, nobody, "not after a restart either");
}

#[tokio::test]
async fn users_send_as_their_aliases_and_administrators_act_for_others() {
    let bench = Bench::new(settings(true)).await;
    bench.user("you@x", "sesame").await;
    bench.does(Command::AddUser(name("root@x"), None)).await;
    bench.maps("sales@x", Kind::Alias, "you@x").await;
    bench.maps("team@x", Kind::Group, "you@x").await;
    bench.maps("y", Kind::DomainAlias, "x").await;
    let (you, root) = (name("you@x"), name("root@x"));
    for (from, expected) in
        [("You+a@x", true), ("sales@x", true), ("sales@y", true), ("info@x", true), ("team@x", false)]
    {
        assert_eq!(bench.keeper.may_send_as(&you, &mailbox(from)).await.expect("an answer"), expected, "{from}");
    }
    assert_eq!(bench.said_of("you@y").await, "you@x User", "the domain is an alias for recipients too");
    let act = async |user, other| bench.keeper.act_for(user, other).await.expect("an answer");
    assert_eq!(act(&root, "you").await, Some(you.clone()));
    assert_eq!(act(&you, "You@x").await, Some(you.clone()));
    assert_eq!((act(&you, "root").await, act(&root, "nobody").await), (None, None));
}

#[tokio::test]
async fn changes_that_cannot_work_are_refused() {
    let bench = Bench::new(settings(true)).await;
    bench.does(Command::AddUser(name("you@x"), None)).await;
    bench.does(Command::AddDomain(domain("Z"))).await;
    bench.does(Command::AddUser(name("you@z"), None)).await;
    let mapping = |text| Mapping::parse(text).expect("a mapping");
    let source = |text| Source::parse(text).expect("a source");
    for (command, why) in [
        (Command::AddUser(name("you@x"), None), "there is a user you@x"),
        (Command::AddUser(name("you@w"), None), "first: ringpost domain add w"),
        (Command::AddUser(name("you"), None), "no user's name here"),
        (Command::AddUser(name("you+a@x"), None), "would get no mail"),
        (Command::RemoveUser(name("me@x")), "there is no user me@x"),
        (Command::SetPassword(name("me@x"), Record::of(&secret("a")).expect("memory")), "there is no user me@x"),
        (Command::AddDomain(domain("z")), "is there"),
        (Command::RemoveDomain(domain("x")), "domainlist.xml names it"),
        (Command::RemoveDomain(domain("z")), "1 users or mappings are of this domain"),
        (Command::RemoveDomain(domain("w")), "there is no domain w"),
        (Command::AddMapping(source("a@w"), mapping("you@x")), "first: ringpost domain add w"),
        (Command::RemoveMapping(source("a@x"), mapping("you@x")), "has no mapping you@x"),
    ] {
        let said = bench.refuses(command).await;
        assert!(said.contains(why), "{said}");
    }
    let rows = bench.keeper.run(&Command::ListDomains).await.expect("rows");
    let rows: Vec<_> = rows.iter().map(|row| row.join(" ")).collect();
    assert_eq!(rows, ["x domainlist.xml", "y domainlist.xml", "z database", "[192.0.2.9] detected"]);
    let users = bench.keeper.run(&Command::ListUsers).await.expect("rows");
    assert_eq!(users.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ["postmaster@x", "you@x", "you@z"]);
    let mappings = bench.keeper.run(&Command::ListMappings).await.expect("rows");
    assert_eq!(mappings, [["info@x", "alias", "you@x", "recipientrewritetable.xml"].map(String::from).to_vec()]);
}

#[tokio::test]
async fn a_database_that_is_gone_is_unavailable_and_nothing_else() {
    let bench = Bench::new(settings(true)).await;
    bench.user("you@x", "sesame").await;
    bench.keeper.store.clone().close().await;
    for text in ["you@x", "nobody@x", "you@elsewhere"] {
        assert_eq!(bench.said_of(text).await, "Err(Unavailable)", "{text}");
    }
    let login = Login { name: "you@x".into(), password: secret("sesame"), client: CLIENT.into() };
    assert!(matches!(bench.keeper.answer(Question::Verify(login)).await, Err(Unavailable)));
    let outcome = bench.keeper.run(&Command::AddDomain(domain("z"))).await;
    assert!(outcome.expect_err("it fails").contains("did not answer"));
}

#[tokio::test]
async fn a_database_that_another_process_holds_answers_and_is_not_changed() {
    let bench = Bench::new(settings(true)).await;
    let path = bench.directory.path().join("var/directory.sqlite");
    let other = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(path)).await;
    let other = other.expect("a database");
    let held = other.begin_with("BEGIN IMMEDIATE").await.expect("it is not held yet");
    let outcome = bench.keeper.run(&Command::AddDomain(domain("z"))).await;
    assert!(outcome.expect_err("it is held").contains("locked"));
    assert_eq!(bench.said_of("postmaster@x").await, "User", "reading goes on");
    held.rollback().await.expect("it is let go");
    bench.does(Command::AddDomain(domain("z"))).await;
}

#[tokio::test]
async fn tables_of_another_version_are_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("directory.sqlite");
    let store = Store::open(&path, None).await.expect("a database");
    store.clone().close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("a database");
    sqlx::raw_sql("PRAGMA user_version = 7").execute(&pool).await.expect("it is set");
    pool.close().await;
    let error = Store::open(&path, None).await.expect_err("another version").to_string();
    assert!(error.contains("version 7"), "{error}");
}
