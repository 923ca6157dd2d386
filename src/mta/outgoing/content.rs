//! A message's content on its way from the spool to a next hop: never as a whole in memory, but where it must be converted.

use std::io;

use crate::delivery::exchange::{Content, Writer};
use crate::delivery::wire::{Sending, Stands, ToWire};
use crate::io::{Machine, Stream};
use crate::mail::Mailbox;
use crate::mailet::body::seven_bit;
use crate::mailet::edit::Edits;
use crate::spool::{Spool, Stored};

/// Octets of a header that can be changed, or looked at.
pub const HEADER_MAX: u64 = 1 << 20;

/// Octets of a message that can be converted for a host that takes no octets above 127: it is in memory for that.
pub const CONVERTED_MAX: u64 = 16 << 20;

/// The content of a message, with its header as it is to be.
pub(super) struct FromSpool<'a, M: Machine> {
    spool: &'a Spool<M>,
    stored: &'a Stored,
    /// The header instead of its own.
    header: Option<Vec<u8>>,
}

/// Why a content cannot be sent as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsendable {
    /// It cannot be read back.
    #[error("4.3.0 the message could not be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is not to be changed in memory.
    #[error("5.3.4 the header has more than {HEADER_MAX} octets, and cannot be changed")]
    LongHeader,
    /// It is too large to be converted.
    #[error("5.6.3 the host takes no octets above 127, and more than {CONVERTED_MAX} octets are not converted")]
    TooLarge,
    /// It cannot be converted.
    #[error("5.6.3 the host takes no octets above 127, and the message cannot be converted: {0}")]
    Unconvertible(Box<str>),
}

impl<'a, M: Machine> FromSpool<'a, M> {
    /// With these changes to the header, for `recipient` where it is one's copy.
    ///
    /// # Errors
    ///
    /// See [`Unsendable`].
    pub async fn new(
        spool: &'a Spool<M>,
        stored: &'a Stored,
        edits: &Edits,
        recipient: Option<&Mailbox>,
    ) -> Result<FromSpool<'a, M>, Unsendable> {
        let header = match edits.0.is_empty() {
            true => None,
            false => Some(edits.apply(&header(spool, stored).await?, recipient).into_owned()),
        };
        Ok(FromSpool { spool, stored, header })
    }

    fn stands(&self) -> Stands {
        if self.stored.message.content.dot_stuffed { Stands::Stuffed } else { Stands::Plain }
    }

    /// Octets, about.
    pub fn size(&self) -> u64 {
        let content = &self.stored.message.content;
        let header = self.header.as_ref().map_or(content.header_octets, |header| header.len() as u64);
        content.octets.saturating_sub(content.header_octets) + header
    }

    /// Octets exactly, as they would stand in a chunk; `None` where that is not known before they are read.
    pub fn exact(&self) -> Option<u64> {
        (self.stands() == Stands::Plain).then(|| self.size())
    }

    /// Hands all of it to `each`, slice by slice.
    async fn read(&self, mut each: impl AsyncFnMut(&[u8], Stands) -> io::Result<()>) -> io::Result<()> {
        let mut skip = 0;
        if let Some(header) = &self.header {
            each(header, Stands::Plain).await?;
            skip = self.stored.message.content.header_octets;
        }
        let stands = self.stands();
        let slices = async |slice: &[u8]| {
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(slice.len());
            skip -= skipped as u64;
            match slice.get(skipped..) {
                Some(rest) if !rest.is_empty() => each(rest, stands).await,
                _ => Ok(()),
            }
        };
        self.spool.read_content(self.stored, slices).await
    }

    /// Hands all of it to `each` as it is, slice by slice.
    ///
    /// # Errors
    ///
    /// Those of reading, and of `each`.
    pub async fn plain(&self, mut each: impl AsyncFnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (mut wire, mut octets) = (ToWire::new(Sending::Chunk), Vec::new());
        self.read(async |slice, stands| {
            octets.clear();
            wire.convert(slice, stands, &mut octets);
            each(&octets).await
        })
        .await
    }

    /// All of it, for a host that takes no octets above 127.
    ///
    /// # Errors
    ///
    /// See [`Unsendable`].
    pub async fn converted(&self) -> Result<Vec<u8>, Unsendable> {
        if self.size() > CONVERTED_MAX {
            return Err(Unsendable::TooLarge);
        }
        let mut whole = Vec::new();
        self.plain(async |octets| {
            whole.extend_from_slice(octets);
            Ok(())
        })
        .await?;
        let converted =
            seven_bit::convert(&whole).map_err(|error| Unsendable::Unconvertible(error.to_string().into()))?;
        match converted.is_ascii() {
            true => Ok(converted),
            false => Err(Unsendable::Unconvertible("its header has octets above 127".into())),
        }
    }
}

impl<M: Machine> Content for FromSpool<'_, M> {
    async fn give<S: Stream>(&mut self, writer: &mut Writer<'_, S>) -> io::Result<()> {
        self.read(async |slice, stands| writer.push(slice, stands).await).await
    }
}

/// The header of a message, without stuffed dots.
///
/// # Errors
///
/// Where it is too long, or cannot be read.
pub(super) async fn header<M: Machine>(spool: &Spool<M>, stored: &Stored) -> Result<Vec<u8>, Unsendable> {
    let content = &stored.message.content;
    if content.header_octets > HEADER_MAX {
        return Err(Unsendable::LongHeader);
    }
    let stands = if content.dot_stuffed { Stands::Stuffed } else { Stands::Plain };
    let (mut wire, mut header, mut left) = (ToWire::new(Sending::Chunk), Vec::new(), content.header_octets as usize);
    let mut piece = 0;
    while left > 0 {
        let Some((octets, last)) = spool.piece(stored.message.envelope.id, piece).await? else {
            return Err(Unsendable::Unreadable(io::ErrorKind::NotFound.into()));
        };
        let taken = left.min(octets.len());
        wire.convert(octets.get(..taken).unwrap_or_default(), stands, &mut header);
        left -= taken;
        piece += 1;
        if last {
            break;
        }
    }
    Ok(header)
}
