//! The two passes over a document. The first takes the metadata and passes over the chunks; the second, which then
//! knows the chunk grids, puts every chunk where it belongs. So the order of the keys does not matter, and no chunk
//! is held in any other form than its row of the manifest.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::de::Read;

use super::entry::{Entry, Text};
use crate::kerchunk::KerchunkError;

/// What the first pass finds.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// Metadata documents by key.
    pub(super) metadata: BTreeMap<String, String>,
    /// Whether the references stand below `refs` (version 1) rather than at the top (version 0).
    pub(super) nested: bool,
    /// The `landfall` string.
    pub(super) extra: Option<String>,
    version: Option<u64>,
    error: Option<KerchunkError>,
}

/// Reads everything but the chunks.
pub(super) fn outline<'de>(json: impl Read<'de>) -> Result<Outline, KerchunkError> {
    let mut outline = Outline::default();
    let result = parse(json, &mut outline);
    if let Some(error) = outline.error.take() {
        return Err(error);
    }
    result?;
    match outline.version {
        Some(version) if version > 1 => Err(KerchunkError::Version(version)),
        _ => Ok(outline),
    }
}

/// Calls `visit` with every entry that is not metadata.
pub(super) fn for_each_chunk<'de>(
    json: impl Read<'de>,
    outline: &Outline,
    visit: impl FnMut(&str, Entry<'_>) -> Result<(), KerchunkError>,
) -> Result<(), KerchunkError> {
    let mut chunks = Chunks { visit, error: None };
    let result = if outline.nested {
        parse(json, &mut Nested(&mut chunks))
    } else {
        parse(json, &mut chunks)
    };
    chunks.error.map_or(result, Err)
}

fn parse<'de>(json: impl Read<'de>, sink: &mut impl Sink) -> Result<(), KerchunkError> {
    let mut deserializer = serde_json::Deserializer::new(json);
    Members(sink)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(KerchunkError::Json)
}

/// Takes the members of an object one by one.
trait Sink {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        key: Cow<'de, str>,
        members: &mut A,
    ) -> Result<(), A::Error>;
}

/// Feeds an object to a sink.
struct Members<'s, S>(&'s mut S);

impl<'de, S: Sink> DeserializeSeed<'de> for Members<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: Sink> Visitor<'de> for Members<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = members.next_key()? {
            self.0.member(key, &mut members)?;
        }
        Ok(())
    }
}

impl Sink for Outline {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        key: Cow<'de, str>,
        members: &mut A,
    ) -> Result<(), A::Error> {
        match key.as_ref() {
            "version" => self.version = Some(members.next_value()?),
            "landfall" => self.extra = Some(members.next_value()?),
            "refs" => {
                self.nested = true;
                members.next_value_seed(Members(&mut Metadata(self)))?;
            }
            "templates" => return Err(fail(&mut self.error, KerchunkError::Recipe("templates"))),
            "gen" => return Err(fail(&mut self.error, KerchunkError::Recipe("gen"))),
            _ => Metadata(self).member(key, members)?,
        }
        Ok(())
    }
}

/// Keeps metadata documents and passes over the rest.
struct Metadata<'o>(&'o mut Outline);

impl Sink for Metadata<'_> {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        key: Cow<'de, str>,
        members: &mut A,
    ) -> Result<(), A::Error> {
        if !is_metadata(&key) {
            return members.next_value().map(|IgnoredAny| ());
        }
        let document = match members.next_value()? {
            Entry::Text(text) => text.into_owned(),
            Entry::Object(object) => serde_json::Value::Object(object).to_string(),
            Entry::Whole | Entry::Range { .. } | Entry::Bytes(_) => {
                let error = KerchunkError::metadata(&key, "it is a reference, not a document");
                return Err(fail(&mut self.0.error, error));
            }
        };
        self.0.metadata.insert(key.into_owned(), document);
        Ok(())
    }
}

/// Passes over metadata and hands on the rest.
struct Chunks<F> {
    visit: F,
    error: Option<KerchunkError>,
}

impl<F: FnMut(&str, Entry<'_>) -> Result<(), KerchunkError>> Sink for Chunks<F> {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        key: Cow<'de, str>,
        members: &mut A,
    ) -> Result<(), A::Error> {
        let entry = match key.as_ref() {
            "version" | "landfall" => None,
            key if is_metadata(key) => None,
            _ => Some(members.next_value()?),
        };
        match entry {
            None => members.next_value().map(|IgnoredAny| ()),
            Some(entry) => (self.visit)(&key, entry).map_err(|error| fail(&mut self.error, error)),
        }
    }
}

/// Looks for `refs`.
struct Nested<'c, F>(&'c mut Chunks<F>);

impl<F: FnMut(&str, Entry<'_>) -> Result<(), KerchunkError>> Sink for Nested<'_, F> {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        key: Cow<'de, str>,
        members: &mut A,
    ) -> Result<(), A::Error> {
        match key.as_ref() {
            "refs" => members.next_value_seed(Members(&mut *self.0)),
            _ => members.next_value().map(|IgnoredAny| ()),
        }
    }
}

/// Keeps the error, since serde's carries text alone, and stops the parser.
fn fail<E: de::Error>(slot: &mut Option<KerchunkError>, error: KerchunkError) -> E {
    let stop = E::custom(&error);
    *slot = Some(error);
    stop
}

fn is_metadata(key: &str) -> bool {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    matches!(
        name,
        ".zgroup" | ".zarray" | ".zattrs" | ".zmetadata" | "zarr.json"
    )
}
