//! Reference sets as Parquet, in kerchunk's layout: a directory that fsspec's `LazyReferenceMapper` reads piece by
//! piece.
//!
//! ```text
//! .zmetadata           {"metadata": {".zgroup": {…}, "tas/.zarray": {…}, …}, "record_size": 100000, …}
//! tas/refs.0.parq      chunks 0..record_size of `tas`, numbered in C order over its chunk grid: a row each
//! tas/refs.1.parq      the next; the last one ends with the grid
//! lat/refs.0.parq      every variable has at least one
//! ```
//!
//! Two members of `.zmetadata` are passed over by fsspec: `zarr_consolidated_format`, which makes it the consolidated
//! metadata that Zarr clients know, and `landfall`, which says what it says in a JSON document, and what the tables'
//! checksums are: a set that was copied in part, or while it was replaced, is not taken for another one.

mod read;
mod table;
mod write;

pub use read::read;
pub use write::{File, Files, files};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::extra::Extra;

/// Rows of a table unless another number is asked for; kerchunk's own default.
pub const DEFAULT_RECORD_SIZE: u64 = 100_000;

/// Most rows of a table, read or written: a table is opened as a whole.
pub const MAX_RECORD_SIZE: u64 = 10_000_000;

/// Most tables of one variable, read or written.
const MAX_TABLES: u64 = 100_000;

const ZMETADATA: &str = ".zmetadata";

/// The `landfall` member of `.zmetadata`.
#[derive(Debug, Serialize, Deserialize)]
struct Landfall {
    #[serde(flatten)]
    extra: Extra,
    /// CRC-32 of each table by its name.
    tables: BTreeMap<String, u32>,
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// How many tables the chunks of a variable fill; `None` if they are too many.
fn tables_of(chunks: u64, record_size: u64) -> Option<u64> {
    let tables = chunks.div_ceil(record_size.max(1)).max(1);
    (tables <= MAX_TABLES).then_some(tables)
}

fn table_name(path: &str, number: u64) -> String {
    format!("{path}/refs.{number}.parq")
}

/// Whether the tables of an array stay inside the directory of the set.
fn stays_inside(path: &str) -> bool {
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(['\\', '\0']);
    path.split('/').all(is_name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::dataset::VirtualDataset;
    use crate::decode::ByteRange;
    use crate::kerchunk::KerchunkError;
    use crate::kerchunk::sample::dataset;
    use crate::manifest::{ChunkManifest, SourceId};

    type Set = BTreeMap<String, Bytes>;

    fn written(dataset: &VirtualDataset, record_size: u64) -> Set {
        let files = files(dataset, record_size).unwrap();
        files
            .map(|file| file.map(|file| (file.name, file.bytes)).unwrap())
            .collect()
    }

    fn read_back(set: &Set) -> Result<VirtualDataset, KerchunkError> {
        read(|name| Ok(set.get(name).cloned()))
    }

    #[rstest]
    #[case::in_one_table(100)]
    #[case::cut_inside_a_row_of_chunks(3)]
    #[case::one_chunk_each(1)]
    fn what_was_written_is_read_back(#[case] record_size: u64) {
        let set = written(&dataset(), record_size);
        assert_eq!(read_back(&set).unwrap(), dataset());
        assert_eq!(
            written(&dataset(), record_size),
            set,
            "equal bytes each time"
        );
    }

    // `tas` has eight chunks, the seventh of which would be the second row of the third table.
    #[test]
    fn tables_are_numbered_as_readers_compute_them() {
        let set = written(&dataset(), 3);
        let names: Vec<&str> = set.keys().map(String::as_str).collect();
        let expected = [
            ".zmetadata",
            "crs/refs.0.parq",
            "inner/empty/refs.0.parq",
            "inner/t\"as/refs.0.parq",
            "inner/t\"as/refs.1.parq",
            "inner/t\"as/refs.2.parq",
            "tas/refs.0.parq",
            "tas/refs.1.parq",
            "tas/refs.2.parq",
        ];
        assert_eq!(names, expected);
        let metadata: Value = serde_json::from_slice(&set[".zmetadata"]).unwrap();
        assert_eq!(metadata["record_size"], 3);
        assert_eq!(
            metadata["metadata"]["tas/.zarray"]["chunks"],
            json!([1, 5, 4])
        );
        assert_eq!(metadata["landfall"]["sources"][0]["etag"], "0x8D");
    }

    #[test]
    fn the_metadata_comes_last_so_that_a_part_of_a_set_is_none() {
        let last = files(&dataset(), 3).unwrap().last().unwrap().unwrap();
        assert_eq!(last.name, ".zmetadata");
    }

    /// The set as if another program had written it.
    fn foreign(mut set: Set) -> Set {
        let mut metadata: Value = serde_json::from_slice(&set[".zmetadata"]).unwrap();
        metadata.as_object_mut().unwrap().remove("landfall");
        set.insert(".zmetadata".into(), metadata.to_string().into());
        set
    }

    #[test]
    fn a_lost_table_is_an_error_in_a_set_of_ours() {
        let whole = written(&dataset(), 3);
        for name in whole.keys() {
            let mut set = whole.clone();
            set.remove(name);
            assert!(read_back(&set).is_err(), "without {name}");
        }
        let mut set = foreign(whole);
        set.remove("tas/refs.1.parq");
        let chunks = &read_back(&set).unwrap().root.arrays["tas"].chunks;
        let numbers: Vec<u64> = chunks.iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [0, 1, 6, 7], "3 to 5 are missing chunks to fsspec");
    }

    #[rstest]
    #[case::ours(|set| set)]
    #[case::foreign(foreign)]
    fn a_table_cut_anywhere_is_refused(#[case] form: fn(Set) -> Set) {
        let whole = form(written(&dataset(), 3));
        let name = "tas/refs.0.parq";
        let bytes = &whole[name];
        for length in 0..bytes.len() {
            let mut set = whole.clone();
            set.insert(name.into(), bytes.slice(..length));
            let error = read_back(&set).unwrap_err().to_string();
            assert!(error.contains(name), "cut at {length}: {error}");
        }
    }

    // Without our checksums some damage goes unseen; none of it may stop the program.
    #[test]
    fn damage_is_found_or_does_no_harm() {
        let whole = written(&dataset(), 3);
        let name = "tas/refs.1.parq";
        for at in (0..whole[name].len()).step_by(5) {
            let mut damaged = whole[name].to_vec();
            damaged[at] ^= 0x81;
            let mut set = whole.clone();
            set.insert(name.into(), damaged.into());
            assert!(read_back(&set).is_err(), "byte {at}");
            drop(read_back(&foreign(set)));
        }
    }

    #[test]
    fn a_table_of_another_set_is_refused() {
        let mut set = foreign(written(&dataset(), 3));
        let last = set["tas/refs.2.parq"].clone();
        set.insert("tas/refs.1.parq".into(), last);
        let error = read_back(&set).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.to_string().contains("tas/refs.1.parq"), "{error}");
        assert!(cause.contains("2 of 3 rows"), "{cause}");
    }

    #[rstest]
    #[case::nothing(0)]
    #[case::more_than_a_reader_can_hold(MAX_RECORD_SIZE + 1)]
    fn record_sizes_have_bounds(#[case] record_size: u64) {
        assert!(files(&dataset(), record_size).is_err());
        let mut set = written(&dataset(), 3);
        let text = String::from_utf8(set[".zmetadata"].to_vec()).unwrap();
        let text = text.replace(
            r#""record_size":3"#,
            &format!(r#""record_size":{record_size}"#),
        );
        set.insert(".zmetadata".into(), text.into());
        let error = read_back(&set).unwrap_err().to_string();
        assert!(error.contains("record_size"), "{error}");
    }

    #[test]
    fn what_no_table_can_hold_is_not_written() {
        let fails = |change: fn(&mut VirtualDataset)| {
            let mut dataset = dataset();
            change(&mut dataset);
            let result: std::io::Result<Vec<File>> = files(&dataset, 3).and_then(Iterator::collect);
            result.unwrap_err().kind()
        };
        let invalid = std::io::ErrorKind::InvalidData;
        assert_eq!(fails(|dataset| dataset.sources.truncate(1)), invalid);
        let far = |dataset: &mut VirtualDataset| {
            let mut chunks = ChunkManifest::new();
            chunks.push(0, SourceId(0), ByteRange::new(1 << 63, 1));
            dataset.root.arrays.get_mut("tas").unwrap().chunks = chunks;
        };
        assert_eq!(fails(far), invalid);
        let outside = |dataset: &mut VirtualDataset| {
            let tas = dataset.root.arrays.remove("tas").unwrap();
            dataset.root.arrays.insert("..".into(), tas);
        };
        assert_eq!(fails(outside), invalid);
        let large = |dataset: &mut VirtualDataset| {
            dataset.root.arrays.get_mut("tas").unwrap().shape[0] = 1 << 40;
        };
        assert_eq!(fails(large), invalid);
    }

    #[test]
    fn names_that_lead_out_of_the_directory_are_not_fetched() {
        let zarray = json!({"shape": [1], "chunks": [1], "dtype": "<f4"});
        let attributes = json!({"_ARRAY_DIMENSIONS": ["x"]});
        let metadata = json!({"metadata": {"../v/.zarray": zarray, "../v/.zattrs": attributes}, "record_size": 1});
        let set = Set::from([(".zmetadata".into(), metadata.to_string().into())]);
        let error = read(|name| match set.get(name) {
            Some(bytes) => Ok(Some(bytes.clone())),
            None => unreachable!("{name}"),
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("../v"), "{error}");
    }
}
