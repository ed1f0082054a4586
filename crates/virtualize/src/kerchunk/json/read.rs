//! Reads a reference document, ours or that of others.

use std::collections::{BTreeMap, HashMap};
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::de::{IoRead, Read, SliceRead};

use super::document::{self, Outline};
use super::entry::Entry;
use crate::dataset::{VirtualArray, VirtualDataset};
use crate::decode::ByteRange;
use crate::kerchunk::KerchunkError;
use crate::kerchunk::extra::Extra;
use crate::kerchunk::hierarchy::Hierarchy;
use crate::kerchunk::sources::Sources;
use crate::manifest::{ChunkEntry, ChunkManifest, SourceId};
use crate::zarr;

/// Bytes of a document that are read at once.
const BUFFER: usize = 256 << 10;

/// The dataset that a reference document describes.
///
/// What [`write`](super::write) wrote comes back as it was. Of a plain document (version 0 or 1) the sources are the
/// URLs that it names, without `ETag` and with length 0; its dimensions are those that the arrays show; its format
/// counts as NetCDF-4.
///
/// # Errors
///
/// [`KerchunkError`], naming the key, when a document or an entry cannot be used.
pub fn read(bytes: &[u8]) -> Result<VirtualDataset, KerchunkError> {
    read_twice(|| Ok(SliceRead::new(bytes)))
}

/// The dataset that a reference document describes, which is never in memory as a whole; `open` gives it from its
/// beginning, twice. What can be held is read faster by [`read`].
///
/// # Errors
///
/// As [`read`]; [`KerchunkError::Fetch`] when the document cannot be opened.
pub fn read_from<R: io::Read>(
    open: impl Fn() -> io::Result<R>,
) -> Result<VirtualDataset, KerchunkError> {
    let fail = |source| KerchunkError::Fetch {
        name: String::from("the document"),
        source,
    };
    let buffered = |reader| IoRead::new(io::BufReader::with_capacity(BUFFER, reader));
    read_twice(|| open().map(buffered).map_err(fail))
}

fn read_twice<'de, R: Read<'de>>(
    open: impl Fn() -> Result<R, KerchunkError>,
) -> Result<VirtualDataset, KerchunkError> {
    let mut outline = document::outline(open()?)?;
    let extra = extra(&outline)?;
    let hierarchy = Hierarchy::new(std::mem::take(&mut outline.metadata), extra)?;
    let mut sources = hierarchy.sources();
    let mut rows: HashMap<&str, Rows> = hierarchy
        .arrays()
        .map(|(path, array)| (path, Rows::of(array)))
        .collect();
    document::for_each_chunk(open()?, &outline, |key, entry| {
        let unknown = || KerchunkError::chunk(key, "there is no such array");
        let (path, name) = key.rsplit_once('/').ok_or_else(unknown)?;
        let rows = rows.get_mut(path).ok_or_else(unknown)?;
        rows.add(key, name, entry, &mut sources)
    })?;
    let mut manifests: BTreeMap<String, ChunkManifest> = BTreeMap::new();
    for (path, rows) in rows {
        manifests.insert(path.to_owned(), rows.finish(path)?);
    }
    hierarchy.finish(manifests, sources)
}

fn extra(outline: &Outline) -> Result<Option<Extra>, KerchunkError> {
    let parse = |text: &String| {
        serde_json::from_str(text)
            .map_err(|error| KerchunkError::metadata("landfall", error.to_string()))
    };
    outline.extra.as_ref().map(parse).transpose()
}

/// The chunks of one array as they come: in order of their number straight into the manifest, else aside.
struct Rows {
    grid: Vec<u64>,
    manifest: ChunkManifest,
    late: Vec<(u64, SourceId, ByteRange)>,
    inline: BTreeMap<u64, Bytes>,
}

impl Rows {
    fn of(array: &VirtualArray) -> Self {
        Self {
            grid: array.chunk_grid(),
            manifest: ChunkManifest::new(),
            late: Vec::new(),
            inline: BTreeMap::new(),
        }
    }

    fn add(
        &mut self,
        key: &str,
        name: &str,
        entry: Entry<'_>,
        sources: &mut Sources,
    ) -> Result<(), KerchunkError> {
        let problem = |problem: &str| KerchunkError::chunk(key, problem);
        let number = zarr::chunk_number(&self.grid, name)
            .ok_or_else(|| problem("the chunk grid of its array has no such chunk"))?;
        match entry {
            Entry::Text(text) => {
                let bytes = inline(&text).ok_or_else(|| problem("its base64 is damaged"))?;
                self.put(number, bytes).map_err(problem)?;
            }
            Entry::Bytes(bytes) => self.put(number, bytes).map_err(problem)?,
            Entry::Range {
                url,
                offset,
                length,
            } => {
                offset
                    .checked_add(length)
                    .ok_or_else(|| problem("its range ends beyond every file"))?;
                let id = sources.id(&url).ok_or_else(|| problem("too many files"))?;
                let range = ByteRange::new(offset, length);
                if !self.manifest.push(number, id, range) {
                    self.late.push((number, id, range));
                }
            }
            Entry::Whole => return Err(problem("unsupported: a whole file as a chunk")),
            Entry::Object(_) => return Err(problem("it is an object, not a chunk")),
        }
        Ok(())
    }

    fn put(&mut self, number: u64, bytes: Bytes) -> Result<(), &'static str> {
        match self.inline.insert(number, bytes) {
            None => Ok(()),
            Some(_) => Err("it is there twice"),
        }
    }

    fn finish(mut self, path: &str) -> Result<ChunkManifest, KerchunkError> {
        let twice = |number| {
            let key = format!("{path}/{}", zarr::chunk_key(&self.grid, number));
            KerchunkError::chunk(&key, "it is there twice")
        };
        if !self.late.is_empty() {
            let placed = self
                .manifest
                .iter()
                .filter_map(|(number, entry)| match entry {
                    ChunkEntry::Virtual { source, range } => Some((number, source, range)),
                    ChunkEntry::Inline(_) | ChunkEntry::Missing => None,
                });
            self.late.extend(placed);
            self.late.sort_unstable_by_key(|(number, ..)| *number);
            let mut manifest = ChunkManifest::new();
            for (number, source, range) in self.late {
                if !manifest.push(number, source, range) {
                    return Err(twice(number));
                }
            }
            self.manifest = manifest;
        }
        for (number, bytes) in self.inline {
            if self.manifest.get(number) != ChunkEntry::Missing {
                return Err(twice(number));
            }
            self.manifest.insert_inline(number, bytes);
        }
        Ok(self.manifest)
    }
}

fn inline(text: &str) -> Option<Bytes> {
    match text.strip_prefix("base64:") {
        Some(encoded) => BASE64.decode(encoded).ok().map(Bytes::from),
        None => Some(Bytes::copy_from_slice(text.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ZARRAY: &str = r#""{\"zarr_format\":2,\"shape\":[4,3],\"chunks\":[2,3],\"dtype\":\"<f4\",\"fill_value\":\"NaN\",\"order\":\"C\",\"filters\":[{\"id\":\"shuffle\",\"elementsize\":4}],\"compressor\":{\"id\":\"zlib\",\"level\":4}}""#;
    const ZATTRS: &str = r#""{\"_ARRAY_DIMENSIONS\":[\"y\",\"x\"],\"_FillValue\":NaN}""#;

    /// A document with the array `g/v` and these further members of `refs`.
    fn document(refs: &str) -> String {
        format!(
            r#"{{"version":1,"refs":{{{refs},"g/v/.zattrs":{ZATTRS},"g/v/.zarray":{ZARRAY},".zgroup":"{{\"zarr_format\":2}}"}}}}"#
        )
    }

    #[rstest]
    #[case::version_1(|document| document)]
    #[case::version_0(|document: String| {
        let flat = document.replace(r#"{"version":1,"refs":{"#, "{");
        flat.strip_suffix('}').map(str::to_owned).unwrap()
    })]
    fn plain_documents_are_read_in_any_order(#[case] form: fn(String) -> String) {
        let refs = r#""g/v/1.0":["s3://b/f.nc",70,30],"g/v/0.0":["s3://b/f.nc",10,60]"#;
        let document = form(document(refs));
        let dataset = read(document.as_bytes()).unwrap();
        let array = &dataset.root.groups["g"].arrays["v"];
        assert_eq!(array.shape, [4, 3]);
        assert_eq!(array.fill_value, Some(f32::NAN.to_le_bytes().to_vec()));
        assert_eq!(array.dimension_names, ["y", "x"]);
        assert_eq!(array.attributes["_FillValue"], "NaN");
        let names: Vec<_> = array.codecs.iter().map(zarr::Codec::name).collect();
        assert_eq!(names, ["shuffle", "gzip"]);
        let range = |start, len| ChunkEntry::Virtual {
            source: SourceId(0),
            range: ByteRange::new(start, len),
        };
        assert_eq!(array.chunks.get(0), range(10, 60));
        assert_eq!(array.chunks.get(1), range(70, 30));
        assert_eq!(dataset.sources.len(), 1);
        assert_eq!(dataset.sources[0].url, "s3://b/f.nc");
        assert_eq!(dataset.root.groups["g"].dimensions["y"].length, 4);
    }

    #[rstest]
    #[case::outside_the_grid(r#""g/v/2.0":["u",0,1]"#, "chunk `g/v/2.0`: the chunk grid")]
    #[case::too_few_indices(r#""g/v/1":["u",0,1]"#, "chunk `g/v/1`: the chunk grid")]
    #[case::no_array(r#""g/w/0.0":["u",0,1]"#, "chunk `g/w/0.0`: there is no such array")]
    #[case::no_slash(r#""0.0":["u",0,1]"#, "chunk `0.0`: there is no such array")]
    #[case::overflow(
        r#""g/v/0.0":["u",18446744073709551615,1]"#,
        "chunk `g/v/0.0`: its range"
    )]
    #[case::base64(r#""g/v/0.0":"base64:!""#, "chunk `g/v/0.0`: its base64")]
    #[case::whole_file(r#""g/v/0.0":["u"]"#, "chunk `g/v/0.0`: unsupported: a whole file")]
    #[case::object(r#""g/v/0.0":{}"#, "chunk `g/v/0.0`: it is an object")]
    #[case::twice(
        r#""g/v/0.0":["u",0,1],"g/v/0.0":["u",5,1]"#,
        "chunk `g/v/0.0`: it is there twice"
    )]
    #[case::inline_and_not(
        r#""g/v/0.0":["u",0,1],"g/v/0.0":"a""#,
        "chunk `g/v/0.0`: it is there twice"
    )]
    #[case::reference_as_metadata(
        r#"".zattrs":["u",0,1]"#,
        "metadata `.zattrs`: it is a reference"
    )]
    #[case::group_below_an_array(
        r#""g/v/w/.zgroup":"{}""#,
        "metadata `g/v`: an array cannot stand here"
    )]
    #[case::empty_name(r#""g//.zgroup":"{}""#, "metadata `g//.zgroup`: its path")]
    #[case::v3(r#""zarr.json":"{}""#, "metadata `zarr.json`: only a Zarr v2")]
    #[case::not_json(r#"".zattrs":"{""#, "metadata `.zattrs`: EOF")]
    fn what_is_wrong_is_named(#[case] refs: &str, #[case] message: &str) {
        let error = read(document(refs).as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }

    #[rstest]
    #[case(
        r#"{"version":1,"templates":{"u":"s3"},"refs":{}}"#,
        "unsupported: kerchunk `templates`"
    )]
    #[case(r#"{"version":1,"refs":{},"gen":[]}"#, "unsupported: kerchunk `gen`")]
    #[case(r#"{"version":2,"refs":{}}"#, "kerchunk version 2 is not supported")]
    #[case(r#"{"version":1,"refs":[]}"#, "not a kerchunk document")]
    #[case("[]", "not a kerchunk document")]
    #[case(r#"{"version":1,"refs":{}} x"#, "not a kerchunk document")]
    fn other_documents_are_refused(#[case] document: &str, #[case] message: &str) {
        let error = read(document.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }

    #[test]
    fn depth_is_bounded() {
        let path = "g/".repeat(100_000);
        let document = format!(r#"{{"version":1,"refs":{{"{path}.zgroup":"{{}}"}}}}"#);
        let error = read(document.as_bytes()).unwrap_err().to_string();
        assert!(error.ends_with("its path is not that of a group"));
    }
}
