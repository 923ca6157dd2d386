//! What the configuration must know of the machine that it is for.

use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};

use super::keystore::{self, KeyProblem};
use super::server::tls::{ClientAuth, Credentials};
use super::value::hello_name;

/// The machine, as values, so that reading a configuration is the same everywhere it is tested.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name, for `helloName` and `autodetect`.
    pub name: String,
    /// The CPUs that this process may use, ascending.
    pub cpus: Vec<usize>,
    /// Finds the addresses of a name in `bind`, `authorizedAddresses` and, with `autodetectIP`, `domainlist.xml`.
    pub resolve: fn(&str) -> io::Result<Vec<IpAddr>>,
    /// The value of an environment variable, for `${env:NAME}`.
    pub variable: fn(&str) -> Option<String>,
    /// Whether key and certificates of a server are there and fit; why not, if not.
    pub usable: fn(&Credentials) -> Result<(), KeyProblem>,
    /// Whether there are certificates that clients may be signed by; why not, if not.
    pub trusted: fn(&ClientAuth) -> Result<(), KeyProblem>,
}

impl Host {
    /// The machine that this runs on.
    pub fn this() -> Host {
        let cpus = core_affinity::get_core_ids().unwrap_or_default();
        let mut cpus: Vec<usize> = cpus.into_iter().map(|core| core.id).collect();
        cpus.sort_unstable();
        let name = host_name().unwrap_or_else(|| "localhost".to_owned());
        Host {
            name,
            cpus,
            resolve,
            variable: |name| std::env::var(name).ok(),
            usable: |credentials| keystore::identities(credentials).map(drop),
            trusted: |auth| keystore::trusted(auth).map(drop),
        }
    }
}

fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// What gethostname says, where it is a name that can be said in SMTP.
fn host_name() -> Option<String> {
    let mut name = [0u8; 256];
    // SAFETY: the pointer and the length are those of a buffer that lives through the call and whose last octet, which
    // gethostname is not told of, stays 0.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } != 0;
    let name = CStr::from_bytes_until_nul(&name).ok()?.to_str().ok()?;
    if failed { None } else { hello_name(name).ok() }
}
