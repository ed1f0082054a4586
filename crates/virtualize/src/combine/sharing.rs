//! Lets the datasets of a series share what they have alike: most of what ten thousand files say, each of them says.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::dataset::{Attributes, VirtualDataset, VirtualGroup};

/// What the datasets so far have had last, by the path of the group or array.
#[derive(Debug, Default)]
pub struct Sharing {
    attributes: BTreeMap<String, Attributes>,
    inlined: BTreeMap<String, Bytes>,
}

impl Sharing {
    /// Nothing to share yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The dataset, holding no memory of its own for what equals the dataset before it.
    pub fn shared(&mut self, mut dataset: VirtualDataset) -> VirtualDataset {
        self.share_group(&mut dataset.root, "");
        dataset
    }

    fn share_group(&mut self, group: &mut VirtualGroup, path: &str) {
        self.share_attributes(&mut group.attributes, path);
        for (name, array) in &mut group.arrays {
            let path = format!("{path}{name}");
            self.share_attributes(&mut array.attributes, &path);
            array.chunks.shrink();
            for bytes in array.chunks.inlined_mut() {
                self.share_bytes(bytes, &path);
            }
        }
        for (name, inner) in &mut group.groups {
            self.share_group(inner, &format!("{path}{name}/"));
        }
    }

    fn share_attributes(&mut self, own: &mut Attributes, path: &str) {
        match self.attributes.get_mut(path) {
            Some(known) if known == own => *own = known.clone(),
            Some(known) => *known = own.clone(),
            None => drop(self.attributes.insert(path.to_owned(), own.clone())),
        }
    }

    /// Bytes of their own are copied: they may be a part of a page that would be kept for their sake.
    fn share_bytes(&mut self, own: &mut Bytes, path: &str) {
        match self.inlined.get_mut(path) {
            Some(known) if known == own => *own = known.clone(),
            known => {
                *own = Bytes::copy_from_slice(own);
                match known {
                    Some(known) => *known = own.clone(),
                    None => drop(self.inlined.insert(path.to_owned(), own.clone())),
                }
            }
        }
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
        let [a, b, _] = &shared;
        let attributes = |dataset: &VirtualDataset| dataset.root.arrays["tas"].attributes.clone();
        assert!(attributes(a).is_shared_with(&attributes(b)));
        assert_eq!(inlined(a, "lat").as_ptr(), inlined(b, "lat").as_ptr());
        assert_ne!(inlined(a, "time").as_ptr(), inlined(b, "time").as_ptr());
    }
}
