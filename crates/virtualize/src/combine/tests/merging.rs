//! Files that hold different variables over the same coordinates.

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::combine::verify::{Verifier, VerifyOptions};

/// A daily file whose data variable has another name.
pub(super) fn holding(variable: &str, name: &str, first_day: u32, steps: u32, chunk: u64) -> File {
    let mut file = daily_in_chunks(name, first_day, steps, chunk);
    let array = file.dataset.root.arrays.remove("tas").unwrap();
    file.insert(variable, array);
    file
}

/// Two variables, one in two files, the other in three.
pub(super) fn cube() -> Vec<File> {
    vec![
        holding("pr", "pr_b.nc", 4, 4, 2),
        holding("uas", "uas_a.nc", 0, 3, 3),
        holding("pr", "pr_a.nc", 0, 4, 2),
        holding("uas", "uas_c.nc", 6, 2, 3),
        holding("uas", "uas_b.nc", 3, 3, 3),
    ]
}

pub(super) fn merging() -> CombineOptions {
    CombineOptions {
        merge_variables: true,
        ..options()
    }
}

pub(super) fn merged(files: &[File]) -> Combined {
    run(files, merging()).unwrap().0
}

/// The refusal of a merge in full.
pub(super) fn refused(files: &[File], options: CombineOptions) -> Vec<Disagreement> {
    match run(files, options) {
        Err(CombineError::Refused(all)) => all,
        other => panic!("{other:?}"),
    }
}

/// Proves a join with files in the order of the inputs.
pub(super) fn verified(combined: &Combined, files: &[File]) -> Result<usize, Vec<String>> {
    let ordered: Vec<&File> = combined.order.iter().map(|at| &files[*at]).collect();
    let mut verifier = Verifier::new(&combined.dataset, VerifyOptions::default());
    for file in &ordered {
        let sample = verifier.compare(&file.dataset);
        let given = |(source, range): (crate::SourceId, crate::ByteRange)| {
            (source, range, slice(ordered[source.0 as usize], range))
        };
        let parts: Vec<_> = sample.needed().into_iter().map(given).collect();
        verifier.check(&sample, &file.dataset, &parts);
    }
    let verification = verifier.finish();
    match verification.mismatches.is_empty() {
        true => Ok(verification.report.chunks_sampled),
        false => Err(verification
            .mismatches
            .iter()
            .map(ToString::to_string)
            .collect()),
    }
}

#[test]
fn a_hypercube_of_variables_and_times_is_merged() {
    let files = cube();
    let combined = merged(&files);
    for path in ["pr", "uas"] {
        assert_eq!(values(&combined.dataset, &files, path), field(&days(0..8)));
    }
    assert_eq!(values(&combined.dataset, &files, "time"), days(0..8));
    assert_eq!(combined.dataset.root.dimensions["time"].length, 8);
    let arrays = &combined.dataset.root.arrays;
    let chunk = |name: &str| arrays[name].chunk_shape[0];
    assert_eq!((chunk("pr"), chunk("uas")), (2, 3), "each has its own grid");
    let names: Vec<_> = combined.order.iter().map(|at| files[*at].name()).collect();
    assert_eq!(
        names,
        ["uas_a.nc", "pr_a.nc", "uas_b.nc", "pr_b.nc", "uas_c.nc"]
    );
    assert_eq!(combined.starts, [0, 0, 3, 4, 6]);
    let range = combined.time_range.clone().unwrap();
    assert_eq!(range.1, "2000-01-08T00:00:00Z");
    assert_eq!(combined.step.as_deref(), Some("P1D"));
    let told = combined.findings.iter().map(|finding| &finding.code);
    assert!(told.eq(["variables-merged"; 2].iter()));
    // Both ends of every file are read.
    assert_eq!(verified(&combined, &files), Ok(7));
}

#[test]
fn chunks_of_the_other_variable_are_found() {
    let files = cube();
    let mut combined = merged(&files);
    let pr = combined.dataset.root.arrays["pr"].chunks.clone();
    combined.dataset.root.arrays.get_mut("uas").unwrap().chunks = pr;
    assert!(verified(&combined, &files).is_err());
}

#[test]
fn other_units_in_the_other_variable_are_the_same_times() {
    let other = |name: &str, first: u32| {
        let mut file = shifted_epoch(name, first, 3);
        let array = file.dataset.root.arrays.remove("tas").unwrap();
        file.insert("pr", array);
        file
    };
    let files = [
        other("pr_a.nc", 0),
        daily("tas_a.nc", 0, 3),
        daily("tas_b.nc", 3, 3),
        other("pr_b.nc", 3),
    ];
    let combined = merged(&files);
    let bounds: Vec<f64> = days(0..6)
        .iter()
        .flat_map(|day| [*day, day + 1.0])
        .collect();
    let hours = |all: Vec<f64>| all.iter().map(|day| day * 24.0).collect::<Vec<_>>();
    assert_eq!(values(&combined.dataset, &files, "time"), hours(days(0..6)));
    assert_eq!(
        values(&combined.dataset, &files, "time_bnds"),
        hours(bounds)
    );
    assert!(verified(&combined, &files).is_ok());
}

#[test]
fn bounds_come_with_the_times_they_belong_to() {
    let strip = |file: File| {
        file.without("time_bnds")
            .with("time", |time| drop(time.attributes.remove("bounds")))
    };
    let mut pr = strip(shifted_epoch("pr.nc", 0, 3));
    let array = pr.dataset.root.arrays.remove("tas").unwrap();
    pr.insert("pr", array);
    let files = [pr, daily("tas.nc", 0, 3)];
    let combined = merged(&files);
    let bounds: Vec<f64> = days(0..3)
        .iter()
        .flat_map(|day| [*day, day + 1.0])
        .collect();
    assert_eq!(values(&combined.dataset, &files, "time"), days(0..3));
    assert_eq!(values(&combined.dataset, &files, "time_bnds"), bounds);
    assert!(verified(&combined, &files).is_ok());
}

#[test]
fn files_without_the_concat_dimension_are_merged_too() {
    let area = File::new("areacella.nc")
        .inline(
            "lat",
            &F8,
            &[("lat", 2)],
            &[-45.0, 45.0],
            json!({"units": "degrees_north"}),
        )
        .inline("areacella", &F8, &[("lat", 2)], &[1.0, 2.0], json!({}));
    let mut files = cube();
    files.push(area);
    let combined = merged(&files);
    assert_eq!(values(&combined.dataset, &files, "areacella"), [1.0, 2.0]);
    assert!(verified(&combined, &files).is_ok());
    let last = files.pop().unwrap();
    files.push(last.inline(
        "lat",
        &F8,
        &[("lat", 2)],
        &[-45.0, 44.0],
        json!({"units": "degrees_north"}),
    ));
    let all = refused(&files, merging());
    assert_eq!(
        (all[0].code, all[0].variable.as_str()),
        ("coord_mismatch", "lat")
    );
}

#[test]
fn times_that_one_variable_lacks_are_filled_when_asked_for() {
    let fill = |tas: &mut crate::VirtualArray| tas.fill_value = Some(vec![0, 0, 192, 127]);
    let files = [
        holding("pr", "pr_a.nc", 0, 3, 1).with("pr", fill),
        holding("pr", "pr_b.nc", 3, 3, 1).with("pr", fill),
        holding("uas", "uas_b.nc", 3, 3, 1).with("uas", fill),
        holding("uas", "uas_c.nc", 6, 2, 1).with("uas", fill),
    ];
    let options = CombineOptions {
        missing: Missing::Fill,
        ..merging()
    };
    let combined = run(&files, options).unwrap().0;
    let dataset = &combined.dataset;
    assert_eq!(values(dataset, &files, "time"), days(0..8));
    let (pr, uas) = (
        values(dataset, &files, "pr"),
        values(dataset, &files, "uas"),
    );
    assert_eq!(pr[..36], field(&days(0..6)));
    assert!(pr[36..].iter().all(|value| value.is_nan()));
    assert_eq!(uas[18..], field(&days(3..8)));
    assert!(uas[..18].iter().all(|value| value.is_nan()));
    assert!(verified(&combined, &files).is_ok());
}

#[rstest]
#[case::equal(0.0, &[])]
#[case::other_values(1.0, &["coord_mismatch"])]
fn data_that_both_hold_is_compared(#[case] by: f64, #[case] expected: &[&str]) {
    let pressure = |file: File, by: f64, chunk: u64| {
        let levels: Vec<f64> = field(&days(0..4)).iter().map(|value| value + by).collect();
        let dims = [("time", 4), ("lat", 2), ("lon", 3)];
        file.stored(
            "ps",
            &F4,
            &dims,
            &[chunk, 2, 3],
            &levels,
            json!({"units": "Pa"}),
        )
    };
    let files = [
        pressure(holding("ta", "ta.nc", 0, 4, 1), 0.0, 2),
        pressure(holding("ua", "ua.nc", 0, 4, 1), by, 2),
    ];
    match run(&files, merging()) {
        Ok((combined, rounds)) => {
            assert!(expected.is_empty() && rounds == 1);
            assert_eq!(values(&combined.dataset, &files, "ps"), field(&days(0..4)));
            // Both ends of the two variables, and of the pressure in both files.
            assert_eq!(verified(&combined, &files), Ok(2 + 2 + 2 + 2));
        }
        Err(CombineError::Refused(all)) => {
            let found: Vec<_> = all.iter().map(|one| one.code).collect();
            assert_eq!(found, expected, "{all:?}");
            assert_eq!(
                (all[0].file.as_str(), all[0].variable.as_str()),
                ("ua.nc", "ps")
            );
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn plain_numbers_are_merged_by_value() {
    let numbered = |variable: &str, first: u32, steps: u32| {
        let values = days(first..first + steps);
        holding(variable, &format!("{variable}_{first}.nc"), first, steps, 1)
            .without("time_bnds")
            .inline(
                "time",
                &F8,
                &[("time", u64::from(steps))],
                &values,
                json!({}),
            )
    };
    let files = [
        numbered("pr", 0, 4),
        numbered("uas", 2, 2),
        numbered("uas", 0, 2),
    ];
    let combined = merged(&files);
    assert_eq!(values(&combined.dataset, &files, "uas"), field(&days(0..4)));
    assert!(verified(&combined, &files).is_ok());
}

#[test]
fn other_values_of_the_file_that_gave_none_are_found() {
    let pressure = |file: File| {
        let dims = [("time", 4), ("lat", 2), ("lon", 3)];
        let values = field(&days(0..4));
        file.stored(
            "ps",
            &F4,
            &dims,
            &[1, 2, 3],
            &values,
            json!({"units": "Pa"}),
        )
    };
    let mut files = [
        pressure(holding("ta", "ta.nc", 0, 4, 1)),
        pressure(holding("ua", "ua.nc", 0, 4, 1)),
    ];
    let combined = merged(&files);
    assert!(verified(&combined, &files).is_ok());
    let last = files[1].bytes.len() - 4;
    files[1].bytes[last] ^= 1;
    let told = verified(&combined, &files).unwrap_err();
    assert!(told[0].starts_with("ua.nc: ps: "), "{told:?}");
}
