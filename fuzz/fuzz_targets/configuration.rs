//! Whatever a file says, the configuration is read to its end: the first octet says which file the rest is.

#![no_main]

use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use ringpost::config::{Configuration, Content, Host, Severity, Source, Sources};

fn host() -> Host {
    Host {
        name: "mx.example.net".to_owned(),
        cpus: vec![0, 1],
        resolve: |name| match name {
            "localhost" => Ok(vec![[127, 0, 0, 1].into()]),
            _ => Err(io::ErrorKind::NotFound.into()),
        },
        variable: |name| (name == "HOME").then(|| "/home".to_owned()),
        usable: |_| Ok(()),
        trusted: |_| Ok(()),
    }
}

fuzz_target!(|octets: &[u8]| {
    let Some((which, octets)) = octets.split_first() else { return };
    let mut sources = Sources::default();
    let places = [
        &mut sources.smtpserver,
        &mut sources.lmtpserver,
        &mut sources.domainlist,
        &mut sources.usersrepository,
        &mut sources.recipientrewritetable,
        &mut sources.dnsservice,
        &mut sources.mailrepositorystore,
        &mut sources.mailetcontainer,
        &mut sources.webadmin,
        &mut sources.jvm,
        &mut sources.ringpost,
    ];
    let place = places.into_iter().nth(usize::from(*which) % 11).expect("there are eleven");
    *place = Source { path: "fuzz".to_owned(), content: Content::Octets(octets.to_vec()) };
    let reading = Configuration::from_sources(&sources, Path::new("/srv"), &host());
    let errors = reading.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    assert_eq!(reading.configuration.is_none(), errors > 0);
    for problem in &reading.problems {
        assert!(!problem.to_string().is_empty());
    }
});
