//! `ringpost status`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ringpost::config::Configuration;
use ringpost::control::status::Request;

use super::exit;
use super::tell;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the server of this configuration, behind its control socket, how it is.
pub fn run(conf: &Path, json: bool) -> ExitCode {
    if let Err(why) = tell::directory(conf) {
        eprintln!("ringpost: {why}");
        return ExitCode::from(exit::CONFIG);
    }
    let Some(configuration) = Configuration::read(conf).configuration else {
        eprintln!("ringpost: the configuration in {} has errors; `ringpost check` tells them", conf.display());
        return ExitCode::from(exit::CONFIG);
    };
    let socket = &configuration.ringpost.control_socket;
    let request = if json { Request::Json } else { Request::Text };
    match ask(socket, request) {
        Ok(answer) => {
            print!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ringpost: no server answers at {}: {error}", socket.display());
            ExitCode::from(exit::UNAVAILABLE)
        }
    }
}

fn ask(socket: &Path, request: Request) -> std::io::Result<String> {
    let mut server = UnixStream::connect(socket)?;
    server.set_read_timeout(Some(PATIENCE))?;
    server.set_write_timeout(Some(PATIENCE))?;
    server.write_all(request.line().as_bytes())?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    Ok(answer)
}
