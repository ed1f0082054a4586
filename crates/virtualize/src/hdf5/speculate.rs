//! Asks for what the messages of an object header lead to before all of that header is there, and for the values of
//! what looks like a coordinate before it is known to be one.

use super::context::{Context, READ_AHEAD};
use super::cursor::Cursor;
use super::message::layout::{Index, Layout};
use super::message::{self, layout, link};
use super::model::{Dataspace, Storage};
use super::object_header::Message;
use super::{btree_v1, group};
use crate::decode::{ByteRange, DecodeError};

/// Chunks of an axis that are asked for before it is known to be one.
const MOST_CHUNKS: usize = 4;

/// Prefetches for all messages read so far; what cannot be parsed is reported by whoever needs it.
pub(super) fn prefetch(context: &Context<'_>, messages: &[Message]) {
    for message in messages.iter().filter(|message| !message.is_shared()) {
        let mut cursor = context.cursor("message", message.at, &message.body);
        let _ = prefetch_one(context, message.kind, &mut cursor);
    }
}

fn prefetch_one(
    context: &Context<'_>,
    kind: u16,
    cursor: &mut Cursor<'_>,
) -> Result<(), DecodeError> {
    let dense = match kind {
        message::LINK_INFO => link::parse_info(cursor)?,
        message::ATTRIBUTE_INFO => link::parse_attribute_info(cursor)?,
        message::LAYOUT => {
            prefetch_layout(context, &layout::parse(cursor)?);
            None
        }
        message::SYMBOL_TABLE => {
            group::prefetch(
                context,
                cursor.defined_address()?,
                cursor.defined_address()?,
            );
            None
        }
        _ => None,
    };
    if let Some(dense) = dense {
        context.prefetch(dense.heap, READ_AHEAD);
        context.prefetch(dense.names, READ_AHEAD);
    }
    Ok(())
}

/// Asks for the root of a chunk index.
pub(super) fn prefetch_layout(context: &Context<'_>, layout: &Layout) {
    let Layout::Chunked(chunked) = layout else {
        return;
    };
    let len = match chunked.index {
        Index::SingleChunk(_) | Index::Implicit => return,
        Index::BtreeV1 => {
            btree_v1::Kind::of_chunks(context, chunked.chunk_shape.len()).node_len(context)
        }
        Index::FixedArray | Index::ExtensibleArray | Index::BtreeV2 => READ_AHEAD,
    };
    if let Some(address) = chunked.address {
        context.prefetch(address, len);
    }
}

/// Asks for the values of a small axis or its bounds: names and attributes will tell later whether it is one, and
/// waiting for them costs a round. The context keeps what is asked for by that small.
pub(super) fn prefetch_values(context: &Context<'_>, dataspace: &Dataspace, storage: &Storage) {
    let is_like_axis = match dataspace {
        Dataspace::Null => false,
        Dataspace::Scalar => true,
        Dataspace::Simple { dims, .. } => matches!(dims.as_slice(), [_] | [_, 0..=4]),
    };
    let ranges: Vec<ByteRange> = match storage {
        Storage::Contiguous(Some(range)) => vec![*range],
        Storage::Chunked { chunks, .. } if chunks.len() <= MOST_CHUNKS => {
            chunks.iter().map(|chunk| chunk.range).collect()
        }
        _ => return,
    };
    let bytes = ranges
        .iter()
        .fold(0u64, |sum, range| sum.saturating_add(range.len));
    if is_like_axis && context.may_speculate(bytes) {
        for range in ranges {
            context.prefetch(range.start, range.len);
        }
    }
}
