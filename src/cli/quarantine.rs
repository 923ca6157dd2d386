//! `ringpost spool quarantine`.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use ringpost::spool::record::{ALIGNMENT, Header, Key, Kind, Message};
use ringpost::spool::segment::decode_header;

use super::exit;

/// Says what recovery has set aside in the logs of a spool, and which records in it are whole all the same.
pub fn list(spool: &Path) -> ExitCode {
    match try_list(spool) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringpost: {}: {error}", spool.display());
            ExitCode::from(exit::INPUT_OUTPUT)
        }
    }
}

fn try_list(spool: &Path) -> io::Result<()> {
    let mut count = 0;
    let mut logs: Vec<_> =
        fs::read_dir(spool)?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    logs.sort();
    for log in logs {
        let key = fs::read(log.join("secret")).ok().and_then(|block| decode_header(&block)).map(|header| header.key);
        let Ok(entries) = fs::read_dir(log.join("quarantine")) else { continue };
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            count += 1;
            let octets = fs::read(&file)?;
            println!("{}, {} octets", file.display(), octets.len());
            key.iter().for_each(|key| describe(&octets, *key));
        }
    }
    println!("{count} files in quarantine");
    Ok(())
}

/// Names records whose header is whole.
fn describe(octets: &[u8], key: Key) {
    for start in (0..octets.len()).step_by(ALIGNMENT) {
        let record = &octets[start..];
        let Some(header) = Header::decode(record, key) else { continue };
        let whole = if header.matches(record) { "whole" } else { "damaged" };
        println!("  octet {start}: {} of {}, {whole}", name(header.kind), header.id);
        if let (Kind::Message, Ok(message)) = (header.kind, Message::decode(&header, record, 0)) {
            let recipients: Vec<_> =
                message.envelope.recipients.iter().map(|recipient| format!("<{recipient}>")).collect();
            println!("    from <{}> to {}", message.envelope.reverse_path, recipients.join(", "));
        }
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Chunk => "a part of the content",
        Kind::Message => "the envelope",
        Kind::Outcomes => "outcomes",
        Kind::Hold => "a hold",
        Kind::Mark => "a mark",
    }
}
