//! Every row of the mismatch matrix: joined right, or refused under the right code.

use bytes::Bytes;
use rstest::rstest;
use serde_json::{Value, json};

use super::sample::*;
use super::*;
use crate::manifest::{ChunkEntry, ChunkManifest};
use crate::zarr::{ByteOrder, Codec, DataType};

fn days(range: std::ops::Range<u32>) -> Vec<f64> {
    range.map(f64::from).collect()
}

fn options() -> CombineOptions {
    CombineOptions::default()
}

fn codes(files: &[File]) -> Vec<&'static str> {
    refusal(files, options())
        .into_iter()
        .map(|(code, _)| code)
        .collect()
}

/// Three days of January 2000 and two more.
fn pair() -> [File; 2] {
    [daily("a.nc", 0, 3), daily("b.nc", 3, 2)]
}

fn second_with(name: &str, edit: impl FnOnce(&mut crate::VirtualArray)) -> [File; 2] {
    let [a, b] = pair();
    [a, b.with(name, edit)]
}

#[test]
fn a_plain_series_is_joined_in_the_order_of_time() {
    let files = [
        daily("b.nc", 3, 2),
        daily("a.nc", 0, 3),
        daily("c.nc", 5, 4),
    ];
    let (combined, rounds) = run(&files, options()).unwrap();
    assert_eq!(rounds, 0, "everything needed is inlined");
    assert_eq!(
        (combined.order, combined.starts),
        (vec![1, 0, 2], vec![0, 3, 5])
    );
    assert_eq!(values(&combined.dataset, &files, "tas"), field(&days(0..9)));
    assert_eq!(values(&combined.dataset, &files, "time"), days(0..9));
    let bounds: Vec<f64> = days(0..9)
        .iter()
        .flat_map(|day| [*day, day + 1.0])
        .collect();
    assert_eq!(values(&combined.dataset, &files, "time_bnds"), bounds);
    let etags: Vec<_> = combined
        .dataset
        .sources
        .iter()
        .filter_map(|source| source.etag.clone())
        .collect();
    assert_eq!(etags, ["etag-a.nc", "etag-b.nc", "etag-c.nc"]);
    let range = (
        "2000-01-01T00:00:00Z".to_owned(),
        "2000-01-09T00:00:00Z".to_owned(),
    );
    assert_eq!(combined.time_range, Some(range));
    assert_eq!(
        (combined.calendar.as_deref(), combined.step.as_deref()),
        (Some("standard"), Some("P1D"))
    );
    assert_eq!(combined.dataset.root.dimensions["time"].length, 9);
    assert_eq!(combined.spatial_extent, Some([-180.0, -45.0, 180.0, 45.0]));
    assert!(combined.findings.is_empty(), "{:?}", combined.findings);
}

#[test]
fn one_file_goes_through_as_it_is() {
    let files = [daily("a.nc", 0, 3)];
    let combined = combine(&files).unwrap();
    assert_eq!(combined.dataset.root, files[0].dataset.root);
}

#[test]
fn a_file_that_is_out_of_order_in_itself_is_refused_alone() {
    let files = [daily("a.nc", 0, 3).inline(
        "time",
        &F8,
        &[("time", 3)],
        &[0.0, 2.0, 1.0],
        time_attributes("days since 2000-01-01", "standard"),
    )];
    assert_eq!(codes(&files), ["time_not_increasing"]);
}

#[test]
fn another_epoch_and_unit_are_re_expressed_with_their_bounds() {
    let files = [daily("a.nc", 0, 3), shifted_epoch("b.nc", 3, 2)];
    let combined = combine(&files).unwrap();
    assert_eq!(values(&combined.dataset, &files, "time"), days(0..5));
    let bounds: Vec<f64> = days(0..5)
        .iter()
        .flat_map(|day| [*day, day + 1.0])
        .collect();
    assert_eq!(values(&combined.dataset, &files, "time_bnds"), bounds);
    let time = &combined.dataset.root.arrays["time"];
    assert_eq!(time.attributes["units"], json!("days since 2000-01-01"));
    assert_eq!(time.attributes["calendar"], json!("standard"));
    assert!(
        combined.dropped_attributes.is_empty(),
        "{:?}",
        combined.dropped_attributes
    );
}

#[test]
fn units_of_the_result_are_fine_enough_for_all() {
    let half = daily("b.nc", 3, 2).inline(
        "time",
        &I4,
        &[("time", 2)],
        &[84.0, 108.0],
        time_attributes("hours since 2000-01-01", "standard"),
    );
    let first = daily("a.nc", 0, 3).inline(
        "time",
        &I4,
        &[("time", 3)],
        &[0.0, 1.0, 2.0],
        time_attributes("days since 2000-01-01", "standard"),
    );
    let files = [first, half].map(|file| file.without("time_bnds"));
    let combined = combine(&files).unwrap();
    assert_eq!(
        values(&combined.dataset, &files, "time"),
        [0.0, 24.0, 48.0, 84.0, 108.0]
    );
    assert_eq!(
        combined.dataset.root.arrays["time"].attributes["units"],
        json!("hours since 2000-01-01 00:00:00")
    );
}

#[rstest]
#[case::int32(I4)]
#[case::int64(DataType::Int(8, ByteOrder::Little))]
#[case::float32(F4)]
#[case::big_endian(DataType::Float(8, ByteOrder::Big))]
fn another_type_of_time_is_converted(#[case] data_type: DataType) {
    let [a, b] = pair();
    let attributes = time_attributes("days since 2000-01-01", "standard");
    let files = [
        a,
        b.inline("time", &data_type, &[("time", 2)], &[3.0, 4.0], attributes),
    ];
    assert_eq!(
        values(&combine(&files).unwrap().dataset, &files, "time"),
        days(0..5)
    );
}

#[rstest]
#[case::noleap("noleap")]
#[case::days_360("360_day")]
#[case::proleptic("proleptic_gregorian")]
#[case::unknown("none")]
fn another_calendar_is_refused(#[case] calendar: &str) {
    let files = second_with("time", |time| {
        drop(
            time.attributes
                .insert("calendar".to_owned(), json!(calendar)),
        )
    });
    assert_eq!(
        refusal(&files, options()),
        [("calendar_mismatch", "b.nc".to_owned())]
    );
}

#[rstest]
#[case::months("months since 2000-01-01")]
#[case::nonsense("days since yesterday")]
#[case::none("days")]
fn units_that_cannot_be_read_are_refused(#[case] units: &str) {
    let files = second_with("time", |time| {
        drop(time.attributes.insert("units".to_owned(), json!(units)))
    });
    assert!(codes(&files).contains(&"time_units_invalid"));
}

#[test]
fn one_file_whose_units_cannot_be_read_stays_as_it_is() {
    let months = time_attributes("months since 2000-01-01", "standard");
    let files = [daily("a.nc", 0, 3).inline("time", &F8, &[("time", 3)], &[0.0, 1.0, 2.0], months)];
    let combined = combine(&files).unwrap();
    assert_eq!(combined.dataset.root, files[0].dataset.root);
    assert_eq!(combined.findings[0].code, "time-units-invalid");
    assert_eq!(combined.time_range, None);
}

#[rstest]
#[case::overlap(2, "time_duplicate")]
#[case::the_same_again(0, "time_duplicate")]
fn steps_that_two_files_have_are_refused(#[case] first_day: u32, #[case] code: &str) {
    let files = [daily("a.nc", 0, 3), daily("b.nc", first_day, 3)];
    let Err(CombineError::Refused(all)) = run(&files, options()) else {
        panic!()
    };
    assert_eq!(all.iter().map(|one| one.code).collect::<Vec<_>>(), [code]);
    assert!(
        all[0].message.contains("a.nc") && all[0].message.contains("b.nc"),
        "{}",
        all[0].message
    );
}

#[test]
fn interleaved_files_are_refused() {
    let [a, b] = pair();
    let attributes = time_attributes("days since 2000-01-01", "standard");
    let files = [
        a,
        b.inline("time", &F8, &[("time", 2)], &[1.5, 4.0], attributes),
    ];
    assert_eq!(
        refusal(&files, options()),
        [("time_not_increasing", "b.nc".to_owned())]
    );
}

#[test]
fn a_gap_is_a_finding() {
    let files = [daily("a.nc", 0, 3), daily("b.nc", 5, 2)];
    let combined = combine(&files).unwrap();
    assert_eq!(
        combined
            .findings
            .iter()
            .map(|finding| finding.code.as_str())
            .collect::<Vec<_>>(),
        ["time-gap"]
    );
    assert_eq!(combined.step, None);
}

#[rstest]
#[case::wider(DataType::Float(8, ByteOrder::Little))]
#[case::big_endian(DataType::Float(4, ByteOrder::Big))]
#[case::integer(I4)]
fn another_type_of_data_is_refused(#[case] data_type: DataType) {
    let files = second_with("tas", |tas| tas.data_type = data_type);
    assert_eq!(codes(&files), ["dtype_mismatch"]);
}

#[test]
fn inlined_values_of_another_byte_order_are_equal() {
    let [a, b] = pair();
    let big = DataType::Float(8, ByteOrder::Big);
    let files = [
        a,
        b.inline(
            "lat",
            &big,
            &[("lat", 2)],
            &[-45.0, 45.0],
            json!({"units": "degrees_north"}),
        ),
    ];
    assert!(combine(&files).is_ok());
}

#[test]
fn another_level_of_compression_is_accepted() {
    let [a, b] = pair();
    let files = [compressed(a, "tas", 4), compressed(b, "tas", 9)];
    let combined = combine(&files).unwrap();
    assert_eq!(values(&combined.dataset, &files, "tas"), field(&days(0..5)));
    assert_eq!(
        combined.dataset.root.arrays["tas"].codecs[1],
        Codec::Zlib { level: 4 }
    );
}

#[rstest]
#[case::shuffle_missing(vec![Codec::Zlib { level: 4 }])]
#[case::uncompressed(vec![])]
#[case::zstd(vec![Codec::Shuffle { element_size: 4 }, Codec::Zstd { level: 4 }])]
#[case::element_size(vec![Codec::Shuffle { element_size: 8 }, Codec::Zlib { level: 4 }])]
fn other_codecs_are_refused(#[case] codecs: Vec<Codec>) {
    let [a, b] = pair().map(|file| compressed(file, "tas", 4));
    let files = [a, b.with("tas", |tas| tas.codecs = codecs)];
    assert_eq!(
        refusal(&files, options()),
        [("codec_mismatch", "b.nc".to_owned())]
    );
}

#[rstest]
#[case::scale("scale_factor", json!(0.5))]
#[case::offset("add_offset", json!(273.15))]
#[case::units("units", json!("degC"))]
#[case::missing("missing_value", json!(-999.0))]
#[case::unsigned("_Unsigned", json!("true"))]
fn another_meaning_of_values_is_refused(#[case] attribute: &str, #[case] value: Value) {
    let files = second_with("tas", |tas| {
        drop(tas.attributes.insert(attribute.to_owned(), value))
    });
    let Err(CombineError::Refused(all)) = run(&files, options()) else {
        panic!()
    };
    assert_eq!((all.len(), all[0].code), (1, "packing_mismatch"));
    assert!(all[0].message.contains(attribute), "{}", all[0].message);
}

#[test]
fn another_fill_value_is_refused_and_an_equal_nan_is_not() {
    let files = second_with("tas", |tas| tas.fill_value = Some(vec![0; 4]));
    assert_eq!(codes(&files), ["packing_mismatch"]);
    let [a, b] = pair();
    let (quiet, other) = (0x7fc0_0000u32, 0x7fc0_0001u32);
    let nan = |bits: u32| {
        move |tas: &mut crate::VirtualArray| tas.fill_value = Some(bits.to_le_bytes().to_vec())
    };
    assert_eq!(
        codes(&[a.with("tas", nan(quiet)), b.with("tas", nan(other))]),
        Vec::<&str>::new()
    );
}

#[test]
fn equal_numbers_may_be_written_differently_and_are_kept() {
    let with = |value: Value| {
        move |tas: &mut crate::VirtualArray| {
            drop(tas.attributes.insert("scale_factor".to_owned(), value))
        }
    };
    let [a, b] = pair();
    let files = [
        a.with("tas", with(json!(1.0))),
        b.with("tas", with(json!([1]))),
    ];
    let combined = combine(&files).unwrap();
    assert_eq!(
        combined.dataset.root.arrays["tas"].attributes["scale_factor"],
        json!(1.0)
    );
}

#[rstest]
#[case::tiny(1e-9, 0.0, &["coord_mismatch"])]
#[case::a_degree(1.0, 1e-6, &["coord_mismatch"])]
#[case::within_tolerance(1e-9, 1e-6, &[])]
fn moved_coordinates_are_refused_beyond_the_tolerance(
    #[case] by: f64,
    #[case] tolerance: f64,
    #[case] codes: &[&str],
) {
    let [a, b] = pair();
    let files = [
        a,
        b.inline(
            "lat",
            &F8,
            &[("lat", 2)],
            &[-45.0, 45.0 + by],
            json!({"units": "degrees_north"}),
        ),
    ];
    let options = CombineOptions {
        coord_tolerance: tolerance,
        ..options()
    };
    let found: Vec<&str> = refusal(&files, options)
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    assert_eq!(found, codes);
}

#[test]
fn the_first_difference_of_a_coordinate_is_told() {
    let [a, b] = pair();
    let files = [
        a,
        b.inline(
            "lon",
            &F8,
            &[("lon", 3)],
            &[60.0, 180.5, 303.0],
            json!({"units": "degrees_east"}),
        ),
    ];
    let Err(CombineError::Refused(all)) = run(&files, options()) else {
        panic!()
    };
    assert!(
        all[0].message.contains("[1]") && all[0].message.contains("3e0"),
        "{}",
        all[0].message
    );
}

/// 2-D coordinates that stay in the files, as large ones do.
fn with_virtual_latitudes(file: File, values: &[f64], level: u32) -> File {
    let attributes = json!({"standard_name": "latitude", "units": "degrees_north"});
    compressed(
        file.stored(
            "lat2d",
            &F4,
            &[("lat", 2), ("lon", 3)],
            &[2, 2],
            values,
            attributes,
        ),
        "lat2d",
        level,
    )
}

#[rstest]
#[case::equal_bytes(4, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[])]
#[case::equal_values(0, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[])]
#[case::other_values(4, &[1.0, 2.0, 3.0, 4.0, 5.5, 6.0], &["coord_mismatch"])]
fn virtual_coordinates_are_read_and_compared(
    #[case] level: u32,
    #[case] second: &[f64],
    #[case] codes: &[&str],
) {
    let [a, b] = pair();
    let first = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let files = [
        with_virtual_latitudes(a, &first, 4),
        with_virtual_latitudes(b, second, level),
    ];
    match run(&files, options()) {
        Ok((combined, rounds)) => {
            assert_eq!((rounds, codes), (1, &[] as &[&str]));
            assert_eq!(values(&combined.dataset, &files, "lat2d"), first);
        }
        Err(_) => {
            let found: Vec<&str> = refusal(&files, options())
                .into_iter()
                .map(|(code, _)| code)
                .collect();
            assert_eq!(found, codes);
        }
    }
}

#[test]
fn a_coordinate_inlined_in_one_file_and_stored_in_the_other_is_compared() {
    let [a, b] = pair();
    let [a, b] = [a.without("lon"), b];
    let stored = a.stored(
        "lon",
        &F8,
        &[("lon", 3)],
        &[2],
        &[60.0, 180.0, 300.0],
        json!({"units": "degrees_east"}),
    );
    let files = [stored, b];
    let (combined, rounds) = run(&files, options()).unwrap();
    assert_eq!(rounds, 1);
    assert_eq!(
        values(&combined.dataset, &files, "lon"),
        [60.0, 180.0, 300.0]
    );
}

#[test]
fn data_without_the_concat_dimension_that_differs_is_told() {
    let [a, b] = pair();
    let orography = |file: File, height: f64| {
        file.stored(
            "orog",
            &F4,
            &[("lat", 2)],
            &[2],
            &[1.0, height],
            json!({"units": "m"}),
        )
    };
    let files = [orography(a, 2.0), orography(b, 3.0)];
    let combined = combine(&files).unwrap();
    assert_eq!(values(&combined.dataset, &files, "orog"), [1.0, 2.0]);
    assert_eq!(combined.findings[0].code, "values-differ");
}

#[test]
fn a_missing_variable_is_refused_or_filled() {
    let with_fill =
        |tas: &mut crate::VirtualArray| tas.fill_value = Some((-1f32).to_le_bytes().to_vec());
    let [a, b] = pair();
    let files = [
        a.with("tas", with_fill),
        b.without("tas"),
        daily("c.nc", 5, 1).with("tas", with_fill),
    ];
    assert_eq!(
        refusal(&files, options()),
        [("variable_missing", "b.nc".to_owned())]
    );
    let fill = CombineOptions {
        missing: Missing::Fill,
        ..options()
    };
    let (combined, _) = run(&files, fill.clone()).unwrap();
    let expected = [field(&days(0..3)), vec![-1.0; 12], field(&[5.0])].concat();
    assert_eq!(values(&combined.dataset, &files, "tas"), expected);
    let [a, b] = pair();
    assert_eq!(
        refusal(&[a, b.without("tas")], fill),
        [("variable_missing", "b.nc".to_owned())]
    );
}

#[test]
fn a_dropped_variable_binds_nothing() {
    let [a, b] = pair();
    let options = CombineOptions {
        drop_variables: vec!["tas".to_owned()],
        ..options()
    };
    let (combined, _) = run(&[a, b.without("tas")], options).unwrap();
    assert!(!combined.dataset.root.arrays.contains_key("tas"));
}

#[test]
fn other_dimensions_are_refused() {
    let [a, b] = pair();
    let b = b.without("tas").stored(
        "tas",
        &F4,
        &[("time", 2), ("lat", 3), ("lon", 2)],
        &[1, 3, 2],
        &[0.0; 12],
        json!({"units": "K"}),
    );
    assert_eq!(codes(&[a, b]), ["dims_mismatch"]);
}

#[test]
fn a_file_without_the_concat_dimension_is_refused() {
    let other = File::new("orog.nc").inline(
        "lat",
        &F8,
        &[("lat", 2)],
        &[-45.0, 45.0],
        json!({"units": "degrees_north"}),
    );
    let refused = refusal(&[daily("a.nc", 0, 3), other], options());
    assert_eq!(
        refused.first(),
        Some(&("dims_mismatch", "orog.nc".to_owned()))
    );
}

#[test]
fn every_disagreement_is_listed() {
    let files = [
        daily("a.nc", 0, 3),
        daily("b.nc", 2, 2).with("tas", |tas| tas.data_type = I4),
        daily("c.nc", 5, 2).with("tas", |tas| {
            drop(tas.attributes.insert("units".to_owned(), json!("degC")))
        }),
    ];
    let mut found = refusal(&files, options());
    found.sort();
    let expected = [
        ("dtype_mismatch", "b.nc"),
        ("packing_mismatch", "c.nc"),
        ("time_duplicate", "b.nc"),
    ];
    assert_eq!(found, expected.map(|(code, file)| (code, file.to_owned())));
}

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
fn bounds_in_the_files_stay_there_while_units_agree() {
    let files = pair().map(|file| {
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
    let (combined, rounds) = run(&files, options()).unwrap();
    assert_eq!(rounds, 0);
    assert!(!combined.dataset.root.arrays["time_bnds"].chunks.is_inline());
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

#[test]
fn groups_are_joined_each_with_its_own_time() {
    let file = |name: &str, first: u32| {
        let mut file = File::new(name);
        for (group, steps) in [("fast/", 4u32), ("slow/deep/", 2)] {
            let days: Vec<f64> = (first..first + steps).map(f64::from).collect();
            let n = u64::from(steps);
            file = file
                .inline(
                    &format!("{group}time"),
                    &F8,
                    &[("time", n)],
                    &days,
                    json!({"units": "days since 2000-01-01"}),
                )
                .stored(
                    &format!("{group}x"),
                    &F4,
                    &[("time", n)],
                    &[1],
                    &days,
                    json!({}),
                );
        }
        file
    };
    let files = [file("b.nc", 10), file("a.nc", 0)];
    let combined = combine(&files).unwrap();
    assert_eq!(combined.order, [1, 0]);
    assert_eq!(
        values(&combined.dataset, &files, "fast/x"),
        [days(0..4), days(10..14)].concat()
    );
    assert_eq!(
        values(&combined.dataset, &files, "slow/deep/x"),
        [days(0..2), days(10..12)].concat()
    );
    assert_eq!(
        combined.dataset.root.groups["fast"].dimensions["time"].length,
        8
    );
}

#[test]
fn other_times_along_the_series_keep_units_of_their_own() {
    let with = |file: File, units: &str, values: &[f64]| {
        let n = values.len() as u64;
        file.inline(
            "forecast_reference_time",
            &F8,
            &[("time", n)],
            values,
            json!({"units": units}),
        )
    };
    let [a, b] = pair();
    let files = [
        with(a, "hours since 2000-01-01", &[0.0; 3]),
        with(b, "hours since 2000-01-02", &[0.0; 2]),
    ];
    let combined = combine(&files).unwrap();
    assert_eq!(
        values(&combined.dataset, &files, "forecast_reference_time"),
        [0.0, 0.0, 0.0, 24.0, 24.0]
    );
    assert_eq!(
        combined.dataset.root.arrays["time"].attributes["units"],
        json!("days since 2000-01-01")
    );
}

#[test]
fn data_that_counts_time_in_other_units_is_refused() {
    let with = |file: File, n: u64, units: &str| {
        let values = vec![1.0; 6 * n as usize];
        file.stored(
            "onset",
            &F4,
            &[("time", n), ("lat", 2), ("lon", 3)],
            &[1, 2, 3],
            &values,
            json!({"units": units}),
        )
    };
    let [a, b] = pair();
    let files = [
        with(a, 3, "days since 2000-01-01"),
        with(b, 2, "days since 2001-01-01"),
    ];
    let small = CombineOptions {
        inline_max_bytes: 10,
        ..options()
    };
    assert_eq!(
        refusal(&files, small),
        [("packing_mismatch", "b.nc".to_owned())]
    );
}

#[test]
fn without_a_coordinate_the_order_is_the_one_given() {
    let files = [daily("b.nc", 3, 2), daily("a.nc", 0, 3)]
        .map(|file| file.without("time").without("time_bnds"));
    let combined = combine(&files).unwrap();
    assert_eq!(
        values(&combined.dataset, &files, "tas"),
        [field(&days(3..5)), field(&days(0..3))].concat()
    );
    assert_eq!(combined.findings[0].code, "no-concat-coordinate");
}

#[test]
fn numbers_order_files_too() {
    let file = |name: &str, level: &[f64]| {
        let n = level.len() as u64;
        File::new(name)
            .inline(
                "level",
                &F4,
                &[("level", n)],
                level,
                json!({"units": "hPa"}),
            )
            .stored("ta", &F4, &[("level", n)], &[1], level, json!({}))
    };
    let files = [file("b.nc", &[500.0]), file("a.nc", &[100.0, 200.0])];
    let level = CombineOptions {
        concat_dim: "level".to_owned(),
        ..options()
    };
    let (combined, _) = run(&files, level).unwrap();
    assert_eq!(
        values(&combined.dataset, &files, "ta"),
        [100.0, 200.0, 500.0]
    );
    assert_eq!(combined.time_range, None);
}

#[test]
fn attributes_that_differ_are_dropped_and_listed() {
    let [a, b] = pair();
    let a = a
        .attribute("tracking_id", "1")
        .attribute("history", "made a")
        .attribute("title", "t");
    let b = b
        .attribute("tracking_id", "2")
        .attribute("history", "made b")
        .attribute("title", "t");
    let a = a.with("tas", |tas| {
        drop(tas.attributes.insert("comment".to_owned(), json!("a")))
    });
    let b = b.with("tas", |tas| {
        drop(tas.attributes.insert("comment".to_owned(), json!("b")))
    });
    let combined = combine(&[a, b]).unwrap();
    assert_eq!(combined.dropped_attributes, [":tracking_id", "tas:comment"]);
    assert_eq!(
        Value::Object(combined.dataset.root.attributes),
        json!({"history": "made a", "title": "t"})
    );
}

#[test]
fn strings_along_the_series_are_joined() {
    let strings = |texts: &[&str]| {
        let mut out = (texts.len() as u32).to_le_bytes().to_vec();
        for text in texts {
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text.as_bytes());
        }
        Bytes::from(out)
    };
    let with = |file: File, texts: &[&str]| {
        let n = texts.len() as u64;
        file.inline(
            "season",
            &F8,
            &[("time", n)],
            &vec![0.0; texts.len()],
            json!({}),
        )
        .with("season", |season| {
            season.data_type = DataType::VlenString;
            season.codecs = vec![Codec::VlenUtf8];
            season.chunks = ChunkManifest::inlined(strings(texts));
        })
    };
    let [a, b] = pair();
    let combined = combine(&[with(a, &["x", "yy", ""]), with(b, &["z", "ä"])]).unwrap();
    let joined = combined.dataset.root.arrays["season"].chunks.get(0);
    assert_eq!(
        joined,
        ChunkEntry::Inline(strings(&["x", "yy", "", "z", "ä"]))
    );
}

#[test]
fn a_joined_dataset_can_be_joined_further() {
    let files = [
        daily("a.nc", 0, 3),
        daily("b.nc", 3, 2),
        daily("c.nc", 5, 4),
    ];
    let first = combine(&files[..2]).unwrap();
    let inputs = vec![files[2].dataset.clone(), first.dataset];
    let Step::Done(combined) = Combiner::new(inputs, options()).unwrap().combine().unwrap() else {
        panic!()
    };
    assert_eq!(combined.dataset, combine(&files).unwrap().dataset);
}
