//! Joins the chunks of one variable along an axis: manifests, and inlined values.

use bytes::Bytes;

use crate::combine::CombineError;
use crate::combine::input::{Input, Series, axis_along};
use crate::combine::ragged::Member;
use crate::combine::values::{Reader, as_u64, as_usize, string_chunk, strings, to_little_endian};
use crate::dataset::{VirtualArray, product};
use crate::decode::ByteRange;
use crate::manifest::{ChunkEntry, ChunkManifest, SourceId};
use crate::zarr::{CodecError, DataType};

/// The joined array of a variable whose chunks stay where they are.
pub(super) fn virtual_array(
    path: &str,
    axis: usize,
    chunk_shape: &[u64],
    members: &[Member<'_>],
    bases: &[u32],
) -> Result<Option<VirtualArray>, CombineError> {
    let Some(first) = members.iter().find_map(|member| member.array) else {
        return Ok(None);
    };
    let mut joined = VirtualArray {
        chunk_shape: chunk_shape.to_vec(),
        chunks: ChunkManifest::new(),
        ..first.clone()
    };
    if let Some(length) = joined.shape.get_mut(axis) {
        *length = members
            .iter()
            .fold(0, |sum: u64, member| sum.saturating_add(member.len));
    }
    let mut rows = Rows::new(&joined, axis);
    for (member, base) in members.iter().zip(bases) {
        rows.append(path, member, *base)?;
    }
    joined.chunks = rows.into_manifest();
    Ok(Some(joined))
}

/// Collects the chunks of the joined array, which ascend by themselves along the first axis.
struct Rows {
    axis: usize,
    /// Length of a new chunk along the axis.
    chunk: u64,
    /// Chunks of the new grid along the axis.
    count: u64,
    /// Chunks behind the axis: the distance between neighbours along it.
    inner: u64,
    /// Bytes of one step inside a chunk.
    stride: u64,
    /// Steps before the current file.
    start: u64,
    manifest: ChunkManifest,
    unsorted: Vec<(u64, SourceId, ByteRange)>,
}

impl Rows {
    fn new(joined: &VirtualArray, axis: usize) -> Self {
        let grid = joined.chunk_grid();
        let behind = |lengths: &[u64]| lengths.get(axis + 1..).and_then(product).unwrap_or(0);
        Self {
            axis,
            chunk: joined.chunk_shape.get(axis).copied().unwrap_or(1).max(1),
            count: grid.get(axis).copied().unwrap_or(0),
            inner: behind(&grid),
            stride: behind(&joined.chunk_shape).saturating_mul(joined.data_type.size()),
            start: 0,
            manifest: ChunkManifest::new(),
            unsorted: Vec::new(),
        }
    }

    fn append(&mut self, path: &str, member: &Member<'_>, base: u32) -> Result<(), CombineError> {
        let start = self.start;
        self.start = start.saturating_add(member.len);
        let Some(array) = member.array.filter(|array| !array.is_empty()) else {
            return Ok(());
        };
        let own = array.chunk_shape.get(self.axis).copied().unwrap_or(1);
        let own_count = member.len.div_ceil(own.max(1)).max(1);
        for (number, entry) in array.chunks.iter() {
            let rest = number % self.inner.max(1);
            let above = number / self.inner.max(1);
            let (outer, index) = (above / own_count, above % own_count);
            let at = index.saturating_mul(own);
            let first = start.saturating_add(at) / self.chunk;
            let (count, inner) = (self.count, self.inner);
            let new_number = |piece: u64| {
                let along = outer
                    .saturating_mul(count)
                    .saturating_add(first)
                    .saturating_add(piece);
                along.saturating_mul(inner).saturating_add(rest)
            };
            if own == self.chunk {
                self.put(new_number(0), base, entry);
                continue;
            }
            let pieces = own.min(member.len.saturating_sub(at)) / self.chunk;
            for piece in 0..pieces {
                let number = new_number(piece);
                let part = self
                    .piece(&entry, piece)
                    .map_err(|source| CombineError::Chunk {
                        file: member.file.name.clone(),
                        variable: path.to_owned(),
                        source,
                    })?;
                self.put(number, base, part);
            }
        }
        Ok(())
    }

    /// One of the new chunks that an old one without codecs is cut into.
    fn piece(&self, entry: &ChunkEntry, piece: u64) -> Result<ChunkEntry, CodecError> {
        let len = self.chunk.saturating_mul(self.stride);
        let from = piece.saturating_mul(len);
        let end = from.saturating_add(len);
        let short = |actual| CodecError::Size {
            expected: end,
            actual,
        };
        match entry {
            ChunkEntry::Missing => Ok(ChunkEntry::Missing),
            ChunkEntry::Inline(bytes) if end <= as_u64(bytes.len()) => Ok(ChunkEntry::Inline(
                bytes.slice(as_usize(from)..as_usize(end)),
            )),
            ChunkEntry::Inline(bytes) => Err(short(as_u64(bytes.len()))),
            ChunkEntry::Virtual { source, range } if end <= range.len => {
                let range = ByteRange::new(range.start.saturating_add(from), len);
                Ok(ChunkEntry::Virtual {
                    source: *source,
                    range,
                })
            }
            ChunkEntry::Virtual { range, .. } => Err(short(range.len)),
        }
    }

    fn put(&mut self, number: u64, base: u32, entry: ChunkEntry) {
        match entry {
            ChunkEntry::Missing => {}
            ChunkEntry::Inline(bytes) => self.manifest.insert_inline(number, bytes),
            ChunkEntry::Virtual { source, range } => {
                let source = SourceId(source.0.saturating_add(base));
                if !self.unsorted.is_empty() || !self.manifest.push(number, source, range) {
                    self.unsorted.push((number, source, range));
                }
            }
        }
    }

    fn into_manifest(self) -> ChunkManifest {
        if self.unsorted.is_empty() {
            return self.manifest;
        }
        let mut manifest = ChunkManifest::new();
        let mut rows = self.unsorted;
        for (number, entry) in self.manifest.iter() {
            match entry {
                ChunkEntry::Virtual { source, range } => rows.push((number, source, range)),
                ChunkEntry::Inline(bytes) => manifest.insert_inline(number, bytes),
                ChunkEntry::Missing => {}
            }
        }
        rows.sort_unstable();
        for (number, source, range) in rows {
            manifest.push(number, source, range);
        }
        manifest
    }
}

/// The joined array of a variable whose values are read and inlined; `None` while bytes are missing.
pub(super) fn inlined_array(
    series: &Series<'_>,
    path: &str,
    members: &[Member<'_>],
    reader: &mut Reader<'_>,
) -> Result<Option<VirtualArray>, CombineError> {
    let Some((_, first)) = series.first(path) else {
        return Ok(None);
    };
    let axis = axis_along(first, series.dim).unwrap_or(0);
    let bytes = match (&first.data_type, axis) {
        (DataType::VlenString, _) => {
            parts(path, members, reader)?.map(|parts| join_strings(first, axis, members, &parts))
        }
        (_, 0) => append(first, path, members, reader)?,
        _ => parts(path, members, reader)?.map(|parts| interleave(first, axis, members, &parts)),
    };
    let Some(bytes) = bytes else {
        return Ok(None);
    };
    let mut shape = first.shape.clone();
    if let Some(length) = shape.get_mut(axis) {
        *length = members
            .iter()
            .fold(0, |sum: u64, member| sum.saturating_add(member.len));
    }
    Ok(Some(inline(
        first,
        shape,
        first.data_type.to_little_endian(),
        bytes,
    )))
}

/// The values of each file that holds the variable; `None` while bytes are missing.
fn parts(
    path: &str,
    members: &[Member<'_>],
    reader: &mut Reader<'_>,
) -> Result<Option<Vec<Option<Vec<u8>>>>, CombineError> {
    let mut parts = Vec::new();
    for member in members {
        parts.push(match member.array {
            Some(array) => reader.values(member.file, path, array)?,
            None => None,
        });
    }
    let mut both = members.iter().zip(&parts);
    let complete = both.all(|(member, part)| part.is_some() == member.array.is_some());
    Ok(complete.then_some(parts))
}

/// The values of all files one after the other, those of absent ones filled; no file's are held beside the joined ones.
fn append(
    first: &VirtualArray,
    path: &str,
    members: &[Member<'_>],
    reader: &mut Reader<'_>,
) -> Result<Option<Vec<u8>>, CombineError> {
    let inner = first.shape.get(1..).and_then(product).unwrap_or(0);
    let step = inner.saturating_mul(first.data_type.size());
    let fill = little_endian_fill(first);
    let (mut out, mut waiting) = (Vec::new(), false);
    for member in members {
        let len = as_usize(member.len.saturating_mul(step));
        let Some(array) = member.array else {
            let elements = as_usize(member.len.saturating_mul(inner));
            out.extend(fill.as_deref().unwrap_or_default().repeat(elements));
            continue;
        };
        match reader.values(member.file, path, array)? {
            Some(values) => out.extend_from_slice(values.get(..len).unwrap_or_default()),
            None => waiting = true,
        }
    }
    Ok((!waiting).then_some(out))
}

fn little_endian_fill(array: &VirtualArray) -> Option<Vec<u8>> {
    let fill = array.fill_value.clone()?;
    Some(to_little_endian(fill, &array.data_type))
}

/// An array whose values stand in the manifest, as one chunk.
pub(super) fn inline(
    like: &VirtualArray,
    shape: Vec<u64>,
    data_type: DataType,
    bytes: Vec<u8>,
) -> VirtualArray {
    let fill = like
        .fill_value
        .as_ref()
        .map(|fill| like.data_type.element_to_json(fill));
    let chunk_shape = shape.iter().map(|len| (*len).max(1)).collect();
    let is_empty = shape.contains(&0);
    let codecs = match like.data_type {
        DataType::VlenString => like.codecs.clone(),
        _ => Vec::new(),
    };
    VirtualArray {
        fill_value: fill.and_then(|fill| data_type.element_from_json(&fill)),
        chunks: if is_empty {
            ChunkManifest::new()
        } else {
            ChunkManifest::inlined(Bytes::from(bytes))
        },
        shape,
        chunk_shape,
        data_type,
        codecs,
        dimension_names: like.dimension_names.clone(),
        attributes: like.attributes.clone(),
        layout: like.layout,
    }
}

/// The values of all files along an axis, those of absent ones filled.
fn interleave(
    first: &VirtualArray,
    axis: usize,
    members: &[Member<'_>],
    parts: &[Option<Vec<u8>>],
) -> Vec<u8> {
    let size = first.data_type.size();
    let outer = first.shape.get(..axis).and_then(product).unwrap_or(0);
    let inner = first.shape.get(axis + 1..).and_then(product).unwrap_or(0);
    let fill = little_endian_fill(first);
    let mut out = Vec::new();
    for row in 0..outer {
        for (member, part) in members.iter().zip(parts) {
            let elements = member.len.saturating_mul(inner);
            match part {
                Some(values) => {
                    let len = as_usize(elements.saturating_mul(size));
                    let from = as_usize(row).saturating_mul(len);
                    out.extend_from_slice(
                        values
                            .get(from..from.saturating_add(len))
                            .unwrap_or_default(),
                    );
                }
                None => out.extend(
                    fill.as_deref()
                        .unwrap_or_default()
                        .repeat(as_usize(elements)),
                ),
            }
        }
    }
    out
}

/// The strings of all files along an axis, as one vlen-utf8 chunk; absent ones are empty.
fn join_strings(
    first: &VirtualArray,
    axis: usize,
    members: &[Member<'_>],
    parts: &[Option<Vec<u8>>],
) -> Vec<u8> {
    const EMPTY: &[u8] = &[0; 4];
    let outer = first.shape.get(..axis).and_then(product).unwrap_or(0);
    let inner = first.shape.get(axis + 1..).and_then(product).unwrap_or(0);
    let parts: Vec<Vec<&[u8]>> = parts
        .iter()
        .map(|part| part.as_deref().map(strings).unwrap_or_default())
        .collect();
    let mut out = Vec::new();
    for row in 0..outer {
        for (member, part) in members.iter().zip(&parts) {
            let len = as_usize(member.len.saturating_mul(inner));
            let from = as_usize(row).saturating_mul(len);
            let own = (from..from.saturating_add(len)).map(|at| part.get(at).copied());
            out.extend(own.map(|string| string.unwrap_or(EMPTY)));
        }
    }
    string_chunk(&out)
}

/// The number of an input's first source among those of the joined dataset.
pub(super) fn source_bases(files: &[&Input]) -> Vec<u32> {
    let mut base = 0u32;
    let mut next = |file: &&Input| {
        let own = base;
        base = base.saturating_add(u32::try_from(file.dataset.sources.len()).unwrap_or(u32::MAX));
        own
    };
    files.iter().map(&mut next).collect()
}

/// The same chunks with their sources counted from another base.
pub(super) fn rebased(chunks: &ChunkManifest, base: u32) -> ChunkManifest {
    renumbered(chunks, |source| source.saturating_add(base))
}

/// The same chunks with their sources numbered otherwise.
pub(super) fn renumbered(chunks: &ChunkManifest, number_of: impl Fn(u32) -> u32) -> ChunkManifest {
    let mut out = ChunkManifest::new();
    for (number, entry) in chunks.iter() {
        match entry {
            ChunkEntry::Missing => {}
            ChunkEntry::Inline(bytes) => out.insert_inline(number, bytes),
            ChunkEntry::Virtual { source, range } => {
                out.push(number, SourceId(number_of(source.0)), range);
            }
        }
    }
    out
}
