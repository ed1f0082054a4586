//! Object headers: the messages that describe a group, a dataset or a committed datatype. Specification IV.A.1.

use std::collections::HashSet;

use bytes::Bytes;

use super::context::{Context, all};
use super::cursor::{Cursor, len_u64};
use super::{message, speculate};
use crate::decode::DecodeError;

const WHAT: &str = "object header";
/// Most headers are shorter; what is longer takes a second read.
const FIRST_READ: u64 = 512;
const MAX_BLOCKS: usize = 4096;
/// Bytes of memory that a message takes, and what is made of it, beside its body, which is not copied.
const MESSAGE_COST: usize = 384;

/// A message of an object header.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Its type.
    pub(super) kind: u16,
    /// Its flags.
    pub(super) flags: u8,
    /// When it was created among those of its type, where tracked.
    pub(super) creation_order: Option<u16>,
    /// Where its body stands in the file.
    pub(super) at: u64,
    /// Its body.
    pub(super) body: Bytes,
}

impl Message {
    /// Whether the body only says where the message is.
    pub(super) const fn is_shared(&self) -> bool {
        self.flags & 0x02 != 0
    }

    /// Whether an object with this message must not be read by who does not know it.
    const fn must_be_known(&self) -> bool {
        self.flags & 0x80 != 0
    }
}

/// An object header with the messages of all its blocks.
#[derive(Debug)]
pub(super) struct ObjectHeader {
    /// Where it stands in the file.
    pub(super) at: u64,
    /// Its messages in the order of the blocks, without NIL and continuations.
    pub(super) messages: Vec<Message>,
}

impl ObjectHeader {
    /// Reads the header at `at` with all its continuations.
    pub(super) async fn read(context: &Context<'_>, at: u64) -> Result<Self, DecodeError> {
        let first = context.read_up_to(WHAT, at, FIRST_READ).await?;
        let prefix = Prefix::parse(&mut context.cursor(WHAT, at, &first))?;
        let block = context
            .complete(WHAT, at, first, prefix.header_len()?)
            .await?;
        let mut blocks = vec![(at, block)];
        let mut seen = HashSet::from([at]);
        let mut messages = Vec::new();
        let mut is_first = true;
        while !blocks.is_empty() {
            let mut next = Vec::new();
            let known = messages.len();
            for (at, block) in &blocks {
                let cursor = prefix.open(context, *at, block, is_first)?;
                is_first = false;
                let before = messages.len();
                let found = prefix.messages(cursor, &mut messages)?;
                context.spend_each(messages.len().saturating_sub(before), MESSAGE_COST)?;
                next.extend(found.into_iter().filter(|(at, _)| seen.insert(*at)));
            }
            if seen.len() > MAX_BLOCKS {
                return Err(too_many_blocks(at));
            }
            if !next.is_empty() {
                speculate::prefetch(context, messages.get(known..).unwrap_or_default());
            }
            blocks = read_blocks(context, next).await?;
        }
        Ok(Self { at, messages })
    }

    /// The first message of a type.
    pub(super) fn message(&self, kind: u16) -> Option<&Message> {
        self.messages.iter().find(|message| message.kind == kind)
    }

    /// All messages of a type.
    pub(super) fn all(&self, kind: u16) -> impl Iterator<Item = &Message> {
        self.messages
            .iter()
            .filter(move |message| message.kind == kind)
    }
}

fn too_many_blocks(at: u64) -> DecodeError {
    DecodeError::Malformed {
        what: WHAT,
        at,
        problem: format!("has more than {MAX_BLOCKS} blocks"),
    }
}

async fn read_blocks(
    context: &Context<'_>,
    blocks: Vec<(u64, u64)>,
) -> Result<Vec<(u64, Bytes)>, DecodeError> {
    let reads = blocks.into_iter().map(|(at, len)| async move {
        let bytes = context.read("object header continuation", at, len).await?;
        Ok((at, bytes))
    });
    all(reads).await
}

/// What the front of a header says about all of it.
///
/// | version | fields |
/// | --- | --- |
/// | 1 | version, reserved, messages u16, references u32, size u32, padding to 16 bytes |
/// | 2 | `OHDR`, version, flags, times 16 (flag 5), phase change 4 (flag 4), size of 1 to 8 bytes (flags 0-1) |
#[derive(Debug, PartialEq, Eq)]
struct Prefix {
    version: u8,
    /// Bytes before the first message.
    len: usize,
    /// Bytes of messages in the first block.
    size: u64,
    tracks_creation_order: bool,
}

impl Prefix {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let mut version_1 = cursor.clone();
        if cursor.signature(*b"OHDR").is_ok() {
            return Self::parse_version_2(cursor);
        }
        match version_1.u8()? {
            1 => {}
            version => {
                return Err(version_1.malformed(format!("version {version} is unknown")));
            }
        }
        version_1.skip(7)?;
        Ok(Self {
            version: 1,
            len: 16,
            size: u64::from(version_1.u32()?),
            tracks_creation_order: false,
        })
    }

    fn parse_version_2(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        cursor.version(2)?;
        let flags = cursor.u8()?;
        if flags & 0x20 != 0 {
            cursor.skip(16)?;
        }
        if flags & 0x10 != 0 {
            cursor.skip(4)?;
        }
        let size = cursor.uint(1 << (flags & 0x03))?;
        Ok(Self {
            version: 2,
            len: cursor.position(),
            size,
            tracks_creation_order: flags & 0x04 != 0,
        })
    }

    /// Bytes of the first block with its prefix and checksum.
    fn header_len(&self) -> Result<u64, DecodeError> {
        let checksum = if self.version == 2 { 4 } else { 0 };
        len_u64(self.len)
            .checked_add(self.size)
            .and_then(|len| len.checked_add(checksum))
            .ok_or(DecodeError::PastEnd {
                what: WHAT,
                at: self.size,
            })
    }

    /// A cursor at the first message of a block.
    fn open<'b>(
        &self,
        context: &Context<'_>,
        at: u64,
        block: &'b Bytes,
        is_first: bool,
    ) -> Result<Cursor<'b>, DecodeError> {
        if self.version == 1 {
            let mut cursor = context.cursor(WHAT, at, block);
            cursor.skip(if is_first { self.len } else { 0 })?;
            return Ok(cursor);
        }
        let mut cursor = context.checked(WHAT, at, block)?;
        if is_first {
            cursor.skip(self.len)?;
        } else {
            cursor.signature(*b"OCHK")?;
        }
        Ok(cursor)
    }

    /// Puts the messages of a block to the others; the answer is where more blocks are.
    fn messages(
        &self,
        mut cursor: Cursor<'_>,
        messages: &mut Vec<Message>,
    ) -> Result<Vec<(u64, u64)>, DecodeError> {
        let mut continuations = Vec::new();
        while cursor.left() >= self.message_prefix_len() {
            let message = self.next_message(&mut cursor)?;
            match message.kind {
                message::NIL => {}
                message::CONTINUATION => {
                    let mut body = Cursor::new(WHAT, message.at, &message.body, cursor.geometry());
                    continuations.push((body.defined_address()?, body.length()?));
                }
                kind if message::is_known(kind) => messages.push(message),
                kind if message.must_be_known() => {
                    return Err(DecodeError::Unsupported(format!(
                        "a message of type {kind:#06x} that must be understood"
                    )));
                }
                _ => {}
            }
        }
        Ok(continuations)
    }

    const fn message_prefix_len(&self) -> usize {
        match (self.version, self.tracks_creation_order) {
            (1, _) => 8,
            (_, false) => 4,
            (_, true) => 6,
        }
    }

    fn next_message(&self, cursor: &mut Cursor<'_>) -> Result<Message, DecodeError> {
        let kind = match self.version {
            1 => cursor.u16()?,
            _ => u16::from(cursor.u8()?),
        };
        let size = usize::from(cursor.u16()?);
        let flags = cursor.u8()?;
        let mut creation_order = None;
        if self.version == 1 {
            cursor.skip(3)?;
        } else if self.tracks_creation_order {
            creation_order = Some(cursor.u16()?);
        }
        Ok(Message {
            kind,
            flags,
            creation_order,
            at: cursor.at(),
            body: cursor.bytes(size)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Geometry;
    use super::*;

    const GEOMETRY: Geometry = Geometry {
        base: 0,
        offset_size: 8,
        length_size: 8,
    };

    #[test]
    fn version_2_with_times_and_phase_change_and_creation_order() {
        let mut bytes = b"OHDR\x02\x35".to_vec();
        bytes.extend([0; 20]);
        bytes.extend([9, 1]);
        let bytes = Bytes::from(bytes);
        let prefix = Prefix::parse(&mut Cursor::new(WHAT, 0, &bytes, GEOMETRY)).unwrap();
        let expected = Prefix {
            version: 2,
            len: 28,
            size: 265,
            tracks_creation_order: true,
        };
        assert_eq!(prefix, expected);
    }

    #[test]
    fn nil_and_the_gap_are_stepped_over_and_continuations_reported() {
        let prefix = Prefix {
            version: 2,
            len: 7,
            size: 0,
            tracks_creation_order: false,
        };
        let mut bytes = vec![0, 2, 0, 0, 0xaa, 0xbb, 0x0c, 1, 0, 0, 0x77, 0x10, 16, 0, 0];
        bytes.extend(64u64.to_le_bytes());
        bytes.extend(32u64.to_le_bytes());
        bytes.extend([0, 0, 0]);
        let bytes = Bytes::from(bytes);
        let mut messages = Vec::new();
        let next = prefix
            .messages(Cursor::new(WHAT, 100, &bytes, GEOMETRY), &mut messages)
            .unwrap();
        assert_eq!(next, [(64, 32)]);
        assert_eq!(messages.len(), 1);
        assert_eq!((messages[0].at, &messages[0].body[..]), (110, &[0x77][..]));
    }

    #[test]
    fn an_unknown_message_that_must_be_known_fails_the_object() {
        let prefix = Prefix {
            version: 2,
            len: 7,
            size: 0,
            tracks_creation_order: false,
        };
        for (flags, fine) in [(0x08u8, true), (0x80, false)] {
            let bytes = Bytes::from(vec![0x77, 0, 0, flags]);
            let cursor = Cursor::new(WHAT, 0, &bytes, GEOMETRY);
            assert_eq!(prefix.messages(cursor, &mut Vec::new()).is_ok(), fine);
        }
    }
}
