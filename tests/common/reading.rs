//! Configurations as text, for a machine that is always the same.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use ringpost::config::keystore::{KeyProblem, Part, how_to_make};
use ringpost::config::server::tls::{ClientAuth, Credentials};
use ringpost::config::{
    Configuration, Content, Host, Problem, Reading, RingpostSettings, ServerSettings, Source, Sources,
};

pub const HOME: &str = "/srv/ringpost";
pub const SMTP: &str = "<smtpservers><smtpserver><bind>127.0.0.1:25</bind><verifyIdentity>disabled</verifyIdentity>\
    <handlerchain><handler class='org.apache.james.smtpserver.fastfail.ValidRcptHandler'/></handlerchain>\
    </smtpserver></smtpservers>";
pub const LMTP: &str = "<lmtpservers><lmtpserver><bind>127.0.0.1:24</bind><handlerchain/></lmtpserver></lmtpservers>";
pub const DOMAINS: &str = "<domainlist><domainnames><domainname>example.org</domainname></domainnames></domainlist>";
pub const RINGPOST: &str = "<ringpost></ringpost>";

pub fn host() -> Host {
    Host { name: "mx.example.net".to_owned(), cpus: vec![0, 1, 2, 3], resolve, variable, usable, trusted }
}

pub fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    match name {
        "localhost" => Ok(vec![IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)]),
        "example.org" => Ok(vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::LOCALHOST)]),
        "six.example.org" => Ok(vec![IpAddr::V6(Ipv6Addr::LOCALHOST)]),
        "empty.example.org" => Ok(Vec::new()),
        _ => Err(io::Error::other("name not known")),
    }
}

fn variable(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("2526".to_owned()),
        "PASSWORD" => Some("hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// Every file is there and right, but those that are called missing.
fn usable(credentials: &Credentials) -> Result<(), KeyProblem> {
    match credentials {
        Credentials::Keystore(keystore) => is_there(Part::Keystore, &keystore.path, credentials),
        Credentials::Pem { private_key, certificates, .. } => is_there(Part::PrivateKey, private_key, credentials)
            .and_then(|()| is_there(Part::Certificates, certificates, credentials)),
    }
}

fn trusted(auth: &ClientAuth) -> Result<(), KeyProblem> {
    let Some(keystore) = &auth.truststore else { return Ok(()) };
    is_there(Part::Keystore, &keystore.path, &Credentials::Keystore(keystore.clone()))
}

fn is_there(part: Part, path: &Path, credentials: &Credentials) -> Result<(), KeyProblem> {
    match path.ends_with("missing") {
        true => {
            let found = format!("{} cannot be read (entity not found)", path.display());
            Err(KeyProblem { part, found, advice: how_to_make(credentials) })
        }
        false => Ok(()),
    }
}

pub fn source(name: &str, text: &[u8]) -> Source {
    let extension = if ["webadmin", "jvm"].contains(&name) { "properties" } else { "xml" };
    Source { path: format!("conf/{name}.{extension}"), content: Content::Octets(text.to_vec()) }
}

pub fn sources() -> Sources {
    Sources {
        directory: "/srv/ringpost/conf".into(),
        smtpserver: source("smtpserver", SMTP.as_bytes()),
        lmtpserver: source("lmtpserver", LMTP.as_bytes()),
        domainlist: source("domainlist", DOMAINS.as_bytes()),
        ringpost: source("ringpost", RINGPOST.as_bytes()),
        ..Sources::default()
    }
}

pub fn read(sources: &Sources) -> (Option<Configuration>, Vec<Problem>) {
    let Reading { configuration, problems, .. } = reading(sources);
    (configuration, problems)
}

pub fn reading(sources: &Sources) -> Reading {
    Configuration::from_sources(sources, Path::new(HOME), &host())
}

/// The same files with other text in one of them.
pub fn with(name: &str, text: &str) -> Sources {
    let mut sources = sources();
    put(&mut sources, name, text.as_bytes());
    sources
}

/// Puts other text in one of them.
pub fn put(sources: &mut Sources, name: &str, text: &[u8]) {
    let place = match name {
        "smtpserver" => &mut sources.smtpserver,
        "lmtpserver" => &mut sources.lmtpserver,
        "domainlist" => &mut sources.domainlist,
        "usersrepository" => &mut sources.usersrepository,
        "recipientrewritetable" => &mut sources.recipientrewritetable,
        "dnsservice" => &mut sources.dnsservice,
        "mailrepositorystore" => &mut sources.mailrepositorystore,
        "mailetcontainer" => &mut sources.mailetcontainer,
        "webadmin" => &mut sources.webadmin,
        "jvm" => &mut sources.jvm,
        "ringpost" => &mut sources.ringpost,
        other => panic!("no such file: {other}"),
    };
    *place = source(name, text);
}

pub fn told(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect::<Vec<_>>().join("\n")
}

/// The configuration of files in which nothing is wrong.
pub fn right(sources: &Sources) -> Configuration {
    let (configuration, problems) = read(sources);
    assert_eq!(told(&problems), "");
    configuration.expect("nothing is wrong")
}

pub fn smtp(keys: &str) -> ServerSettings {
    let bind = if keys.contains("<bind>") { "" } else { "<bind>127.0.0.1:25</bind>" };
    let text = format!(
        "<smtpservers><smtpserver>{bind}{keys}<verifyIdentity>disabled</verifyIdentity><handlerchain>\
         <handler class='org.apache.james.smtpserver.fastfail.ValidRcptHandler'/></handlerchain></smtpserver></smtpservers>"
    );
    right(&with("smtpserver", &text)).servers.remove(0)
}

pub fn lmtp(keys: &str) -> ServerSettings {
    let bind = if keys.contains("<bind>") { "" } else { "<bind>127.0.0.1:24</bind>" };
    let text = format!("<lmtpservers><lmtpserver>{bind}{keys}<handlerchain/></lmtpserver></lmtpservers>");
    right(&with("lmtpserver", &text)).servers.remove(1)
}

pub fn ringpost(keys: &str) -> RingpostSettings {
    let text = format!("<ringpost>{keys}</ringpost>");
    right(&with("ringpost", &text)).ringpost
}

/// What is told of a server with these keys.
pub fn problems_of(keys: &str) -> Vec<Problem> {
    let text = SMTP.replace("<verifyIdentity>disabled</verifyIdentity>", keys);
    read(&with("smtpserver", &text)).1
}

pub fn addresses(server: &ServerSettings) -> Vec<String> {
    server.bind.iter().map(ToString::to_string).collect()
}
