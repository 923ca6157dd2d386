//! `ringpost keys`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use ringpost::config::Host;

use super::exit;

/// What the files are called.
const KEY: &str = "tls-key.pem";
const CERTIFICATE: &str = "tls-certificate.pem";

/// How long the certificate is good.
const GOOD_FOR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Before now, for machines whose clocks are late.
const BACK: Duration = Duration::from_secs(24 * 3600);

/// Makes a key and a certificate that it signed itself, in the directory of the configuration, and says what to write there.
pub fn self_signed(conf: &Path, names: &[String]) -> ExitCode {
    let names = if names.is_empty() { vec![Host::this().name, "localhost".to_owned()] } else { names.to_vec() };
    match make(conf, &names) {
        Ok((key, certificate)) => {
            println!("{}", instructions(&key, &certificate, &names));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ringpost: {error}");
            ExitCode::from(exit::CONFIG)
        }
    }
}

fn make(conf: &Path, names: &[String]) -> io::Result<(PathBuf, PathBuf)> {
    let conf = std::path::absolute(conf)?;
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(io::Error::other)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("localhost", String::as_str));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now();
    params.not_before = (now - BACK).into();
    params.not_after = (now + GOOD_FOR).into();
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    let (key_file, certificate_file) = (conf.join(KEY), conf.join(CERTIFICATE));
    write(&key_file, 0o600, &key.serialize_pem())?;
    write(&certificate_file, 0o644, &certificate.pem())?;
    Ok((key_file, certificate_file))
}

/// Writes a file that is not there yet.
fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let named = |error: io::Error| {
        let what = match error.kind() {
            io::ErrorKind::AlreadyExists => "is there already, and is not written over".to_owned(),
            _ => format!("cannot be written: {error}"),
        };
        io::Error::new(error.kind(), format!("{} {what}", path.display()))
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(named)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(named)
}

fn instructions(key: &Path, certificate: &Path, names: &[String]) -> String {
    format!(
        "Made for {}, and good for a year. Nobody but you believes it: it is for a first try.\n\
         Write this in the <smtpserver> of smtpserver.xml, or socketTLS=\"true\" for a port such as 465:\n\n    \
         <tls socketTLS=\"false\" startTLS=\"true\">\n      \
         <privateKey>file://{}</privateKey>\n      \
         <certificates>file://{}</certificates>\n    \
         </tls>\n",
        names.join(", "),
        key.display(),
        certificate.display(),
    )
}
