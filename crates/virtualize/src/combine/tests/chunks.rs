//! The chunk grid that all files share.

use bytes::Bytes;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::manifest::{ChunkEntry, ChunkManifest};

/// 7 steps in chunks of 3, compressed: only the last file may end inside a chunk.
#[rstest]
#[case::ragged_at_the_end(&[(0, 6), (6, 7)], &[])]
#[case::ragged_in_the_middle(&[(0, 7), (7, 6)], &["chunk_shape_mismatch"])]
fn compressed_chunks_need_whole_files_before_the_last(
    #[case] parts: &[(u32, u32)],
    #[case] codes: &[&str],
) {
    let file = |(at, (first, steps)): (usize, &(u32, u32))| {
        compressed(
            daily_in_chunks(&format!("{at}.nc"), *first, *steps, 3),
            "tas",
            4,
        )
    };
    let files: Vec<File> = parts.iter().enumerate().map(file).collect();
    match run(&files, options()) {
        Ok((combined, _)) => {
            assert!(codes.is_empty());
            assert_eq!(
                values(&combined.dataset, &files, "tas"),
                field(&days(0..13))
            );
        }
        Err(error) => {
            assert_eq!(refusal(&files, options()), [(codes[0], "0.nc".to_owned())]);
            assert!(
                error
                    .to_string()
                    .contains("7 steps are not a multiple of the chunk length 3"),
                "{error}"
            );
        }
    }
}

#[test]
fn compressed_chunks_of_other_shapes_are_refused() {
    let files = [
        daily_in_chunks("a.nc", 0, 4, 2),
        daily_in_chunks("b.nc", 4, 4, 4),
    ]
    .map(|file| compressed(file, "tas", 4));
    assert_eq!(
        refusal(&files, options()),
        [("chunk_shape_mismatch", "b.nc".to_owned())]
    );
}

#[rstest]
#[case::contiguous(&[(0, 4, 4), (4, 6, 6)], 2)]
#[case::leap_year(&[(0, 5, 5), (5, 6, 6)], 1)]
#[case::chunk_longer_than_the_file(&[(0, 3, 8), (3, 3, 8)], 3)]
#[case::ragged_middle(&[(0, 7, 3), (7, 6, 3)], 1)]
#[case::chunked_and_not(&[(0, 6, 2), (6, 4, 4)], 2)]
fn data_without_codecs_is_cut_again(#[case] parts: &[(u32, u32, u64)], #[case] chunk: u64) {
    let file = |(at, (first, steps, chunk)): (usize, &(u32, u32, u64))| {
        daily_in_chunks(&format!("{at}.nc"), *first, *steps, *chunk)
    };
    let files: Vec<File> = parts.iter().enumerate().map(file).collect();
    let combined = combine(&files).unwrap();
    let total: u32 = parts.iter().map(|(_, steps, _)| steps).sum();
    let tas = &combined.dataset.root.arrays["tas"];
    assert_eq!(tas.chunk_shape, [chunk, 2, 3]);
    assert_eq!(
        values(&combined.dataset, &files, "tas"),
        field(&days(0..total))
    );
}

#[test]
fn inlined_and_missing_chunks_are_cut_too() {
    let constant = |tas: &mut crate::VirtualArray| {
        tas.chunks = ChunkManifest::new();
        tas.chunks
            .insert_inline(0, Bytes::from(encode(&F4, &[5.0; 12])));
        tas.fill_value = Some(vec![0; 4]);
    };
    let a = daily_in_chunks("a.nc", 0, 4, 2).with("tas", constant);
    let b = daily_in_chunks("b.nc", 4, 3, 3).with("tas", |tas| tas.fill_value = Some(vec![0; 4]));
    let files = [a, b];
    let combined = combine(&files).unwrap();
    let expected = [vec![5.0; 12], vec![0.0; 12], field(&days(4..7))].concat();
    assert_eq!(values(&combined.dataset, &files, "tas"), expected);
    assert_eq!(
        combined.dataset.root.arrays["tas"].chunks.get(2),
        ChunkEntry::Missing
    );
}

#[test]
fn ragged_bounds_are_read_and_inlined() {
    let with_stored_bounds = |file: File, chunk: u64| {
        let bounds = values(&file.dataset, std::slice::from_ref(&file), "time_bnds");
        let n = bounds.len() as u64 / 2;
        let file = file.without("time_bnds");
        let file = file.stored(
            "time_bnds",
            &F8,
            &[("time", n), ("bnds", 2)],
            &[chunk, 2],
            &bounds,
            json!({}),
        );
        file.with("time_bnds", |_| {})
    };
    let files = [daily("a.nc", 0, 7), daily("b.nc", 7, 6)].map(|file| {
        let mut file = compressed(with_stored_bounds(file, 3), "time_bnds", 1);
        file.dataset
            .root
            .arrays
            .get_mut("time_bnds")
            .unwrap()
            .layout = crate::dataset::Layout::Chunked;
        file
    });
    let (combined, rounds) = run(&files, options()).unwrap();
    assert_eq!(rounds, 1);
    let bounds = &combined.dataset.root.arrays["time_bnds"];
    assert!(bounds.chunks.is_inline() && bounds.codecs.is_empty());
    let expected: Vec<f64> = days(0..13)
        .iter()
        .flat_map(|day| [*day, day + 1.0])
        .collect();
    assert_eq!(values(&combined.dataset, &files, "time_bnds"), expected);
}

#[test]
fn the_concat_dimension_may_be_any_axis() {
    let file = |name: &str, first: u32, steps: u64| {
        let times: Vec<f64> = (0..steps)
            .map(|step| f64::from(first) + step as f64)
            .collect();
        let value = |lat: f64| {
            times
                .iter()
                .flat_map(move |time| [time * 10.0 + lat, time * 10.0 + lat + 0.5])
                .collect::<Vec<_>>()
        };
        let all: Vec<f64> = [0.0, 1.0].into_iter().flat_map(value).collect();
        File::new(name)
            .inline(
                "time",
                &F8,
                &[("time", steps)],
                &times,
                json!({"units": "days since 2000-01-01"}),
            )
            .stored(
                "pr",
                &F4,
                &[("lat", 2), ("time", steps), ("lon", 2)],
                &[1, 2, 2],
                &all,
                json!({}),
            )
            .inline(
                "flag",
                &I4,
                &[("lat", 2), ("time", steps)],
                &all.iter().step_by(2).map(|v| v.floor()).collect::<Vec<_>>(),
                json!({}),
            )
    };
    let files = [file("a.nc", 0, 4), file("b.nc", 4, 3)];
    let whole = file("c.nc", 0, 7);
    let combined = combine(&files).unwrap();
    for path in ["pr", "flag"] {
        let expected = values(&whole.dataset, std::slice::from_ref(&whole), path);
        assert_eq!(values(&combined.dataset, &files, path), expected);
    }
}
