//! The reader of reference sets in Parquet: what it accepts is written, and read back as the same.

use std::collections::BTreeMap;
use std::sync::Once;

use bytes::Bytes;
use virtualize::{VirtualDataset, kerchunk::parquet};

/// Chunks of the one array that the tables are of.
const METADATA: &[u8] = br#"{"metadata": {".zgroup": {"zarr_format": 2}, "v/.zarray": {"zarr_format": 2, "shape": [3000],
"chunks": [2], "dtype": "<f4", "fill_value": null, "order": "C", "filters": null, "compressor": null},
"v/.zattrs": {"_ARRAY_DIMENSIONS": ["x"]}}, "record_size": 1000}"#;

/// Reads the bytes as the first table of an array, or, where they begin as one, as the metadata of a set.
pub fn run(bytes: &[u8]) {
    quiet();
    let mut set = BTreeMap::from([(String::from(".zmetadata"), Bytes::from_static(METADATA))]);
    let name = match bytes.first() {
        Some(b'{') => ".zmetadata",
        _ => "v/refs.0.parq",
    };
    set.insert(String::from(name), Bytes::copy_from_slice(bytes));
    let dataset = match read(&set) {
        Ok(dataset) => dataset,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let Some(written) = written(&dataset) else {
        return;
    };
    let back = read(&written).expect("what was written is read");
    let again = self::written(&back).expect("what was read is written");
    assert!(written == again, "a set changes when it is read back");
}

fn read(
    set: &BTreeMap<String, Bytes>,
) -> Result<VirtualDataset, virtualize::kerchunk::KerchunkError> {
    parquet::read(|name| Ok(set.get(name).cloned()))
}

/// An array may claim more chunks than is worth writing here, or name what no file can be called.
fn written(dataset: &VirtualDataset) -> Option<BTreeMap<String, Bytes>> {
    let arrays = dataset.root.walk();
    let chunks = arrays.iter().try_fold(0u64, |sum, (_, array)| {
        let grid = virtualize::dataset::product(&array.chunk_grid())?;
        sum.checked_add(grid)
    });
    chunks.filter(|chunks| *chunks < 100_000)?;
    let files = parquet::files(dataset, 1000).ok()?;
    let files = files.map(|file| file.map(|file| (file.name, file.bytes)));
    files.collect::<Result<_, _>>().ok()
}

/// The decoder of tables panics on some damage, which its caller catches; what is told of it is dropped here, and the
/// fuzzer, which ends the process in the hook, does not hear of it.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let file = panic.location().map_or("", |location| location.file());
            if !in_decoder(file) {
                told(panic);
            }
        }));
    });
}

/// Whether a panic stands in a package that decodes Parquet: its own sources, or those of what it calls.
fn in_decoder(file: &str) -> bool {
    ["/parquet-", "/bytes-", "/thrift-", "/rustc/"]
        .iter()
        .any(|package| file.contains(package))
}
