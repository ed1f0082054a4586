//! Chunks by an extensible array, for one unlimited dimension. Specification VII.D.
//!
//! The index block holds the first entries, then addresses of data blocks, then of super blocks, which hold
//! addresses of further data blocks. Data blocks of many entries are paged; the super block says which pages are
//! initialized.

use bytes::Bytes;

use super::{Element, Table, is_initialized};
use crate::decode::DecodeError;
use crate::hdf5::context::{Context, all};
use crate::hdf5::cursor::{Cursor, len_u64};
use crate::hdf5::model::Geometry;

const HEADER: &str = "extensible array header";
const INDEX_BLOCK: &str = "extensible array index block";
const SUPER_BLOCK: &str = "extensible array super block";
const DATA_BLOCK: &str = "extensible array data block";
const PAGE: &str = "extensible array page";

struct Header {
    at: u64,
    geometry: Geometry,
    client: u8,
    element_size: u8,
    /// Bits of the number of entries.
    bits: u8,
    /// Entries in the index block.
    index_entries: u8,
    /// Entries of the smallest data block.
    block_entries: u8,
    /// Data block addresses of the smallest super block that stands on its own.
    super_blocks: u8,
    page_bits: u8,
    index_block: Option<u64>,
}

/// Data blocks of one size that follow one another, a (perhaps only conceptual) super block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Series {
    /// Slot of the first entry.
    first: u64,
    /// Number of data blocks.
    blocks: u64,
    /// Entries of a data block.
    entries: u64,
}

/// A data block to be read.
struct DataBlock {
    at: u64,
    first: u64,
    entries: u64,
    /// Which pages are initialized; `None` where not paged.
    pages: Option<Vec<bool>>,
}

/// What the index block leads to: data blocks, and super blocks with what they stand for.
type Addresses = (Vec<DataBlock>, Vec<(u64, Series)>);

/// A run of entries that was read.
struct Run {
    first: u64,
    count: u64,
    at: u64,
    bytes: Bytes,
    /// Bytes before the first entry.
    prefix: usize,
}

/// Reads header, index block, super blocks and data blocks, each kind at once.
pub(super) async fn read(
    context: &Context<'_>,
    at: u64,
    table: &mut Table<'_>,
) -> Result<(), DecodeError> {
    let geometry = context.geometry();
    let (offset, length) = (geometry.offset_len(), geometry.length_len());
    let len = len_u64(16 + 6 * length + offset);
    let bytes = context.read_ahead(HEADER, at, len).await?;
    let header = Header::parse(&mut context.checked(HEADER, at, &bytes)?, at)?;
    let size = usize::from(header.element_size);
    let element = Element::new(table, header.client, size, offset)?;
    let Some(index_block) = header.index_block else {
        return Ok(());
    };
    let len = header.index_block_len();
    let bytes = context.read(INDEX_BLOCK, index_block, len).await?;
    let mut cursor = header.open(context, (INDEX_BLOCK, *b"EAIB"), index_block, &bytes)?;
    element.push_all(&mut cursor, 0, u64::from(header.index_entries), table)?;
    let (direct, supers) = header.parse_addresses(&mut cursor)?;
    let (mut runs, more) = futures_util::future::try_join(
        header.read_data_blocks(context, direct),
        header.read_super_blocks(context, supers),
    )
    .await?;
    runs.extend(more);
    for run in &runs {
        let mut cursor = if run.prefix == 0 {
            context.checked(PAGE, run.at, &run.bytes)?
        } else {
            // The checksum was verified when the block was opened.
            context.cursor(DATA_BLOCK, run.at, &run.bytes)
        };
        cursor.skip(run.prefix)?;
        element.push_all(&mut cursor, run.first, run.count, table)?;
    }
    Ok(())
}

impl Header {
    /// | bytes | field |
    /// | --- | --- |
    /// | 4, 1, 1 | `EAHD`, version, client |
    /// | 1, 1 | entry size, bits of the number of entries |
    /// | 1, 1, 1, 1 | entries in the index block, smallest data block, smallest super block, page bits |
    /// | 6 × L | statistics |
    /// | O | address of the index block |
    fn parse(cursor: &mut Cursor<'_>, at: u64) -> Result<Self, DecodeError> {
        cursor.signature(*b"EAHD")?;
        cursor.version(0)?;
        let (client, element_size, bits) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
        let (index_entries, block_entries) = (cursor.u8()?, cursor.u8()?);
        let (super_blocks, page_bits) = (cursor.u8()?, cursor.u8()?);
        for _ in 0..6 {
            cursor.length()?;
        }
        let header = Self {
            at,
            geometry: cursor.geometry(),
            client,
            element_size,
            bits,
            index_entries,
            block_entries,
            super_blocks,
            page_bits,
            index_block: cursor.address()?,
        };
        let possible = block_entries.is_power_of_two()
            && super_blocks.is_power_of_two()
            && bits <= 64
            && page_bits < 32
            && u32::from(bits) >= block_entries.trailing_zeros();
        if possible {
            return Ok(header);
        }
        Err(cursor.malformed("the geometry of its blocks is impossible"))
    }

    /// All super blocks, those that the index block stands for included.
    fn series(&self) -> Vec<Series> {
        let count = 1 + u32::from(self.bits) - self.block_entries.trailing_zeros();
        let mut first = u64::from(self.index_entries);
        (0..count)
            .map(|number| {
                let series = Series {
                    first,
                    blocks: 1u64.checked_shl(number / 2).unwrap_or(u64::MAX),
                    entries: power_times(number.div_ceil(2), self.block_entries),
                };
                first = first.saturating_add(series.blocks.saturating_mul(series.entries));
                series
            })
            .collect()
    }

    /// Number of super blocks whose data blocks the index block lists itself.
    fn direct_series(&self) -> usize {
        usize::try_from(2 * self.super_blocks.trailing_zeros()).unwrap_or_default()
    }

    fn offset_width(&self) -> usize {
        usize::from(self.bits.div_ceil(8))
    }

    /// Signature, version, client, address of the header, checksum.
    fn overhead(&self) -> u64 {
        10 + len_u64(self.geometry.offset_len())
    }

    fn bytes_of(&self, entries: u64) -> u64 {
        entries.saturating_mul(u64::from(self.element_size))
    }

    fn index_block_len(&self) -> u64 {
        let direct = 2 * (u64::from(self.super_blocks) - 1);
        let all = len_u64(self.series().len());
        let supers = all.saturating_sub(len_u64(self.direct_series()));
        let addresses = (direct + supers) * len_u64(self.geometry.offset_len());
        self.overhead() + self.bytes_of(u64::from(self.index_entries)) + addresses
    }

    fn open<'b>(
        &self,
        context: &Context<'_>,
        (what, signature): (&'static str, [u8; 4]),
        at: u64,
        bytes: &'b Bytes,
    ) -> Result<Cursor<'b>, DecodeError> {
        let mut cursor = context.checked(what, at, bytes)?;
        cursor.signature(signature)?;
        cursor.version(0)?;
        if cursor.u8()? != self.client || cursor.address()? != Some(self.at) {
            return Err(cursor.malformed("belongs to another array"));
        }
        Ok(cursor)
    }

    fn page_entries(&self) -> u64 {
        1 << self.page_bits
    }

    /// Pages of a data block; 0 where it is not paged.
    fn pages(&self, entries: u64) -> u64 {
        if entries > self.page_entries() {
            entries / self.page_entries()
        } else {
            0
        }
    }

    /// Addresses in the index block: data blocks, then super blocks.
    fn parse_addresses(&self, cursor: &mut Cursor<'_>) -> Result<Addresses, DecodeError> {
        let (mut direct, mut supers) = (Vec::new(), Vec::new());
        for (number, series) in self.series().into_iter().enumerate() {
            if number >= self.direct_series() {
                if let Some(at) = cursor.address()? {
                    supers.push((at, series));
                }
                continue;
            }
            if self.pages(series.entries) > 0 {
                return Err(DecodeError::Unsupported(String::from(
                    "an extensible array whose smallest blocks are paged",
                )));
            }
            for block in 0..series.blocks {
                direct.extend(series.block(block, cursor.address()?, None));
            }
        }
        Ok((direct, supers))
    }

    async fn read_super_blocks(
        &self,
        context: &Context<'_>,
        supers: Vec<(u64, Series)>,
    ) -> Result<Vec<Run>, DecodeError> {
        let reads = supers
            .into_iter()
            .map(|(at, series)| self.read_super_block(context, at, series));
        Ok(all(reads).await?.into_iter().flatten().collect())
    }

    /// `EASB`, version, client, address of the header, offset, page bitmaps of all data blocks, their addresses.
    async fn read_super_block(
        &self,
        context: &Context<'_>,
        at: u64,
        series: Series,
    ) -> Result<Vec<Run>, DecodeError> {
        let pages = self.pages(series.entries);
        let bitmap_len = series.blocks.saturating_mul(pages.div_ceil(8));
        let addresses = series
            .blocks
            .saturating_mul(len_u64(self.geometry.offset_len()));
        let len = self
            .overhead()
            .saturating_add(len_u64(self.offset_width()))
            .saturating_add(bitmap_len)
            .saturating_add(addresses);
        let bytes = context.read(SUPER_BLOCK, at, len).await?;
        let mut cursor = self.open(context, (SUPER_BLOCK, *b"EASB"), at, &bytes)?;
        cursor.skip(self.offset_width())?;
        let bitmap = cursor.take(usize::try_from(bitmap_len).unwrap_or(usize::MAX))?;
        let mut blocks = Vec::new();
        for number in 0..series.blocks {
            // The bits of one block follow those of the block before, without padding.
            let first_bit = number.saturating_mul(pages);
            let initialized = (pages > 0).then(|| {
                (0..pages)
                    .map(|page| is_initialized(bitmap, first_bit + page))
                    .collect()
            });
            blocks.extend(series.block(number, cursor.address()?, initialized));
        }
        self.read_data_blocks(context, blocks).await
    }

    async fn read_data_blocks(
        &self,
        context: &Context<'_>,
        blocks: Vec<DataBlock>,
    ) -> Result<Vec<Run>, DecodeError> {
        let reads = blocks
            .into_iter()
            .map(|block| self.read_data_block(context, block));
        Ok(all(reads).await?.into_iter().flatten().collect())
    }

    /// `EADB`, version, client, address of the header, offset, entries; where paged the pages follow the checksum.
    async fn read_data_block(
        &self,
        context: &Context<'_>,
        block: DataBlock,
    ) -> Result<Vec<Run>, DecodeError> {
        let prefix = self.geometry.offset_len() + 6 + self.offset_width();
        let Some(pages) = &block.pages else {
            let len = len_u64(prefix + 4).saturating_add(self.bytes_of(block.entries));
            let bytes = context.read(DATA_BLOCK, block.at, len).await?;
            self.open(context, (DATA_BLOCK, *b"EADB"), block.at, &bytes)?;
            return Ok(vec![Run {
                first: block.first,
                count: block.entries,
                at: block.at,
                bytes,
                prefix,
            }]);
        };
        let first_page = block.at.saturating_add(len_u64(prefix + 4));
        let stride = self.bytes_of(self.page_entries()).saturating_add(4);
        let initialized = (0u64..).zip(pages).filter(|(_, initialized)| **initialized);
        let reads = initialized.map(|(page, _)| async move {
            let at = first_page.saturating_add(page.saturating_mul(stride));
            Ok(Run {
                first: block
                    .first
                    .saturating_add(page.saturating_mul(self.page_entries())),
                count: self.page_entries(),
                at,
                bytes: context.read(PAGE, at, stride).await?,
                prefix: 0,
            })
        });
        all(reads).await
    }
}

impl Series {
    fn block(self, number: u64, at: Option<u64>, pages: Option<Vec<bool>>) -> Option<DataBlock> {
        Some(DataBlock {
            at: at?,
            first: self
                .first
                .saturating_add(number.saturating_mul(self.entries)),
            entries: self.entries,
            pages,
        })
    }
}

fn power_times(power: u32, factor: u8) -> u64 {
    1u64.checked_shl(power)
        .unwrap_or(u64::MAX)
        .saturating_mul(u64::from(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The library's defaults: 4 entries in the index block, data blocks of 16 and more, super blocks of 4 and more.
    #[test]
    fn block_sizes_double_with_every_other_super_block() {
        let mut bytes = b"EAHD\0\0\x08\x20\x04\x10\x04\x0a".to_vec();
        bytes.extend([0; 48]);
        bytes.extend(64u64.to_le_bytes());
        let bytes = Bytes::from(bytes);
        let geometry = Geometry {
            base: 0,
            offset_size: 8,
            length_size: 8,
        };
        let mut cursor = Cursor::new(HEADER, 0, &bytes, geometry);
        let header = Header::parse(&mut cursor, 0).unwrap();
        let series = header.series();
        let of = |first, blocks, entries| Series {
            first,
            blocks,
            entries,
        };
        assert_eq!(series.len(), 29);
        assert_eq!(
            &series[..5],
            &[
                of(4, 1, 16),
                of(20, 1, 32),
                of(52, 2, 32),
                of(116, 2, 64),
                of(244, 4, 64)
            ]
        );
        // 6 data blocks and 25 super blocks are listed in the index block.
        assert_eq!(header.index_block_len(), 18 + 4 * 8 + (6 + 25) * 8);
        assert_eq!((header.pages(1024), header.pages(2048)), (0, 2));
    }
}
