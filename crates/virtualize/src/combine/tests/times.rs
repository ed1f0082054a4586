//! Times and their bounds on one encoding.

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::zarr::{ByteOrder, DataType};

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
fn bounds_that_cannot_follow_their_times_are_refused() {
    let turned = |file: File| {
        let bounds = values(&file.dataset, std::slice::from_ref(&file), "time_bnds");
        let n = bounds.len() as u64 / 2;
        file.without("time_bnds").inline(
            "time_bnds",
            &F8,
            &[("bnds", 2), ("time", n)],
            &bounds,
            json!({}),
        )
    };
    let same = pair().map(turned);
    assert!(combine(&same).is_ok());
    let files = [daily("a.nc", 0, 3), shifted_epoch("b.nc", 3, 2)].map(turned);
    assert_eq!(codes(&files), ["packing_mismatch"]);
}

#[test]
fn missing_times_are_not_re_expressed() {
    let with = |file: File, n: u64, units: &str, last: f64| {
        let mut values = vec![0.0; n as usize];
        values.pop();
        values.push(last);
        let file = file.inline(
            "lead",
            &I4,
            &[("time", n)],
            &values,
            json!({"units": units}),
        );
        file.with("lead", |lead| {
            lead.fill_value = Some((-999i32).to_le_bytes().to_vec())
        })
    };
    let [a, b] = pair();
    let files = [
        with(a, 3, "hours since 2000-01-01", 1.0),
        with(b, 2, "hours since 2000-01-02", -999.0),
    ];
    assert_eq!(codes(&files), ["packing_mismatch"]);
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
