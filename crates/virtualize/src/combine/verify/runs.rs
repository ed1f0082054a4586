//! Data without codecs as runs of bytes: where each stretch of an array lies in its file, however it is cut.

use crate::dataset::{VirtualArray, product};
use crate::manifest::{ChunkEntry, SourceId};

/// A stretch of elements that lie one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// The first element, in C order.
    pub first: u64,
    /// How many elements.
    pub count: u64,
    /// The file.
    pub source: SourceId,
    /// The byte at which the first one starts.
    pub at: u64,
}

/// The runs of an array, neighbours joined; `None` where its chunks are not stretches in C order without codecs.
pub(super) fn runs_of(array: &VirtualArray) -> Option<Vec<Run>> {
    let per_chunk = stretch(array)?;
    let (size, all) = (array.data_type.size(), array.len()?);
    let mut runs: Vec<Run> = Vec::new();
    for (number, entry) in array.chunks.iter() {
        let ChunkEntry::Virtual { source, range } = entry else {
            return None;
        };
        let first = number.checked_mul(per_chunk)?;
        let count = per_chunk.min(all.checked_sub(first)?);
        if range.len != per_chunk.checked_mul(size)? {
            return None;
        }
        let joins = |last: &Run| {
            let behind = last.at.checked_add(last.count.saturating_mul(size));
            last.source == source && behind == Some(range.start) && last.first + last.count == first
        };
        match runs.last_mut().filter(|last| joins(last)) {
            Some(last) => last.count = last.count.saturating_add(count),
            None => runs.push(Run {
                first,
                count,
                source,
                at: range.start,
            }),
        }
    }
    Some(runs)
}

/// Elements in each chunk, if every chunk is one stretch: ones, then a divisor of its dimension, then whole dimensions.
fn stretch(array: &VirtualArray) -> Option<u64> {
    if !array.codecs.is_empty() {
        return None;
    }
    let lengths = array.shape.iter().zip(&array.chunk_shape);
    let mut behind = lengths.skip_while(|(_, chunk)| **chunk == 1);
    let divides = behind
        .next()
        .is_none_or(|(len, chunk)| len.is_multiple_of(*chunk));
    let is_whole = divides && behind.all(|(len, chunk)| len == chunk);
    is_whole.then(|| product(&array.chunk_shape)).flatten()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::combine::sample::{F4, File};
    use serde_json::json;

    /// Twelve numbers in three rows, cut in each of these ways from byte 100 on, are one run, or none.
    #[rstest]
    #[case::whole(&[3, 4], true)]
    #[case::rows(&[1, 4], true)]
    #[case::halves_of_rows(&[1, 2], true)]
    #[case::columns(&[3, 2], false)]
    #[case::rows_that_do_not_fit(&[2, 4], false)]
    fn a_cut_does_not_show(#[case] chunks: &[u64], #[case] is_one_run: bool) {
        let dims = [("y", 3), ("x", 4)];
        let mut array = File::new("a.nc")
            .stored("v", &F4, &dims, chunks, &[0.0; 12], json!({}))
            .dataset
            .root
            .arrays
            .remove("v")
            .unwrap();
        let (size, mut rows) = (
            4 * chunks[0] * chunks[1],
            crate::manifest::ChunkManifest::new(),
        );
        for number in 0..crate::dataset::product(&array.chunk_grid()).unwrap() {
            let range = crate::decode::ByteRange::new(100 + number * size, size);
            rows.push(number, SourceId(0), range);
        }
        array.chunks = rows;
        let run = Run {
            first: 0,
            count: 12,
            source: SourceId(0),
            at: 100,
        };
        assert_eq!(runs_of(&array), is_one_run.then(|| vec![run]));
    }
}
