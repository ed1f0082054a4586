//! Version 2 B-trees: records of fixed size, in leaves and in internal nodes. Specification III.A.2.

use std::collections::HashSet;

use bytes::Bytes;

use super::context::{Context, all};
use super::cursor::{Cursor, len_u64};
use super::model::Geometry;
use crate::decode::DecodeError;

const WHAT: &str = "version 2 B-tree";
const MAX_DEPTH: u16 = 32;
/// Signature, version, type and checksum of a node.
const NODE_OVERHEAD: u64 = 10;

/// All records of a tree: those of a level in order, one level after another.
#[derive(Debug)]
pub(super) struct Records {
    /// Type of the tree.
    pub(super) kind: u8,
    /// Bytes of a record.
    pub(super) record_size: usize,
    /// Where the tree's header stands.
    pub(super) at: u64,
    nodes: Vec<Bytes>,
    geometry: Geometry,
}

impl Records {
    /// A cursor over each record.
    pub(super) fn iter(&self) -> impl Iterator<Item = Cursor<'_>> {
        self.nodes.iter().flat_map(move |node| {
            let cursor = Cursor::new(WHAT, self.at, node, self.geometry);
            let count = node.len().checked_div(self.record_size).unwrap_or(0);
            (0..count).map(move |i| cursor.window(i * self.record_size, self.record_size))
        })
    }
}

#[derive(Debug)]
struct Header {
    kind: u8,
    node_size: u32,
    record_size: u16,
    depth: u16,
    root: Option<u64>,
    root_records: u16,
}

/// Width of the fields that a node has for each of its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Widths {
    records: usize,
    all_records: usize,
}

#[derive(Debug)]
struct Node {
    at: u64,
    records: u64,
    bytes: Bytes,
}

/// Reads a tree level by level.
pub(super) async fn read(context: &Context<'_>, at: u64) -> Result<Records, DecodeError> {
    let geometry = context.geometry();
    let len = 22 + u64::from(geometry.offset_size) + u64::from(geometry.length_size);
    let bytes = context.read_ahead(WHAT, at, len).await?;
    let header = Header::parse(&mut context.checked(WHAT, at, &bytes)?)?;
    let mut records = Records {
        kind: header.kind,
        record_size: usize::from(header.record_size),
        at,
        nodes: Vec::new(),
        geometry,
    };
    let Some(root) = header.root else {
        return Ok(records);
    };
    let widths = header.widths(geometry);
    let mut seen = HashSet::from([root]);
    let mut level = vec![(root, u64::from(header.root_records))];
    for depth in (0..=header.depth).rev() {
        let below = depth.checked_sub(1).map(usize::from);
        let widths = below.and_then(|below| widths.get(below)).copied();
        let nodes = header.read_level(context, &level, widths).await?;
        level = Vec::new();
        for node in &nodes {
            let mut cursor = context.checked(WHAT, node.at, &node.bytes)?;
            records
                .nodes
                .push(header.parse_node(&mut cursor, node.records, depth)?);
            if let Some(widths) = widths {
                children(&mut cursor, node.records, widths, &mut level)?;
            }
        }
        if !level.iter().all(|(child, _)| seen.insert(*child)) {
            return Err(context
                .cursor(WHAT, at, &bytes)
                .malformed("a node is met twice"));
        }
    }
    Ok(records)
}

impl Header {
    /// | bytes | field |
    /// | --- | --- |
    /// | 4, 1 | `BTHD`, version |
    /// | 1, 4, 2, 2 | type, node size, record size, depth |
    /// | 1, 1 | percentages of splitting and merging |
    /// | O, 2, L | root, its number of records, number of all records |
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        cursor.signature(*b"BTHD")?;
        cursor.version(0)?;
        let (kind, node_size) = (cursor.u8()?, cursor.u32()?);
        let (record_size, depth) = (cursor.u16()?, cursor.u16()?);
        cursor.skip(2)?;
        let header = Self {
            kind,
            node_size,
            record_size,
            depth,
            root: cursor.address()?,
            root_records: cursor.u16()?,
        };
        if depth > MAX_DEPTH {
            return Err(cursor.malformed(format!("a depth of {depth}")));
        }
        if record_size == 0 {
            return Err(cursor.malformed("records of no bytes"));
        }
        Ok(header)
    }

    /// Widths in the nodes that are 1, 2, … levels above the leaves.
    fn widths(&self, geometry: Geometry) -> Vec<Widths> {
        let (record_size, node_size) = (u64::from(self.record_size), u64::from(self.node_size));
        let leaf_records = node_size.saturating_sub(NODE_OVERHEAD) / record_size.max(1);
        let mut widths = Vec::new();
        let mut all_records = leaf_records;
        for level in 0..self.depth {
            let found = Widths {
                records: bytes_for(leaf_records),
                all_records: if level == 0 {
                    0
                } else {
                    bytes_for(all_records)
                },
            };
            let pointer = len_u64(found.pointer_len(geometry));
            let records = node_size.saturating_sub(NODE_OVERHEAD + pointer)
                / record_size.saturating_add(pointer).max(1);
            all_records = records
                .saturating_add(1)
                .saturating_mul(all_records)
                .saturating_add(records);
            widths.push(found);
        }
        widths
    }

    async fn read_level(
        &self,
        context: &Context<'_>,
        level: &[(u64, u64)],
        widths: Option<Widths>,
    ) -> Result<Vec<Node>, DecodeError> {
        let pointer = widths.map_or(0, |widths| len_u64(widths.pointer_len(context.geometry())));
        let reads = level.iter().map(|(at, records)| async move {
            let pointers = records.saturating_add(1).saturating_mul(pointer);
            let len = records
                .saturating_mul(u64::from(self.record_size))
                .saturating_add(pointers)
                .saturating_add(NODE_OVERHEAD);
            Ok(Node {
                at: *at,
                records: *records,
                bytes: context.read(WHAT, *at, len).await?,
            })
        });
        all(reads).await
    }

    fn parse_node(
        &self,
        cursor: &mut Cursor<'_>,
        records: u64,
        depth: u16,
    ) -> Result<Bytes, DecodeError> {
        cursor.signature(if depth == 0 { *b"BTLF" } else { *b"BTIN" })?;
        cursor.version(0)?;
        if cursor.u8()? != self.kind {
            return Err(cursor.malformed("a node of another type"));
        }
        let len = records.saturating_mul(u64::from(self.record_size));
        cursor.bytes(usize::try_from(len).unwrap_or(usize::MAX))
    }
}

impl Widths {
    fn pointer_len(self, geometry: Geometry) -> usize {
        geometry.offset_len() + self.records + self.all_records
    }
}

fn children(
    cursor: &mut Cursor<'_>,
    records: u64,
    widths: Widths,
    level: &mut Vec<(u64, u64)>,
) -> Result<(), DecodeError> {
    for _ in 0..=records {
        let child = cursor.defined_address()?;
        level.push((child, cursor.uint(widths.records)?));
        cursor.skip(widths.all_records)?;
    }
    Ok(())
}

/// The fewest bytes that hold numbers up to `largest`.
fn bytes_for(largest: u64) -> usize {
    let bits = 64 - largest.max(1).leading_zeros();
    usize::try_from(bits.div_ceil(8)).unwrap_or(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry {
        base: 0,
        offset_size: 8,
        length_size: 8,
    };

    fn header(node_size: u32, record_size: u16, depth: u16) -> Header {
        Header {
            kind: 10,
            node_size,
            record_size,
            depth,
            root: None,
            root_records: 0,
        }
    }

    // A leaf of 2048 bytes holds 84 records of 24 bytes; the node above it 60 of them with 61 children, so 5184 in all.
    #[test]
    fn widths_follow_from_what_the_nodes_below_can_hold() {
        let widths = header(2048, 24, 3).widths(GEOMETRY);
        let (one, two, three) = (
            Widths {
                records: 1,
                all_records: 0,
            },
            Widths {
                records: 1,
                all_records: 2,
            },
            Widths {
                records: 1,
                all_records: 3,
            },
        );
        assert_eq!(widths, [one, two, three]);
    }

    #[test]
    fn a_tree_deeper_than_any_file_needs_is_refused() {
        let mut bytes = b"BTHD\0\x0a\0\x08\0\0\x18\0\xff\0\x64\x28".to_vec();
        bytes.extend([0; 18]);
        let bytes = Bytes::from(bytes);
        let mut cursor = Cursor::new(WHAT, 0, &bytes, GEOMETRY);
        assert!(Header::parse(&mut cursor).is_err());
    }
}
