//! Variables without the concat dimension, and variables that some files lack.

use rstest::rstest;
use serde_json::json;

use super::*;

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
    let found: Vec<&str> = refusal(&files, options.clone())
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    assert_eq!(found, codes);
    if let Ok((combined, _)) = run(&files, options) {
        let told = &combined.findings[0];
        assert_eq!(
            (told.code.as_str(), told.variable.as_deref()),
            ("within-tolerance", Some("lat"))
        );
        assert!(
            told.message
                .contains("by up to 9.999965300266922e-10 in 1 files"),
            "{}",
            told.message
        );
    }
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
fn a_dropped_variable_must_exist_somewhere() {
    let options = CombineOptions {
        drop_variables: vec!["lat".to_owned(), "tass".to_owned()],
        ..options()
    };
    let error = run(&pair(), options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "drop_variables names tass, which is in no file; there are lat, lon, tas, time, time_bnds"
    );
}

#[test]
fn a_refused_variable_can_be_dropped() {
    let [a, b] = pair();
    let mut b = b.without("tas");
    b.dataset.skipped.push(crate::dataset::Skipped {
        variable: "/tas".to_owned(),
        reason: "lzf".to_owned(),
        is_data: true,
    });
    let files = [a, b];
    assert_eq!(codes(&files), ["variable_missing"]);
    let options = CombineOptions {
        drop_variables: vec!["tas".to_owned()],
        ..options()
    };
    let combined = run(&files, options).unwrap().0;
    assert!(combined.dataset.skipped.is_empty());
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
