//! Servers as processes in a session of their own, so that a signal from the terminal does not end them behind our back, and that are
//! ended by their number on every way out.

use super::cpu::{self, ControlGroup};
use crate::process::StopSignal;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// How long a server may take to start or to stop.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A server that runs. Dropping it kills its whole session.
pub struct Server {
    name: &'static str,
    child: Child,
    group: Option<ControlGroup>,
    ended: bool,
}

impl Server {
    /// Starts it, in a control group if one can be had.
    pub fn start(name: &'static str, mut command: Command) -> Result<Server, String> {
        let group = ControlGroup::make(&format!("loadtest-{name}-{}", std::process::id()));
        // Opened here, for the child may see other files than we do.
        let entrance = group.as_ref().and_then(|group| File::options().write(true).open(group.entrance()).ok());
        let group = group.filter(|_| entrance.is_some());
        // SAFETY: between fork and exec only system calls are made, on what was opened before.
        unsafe {
            command.pre_exec(move || {
                if libc::setsid() < 0 {
                    return Err(io::Error::last_os_error());
                }
                // Should we be killed ourselves, it hears of it.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                if let Some(mut entrance) = entrance.as_ref() {
                    entrance.write_all(b"0")?;
                }
                Ok(())
            });
        }
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        Ok(Server { name, child, group, ended: false })
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time of all its processes, ended ones included.
    pub fn cpu(&self) -> Result<f64, String> {
        match &self.group {
            Some(group) => group.seconds(),
            None => Ok(cpu::of_family(self.pid())),
        }
    }

    /// How that is counted.
    pub fn cpu_method(&self) -> String {
        let by_process = "its process, ended children and living descendants, from /proc/PID/stat";
        self.group.as_ref().map_or_else(|| by_process.into(), ControlGroup::describe)
    }

    /// Waits until `check` holds. An error if the server ends, if it takes too long, or if a signal says stop.
    pub fn wait_until(&mut self, what: &str, stop: &StopSignal, mut check: impl FnMut() -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !check() {
            if stop.is_set() {
                return Err("stopped by a signal".into());
            }
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                self.ended = true;
                return Err(format!("{} ended at its start: {status}", self.name));
            }
            if Instant::now() > deadline {
                return Err(format!("{}: no {what} within {} s", self.name, PATIENCE.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Asks it to end and waits until it has; all its processes.
    pub fn stop(mut self) -> Result<ExitStatus, String> {
        crate::process::terminate(self.pid());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                self.ended = true;
                self.end_session();
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(format!("{} did not end within {} s", self.name, PATIENCE.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills what is left of the session: the process itself and whatever it has started.
    fn end_session(&mut self) {
        let session = self.pid() as libc::pid_t;
        // SAFETY: the call has no preconditions. The group's number is that of our child, which leads its session; while one of
        // its members lives, the number is given to nobody else.
        unsafe { libc::kill(-session, libc::SIGKILL) };
        if !self.ended {
            let _ = self.child.wait();
            self.ended = true;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.ended {
            self.end_session();
        }
    }
}

/// A port of the loopback network that is free now.
pub fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}

/// Whether the server on the port says 220.
pub fn greets(port: u16) -> bool {
    let greeting = || -> io::Result<bool> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut greeting = [0; 512];
        let count = stream.read(&mut greeting)?;
        stream.write_all(b"QUIT\r\n")?;
        let _ = stream.read(&mut [0; 512])?;
        Ok(greeting[..count].starts_with(b"220"))
    };
    greeting().unwrap_or(false)
}
