//! Zarr v3: the same hierarchy as `zarr.json` documents, for readers of that version.
//!
//! Follows the Zarr v3 core specification, the forms of zarr-python 3 where that is silent (texts, opaque bytes,
//! consolidated metadata), and xarray's form of `_FillValue`. The chunks are those of v2: only their keys and what says
//! how to decode them differ. `fill_value` is what an absent chunk holds and masks nothing; `_FillValue` masks.

mod fill;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Codec, DataType};
use crate::dataset::{VirtualArray, VirtualGroup};

/// Attribute of the root group that names what v3 cannot express, with the reasons. There only if something is.
const REFUSED: &str = "landfall:not_in_zarr_v3";

/// The documents of a hierarchy, and what is not among them.
#[derive(Debug, Default)]
pub struct Hierarchy {
    /// Each `zarr.json` by its key, the root's with the consolidated metadata.
    pub documents: BTreeMap<String, Value>,
    /// Path of each array that v3 cannot express, with the reason.
    pub refused: BTreeMap<String, String>,
}

/// Renders the hierarchy below `root`.
pub fn hierarchy(root: &VirtualGroup) -> Hierarchy {
    let mut out = Hierarchy::default();
    let mut nodes = Map::new();
    add_members("", root, &mut nodes, &mut out);
    let mut attributes = Map::from(root.attributes.clone());
    if !out.refused.is_empty() {
        attributes.insert(REFUSED.to_owned(), json!(out.refused));
    }
    let mut document = group(attributes);
    consolidate(&mut document, nodes);
    out.documents.insert(String::from("zarr.json"), document);
    out
}

fn add_members(
    prefix: &str,
    of: &VirtualGroup,
    nodes: &mut Map<String, Value>,
    out: &mut Hierarchy,
) {
    for (name, array) in &of.arrays {
        let path = format!("{prefix}{name}");
        match array_document(array) {
            Ok(document) => {
                out.documents
                    .insert(format!("{path}/zarr.json"), document.clone());
                nodes.insert(path, document);
            }
            Err(reason) => drop(out.refused.insert(path, reason)),
        }
    }
    for (name, inner) in &of.groups {
        let path = format!("{prefix}{name}");
        let document = group(inner.attributes.clone().into());
        out.documents
            .insert(format!("{path}/zarr.json"), document.clone());
        nodes.insert(path.clone(), document);
        add_members(&format!("{path}/"), inner, nodes, out);
    }
}

fn group(attributes: Map<String, Value>) -> Value {
    json!({"zarr_format": 3, "node_type": "group", "attributes": attributes})
}

fn consolidate(document: &mut Value, nodes: Map<String, Value>) {
    if let Value::Object(members) = document {
        let all = json!({"kind": "inline", "must_understand": false, "metadata": nodes});
        members.insert(String::from("consolidated_metadata"), all);
    }
}

/// The `zarr.json` of an array.
///
/// # Errors
///
/// The reason why v3 cannot express it.
pub fn array_document(array: &VirtualArray) -> Result<Value, String> {
    let mut attributes = Map::from(array.attributes.clone());
    attributes.remove("_FillValue");
    if let Some(value) = fill::attribute(array)? {
        attributes.insert(String::from("_FillValue"), value);
    }
    Ok(json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": array.shape,
        "data_type": data_type(&array.data_type)?,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": array.chunk_shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill::absent(array)?,
        "codecs": codecs(array)?,
        "dimension_names": array.dimension_names,
        "attributes": attributes,
    }))
}

fn data_type(of: &DataType) -> Result<Value, String> {
    let sized =
        |name: &str, bytes: u64| json!({"name": name, "configuration": {"length_bytes": bytes}});
    Ok(match of {
        DataType::FixedString(bytes) => sized("null_terminated_bytes", *bytes),
        DataType::Opaque(bytes) => sized("raw_bytes", *bytes),
        DataType::Struct(fields) => {
            let mut members = Vec::with_capacity(fields.len());
            for field in fields {
                if !field.shape.is_empty() {
                    return Err(format!(
                        "member `{}` of its compound type is an array",
                        field.name
                    ));
                }
                members
                    .push(json!({"name": field.name, "data_type": data_type(&field.data_type)?}));
            }
            json!({"name": "struct", "configuration": {"fields": members}})
        }
        plain => json!(plain.name()),
    })
}

/// The codec that makes elements bytes, then those that work on bytes.
fn codecs(array: &VirtualArray) -> Result<Vec<Value>, String> {
    let (first, rest) = match array.codecs.split_first() {
        Some((Codec::VlenUtf8, rest)) => (json!({"name": "vlen-utf8"}), rest),
        _ if array.data_type == DataType::VlenString => {
            return Err(String::from("its strings are not stored as vlen-utf8"));
        }
        _ => (elements_codec(&array.data_type)?, array.codecs.as_slice()),
    };
    let rest = rest
        .iter()
        .map(|codec| bytes_codec(codec, &array.data_type));
    std::iter::once(Ok(first)).chain(rest).collect()
}

fn elements_codec(data_type: &DataType) -> Result<Value, String> {
    let mut orders = Vec::new();
    byte_orders(data_type, &mut orders);
    orders.dedup();
    match orders.as_slice() {
        [] => Ok(json!({"name": "bytes"})),
        [order] => Ok(json!({"name": "bytes", "configuration": {"endian": order}})),
        _ => Err(String::from(
            "members of its compound type differ in byte order",
        )),
    }
}

fn byte_orders(data_type: &DataType, out: &mut Vec<&'static str>) {
    match data_type {
        DataType::Struct(fields) => fields
            .iter()
            .for_each(|field| byte_orders(&field.data_type, out)),
        plain => out.extend(plain.byte_order().map(|order| match order {
            super::ByteOrder::Little => "little",
            super::ByteOrder::Big => "big",
        })),
    }
}

/// A codec of v2 under its name in v3: the specification's where that has one, else that of zarr-python.
fn bytes_codec(codec: &Codec, data_type: &DataType) -> Result<Value, String> {
    let named = |name: &str, configuration: Value| {
        Ok(json!({"name": name, "configuration": configuration}))
    };
    match codec {
        Codec::Shuffle { element_size } => {
            named("numcodecs.shuffle", json!({"elementsize": element_size}))
        }
        Codec::Zlib { level } => named("numcodecs.zlib", json!({"level": level})),
        Codec::Zstd { level } => named("zstd", json!({"level": level, "checksum": false})),
        Codec::Bz2 { level } => named("numcodecs.bz2", json!({"level": level})),
        Codec::Fletcher32 => named("numcodecs.fletcher32", json!({})),
        Codec::Blosc {
            cname,
            clevel,
            shuffle,
        } => {
            let shuffle = match shuffle {
                0 => "noshuffle",
                1 => "shuffle",
                _ => "bitshuffle",
            };
            // Blosc itself takes larger elements for single bytes; and it says so in every frame.
            let typesize = u8::try_from(data_type.size()).unwrap_or(1).max(1);
            named(
                "blosc",
                json!({"cname": cname, "clevel": clevel, "shuffle": shuffle, "typesize": typesize, "blocksize": 0}),
            )
        }
        Codec::VlenUtf8 | Codec::Lzf | Codec::Lz4H5 | Codec::Szip(_) | Codec::Blosc2Nd => Err(
            format!("no reader of Zarr v3 decodes its codec {}", codec.name()),
        ),
    }
}

/// The linear number of a chunk from the part of its key behind the array's name (`c/1/0/3`, and `c` for a scalar);
/// `None` if it is no key of this grid.
pub fn chunk_number(grid: &[u64], key: &str) -> Option<u64> {
    match key.strip_prefix("c")?.strip_prefix('/') {
        Some(indices) if !grid.is_empty() => super::number_of(grid, indices.split('/')),
        None if grid.is_empty() => (key == "c").then_some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::{ByteOrder, Field};
    use super::*;
    use crate::dataset::{Attributes, Layout};
    use crate::manifest::ChunkManifest;

    const F4_BIG: DataType = DataType::Float(4, ByteOrder::Big);

    fn array(data_type: DataType, codecs: Vec<Codec>) -> VirtualArray {
        VirtualArray {
            shape: vec![4, 6],
            chunk_shape: vec![2, 3],
            data_type,
            fill_value: None,
            codecs,
            dimension_names: vec![String::from("y"), String::from("x")],
            attributes: Attributes::from_iter([(String::from("units"), json!("K"))]),
            chunks: ChunkManifest::new(),
            layout: Layout::Chunked,
        }
    }

    // The specification's example document of an array, with HDF5's usual filters in it.
    #[test]
    fn an_array_is_described_as_the_specification_does() {
        let codecs = vec![
            Codec::Shuffle { element_size: 4 },
            Codec::Zlib { level: 5 },
            Codec::Fletcher32,
        ];
        let expected = json!({
            "zarr_format": 3, "node_type": "array", "shape": [4, 6], "data_type": "float32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0.0,
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "big"}},
                {"name": "numcodecs.shuffle", "configuration": {"elementsize": 4}},
                {"name": "numcodecs.zlib", "configuration": {"level": 5}},
                {"name": "numcodecs.fletcher32", "configuration": {}},
            ],
            "dimension_names": ["y", "x"], "attributes": {"units": "K"},
        });
        assert_eq!(array_document(&array(F4_BIG, codecs)).unwrap(), expected);
    }

    fn compound(first: ByteOrder, shape: Vec<u64>) -> DataType {
        let field = |name: &str, data_type, shape| Field {
            name: String::from(name),
            data_type,
            shape,
        };
        DataType::Struct(vec![
            field("a", DataType::Int(2, first), Vec::new()),
            field("b", DataType::Float(8, ByteOrder::Little), shape),
            field("c", DataType::FixedString(3), Vec::new()),
        ])
    }

    #[rstest]
    #[case::byte(DataType::UInt(1, ByteOrder::Little), json!("uint8"), json!({"name": "bytes"}))]
    #[case::complex(DataType::Complex(8, ByteOrder::Little), json!("complex64"),
        json!({"name": "bytes", "configuration": {"endian": "little"}}))]
    #[case::text(DataType::FixedString(8),
        json!({"name": "null_terminated_bytes", "configuration": {"length_bytes": 8}}), json!({"name": "bytes"}))]
    #[case::opaque(DataType::Opaque(5),
        json!({"name": "raw_bytes", "configuration": {"length_bytes": 5}}), json!({"name": "bytes"}))]
    #[case::compound(compound(ByteOrder::Little, Vec::new()),
        json!({"name": "struct", "configuration": {"fields": [
            {"name": "a", "data_type": "int16"}, {"name": "b", "data_type": "float64"},
            {"name": "c", "data_type": {"name": "null_terminated_bytes", "configuration": {"length_bytes": 3}}}]}}),
        json!({"name": "bytes", "configuration": {"endian": "little"}}))]
    fn types_have_zarr_pythons_names(
        #[case] data_type: DataType,
        #[case] name: Value,
        #[case] codec: Value,
    ) {
        let document = array_document(&array(data_type, Vec::new())).unwrap();
        assert_eq!(document["data_type"], name);
        assert_eq!(document["codecs"], json!([codec]));
    }

    #[rstest]
    #[case::plugin(array(F4_BIG, vec![Codec::Lzf]), "no reader of Zarr v3 decodes its codec lzf")]
    #[case::mixed_orders(
        array(compound(ByteOrder::Big, Vec::new()), Vec::new()),
        "members of its compound type differ in byte order"
    )]
    #[case::array_member(
        array(compound(ByteOrder::Little, vec![2]), Vec::new()),
        "member `b` of its compound type is an array"
    )]
    fn what_v3_cannot_say_is_refused_by_name(#[case] array: VirtualArray, #[case] reason: &str) {
        assert_eq!(array_document(&array).unwrap_err(), reason);
        let arrays = [(String::from("v"), array)].into();
        let inner = VirtualGroup {
            arrays,
            ..VirtualGroup::default()
        };
        let groups = [(String::from("g"), inner)].into();
        let root = VirtualGroup {
            groups,
            ..VirtualGroup::default()
        };
        let hierarchy = hierarchy(&root);
        assert_eq!(hierarchy.refused["g/v"], reason);
        let document = &hierarchy.documents["zarr.json"];
        assert_eq!(document["attributes"][REFUSED]["g/v"], reason);
        let nodes = document["consolidated_metadata"]["metadata"].as_object();
        assert_eq!(nodes.unwrap().keys().collect::<Vec<_>>(), ["g"]);
    }

    #[rstest]
    #[case::scalar(&[], "c", Some(0))]
    #[case::cube(&[2, 3, 4], "c/1/2/3", Some(23))]
    #[case::version_2(&[2, 3, 4], "1.2.3", None)]
    #[case::dots(&[2, 3, 4], "c/1.2.3", None)]
    #[case::outside(&[2, 3], "c/2/0", None)]
    #[case::too_few(&[2, 3], "c/1", None)]
    #[case::too_many(&[2, 3], "c/1/1/1", None)]
    #[case::leading_zero(&[20], "c/01", None)]
    #[case::no_index(&[20], "c", None)]
    #[case::empty_index(&[20], "c/", None)]
    #[case::scalar_with_index(&[], "c/0", None)]
    #[case::another_name(&[20], "cc/1", None)]
    fn chunk_keys_are_those_of_the_default_encoding(
        #[case] grid: &[u64],
        #[case] key: &str,
        #[case] number: Option<u64>,
    ) {
        assert_eq!(chunk_number(grid, key), number);
    }
}
