//! Where a file is that James' configuration names: `file://conf/x`, `file:///x`, `classpath:x`, or a plain path.

use std::path::{Path, PathBuf};

use super::value::Expected;

/// The directories that relative paths start at.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// For `file://` and plain paths: where James was started, which holds `conf`.
    pub home: &'a Path,
    /// For `classpath:`: the directory of the configuration, which James has on its class path.
    pub conf: &'a Path,
}

/// The path that a location stands for.
///
/// # Errors
///
/// An empty one, and other schemes.
pub fn location(text: &str, places: Places<'_>) -> Result<PathBuf, Expected> {
    let text = text.trim();
    let expected = || "a file such as file://conf/keystore, file:///etc/keystore or classpath:keystore".to_owned();
    let (base, path) = match text.split_once(':') {
        Some(("classpath", path)) => (places.conf, path.trim_start_matches('/')),
        Some(("file", path)) => (places.home, path.strip_prefix("//").unwrap_or(path)),
        Some((scheme, _)) if is_scheme(scheme) => return Err(expected()),
        _ => (places.home, text),
    };
    match path.is_empty() || path.contains('\n') {
        true => Err(expected()),
        false => Ok(base.join(path)),
    }
}

fn is_scheme(text: &str) -> bool {
    text.len() > 1 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
}
