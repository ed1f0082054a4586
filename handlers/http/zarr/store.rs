//! The keys of one store, in either version of Zarr.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use virtualize::combine::Sharing;
use virtualize::{ByteRange, ChunkEntry, VirtualArray, VirtualDataset, VirtualGroup, zarr};

use super::address::Version;
use crate::catalog::quicklook;

/// One hierarchy: its manifest, and its metadata documents as they are sent.
#[derive(Debug)]
pub(super) struct Store {
    dataset: VirtualDataset,
    metadata: BTreeMap<String, Bytes>,
    /// Rendered when somebody asks for it.
    version_3: OnceLock<Version3>,
    bytes: u64,
}

#[derive(Debug)]
struct Version3 {
    metadata: BTreeMap<String, Bytes>,
    refused: BTreeMap<String, String>,
}

/// What a key stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    /// A metadata document.
    Metadata(Bytes),
    /// The kerchunk document as it is stored.
    Document,
    /// The picture beside it, where there is one.
    Picture,
    /// A chunk that the manifest holds.
    Inline(Bytes),
    /// A chunk in a source.
    Virtual(VirtualChunk),
    /// Nothing, and why.
    Absent(&'static str),
    /// A part of an array that this version of Zarr cannot express, and why.
    Refused(String),
}

/// Where a chunk lies.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VirtualChunk {
    pub(super) url: String,
    /// Version of the source; empty where it has none.
    pub(super) etag: String,
    pub(super) range: ByteRange,
}

impl Store {
    pub(super) fn new(dataset: VirtualDataset) -> Self {
        let mut sharing = Sharing::new();
        let dataset = sharing.shared(dataset);
        let documents = zarr::metadata_documents(&dataset.root);
        let mut metadata: BTreeMap<String, Bytes> = documents
            .into_iter()
            .map(|(key, document)| (key, Bytes::from(document.to_json().to_string())))
            .collect();
        let consolidated = zarr::consolidated_metadata(&dataset.root);
        metadata.insert(
            String::from(".zmetadata"),
            Bytes::from(consolidated.to_string()),
        );
        let rendered = metadata
            .iter()
            .map(|(key, text)| key.len() + text.len())
            .sum::<usize>();
        // Those of version 3 are as long again.
        let rendered = u64::try_from(rendered)
            .unwrap_or(u64::MAX)
            .saturating_mul(2);
        let bytes = sharing.held().bytes.saturating_add(rendered);
        Self {
            dataset,
            metadata,
            version_3: OnceLock::new(),
            bytes,
        }
    }

    /// Bytes of memory that it takes, about.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is of one file, of this version.
    pub(super) fn is_of(&self, etag: &str) -> bool {
        matches!(self.dataset.sources.as_slice(), [source] if source.etag.as_deref() == Some(etag))
    }

    /// What a key stands for.
    pub(super) fn find(&self, version: Version, key: &str) -> Entry {
        let found = match version {
            Version::V2 => self.find_2(key),
            Version::V3 => self.find_3(key),
        };
        found.unwrap_or(Entry::Absent("there is no such key"))
    }

    fn find_2(&self, key: &str) -> Option<Entry> {
        if let Some(document) = self.metadata.get(key) {
            return Some(Entry::Metadata(document.clone()));
        }
        if key == "combined.json" {
            return Some(Entry::Document);
        }
        if key == quicklook::FILE {
            return Some(Entry::Picture);
        }
        let (array, chunk) = self.array(key)?;
        let number = zarr::chunk_number(&array.chunk_grid(), chunk)?;
        self.chunk(array, number)
    }

    fn find_3(&self, key: &str) -> Option<Entry> {
        let version_3 = self
            .version_3
            .get_or_init(|| Version3::of(&self.dataset.root));
        if let Some(document) = version_3.metadata.get(key) {
            return Some(Entry::Metadata(document.clone()));
        }
        let (array, rest) = self.array(key)?;
        let path = key.strip_suffix(rest)?.trim_end_matches('/');
        if let Some(reason) = version_3.refused.get(path) {
            return Some(Entry::Refused(format!(
                "`{path}` is not in this Zarr v3 store: {reason}; the v2 store has it"
            )));
        }
        let number = zarr::v3::chunk_number(&array.chunk_grid(), rest)?;
        self.chunk(array, number)
    }

    /// The array that a key begins with, and the rest of the key.
    fn array<'k>(&self, key: &'k str) -> Option<(&VirtualArray, &'k str)> {
        let mut group: &VirtualGroup = &self.dataset.root;
        let mut rest = key;
        loop {
            let (name, after) = rest.split_once('/')?;
            if let Some(array) = group.arrays.get(name) {
                return Some((array, after));
            }
            group = group.groups.get(name)?;
            rest = after;
        }
    }

    fn chunk(&self, array: &VirtualArray, number: u64) -> Option<Entry> {
        Some(match array.chunks.get(number) {
            ChunkEntry::Missing => Entry::Absent("this chunk is not stored: it holds fill values"),
            ChunkEntry::Inline(bytes) => Entry::Inline(bytes),
            ChunkEntry::Virtual { source, range } => {
                let source = self.dataset.source(source)?;
                let etag = source.etag.clone().unwrap_or_default();
                Entry::Virtual(VirtualChunk {
                    url: source.url.clone(),
                    etag,
                    range,
                })
            }
        })
    }
}

impl Version3 {
    fn of(root: &VirtualGroup) -> Self {
        let hierarchy = zarr::v3::hierarchy(root);
        let documents = hierarchy.documents.into_iter();
        Self {
            metadata: documents
                .map(|(key, document)| (key, Bytes::from(document.to_string())))
                .collect(),
            refused: hierarchy.refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use virtualize::dataset::{Attributes, Format, Layout};
    use virtualize::zarr::{Codec, DataType};
    use virtualize::{ChunkManifest, SourceId};

    use super::*;

    /// `g/v`, whose codec no reader of version 3 has, and `g/c`, whose name looks like a part of a chunk key.
    fn store() -> Store {
        let array = |codecs: Vec<Codec>| VirtualArray {
            shape: vec![4],
            chunk_shape: vec![2],
            data_type: DataType::Bool,
            fill_value: None,
            codecs,
            dimension_names: vec![String::from("x")],
            attributes: Attributes::new(),
            chunks: ChunkManifest::from_rows(SourceId(0), [(0, ByteRange::new(7, 2))]).0,
            layout: Layout::Chunked,
        };
        let inner = VirtualGroup {
            arrays: [
                (String::from("v"), array(vec![Codec::Lzf])),
                (String::from("c"), array(Vec::new())),
            ]
            .into(),
            ..VirtualGroup::default()
        };
        let root = VirtualGroup {
            groups: [(String::from("g"), inner)].into(),
            ..VirtualGroup::default()
        };
        Store::new(VirtualDataset::new(Format::Hdf5, root, 9))
    }

    #[rstest]
    #[case(Version::V2, "g/v/0")]
    #[case(Version::V2, "g/c/0")]
    #[case(Version::V3, "g/c/c/0")]
    fn a_chunk_is_found_in_its_group(#[case] version: Version, #[case] key: &str) {
        let chunk = VirtualChunk {
            url: String::new(),
            etag: String::new(),
            range: ByteRange::new(7, 2),
        };
        assert_eq!(store().find(version, key), Entry::Virtual(chunk));
    }

    #[rstest]
    #[case("g/v/zarr.json")]
    #[case("g/v/c/0")]
    #[case("g/v/c/1")]
    fn what_version_3_cannot_express_is_refused_and_never_absent(#[case] key: &str) {
        let Entry::Refused(reason) = store().find(Version::V3, key) else {
            panic!("{key} is not refused")
        };
        assert_eq!(
            reason,
            "`g/v` is not in this Zarr v3 store: no reader of Zarr v3 decodes its codec lzf; the v2 store has it"
        );
    }

    #[rstest]
    #[case(Version::V2, "g/c/c/0")]
    #[case(Version::V3, "g/c/0")]
    #[case(Version::V3, "g/c/c/1")]
    #[case(Version::V3, "g")]
    #[case(Version::V3, "g/c")]
    #[case(Version::V3, "h/c/c/0")]
    fn other_keys_are_absent(#[case] version: Version, #[case] key: &str) {
        assert!(matches!(store().find(version, key), Entry::Absent(_)));
    }
}
