//! Texts that are written down and compared with what comes out.

use std::fs;
use std::path::Path;

/// Asserts that the text is what the file says. With RINGPOST_BLESS=1 the file is written anew.
pub fn assert_golden(path: &Path, text: &str) {
    if std::env::var_os("RINGPOST_BLESS").is_some() {
        fs::write(path, text).expect("it can be written");
    }
    let golden = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, golden, "{}: if this is how it should be, run the test with RINGPOST_BLESS=1", path.display());
}
