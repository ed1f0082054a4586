//! The filter pipeline message, versions 1 and 2. Specification IV.A.2.l.

use crate::decode::DecodeError;
use crate::hdf5::cursor::{Cursor, text};
use crate::hdf5::model::Filter;

/// The most filters that HDF5 allows: as many as a filter mask has bits.
pub(in crate::hdf5) const MAX_FILTERS: u8 = 32;
/// Filters below this id have no name in version 2.
const FIRST_NAMED: u16 = 256;

/// Parses the filters in the order of encoding.
pub(in crate::hdf5) fn parse(cursor: &mut Cursor<'_>) -> Result<Vec<Filter>, DecodeError> {
    let version = cursor.u8()?;
    let count = cursor.u8()?;
    match version {
        1 => cursor.skip(6)?,
        2 => {}
        _ => return Err(cursor.malformed(format!("pipeline version {version} is unknown"))),
    }
    if count > MAX_FILTERS {
        return Err(cursor.malformed(format!("a pipeline of {count} filters")));
    }
    (0..count).map(|_| filter(cursor, version)).collect()
}

fn filter(cursor: &mut Cursor<'_>, version: u8) -> Result<Filter, DecodeError> {
    let id = cursor.u16()?;
    let name_len = match version {
        2 if id < FIRST_NAMED => 0,
        _ => usize::from(cursor.u16()?),
    };
    let flags = cursor.u16()?;
    let count = usize::from(cursor.u16()?);
    let start = cursor.position();
    let name = cursor.take(name_len)?;
    if version == 1 {
        cursor.pad_to_eight(start);
    }
    let values = (0..count)
        .map(|_| cursor.u32())
        .collect::<Result<Vec<u32>, _>>()?;
    // The padding behind the last filter may be missing.
    if version == 1 && count % 2 == 1 && cursor.left() >= 4 {
        cursor.skip(4)?;
    }
    let end = name.iter().position(|byte| *byte == 0);
    Ok(Filter {
        id,
        optional: flags & 0x01 != 0,
        name: text(name.get(..end.unwrap_or(name.len())).unwrap_or_default()),
        values,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::hdf5::model::Geometry;

    fn parsed(bytes: &'static [u8]) -> Vec<Filter> {
        let bytes = Bytes::from_static(bytes);
        parse(&mut Cursor::new("pipeline", 0, &bytes, Geometry::default())).unwrap()
    }

    #[test]
    fn version_1_pads_names_and_odd_values() {
        let filters = parsed(
            b"\x01\x02\0\0\0\0\0\0\x02\0\x08\0\x01\0\x01\0shuffle\0\x04\0\0\0\0\0\0\0\
              \x01\0\x00\0\x00\0\x01\0\x06\0\0\0\0\0\0\0",
        );
        assert_eq!(
            (
                filters[0].id,
                filters[0].name.as_str(),
                &filters[0].values[..]
            ),
            (2, "shuffle", &[4][..])
        );
        assert_eq!(
            (filters[1].id, filters[1].optional, &filters[1].values[..]),
            (1, false, &[6][..])
        );
    }

    #[test]
    fn version_2_names_only_registered_filters() {
        let filters = parsed(b"\x02\x02\x01\0\x01\0\x01\0\x05\0\0\0\x00\x7d\x03\0\0\0\0\0lzf");
        assert_eq!((filters[0].id, filters[0].name.as_str()), (1, ""));
        assert_eq!((filters[1].id, filters[1].name.as_str()), (32000, "lzf"));
    }
}
