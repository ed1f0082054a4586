//! The fill value messages. Specification IV.A.2.e and f.

use crate::decode::DecodeError;
use crate::hdf5::cursor::Cursor;
use crate::hdf5::model::FillValue;

/// The time of writing that means none.
const NEVER: u8 = 1;

/// Parses versions 1 to 3.
///
/// | version | fields |
/// | --- | --- |
/// | 1, 2 | version, allocation, writing, defined, size u32, value; version 2 has the last two only where defined |
/// | 3 | version, flags (2-3 writing, 4 undefined, 5 defined), size u32, value |
///
/// A value that is never written (writing is 1) is no value: the library leaves a reader's buffer as it is.
pub(in crate::hdf5) fn parse(cursor: &mut Cursor<'_>) -> Result<FillValue, DecodeError> {
    let version = cursor.u8()?;
    let defined = match version {
        1 | 2 => {
            cursor.skip(1)?;
            let writing = cursor.u8()?;
            cursor.u8()? != 0 && writing != NEVER
        }
        3 => {
            let flags = cursor.u8()?;
            let written = (flags >> 2) & 3 != NEVER;
            if flags & 0x30 == 0 && written {
                return Ok(FillValue::Default);
            }
            flags & 0x10 == 0 && written
        }
        _ => return Err(cursor.malformed(format!("fill value version {version} is unknown"))),
    };
    if !defined {
        return Ok(FillValue::Undefined);
    }
    match cursor.u32()? {
        0 => Ok(FillValue::Default),
        // The library writes -1 as the size of an undefined value.
        u32::MAX => Ok(FillValue::Undefined),
        size => value(cursor, size),
    }
}

/// Parses the message of HDF5 before 1.6: size u32 and value.
pub(in crate::hdf5) fn parse_old(cursor: &mut Cursor<'_>) -> Result<FillValue, DecodeError> {
    match cursor.u32()? {
        0 => Ok(FillValue::Default),
        size => value(cursor, size),
    }
}

fn value(cursor: &mut Cursor<'_>, size: u32) -> Result<FillValue, DecodeError> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    Ok(FillValue::User(cursor.bytes(size)?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rstest::rstest;

    use super::*;
    use crate::hdf5::model::Geometry;

    #[rstest]
    #[case::version_1_always_has_a_size(&[1, 2, 2, 1, 0, 0, 0, 0], FillValue::Default)]
    #[case::version_2_without_size(&[2, 2, 0, 0], FillValue::Undefined)]
    #[case::version_2(&[2, 2, 0, 1, 1, 0, 0, 0, 9], FillValue::User(Bytes::from_static(&[9])))]
    #[case::size_of_minus_one(&[2, 2, 0, 1, 255, 255, 255, 255], FillValue::Undefined)]
    // libhdf5 shows zeros, not the value 7, where a dataset with this time of writing has no chunk.
    #[case::version_3_never_written(&[3, 0x26, 1, 0, 0, 0, 7], FillValue::Undefined)]
    #[case::version_3_default_never_written(&[3, 0x06], FillValue::Undefined)]
    #[case::version_2_never_written(&[2, 2, 1, 1, 1, 0, 0, 0, 9], FillValue::Undefined)]
    #[case::version_3_default(&[3, 0x0a], FillValue::Default)]
    #[case::version_3_undefined(&[3, 0x1a], FillValue::Undefined)]
    #[case::version_3(&[3, 0x2a, 1, 0, 0, 0, 7], FillValue::User(Bytes::from_static(&[7])))]
    fn the_three_states(#[case] bytes: &'static [u8], #[case] expected: FillValue) {
        let bytes = Bytes::from_static(bytes);
        let mut cursor = Cursor::new("fill value", 0, &bytes, Geometry::default());
        assert_eq!(parse(&mut cursor).unwrap(), expected);
    }
}
