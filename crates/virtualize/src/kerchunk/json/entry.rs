//! One value of `refs`.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A string that borrows from the document where it has no escapes.
#[derive(Debug, PartialEq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text)))
    }
}

/// What a key stands for.
#[derive(Debug, PartialEq)]
pub(super) enum Entry<'a> {
    /// Content: text, or `base64:` and more.
    Text(Cow<'a, str>),
    /// Content that stood there as `base64:` and more.
    Bytes(Bytes),
    /// Metadata that was not put into a string.
    Object(Map<String, Value>),
    /// A whole file.
    Whole,
    /// A range of a file.
    Range {
        url: Cow<'a, str>,
        offset: u64,
        length: u64,
    },
}

impl<'de> Deserialize<'de> for Entry<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("content as a string, or [url, offset, length]")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Entry<'de>, E> {
        Ok(Entry::Text(Cow::Borrowed(text)))
    }

    // What cannot be borrowed is decoded where it stands: a long coordinate would be copied otherwise.
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Entry<'de>, E> {
        let encoded = text.strip_prefix("base64:");
        Ok(match encoded.and_then(|text| BASE64.decode(text).ok()) {
            Some(bytes) => Entry::Bytes(bytes.into()),
            None => Entry::Text(Cow::Owned(text.to_owned())),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entry<'de>, A::Error> {
        let Text(url) = list
            .next_element()?
            .ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let Some(offset) = list.next_element()? else {
            return Ok(Entry::Whole);
        };
        let length = list
            .next_element()?
            .ok_or_else(|| de::Error::invalid_length(2, &self))?;
        if list.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(de::Error::invalid_length(4, &self));
        }
        Ok(Entry::Range {
            url,
            offset,
            length,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Entry<'de>, A::Error> {
        let mut object = Map::new();
        while let Some((key, value)) = members.next_entry()? {
            object.insert(key, value);
        }
        Ok(Entry::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::text(r#""ab""#, Entry::Text("ab".into()))]
    #[case::escaped(r#""\"a\"""#, Entry::Text("\"a\"".into()))]
    #[case::whole_file(r#"["u"]"#, Entry::Whole)]
    #[case::range(r#"["u", 3, 4]"#, Entry::Range { url: "u".into(), offset: 3, length: 4 })]
    fn entries_are_what_the_kerchunk_specification_lists(
        #[case] json: &str,
        #[case] entry: Entry<'_>,
    ) {
        assert_eq!(serde_json::from_str::<Entry<'_>>(json).unwrap(), entry);
    }

    #[rstest]
    #[case::no_url("[]")]
    #[case::no_length(r#"["u", 3]"#)]
    #[case::too_many(r#"["u", 3, 4, 5]"#)]
    #[case::negative(r#"["u", -3, 4]"#)]
    #[case::number("7")]
    #[case::null("null")]
    fn anything_else_is_refused(#[case] json: &str) {
        assert!(serde_json::from_str::<Entry<'_>>(json).is_err());
    }
}
