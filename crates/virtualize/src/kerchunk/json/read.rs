//! Reads a reference document, ours or that of others.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use super::document::{self, Outline};
use super::entry::Entry;
use super::{Extra, join, metadata};
use crate::dataset::{
    Dimension, Format, Layout, Source, VirtualArray, VirtualDataset, VirtualGroup,
};
use crate::decode::ByteRange;
use crate::kerchunk::KerchunkError;
use crate::manifest::{ChunkEntry, ChunkManifest, SourceId};
use crate::zarr;

const MAX_DEPTH: usize = 64;

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
    let outline = document::outline(bytes)?;
    let mut arrays = arrays(&outline)?;
    let extra = extra(&outline)?;
    if let Some(extra) = &extra {
        restore(&mut arrays, extra)?;
    }
    let listed = extra.as_ref().map(|extra| extra.sources.clone());
    let mut sources = Sources::new(listed.unwrap_or_default());
    let mut rows: HashMap<&str, Rows> = arrays
        .iter()
        .map(|(path, array)| (path.as_str(), Rows::of(array)))
        .collect();
    document::for_each_chunk(bytes, &outline, |key, entry| {
        let unknown = || KerchunkError::chunk(key, "there is no such array");
        let (path, name) = key.rsplit_once('/').ok_or_else(unknown)?;
        let rows = rows.get_mut(path).ok_or_else(unknown)?;
        rows.add(key, name, entry, &mut sources)
    })?;
    let mut manifests: BTreeMap<String, ChunkManifest> = BTreeMap::new();
    for (path, rows) in rows {
        manifests.insert(path.to_owned(), rows.finish(path)?);
    }
    for (path, array) in &mut arrays {
        array.chunks = manifests.remove(path).unwrap_or_default();
    }
    let mut root = tree(&outline, arrays)?;
    match &extra {
        Some(extra) => set_dimensions("", &mut root, extra),
        None => infer_dimensions(&mut root, &mut Vec::new()),
    }
    Ok(VirtualDataset {
        format: extra.as_ref().map_or(Format::Netcdf4, |extra| extra.format),
        root,
        sources: sources.list,
        skipped: extra
            .as_ref()
            .map_or_else(Vec::new, |extra| extra.skipped.clone()),
        findings: extra.map_or_else(Vec::new, |extra| extra.findings),
    })
}

fn extra(outline: &Outline) -> Result<Option<Extra>, KerchunkError> {
    let parse = |text: &String| {
        serde_json::from_str(text)
            .map_err(|error| KerchunkError::metadata("landfall", error.to_string()))
    };
    outline.extra.as_ref().map(parse).transpose()
}

/// Every array, without chunks, by path.
fn arrays(outline: &Outline) -> Result<BTreeMap<String, VirtualArray>, KerchunkError> {
    let mut arrays = BTreeMap::new();
    for (key, document) in &outline.metadata {
        let v3 = key == "zarr.json" || key.ends_with("/zarr.json");
        if v3 || key == ".zarray" {
            let problem = "only a Zarr v2 hierarchy below a root group is supported";
            return Err(KerchunkError::metadata(key, problem));
        }
        let Some(path) = key.strip_suffix("/.zarray") else {
            continue;
        };
        let attributes = attributes_of(outline, &format!("{path}/.zattrs"))?;
        arrays.insert(path.to_owned(), metadata::array(key, document, attributes)?);
    }
    Ok(arrays)
}

fn attributes_of(
    outline: &Outline,
    key: &str,
) -> Result<crate::dataset::Attributes, KerchunkError> {
    let document = outline.metadata.get(key);
    document.map_or_else(
        || Ok(crate::dataset::Attributes::new()),
        |text| metadata::attributes(key, text),
    )
}

/// Gives the arrays what their metadata documents cannot say.
fn restore(
    arrays: &mut BTreeMap<String, VirtualArray>,
    extra: &Extra,
) -> Result<(), KerchunkError> {
    for (path, array) in arrays {
        let layout = extra.layouts.get(path).copied();
        array.layout = layout.unwrap_or(Layout::Contiguous);
        if let Some(text) = extra.fill_values.get(path) {
            let element = BASE64.decode(text).ok();
            let sized =
                element.filter(|e| u64::try_from(e.len()).ok() == Some(array.data_type.size()));
            let problem = || KerchunkError::metadata("landfall", format!("fill value of `{path}`"));
            array.fill_value = Some(sized.ok_or_else(problem)?);
        }
    }
    Ok(())
}

/// The sources by URL.
struct Sources {
    list: Vec<Source>,
    by_url: HashMap<String, SourceId>,
    last: SourceId,
}

impl Sources {
    fn new(list: Vec<Source>) -> Self {
        let mut by_url = HashMap::new();
        for (source, id) in list.iter().zip(0..) {
            by_url.entry(source.url.clone()).or_insert(SourceId(id));
        }
        Self {
            list,
            by_url,
            last: SourceId(0),
        }
    }

    /// The source of a URL, which becomes one if it is not yet; neighbours mostly share theirs.
    fn id(&mut self, url: &str) -> Option<SourceId> {
        let last = usize::try_from(self.last.0).ok()?;
        if self.list.get(last).is_some_and(|source| source.url == url) {
            return Some(self.last);
        }
        self.last = match self.by_url.get(url) {
            Some(id) => *id,
            None => {
                let id = SourceId(u32::try_from(self.list.len()).ok()?);
                self.list.push(Source {
                    url: url.to_owned(),
                    ..Source::default()
                });
                self.by_url.insert(url.to_owned(), id);
                id
            }
        };
        Some(self.last)
    }
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
                if self.inline.insert(number, bytes).is_some() {
                    return Err(problem("it is there twice"));
                }
            }
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

/// The hierarchy of groups with the arrays in their places.
fn tree(
    outline: &Outline,
    arrays: BTreeMap<String, VirtualArray>,
) -> Result<VirtualGroup, KerchunkError> {
    let mut root = VirtualGroup::default();
    for key in outline.metadata.keys() {
        let path = match key.rsplit_once('/') {
            Some((path, ".zgroup" | ".zattrs")) if !arrays.contains_key(path) => path,
            None if key == ".zattrs" => "",
            _ => continue,
        };
        let attributes = attributes_of(outline, &join(path, ".zattrs"))?;
        group_at(&mut root, path, key)?.attributes = attributes;
    }
    for (path, array) in arrays {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let group = group_at(&mut root, parent, &path)?;
        if name.is_empty() || group.groups.contains_key(name) {
            return Err(KerchunkError::metadata(&path, "an array cannot stand here"));
        }
        group.arrays.insert(name.to_owned(), array);
    }
    Ok(root)
}

/// The group at `path`, made with all above it if it is not there yet.
fn group_at<'g>(
    root: &'g mut VirtualGroup,
    path: &str,
    key: &str,
) -> Result<&'g mut VirtualGroup, KerchunkError> {
    if path.is_empty() {
        return Ok(root);
    }
    let mut group = root;
    for (depth, name) in path.split('/').enumerate() {
        if depth >= MAX_DEPTH || name.is_empty() || group.arrays.contains_key(name) {
            return Err(KerchunkError::metadata(
                key,
                "its path is not that of a group",
            ));
        }
        group = group.groups.entry(name.to_owned()).or_default();
    }
    Ok(group)
}

fn set_dimensions(path: &str, group: &mut VirtualGroup, extra: &Extra) {
    group.dimensions = extra.dimensions.get(path).cloned().unwrap_or_default();
    for (name, child) in &mut group.groups {
        set_dimensions(&join(path, name), child, extra);
    }
}

/// Declares the dimensions that the arrays show, unless the nearest declaration above says the same.
fn infer_dimensions(group: &mut VirtualGroup, above: &mut Vec<BTreeMap<String, Dimension>>) {
    for array in group.arrays.values() {
        for (name, length) in array.dimension_names.iter().zip(&array.shape) {
            let dimension = Dimension {
                length: *length,
                unlimited: false,
            };
            let mut declared = above.iter().rev().filter_map(|level| level.get(name));
            if declared.next() != Some(&dimension) {
                group.dimensions.insert(name.clone(), dimension);
            }
        }
    }
    above.push(group.dimensions.clone());
    for child in group.groups.values_mut() {
        infer_dimensions(child, above);
    }
    above.pop();
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
