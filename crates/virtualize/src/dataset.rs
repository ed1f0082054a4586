//! The result of decoding: a Zarr hierarchy whose chunks stay in the source files.

mod attributes;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decode::{DecodeError, SourceBuffer};
use crate::manifest::{ChunkManifest, SourceId};
use crate::rules::Finding;
use crate::zarr::{Codec, DataType};

pub use attributes::Attributes;
pub(crate) use attributes::finite_part;

/// The format of a source file, by its magic number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// NetCDF classic, `CDF\x01`.
    #[serde(rename = "CDF1")]
    Cdf1,
    /// NetCDF with 64-bit offsets, `CDF\x02`.
    #[serde(rename = "CDF2")]
    Cdf2,
    /// NetCDF with 64-bit data, `CDF\x05`.
    #[serde(rename = "CDF5")]
    Cdf5,
    /// HDF5 with NetCDF-4's conventions.
    #[serde(rename = "NETCDF4")]
    Netcdf4,
    /// Plain HDF5.
    #[serde(rename = "HDF5")]
    Hdf5,
}

/// A file that chunks lie in, pinned to one version of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where the file is, as references name it.
    pub url: String,
    /// `ETag` without quotes; `None` where the store has none.
    pub etag: Option<String>,
    /// Length in bytes.
    pub length: u64,
    /// RFC 3339 time of the last change, where the store tells.
    pub last_modified: Option<String>,
}

/// A variable that is not in the dataset, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Absolute path of the variable, such as `/group/name`.
    pub variable: String,
    /// Why it was left out, for a person.
    pub reason: String,
    /// Whether it holds data in the sense of SPEC §3: its loss makes the file unfit to publish.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_data: bool,
}

/// A dimension of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dimension {
    /// Its length.
    pub length: u64,
    /// Whether it can grow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlimited: bool,
}

/// How a variable is laid out in its source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// The values stand in the object header.
    Compact,
    /// One run of bytes.
    #[default]
    Contiguous,
    /// Chunks of equal shape.
    Chunked,
    /// Interleaved with others, record by record (classic format); records of one variable alone are one run of bytes.
    Record,
}

/// One variable as a Zarr array.
#[derive(Debug, Clone, PartialEq)]
pub struct VirtualArray {
    /// Length of each dimension.
    pub shape: Vec<u64>,
    /// Shape of a chunk; as many entries as `shape`, none of them 0.
    pub chunk_shape: Vec<u64>,
    /// Type of an element.
    pub data_type: DataType,
    /// One element as stored (in the byte order of `data_type`), or none: SPEC §3, fill values.
    pub fill_value: Option<Vec<u8>>,
    /// Codecs in the order of encoding; decoding runs backwards.
    pub codecs: Vec<Codec>,
    /// Name of each dimension.
    pub dimension_names: Vec<String>,
    /// Attributes without those of the file format.
    pub attributes: Attributes,
    /// Where each chunk is.
    pub chunks: ChunkManifest,
    /// Layout in the source file, before any cutting.
    pub layout: Layout,
}

impl VirtualArray {
    /// Number of elements of the array; `None` if it overflows.
    pub fn len(&self) -> Option<u64> {
        product(&self.shape)
    }

    /// Whether the array has no element.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Decoded size of the whole array in bytes; `None` if it overflows.
    pub fn nbytes(&self) -> Option<u64> {
        self.len()?.checked_mul(self.data_type.size())
    }

    /// Decoded size of one chunk in bytes; `None` if it overflows.
    pub fn chunk_nbytes(&self) -> Option<u64> {
        product(&self.chunk_shape)?.checked_mul(self.data_type.size())
    }

    /// Number of chunks along each dimension.
    pub fn chunk_grid(&self) -> Vec<u64> {
        let pairs = self.shape.iter().zip(&self.chunk_shape);
        pairs
            .map(|(len, chunk)| len.div_ceil((*chunk).max(1)))
            .collect()
    }
}

/// The product of lengths; `None` if it overflows.
pub fn product(lengths: &[u64]) -> Option<u64> {
    lengths
        .iter()
        .try_fold(1u64, |all, length| all.checked_mul(*length))
}

/// A group: arrays, dimensions, attributes and further groups.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VirtualGroup {
    /// Attributes without those of the file format.
    pub attributes: Attributes,
    /// Dimensions declared here (not those inherited from the parents).
    pub dimensions: BTreeMap<String, Dimension>,
    /// Variables by name.
    pub arrays: BTreeMap<String, VirtualArray>,
    /// Groups by name.
    pub groups: BTreeMap<String, VirtualGroup>,
}

impl VirtualGroup {
    /// Every array below this group with its path relative to it (`group/name`), sorted by path.
    pub fn walk(&self) -> Vec<(String, &VirtualArray)> {
        let mut out = Vec::new();
        self.walk_into("", &mut out);
        out
    }

    fn walk_into<'a>(&'a self, prefix: &str, out: &mut Vec<(String, &'a VirtualArray)>) {
        out.extend(
            self.arrays
                .iter()
                .map(|(name, array)| (format!("{prefix}{name}"), array)),
        );
        for (name, group) in &self.groups {
            group.walk_into(&format!("{prefix}{name}/"), out);
        }
    }
}

/// What one file, or a whole series, looks like as Zarr.
#[derive(Debug, Clone, PartialEq)]
pub struct VirtualDataset {
    /// Format of the source file(s).
    pub format: Format,
    /// The root group.
    pub root: VirtualGroup,
    /// The files that chunks lie in; [`SourceId`] is the position here.
    pub sources: Vec<Source>,
    /// Variables that were left out, with the reason.
    pub skipped: Vec<Skipped>,
    /// What is worth telling but did no harm (dropped attributes, odd structures).
    pub findings: Vec<Finding>,
}

impl VirtualDataset {
    /// A dataset over one file that is not named yet.
    pub fn new(format: Format, root: VirtualGroup, file_len: u64) -> Self {
        let source = Source {
            length: file_len,
            ..Source::default()
        };
        Self {
            format,
            root,
            sources: vec![source],
            skipped: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Number of chunks that are somewhere, over all arrays.
    pub fn chunk_count(&self) -> usize {
        let arrays = self.root.walk();
        arrays.iter().map(|(_, array)| array.chunks.len()).sum()
    }

    /// The source that an entry of a manifest names.
    pub fn source(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(usize::try_from(id.0).ok()?)
    }
}

/// What the first bytes of a file say that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Magic {
    Classic,
    Hdf5 { superblock_at: u64 },
}

const HDF5_SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Recognises a file by its magic number; HDF5's may stand behind a user block of 512, 1024, … bytes.
pub(crate) async fn sniff(buffer: &SourceBuffer) -> Result<Magic, DecodeError> {
    let head = buffer.read_up_to("magic number", 0, 8).await?;
    if head.starts_with(b"CDF") {
        return Ok(Magic::Classic);
    }
    if head.as_ref() == HDF5_SIGNATURE {
        return Ok(Magic::Hdf5 { superblock_at: 0 });
    }
    if let Some(name) = foreign(&head) {
        return Err(DecodeError::NotNetcdf(format!("this is {name}")));
    }
    let mut at = 512u64;
    while at.saturating_add(8) <= buffer.file_len() {
        if buffer.read("superblock signature", at, 8).await?.as_ref() == HDF5_SIGNATURE {
            return Ok(Magic::Hdf5 { superblock_at: at });
        }
        at = at.saturating_mul(2);
    }
    Err(DecodeError::NotNetcdf(format!(
        "it starts with {}",
        printable(&head)
    )))
}

fn foreign(head: &[u8]) -> Option<&'static str> {
    let names: [(&[u8], &str); 6] = [
        (b"\x0e\x03\x13\x01", "HDF4"),
        (b"GRIB", "GRIB"),
        (b"BUFR", "BUFR"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b", "gzip-compressed"),
        (b"II*\x00", "TIFF"),
    ];
    names
        .into_iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, name)| name)
}

fn printable(head: &[u8]) -> String {
    head.iter()
        .take(8)
        .flat_map(|byte| std::ascii::escape_default(*byte))
        .map(char::from)
        .collect()
}
