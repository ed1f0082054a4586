//! Every row of the mismatch matrix: joined right, or refused under the right code.

use rstest::rstest;
use serde_json::json;

use super::sample::*;
use super::*;
use crate::zarr::{ByteOrder, Codec, DataType};

fn days(range: std::ops::Range<u32>) -> Vec<f64> {
    range.map(f64::from).collect()
}

#[test]
fn a_plain_series_is_joined_in_the_order_of_time() {
    let files = [
        daily("b.nc", 3, 2),
        daily("a.nc", 0, 3),
        daily("c.nc", 5, 4),
    ];
    let (combined, rounds) = run(&files, CombineOptions::default()).unwrap();
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
