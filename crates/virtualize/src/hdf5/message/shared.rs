//! Messages that stand elsewhere: in another object's header (committed datatypes) or in a heap of the file.
//! Specification IV.A.2 and III.I.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::decode::DecodeError;
use crate::hdf5::context::Context;
use crate::hdf5::cursor::Cursor;
use crate::hdf5::heap::fractal::FractalHeap;
use crate::hdf5::object_header::{Message, ObjectHeader};

/// A heap of shared messages, for some types of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hdf5) struct SharedIndex {
    /// Bit `n` set: messages of type number `n`, as the library writes it; the specification numbers five bits anew.
    kinds: u16,
    heap: Option<u64>,
}

impl SharedIndex {
    /// Whether messages of type `kind` are in it; old fill values count as new ones.
    fn holds(&self, kind: u16) -> bool {
        let kind = match kind {
            super::FILL_OLD => super::FILL,
            kind => kind,
        };
        (self.kinds.checked_shr(u32::from(kind))).is_some_and(|rest| rest & 1 == 1)
    }
}

/// A message's body, wherever it stands.
#[derive(Debug, Clone)]
pub(in crate::hdf5) struct Resolved {
    pub(in crate::hdf5) body: Bytes,
    /// Where the body stands in the file, if in one piece.
    pub(in crate::hdf5) at: u64,
    /// Whether it is that of a committed object.
    pub(in crate::hdf5) committed: bool,
}

/// Reads the table of indexes that the superblock extension leads to.
pub(in crate::hdf5) async fn read_table(
    context: &Context<'_>,
    at: u64,
    count: u8,
) -> Result<Vec<SharedIndex>, DecodeError> {
    let what = "shared message table";
    let entry = 14 + 2 * u64::from(context.geometry().offset_size);
    let len = 8 + entry * u64::from(count);
    let bytes = context.read(what, at, len).await?;
    parse_table(&mut context.checked(what, at, &bytes)?, count)
}

/// Reads the heaps of the indexes, once for everyone. What is wrong with one is told where it is needed.
pub(in crate::hdf5) async fn read_heaps(context: &Context<'_>) {
    let heaps = context.shared_indexes.iter().filter_map(|index| index.heap);
    join_all(heaps.map(|at| heap_at(context, at))).await;
}

fn parse_table(cursor: &mut Cursor<'_>, count: u8) -> Result<Vec<SharedIndex>, DecodeError> {
    cursor.signature(*b"SMTB")?;
    (0..count)
        .map(|_| {
            cursor.version(0)?;
            cursor.skip(1)?;
            let kinds = cursor.u16()?;
            cursor.skip(4 + 2 + 2 + 2)?;
            cursor.address()?;
            Ok(SharedIndex {
                kinds,
                heap: cursor.address()?,
            })
        })
        .collect()
}

/// The body of a message of an object header.
pub(in crate::hdf5) async fn resolve(
    context: &Context<'_>,
    message: &Message,
) -> Result<Resolved, DecodeError> {
    if message.is_shared() {
        return follow(context, message.kind, &message.body, message.at).await;
    }
    Ok(Resolved {
        body: message.body.clone(),
        at: message.at,
        committed: false,
    })
}

/// The body that the shared message at `at` leads to.
pub(in crate::hdf5) async fn follow(
    context: &Context<'_>,
    kind: u16,
    location: &Bytes,
    at: u64,
) -> Result<Resolved, DecodeError> {
    let mut cursor = context.cursor("shared message", at, location);
    let resolved = match Location::parse(&mut cursor)? {
        Location::Header(address) => committed(context, kind, address).await?,
        Location::Heap(id) => Resolved {
            body: heap(context, kind).await?.object(context, &id).await?,
            at,
            committed: false,
        },
    };
    // It is read once and parsed for everyone who shares it.
    context.spend(resolved.body.len())?;
    Ok(resolved)
}

#[derive(Debug, PartialEq, Eq)]
enum Location {
    Header(u64),
    Heap(Bytes),
}

impl Location {
    /// | version | fields |
    /// | --- | --- |
    /// | 1 | version, type, 6 reserved, a length, address |
    /// | 2 | version, type, address |
    /// | 3 | version, type (1 heap, 2 header), heap id of 8 bytes or address |
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let (version, kind) = (cursor.u8()?, cursor.u8()?);
        match (version, kind) {
            (1, _) => {
                cursor.skip(6)?;
                cursor.length()?;
                Ok(Self::Header(cursor.defined_address()?))
            }
            (3, 1) => Ok(Self::Heap(cursor.bytes(8)?)),
            (2, _) | (3, 2) => Ok(Self::Header(cursor.defined_address()?)),
            _ => Err(cursor.malformed(format!("version {version}, type {kind} is unknown"))),
        }
    }
}

async fn committed(
    context: &Context<'_>,
    kind: u16,
    address: u64,
) -> Result<Resolved, DecodeError> {
    let read = async {
        let header = ObjectHeader::read(context, address).await?;
        let message = header.message(kind).filter(|message| !message.is_shared());
        message
            .map(|message| (message.body.clone(), message.at))
            .ok_or_else(|| DecodeError::Malformed {
                what: "committed object",
                at: address,
                problem: format!("has no message of type {kind:#06x}"),
            })
    };
    let (body, at) = context.committed.get_or((address, kind), read).await?;
    Ok(Resolved {
        body,
        at,
        committed: true,
    })
}

async fn heap(context: &Context<'_>, kind: u16) -> Result<Arc<FractalHeap>, DecodeError> {
    let index = context.shared_indexes.iter();
    let index = index.copied().find(|index| index.holds(kind));
    let Some(address) = index.and_then(|index| index.heap) else {
        return Err(DecodeError::Malformed {
            what: "shared message table",
            at: context.geometry().base,
            problem: format!("has no heap for messages of type {kind:#06x}"),
        });
    };
    heap_at(context, address).await
}

async fn heap_at(context: &Context<'_>, at: u64) -> Result<Arc<FractalHeap>, DecodeError> {
    let read = async { Ok(Arc::new(FractalHeap::read(context, at).await?)) };
    context.heaps.get_or(at, read).await
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::hdf5::message;
    use crate::hdf5::model::Geometry;

    const GEOMETRY: Geometry = Geometry {
        base: 0,
        offset_size: 4,
        length_size: 4,
    };

    #[rstest]
    #[case::version_1(b"\x01\0\0\0\0\0\0\0\x09\0\0\0\x40\0\0\0", Location::Header(64))]
    #[case::version_2(b"\x02\0\x40\0\0\0", Location::Header(64))]
    #[case::version_3(b"\x03\x02\x40\0\0\0", Location::Header(64))]
    #[case::heap(b"\x03\x01abcdefgh", Location::Heap(Bytes::from_static(b"abcdefgh")))]
    fn locations(#[case] bytes: &'static [u8], #[case] expected: Location) {
        let bytes = Bytes::from_static(bytes);
        let mut cursor = Cursor::new("shared message", 0, &bytes, GEOMETRY);
        assert_eq!(Location::parse(&mut cursor).unwrap(), expected);
    }

    /// Bits 0 to 4, as the specification has them, found no heap in any file that libhdf5 wrote.
    #[rstest]
    #[case::dataspace(0x0002, message::DATASPACE)]
    #[case::datatype(0x0008, message::DATATYPE)]
    #[case::fill(0x0020, message::FILL)]
    #[case::old_fill(0x0020, message::FILL_OLD)]
    #[case::filters(0x0800, message::FILTERS)]
    #[case::attribute(0x1000, message::ATTRIBUTE)]
    fn the_bit_of_a_type_is_its_number(#[case] kinds: u16, #[case] kind: u16) {
        let only = |kinds| SharedIndex { kinds, heap: None };
        assert!(only(kinds).holds(kind));
        assert!(!only(!kinds).holds(kind));
    }

    #[test]
    fn the_table_says_which_heap_holds_what() {
        let bytes =
            Bytes::from_static(b"SMTB\0\0\x03\0\x01\0\0\0\x32\0\x28\0\x02\0\x10\0\0\0\x20\0\0\0");
        let mut cursor = Cursor::new("table", 0, &bytes, GEOMETRY);
        let expected = SharedIndex {
            kinds: 3,
            heap: Some(32),
        };
        assert_eq!(parse_table(&mut cursor, 1).unwrap(), [expected]);
    }
}
