//! Version 1 B-trees, which old groups and most chunked datasets are indexed by. Specification III.A.1.
//!
//! A node is `TREE`, type, level, number of children, two siblings, and then keys with a child between each two.

use std::collections::HashSet;

use bytes::Bytes;

use super::context::{Context, all};
use super::cursor::{Cursor, len_u64};
use crate::decode::DecodeError;

const WHAT: &str = "version 1 B-tree node";
const MAX_LEVEL: u8 = 32;

/// What a tree holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// Node type: 0 for groups, 1 for chunks.
    pub(super) node_type: u8,
    /// Bytes of a key.
    pub(super) key_len: usize,
    /// Half the largest number of children.
    pub(super) k: u16,
}

impl Kind {
    /// A tree of symbol table nodes.
    pub(super) fn of_groups(context: &Context<'_>) -> Self {
        Self {
            node_type: 0,
            key_len: context.geometry().length_len(),
            k: context.node_sizes.group_internal,
        }
    }

    /// A tree of chunks; a key has a 64-bit number for each dimension and one for the byte in the element.
    pub(super) const fn of_chunks(context: &Context<'_>, rank: usize) -> Self {
        Self {
            node_type: 1,
            key_len: 8 + 8 * (rank + 1),
            k: context.node_sizes.chunk,
        }
    }

    /// Bytes of a full node.
    pub(super) fn node_len(self, context: &Context<'_>) -> u64 {
        let offset = context.geometry().offset_len();
        let children = 2 * usize::from(self.k);
        len_u64(8 + 2 * offset + children * offset + (children + 1) * self.key_len)
    }
}

/// A leaf: where it stands, its bytes, and how many children it has.
#[derive(Debug)]
pub(super) struct Leaf {
    at: u64,
    bytes: Bytes,
    /// Number of children.
    pub(super) children: u16,
}

impl Leaf {
    /// A cursor at the first key.
    pub(super) fn cursor<'b>(&'b self, context: &Context<'_>) -> Result<Cursor<'b>, DecodeError> {
        let mut cursor = context.cursor(WHAT, self.at, &self.bytes);
        cursor.skip(8 + 2 * context.geometry().offset_len())?;
        Ok(cursor)
    }
}

/// Reads all leaves of a tree, one level of nodes after another.
pub(super) async fn leaves(
    context: &Context<'_>,
    root: u64,
    kind: Kind,
) -> Result<Vec<Leaf>, DecodeError> {
    let mut seen = HashSet::from([root]);
    let mut nodes = vec![root];
    let mut expected = None;
    loop {
        let read = read_nodes(context, &nodes, kind).await?;
        nodes = Vec::new();
        let mut leaves = Vec::new();
        for (at, bytes) in read {
            let mut cursor = context.cursor(WHAT, at, &bytes);
            let (level, children) = parse_prefix(&mut cursor, kind)?;
            if *expected.get_or_insert(level) != level {
                return Err(cursor.malformed(format!("is unexpectedly of level {level}")));
            }
            if level == 0 {
                leaves.push(Leaf {
                    at,
                    bytes,
                    children,
                });
                continue;
            }
            for _ in 0..children {
                cursor.skip(kind.key_len)?;
                nodes.push(cursor.defined_address()?);
            }
            if !nodes
                .iter()
                .rev()
                .take(usize::from(children))
                .all(|child| seen.insert(*child))
            {
                return Err(cursor.malformed("a child is met twice"));
            }
        }
        match expected {
            Some(level @ 1..) if !nodes.is_empty() => expected = Some(level - 1),
            _ => return Ok(leaves),
        }
    }
}

async fn read_nodes(
    context: &Context<'_>,
    nodes: &[u64],
    kind: Kind,
) -> Result<Vec<(u64, Bytes)>, DecodeError> {
    let len = kind.node_len(context);
    let reads = nodes.iter().map(|at| async move {
        // The last node of a file need not be stored to its end.
        let bytes = context.read_up_to(WHAT, *at, len).await?;
        Ok((*at, bytes))
    });
    all(reads).await
}

fn parse_prefix(cursor: &mut Cursor<'_>, kind: Kind) -> Result<(u8, u16), DecodeError> {
    cursor.signature(*b"TREE")?;
    let node_type = cursor.u8()?;
    if node_type != kind.node_type {
        return Err(cursor.malformed(format!("is of type {node_type}")));
    }
    let (level, children) = (cursor.u8()?, cursor.u16()?);
    if level > MAX_LEVEL {
        return Err(cursor.malformed(format!("is of level {level}")));
    }
    cursor.address()?;
    cursor.address()?;
    Ok((level, children))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdf5::model::Geometry;

    const GEOMETRY: Geometry = Geometry {
        base: 0,
        offset_size: 4,
        length_size: 4,
    };
    const KIND: Kind = Kind {
        node_type: 1,
        key_len: 24,
        k: 32,
    };

    #[test]
    fn a_node_of_the_other_type_is_malformed() {
        for (bytes, fine) in [
            (
                &b"TREE\x01\x02\x05\0\xff\xff\xff\xff\xff\xff\xff\xff"[..],
                true,
            ),
            (
                &b"TREE\x00\x02\x05\0\xff\xff\xff\xff\xff\xff\xff\xff"[..],
                false,
            ),
            (
                &b"TREE\x01\x41\x05\0\xff\xff\xff\xff\xff\xff\xff\xff"[..],
                false,
            ),
        ] {
            let bytes = Bytes::copy_from_slice(bytes);
            let parsed = parse_prefix(&mut Cursor::new(WHAT, 0, &bytes, GEOMETRY), KIND);
            assert_eq!(parsed.ok(), fine.then_some((2, 5)));
        }
    }
}
