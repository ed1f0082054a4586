//! The order of files, and what a joined series says of itself.

use bytes::Bytes;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::manifest::{ChunkEntry, ChunkManifest};
use crate::zarr::{Codec, DataType};

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
        Value::Object(combined.dataset.root.attributes.into()),
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

#[test]
fn files_that_disagree_in_the_same_way_are_counted() {
    let mut files: Vec<File> = (0..40u32)
        .map(|at| daily(&format!("{at:02}.nc"), at * 2, 2))
        .collect();
    for file in &mut files[10..] {
        let tas = file.dataset.root.arrays.get_mut("tas").unwrap();
        tas.attributes.insert("units".to_owned(), json!("degC"));
    }
    let Err(CombineError::Refused(all)) = run(&files, options()) else {
        panic!("joined");
    };
    let names: Vec<_> = all.iter().map(|one| one.file.as_str()).collect();
    assert_eq!(names, ["10.nc", "11.nc", "12.nc", "13.nc", "14.nc"]);
    assert_eq!(
        all.iter().map(|one| one.more).collect::<Vec<_>>(),
        [0, 0, 0, 0, 25]
    );
    assert!(
        all[4].message.ends_with("(and 25 more like it)"),
        "{}",
        all[4].message
    );
}
