//! `ringpost serve`.

use std::path::Path;
use std::process::ExitCode;

use ringpost::config::Configuration;
use ringpost::mta::error::Error;
use ringpost::mta::serve::serve;

use super::exit;

/// Reads the configuration and serves. Problems of the configuration go to standard error, all of them at once.
pub fn run(conf: &Path) -> ExitCode {
    if !conf.is_dir() {
        eprintln!(
            "ringpost did not start: there is no directory {}; name the one that holds smtpserver.xml: ringpost --conf DIR",
            conf.display()
        );
        return ExitCode::from(exit::CONFIG);
    }
    let (configuration, problems) = Configuration::read(conf);
    for problem in &problems {
        eprintln!("{problem}");
    }
    let Some(configuration) = configuration else {
        eprintln!("ringpost did not start: the configuration in {} has errors", conf.display());
        return ExitCode::from(exit::CONFIG);
    };
    match serve(&configuration, |announcement| println!("{announcement}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringpost: {error}");
            ExitCode::from(match error {
                Error::ShardEnded(_) => exit::SOFTWARE,
                _ => exit::CONFIG,
            })
        }
    }
}
