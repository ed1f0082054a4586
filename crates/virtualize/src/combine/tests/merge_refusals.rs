//! Files that hold different variables and cannot be merged.

use rstest::rstest;
use serde_json::json;

use super::merging::{holding, merging, refused};
use super::*;

#[test]
fn a_scalar_that_differs_is_refused_with_the_option_that_drops_it() {
    let at =
        |file: File, height: f64| file.inline("height", &F8, &[], &[height], json!({"units": "m"}));
    let files = [
        at(holding("tas", "tas.nc", 0, 3, 1), 2.0),
        at(holding("uas", "uas.nc", 0, 3, 1), 10.0),
    ];
    let all = refused(&files, merging());
    let [one] = all.as_slice() else {
        panic!("{all:?}")
    };
    assert_eq!((one.code, one.file.as_str()), ("coord_mismatch", "uas.nc"));
    assert_eq!((one.first.as_str(), one.other.as_str()), ("2", "10"));
    assert!(one.cure.contains("drop_variables height"), "{}", one.cure);
    let options = CombineOptions {
        drop_variables: vec!["height".to_owned()],
        ..merging()
    };
    assert!(run(&files, options).is_ok());
}

#[rstest]
#[case::earlier_end(&[("pr", 0, 3), ("pr", 3, 3), ("uas", 0, 3)], "variable_missing", "uas", 1)]
#[case::both_ways(&[("pr", 0, 3), ("uas", 3, 3)], "variable_missing", "uas", 2)]
#[case::a_step_short(&[("pr", 0, 4), ("uas", 0, 3)], "variable_missing", "uas", 1)]
fn times_that_one_variable_lacks_are_refused(
    #[case] files: &[(&str, u32, u32)],
    #[case] code: &str,
    #[case] variable: &str,
    #[case] count: usize,
) {
    let files: Vec<File> = files
        .iter()
        .map(|(variable, first, steps)| {
            holding(
                variable,
                &format!("{variable}_{first}.nc"),
                *first,
                *steps,
                1,
            )
        })
        .collect();
    let all = refused(&files, merging());
    assert_eq!(all.len(), count, "{all:?}");
    let found = all.iter().find(|one| one.variable == variable).unwrap();
    assert_eq!(found.code, code);
    assert!(found.file.starts_with("pr_"), "{}", found.file);
}

#[test]
fn times_at_another_hour_are_another_coordinate() {
    let noon = holding("uas", "uas.nc", 0, 3, 1)
        .without("time_bnds")
        .inline(
            "time",
            &F8,
            &[("time", 3)],
            &[0.5, 1.5, 2.5],
            json!({"units": "days since 2000-01-01", "calendar": "standard"}),
        );
    let pr = holding("pr", "pr.nc", 0, 3, 1).without("time_bnds");
    let all = refused(&[pr, noon], merging());
    let found = all.iter().find(|one| one.file == "uas.nc").unwrap();
    assert_eq!(
        (found.code, found.variable.as_str()),
        ("coord_mismatch", "time")
    );
    assert_eq!(found.other, "2000-01-01T12:00:00Z");
}

#[test]
fn a_file_that_lacks_a_variable_of_its_own_part_is_named() {
    let files = [
        daily("a.nc", 0, 3).inline("extra", &F8, &[("time", 3)], &[0.0; 3], json!({})),
        daily("b.nc", 3, 3),
        holding("pr", "pr.nc", 0, 6, 1),
    ];
    let all = refused(&files, merging());
    let [one] = all.as_slice() else {
        panic!("{all:?}")
    };
    assert_eq!(
        (one.code, one.file.as_str(), one.variable.as_str()),
        ("variable_missing", "b.nc", "extra")
    );
}

#[test]
fn without_the_option_the_refusal_names_it() {
    let files = [
        holding("pr", "pr.nc", 0, 3, 1),
        holding("uas", "uas.nc", 0, 3, 1),
    ];
    let all = refused(&files, options());
    let missing: Vec<_> = all
        .iter()
        .filter(|one| one.code == "variable_missing")
        .collect();
    assert_eq!(missing.len(), 2);
    assert!(
        all.iter().all(|one| one.cure.contains("--merge-variables")),
        "{all:?}"
    );
}

#[test]
fn steps_that_nothing_tells_are_not_merged() {
    let bare = |file: File| file.without("time").without("time_bnds");
    let files = [
        bare(holding("pr", "pr.nc", 0, 3, 1)),
        bare(holding("uas", "uas.nc", 0, 3, 1)),
    ];
    assert_eq!(refused(&files, merging())[0].code, "variable_missing");
    let half = [
        holding("pr", "pr.nc", 0, 3, 1),
        bare(holding("uas", "uas.nc", 0, 3, 1)),
    ];
    let all = refused(&half, merging());
    assert_eq!(
        (all[0].file.as_str(), all[0].variable.as_str()),
        ("uas.nc", "time")
    );
}

#[test]
fn lengths_that_no_variable_shares_must_agree_too() {
    let with = |file: File, name: &str, len: u64| {
        let values = vec![1.0; len as usize];
        file.inline(name, &F8, &[("level", len)], &values, json!({}))
    };
    let files = [
        with(holding("pr", "pr.nc", 0, 3, 1), "a", 2),
        with(holding("uas", "uas.nc", 0, 3, 1), "b", 3),
    ];
    let all = refused(&files, merging());
    let [one] = all.as_slice() else {
        panic!("{all:?}")
    };
    assert_eq!(
        (one.code, one.file.as_str(), one.variable.as_str()),
        ("dims_mismatch", "uas.nc", "b")
    );
}
