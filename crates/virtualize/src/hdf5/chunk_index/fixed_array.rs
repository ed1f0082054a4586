//! Chunks by a fixed array: one entry for each chunk of the largest extent, in pages where there are many.
//! Specification VII.C.

use bytes::Bytes;

use super::{Element, Table, is_initialized};
use crate::decode::DecodeError;
use crate::hdf5::context::{Context, all};
use crate::hdf5::cursor::{Cursor, len_u64};

const HEADER: &str = "fixed array header";
const BLOCK: &str = "fixed array data block";
const PAGE: &str = "fixed array page";

struct Header {
    at: u64,
    client: u8,
    element_size: u8,
    page_bits: u8,
    count: u64,
    block: Option<u64>,
}

impl Header {
    /// `FAHD`, version, client, entry size, page bits, number of entries, address of the data block.
    fn parse(cursor: &mut Cursor<'_>, at: u64) -> Result<Self, DecodeError> {
        cursor.signature(*b"FAHD")?;
        cursor.version(0)?;
        let header = Self {
            at,
            client: cursor.u8()?,
            element_size: cursor.u8()?,
            page_bits: cursor.u8()?,
            count: cursor.length()?,
            block: cursor.address()?,
        };
        if header.page_bits >= 32 {
            return Err(cursor.malformed(format!("pages of {} bits", header.page_bits)));
        }
        Ok(header)
    }

    /// Entries of a full page.
    const fn page_len(&self) -> u64 {
        1 << self.page_bits
    }

    /// Number of pages; 0 where the block is not paged.
    const fn pages(&self) -> u64 {
        if self.count > self.page_len() {
            self.count.div_ceil(self.page_len())
        } else {
            0
        }
    }

    fn bytes_of(&self, entries: u64) -> u64 {
        entries.saturating_mul(u64::from(self.element_size))
    }
}

/// Reads header, data block, and all initialized pages at once.
pub(super) async fn read(
    context: &Context<'_>,
    at: u64,
    table: &mut Table<'_>,
) -> Result<(), DecodeError> {
    let geometry = context.geometry();
    let (offset, length) = (geometry.offset_len(), geometry.length_len());
    let bytes = context
        .read_ahead(HEADER, at, len_u64(12 + length + offset))
        .await?;
    let header = Header::parse(&mut context.checked(HEADER, at, &bytes)?, at)?;
    let Some(block) = header.block else {
        return Ok(());
    };
    let size = usize::from(header.element_size);
    let element = Element::new(table, header.client, size, offset)?;
    let prefix = len_u64(6 + offset);
    if header.pages() == 0 {
        let len = prefix.saturating_add(header.bytes_of(header.count));
        let bytes = context.read(BLOCK, block, len.saturating_add(4)).await?;
        let mut cursor = open_block(context, &header, block, &bytes)?;
        return element.push_all(&mut cursor, 0, header.count, table);
    }
    let bitmap_len = header.pages().div_ceil(8);
    let prefix = prefix.saturating_add(bitmap_len).saturating_add(4);
    let bytes = context.read(BLOCK, block, prefix).await?;
    let mut cursor = open_block(context, &header, block, &bytes)?;
    let bitmap = cursor.rest();
    let first_page = block.saturating_add(prefix);
    for (first, count, page) in read_pages(context, &header, first_page, &bitmap).await? {
        let mut cursor = context.checked(PAGE, block, &page)?;
        element.push_all(&mut cursor, first, count, table)?;
    }
    Ok(())
}

/// `FADB`, version, client, address of the header.
fn open_block<'b>(
    context: &Context<'_>,
    header: &Header,
    at: u64,
    bytes: &'b Bytes,
) -> Result<Cursor<'b>, DecodeError> {
    let mut cursor = context.checked(BLOCK, at, bytes)?;
    cursor.signature(*b"FADB")?;
    cursor.version(0)?;
    if cursor.u8()? != header.client || cursor.address()? != Some(header.at) {
        return Err(cursor.malformed("belongs to another array"));
    }
    Ok(cursor)
}

/// First slot, number of entries, and bytes of each initialized page.
async fn read_pages(
    context: &Context<'_>,
    header: &Header,
    first_page: u64,
    bitmap: &[u8],
) -> Result<Vec<(u64, u64, Bytes)>, DecodeError> {
    let stride = header.bytes_of(header.page_len()).saturating_add(4);
    let pages = (0..header.pages()).filter(|page| is_initialized(bitmap, *page));
    let reads = pages.map(|page| async move {
        let first = page.saturating_mul(header.page_len());
        let count = header.count.saturating_sub(first).min(header.page_len());
        let at = first_page.saturating_add(page.saturating_mul(stride));
        let len = header.bytes_of(count).saturating_add(4);
        Ok((first, count, context.read(PAGE, at, len).await?))
    });
    all(reads).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdf5::model::Geometry;

    #[test]
    fn blocks_are_paged_only_above_one_page() {
        let mut bytes = b"FAHD\0\x01\x14\x0a".to_vec();
        bytes.extend(2049u64.to_le_bytes());
        bytes.extend(64u64.to_le_bytes());
        let bytes = Bytes::from(bytes);
        let geometry = Geometry {
            base: 0,
            offset_size: 8,
            length_size: 8,
        };
        let mut cursor = Cursor::new(HEADER, 0, &bytes, geometry);
        let mut header = Header::parse(&mut cursor, 0).unwrap();
        assert_eq!((header.pages(), header.block), (3, Some(64)));
        header.count = 1024;
        assert_eq!(header.pages(), 0);
    }
}
