//! Lets mail out of repositories go on: it is in the spool, durably, before it is taken out of the repository. A crash between the
//! two leaves it in both, and it may be brought twice; it is never in neither.

use std::io;

use super::journey::{Journey, TooLong};
use crate::control::admin::errands::Reprocess;
use crate::delivery::repository::{self, Attribute, Repositories};
use crate::io::Machine;
use crate::mail::{Envelope, MessageId};
use crate::mailet::mail::{Attributes, Value};
use crate::smtp::data::BodyScanner;
use crate::spool::Spool;
use crate::spool::record::Fields;

/// Why a mail stays in its repository.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// There is no such mail there, any more perhaps.
    #[error("is not in the repository")]
    Gone,
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// The spool does not take it.
    #[error("stays where it is: {0}")]
    NotTaken(#[from] crate::spool::StoreError),
    /// No record can hold what its label says.
    #[error("stays where it is: {0}")]
    TooLong(#[from] TooLong),
}

/// What came of a mail that was taken into the spool.
#[derive(Debug)]
pub struct Taken {
    /// The message that it is from now on.
    pub id: MessageId,
    /// Why it is in its repository all the same.
    pub left: Option<io::Error>,
}

/// Takes a mail into the spool as message `id`, and out of its repository.
pub async fn reprocess<M: Machine>(
    spool: &Spool<M>,
    repositories: &Repositories<M>,
    id: MessageId,
    request: &Reprocess,
) -> Result<Taken, Undone> {
    let Reprocess { repository, mail, .. } = request;
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Undone::Gone,
        _ => Undone::Unreadable(error),
    };
    let label = repositories.label(repository, mail).await.map_err(unreadable)?;
    let journey = Journey {
        state: Some(request.processor.clone()),
        error: label.error,
        // It has all its tries again.
        failures: 0,
        attributes: attributes(&label.attributes),
        made_here: label.made_here,
        ..Journey::default()
    };
    let fields = Fields { notes: journey.encode()?, ..Fields::default() };
    let envelope = Envelope { id, ..label.envelope };
    let (mut incoming, mut scanner, mut full) = (spool.incoming_with(envelope, fields), BodyScanner::new(), None);
    let read = repositories.read(repository, mail, async |slice| {
        scanner.scan(slice);
        incoming.push(slice).await.map_err(|error| {
            full = Some(error);
            io::Error::other(error)
        })
    });
    let read = read.await;
    if let Some(error) = full {
        return Err(error.into());
    }
    read.map_err(unreadable)?;
    incoming.commit(&scanner.content()).await?;
    // From now on the spool answers for it.
    let left = repositories.remove(repository, mail).await.err();
    spool.schedule(id, 0);
    Ok(Taken { id, left })
}

/// The attributes of a mail as its label says them.
fn attributes(label: &repository::Attributes) -> Attributes {
    let mut attributes = Attributes::default();
    for (name, value) in label {
        let value = match value {
            Attribute::Flag(flag) => Value::Flag(*flag),
            Attribute::Number(number) => Value::Number(*number),
            Attribute::Text(text) => Value::Text(text.as_str().into()),
        };
        attributes.set(name, value);
    }
    attributes
}

/// The same the other way round.
pub fn label_attributes(attributes: &Attributes) -> repository::Attributes {
    let said = |value: &Value| match value {
        Value::Flag(flag) => Attribute::Flag(*flag),
        Value::Number(number) => Attribute::Number(*number),
        Value::Text(text) => Attribute::Text(text.to_string()),
    };
    attributes.iter().map(|(name, value)| (name.to_owned(), said(value))).collect()
}

#[cfg(test)]
mod tests;
