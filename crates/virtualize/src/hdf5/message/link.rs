//! The link message, and the link info and symbol table messages that say where a group's links are.
//! Specification IV.A.2.c, g and r.

use crate::decode::DecodeError;
use crate::hdf5::cursor::{Cursor, text};

/// A link as its group stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::hdf5) struct StoredLink {
    pub(in crate::hdf5) name: String,
    pub(in crate::hdf5) creation_order: Option<i64>,
    pub(in crate::hdf5) target: Target,
}

/// What a stored link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::hdf5) enum Target {
    /// The object header at this absolute address.
    Hard(u64),
    /// A path in this file.
    Soft(String),
    /// A path in another file.
    External { file: String, path: String },
    /// Something that is not understood: why.
    Broken(String),
}

/// Where links or attributes are that do not stand in the object header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hdf5) struct DenseStorage {
    /// Fractal heap that holds the messages.
    pub(in crate::hdf5) heap: u64,
    /// Version 2 B-tree by name.
    pub(in crate::hdf5) names: u64,
}

/// Parses a link message.
///
/// | bytes | field |
/// | --- | --- |
/// | 1 | version |
/// | 1 | flags: 0-1 width of the name's length, 2 creation order, 3 type, 4 character set |
/// | 1, 8, 1 | type, creation order, character set, where flagged |
/// | 1 to 8 | length of the name |
/// | rest | name, target |
pub(in crate::hdf5) fn parse(cursor: &mut Cursor<'_>) -> Result<StoredLink, DecodeError> {
    cursor.version(1)?;
    let flags = cursor.u8()?;
    let kind = if flags & 0x08 != 0 { cursor.u8()? } else { 0 };
    let creation_order = match flags & 0x04 {
        0 => None,
        _ => Some(i64::from_le_bytes(cursor.u64()?.to_le_bytes())),
    };
    if flags & 0x10 != 0 {
        cursor.skip(1)?;
    }
    let len = cursor.uint(1 << (flags & 0x03))?;
    let name = text(cursor.take(usize::try_from(len).unwrap_or(usize::MAX))?);
    Ok(StoredLink {
        name,
        creation_order,
        target: target(cursor, kind)?,
    })
}

fn target(cursor: &mut Cursor<'_>, kind: u8) -> Result<Target, DecodeError> {
    if kind == 0 {
        return Ok(Target::Hard(cursor.defined_address()?));
    }
    let len = usize::from(cursor.u16()?);
    let value = cursor.take(len)?;
    match kind {
        1 => Ok(Target::Soft(text(value))),
        64 => external(value).ok_or_else(|| cursor.malformed("an external link without its names")),
        _ => Ok(Target::Broken(format!(
            "a user-defined link of type {kind}"
        ))),
    }
}

/// A byte of version and flags, then file and path, each with a zero byte behind it.
fn external(value: &[u8]) -> Option<Target> {
    let mut names = value.get(1..)?.split(|byte| *byte == 0);
    Some(Target::External {
        file: text(names.next()?),
        path: text(names.next()?),
    })
}

/// Parses a link info message; `None` when the links stand in the object header.
pub(in crate::hdf5) fn parse_info(
    cursor: &mut Cursor<'_>,
) -> Result<Option<DenseStorage>, DecodeError> {
    parse_dense(cursor, 8)
}

/// Parses an attribute info message; `None` when the attributes stand in the object header.
pub(in crate::hdf5) fn parse_attribute_info(
    cursor: &mut Cursor<'_>,
) -> Result<Option<DenseStorage>, DecodeError> {
    parse_dense(cursor, 2)
}

/// Version, flags, the largest creation index (flag 0), heap, B-tree by name.
fn parse_dense(
    cursor: &mut Cursor<'_>,
    creation_index_len: usize,
) -> Result<Option<DenseStorage>, DecodeError> {
    cursor.version(0)?;
    if cursor.u8()? & 0x01 != 0 {
        cursor.skip(creation_index_len)?;
    }
    let (heap, names) = (cursor.address()?, cursor.address()?);
    Ok(heap
        .zip(names)
        .map(|(heap, names)| DenseStorage { heap, names }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rstest::rstest;

    use super::*;
    use crate::hdf5::model::Geometry;

    const GEOMETRY: Geometry = Geometry {
        base: 0,
        offset_size: 4,
        length_size: 4,
    };

    #[rstest]
    #[case::hard(b"\x01\x00\x01a\x40\0\0\0", None, Target::Hard(64))]
    #[case::soft_with_order_and_charset(
        b"\x01\x1c\x01\x05\0\0\0\0\0\0\0\x01\x01a\x02\0/b",
        Some(5),
        Target::Soft(String::from("/b"))
    )]
    #[case::external(b"\x01\x08\x40\x01a\x07\0\0f.h\0/x\0", None,
        Target::External { file: String::from("f.h"), path: String::from("/x") })]
    #[case::of_a_user(
        b"\x01\x08\x41\x01a\x00\0",
        None,
        Target::Broken(String::from("a user-defined link of type 65"))
    )]
    fn links_of_every_type(
        #[case] bytes: &'static [u8],
        #[case] creation_order: Option<i64>,
        #[case] target: Target,
    ) {
        let bytes = Bytes::from_static(bytes);
        let link = parse(&mut Cursor::new("link", 0, &bytes, GEOMETRY)).unwrap();
        let expected = StoredLink {
            name: String::from("a"),
            creation_order,
            target,
        };
        assert_eq!(link, expected);
    }

    #[test]
    fn an_undefined_heap_means_compact_storage() {
        let bytes = Bytes::from_static(b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
        let mut cursor = Cursor::new("link info", 0, &bytes, GEOMETRY);
        assert_eq!(parse_info(&mut cursor).unwrap(), None);
    }
}
