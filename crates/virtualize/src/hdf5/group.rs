//! The links of a group, old (B-tree, local heap, symbol table nodes) and new (messages, fractal heap).
//! Specification III.B, III.C and IV.A.2.

use bytes::Bytes;
use futures_util::future::try_join;

use super::btree_v1::{Kind, leaves};
use super::btree_v2;
use super::context::{Context, all};
use super::cursor::{Cursor, len_u64};
use super::heap::fractal::FractalHeap;
use super::heap::local::LocalHeap;
use super::message::link::{DenseStorage, StoredLink, Target};
use super::message::{self, link};
use super::object_header::ObjectHeader;
use crate::decode::DecodeError;

const SYMBOLS: &str = "symbol table node";
/// Bytes of the scratch pad of a symbol table entry.
const SCRATCH: usize = 16;

/// Whether an object header is that of a group.
pub(super) fn is_group(header: &ObjectHeader) -> bool {
    header.messages.iter().any(|message| {
        matches!(
            message.kind,
            message::SYMBOL_TABLE | message::LINK_INFO | message::LINK | message::GROUP_INFO
        )
    })
}

/// Reads all links of a group, sorted by name.
pub(super) async fn links(
    context: &Context<'_>,
    header: &ObjectHeader,
) -> Result<Vec<StoredLink>, DecodeError> {
    let mut links = compact_links(context, header)?;
    let dense = match header.message(message::LINK_INFO) {
        Some(info) => {
            link::parse_info(&mut context.cursor("link info message", info.at, &info.body))?
        }
        None => None,
    };
    if let Some(dense) = dense {
        links.extend(dense_links(context, dense).await?);
    }
    if let Some(table) = header.message(message::SYMBOL_TABLE) {
        let mut cursor = context.cursor("symbol table message", table.at, &table.body);
        let (tree, heap) = (cursor.defined_address()?, cursor.defined_address()?);
        links.extend(old_links(context, tree, heap).await?);
    }
    links.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(links)
}

fn compact_links(
    context: &Context<'_>,
    header: &ObjectHeader,
) -> Result<Vec<StoredLink>, DecodeError> {
    header
        .all(message::LINK)
        .map(|message| link::parse(&mut context.cursor("link message", message.at, &message.body)))
        .collect()
}

async fn dense_links(
    context: &Context<'_>,
    dense: DenseStorage,
) -> Result<Vec<StoredLink>, DecodeError> {
    let (heap, records) = try_join(
        FractalHeap::read(context, dense.heap),
        btree_v2::read(context, dense.names),
    )
    .await?;
    // A record of type 5 is a hash of the name, one of type 6 the creation order; then the heap id.
    let key_len = match records.kind {
        5 => 4,
        6 => 8,
        kind => return Err(wrong_tree(dense.names, kind)),
    };
    let ids = records
        .iter()
        .map(|mut cursor| {
            cursor.skip(key_len)?;
            Ok(cursor.rest())
        })
        .collect::<Result<Vec<Bytes>, DecodeError>>()?;
    let reads = ids.iter().map(|id| heap.object(context, id));
    all(reads)
        .await?
        .iter()
        .map(|body| {
            context.spend(body.len())?;
            link::parse(&mut context.cursor("link message", dense.heap, body))
        })
        .collect()
}

fn wrong_tree(at: u64, kind: u8) -> DecodeError {
    DecodeError::Malformed {
        what: "index of links",
        at,
        problem: format!("is a B-tree of type {kind}"),
    }
}

async fn old_links(
    context: &Context<'_>,
    tree: u64,
    heap: u64,
) -> Result<Vec<StoredLink>, DecodeError> {
    let kind = Kind::of_groups(context);
    let nodes = async {
        let leaves = leaves(context, tree, kind).await?;
        let mut addresses = Vec::new();
        for leaf in &leaves {
            let mut cursor = leaf.cursor(context)?;
            for _ in 0..leaf.children {
                cursor.skip(kind.key_len)?;
                addresses.push(cursor.defined_address()?);
            }
        }
        read_symbol_nodes(context, &addresses).await
    };
    let (heap, nodes) = try_join(LocalHeap::read(context, heap), nodes).await?;
    let mut links = Vec::new();
    for (at, bytes) in &nodes {
        parse_symbols(
            context,
            &mut context.cursor(SYMBOLS, *at, bytes),
            &heap,
            &mut links,
        )?;
    }
    Ok(links)
}

async fn read_symbol_nodes(
    context: &Context<'_>,
    addresses: &[u64],
) -> Result<Vec<(u64, Bytes)>, DecodeError> {
    let geometry = context.geometry();
    let entry = geometry.length_len() + geometry.offset_len() + 8 + SCRATCH;
    let entries = 2 * usize::from(context.node_sizes.group_leaf);
    let len = len_u64(8 + entries * entry);
    let reads = addresses
        .iter()
        .map(|at| async move { Ok((*at, context.read_up_to(SYMBOLS, *at, len).await?)) });
    all(reads).await
}

/// `SNOD`, version, reserved, number of entries u16, entries.
fn parse_symbols(
    context: &Context<'_>,
    cursor: &mut Cursor<'_>,
    heap: &LocalHeap,
    links: &mut Vec<StoredLink>,
) -> Result<(), DecodeError> {
    cursor.signature(*b"SNOD")?;
    cursor.version(1)?;
    cursor.skip(1)?;
    for _ in 0..cursor.u16()? {
        let symbol = Symbol::parse(cursor)?;
        if let Some((tree, names)) = symbol.group {
            prefetch(context, tree, names);
        }
        let link = symbol.link(heap)?;
        context.spend(link.name.len())?;
        if let Target::Soft(path) = &link.target {
            context.spend(path.len())?;
        }
        links.push(link);
    }
    Ok(())
}

/// What the object header of a group will lead to is asked for together with that header.
pub(super) fn prefetch(context: &Context<'_>, tree: u64, names: u64) {
    let kind = Kind::of_groups(context);
    context.prefetch(tree, kind.node_len(context));
    context.prefetch(names, LocalHeap::FIRST_READ);
}

/// A symbol table entry.
#[derive(Debug, PartialEq, Eq)]
struct Symbol {
    name_offset: u64,
    header: Option<u64>,
    /// Offset in the heap of the path of a soft link.
    soft: Option<u64>,
    /// B-tree and heap of a group.
    group: Option<(u64, u64)>,
}

impl Symbol {
    /// Offset of the name (as wide as a length, whatever the specification says), object header, kind of cache u32,
    /// 4 reserved, scratch pad of 16 bytes.
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let geometry = cursor.geometry();
        let name_offset = cursor.length()?;
        let header = cursor.address()?;
        let cache = cursor.u32()?;
        cursor.skip(4)?;
        let at = cursor.at();
        let scratch = cursor.bytes(SCRATCH)?;
        let mut scratch = Cursor::new(SYMBOLS, at, &scratch, geometry);
        let mut symbol = Self {
            name_offset,
            header,
            soft: None,
            group: None,
        };
        match cache {
            1 => symbol.group = scratch.address()?.zip(scratch.address()?),
            2 => symbol.soft = Some(u64::from(scratch.u32()?)),
            _ => {}
        }
        Ok(symbol)
    }

    fn link(&self, heap: &LocalHeap) -> Result<StoredLink, DecodeError> {
        let target = match (self.soft, self.header) {
            (Some(offset), _) => match heap.text(offset) {
                Ok(path) => Target::Soft(path),
                Err(error) => Target::Broken(error.to_string()),
            },
            (None, Some(header)) => Target::Hard(header),
            (None, None) => Target::Broken(String::from("a link without an object header")),
        };
        Ok(StoredLink {
            name: heap.text(self.name_offset)?,
            creation_order: None,
            target,
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::hdf5::model::Geometry;

    #[rstest]
    #[case::plain(0, Symbol { name_offset: 8, header: Some(64), soft: None, group: None })]
    #[case::group(1, Symbol { name_offset: 8, header: Some(64), soft: None, group: Some((24, 48)) })]
    #[case::soft(2, Symbol { name_offset: 8, header: Some(64), soft: Some(24), group: None })]
    fn the_scratch_pad_is_read_by_its_kind(#[case] cache: u8, #[case] expected: Symbol) {
        let mut bytes = vec![8, 0, 0, 0, 64, 0, 0, 0, cache, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([24, 0, 0, 0, 48, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let geometry = Geometry {
            base: 0,
            offset_size: 4,
            length_size: 4,
        };
        let bytes = Bytes::from(bytes);
        let mut cursor = Cursor::new(SYMBOLS, 0, &bytes, geometry);
        assert_eq!(Symbol::parse(&mut cursor).unwrap(), expected);
    }
}
