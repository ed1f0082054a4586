//! Writes HDF5 files as no library would: old superblock and headers, which need no checksums, and whatever messages
//! and addresses a case wants. Addresses and lengths have eight bytes.

/// Types of messages.
pub(super) mod kind {
    pub(crate) const DATASPACE: u16 = 0x01;
    pub(crate) const LINK_INFO: u16 = 0x02;
    pub(crate) const DATATYPE: u16 = 0x03;
    pub(crate) const LINK: u16 = 0x06;
    pub(crate) const LAYOUT: u16 = 0x08;
    pub(crate) const FILTERS: u16 = 0x0b;
    pub(crate) const ATTRIBUTE: u16 = 0x0c;
    pub(crate) const CONTINUATION: u16 = 0x10;
    pub(crate) const SYMBOL_TABLE: u16 = 0x11;
}

/// The address that leads nowhere.
pub(super) const UNDEFINED: u64 = u64::MAX;
const ROOT: usize = 64;

/// A message: its type, its flags, its body.
pub(super) type Message = (u16, u8, Vec<u8>);

/// A file under construction.
pub(super) struct File {
    bytes: Vec<u8>,
}

impl File {
    pub(super) fn new() -> Self {
        let mut bytes = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0".to_vec();
        bytes.extend([4, 0, 16, 0, 0, 0, 0, 0]);
        for address in [0, UNDEFINED, 0, UNDEFINED, 0, 0, 0, 0, 0] {
            bytes.extend(address.to_le_bytes());
        }
        Self { bytes }
    }

    /// Where the next structure will stand.
    pub(super) fn end(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Puts bytes at the end; the answer is where they stand.
    pub(super) fn put(&mut self, bytes: &[u8]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let at = self.end();
        self.bytes.extend_from_slice(bytes);
        at
    }

    /// Puts an object header of version 1.
    pub(super) fn object(&mut self, messages: &[Message]) -> u64 {
        let body = block(messages);
        let mut bytes = vec![1, 0];
        bytes.extend((messages.len() as u16).to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        self.put(&bytes)
    }

    /// Puts a group with links that stand in its header.
    pub(super) fn group(&mut self, links: &[(String, u64)]) -> u64 {
        let links: Vec<Message> = links.iter().map(|(name, at)| link(name, *at)).collect();
        self.object(&links)
    }

    /// The file with this group as its root.
    pub(super) fn finish(mut self, root: u64) -> Vec<u8> {
        let length = self.end();
        self.bytes[40..48].copy_from_slice(&length.to_le_bytes());
        self.bytes[ROOT..ROOT + 8].copy_from_slice(&root.to_le_bytes());
        self.bytes
    }
}

/// Messages one after another, as they stand in a block of a version 1 header.
pub(super) fn block(messages: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, flags, body) in messages {
        let length = body.len().next_multiple_of(8);
        bytes.extend(kind.to_le_bytes());
        bytes.extend((length as u16).to_le_bytes());
        bytes.extend([*flags, 0, 0, 0]);
        bytes.extend(body);
        bytes.resize(bytes.len() + length - body.len(), 0);
    }
    bytes
}

/// A hard link.
pub(super) fn link(name: &str, at: u64) -> Message {
    let mut body = vec![1, 1];
    body.extend((name.len() as u16).to_le_bytes());
    body.extend(name.as_bytes());
    body.extend(at.to_le_bytes());
    (kind::LINK, 0, body)
}

/// A dataspace of these lengths, none of which can grow.
pub(super) fn dataspace(lengths: &[u64]) -> Message {
    let mut body = vec![2, lengths.len() as u8, 0, u8::from(!lengths.is_empty())];
    lengths
        .iter()
        .for_each(|length| body.extend(length.to_le_bytes()));
    (kind::DATASPACE, 0, body)
}

/// Unsigned bytes.
pub(super) fn bytes_type() -> Message {
    (
        kind::DATATYPE,
        0,
        vec![0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0],
    )
}

/// Data in one run.
pub(super) fn contiguous(at: u64, length: u64) -> Message {
    let mut body = vec![3, 1];
    body.extend(at.to_le_bytes());
    body.extend(length.to_le_bytes());
    (kind::LAYOUT, 0, body)
}

/// Chunks with a version 1 B-tree.
pub(super) fn chunked(root: u64, lengths: &[u32]) -> Message {
    let mut body = vec![3, 2, lengths.len() as u8 + 1];
    body.extend(root.to_le_bytes());
    lengths
        .iter()
        .chain([&1])
        .for_each(|length| body.extend(length.to_le_bytes()));
    (kind::LAYOUT, 0, body)
}

/// Chunks one after another.
pub(super) fn implicit(at: u64, lengths: &[u64]) -> Message {
    let mut body = vec![4, 2, 0, lengths.len() as u8 + 1, 8];
    lengths
        .iter()
        .chain([&1])
        .for_each(|length| body.extend(length.to_le_bytes()));
    body.push(2);
    body.extend(at.to_le_bytes());
    (kind::LAYOUT, 0, body)
}

/// The deflate filter.
pub(super) fn deflate() -> Message {
    let body = vec![
        1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0,
    ];
    (kind::FILTERS, 0, body)
}

/// An attribute of version 2; datatype, dataspace and data as they stand.
pub(super) fn attribute(name: &str, datatype: &[u8], space: &[u8], data: &[u8]) -> Message {
    let mut body = vec![2, 0];
    for length in [name.len() + 1, datatype.len(), space.len()] {
        body.extend((length as u16).to_le_bytes());
    }
    body.extend(name.as_bytes());
    body.push(0);
    body.extend(datatype);
    body.extend(space);
    body.extend(data);
    (kind::ATTRIBUTE, 0, body)
}

/// A leaf of a version 1 B-tree of chunks of one dimension, 64 at most: number of the first element, where, how long.
pub(super) fn chunk_leaf(chunks: &[(u64, u64, u32)]) -> Vec<u8> {
    let mut bytes = b"TREE\x01\x00".to_vec();
    bytes.extend((chunks.len() as u16).to_le_bytes());
    bytes.extend([0xff; 16]);
    for (first, at, length) in chunks {
        bytes.extend(length.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(first.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes.extend(at.to_le_bytes());
    }
    bytes.resize(24 + 64 * 32 + 24, 0);
    bytes
}

/// A node above leaves.
pub(super) fn chunk_node(level: u8, children: &[u64]) -> Vec<u8> {
    let mut bytes = b"TREE\x01".to_vec();
    bytes.push(level);
    bytes.extend((children.len() as u16).to_le_bytes());
    bytes.extend([0xff; 16]);
    for child in children {
        bytes.extend([0; 24]);
        bytes.extend(child.to_le_bytes());
    }
    bytes.resize(24 + 64 * 32 + 24, 0);
    bytes
}
