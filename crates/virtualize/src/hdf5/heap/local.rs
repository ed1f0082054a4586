//! The local heap: names of an old group's links, or of external files. Specification III.D.

use bytes::Bytes;

use crate::decode::DecodeError;
use crate::hdf5::context::{Context, READ_AHEAD};
use crate::hdf5::cursor::text;

const WHAT: &str = "local heap";

/// A local heap's data.
#[derive(Debug)]
pub(in crate::hdf5) struct LocalHeap {
    at: u64,
    data: Bytes,
}

impl LocalHeap {
    /// As much as is read of a heap at first.
    pub(in crate::hdf5) const FIRST_READ: u64 = READ_AHEAD;

    /// Reads the heap whose header stands at `at`: `HEAP`, version, 3 reserved, size, free list, address of the data.
    pub(in crate::hdf5) async fn read(context: &Context<'_>, at: u64) -> Result<Self, DecodeError> {
        let geometry = context.geometry();
        let len = 8 + 2 * u64::from(geometry.length_size) + u64::from(geometry.offset_size);
        let header = context.read_ahead(WHAT, at, len).await?;
        let mut cursor = context.cursor(WHAT, at, &header);
        cursor.signature(*b"HEAP")?;
        cursor.version(0)?;
        cursor.skip(3)?;
        let size = cursor.length()?;
        cursor.length()?;
        let address = cursor.defined_address()?;
        let data = context.read(WHAT, address, size).await?;
        Ok(Self { at: address, data })
    }

    /// The text at an offset, up to its zero byte.
    pub(in crate::hdf5) fn text(&self, offset: u64) -> Result<String, DecodeError> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.data.get(offset..));
        let end = rest.and_then(|rest| rest.iter().position(|byte| *byte == 0));
        match rest.zip(end).and_then(|(rest, end)| rest.get(..end)) {
            Some(name) => Ok(text(name)),
            None => Err(DecodeError::Malformed {
                what: WHAT,
                at: self.at,
                problem: format!("has no text at {offset}"),
            }),
        }
    }
}
