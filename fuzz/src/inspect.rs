//! What `landfall inspect` notes of a file, damaged or cut: the decoders with a probe, which go on where others stop.

use bytes::Bytes;
use virtualize::DecodeOptions;
use virtualize::inspect::{Inspection, Probe};

use super::decoder;

/// Decodes the bytes as a file, and checks what was noted on the way, whether or not that went well.
pub fn run(bytes: &[u8]) {
    let probe = Probe::default();
    let options = DecodeOptions {
        verify_checksums: false,
        probe: Some(probe.clone()),
        ..DecodeOptions::default()
    };
    let outcome = decoder::decode(&Bytes::copy_from_slice(bytes), &options);
    if let Err(error) = &outcome {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    // What a file claims that was refused may lie anywhere.
    let length = u64::try_from(bytes.len()).ok();
    let length = length.filter(|_| matches!(outcome, Ok(Some(_))));
    check(&probe.take(), length.unwrap_or(u64::MAX));
}

fn check(notes: &Inspection, length: u64) {
    for group in &notes.groups {
        assert!(group.path.starts_with('/'), "{}", group.path);
    }
    for variable in &notes.variables {
        let path = &variable.path;
        assert!(path.starts_with('/'), "{path}");
        let storage = &variable.storage;
        let ranges = storage.extents.windows(2);
        for pair in ranges {
            assert!(
                pair[0].end() < pair[1].start,
                "{path}: {:?}",
                storage.extents
            );
        }
        let is_short = notes.expected_length.is_some();
        let end = storage.extents.last().map_or(0, |range| range.end());
        assert!(
            is_short || end <= length,
            "{path} ends at {end} of {length}"
        );
    }
}
