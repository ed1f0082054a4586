//! A join that is right passes; every seeded fault in a combined dataset is found.

use bytes::Bytes;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::combine::sample::*;
use crate::combine::{CombineOptions, Combined};
use crate::decode::ByteRange;
use crate::manifest::ChunkEntry;
use crate::manifest::ChunkManifest;
use crate::zarr::{ByteOrder, Codec, DataType};

/// Three files whose compressed chunks are real ones.
fn series() -> [File; 3] {
    [
        daily("a.nc", 0, 3),
        daily("b.nc", 3, 2),
        daily("c.nc", 5, 4),
    ]
    .map(|file| compressed(file, "tas", 4))
}

fn verify(
    combined: &VirtualDataset,
    files: &[File],
    options: VerifyOptions,
) -> Result<VerifyReport, Vec<Mismatch>> {
    let verification = run_through(Verifier::new(combined, options), files, None);
    match verification.mismatches.is_empty() {
        true => Ok(verification.report),
        false => Err(verification.mismatches),
    }
}

/// Takes the files one after the other, but for those whose verdict stands.
fn run_through(
    mut verifier: Verifier<'_>,
    files: &[File],
    stands: Option<&Standing>,
) -> Verification {
    for (at, file) in files.iter().enumerate() {
        if let Some(standing) = stands.filter(|standing| standing.of(at).is_some()) {
            verifier.stands(standing);
            continue;
        }
        let sample = verifier.compare(&file.dataset);
        for piece in sample.pieces(1 << 20) {
            let given = |(source, range): (SourceId, ByteRange)| {
                (source, range, slice(&files[source.0 as usize], range))
            };
            let parts: Vec<_> = piece.needed().into_iter().map(given).collect();
            verifier.check(&piece, &file.dataset, &parts);
        }
    }
    verifier.finish()
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

/// A file whose big-endian variables have no steps was joined, and then the join said to be wrong.
#[test]
fn the_byte_order_of_no_numbers_does_not_matter() {
    let big = |tas: &mut VirtualArray| tas.data_type = DataType::Float(4, ByteOrder::Big);
    let nothing = |array: &mut VirtualArray| array.chunks = ChunkManifest::new();
    let file = daily("a.nc", 0, 0).with("tas", big);
    let files = [file.with("time", nothing).with("time_bnds", nothing)];
    let dataset = joined(&files).dataset;
    assert_eq!(dataset.root.arrays["tas"].data_type, F4);
    verify(&dataset, &files, VerifyOptions::default()).unwrap();
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

/// What a reference says of one file is right where the file itself is odd.
#[test]
fn times_of_one_file_may_run_backwards() {
    let units = json!({"units": "days since 2000-01-01"});
    let file = File::new("a.nc").inline("time", &F8, &[("time", 3)], &[2.0, 1.0, 0.0], units);
    let files = [file];
    assert!(verify(&files[0].dataset, &files, VerifyOptions::default()).is_ok());
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

/// What stands of a verified join of the first files when another one comes.
fn after(verified: &[File], now: &[File]) -> (Combined, Standing) {
    let before = joined(verified).dataset;
    let options = VerifyOptions::default();
    let verification = run_through(Verifier::new(&before, options.clone()), verified, None);
    let combined = joined(now);
    let standing = standing(&combined.dataset, &options, verification.verdict.unwrap());
    (combined, standing)
}

fn four() -> Vec<File> {
    let next = compressed(daily("d.nc", 9, 2), "tas", 4);
    series().into_iter().chain([next]).collect()
}

/// A file at the end: it is compared, and the one beside it; one at the start: it, and the one that was first.
#[rstest]
#[case::at_the_end(0..3, &[0, 1])]
#[case::at_the_start(1..4, &[2, 3])]
#[case::nothing_new(0..4, &[0, 1, 2, 3])]
fn what_has_not_changed_stands(#[case] verified: std::ops::Range<usize>, #[case] stands: &[usize]) {
    let files = four();
    let (combined, standing) = after(&files[verified], &files);
    assert_eq!(standing.places().collect::<Vec<_>>(), stands);
    let verifier = Verifier::new(&combined.dataset, VerifyOptions::default());
    let verification = run_through(verifier.going_on_from(&standing), &files, Some(&standing));
    assert_eq!(verification.mismatches, []);
    let report = verification.report;
    assert_eq!((report.files, report.files_standing), (4, stands.len()));
    let verdict = verification.verdict.unwrap();
    let whole = run_through(
        Verifier::new(&combined.dataset, VerifyOptions::default()),
        &files,
        None,
    );
    assert_eq!(verdict, whole.verdict.unwrap());
}

#[test]
fn a_replaced_file_is_compared_with_its_neighbours() {
    let files = four();
    let mut now = files.clone();
    now[2].dataset.sources[0].etag = Some(String::from("another"));
    let (_, standing) = after(&files, &now);
    assert_eq!(standing.places().collect::<Vec<_>>(), [0]);
}

/// What the reference says of the second file is another thing than what was verified: its verdict falls.
#[rstest]
#[case::moved(moved_by_a_byte)]
#[case::scaled(wrong_scale)]
#[case::in_other_units(wrong_time_units)]
fn a_verdict_falls_with_what_the_reference_says(#[case] mutate: fn(&mut VirtualDataset)) {
    let files = four();
    let (mut combined, _) = after(&files, &files);
    let verification = run_through(
        Verifier::new(&combined.dataset.clone(), VerifyOptions::default()),
        &files,
        None,
    );
    mutate(&mut combined.dataset);
    let options = VerifyOptions::default();
    let standing = standing(&combined.dataset, &options, verification.verdict.unwrap());
    assert_eq!(standing.places().count(), 0);
}

#[test]
fn every_chunk_is_read_on_demand() {
    let files = series();
    let options = VerifyOptions {
        every_chunk: true,
        max_chunks_per_file: 1,
        ..VerifyOptions::default()
    };
    let report = verify(&joined(&files).dataset, &files, options).unwrap();
    assert_eq!((report.chunks_sampled, report.capped), (9, false));
}

/// Three files share the limit: each gets one chunk, though the first could use all of it.
#[test]
fn every_file_has_its_share_of_the_limit() {
    let files = series();
    let largest = files.iter().flat_map(|file| {
        let chunks = file.dataset.root.arrays["tas"].chunks.iter();
        chunks.map(|(_, entry)| match entry {
            ChunkEntry::Virtual { range, .. } => range.len,
            _ => 0,
        })
    });
    let options = VerifyOptions {
        max_bytes: 3 * largest.max().unwrap(),
        ..VerifyOptions::default()
    };
    let report = verify(&joined(&files).dataset, &files, options).unwrap();
    assert!(report.chunks_sampled >= 3, "{report:?}");
    assert!(report.capped && report.chunks_left_out > 0, "{report:?}");
}
