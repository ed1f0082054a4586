//! The decoders of single chunks, and of what says how a chunk is encoded: a file of one chunk is made around them.
//!
//! | bytes | what they are |
//! | --- | --- |
//! | 1 | how many filters, 1 to 3 |
//! | 2 | elements: up to 65535 |
//! | 1 | bytes of an element: 1, 2, 4 or 8; a float where the third bit is set |
//! | for each filter: 1, 1, 4 n | its id among the known ones, how many parameters n, the parameters |
//! | the rest | the chunk as it is stored |

use bytes::Bytes;
use virtualize::DecodeOptions;

use super::decoder;

/// Filters by their registered ids: deflate, shuffle, fletcher32, szip, nbit, scaleoffset, bzip2, lzf, blosc, lz4,
/// bitshuffle, zstd, blosc2.
const FILTERS: [u16; 13] = [
    1, 2, 3, 4, 5, 6, 307, 32000, 32001, 32004, 32008, 32015, 32026,
];

/// Decodes a file with the chunk that the bytes describe. It is named as a coordinate, so that it is decoded whatever
/// its filters are.
pub fn run(bytes: &[u8]) {
    let Some(file) = file(bytes) else { return };
    let options = DecodeOptions {
        verify_checksums: false,
        ..DecodeOptions::default()
    };
    if let Err(error) = decoder::decode(&Bytes::from(file), &options) {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

fn file(mut input: &[u8]) -> Option<Vec<u8>> {
    let ([count, low, high, element], rest) = input.split_first_chunk::<4>()?;
    input = rest;
    let elements = u32::from(u16::from_le_bytes([*low, *high])).max(1);
    let mut pipeline = vec![1, count % 3 + 1, 0, 0, 0, 0, 0, 0];
    for _ in 0..=count % 3 {
        let ([id, parameters], rest) = input.split_first_chunk::<2>()?;
        let count = usize::from(parameters % 24);
        let (parameters, rest) = rest.split_at_checked(4 * count)?;
        input = rest;
        let id = FILTERS.get(usize::from(*id) % FILTERS.len())?;
        pipeline.extend(id.to_le_bytes());
        pipeline.extend([0, 0, 0, 0]);
        pipeline.extend(u16::try_from(count).ok()?.to_le_bytes());
        pipeline.extend(parameters);
        pipeline.resize(pipeline.len().next_multiple_of(8), 0);
    }
    Some(around(elements, *element, &pipeline, input))
}

/// A file of the oldest format: superblock, a root group with a link and an attribute, a dataset, its index, its chunk.
fn around(elements: u32, element: u8, pipeline: &[u8], chunk: &[u8]) -> Vec<u8> {
    let (datatype, size) = datatype(element);
    let mut file = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0\x04\0\x10\0\0\0\0\0".to_vec();
    for address in [0, u64::MAX, 0, u64::MAX, 0, 0, 0, 0, 0] {
        file.extend(address.to_le_bytes());
    }
    let chunk_at = put(&mut file, chunk);
    let tree_at = put(&mut file, &tree(elements, chunk_at, chunk.len()));
    let mut space = vec![2, 1, 0, 1];
    space.extend(u64::from(elements).to_le_bytes());
    let mut layout = vec![3, 2, 2];
    layout.extend(tree_at.to_le_bytes());
    layout.extend(elements.to_le_bytes());
    layout.extend(size.to_le_bytes());
    let dataset = [
        (1, &space[..]),
        (3, &datatype),
        (8, &layout),
        (11, pipeline),
    ];
    let dataset_at = put(&mut file, &header(&dataset));
    let mut link = b"\x01\x01\x01\0v".to_vec();
    link.extend(dataset_at.to_le_bytes());
    // `coordinates`: a text of one letter.
    let named = b"\x02\0\x0c\0\x08\0\x04\0coordinates\0\x13\0\0\0\x01\0\0\0\x02\0\0\0v";
    let root_at = put(&mut file, &header(&[(6, &link), (12, named)]));
    let length = u64::try_from(file.len()).unwrap_or(u64::MAX);
    for (at, number) in [(40, length), (64, root_at)] {
        if let Some(field) = file.get_mut(at..at + 8) {
            field.copy_from_slice(&number.to_le_bytes());
        }
    }
    file
}

/// A datatype message, and the bytes of an element.
fn datatype(element: u8) -> (Vec<u8>, u32) {
    let size = 1u32 << (element & 3);
    let bits = u16::try_from(size * 8).unwrap_or(0).to_le_bytes();
    let size_field = size.to_le_bytes();
    let float = match size {
        4 => Some([0x20, 31, 0, 23, 8, 0, 23, 127, 0]),
        8 => Some([0x20, 63, 0, 52, 11, 0, 52, 0xff, 3]),
        _ => None,
    };
    let message = match float.filter(|_| element & 4 != 0) {
        Some([flags, sign, zero, rest @ ..]) => {
            let head = [&[0x11, flags, sign, zero][..], &size_field, &[0, 0], &bits];
            [&head.concat()[..], &rest, &[0, 0]].concat()
        }
        None => [&[0x10, element & 8, 0, 0][..], &size_field, &[0, 0], &bits].concat(),
    };
    (message, size)
}

/// An index of one chunk.
fn tree(elements: u32, chunk_at: u64, stored: usize) -> Vec<u8> {
    let mut bytes = b"TREE\x01\x00\x01\x00".to_vec();
    bytes.extend([0xff; 16]);
    bytes.extend(u32::try_from(stored).unwrap_or(0).to_le_bytes());
    bytes.extend([0; 20]);
    bytes.extend(chunk_at.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(u64::from(elements).to_le_bytes());
    bytes.resize(24 + 64 * 32 + 24, 0);
    bytes
}

/// An object header of version 1.
fn header(messages: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, message) in messages {
        let length = message.len().next_multiple_of(8);
        body.extend(kind.to_le_bytes());
        body.extend(u16::try_from(length).unwrap_or(0).to_le_bytes());
        body.extend([0; 4]);
        body.extend_from_slice(message);
        body.resize(body.len() + length - message.len(), 0);
    }
    let mut bytes = vec![1, 0];
    bytes.extend(u16::try_from(messages.len()).unwrap_or(0).to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(u32::try_from(body.len()).unwrap_or(0).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes
}

fn put(file: &mut Vec<u8>, bytes: &[u8]) -> u64 {
    file.resize(file.len().next_multiple_of(8), 0);
    let at = u64::try_from(file.len()).unwrap_or(u64::MAX);
    file.extend_from_slice(bytes);
    at
}
