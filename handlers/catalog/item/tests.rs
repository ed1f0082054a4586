use bytes::Bytes;
use serde_json::{Value, json};
use virtualize::dataset::{Attributes, Format, Layout};
use virtualize::zarr::{ByteOrder, DataType};
use virtualize::{ChunkManifest, VirtualArray, VirtualDataset};

use super::*;
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::{Extras, Origin, ProcessingOptions, ProcessingStatus, Review};

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    pairs
        .iter()
        .map(|(key, text)| ((*key).to_owned(), json!(text)))
        .collect()
}

fn doubles(name: &str, values: &[f64], pairs: &[(&str, &str)]) -> (String, VirtualArray) {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let length = u64::try_from(values.len()).unwrap();
    let array = VirtualArray {
        shape: vec![length],
        chunk_shape: vec![length],
        data_type: DataType::Float(8, ByteOrder::Little),
        fill_value: None,
        codecs: Vec::new(),
        dimension_names: vec![name.to_owned()],
        attributes: attributes(pairs),
        chunks: ChunkManifest::inlined(Bytes::from(bytes)),
        layout: Layout::Contiguous,
    };
    (name.to_owned(), array)
}

fn dataset() -> VirtualDataset {
    let time = doubles(
        "time",
        &[15.0, 45.0],
        &[("units", "days since 2000-01-01"), ("calendar", "360_day")],
    );
    let lat = doubles(
        "lat",
        &[-45.0, 45.0],
        &[("units", "degrees_north"), ("long_name", "Latitude")],
    );
    let lon = doubles("lon", &[0.0, 90.0, 180.0], &[("units", "degrees_east")]);
    let plev = doubles(
        "plev",
        &[100_000.0, 85_000.0, 50_000.0],
        &[("units", "Pa"), ("positive", "down")],
    );
    let tas = VirtualArray {
        shape: vec![2, 3, 2, 3],
        chunk_shape: vec![1, 3, 2, 3],
        data_type: DataType::Float(4, ByteOrder::Little),
        dimension_names: ["time", "plev", "lat", "lon"].map(String::from).to_vec(),
        attributes: attributes(&[
            ("units", "K"),
            ("long_name", "Air Temperature"),
            ("grid_mapping", "crs"),
        ]),
        chunks: ChunkManifest::new(),
        ..time.1.clone()
    };
    let crs = VirtualArray {
        shape: vec![],
        chunk_shape: vec![],
        dimension_names: vec![],
        ..lat.1.clone()
    };
    let arrays = [
        time,
        lat,
        lon,
        plev,
        (String::from("ta"), tas),
        (String::from("crs"), crs),
    ];
    let root = VirtualGroup {
        arrays: arrays.into(),
        ..VirtualGroup::default()
    };
    let mut dataset = VirtualDataset::new(Format::Netcdf4, root, 10);
    let url = "file:///b/ta_Amon_UKESM1-0-LL_ssp585_r1i1p1f2_gn_200001-200002.nc";
    dataset.sources = vec![Source {
        url: String::from(url),
        ..Source::default()
    }];
    dataset
}

fn declaration() -> Declaration {
    Declaration {
        origin: Origin::Submit,
        platform_id: String::from("ddh"),
        dataset_id: String::from("CMIP6_ta"),
        resource_id: String::from("day"),
        version_id: None,
        title: None,
        description: None,
        prefix: BlobPath::new("local", "bronze", "cmip6"),
        stem: String::new(),
        extras: Extras::default(),
        options: ProcessingOptions::default(),
        at: Timestamp::UNIX_EPOCH,
    }
}

fn release() -> Release {
    Release {
        release_id: String::from("0123abcd"),
        asset_id: String::from("a"),
        platform_id: String::from("ddh"),
        dataset_id: String::from("CMIP6_ta"),
        resource_id: String::from("day"),
        request_id: String::from("q"),
        job_id: String::from("j"),
        version_id: None,
        suggested_version_id: None,
        version_ordinal: 3,
        revision: 1,
        previous_release_id: None,
        blob_path: None,
        stac_item_id: None,
        stac_collection_id: None,
        stac_item_json: None,
        processing_status: ProcessingStatus::Processing,
        processing_started_at: None,
        processing_completed_at: None,
        last_error: None,
        approval_state: String::from("pending_review"),
        clearance_state: String::from("uncleared"),
        review: Review::default(),
        result: None,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

fn combined() -> Combined {
    Combined {
        dataset: dataset(),
        order: vec![0],
        starts: vec![0],
        time_range: Some((
            String::from("2000-01-16T00:00:00Z"),
            String::from("2000-02-30T00:00:00Z"),
        )),
        calendar: Some(String::from("360_day")),
        step: Some(String::from("P1M")),
        findings: Vec::new(),
        dropped_attributes: Vec::new(),
        spatial_extent: Some([-180.0, -90.0, 180.0, 90.0]),
    }
}

/// Runs `check` on the input of a combined dataset.
fn with_input<T>(combined: &Combined, check: impl FnOnce(&ItemInput<'_>) -> T) -> T {
    let (declaration, release) = (declaration(), release());
    check(&ItemInput {
        combined,
        declaration: &declaration,
        release: &release,
        revision: 2,
        public_url: "http://127.0.0.1:7071",
        reference: &BlobPath::new(
            "local",
            "silver",
            "refs/combined/CMIP6_ta/day/ord3/r2/combined.json",
        ),
        ref_size_bytes: 77,
        ref_sha256: &[0xab; 32],
        created: Timestamp::UNIX_EPOCH,
        quicklook: Some(&Quicklook {
            variable: String::from("ta"),
            range: [250.0, 300.0],
        }),
    })
}

fn item(combined: &Combined) -> Value {
    with_input(combined, |input| build_item(input).unwrap())
}

#[test]
fn times_are_real_days_and_true_ones() {
    let item = item(&combined());
    let properties = &item["properties"];
    assert_eq!(properties["datetime"], "2000-01-16T00:00:00Z");
    assert_eq!(properties["start_datetime"], "2000-01-16T00:00:00Z");
    assert_eq!(properties["end_datetime"], "2000-02-29T00:00:00Z");
    assert_eq!(properties["landfall:time_range"][1], "2000-02-30T00:00:00Z");
    assert_eq!(properties["landfall:calendar"], "360_day");
    let time = json!({"type": "temporal", "extent": ["2000-01-16T00:00:00Z", "2000-02-29T00:00:00Z"], "step": "P1M"});
    assert_eq!(properties["cube:dimensions"]["time"], time);
}

#[test]
fn dimensions_carry_their_coordinates() {
    let item = item(&combined());
    let dimensions = &item["properties"]["cube:dimensions"];
    let lat = json!({
        "type": "spatial", "axis": "y", "extent": [-45.0, 45.0], "step": 90.0, "values": [-45.0, 45.0],
        "reference_system": 4326, "description": "Latitude",
    });
    assert_eq!(dimensions["lat"], lat);
    let plev = json!({
        "type": "spatial", "axis": "z", "extent": [50_000.0, 100_000.0],
        "values": [100_000.0, 85_000.0, 50_000.0], "unit": "Pa",
    });
    assert_eq!(dimensions["plev"], plev);
}

#[test]
fn variables_say_what_they_are() {
    let item = item(&combined());
    let variables = &item["properties"]["cube:variables"];
    let ta = json!({
        "type": "data", "dimensions": ["time", "plev", "lat", "lon"], "unit": "K", "description": "Air Temperature",
        "data_type": "float32",
    });
    assert_eq!(variables["ta"], ta);
    assert_eq!(variables["crs"]["type"], "auxiliary");
    assert_eq!(variables["lat"]["type"], "auxiliary");
    assert_eq!(item["properties"]["zarr:chunks"]["ta"], json!([1, 3, 2, 3]));
    assert_eq!(item["properties"]["cmip6:model"], "UKESM1-0-LL");
}

#[test]
fn assets_lead_to_the_data() {
    let item = item(&combined());
    assert_eq!(item["id"], "cmip6-ta-day-ord3");
    assert_eq!(item["collection"], "CMIP6_ta");
    // The core schema refuses a collection without this link.
    assert_eq!(item["links"][0]["rel"], "collection");
    assert_eq!(
        item["links"][0]["href"],
        "http://127.0.0.1:7071/api/stac/collections/CMIP6_ta"
    );
    assert_eq!(
        item["assets"]["zarr-store"]["href"],
        "http://127.0.0.1:7071/api/zarr/0123abcd/r2"
    );
    let reference = &item["assets"]["reference"];
    assert_eq!(
        reference["href"],
        "abfs://silver/refs/combined/CMIP6_ta/day/ord3/r2/combined.json"
    );
    // A multihash of SHA-256: code 0x12, length 0x20.
    assert_eq!(
        reference["file:checksum"],
        format!("1220{}", "ab".repeat(32))
    );
    assert_eq!(
        item["assets"]["netcdf_source"]["href"],
        "abfs://bronze/cmip6/"
    );
    let thumbnail = json!({
        "href": "http://127.0.0.1:7071/api/zarr/0123abcd/r2/thumbnail.png", "type": "image/png",
        "title": "First map of ta", "roles": ["thumbnail"],
    });
    assert_eq!(item["assets"]["thumbnail"], thumbnail);
    let quicklook = json!({"variable": "ta", "range": [250.0, 300.0]});
    assert_eq!(item["properties"]["landfall:quicklook"], quicklook);
}

#[test]
fn what_is_not_known_is_left_out() {
    let item = item(&Combined {
        time_range: None,
        spatial_extent: None,
        ..combined()
    });
    assert_eq!(item["geometry"], Value::Null);
    assert!(item.get("bbox").is_none());
    assert_eq!(item["properties"]["datetime"], "1970-01-01T00:00:00Z");
    assert!(item["properties"].get("start_datetime").is_none());
    assert_eq!(
        item["properties"]["cube:dimensions"]["time"]["extent"],
        json!([null, null])
    );
}

#[test]
fn a_grid_of_its_own_has_no_code() {
    let mut combined = combined();
    let lon = combined.dataset.root.arrays.get_mut("lon").unwrap();
    lon.attributes = attributes(&[("units", "degrees"), ("standard_name", "grid_longitude")]);
    let item = item(&combined);
    assert_eq!(item["properties"]["proj:code"], Value::Null);
    let lon = &item["properties"]["cube:dimensions"]["lon"];
    assert_eq!(
        (&lon["type"], &lon["unit"]),
        (&json!("other"), &json!("degrees"))
    );
    assert!(lon.get("axis").is_none());
}

#[test]
fn the_result_is_that_of_the_combine() {
    let result = with_input(&combined(), result_object);
    let expected = json!({
        "dataset_id": "CMIP6_ta_day",
        "combined_ref_url": "abfs://silver/refs/combined/CMIP6_ta/day/ord3/r2/combined.json",
        "source_files": 1,
        "dimensions": {"lat": 2, "lon": 3, "plev": 3, "time": 2},
        "variables": ["ta"],
        "time_range": ["2000-01-16", "2000-02-30"],
        "spatial_extent": [-180.0, -90.0, 180.0, 90.0],
        "ref_size_bytes": 77,
    });
    assert_eq!(result, expected);
}
