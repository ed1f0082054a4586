//! Where the data of a dataset is, as chunks of a Zarr array.

use bytes::Bytes;
use futures_util::future::join_all;

use crate::dataset::product;
use crate::decode::{ByteRange, SourceBuffer};
use crate::hdf5::{Chunk, Dataset, Storage};
use crate::manifest::{ChunkManifest, SourceId};
use crate::zarr::{
    Codec, Stage, codecs_of, decode_stages, encode_chunk, is_masked, plugin_reads, stages_of,
};

/// Largest chunk that contiguous data is cut into.
const CUT: u64 = 16 << 20;

/// Smallest chunk that is worth a reference.
const CRUMB: u64 = 64 << 10;

/// The most bytes that chunks with another filter mask than the rest, or with filters in an order that no reader
/// follows, may have together to be encoded anew.
const MAX_REEXPRESSED: u64 = 8 << 20;

/// Chunks, their shape and their codecs.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Shape of a chunk.
    pub(super) chunk_shape: Vec<u64>,
    /// Codecs in the order of encoding.
    pub(super) codecs: Vec<Codec>,
    /// Where each chunk is.
    pub(super) chunks: ChunkManifest,
}

/// What [`stored`] needs to know of the array.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent<'a> {
    /// Lengths, those of an array type included.
    pub(super) shape: &'a [u64],
    /// Bytes of an element of the array.
    pub(super) element_size: u64,
}

/// The chunks of a dataset whose size the caller has found harmless.
///
/// # Errors
///
/// The reason why they cannot be expressed.
pub(super) async fn stored(
    dataset: &Dataset,
    extent: Extent<'_>,
    buffer: &SourceBuffer,
) -> Result<Stored, String> {
    stored_within(dataset, extent, buffer, MAX_REEXPRESSED).await
}

/// The chunks of a dataset, of which up to `inline_max_bytes` may be decoded where no reader decodes them.
///
/// # Errors
///
/// The reason why they cannot be expressed.
pub(super) async fn stored_within(
    dataset: &Dataset,
    extent: Extent<'_>,
    buffer: &SourceBuffer,
    inline_max_bytes: u64,
) -> Result<Stored, String> {
    match &dataset.storage {
        Storage::Compact { data, .. } => compact(data, extent),
        Storage::Contiguous(range) => contiguous(*range, extent, buffer.file_len()),
        Storage::Chunked {
            broken: Some(why), ..
        } => Err(format!("its chunk index cannot be read: {why}")),
        Storage::Chunked {
            chunk_shape,
            chunks,
            ..
        } => {
            let pipeline = Pipeline {
                dataset,
                chunk_bytes: 0,
                inline_max_bytes,
            };
            chunked(pipeline, chunk_shape, chunks, extent, buffer).await
        }
        Storage::External(files) => {
            Err(format!("its data is in other files: {}", files.join(", ")))
        }
        Storage::Virtual => Err(String::from(
            "it is a view of other datasets (virtual layout)",
        )),
        Storage::Unsupported(why) => Err(why.clone()),
    }
}

fn total_bytes(extent: Extent<'_>) -> Result<u64, String> {
    product(extent.shape)
        .and_then(|count| count.checked_mul(extent.element_size))
        .ok_or_else(|| String::from("its size overflows"))
}

fn whole(shape: &[u64]) -> Vec<u64> {
    shape.iter().map(|length| (*length).max(1)).collect()
}

fn compact(data: &Bytes, extent: Extent<'_>) -> Result<Stored, String> {
    let total = total_bytes(extent)?;
    let values = usize::try_from(total)
        .ok()
        .filter(|total| *total <= data.len());
    let values = values.ok_or_else(|| format!("its compact data is shorter than {total} bytes"))?;
    let chunks = match values {
        0 => ChunkManifest::new(),
        // A copy of its own, so that the page of the file it came from can go.
        _ => ChunkManifest::inlined(Bytes::copy_from_slice(
            data.get(..values).unwrap_or_default(),
        )),
    };
    Ok(Stored {
        chunk_shape: whole(extent.shape),
        codecs: Vec::new(),
        chunks,
    })
}

fn contiguous(
    range: Option<ByteRange>,
    extent: Extent<'_>,
    file_len: u64,
) -> Result<Stored, String> {
    let total = total_bytes(extent)?;
    let chunk_shape = cut(extent);
    let mut stored = Stored {
        chunk_shape,
        ..Stored::default()
    };
    let Some(range) = range.filter(|_| total > 0) else {
        return Ok(stored);
    };
    if range.len < total || range.end() > file_len {
        return Err(format!(
            "its data of {total} bytes at byte {} is cut off",
            range.start
        ));
    }
    let chunk = product(&stored.chunk_shape).unwrap_or(1) * extent.element_size;
    let count = total.checked_div(chunk).unwrap_or(0);
    for number in 0..count {
        let piece = ByteRange::new(range.start + number * chunk, chunk);
        stored.chunks.push(number, SourceId(0), piece);
    }
    Ok(stored)
}

/// A chunk shape that cuts contiguous data along its leading dimensions into equal runs of at most [`CUT`] bytes.
///
/// Chunks of Zarr are all equal, so a dimension is cut by a divisor of its length; where the only one that fits would
/// leave crumbs, the next larger one is taken.
fn cut(extent: Extent<'_>) -> Vec<u64> {
    let mut shape = whole(extent.shape);
    for axis in 0..shape.len() {
        let inner = product(shape.get(axis + 1..).unwrap_or_default());
        let inner = inner.and_then(|count| count.checked_mul(extent.element_size));
        let Some(length) = shape.get_mut(axis) else {
            break;
        };
        match inner {
            Some(inner) if inner.saturating_mul(*length) <= CUT => break,
            Some(inner) if inner <= CUT => {
                *length = divisor(*length, inner.max(1));
                break;
            }
            _ => *length = 1,
        }
    }
    shape
}

fn divisor(length: u64, inner: u64) -> u64 {
    let most = CUT.checked_div(inner).unwrap_or(1).max(1);
    let divides = |step: &u64| length.checked_rem(*step) == Some(0);
    let below = (1..=most.min(length)).rev().find(divides).unwrap_or(1);
    if below.saturating_mul(inner) >= CRUMB {
        return below;
    }
    // The divisors above `most` are those that go with the small ones.
    let partners = (1..=length.checked_div(most).unwrap_or(1).min(1 << 20)).rev();
    let above = partners
        .filter(divides)
        .filter_map(|small| length.checked_div(small))
        .find(|step| step.saturating_mul(inner) > CUT);
    above.unwrap_or(length)
}

async fn chunked(
    pipeline: Pipeline<'_>,
    chunk_shape: &[u64],
    chunks: &[Chunk],
    extent: Extent<'_>,
    buffer: &SourceBuffer,
) -> Result<Stored, String> {
    let rank = pipeline.dataset.dataspace.shape().map_or(0, <[u64]>::len);
    let inner = extent.shape.get(rank..).unwrap_or_default();
    if chunk_shape.len() != rank || chunk_shape.contains(&0) {
        return Err(String::from("its chunks have not the rank of its extent"));
    }
    let chunk_shape: Vec<u64> = chunk_shape.iter().chain(inner).copied().collect();
    let chunk_bytes = product(&chunk_shape)
        .and_then(|count| count.checked_mul(extent.element_size))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| String::from("the size of its chunks overflows"))?;
    inside_the_file(chunks, buffer.file_len())?;
    let pipeline = Pipeline {
        chunk_bytes,
        ..pipeline
    };
    let mask = pipeline.usual_mask(chunks);
    let expressed = match pipeline.codecs(mask) {
        Ok(codecs) => {
            let (usual, odd) = pipeline.usual_and_odd(mask, &codecs, chunks);
            plain_chunks_have_their_size(usual.iter().copied(), &codecs, chunk_bytes)?;
            pipeline.expressed(codecs, &usual, &odd, buffer).await
        }
        Err(why) => Err(why),
    };
    let (codecs, chunks) = match expressed {
        Ok(expressed) => expressed,
        Err(why) => pipeline.decoded(why, chunks, buffer).await?,
    };
    Ok(Stored {
        chunk_shape,
        codecs,
        chunks,
    })
}

fn inside_the_file(chunks: &[Chunk], file_len: u64) -> Result<(), String> {
    let outside = |chunk: &&Chunk| chunk.range.end() > file_len || chunk.range.len == 0;
    match chunks.iter().find(outside) {
        None => Ok(()),
        Some(chunk) => Err(format!(
            "chunk {} of {} bytes at byte {} does not lie inside the file",
            chunk.number, chunk.range.len, chunk.range.start
        )),
    }
}

/// Readers take the bytes of a chunk without compression as they are, so their number must be right.
fn plain_chunks_have_their_size<'a>(
    mut chunks: impl Iterator<Item = &'a Chunk>,
    codecs: &[Codec],
    chunk_bytes: u64,
) -> Result<(), String> {
    let mut expected = chunk_bytes;
    for codec in codecs {
        match codec {
            Codec::Shuffle { .. } => {}
            Codec::Fletcher32 => expected = expected.saturating_add(4),
            _ => return Ok(()),
        }
    }
    match chunks.find(|chunk| chunk.range.len != expected) {
        None => Ok(()),
        Some(chunk) => Err(format!(
            "chunk {} has {} bytes where its shape asks for {expected}",
            chunk.number, chunk.range.len
        )),
    }
}

/// The filters of a dataset over chunks that may have left out some of them.
struct Pipeline<'a> {
    dataset: &'a Dataset,
    chunk_bytes: u64,
    inline_max_bytes: u64,
}

impl Pipeline<'_> {
    fn codecs(&self, mask: u32) -> Result<Vec<Codec>, String> {
        let (filters, size) = (&self.dataset.filters, self.dataset.datatype.size);
        codecs_of(filters, mask, size, self.chunk_bytes)
    }

    fn stages(&self, mask: u32) -> Result<Vec<Stage>, String> {
        stages_of(&self.dataset.filters, mask, self.dataset.datatype.size)
    }

    /// The chunks that readers decode where they are, and those that they do not.
    fn usual_and_odd<'c>(
        &self,
        mask: u32,
        codecs: &[Codec],
        chunks: &'c [Chunk],
    ) -> (Vec<&'c Chunk>, Vec<&'c Chunk>) {
        chunks.iter().partition(|chunk| {
            self.effective(chunk.filter_mask) == mask
                && plugin_reads(codecs, self.chunk_bytes, chunk.range.len)
        })
    }

    /// The usual chunks where they are, and the odd ones encoded anew.
    async fn expressed(
        &self,
        codecs: Vec<Codec>,
        usual: &[&Chunk],
        odd: &[&Chunk],
        buffer: &SourceBuffer,
    ) -> Result<(Vec<Codec>, ChunkManifest), String> {
        let rows = usual.iter().map(|chunk| (chunk.number, chunk.range));
        let (mut manifest, _) = ChunkManifest::from_rows(SourceId(0), rows);
        if self.decoded_bytes(odd.len()) > MAX_REEXPRESSED {
            return Err(format!(
                "{} of its chunks have filters, or an order of them, that no Zarr v2 codec expresses",
                odd.len()
            ));
        }
        for (number, bytes) in self.reexpress(odd, &codecs, buffer).await? {
            manifest.insert_inline(number, bytes);
        }
        Ok((codecs, manifest))
    }

    /// All chunks decoded and encoded anew, where they are small and their filters known here.
    async fn decoded(
        &self,
        why: String,
        chunks: &[Chunk],
        buffer: &SourceBuffer,
    ) -> Result<(Vec<Codec>, ChunkManifest), String> {
        let mut manifest = ChunkManifest::new();
        if chunks.is_empty() {
            return Ok((Vec::new(), manifest));
        }
        let Some(limit) = self.inline_limit(chunks) else {
            return Err(why);
        };
        let total = self.decoded_bytes(chunks.len());
        if total > limit {
            return Err(format!(
                "{why}, and its {total} bytes are more than the {limit} that are inlined"
            ));
        }
        let codecs = self.plain_codecs();
        let all: Vec<&Chunk> = chunks.iter().collect();
        for (number, bytes) in self.reexpress(&all, &codecs, buffer).await? {
            manifest.insert_inline(number, bytes);
        }
        Ok((codecs, manifest))
    }

    /// The most bytes that may be decoded and inlined; `None` if this crate cannot decode all chunks. Where readers
    /// know each filter, and not their order or the masks, it is as if only some chunks were odd.
    fn inline_limit(&self, chunks: &[Chunk]) -> Option<u64> {
        let masks = chunks.iter().map(|chunk| self.effective(chunk.filter_mask));
        let masks: std::collections::BTreeSet<u32> = masks.collect();
        let stages = masks.into_iter().map(|mask| self.stages(mask));
        let stages: Vec<Stage> = stages.collect::<Result<Vec<_>, _>>().ok()?.concat();
        let known = stages.iter().all(|stage| matches!(stage, Stage::Codec(_)));
        stages
            .iter()
            .all(Stage::is_decodable)
            .then_some(match known {
                true => MAX_REEXPRESSED.max(self.inline_max_bytes),
                false => self.inline_max_bytes,
            })
    }

    fn decoded_bytes(&self, chunks: usize) -> u64 {
        let count = u64::try_from(chunks).unwrap_or(u64::MAX);
        count.saturating_mul(self.chunk_bytes)
    }

    /// Codecs that any reader has.
    fn plain_codecs(&self) -> Vec<Codec> {
        let element_size = self.dataset.datatype.size;
        let whole = self.chunk_bytes.checked_rem(u64::from(element_size)) == Some(0);
        let shuffle = (whole && element_size > 1).then_some(Codec::Shuffle { element_size });
        let codecs = shuffle.into_iter().chain([Codec::Zlib { level: 4 }]);
        codecs.collect()
    }

    /// The bits of a mask that belong to a filter.
    fn effective(&self, mask: u32) -> u32 {
        if mask == 0 {
            return 0;
        }
        (0..self.dataset.filters.len())
            .filter(|position| is_masked(mask, *position))
            .filter_map(|position| u32::try_from(position).ok())
            .fold(0, |bits, position| bits | (1 << position))
    }

    /// The mask that most chunks have; chunks that went through a codec that is not written here set the mask.
    fn usual_mask(&self, chunks: &[Chunk]) -> u32 {
        let mut counts = std::collections::BTreeMap::<u32, usize>::new();
        for run in chunks.chunk_by(|a, b| a.filter_mask == b.filter_mask) {
            let mask = run
                .first()
                .map_or(0, |chunk| self.effective(chunk.filter_mask));
            *counts.entry(mask).or_default() += run.len();
        }
        let stays = |mask: u32| {
            let codecs = self.codecs(mask).unwrap_or_default();
            codecs
                .iter()
                .any(|codec| matches!(codec, Codec::Blosc { .. } | Codec::Blosc2Nd))
        };
        let most = counts
            .into_iter()
            .max_by_key(|(mask, count)| (stays(*mask), *count, std::cmp::Reverse(*mask)));
        most.map_or(0, |(mask, _)| mask)
    }

    /// Chunks read, decoded and encoded with these codecs.
    async fn reexpress(
        &self,
        chunks: &[&Chunk],
        codecs: &[Codec],
        buffer: &SourceBuffer,
    ) -> Result<Vec<(u64, Bytes)>, String> {
        let encoded = chunks.iter().map(|chunk| async move {
            let bytes = buffer.read("chunk", chunk.range.start, chunk.range.len);
            let bytes = bytes.await.map_err(|error| error.to_string())?;
            let stages = self.stages(self.effective(chunk.filter_mask))?;
            let values = decode_stages(&bytes, &stages, self.chunk_bytes);
            let again = values.and_then(|values| encode_chunk(&values, codecs));
            match again {
                Ok(bytes) => Ok((chunk.number, Bytes::from(bytes))),
                Err(error) => Err(format!(
                    "chunk {} with filter mask {:#x}: {error}",
                    chunk.number, chunk.filter_mask
                )),
            }
        });
        join_all(encoded).await.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::manifest::ChunkEntry;
    use crate::netcdf4::sample;
    use crate::zarr::decode_chunk;

    const MIB: u64 = 1 << 20;

    #[rstest]
    #[case::scalar(&[], 8, &[])]
    #[case::small(&[3, 4], 8, &[3, 4])]
    #[case::no_element(&[0, 4], 8, &[1, 4])]
    #[case::by_a_divisor(&[12, MIB], 4, &[4, MIB])]
    #[case::second_dimension(&[3, 6, MIB], 4, &[1, 3, MIB])]
    #[case::step_by_step(&[5, 4 * MIB], 4, &[1, 4 * MIB])]
    #[case::no_crumbs(&[4_194_319], 8, &[4_194_319])]
    #[case::crumbs_avoided(&[2 * 4_194_319], 8, &[4_194_319])]
    fn contiguous_data_is_cut_into_equal_runs(
        #[case] shape: &[u64],
        #[case] element_size: u64,
        #[case] chunk_shape: &[u64],
    ) {
        let extent = Extent {
            shape,
            element_size,
        };
        assert_eq!(cut(extent), chunk_shape);
    }

    fn express(dataset: &Dataset, buffer: &SourceBuffer) -> Result<Stored, String> {
        let extent = Extent {
            shape: dataset.dataspace.shape().unwrap(),
            element_size: 4,
        };
        stored(dataset, extent, buffer).now_or_never().unwrap()
    }

    #[test]
    fn a_run_of_bytes_becomes_chunks_one_after_another() {
        let mut dataset = sample::dataset(1, &[2, 4 * MIB]);
        dataset.storage = Storage::Contiguous(Some(ByteRange::new(100, 32 * MIB)));
        let stored = express(&dataset, &SourceBuffer::new(100 + 32 * MIB, 0)).unwrap();
        let source = SourceId(0);
        let range = ByteRange::new(100 + 16 * MIB, 16 * MIB);
        assert_eq!(stored.chunks.get(1), ChunkEntry::Virtual { source, range });
        assert_eq!(stored.chunks.len(), 2);
        assert!(express(&dataset, &SourceBuffer::new(99 + 32 * MIB, 0)).is_err());
    }

    fn masked(chunks: &[(u64, u64, u64, u32)], filters: &[u16]) -> Dataset {
        let mut dataset = sample::dataset(1, &[6]);
        dataset.storage = sample::chunked(&[2], chunks);
        dataset.filters = filters.iter().map(|id| sample::filter(*id, &[])).collect();
        dataset
    }

    #[test]
    fn filters_that_no_chunk_went_through_do_not_matter() {
        let dataset = masked(&[(0, 0, 8, 1), (2, 8, 8, 0xffff_ffff)], &[32000]);
        let stored = express(&dataset, &SourceBuffer::new(64, 0)).unwrap();
        assert_eq!(stored.codecs, []);
        assert_eq!(stored.chunks.stored_bytes(), 16);
    }

    #[test]
    fn a_chunk_that_left_out_a_filter_is_encoded_anew() {
        let dataset = masked(&[(0, 0, 9, 0), (1, 9, 10, 0), (2, 30, 8, 2)], &[2, 1]);
        let buffer = SourceBuffer::new(38, 100);
        let shuffled = [1, 5, 2, 6, 3, 7, 4, 8];
        buffer.push(30, Bytes::copy_from_slice(&shuffled));
        let stored = express(&dataset, &buffer).unwrap();
        assert_eq!(stored.codecs.len(), 2);
        let ChunkEntry::Inline(bytes) = stored.chunks.get(2) else {
            panic!("chunk 2 is not inlined");
        };
        let values = decode_chunk(&bytes, &stored.codecs, 8).unwrap();
        assert_eq!(values, [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    /// Blosc leaves itself out where bytes do not compress; with more such chunks than others the variable was refused.
    #[test]
    fn chunks_that_blosc_left_out_get_its_frame() {
        let chunks = [(0, 0, 8, 1), (1, 8, 8, 1), (2, 16, 9, 0)];
        let mut dataset = masked(&chunks, &[32001]);
        dataset.filters[0].values = vec![2, 2, 4, 8, 5, 1, 1];
        let buffer = SourceBuffer::new(25, 100);
        buffer.push(0, Bytes::from_static(&[7; 25]));
        let stored = express(&dataset, &buffer).unwrap();
        assert!(matches!(stored.codecs[..], [Codec::Blosc { .. }]));
        assert!(matches!(stored.chunks.get(2), ChunkEntry::Virtual { .. }));
        let framed = encode_chunk(&[7; 8], &stored.codecs).unwrap();
        assert_eq!(
            stored.chunks.get(0),
            ChunkEntry::Inline(Bytes::from(framed))
        );
    }

    /// netCDF-C puts the checksum before shuffle and deflate, which leaves doubles a rest that numcodecs refuses.
    #[test]
    fn small_chunks_in_an_order_that_no_reader_follows_are_encoded_anew() {
        let plain = Codec::Zlib { level: 1 };
        let values: Vec<u8> = (0..16).collect();
        let with_checksum = encode_chunk(&values, &[Codec::Fletcher32]).unwrap();
        let shuffle = Codec::Shuffle { element_size: 8 };
        let bytes = encode_chunk(&with_checksum, &[shuffle.clone(), plain]).unwrap();
        let len = u64::try_from(bytes.len()).unwrap();
        let mut dataset = masked(&[(0, 0, len, 0)], &[3, 2, 1]);
        dataset.filters[1].values = vec![8];
        dataset.datatype = sample::int(8);
        let buffer = SourceBuffer::new(len, 100);
        buffer.push(0, Bytes::from(bytes));
        let extent = Extent {
            shape: &[2],
            element_size: 8,
        };
        let stored = stored(&dataset, extent, &buffer).now_or_never();
        let stored = stored.unwrap().unwrap();
        assert_eq!(stored.codecs, [shuffle, Codec::Zlib { level: 4 }]);
        let ChunkEntry::Inline(bytes) = stored.chunks.get(0) else {
            panic!("the chunk is not inlined");
        };
        assert_eq!(decode_chunk(&bytes, &stored.codecs, 16).unwrap(), values);
    }

    #[rstest]
    #[case::past_the_end(masked(&[(0, 60, 8, 0)], &[1]), "inside the file")]
    #[case::plain_but_short(masked(&[(0, 0, 7, 0)], &[]), "7 bytes")]
    #[case::no_codec(masked(&[(0, 0, 7, 0)], &[32026]), "blosc2")]
    #[case::rank(Dataset { storage: sample::chunked(&[2, 2], &[]), ..sample::dataset(1, &[6]) }, "rank")]
    #[case::no_length(Dataset { storage: sample::chunked(&[0], &[]), ..sample::dataset(1, &[6]) }, "rank")]
    #[case::compact(Dataset {
        storage: Storage::Compact { data: Bytes::from_static(&[0; 23]), range: None },
        ..sample::dataset(1, &[6])
    }, "24 bytes")]
    #[case::external(Dataset {
        storage: Storage::External(vec![String::from("a.raw")]),
        ..sample::dataset(1, &[6])
    }, "a.raw")]
    fn what_cannot_be_pointed_at_is_refused(#[case] dataset: Dataset, #[case] reason: &str) {
        let refusal = express(&dataset, &SourceBuffer::new(64, 0)).unwrap_err();
        assert!(refusal.contains(reason), "{refusal}");
    }
}
