//! Reads little-endian fields off the front of a structure; every read is checked.

use bytes::Bytes;

use super::checksum;
use super::model::Geometry;
use crate::decode::DecodeError;

/// A place in a structure whose first byte stands at a known place of the file.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    what: &'static str,
    at: u64,
    bytes: &'a Bytes,
    position: usize,
    end: usize,
    geometry: Geometry,
}

impl<'a> Cursor<'a> {
    /// At the front of the structure `what`, whose bytes stand at `at` in the file.
    pub(super) fn new(what: &'static str, at: u64, bytes: &'a Bytes, geometry: Geometry) -> Self {
        Self {
            what,
            at,
            bytes,
            position: 0,
            end: bytes.len(),
            geometry,
        }
    }

    /// The same for a structure that ends with a checksum, which is verified and left out.
    pub(super) fn checked(
        what: &'static str,
        at: u64,
        bytes: &'a Bytes,
        geometry: Geometry,
    ) -> Result<Self, DecodeError> {
        let mut cursor = Self::new(what, at, bytes, geometry);
        let end = bytes.len().checked_sub(4);
        let (body, stored) = end
            .and_then(|end| bytes.split_at_checked(end))
            .ok_or_else(|| cursor.malformed("is too short"))?;
        let stored = u32::try_from(little_endian(stored)).unwrap_or_default();
        if !checksum::matches(body, stored) {
            return Err(cursor.malformed("the checksum does not match"));
        }
        cursor.end = body.len();
        Ok(cursor)
    }

    /// At byte `start` of the same structure, with `len` bytes to read at most.
    pub(super) fn window(&self, start: usize, len: usize) -> Self {
        let mut window = self.clone();
        window.position = start.min(self.end);
        window.end = start.saturating_add(len).min(self.end);
        window
    }

    /// An error about this structure.
    pub(super) fn malformed(&self, problem: impl Into<String>) -> DecodeError {
        DecodeError::Malformed {
            what: self.what,
            at: self.at,
            problem: problem.into(),
        }
    }

    /// The structure's first bytes must be these.
    pub(super) fn signature(&mut self, expected: [u8; 4]) -> Result<(), DecodeError> {
        let found = self.take(4)?;
        if found == expected {
            return Ok(());
        }
        Err(self.malformed(format!(
            "the signature is not {}",
            String::from_utf8_lossy(&expected)
        )))
    }

    /// The next byte must be this version.
    pub(super) fn version(&mut self, expected: u8) -> Result<(), DecodeError> {
        match self.u8()? {
            found if found == expected => Ok(()),
            found => Err(self.malformed(format!("version {found} is unknown"))),
        }
    }

    /// The next `len` bytes.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let until = self.position.checked_add(len).filter(|n| *n <= self.end);
        let taken = until.and_then(|until| self.bytes.get(self.position..until));
        let Some(taken) = taken else {
            return Err(self.too_short(len));
        };
        self.position += len;
        Ok(taken)
    }

    #[cold]
    fn too_short(&self, len: usize) -> DecodeError {
        self.malformed(format!(
            "ends {len} bytes behind byte {} of {}",
            self.position, self.end
        ))
    }

    /// The next `len` bytes as a shared slice.
    pub(super) fn bytes(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        let taken = self.take(len)?;
        Ok(self.bytes.slice_ref(taken))
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> Bytes {
        let from = self.position.min(self.end);
        self.position = self.end;
        self.bytes.slice(from..self.end)
    }

    /// Steps over `len` bytes.
    pub(super) fn skip(&mut self, len: usize) -> Result<(), DecodeError> {
        self.take(len).map(drop)
    }

    /// Steps to the next multiple of eight from `start`, or to the end if that is nearer.
    pub(super) fn pad_to_eight(&mut self, start: usize) {
        let used = self.position.saturating_sub(start);
        self.position = start.saturating_add(used.next_multiple_of(8)).min(self.end);
    }

    /// A byte.
    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    /// Two bytes.
    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        let taken = self.take(2)?;
        Ok(<[u8; 2]>::try_from(taken).map_or(0, u16::from_le_bytes))
    }

    /// Four bytes.
    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        let taken = self.take(4)?;
        Ok(<[u8; 4]>::try_from(taken).map_or(0, u32::from_le_bytes))
    }

    /// Eight bytes.
    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        let taken = self.take(8)?;
        Ok(<[u8; 8]>::try_from(taken).map_or(0, u64::from_le_bytes))
    }

    /// A number of `len` bytes, at most eight.
    #[inline]
    pub(super) fn uint(&mut self, len: usize) -> Result<u64, DecodeError> {
        if len > 8 {
            return Err(self.malformed(format!("a number of {len} bytes")));
        }
        Ok(little_endian(self.take(len)?))
    }

    /// A number of the file's size of lengths.
    pub(super) fn length(&mut self) -> Result<u64, DecodeError> {
        self.uint(usize::from(self.geometry.length_size))
    }

    /// The same as a `usize`.
    pub(super) fn length_usize(&mut self) -> Result<usize, DecodeError> {
        let length = self.length()?;
        usize::try_from(length).map_err(|_| self.malformed(format!("a length of {length}")))
    }

    /// An address of the file, absolute; `None` if it is the undefined address.
    #[inline]
    pub(super) fn address(&mut self) -> Result<Option<u64>, DecodeError> {
        let stored = self.uint(usize::from(self.geometry.offset_size))?;
        self.geometry
            .absolute(stored)
            .map_err(|()| self.malformed(format!("the address {stored} is out of range")))
    }

    /// An address that must be defined.
    pub(super) fn defined_address(&mut self) -> Result<u64, DecodeError> {
        self.address()?
            .ok_or_else(|| self.malformed("an address is undefined"))
    }

    /// Text up to a zero byte, which is stepped over.
    pub(super) fn c_string(&mut self) -> Result<String, DecodeError> {
        let left = self.bytes.get(self.position..self.end).unwrap_or_default();
        let len = left
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(|| self.malformed("a name has no end"))?;
        let text = text(self.take(len)?);
        self.skip(1)?;
        Ok(text)
    }

    /// Number of bytes left.
    pub(super) const fn left(&self) -> usize {
        self.end.saturating_sub(self.position)
    }

    /// Number of bytes read.
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// Where the next byte stands in the file.
    pub(super) fn at(&self) -> u64 {
        self.at.saturating_add(len_u64(self.position))
    }

    /// The file's sizes and base address.
    pub(super) const fn geometry(&self) -> Geometry {
        self.geometry
    }
}

impl Geometry {
    /// A stored address as a place in the file; `Ok(None)` for the undefined address, `Err` beyond 64 bits.
    #[inline]
    pub(super) fn absolute(&self, stored: u64) -> Result<Option<u64>, ()> {
        if stored == all_ones(self.offset_size) {
            return Ok(None);
        }
        self.base.checked_add(stored).map(Some).ok_or(())
    }

    /// Bytes of an address, to count with.
    pub(super) fn offset_len(&self) -> usize {
        usize::from(self.offset_size)
    }

    /// Bytes of a length, to count with.
    pub(super) fn length_len(&self) -> usize {
        usize::from(self.length_size)
    }
}

/// The largest number of `size` bytes, which stands for *undefined* and *unlimited*.
pub(super) fn all_ones(size: u8) -> u64 {
    match u32::from(size) {
        bytes @ 0..8 => (1u64 << (8 * bytes)).saturating_sub(1),
        _ => u64::MAX,
    }
}

/// A little-endian number of at most eight bytes.
#[inline]
pub(super) fn little_endian(bytes: &[u8]) -> u64 {
    if let Ok(eight) = <[u8; 8]>::try_from(bytes) {
        return u64::from_le_bytes(eight);
    }
    bytes
        .iter()
        .take(8)
        .rev()
        .fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// Text of a name: UTF-8, with replacement characters where it is not.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A length in memory as a length in a file.
pub(super) fn len_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const GEOMETRY: Geometry = Geometry {
        base: 512,
        offset_size: 4,
        length_size: 2,
    };

    #[test]
    fn addresses_count_from_the_base_and_undefined_stays_undefined() {
        let bytes = Bytes::from_static(&[0x10, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x34, 0x12]);
        let mut cursor = Cursor::new("test", 0, &bytes, GEOMETRY);
        assert_eq!(cursor.address().unwrap(), Some(528));
        assert_eq!(cursor.address().unwrap(), None);
        assert_eq!(cursor.length().unwrap(), 0x1234);
        assert!(cursor.u8().is_err());
    }

    #[rstest]
    #[case(0, 0)]
    #[case(2, 0xffff)]
    #[case(7, 0x00ff_ffff_ffff_ffff)]
    #[case(8, u64::MAX)]
    fn undefined_has_all_bits_set(#[case] size: u8, #[case] undefined: u64) {
        assert_eq!(all_ones(size), undefined);
    }

    #[test]
    fn a_wrong_checksum_is_malformed() {
        let bytes = Bytes::from_static(b"abcd\0\0\0\0");
        let error = Cursor::checked("heap", 7, &bytes, GEOMETRY).unwrap_err();
        assert_eq!(
            error.to_string(),
            "heap at byte 7: the checksum does not match"
        );
    }
}
