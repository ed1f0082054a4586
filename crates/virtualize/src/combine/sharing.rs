//! Lets the datasets of a series share what they have alike: most of what ten thousand files say, each of them says.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::combine::values::as_u64;
use crate::dataset::{Attributes, VirtualDataset, VirtualGroup};

/// What the datasets so far have had last, by the path of the group or array.
#[derive(Debug, Default)]
pub struct Sharing {
    attributes: BTreeMap<String, Attributes>,
    inlined: BTreeMap<String, Inlined>,
    blocks: Blocks,
    held: Held,
}

/// What datasets hold in memory, estimated from above.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes of all of it.
    pub bytes: u64,
    /// Chunks that lie in files.
    pub chunks: u64,
    /// Bytes of inlined values that only one dataset has.
    pub inlined: u64,
    /// Those of the variable that has most of them.
    pub largest: u64,
    /// Elements among them of variables of one dimension.
    pub steps: u64,
}

/// The inlined values of one variable.
#[derive(Debug)]
struct Inlined {
    last: Bytes,
    /// Bytes of those that only one dataset has.
    bytes: u64,
}

/// Bytes of a group without anything in it: the nodes of its maps have room for eleven arrays.
const GROUP: u64 = 6000;
/// Bytes of what an array says of itself, beside attributes and chunks.
const ARRAY: u64 = 700;
/// Bytes of a source, and of what is known of its dataset.
const SOURCE: u64 = 600;
/// Bytes of an attribute that is not shared, beside its text.
const ATTRIBUTE: u64 = 250;

impl Sharing {
    /// Nothing to share yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the datasets so far hold.
    pub fn held(&self) -> Held {
        self.held
    }

    /// The dataset, holding no memory of its own for what equals the dataset before it.
    pub fn shared(&mut self, mut dataset: VirtualDataset) -> VirtualDataset {
        self.share_group(&mut dataset.root, "");
        for source in &dataset.sources {
            self.hold(SOURCE.saturating_add(as_u64(source.url.len())));
        }
        dataset
    }

    fn share_group(&mut self, group: &mut VirtualGroup, path: &str) {
        self.hold(GROUP);
        self.share_attributes(&mut group.attributes, path);
        for (name, array) in &mut group.arrays {
            let path = format!("{path}{name}");
            self.share_attributes(&mut array.attributes, &path);
            array.chunks.shrink();
            self.hold(ARRAY.saturating_add(array.chunks.row_bytes()));
            self.held.chunks = self.held.chunks.saturating_add(array.chunks.rows_len());
            let mut own = false;
            for bytes in array.chunks.inlined_mut() {
                own |= self.share_bytes(bytes, &path);
            }
            if own && let [len] = array.shape.as_slice() {
                self.held.steps = self.held.steps.saturating_add(*len);
            }
        }
        for (name, inner) in &mut group.groups {
            self.share_group(inner, &format!("{path}{name}/"));
        }
    }

    fn hold(&mut self, bytes: u64) {
        self.held.bytes = self.held.bytes.saturating_add(bytes);
    }

    fn share_attributes(&mut self, own: &mut Attributes, path: &str) {
        match self.attributes.get_mut(path) {
            Some(known) if known == own => return *own = known.clone(),
            Some(known) => *known = own.clone(),
            None => drop(self.attributes.insert(path.to_owned(), own.clone())),
        }
        let texts = own.iter().map(|(name, value)| {
            let text = value.as_str().map_or(0, str::len);
            let many = value.as_array().map_or(0, |values| values.len() * 32);
            as_u64(name.len() + text + many).saturating_add(ATTRIBUTE)
        });
        let bytes = texts.fold(0, u64::saturating_add);
        self.hold(bytes);
    }

    /// Bytes of their own, for which it answers `true`, are copied: they may be a part of a page that would be kept for
    /// their sake.
    fn share_bytes(&mut self, own: &mut Bytes, path: &str) -> bool {
        let len = as_u64(own.len());
        let so_far = match self.inlined.get_mut(path) {
            Some(known) if known.last == *own => {
                *own = known.last.clone();
                return false;
            }
            Some(known) => {
                *own = self.blocks.copied(own);
                known.last = own.clone();
                known.bytes = known.bytes.saturating_add(len);
                known.bytes
            }
            // What all datasets have alike stands alone: the joined one keeps it, and would keep its block.
            None => {
                *own = Bytes::copy_from_slice(own);
                let (last, bytes) = (own.clone(), len);
                self.inlined
                    .insert(path.to_owned(), Inlined { last, bytes });
                len
            }
        };
        self.held.largest = self.held.largest.max(so_far);
        self.held.inlined = self.held.inlined.saturating_add(len);
        self.hold(len.saturating_add(64));
        true
    }
}

/// Bytes of a block: more than any allocator keeps for later when it is freed, and untouched it costs nothing.
const BLOCK: usize = 33 << 20;
/// Bytes from which a value stands alone.
const ALONE: usize = BLOCK / 16;

/// Values of many datasets, side by side in few blocks. Allocated one by one they would leave holes when the datasets
/// are dropped, of which nothing goes back to the system: what comes after would need as much again.
#[derive(Debug, Default)]
struct Blocks {
    rest: BytesMut,
}

impl Blocks {
    fn copied(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.len() >= ALONE {
            return Bytes::copy_from_slice(bytes);
        }
        if self.rest.capacity() < bytes.len() {
            self.rest = BytesMut::with_capacity(BLOCK);
        }
        self.rest.extend_from_slice(bytes);
        self.rest.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::combine::sample::daily;
    use crate::manifest::ChunkEntry;

    fn inlined(dataset: &VirtualDataset, path: &str) -> Bytes {
        match dataset.root.arrays[path].chunks.get(0) {
            ChunkEntry::Inline(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn equal_parts_are_shared_and_nothing_changes() {
        let files = [
            daily("a.nc", 0, 3),
            daily("b.nc", 3, 2),
            daily("c.nc", 5, 4),
        ];
        let mut sharing = Sharing::new();
        let shared = files
            .each_ref()
            .map(|file| sharing.shared(file.dataset.clone()));
        for (file, shared) in files.iter().zip(&shared) {
            assert_eq!(file.dataset, *shared);
        }
        let held = sharing.held();
        // Nine steps, and two latitudes and three longitudes, once.
        assert_eq!((held.chunks, held.steps), (9, 9 + 2 + 3));
        assert!(held.inlined >= 9 * 24, "{held:?}");
        // Bounds take twice what their times take.
        assert_eq!(held.largest, 9 * 16);
        let [a, b, _] = &shared;
        let attributes = |dataset: &VirtualDataset| dataset.root.arrays["tas"].attributes.clone();
        assert!(attributes(a).is_shared_with(&attributes(b)));
        assert_eq!(inlined(a, "lat").as_ptr(), inlined(b, "lat").as_ptr());
        assert_ne!(inlined(a, "time").as_ptr(), inlined(b, "time").as_ptr());
    }
}
