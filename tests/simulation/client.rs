//! Clients that speak SMTP and LMTP, and write down what they are told.

use std::io;

use ringpost::io::sim::ClientEnd;

use super::ledger::Ledger;
use super::mail::{By, Mail};

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// It speaks LMTP.
    pub lmtp: bool,
    /// It sends commands in groups.
    pub pipelining: bool,
}

/// One command at a time over SMTP.
pub const SMTP: Manner = Manner { lmtp: false, pipelining: false };

/// One command at a time over LMTP.
pub const LMTP: Manner = Manner { lmtp: true, pipelining: false };

/// Reads one reply, however many lines it has: its last line.
pub async fn reply(end: &ClientEnd) -> io::Result<String> {
    loop {
        let line = end.receive_line().await?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line);
        }
    }
}

/// Sends a line and reads its reply.
pub async fn command(end: &ClientEnd, line: &str) -> io::Result<String> {
    end.send(format!("{line}\r\n"))?;
    reply(end).await
}

/// Sends all messages over one connection. What is not answered when it breaks stays unknown.
pub async fn send_all(end: ClientEnd, manner: Manner, mails: Vec<Mail>, ledger: Ledger) {
    // A connection that breaks is part of the simulation: the ledger knows what was answered before.
    let _ = try_send_all(&end, manner, &mails, &ledger).await;
}

async fn try_send_all(end: &ClientEnd, manner: Manner, mails: &[Mail], ledger: &Ledger) -> io::Result<()> {
    reply(end).await?;
    command(end, if manner.lmtp { "LHLO client.example" } else { "EHLO client.example" }).await?;
    for mail in mails {
        ledger.begin(mail);
        if manner.pipelining {
            send_in_groups(end, manner, mail, ledger).await?;
        } else {
            send_stepwise(end, manner, mail, ledger).await?;
        }
    }
    command(end, "QUIT").await.map(drop)
}

fn mail_command(mail: &Mail) -> String {
    let body = if mail.is_binary() { " BODY=BINARYMIME" } else { " BODY=8BITMIME" };
    format!("MAIL FROM:<{}>{body}", mail.reverse_path())
}

async fn send_stepwise(end: &ClientEnd, manner: Manner, mail: &Mail, ledger: &Ledger) -> io::Result<()> {
    let mut commands = vec![mail_command(mail)];
    commands.extend(mail.recipients.iter().map(|user| format!("RCPT TO:<u{user}@example.com>")));
    for line in commands {
        let reply = command(end, &line).await?;
        if !reply.starts_with("250 ") {
            ledger.answered_for_all(mail, &reply);
            return command(end, "RSET").await.map(drop);
        }
    }
    let (By::Chunks(size) | By::Binary(size)) = mail.by else {
        return send_data(end, manner, mail, ledger).await;
    };
    for (chunk, last) in chunks(&mail.content, size) {
        end.send(bdat(chunk, last))?;
        if last {
            return final_replies(end, manner, mail, ledger).await;
        }
        let reply = reply(end).await?;
        if !reply.starts_with("250 ") {
            ledger.answered_for_all(mail, &reply);
            return command(end, "RSET").await.map(drop);
        }
    }
    Ok(())
}

async fn send_data(end: &ClientEnd, manner: Manner, mail: &Mail, ledger: &Ledger) -> io::Result<()> {
    let reply = command(end, "DATA").await?;
    if !reply.starts_with("354 ") {
        ledger.answered_for_all(mail, &reply);
        return command(end, "RSET").await.map(drop);
    }
    end.send(mail.as_data())?;
    final_replies(end, manner, mail, ledger).await
}

/// Everything that RFC 2920 and RFC 3030 let a client send at once.
async fn send_in_groups(end: &ClientEnd, manner: Manner, mail: &Mail, ledger: &Ledger) -> io::Result<()> {
    let mut group = format!("{}\r\n", mail_command(mail)).into_bytes();
    for user in &mail.recipients {
        group.extend_from_slice(format!("RCPT TO:<u{user}@example.com>\r\n").as_bytes());
    }
    let mut before = 1 + mail.recipients.len();
    if let By::Chunks(size) | By::Binary(size) = mail.by {
        for (chunk, last) in chunks(&mail.content, size) {
            group.extend(bdat(chunk, last));
            before += usize::from(!last);
        }
    } else {
        group.extend_from_slice(b"DATA\r\n");
    }
    end.send(group)?;
    let mut refused = None;
    for _ in 0..before {
        let reply = reply(end).await?;
        if !reply.starts_with("250 ") {
            refused.get_or_insert(reply);
        }
    }
    if mail.by == By::Data {
        let reply = reply(end).await?;
        if !reply.starts_with("354 ") {
            ledger.answered_for_all(mail, refused.as_ref().unwrap_or(&reply));
            return command(end, "RSET").await.map(drop);
        }
        end.send(mail.as_data())?;
    } else if let Some(refused) = refused {
        // What the last chunk is answered, and how often, depends on how far it went: the next reply to RSET may be of it.
        ledger.answered_for_all(mail, &refused);
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    final_replies(end, manner, mail, ledger).await
}

/// One reply over SMTP, one a recipient over LMTP.
async fn final_replies(end: &ClientEnd, manner: Manner, mail: &Mail, ledger: &Ledger) -> io::Result<()> {
    if !manner.lmtp {
        ledger.answered_for_all(mail, &reply(end).await?);
        return Ok(());
    }
    for place in 0..mail.recipients.len() {
        ledger.answered(mail, place, &reply(end).await?);
    }
    Ok(())
}

/// Content in pieces, and whether each is the last; an empty one at least.
fn chunks(content: &[u8], size: usize) -> Vec<(&[u8], bool)> {
    let mut pieces: Vec<_> = content.chunks(size.max(1).max(content.len() / 20)).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    pieces.into_iter().enumerate().map(|(place, piece)| (piece, place == last)).collect()
}

fn bdat(chunk: &[u8], last: bool) -> Vec<u8> {
    let last = if last { " LAST" } else { "" };
    let mut octets = format!("BDAT {}{last}\r\n", chunk.len()).into_bytes();
    octets.extend_from_slice(chunk);
    octets
}
