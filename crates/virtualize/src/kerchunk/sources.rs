//! The files that references name, by their URL.

use std::collections::HashMap;

use crate::dataset::Source;
use crate::manifest::SourceId;

/// The sources by URL.
pub(super) struct Sources {
    list: Vec<Source>,
    by_url: HashMap<String, SourceId>,
    last: SourceId,
}

impl Sources {
    pub(super) fn new(list: Vec<Source>) -> Self {
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
    pub(super) fn id(&mut self, url: &str) -> Option<SourceId> {
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

    /// All of them, in the order of their ids.
    pub(super) fn into_list(self) -> Vec<Source> {
        self.list
    }
}
