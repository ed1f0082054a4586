//! Attributes: in the object header or densely stored, with their values. Specification IV.A.2.m and v.

mod value;

use bytes::Bytes;
use futures_util::future::try_join;

use super::btree_v2;
use super::context::Context;
use super::cursor::{Cursor, text};
use super::heap::fractal::FractalHeap;
use super::message::link::{DenseStorage, parse_attribute_info};
use super::message::shared::{Resolved, follow, resolve};
use super::message::{self, dataspace, datatype};
use super::model::{Attribute, Dataspace, Datatype};
use super::object_header::{Message, ObjectHeader};
use crate::decode::{DecodeError, settle};

const WHAT: &str = "attribute message";
/// Bytes of memory that is taken by what is told of an attribute that cannot be read.
const BROKEN_COST: usize = 512;

/// The attributes of an object, and those that cannot be read with the reason.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    pub(super) read: Vec<Attribute>,
    pub(super) broken: Vec<(String, String)>,
}

/// An attribute message, wherever it stood.
struct Stored {
    creation_order: Option<u32>,
    body: Result<Resolved, DecodeError>,
}

/// Reads all attributes of an object, in order of creation where tracked.
pub(super) async fn read(context: &Context<'_>, header: &ObjectHeader) -> Attributes {
    let compact = settle(
        header
            .all(message::ATTRIBUTE)
            .map(|message| compact(context, message)),
    );
    let (mut stored, dense) = futures_util::future::join(compact, dense(context, header)).await;
    let mut attributes = Attributes::default();
    match dense {
        Ok(dense) => stored.extend(dense),
        Err(error) => attributes
            .broken
            .push((String::from("*"), error.to_string())),
    }
    if stored.iter().all(|one| one.creation_order.is_some()) {
        stored.sort_by_key(|one| one.creation_order);
    }
    let parsed = settle(stored.into_iter().map(|one| attribute(context, one.body))).await;
    for one in parsed {
        match one {
            Ok(attribute) => attributes.read.push(attribute),
            // Beyond the budget the file is refused, so nothing more is to be told of it.
            Err(broken) if context.spend(BROKEN_COST).is_ok() => attributes.broken.push(broken),
            Err(_) => break,
        }
    }
    attributes
}

async fn compact(context: &Context<'_>, message: &Message) -> Stored {
    Stored {
        creation_order: message.creation_order.map(u32::from),
        body: resolve(context, message).await,
    }
}

async fn dense(context: &Context<'_>, header: &ObjectHeader) -> Result<Vec<Stored>, DecodeError> {
    let Some(info) = header.message(message::ATTRIBUTE_INFO) else {
        return Ok(Vec::new());
    };
    let info = &mut context.cursor("attribute info message", info.at, &info.body);
    match parse_attribute_info(info)? {
        Some(storage) => dense_messages(context, storage).await,
        None => Ok(Vec::new()),
    }
}

async fn dense_messages(
    context: &Context<'_>,
    storage: DenseStorage,
) -> Result<Vec<Stored>, DecodeError> {
    let (heap, records) = try_join(
        FractalHeap::read(context, storage.heap),
        btree_v2::read(context, storage.names),
    )
    .await?;
    if !matches!(records.kind, 8 | 9) {
        return Err(DecodeError::Malformed {
            what: "index of attributes",
            at: storage.names,
            problem: format!("is a B-tree of type {}", records.kind),
        });
    }
    let records = records
        .iter()
        .map(|mut cursor| Record::parse(&mut cursor))
        .collect::<Result<Vec<Record>, _>>()?;
    let reads = records
        .iter()
        .map(|record| record.read(context, &heap, storage.heap));
    Ok(settle(reads).await)
}

/// A record of an index of attributes: heap id of 8 bytes, message flags, creation order u32.
struct Record {
    id: Bytes,
    flags: u8,
    creation_order: u32,
}

impl Record {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: cursor.bytes(8)?,
            flags: cursor.u8()?,
            creation_order: cursor.u32()?,
        })
    }

    /// Shared attributes have their ids in the heap of shared messages.
    async fn read(&self, context: &Context<'_>, heap: &FractalHeap, at: u64) -> Stored {
        let shared = self.flags & 0x02 != 0;
        let body = if shared {
            let mut location = vec![3, 1];
            location.extend_from_slice(&self.id);
            follow(context, message::ATTRIBUTE, &Bytes::from(location), at).await
        } else {
            heap.object(context, &self.id).await.map(|body| Resolved {
                body,
                at,
                committed: false,
            })
        };
        Stored {
            creation_order: Some(self.creation_order),
            body,
        }
    }
}

/// Parses a message and resolves what it refers to; the error has the name, as far as it is known.
async fn attribute(
    context: &Context<'_>,
    stored: Result<Resolved, DecodeError>,
) -> Result<Attribute, (String, String)> {
    let nameless = |error: DecodeError| (String::from("*"), error.to_string());
    let stored = stored.map_err(nameless)?;
    context.spend(stored.body.len()).map_err(nameless)?;
    let mut cursor = context.cursor(WHAT, stored.at, &stored.body);
    let parts = Parts::parse(&mut cursor).map_err(nameless)?;
    let name = parts.name.clone();
    parts
        .complete(context, stored.at)
        .await
        .map_err(|error| (name, error.to_string()))
}

/// An attribute message before its parts are understood.
#[derive(Debug)]
struct Parts {
    name: String,
    datatype: Bytes,
    datatype_is_shared: bool,
    dataspace: Bytes,
    dataspace_is_shared: bool,
    data: Bytes,
}

impl Parts {
    /// | version | fields |
    /// | --- | --- |
    /// | 1 | version, reserved, sizes u16 of name, datatype, dataspace; each padded to eight bytes; data |
    /// | 2 | version, flags (0 datatype shared, 1 dataspace shared), sizes; without padding; data |
    /// | 3 | the same with the character set of the name behind the sizes |
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let version = cursor.u8()?;
        if !(1..=3).contains(&version) {
            return Err(cursor.malformed(format!("version {version} is unknown")));
        }
        let flags = if version == 1 {
            cursor.skip(1)?;
            0
        } else {
            cursor.u8()?
        };
        let (name_len, datatype_len, dataspace_len) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
        if version == 3 {
            cursor.skip(1)?;
        }
        let mut field = |len: u16| -> Result<Bytes, DecodeError> {
            let start = cursor.position();
            let field = cursor.bytes(usize::from(len))?;
            if version == 1 {
                cursor.pad_to_eight(start);
            }
            Ok(field)
        };
        let name = field(name_len)?;
        let end = name.iter().position(|byte| *byte == 0);
        Ok(Self {
            name: text(name.get(..end.unwrap_or(name.len())).unwrap_or_default()),
            datatype: field(datatype_len)?,
            datatype_is_shared: flags & 0x01 != 0,
            dataspace: field(dataspace_len)?,
            dataspace_is_shared: flags & 0x02 != 0,
            data: cursor.rest(),
        })
    }

    async fn complete(self, context: &Context<'_>, at: u64) -> Result<Attribute, DecodeError> {
        let datatype = self.datatype(context, at).await?;
        let dataspace = self.dataspace(context, at).await?;
        let value = value::read(context, &datatype, &dataspace, &self.data, at).await?;
        Ok(Attribute {
            name: self.name,
            datatype,
            dataspace,
            value,
        })
    }

    async fn datatype(&self, context: &Context<'_>, at: u64) -> Result<Datatype, DecodeError> {
        if !self.datatype_is_shared {
            let mut cursor = context.cursor("attribute datatype", at, &self.datatype);
            let datatype = datatype::parse(&mut cursor)?;
            context.spend(datatype::parsed_bytes(&datatype))?;
            return Ok(datatype);
        }
        let found = follow(context, message::DATATYPE, &self.datatype, at).await?;
        let mut cursor = context.cursor("shared datatype", found.at, &found.body);
        let mut datatype = datatype::parse(&mut cursor)?;
        context.spend(datatype::parsed_bytes(&datatype))?;
        datatype.committed = found.committed;
        Ok(datatype)
    }

    async fn dataspace(&self, context: &Context<'_>, at: u64) -> Result<Dataspace, DecodeError> {
        if !self.dataspace_is_shared {
            let mut cursor = context.cursor("attribute dataspace", at, &self.dataspace);
            return dataspace::parse(&mut cursor);
        }
        let found = follow(context, message::DATASPACE, &self.dataspace, at).await?;
        dataspace::parse(&mut context.cursor("shared dataspace", found.at, &found.body))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::hdf5::model::Geometry;

    #[rstest]
    #[case::version_1_pads(
        b"\x01\0\x02\0\x03\0\x01\0a\0\0\0\0\0\0\0xyz\0\0\0\0\0s\0\0\0\0\0\0\0data",
        false
    )]
    #[case::version_2_packs(b"\x02\x01\x02\0\x03\0\x01\0a\0xyzsdata", true)]
    #[case::version_3_has_a_charset(b"\x03\x01\x02\0\x03\0\x01\0\x01a\0xyzsdata", true)]
    fn parts_are_cut_by_version(#[case] bytes: &'static [u8], #[case] shared: bool) {
        let bytes = Bytes::from_static(bytes);
        let mut cursor = Cursor::new(WHAT, 0, &bytes, Geometry::default());
        let parts = Parts::parse(&mut cursor).unwrap();
        assert_eq!(
            (
                parts.name.as_str(),
                &parts.datatype[..],
                &parts.dataspace[..]
            ),
            ("a", &b"xyz"[..], &b"s"[..])
        );
        assert_eq!(
            (&parts.data[..], parts.datatype_is_shared),
            (&b"data"[..], shared)
        );
    }
}
