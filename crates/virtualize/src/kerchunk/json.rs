//! Reference documents as JSON.
//!
//! What is written is `{"version":1,"refs":{…},"landfall":"…"}`. The beginning and the `.zgroup` right behind it are
//! what GDAL recognises a reference file by, and what lets it stream one. `landfall` is a JSON document in a string,
//! as metadata documents are: what a plain reference document cannot say (the version of each file, what was skipped, …), in the one
//! form that neither fsspec, `VirtualiZarr` nor GDAL's streaming parser trips over.

mod document;
mod entry;
mod read;
mod write;

pub use read::{read, read_from};
pub use write::write;

use super::extra::Extra;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dataset::VirtualDataset;
    use crate::kerchunk::sample::dataset;

    fn written(dataset: &VirtualDataset) -> Vec<u8> {
        let mut out = Vec::new();
        let length = write(dataset, &mut out).unwrap();
        assert_eq!(length, out.len() as u64);
        out
    }

    #[test]
    fn what_was_written_is_read_back() {
        let document = written(&dataset());
        assert_eq!(read(&document).unwrap(), dataset());
        assert_eq!(
            read_from(|| Ok(document.as_slice())).unwrap(),
            dataset(),
            "piece by piece"
        );
    }

    #[test]
    fn long_inlined_chunks_are_written_in_pieces() {
        let mut dataset = dataset();
        for length in [70_000u32, 49_152, 49_153] {
            let bytes: Vec<u8> = (0..length).flat_map(u32::to_le_bytes).collect();
            let tas = dataset.root.arrays.get_mut("tas").unwrap();
            tas.chunks.insert_inline(4, bytes.into());
            let document = written(&dataset);
            assert_eq!(read(&document).unwrap(), dataset);
            assert_eq!(read_from(|| Ok(document.as_slice())).unwrap(), dataset);
        }
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
            assert!(read_from(|| Ok(&bytes[..length])).is_err(), "{length}");
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
