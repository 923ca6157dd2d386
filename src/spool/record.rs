//! The records of a segment, byte for byte; docs/SPOOL.md draws them.
//!
//! A record is a header of fixed size and a payload; all numbers are little-endian. The header has a checksum of its own, so
//! that a length is believed only when it is whole, and a checksum of the payload. Records stand one behind the other at
//! multiples of [`ALIGNMENT`]; each batch begins at a fresh block, so that writing one never touches a block that holds
//! acknowledged mail.

use std::cell::RefCell;
use std::rc::Rc;

use super::checksum;
use super::envelope_codec::{Cursor, Malformed, decode_envelope, encode_envelope};
use super::outcome::{Outcome, OutcomeResult, decode_outcomes, encode_outcomes};
use super::progress::Progress;
use crate::io::Aligned;
use crate::io::aligned::{BLOCK, blocks};
use crate::mail::{Content, Envelope, MessageId};

/// Octets of a record's header.
pub const HEADER: usize = 48;

/// Records begin at multiples of this many octets.
pub const ALIGNMENT: usize = 16;

/// Octets of message content that one record holds at most; a longer message is a chain of records.
pub const CONTENT_MAX: usize = 256 * 1024;

/// Octets of a record at most: an envelope with the most recipients beside the most content.
pub const RECORD_MAX: usize = 2 * 1024 * 1024;

/// Octets of notes that a record has beside its envelope at most.
pub const NOTES_MAX: usize = 256 * 1024;

/// The first octets of every record.
const MAGIC: [u8; 4] = *b"RPR1";

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A part of a message's content that is not the last; its envelope section is not to be believed.
    Chunk = 1,
    /// An envelope, the extents that hold the content so far, and the rest of the content. This is what commits a message.
    Message = 2,
    /// What became of recipients of a message.
    Outcomes = 3,
    /// The operator holds or releases a message.
    Hold = 4,
    /// Nothing, but that all before it was on stable storage.
    Mark = 5,
}

/// A record that holds content, and where in it the content stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The incarnation of the segment.
    pub epoch: u64,
    /// Octets from the segment's start to the record.
    pub offset: u32,
    /// Octets of the record before its content: header and envelope section.
    pub head: u32,
    /// Octets of content.
    pub octets: u32,
}

impl Extent {
    /// Octets of the whole record.
    pub fn record_octets(&self) -> usize {
        self.head as usize + self.octets as usize
    }

    /// What the record weighs as one that holds content and nothing else.
    pub fn weight(&self) -> u64 {
        self.record_octets().next_multiple_of(ALIGNMENT) as u64
    }

    fn encode(&self, to: &mut [u8]) {
        to[..8].copy_from_slice(&self.epoch.to_le_bytes());
        for (place, value) in to[8..EXTENT].chunks_exact_mut(4).zip([self.offset, self.head, self.octets]) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
}

/// Octets of an extent in an envelope section.
const EXTENT: usize = 20;

/// Where a message comes from that was made here out of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The message that it was made of.
    pub parent: MessageId,
    /// The parent's recipients that it takes over, by their places: with this record they are resolved there.
    pub places: Vec<u32>,
}

impl Origin {
    /// What became of the parent's recipients with this record.
    pub fn taken(&self) -> Vec<Outcome> {
        let taken = |place: &u32| Outcome { recipient: *place, result: OutcomeResult::Delivered };
        self.places.iter().map(taken).collect()
    }
}

/// What an envelope section says of a message besides, each in a field with a tag of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// How far the message had come when this record of it was written.
    pub progress: Option<Progress>,
    /// The message that it was made of.
    pub origin: Option<Origin>,
    /// What whoever sees it through has to remember of it, at most [`NOTES_MAX`] octets; the spool does not look into them.
    pub notes: Vec<u8>,
}

impl Fields {
    const PROGRESS: u8 = 1;
    const ORIGIN: u8 = 2;
    const NOTES: u8 = 3;

    fn encode(&self, to: &mut Vec<u8>) {
        let mut payload = Vec::new();
        if let Some(progress) = &self.progress {
            progress.encode(&mut payload);
            put_field(Fields::PROGRESS, &payload, to);
        }
        if let Some(origin) = &self.origin {
            payload.clear();
            payload.extend_from_slice(&origin.parent.0.to_le_bytes());
            origin.places.iter().for_each(|place| payload.extend_from_slice(&place.to_le_bytes()));
            put_field(Fields::ORIGIN, &payload, to);
        }
        if !self.notes.is_empty() {
            put_field(Fields::NOTES, &self.notes, to);
        }
    }

    /// How many octets of a record with these fields say how far the message had come.
    pub fn octets_of_progress(&self) -> usize {
        self.progress.as_ref().map_or(0, |progress| FIELD + progress.octets())
    }

    /// A field that is not known would be disobeyed if it were left out: the record is not to be believed then.
    fn decode(cursor: &mut Cursor<'_>, recipients: u32) -> Result<Fields, Malformed> {
        let mut fields = Fields::default();
        while !cursor.is_at_end() {
            let (tag, length) = (cursor.u8()?, cursor.u32()?);
            let payload = cursor.take(length as usize)?;
            match tag {
                Fields::PROGRESS => fields.progress = Some(Progress::decode(recipients, payload)?),
                Fields::ORIGIN => {
                    let mut cursor = Cursor::new(payload);
                    let parent = MessageId(cursor.u64()?);
                    let mut places = Vec::new();
                    while !cursor.is_at_end() {
                        places.push(cursor.u32()?);
                    }
                    fields.origin = Some(Origin { parent, places });
                }
                Fields::NOTES if payload.len() <= NOTES_MAX => fields.notes = payload.to_vec(),
                _ => return Err(Malformed),
            }
        }
        Ok(fields)
    }
}

/// Octets of a field before what it says.
const FIELD: usize = 1 + 4;

fn put_field(tag: u8, payload: &[u8], to: &mut Vec<u8>) {
    to.push(tag);
    to.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    to.extend_from_slice(payload);
}

/// A record's header, decoded and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// The incarnation of the segment that it was written into.
    pub epoch: u64,
    /// The message that it belongs to.
    pub id: MessageId,
    /// Octets of the record, its header included, without the padding behind it.
    pub length: u32,
    /// Octets of the envelope section right behind the header.
    pub envelope: u32,
    /// CRC32C of everything behind the header.
    pub checksum: u32,
    /// Octets from the segment's start to the batch that the record was written with: all that stands before it was on stable
    /// storage by then.
    pub batch: u32,
}

/// A log's secret, which is part of every record's header. What a client sends is kept as it came, and stays in recycled segments
/// until it is overwritten: without the secret, content could be made to look like records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub u64);

impl Key {
    /// The half that stands in headers.
    fn mark(self) -> [u8; 4] {
        (self.0 as u32).to_le_bytes()
    }

    /// The checksum of a header: it begins with the other half.
    fn checksum(self, header: &[u8]) -> u32 {
        checksum::append((self.0 >> 32) as u32, header)
    }
}

impl Header {
    /// Reads the header at the front of `octets`; `None` where no whole header of the log with this key stands.
    pub fn decode(octets: &[u8], key: Key) -> Option<Header> {
        let header = octets.get(..HEADER)?;
        let stated = u32::from_le_bytes(header[44..48].try_into().ok()?);
        if header[..4] != MAGIC || header[40..44] != key.mark() || key.checksum(&header[..44]) != stated {
            return None;
        }
        let kind = match header[4] {
            1 => Kind::Chunk,
            2 => Kind::Message,
            3 => Kind::Outcomes,
            4 => Kind::Hold,
            5 => Kind::Mark,
            _ => return None,
        };
        let mut rest = Cursor::new(&header[8..44]);
        let header = Header {
            kind,
            epoch: rest.u64().ok()?,
            id: MessageId(rest.u64().ok()?),
            length: rest.u32().ok()?,
            envelope: rest.u32().ok()?,
            checksum: rest.u32().ok()?,
            batch: rest.u32().ok()?,
        };
        let length = header.length as usize;
        (HEADER..=RECORD_MAX).contains(&length).then_some(())?;
        (header.envelope as usize <= length - HEADER).then_some(header)
    }

    /// Writes the header over the first [`HEADER`] octets of `record`.
    fn encode(&self, key: Key, record: &mut [u8]) {
        record[..4].copy_from_slice(&MAGIC);
        record[4] = self.kind as u8;
        record[5..8].fill(0);
        record[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        record[16..24].copy_from_slice(&self.id.0.to_le_bytes());
        record[24..28].copy_from_slice(&self.length.to_le_bytes());
        record[28..32].copy_from_slice(&self.envelope.to_le_bytes());
        record[32..36].copy_from_slice(&self.checksum.to_le_bytes());
        record[36..40].copy_from_slice(&self.batch.to_le_bytes());
        record[40..44].copy_from_slice(&key.mark());
        let checksum = key.checksum(&record[..44]);
        record[44..48].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Octets from this record's start to where the next may begin.
    pub fn stride(&self) -> usize {
        (self.length as usize).next_multiple_of(ALIGNMENT)
    }

    /// The content of this record, which stands `offset` octets into its segment.
    pub fn extent(&self, offset: u32) -> Extent {
        let head = HEADER as u32 + self.envelope;
        Extent { epoch: self.epoch, offset, head, octets: self.length - head }
    }

    /// Whether `record`, which begins with this header, is whole.
    pub fn matches(&self, record: &[u8]) -> bool {
        record.get(HEADER..self.length as usize).is_some_and(|payload| checksum::of(payload) == self.checksum)
    }
}

/// A record under construction: room for the header, then what [`Draft::message`] or [`Draft::outcomes`] put there, then the
/// content as it arrives.
#[derive(Debug)]
pub struct Draft {
    id: MessageId,
    /// The front of the record, of which so much is used.
    octets: Vec<u8>,
    used: usize,
    envelope: usize,
    /// Octets before the extents.
    extents: usize,
    /// What the front has no room for, where it may be written from: whole pieces but for the last.
    pieces: Vec<Rc<Aligned>>,
    in_pieces: usize,
    /// Nothing more comes, and the last piece is zeros behind its end.
    closed: bool,
    /// Octets that say how far the message had come.
    of_progress: usize,
    recipients: u32,
}

/// What the copy of a message with so many recipients weighs at most, of whose record `octets` are not about how far it has come.
/// Whether it has come far does not change its weight, and moving it does not either.
pub fn message_weight(octets: usize, recipients: u32) -> u64 {
    (octets + FIELD + Progress::octets_at_most(recipients)).next_multiple_of(ALIGNMENT) as u64
}

/// Octets at the start of an envelope section that say what was learned of the content; written last.
const FINDINGS: usize = 32;

/// Octets at the front of a record that are copied into the batch it is written with; what is behind them is written from where it
/// was received. Of messages no larger, a copy costs less than a write by itself.
pub const FRONT: usize = 16 * 1024;

/// Octets of a piece behind the front.
pub const PIECE: usize = 64 * 1024;

/// Memory for records that are received in place, kept for the next ones.
#[derive(Debug, Default)]
pub struct Memory {
    fronts: RefCell<Vec<Vec<u8>>>,
    pieces: RefCell<Vec<Rc<Aligned>>>,
    /// To encode envelopes in.
    scratch: RefCell<Vec<u8>>,
}

/// Fronts and pieces that are kept: 4 MiB of each.
const KEPT_FRONTS: usize = 256;
const KEPT_PIECES: usize = 64;

/// Fronts that are made at the start.
const WARM_FRONTS: usize = 128;

impl Memory {
    /// Keeps fronts ready that were touched.
    pub fn warm(&self) {
        self.fronts.borrow_mut().resize_with(WARM_FRONTS, || vec![u8::MAX; FRONT]);
    }

    fn front(&self, head: usize) -> Vec<u8> {
        // One that has room for a head out of the common would be too large for others.
        let common = head <= FRONT / 2;
        let kept = if common { self.fronts.borrow_mut().pop() } else { None };
        kept.unwrap_or_else(|| vec![0; if common { FRONT } else { blocks(head + FRONT / 2) }])
    }

    fn piece(&self) -> Rc<Aligned> {
        self.pieces.borrow_mut().pop().unwrap_or_else(|| Rc::new(Aligned::zeroed(PIECE)))
    }

    /// Takes a draft's memory back.
    pub fn give(&self, draft: Draft) {
        let mut fronts = self.fronts.borrow_mut();
        if draft.octets.len() == FRONT && fronts.len() < KEPT_FRONTS {
            fronts.push(draft.octets);
        }
        let mut pieces = self.pieces.borrow_mut();
        // A piece that somebody still writes from is not ours to write into.
        let free = draft.pieces.into_iter().filter(|piece| Rc::strong_count(piece) == 1);
        let room = KEPT_PIECES.saturating_sub(pieces.len());
        pieces.extend(free.take(room));
    }
}

impl Draft {
    /// Begins a record of the message of `envelope` in `buffer` (whose old content goes), behind the `extents` that earlier
    /// records hold.
    pub fn message(envelope: &Envelope, extents: &[Extent], buffer: Vec<u8>) -> Draft {
        Draft::message_with(envelope, extents, &Fields::default(), buffer)
    }

    /// The same with further fields.
    pub fn message_with(envelope: &Envelope, extents: &[Extent], fields: &Fields, mut buffer: Vec<u8>) -> Draft {
        let extents_at = encode_head(envelope, extents, fields, &mut buffer);
        let envelope_octets = buffer.len() - HEADER;
        let mut draft = Draft::over(envelope.id, buffer);
        (draft.envelope, draft.extents) = (envelope_octets, extents_at);
        (draft.of_progress, draft.recipients) = (fields.octets_of_progress(), envelope.recipients.len() as u32);
        draft.set_extents(extents);
        draft
    }

    /// The same, with room behind it for content to be received into.
    pub fn receiving(envelope: &Envelope, extents: &[Extent], fields: &Fields, memory: &Memory) -> Draft {
        let mut head = memory.scratch.borrow_mut();
        let extents_at = encode_head(envelope, extents, fields, &mut head);
        let mut front = memory.front(head.len());
        front[..head.len()].copy_from_slice(&head);
        let mut draft = Draft::over(envelope.id, front);
        (draft.used, draft.envelope, draft.extents) = (head.len(), head.len() - HEADER, extents_at);
        (draft.of_progress, draft.recipients) = (fields.octets_of_progress(), envelope.recipients.len() as u32);
        drop(head);
        draft.set_extents(extents);
        draft
    }

    /// A record that is all there.
    fn over(id: MessageId, octets: Vec<u8>) -> Draft {
        let used = octets.len();
        Draft {
            id,
            octets,
            used,
            envelope: 0,
            extents: HEADER,
            pieces: Vec::new(),
            in_pieces: 0,
            closed: false,
            of_progress: 0,
            recipients: 0,
        }
    }

    /// Names as many extents as before that have moved meanwhile.
    pub fn set_extents(&mut self, extents: &[Extent]) {
        let places = self.octets[self.extents..].chunks_exact_mut(EXTENT);
        places.zip(extents).for_each(|(place, extent)| extent.encode(place));
    }

    /// A part of the content of message `id`, in a record of its own.
    pub fn chunk(id: MessageId, content: &[u8]) -> Draft {
        Draft::plain(id, content)
    }

    /// A record that holds or releases message `id`.
    pub fn hold(id: MessageId, held: bool) -> Draft {
        Draft::plain(id, &[u8::from(held)])
    }

    /// A record of nothing.
    pub fn mark() -> Draft {
        Draft::plain(MessageId(0), &[])
    }

    fn plain(id: MessageId, payload: &[u8]) -> Draft {
        let mut octets = vec![0; HEADER];
        octets.extend_from_slice(payload);
        Draft::over(id, octets)
    }

    /// A whole record of what became of recipients of message `id`.
    pub fn outcomes(id: MessageId, outcomes: &[Outcome]) -> Draft {
        let mut octets = vec![0; HEADER];
        encode_outcomes(outcomes, &mut octets);
        Draft::over(id, octets)
    }

    /// Appends content.
    pub fn push(&mut self, content: &[u8]) {
        self.octets.truncate(self.used);
        self.octets.extend_from_slice(content);
        self.used = self.octets.len();
    }

    /// Room for content to be received into, in memory that it may be written from: some, unless the record is full.
    pub fn room(&mut self, memory: &Memory) -> &mut [u8] {
        let left = CONTENT_MAX.saturating_sub(self.content_octets());
        if self.used < self.octets.len() {
            let end = self.octets.len().min(self.used + left);
            return &mut self.octets[self.used..end];
        }
        let start = self.in_pieces % PIECE;
        if self.pieces.len() * PIECE == self.in_pieces {
            self.pieces.push(memory.piece());
        }
        match self.pieces.last_mut().and_then(Rc::get_mut) {
            Some(piece) => &mut piece[start..PIECE.min(start + left)],
            None => &mut [],
        }
    }

    /// So many octets at the front of the room are content.
    pub fn received(&mut self, octets: usize) {
        if self.used < self.octets.len() {
            self.used += octets;
        } else {
            self.in_pieces += octets;
        }
    }

    /// Nothing more comes: what is in pieces can be written from there.
    pub fn close(&mut self) {
        let end = self.in_pieces % PIECE;
        match self.pieces.last_mut().map(Rc::get_mut) {
            Some(Some(piece)) if end > 0 => piece[end..blocks(end)].fill(0),
            Some(None) => return,
            _ => {}
        }
        self.closed = true;
    }

    /// Octets of content in this record.
    pub fn content_octets(&self) -> usize {
        self.length() - HEADER - self.envelope
    }

    /// Octets of the record so far.
    fn length(&self) -> usize {
        self.used + self.in_pieces
    }

    /// The content of this record once it stands `offset` octets into segment incarnation `epoch`.
    pub fn extent(&self, epoch: u64, offset: u32) -> Extent {
        Extent { epoch, offset, head: (HEADER + self.envelope) as u32, octets: self.content_octets() as u32 }
    }

    /// Notes what was learned of the whole message.
    pub fn set_findings(&mut self, content: &Content) {
        let flags = [content.eight_bit, content.bare_cr, content.bare_lf, content.dot_stuffed];
        let bits = flags.iter().enumerate().fold(0u64, |bits, (place, set)| bits | u64::from(*set) << place);
        let fields = [content.octets, content.header_octets, content.longest_line, bits];
        for (place, value) in self.octets[HEADER..HEADER + FINDINGS].chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }

    /// The message that it belongs to.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Octets that the record takes in a segment, padding included.
    pub fn stride(&self) -> usize {
        self.length().next_multiple_of(ALIGNMENT)
    }

    /// The octets of its front, and behind them those in pieces, slice by slice.
    fn in_order(&self) -> (&[u8], impl Iterator<Item = &[u8]>) {
        let of_piece =
            |(place, piece): (usize, &'_ Rc<Aligned>)| PIECE.min(self.in_pieces - place * PIECE).min(piece.len());
        let ends = self.pieces.iter().enumerate().map(of_piece);
        (&self.octets[..self.used], self.pieces.iter().zip(ends).map(|(piece, end)| &piece[..end]))
    }

    /// What it weighs while it is needed: the octets that its copy takes at most, which no copy of the copy exceeds.
    pub fn weight(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Message => message_weight(self.length() - self.of_progress, self.recipients),
            _ => self.stride() as u64,
        }
    }

    /// Writes the finished record to the front of `place` (at least [`Draft::stride`] octets), as part of the batch that begins
    /// at octet `batch` of segment incarnation `epoch` in the log with this key.
    pub fn write(&self, key: Key, kind: Kind, epoch: u64, batch: u32, place: &mut [u8]) {
        let (record, padding) = place[..self.stride()].split_at_mut(self.length());
        let (front, pieces) = self.in_order();
        let mut at = front.len();
        record[..at].copy_from_slice(front);
        // Of what was copied just now, while it is near.
        let mut sum = checksum::of(&record[HEADER..at]);
        for piece in pieces {
            let copy = &mut record[at..at + piece.len()];
            copy.copy_from_slice(piece);
            sum = checksum::append(sum, copy);
            at += piece.len();
        }
        padding.fill(0);
        self.header(kind, epoch, batch, sum).encode(key, record);
    }

    /// Whether [`Draft::write_front`] can be used: it has pieces, is closed, and its front is whole blocks.
    pub fn has_pieces(&self) -> bool {
        self.closed && self.in_pieces > 0 && self.used.is_multiple_of(BLOCK)
    }

    /// Octets of its front.
    pub fn front(&self) -> usize {
        self.used
    }

    /// As [`Draft::write`], but only its front; the rest is to be written right behind it from the pieces that are returned, each
    /// up to an end that is zeros from the record's own end on.
    pub fn write_front(
        &self,
        key: Key,
        kind: Kind,
        epoch: u64,
        batch: u32,
        place: &mut [u8],
    ) -> impl Iterator<Item = (Rc<Aligned>, usize)> {
        let record = &mut place[..self.used];
        let (front, pieces) = self.in_order();
        record.copy_from_slice(front);
        let sum = pieces.fold(checksum::of(&record[HEADER..]), checksum::append);
        self.header(kind, epoch, batch, sum).encode(key, record);
        let ends = self.in_order().1.map(<[u8]>::len).filter(|end| *end > 0);
        self.pieces.iter().zip(ends).map(|(piece, end)| (piece.clone(), blocks(end)))
    }

    fn header(&self, kind: Kind, epoch: u64, batch: u32, checksum: u32) -> Header {
        let (length, envelope) = (self.length() as u32, self.envelope as u32);
        Header { kind, epoch, id: self.id, length, envelope, checksum, batch }
    }

    /// The buffer, for the next record.
    pub fn into_buffer(self) -> Vec<u8> {
        self.octets
    }
}

/// Writes the front of a message's record over `buffer`, up to its content; where in it the extents stand.
fn encode_head(envelope: &Envelope, extents: &[Extent], fields: &Fields, buffer: &mut Vec<u8>) -> usize {
    buffer.clear();
    buffer.resize(HEADER + FINDINGS, 0);
    encode_envelope(envelope, buffer);
    buffer.extend_from_slice(&(extents.len() as u32).to_le_bytes());
    let extents_at = buffer.len();
    buffer.resize(extents_at + extents.len() * EXTENT, 0);
    fields.encode(buffer);
    extents_at
}

/// A message record, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its envelope.
    pub envelope: Envelope,
    /// What was learned of the content when it came.
    pub content: Content,
    /// Where the content stands, in order; the last one is this record's own.
    pub extents: Vec<Extent>,
    /// What else is said of it.
    pub fields: Fields,
}

impl Message {
    /// Decodes the message record that begins with `header` and stands `offset` octets into its segment; `record` needs to
    /// hold no more than header and envelope section.
    pub fn decode(header: &Header, record: &[u8], offset: u32) -> Result<Message, Malformed> {
        let section = record.get(HEADER..HEADER + header.envelope as usize).ok_or(Malformed)?;
        let mut cursor = Cursor::new(section);
        let content = decode_findings(&mut cursor)?;
        let envelope = decode_envelope(&mut cursor, header.id)?;
        let count = cursor.u32()?;
        let mut extents = Vec::new();
        for _ in 0..count {
            extents.push(Extent {
                epoch: cursor.u64()?,
                offset: cursor.u32()?,
                head: cursor.u32()?,
                octets: cursor.u32()?,
            });
        }
        extents.push(header.extent(offset));
        let fields = Fields::decode(&mut cursor, envelope.recipients.len() as u32)?;
        Ok(Message { envelope, content, extents, fields })
    }
}

fn decode_findings(cursor: &mut Cursor<'_>) -> Result<Content, Malformed> {
    let (octets, header_octets, longest_line, bits) = (cursor.u64()?, cursor.u64()?, cursor.u64()?, cursor.u64()?);
    let set = |place: u32| bits >> place & 1 == 1;
    Ok(Content {
        octets,
        header_octets,
        longest_line,
        eight_bit: set(0),
        bare_cr: set(1),
        bare_lf: set(2),
        dot_stuffed: set(3),
    })
}

/// Whether the hold record that begins with `header` holds its message.
pub fn held(header: &Header, record: &[u8]) -> Result<bool, Malformed> {
    Ok(Cursor::new(record.get(HEADER..header.length as usize).ok_or(Malformed)?).u8()? != 0)
}

/// Decodes the outcomes of the record that begins with `header`.
pub fn outcomes(header: &Header, record: &[u8]) -> Result<Vec<Outcome>, Malformed> {
    decode_outcomes(record.get(HEADER..header.length as usize).ok_or(Malformed)?)
}

#[cfg(test)]
mod tests;
