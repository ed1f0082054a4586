//! A join that is right passes; every seeded fault in a combined dataset is found.

use bytes::Bytes;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::combine::sample::*;
use crate::combine::{CombineOptions, Combined};
use crate::manifest::ChunkManifest;
use crate::zarr::Codec;

/// Three files whose compressed chunks are real ones.
fn series() -> [File; 3] {
    [
        daily("a.nc", 0, 3),
        daily("b.nc", 3, 2),
        daily("c.nc", 5, 4),
    ]
    .map(|file| compressed(file, "tas", 4))
}

/// Verifies all files at once, and again one by one, which must find the same.
fn verify(
    combined: &VirtualDataset,
    files: &[File],
    options: VerifyOptions,
) -> Result<VerifyReport, Vec<Mismatch>> {
    let fresh: Vec<VirtualDataset> = files.iter().map(|file| file.dataset.clone()).collect();
    let verify = |batch: usize| {
        let mut proof = Proof::new(combined, options.clone());
        for fresh in fresh.chunks(batch) {
            let verifier = proof.files(fresh);
            let needed = verifier.needed().into_iter();
            let read = |(source, range): (SourceId, ByteRange)| {
                (source, range, slice(&files[source.0 as usize], range))
            };
            verifier.check(&needed.map(read).collect::<Vec<_>>());
        }
        proof.finish()
    };
    let (whole, single) = (verify(files.len()), verify(1));
    assert_eq!(whole.is_ok(), single.is_ok());
    if let (Ok(whole), Ok(single)) = (&whole, &single) {
        assert_eq!(whole, single);
    }
    whole
}

fn joined(files: &[File]) -> Combined {
    run(files, CombineOptions::default()).unwrap().0
}

#[test]
fn a_right_join_passes_and_both_ends_of_every_file_are_read() {
    let files = series();
    let report = verify(&joined(&files).dataset, &files, VerifyOptions::default()).unwrap();
    assert_eq!(
        (report.files, report.variables, report.chunks_sampled),
        (3, 5, 6)
    );
    assert_eq!(
        (report.chunks_compared, report.capped, report.kind),
        (9, false, "join")
    );
    assert!(report.bytes > 0);
}

#[test]
fn a_recut_join_passes() {
    let files = [
        daily_in_chunks("a.nc", 0, 4, 4),
        daily_in_chunks("b.nc", 4, 6, 6),
    ];
    let report = verify(&joined(&files).dataset, &files, VerifyOptions::default()).unwrap();
    assert_eq!((report.chunks_compared, report.chunks_sampled), (5, 4));
}

#[test]
fn chunks_longer_than_their_files_pass() {
    let files = [
        daily_in_chunks("a.nc", 0, 3, 8),
        daily_in_chunks("b.nc", 3, 3, 8),
    ];
    let report = verify(&joined(&files).dataset, &files, VerifyOptions::default()).unwrap();
    assert_eq!(report.chunks_sampled, 2);
}

#[test]
fn a_variable_that_is_filled_in_one_file_passes() {
    let fill = |tas: &mut VirtualArray| tas.fill_value = Some(vec![0; 4]);
    let files = [
        daily("a.nc", 0, 3).with("tas", fill),
        daily("b.nc", 3, 2).without("tas"),
        daily("c.nc", 5, 2).with("tas", fill),
    ];
    let options = CombineOptions {
        missing: crate::combine::Missing::Fill,
        ..CombineOptions::default()
    };
    let mut dataset = run(&files, options).unwrap().0.dataset;
    assert!(verify(&dataset, &files, VerifyOptions::default()).is_ok());
    let entries: Vec<_> = tas(&mut dataset).chunks.iter().collect();
    let mut chunks = ChunkManifest::new();
    for (number, entry) in entries {
        if let ChunkEntry::Virtual { source, range } = entry {
            if number == 5 {
                chunks.push(4, SourceId(1), ByteRange::new(100, 24));
            }
            chunks.push(number, source, range);
        }
    }
    tas(&mut dataset).chunks = chunks;
    let mismatches = verify(&dataset, &files, VerifyOptions::default()).unwrap_err();
    assert!(
        mismatches
            .iter()
            .any(|mismatch| mismatch.code == "chunk_count"),
        "{mismatches:?}"
    );
}

fn tas(dataset: &mut VirtualDataset) -> &mut VirtualArray {
    dataset.root.arrays.get_mut("tas").unwrap()
}

/// The manifest with every entry changed.
fn edit_chunks(
    dataset: &mut VirtualDataset,
    edit: impl Fn(u64, SourceId, ByteRange) -> (u64, SourceId, ByteRange),
) {
    let mut chunks = ChunkManifest::new();
    for (number, entry) in tas(dataset).chunks.iter() {
        if let ChunkEntry::Virtual { source, range } = entry {
            let (number, source, range) = edit(number, source, range);
            chunks.push(number, source, range);
        }
    }
    tas(dataset).chunks = chunks;
}

fn swapped_files(dataset: &mut VirtualDataset) {
    edit_chunks(dataset, |number, source, range| {
        let other = match source.0 {
            0 => 1,
            1 => 0,
            same => same,
        };
        (number, SourceId(other), range)
    });
}

fn a_step_off(dataset: &mut VirtualDataset) {
    edit_chunks(dataset, |number, source, range| (number + 1, source, range));
}

fn last_chunk_lost(dataset: &mut VirtualDataset) {
    let last = tas(dataset).chunks.iter().last().unwrap().0;
    let mut chunks = ChunkManifest::new();
    for (number, entry) in tas(dataset)
        .chunks
        .iter()
        .filter(|(number, _)| *number != last)
    {
        if let ChunkEntry::Virtual { source, range } = entry {
            chunks.push(number, source, range);
        }
    }
    tas(dataset).chunks = chunks;
}

fn moved_by_a_byte(dataset: &mut VirtualDataset) {
    edit_chunks(dataset, |number, source, range| {
        (number, source, ByteRange::new(range.start + 1, range.len))
    });
}

fn wrong_codec(dataset: &mut VirtualDataset) {
    tas(dataset).codecs = vec![Codec::Zlib { level: 4 }];
}

fn wrong_time_units(dataset: &mut VirtualDataset) {
    let time = dataset.root.arrays.get_mut("time").unwrap();
    time.attributes
        .insert(String::from("units"), json!("days since 2000-01-02"));
}

fn wrong_calendar(dataset: &mut VirtualDataset) {
    let time = dataset.root.arrays.get_mut("time").unwrap();
    time.attributes
        .insert(String::from("calendar"), json!("noleap"));
}

fn wrong_fill_value(dataset: &mut VirtualDataset) {
    tas(dataset).fill_value = Some(vec![0; 4]);
}

fn wrong_scale(dataset: &mut VirtualDataset) {
    tas(dataset)
        .attributes
        .insert(String::from("scale_factor"), json!(2.0));
}

fn wrong_type(dataset: &mut VirtualDataset) {
    tas(dataset).data_type = I4;
}

fn wrong_coordinate(dataset: &mut VirtualDataset) {
    let lat = dataset.root.arrays.get_mut("lat").unwrap();
    lat.chunks = ChunkManifest::inlined(Bytes::from(encode(&F8, &[-45.0, 46.0])));
}

fn wrong_bounds(dataset: &mut VirtualDataset) {
    let bounds = dataset.root.arrays.get_mut("time_bnds").unwrap();
    bounds.chunks = ChunkManifest::inlined(Bytes::from(encode(&F8, &[0.0; 18])));
}

fn wrong_sources(dataset: &mut VirtualDataset) {
    dataset.sources.swap(0, 1);
}

fn lost_variable(dataset: &mut VirtualDataset) {
    dataset.root.arrays.remove("tas").unwrap();
}

#[rstest]
#[case::swapped_files(swapped_files, "chunk_moved")]
#[case::a_step_off(a_step_off, "chunk_moved")]
#[case::last_chunk_lost(last_chunk_lost, "chunk_moved")]
#[case::moved_by_a_byte(moved_by_a_byte, "chunk_moved")]
#[case::wrong_codec(wrong_codec, "codec_mismatch")]
#[case::wrong_time_units(wrong_time_units, "times_differ")]
#[case::wrong_calendar(wrong_calendar, "times_differ")]
#[case::wrong_fill_value(wrong_fill_value, "packing_mismatch")]
#[case::wrong_scale(wrong_scale, "packing_mismatch")]
#[case::wrong_type(wrong_type, "dtype_mismatch")]
#[case::wrong_coordinate(wrong_coordinate, "values_differ")]
#[case::wrong_bounds(wrong_bounds, "times_differ")]
#[case::wrong_sources(wrong_sources, "source_changed")]
#[case::lost_variable(lost_variable, "variable_missing")]
fn a_seeded_fault_is_found(#[case] mutate: fn(&mut VirtualDataset), #[case] code: &str) {
    let files = series();
    let mut dataset = joined(&files).dataset;
    mutate(&mut dataset);
    let mismatches = verify(&dataset, &files, VerifyOptions::default()).unwrap_err();
    assert!(
        mismatches.iter().any(|mismatch| mismatch.code == code),
        "{mismatches:?}"
    );
}

#[test]
fn a_chunk_that_does_not_decode_is_found() {
    let mut files = series();
    let dataset = joined(&files).dataset;
    let ChunkEntry::Virtual { range, .. } = dataset.root.arrays["tas"].chunks.get(3) else {
        panic!()
    };
    files[1].bytes[range.start as usize] ^= 0xff;
    let mismatches = verify(&dataset, &files, VerifyOptions::default()).unwrap_err();
    assert_eq!(mismatches[0].code, "chunk_damaged");
    assert_eq!(mismatches[0].file, "b.nc");
}

#[test]
fn files_in_another_order_than_their_times_are_found() {
    let files = series();
    let mut dataset = joined(&files).dataset;
    dataset.sources.rotate_left(1);
    let [a, b, c] = files;
    let mismatches = verify(&dataset, &[b, c, a], VerifyOptions::default()).unwrap_err();
    assert!(
        mismatches.iter().any(|mismatch| mismatch.code == "order"),
        "{mismatches:?}"
    );
}

#[test]
fn a_limit_is_told() {
    let files = series();
    let options = VerifyOptions {
        max_chunks_per_file: 1,
        ..VerifyOptions::default()
    };
    let report = verify(&joined(&files).dataset, &files, options).unwrap();
    assert_eq!((report.chunks_sampled, report.capped), (3, true));
}

#[test]
fn bounds_that_the_file_keeps_are_read_and_compared() {
    let files = [daily("a.nc", 0, 3), shifted_epoch("b.nc", 3, 2)].map(|file| {
        let bounds = values(&file.dataset, std::slice::from_ref(&file), "time_bnds");
        let n = bounds.len() as u64 / 2;
        file.without("time_bnds").stored(
            "time_bnds",
            &F8,
            &[("time", n), ("bnds", 2)],
            &[1, 2],
            &bounds,
            json!({}),
        )
    });
    let dataset = joined(&files).dataset;
    assert!(verify(&dataset, &files, VerifyOptions::default()).is_ok());
    let mut wrong = dataset;
    wrong_bounds_of_ten(&mut wrong);
    let mismatches = verify(&wrong, &files, VerifyOptions::default()).unwrap_err();
    assert!(
        mismatches
            .iter()
            .any(|mismatch| mismatch.code == "times_differ"),
        "{mismatches:?}"
    );
}

fn wrong_bounds_of_ten(dataset: &mut VirtualDataset) {
    let bounds = dataset.root.arrays.get_mut("time_bnds").unwrap();
    bounds.chunks = ChunkManifest::inlined(Bytes::from(encode(&F8, &[1.0; 10])));
}
