use serde_json::json;
use virtualize::dataset::{Attributes, Layout};
use virtualize::zarr::ByteOrder;
use virtualize::{ChunkManifest, VirtualGroup};

use super::*;

fn attributes(fields: Value) -> Attributes {
    Attributes::from(fields.as_object().unwrap().clone())
}

fn coordinate(name: &str, values: &[f64], units: &str) -> (String, VirtualArray) {
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
        attributes: attributes(json!({"units": units})),
        chunks: ChunkManifest::inlined(Bytes::from(bytes)),
        layout: Layout::Contiguous,
    };
    (name.to_owned(), array)
}

/// Where the second chunk lies.
const LYING: ByteRange = ByteRange { start: 7, len: 8 };

/// Two steps of two rows of four columns, in chunks of one step and two columns: the first is inlined, the second lies in
/// the source. Latitudes from south to north, longitudes from 0 to 360, values in tenths above 10, -1 where missing.
fn root() -> VirtualGroup {
    let bytes = |values: [i16; 4]| {
        values
            .iter()
            .flat_map(|value| value.to_be_bytes())
            .collect::<Vec<u8>>()
    };
    let mut chunks = ChunkManifest::inlined(Bytes::from(bytes([1, 2, 5, 6])));
    assert!(chunks.push(1, SourceId(0), LYING));
    let (_, lat) = coordinate("lat", &[-45.0, 45.0], "degrees_north");
    let (_, lon) = coordinate("lon", &[0.0, 90.0, 180.0, 270.0], "degrees_east");
    let data = VirtualArray {
        shape: vec![2, 2, 4],
        chunk_shape: vec![1, 2, 2],
        data_type: DataType::Int(2, ByteOrder::Big),
        fill_value: Some((-1_i16).to_be_bytes().to_vec()),
        dimension_names: ["time", "lat", "lon"].map(String::from).to_vec(),
        attributes: attributes(json!({"scale_factor": 0.1, "add_offset": 10.0})),
        chunks,
        ..lat.clone()
    };
    let arrays = [("lat", lat), ("lon", lon), ("v", data)];
    VirtualGroup {
        arrays: arrays.map(|(name, array)| (name.to_owned(), array)).into(),
        ..VirtualGroup::default()
    }
}

fn part() -> (SourceId, ByteRange, Bytes) {
    let stored: Vec<u8> = [3_i16, -1, 7, 8]
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect();
    (SourceId(0), LYING, Bytes::from(stored))
}

#[test]
fn a_map_has_north_above_and_the_west_to_the_left() {
    let root = root();
    let plan = Plan::of(&root).unwrap();
    assert_eq!(plan.needed(), [(SourceId(0), LYING)]);
    let map = plan.draw(&[part()]).unwrap();
    let tenths: Vec<_> = map
        .values
        .iter()
        .map(|value| value.map(|value| (value * 10.0).round()))
        .collect();
    // From 180 W: the columns 180, 270, 0 and 90 of the file.
    let north = [Some(107.0), Some(108.0), Some(105.0), Some(106.0)];
    let south = [Some(103.0), None, Some(101.0), Some(102.0)];
    assert_eq!(tenths, [north, south].concat());
    assert_eq!(
        map.quicklook,
        Quicklook {
            variable: String::from("v"),
            range: [10.1, 10.8]
        }
    );
}

#[test]
fn a_map_of_which_a_part_was_not_read_is_none() {
    assert_eq!(Plan::of(&root()).unwrap().draw(&[]), None);
}

#[test]
fn what_is_no_map_or_too_large_has_no_plan() {
    let without = |change: fn(&mut VirtualArray)| {
        let mut root = root();
        change(root.arrays.get_mut("v").unwrap());
        Plan::of(&root).is_none()
    };
    assert!(without(|array| array.dimension_names[2] = String::from("x")));
    assert!(without(|array| array.data_type = DataType::Bool));
    assert!(without(|array| array.chunk_shape = vec![1 << 30, 2, 2]));
    let mut turned = root();
    turned.arrays.get_mut("lon").unwrap().attributes =
        attributes(json!({"standard_name": "grid_longitude", "units": "degrees"}));
    assert!(Plan::of(&turned).is_none());
}

// A picture of one row: nothing, the lowest and the highest, as Pillow reads it (`Image.open(..).convert("RGBA")`).
#[test]
fn a_picture_is_a_png() {
    let picture = png::write(3, &[None, Some(0.0), Some(1.0)]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.png"), &picture).unwrap();
    assert_eq!(picture.get(..8), Some(b"\x89PNG\r\n\x1a\n".as_slice()));
    let position = picture.windows(4).position(|four| four == b"PLTE").unwrap() + 4;
    let colour = |number: usize| &picture[position + 3 * number..position + 3 * number + 3];
    assert_eq!(
        (colour(1), colour(255)),
        (&[0x44, 0x01, 0x54][..], &[0xfd, 0xe7, 0x25][..])
    );
    assert_eq!(png::write(2, &[None]), None);
}
