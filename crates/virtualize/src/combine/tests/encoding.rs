//! What stored values mean: type, codecs, packing.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::zarr::{ByteOrder, Codec, DataType};

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
