//! The data layout message, versions 1 to 5: where the data of a dataset is. Specification IV.A.2.i.

use bytes::Bytes;

use crate::decode::DecodeError;
use crate::hdf5::cursor::Cursor;
use crate::hdf5::message::dataspace::MAX_RANK;

/// Where the data is; addresses are absolute, `None` while not allocated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::hdf5) enum Layout {
    /// In the message.
    Compact { data: Bytes, at: u64 },
    /// In one run; versions 1 and 2 do not tell its size.
    Contiguous {
        address: Option<u64>,
        size: Option<u64>,
    },
    /// In chunks.
    Chunked(Chunked),
    /// In other datasets.
    Virtual,
}

/// Chunks and their index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::hdf5) struct Chunked {
    /// Lengths of a chunk in elements.
    pub(in crate::hdf5) chunk_shape: Vec<u64>,
    /// Bytes of an element.
    pub(in crate::hdf5) element_size: u64,
    /// Whether chunks that reach beyond the extent are left unfiltered.
    pub(in crate::hdf5) partial_unfiltered: bool,
    /// What lists the chunks.
    pub(in crate::hdf5) index: Index,
    /// Where the index is.
    pub(in crate::hdf5) address: Option<u64>,
}

/// Kinds of chunk index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hdf5) enum Index {
    BtreeV1,
    /// One chunk; where filtered, its size and filter mask.
    SingleChunk(Option<(u64, u32)>),
    Implicit,
    FixedArray,
    ExtensibleArray,
    BtreeV2,
}

impl Index {
    /// The name for people.
    pub(in crate::hdf5) const fn name(self) -> &'static str {
        match self {
            Self::BtreeV1 => "btree-v1",
            Self::SingleChunk(_) => "single-chunk",
            Self::Implicit => "implicit",
            Self::FixedArray => "fixed-array",
            Self::ExtensibleArray => "extensible-array",
            Self::BtreeV2 => "btree-v2",
        }
    }
}

/// Parses any version.
pub(in crate::hdf5) fn parse(cursor: &mut Cursor<'_>) -> Result<Layout, DecodeError> {
    match cursor.u8()? {
        1 | 2 => parse_old(cursor),
        3 => match cursor.u8()? {
            0 => compact(cursor),
            1 => contiguous(cursor),
            2 => chunked_version_3(cursor),
            class => Err(unknown_class(cursor, class)),
        },
        4 | 5 => match cursor.u8()? {
            0 => compact(cursor),
            1 => contiguous(cursor),
            2 => chunked_version_4(cursor),
            3 => Ok(Layout::Virtual),
            class => Err(unknown_class(cursor, class)),
        },
        version => Err(cursor.malformed(format!("layout version {version} is unknown"))),
    }
}

fn unknown_class(cursor: &Cursor<'_>, class: u8) -> DecodeError {
    cursor.malformed(format!("layout class {class} is unknown"))
}

/// | bytes | field of versions 1 and 2 |
/// | --- | --- |
/// | 1 | rank, one more where chunked |
/// | 1 | class |
/// | 5 | reserved |
/// | O | address, unless compact |
/// | 4 each | lengths, where chunked those of a chunk and the size of an element |
/// | 4, rest | size and data, if compact |
fn parse_old(cursor: &mut Cursor<'_>) -> Result<Layout, DecodeError> {
    let rank = usize::from(cursor.u8()?);
    let class = cursor.u8()?;
    cursor.skip(5)?;
    match class {
        0 => {
            cursor.skip(4 * rank)?;
            let size = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
            let at = cursor.at();
            Ok(Layout::Compact {
                data: cursor.bytes(size)?,
                at,
            })
        }
        1 => Ok(Layout::Contiguous {
            address: cursor.address()?,
            size: None,
        }),
        2 => btree_v1(cursor, rank),
        class => Err(unknown_class(cursor, class)),
    }
}

fn compact(cursor: &mut Cursor<'_>) -> Result<Layout, DecodeError> {
    let size = usize::from(cursor.u16()?);
    let at = cursor.at();
    Ok(Layout::Compact {
        data: cursor.bytes(size)?,
        at,
    })
}

fn contiguous(cursor: &mut Cursor<'_>) -> Result<Layout, DecodeError> {
    Ok(Layout::Contiguous {
        address: cursor.address()?,
        size: Some(cursor.length()?),
    })
}

fn chunked_version_3(cursor: &mut Cursor<'_>) -> Result<Layout, DecodeError> {
    let rank = usize::from(cursor.u8()?);
    btree_v1(cursor, rank)
}

fn btree_v1(cursor: &mut Cursor<'_>, rank: usize) -> Result<Layout, DecodeError> {
    let address = cursor.address()?;
    let (chunk_shape, element_size) = chunk_lengths(cursor, rank, 4)?;
    Ok(Layout::Chunked(Chunked {
        chunk_shape,
        element_size,
        partial_unfiltered: false,
        index: Index::BtreeV1,
        address,
    }))
}

/// Lengths of a chunk, behind which the size of an element stands.
fn chunk_lengths(
    cursor: &mut Cursor<'_>,
    rank: usize,
    width: usize,
) -> Result<(Vec<u64>, u64), DecodeError> {
    if !(2..=MAX_RANK + 1).contains(&rank) {
        return Err(cursor.malformed(format!("chunks of rank {rank}")));
    }
    let mut lengths = (0..rank)
        .map(|_| cursor.uint(width))
        .collect::<Result<Vec<u64>, _>>()?;
    if lengths.contains(&0) {
        return Err(cursor.malformed("a chunk without elements"));
    }
    let element_size = lengths.pop().unwrap_or_default();
    Ok((lengths, element_size))
}

/// | bytes | field of versions 4 and 5 |
/// | --- | --- |
/// | 1 | flags: 0 partial chunks unfiltered, 1 a single filtered chunk |
/// | 1 | rank + 1 |
/// | 1 | width of a length |
/// | each | lengths of a chunk, size of an element |
/// | 1 | kind of index |
/// | | what the index wants to know |
/// | O | address |
fn chunked_version_4(cursor: &mut Cursor<'_>) -> Result<Layout, DecodeError> {
    let flags = cursor.u8()?;
    let rank = usize::from(cursor.u8()?);
    let width = usize::from(cursor.u8()?);
    let (chunk_shape, element_size) = chunk_lengths(cursor, rank, width)?;
    let index = match cursor.u8()? {
        1 if flags & 0x02 != 0 => Index::SingleChunk(Some((cursor.length()?, cursor.u32()?))),
        1 => Index::SingleChunk(None),
        2 => Index::Implicit,
        3 => {
            cursor.skip(1)?;
            Index::FixedArray
        }
        4 => {
            cursor.skip(5)?;
            Index::ExtensibleArray
        }
        5 => {
            cursor.skip(6)?;
            Index::BtreeV2
        }
        kind => return Err(cursor.malformed(format!("chunk index {kind} is unknown"))),
    };
    Ok(Layout::Chunked(Chunked {
        chunk_shape,
        element_size,
        partial_unfiltered: flags & 0x01 != 0,
        index,
        address: cursor.address()?,
    }))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::hdf5::model::Geometry;

    const GEOMETRY: Geometry = Geometry {
        base: 16,
        offset_size: 4,
        length_size: 4,
    };

    fn chunked(shape: &[u64], index: Index, address: Option<u64>) -> Layout {
        Layout::Chunked(Chunked {
            chunk_shape: shape.to_vec(),
            element_size: 8,
            partial_unfiltered: false,
            index,
            address,
        })
    }

    #[rstest]
    #[case::version_1_contiguous(&[1, 1, 1, 0, 0, 0, 0, 0, 32, 0, 0, 0, 9, 0, 0, 0],
        Layout::Contiguous { address: Some(48), size: None })]
    #[case::version_2_chunked(
        &[2, 2, 2, 0, 0, 0, 0, 0, 255, 255, 255, 255, 5, 0, 0, 0, 8, 0, 0, 0],
        chunked(&[5], Index::BtreeV1, None))]
    #[case::version_3_contiguous(&[3, 1, 32, 0, 0, 0, 9, 0, 0, 0],
        Layout::Contiguous { address: Some(48), size: Some(9) })]
    #[case::version_3_chunked(&[3, 2, 2, 32, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0],
        chunked(&[5], Index::BtreeV1, Some(48)))]
    #[case::version_4_single_filtered(
        &[4, 2, 2, 2, 1, 5, 8, 1, 77, 0, 0, 0, 1, 0, 0, 0, 32, 0, 0, 0],
        chunked(&[5], Index::SingleChunk(Some((77, 1))), Some(48)))]
    #[case::version_5_wide_fixed_array(
        &[5, 2, 0, 2, 8, 0, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 3, 10, 32, 0, 0, 0],
        chunked(&[1 << 32], Index::FixedArray, Some(48)))]
    #[case::version_4_virtual(&[4, 3, 0, 0, 0, 0, 0, 0, 0, 0], Layout::Virtual)]
    fn every_version_is_read(#[case] bytes: &'static [u8], #[case] expected: Layout) {
        let bytes = Bytes::from_static(bytes);
        let mut cursor = Cursor::new("layout", 0, &bytes, GEOMETRY);
        assert_eq!(parse(&mut cursor).unwrap(), expected);
    }

    #[test]
    fn compact_data_is_located() {
        let bytes = Bytes::from_static(&[3, 0, 2, 0, 7, 9]);
        let mut cursor = Cursor::new("layout", 100, &bytes, GEOMETRY);
        let expected = Layout::Compact {
            data: Bytes::from_static(&[7, 9]),
            at: 104,
        };
        assert_eq!(parse(&mut cursor).unwrap(), expected);
    }
}
