//! A dataset for the tests of every form of reference set.

use bytes::Bytes;
use serde_json::json;

use crate::dataset::{
    Dimension, Format, Layout, Skipped, Source, VirtualArray, VirtualDataset, VirtualGroup,
};
use crate::decode::ByteRange;
use crate::manifest::{ChunkManifest, SourceId};
use crate::rules::Finding;
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
        attributes: crate::dataset::Attributes::new(),
        chunks: ChunkManifest::new(),
        layout: Layout::Chunked,
    }
}

/// A dataset with every kind of thing in it.
pub(super) fn dataset() -> VirtualDataset {
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
