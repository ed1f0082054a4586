//! Reference documents as JSON.
//!
//! What is written is `{"version":1,"refs":{…},"landfall":"…"}`. The beginning and the `.zgroup` right behind it are
//! what GDAL recognises a reference file by, and what lets it stream one. `landfall` is a JSON document in a string,
//! as metadata documents are: what a plain reference document cannot say (the version of each file, what was skipped, …), in the one
//! form that neither fsspec, `VirtualiZarr` nor GDAL's streaming parser trips over.

mod document;
mod entry;
mod metadata;
mod read;
mod write;

pub use read::read;
pub use write::write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dataset::{Dimension, Format, Layout, Skipped, Source, VirtualDataset, VirtualGroup};
use crate::rules::Finding;

/// What the `landfall` string holds.
#[derive(Debug, Serialize, Deserialize)]
struct Extra {
    format: Format,
    sources: Vec<Source>,
    skipped: Vec<Skipped>,
    findings: Vec<Finding>,
    /// By path of the array.
    layouts: BTreeMap<String, Layout>,
    /// By path of the group; the root's is empty.
    dimensions: BTreeMap<String, BTreeMap<String, Dimension>>,
    /// Base64 of the fill values whose JSON form loses bits (NaNs with a payload), by path of the array.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    fill_values: BTreeMap<String, String>,
}

impl Extra {
    fn of(dataset: &VirtualDataset) -> Self {
        let mut dimensions = BTreeMap::new();
        collect_dimensions("", &dataset.root, &mut dimensions);
        let arrays = dataset.root.walk();
        let layouts = arrays
            .iter()
            .map(|(path, array)| (path.clone(), array.layout))
            .collect();
        let fill_values = arrays
            .iter()
            .filter_map(|(path, array)| Some((path.clone(), metadata::lossy_fill_value(array)?)))
            .collect();
        Self {
            format: dataset.format,
            sources: dataset.sources.clone(),
            skipped: dataset.skipped.clone(),
            findings: dataset.findings.clone(),
            layouts,
            dimensions,
            fill_values,
        }
    }
}

fn collect_dimensions(
    path: &str,
    group: &VirtualGroup,
    out: &mut BTreeMap<String, BTreeMap<String, Dimension>>,
) {
    if !group.dimensions.is_empty() {
        out.insert(path.to_owned(), group.dimensions.clone());
    }
    for (name, child) in &group.groups {
        collect_dimensions(&join(path, name), child, out);
    }
}

/// The path of a child; the root's path is empty.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::dataset::VirtualArray;
    use crate::decode::ByteRange;
    use crate::manifest::{ChunkManifest, SourceId};
    use crate::zarr::{ByteOrder, Codec, DataType};

    fn array(shape: &[u64], chunk_shape: &[u64], data_type: DataType) -> VirtualArray {
        let names = ["time", "lat", "lon"];
        VirtualArray {
            shape: shape.to_vec(),
            chunk_shape: chunk_shape.to_vec(),
            data_type,
            fill_value: None,
            codecs: Vec::new(),
            dimension_names: names
                .iter()
                .take(shape.len())
                .map(ToString::to_string)
                .collect(),
            attributes: serde_json::Map::new(),
            chunks: ChunkManifest::new(),
            layout: Layout::Chunked,
        }
    }

    /// A dataset with every kind of thing in it.
    fn dataset() -> VirtualDataset {
        let mut tas = array(
            &[4, 5, 6],
            &[1, 5, 4],
            DataType::Float(4, ByteOrder::Little),
        );
        tas.codecs = vec![Codec::Shuffle { element_size: 4 }, Codec::Zlib { level: 4 }];
        tas.fill_value = Some(1e20f32.to_le_bytes().to_vec());
        tas.attributes
            .insert("scale \"q\"".into(), json!([0.1, 1e-300, 3, "é"]));
        for number in [0, 1, 3, 6, 7] {
            let source = SourceId(u32::from(number > 3));
            tas.chunks
                .push(number, source, ByteRange::new(number << 33, 5 + number));
        }
        tas.chunks.insert_inline(5, Bytes::from_static(b"\0\xff"));
        let mut crs = array(&[], &[], DataType::Float(8, ByteOrder::Big));
        crs.fill_value = Some(0x7ff8_0000_0000_0001_u64.to_be_bytes().to_vec());
        crs.chunks = ChunkManifest::inlined(Bytes::from_static(b"12345678"));
        crs.layout = Layout::Compact;
        let empty = array(&[0], &[1], DataType::FixedString(3));
        let time = Dimension {
            length: 4,
            unlimited: true,
        };
        let mut root = VirtualGroup::default();
        root.dimensions.insert("time".into(), time);
        root.arrays
            .extend([("tas".into(), tas.clone()), ("crs".into(), crs)]);
        let mut inner = VirtualGroup::default();
        inner.attributes.insert("title".into(), json!("inner"));
        inner
            .arrays
            .extend([("t\"as".into(), tas), ("empty".into(), empty)]);
        inner.dimensions.insert(
            "time".into(),
            Dimension {
                length: 0,
                unlimited: false,
            },
        );
        root.groups.extend([
            ("inner".into(), inner),
            ("bare".into(), VirtualGroup::default()),
        ]);
        let mut dataset = VirtualDataset::new(Format::Netcdf4, root, 1 << 40);
        dataset.sources[0].url = "az://bronze/a b.nc".into();
        dataset.sources[0].etag = Some("0x8D".into());
        dataset.sources.push(Source {
            url: "file:///t\"mp/b.nc".into(),
            length: 7,
            ..Source::default()
        });
        dataset.skipped.push(Skipped {
            variable: "/x".into(),
            reason: "szip".into(),
            is_data: true,
        });
        dataset
            .findings
            .push(Finding::info("dropped-attribute", Some("/tas"), "gone"));
        dataset
    }

    fn written(dataset: &VirtualDataset) -> Vec<u8> {
        let mut out = Vec::new();
        let length = write(dataset, &mut out).unwrap();
        assert_eq!(length, out.len() as u64);
        out
    }

    #[test]
    fn what_was_written_is_read_back() {
        assert_eq!(read(&written(&dataset())).unwrap(), dataset());
    }

    #[test]
    fn references_have_the_form_that_all_readers_know() {
        let document: Value = serde_json::from_slice(&written(&dataset())).unwrap();
        let refs = &document["refs"];
        assert_eq!(document["version"], 1);
        assert_eq!(refs[".zgroup"], r#"{"zarr_format":2}"#);
        assert_eq!(
            refs["tas/0.0.1"],
            json!(["az://bronze/a b.nc", 1u64 << 33, 6])
        );
        assert_eq!(
            refs["tas/3.0.1"],
            json!(["file:///t\"mp/b.nc", 7u64 << 33, 12])
        );
        assert_eq!(refs["tas/2.0.1"], "base64:AP8=");
        assert_eq!(refs["crs/0"], "base64:MTIzNDU2Nzg=");
        assert_eq!(
            refs["inner/t\"as/0.0.0"],
            json!(["az://bronze/a b.nc", 0, 5])
        );
        assert_eq!(refs.get("tas/1.0.0"), None, "a missing chunk has no key");
        let zarray: Value = serde_json::from_str(refs["tas/.zarray"].as_str().unwrap()).unwrap();
        assert_eq!(zarray["chunks"], json!([1, 5, 4]));
    }

    // GDAL takes a file for references by this beginning, and wants `.zgroup` in its first kilobyte.
    #[test]
    fn the_beginning_is_recognised() {
        let mut dataset = dataset();
        dataset
            .root
            .attributes
            .insert("history".into(), json!("x".repeat(2000)));
        let text = String::from_utf8(written(&dataset)).unwrap();
        assert!(text.starts_with(r#"{"version":1,"refs":{".zgroup":"#));
    }

    #[test]
    fn a_document_cut_anywhere_is_refused() {
        let bytes = written(&dataset());
        let end = bytes.trim_ascii_end().len();
        for length in 0..end {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_chunk_of_an_unlisted_source_is_not_written() {
        let mut dataset = dataset();
        dataset.sources.truncate(1);
        let error = write(&dataset, Vec::new()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    }
}
