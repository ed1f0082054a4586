//! Drives the decoder over a whole file at hand, and checks the dataset that comes out.

use bytes::Bytes;
use virtualize::{
    ByteRange, ChunkEntry, DecodeError, DecodeOptions, Decoded, MetadataDecoder, VirtualArray,
    VirtualDataset, dataset, kerchunk, rules,
};

/// More dependent reads than the program allows before it gives a file up.
const MAX_ROUNDS: u32 = 256;

/// Decodes a file that is all there; its length is what the bytes are.
///
/// # Panics
///
/// When a range is asked for that is not inside the file or was handed over before, when it takes too many rounds,
/// or when the dataset is inconsistent.
pub fn decode(
    file: &Bytes,
    options: &DecodeOptions,
) -> Result<Option<VirtualDataset>, DecodeError> {
    let length = u64::try_from(file.len()).unwrap_or(u64::MAX);
    let mut decoder = MetadataDecoder::new(length, options.clone());
    for _ in 0..MAX_ROUNDS {
        match decoder.decode()? {
            Decoded::Done(dataset) => {
                check(&dataset, length);
                return Ok(Some(dataset));
            }
            Decoded::NeedsData(ranges) => {
                assert!(!ranges.is_empty(), "it waits for nothing");
                for range in ranges {
                    decoder.push(range, slice(file, range));
                }
            }
        }
    }
    Ok(None)
}

fn slice(file: &Bytes, range: ByteRange) -> Bytes {
    let inside = range.end() <= u64::try_from(file.len()).unwrap_or(u64::MAX);
    assert!(inside && range.len > 0, "{range:?} is asked for");
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    file.slice(index(range.start)..index(range.end()))
}

fn check(dataset: &VirtualDataset, length: u64) {
    for (path, array) in dataset.root.walk() {
        check_array(&path, array, length);
    }
    let judged = rules::judge(dataset);
    assert_eq!(judged.findings, rules::judge(dataset).findings);
    check_document(dataset);
}

fn check_array(path: &str, array: &VirtualArray, length: u64) {
    let rank = array.shape.len();
    assert_eq!(rank, array.chunk_shape.len(), "{path}: rank of its chunks");
    assert_eq!(rank, array.dimension_names.len(), "{path}: names");
    assert!(
        !array.chunk_shape.contains(&0),
        "{path}: a chunk of nothing"
    );
    if let Some(fill) = &array.fill_value {
        let size = u64::try_from(fill.len()).unwrap_or(u64::MAX);
        let free = array.data_type == virtualize::zarr::DataType::VlenString;
        assert!(free || size == array.data_type.size(), "{path}: fill value");
    }
    let count = dataset::product(&array.chunk_grid()).unwrap_or(u64::MAX);
    let mut before = None;
    for (number, entry) in array.chunks.iter() {
        assert!(number < count, "{path}: chunk {number} of {count}");
        assert!(before < Some(number), "{path}: chunk {number} comes twice");
        before = Some(number);
        if let ChunkEntry::Virtual { range, .. } = entry {
            let end = range.start.checked_add(range.len);
            let inside = end.is_some_and(|end| end <= length) && range.len > 0;
            assert!(inside, "{path}: chunk {number} at {range:?} of {length}");
        }
    }
}

/// The reference document has at most a key for every chunk of every grid, and reads back as the same dataset.
fn check_document(dataset: &VirtualDataset) {
    let mut document = Vec::new();
    let written = kerchunk::json::write(dataset, &mut document).expect("a dataset is written");
    assert_eq!(written, u64::try_from(document.len()).unwrap_or(0));
    let back = kerchunk::json::read(&document).expect("what was written is read");
    let mut again = Vec::new();
    kerchunk::json::write(&back, &mut again).expect("what was read is written");
    assert!(document == again, "a document changes when it is read back");
}
