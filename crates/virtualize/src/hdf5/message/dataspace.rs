//! The dataspace message: rank and extent. Specification IV.A.2.b.

use crate::decode::DecodeError;
use crate::hdf5::cursor::{Cursor, all_ones};
use crate::hdf5::model::Dataspace;

/// The most dimensions that HDF5 allows.
pub(in crate::hdf5) const MAX_RANK: usize = 32;

/// Parses version 1 or 2.
///
/// | version | fields |
/// | --- | --- |
/// | 1 | version, rank, flags, 5 reserved, lengths, largest lengths (flag 0) |
/// | 2 | version, rank, flags, type (0 scalar, 1 simple, 2 null), lengths, largest lengths (flag 0) |
pub(in crate::hdf5) fn parse(cursor: &mut Cursor<'_>) -> Result<Dataspace, DecodeError> {
    let version = cursor.u8()?;
    let rank = usize::from(cursor.u8()?);
    let flags = cursor.u8()?;
    let kind = match version {
        1 => {
            cursor.skip(5)?;
            u8::from(rank > 0)
        }
        2 => cursor.u8()?,
        _ => return Err(cursor.malformed(format!("dataspace version {version} is unknown"))),
    };
    if rank > MAX_RANK {
        return Err(cursor.malformed(format!("a dataspace of rank {rank}")));
    }
    match kind {
        0 => Ok(Dataspace::Scalar),
        1 => simple(cursor, rank, flags & 0x01 != 0),
        2 => Ok(Dataspace::Null),
        _ => Err(cursor.malformed(format!("dataspace type {kind} is unknown"))),
    }
}

fn simple(cursor: &mut Cursor<'_>, rank: usize, limited: bool) -> Result<Dataspace, DecodeError> {
    let dims = lengths(cursor, rank)?;
    let unlimited = all_ones(cursor.geometry().length_size);
    let max_dims = if limited {
        let max = lengths(cursor, rank)?;
        max.into_iter()
            .map(|max| (max != unlimited).then_some(max))
            .collect()
    } else {
        dims.iter().copied().map(Some).collect()
    };
    Ok(Dataspace::Simple { dims, max_dims })
}

fn lengths(cursor: &mut Cursor<'_>, rank: usize) -> Result<Vec<u64>, DecodeError> {
    (0..rank).map(|_| cursor.length()).collect()
}

/// Number of elements; `None` if it overflows.
pub(in crate::hdf5) fn element_count(dataspace: &Dataspace) -> Option<u64> {
    match dataspace {
        Dataspace::Null => Some(0),
        Dataspace::Scalar => Some(1),
        Dataspace::Simple { dims, .. } if dims.contains(&0) => Some(0),
        Dataspace::Simple { dims, .. } => dims
            .iter()
            .try_fold(1u64, |count, dim| count.checked_mul(*dim)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rstest::rstest;

    use super::*;
    use crate::hdf5::model::Geometry;

    #[rstest]
    #[case::old_scalar(&[1, 0, 0, 0, 0, 0, 0, 0], Dataspace::Scalar)]
    #[case::scalar(&[2, 0, 0, 0], Dataspace::Scalar)]
    #[case::null(&[2, 0, 0, 2], Dataspace::Null)]
    #[case::old_with_maximum(&[1, 1, 1, 0, 0, 0, 0, 0, 3, 0, 0xff, 0xff],
        Dataspace::Simple { dims: vec![3], max_dims: vec![None] })]
    #[case::without_maximum(&[2, 2, 0, 1, 3, 0, 4, 0],
        Dataspace::Simple { dims: vec![3, 4], max_dims: vec![Some(3), Some(4)] })]
    fn every_kind_is_told_apart(#[case] bytes: &'static [u8], #[case] expected: Dataspace) {
        let geometry = Geometry {
            base: 0,
            offset_size: 8,
            length_size: 2,
        };
        let bytes = Bytes::from_static(bytes);
        let mut cursor = Cursor::new("dataspace", 0, &bytes, geometry);
        assert_eq!(parse(&mut cursor).unwrap(), expected);
    }
}
