//! `ringpost serve`.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use ringpost::config::{Configuration, Reading};
use ringpost::mta::error::Error;
use ringpost::mta::serve::serve;

use super::exit;
use super::tell::{self, Colours};

/// Reads the configuration and serves. Problems of the configuration go to standard error, all of them at once.
pub fn run(conf: &Path) -> ExitCode {
    if let Err(why) = tell::directory(conf) {
        eprintln!("ringpost did not start: {why}");
        return ExitCode::from(exit::CONFIG);
    }
    let Reading { configuration, problems, .. } = Configuration::read(conf);
    let mut err = io::stderr().lock();
    let colours = Colours::of(&err);
    // Where nobody reads what is wrong, that is no reason not to serve.
    let _ = tell::problems(&problems, colours, &mut err);
    drop(err);
    let Some(configuration) = configuration else {
        eprintln!("ringpost did not start: the configuration in {} has errors", conf.display());
        return ExitCode::from(exit::CONFIG);
    };
    match serve(&configuration, |announcement| println!("{announcement}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringpost: {error}");
            ExitCode::from(match error {
                Error::ShardEnded(_) | Error::Start { .. } | Error::Failed { .. } | Error::Restless(_) => {
                    exit::SOFTWARE
                }
                _ => exit::CONFIG,
            })
        }
    }
}
