//! The superblock and its extension. Specification II.
//!
//! | version | fields behind the signature and the version |
//! | --- | --- |
//! | 0, 1 | versions, sizes, B-tree Ks, flags, base, free space, end of file, driver block, root's symbol table entry |
//! | 2, 3 | sizes, flags, base, extension, end of file, root's header, checksum |

use bytes::Bytes;

use super::context::{Context, NodeSizes};
use super::cursor::Cursor;
use super::message::{self, shared};
use super::model::Geometry;
use super::object_header::ObjectHeader;
use crate::decode::{DecodeError, DecodeOptions, SourceBuffer};
use crate::inspect::{Container, Probe};

const WHAT: &str = "superblock";
/// More than any version of it needs.
const MOST: u64 = 128;

/// The superblock.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) version: u8,
    pub(super) geometry: Geometry,
    /// Address of the root group's object header.
    pub(super) root: u64,
    group_ks: Option<(u16, u16)>,
    chunk_k: Option<u16>,
    extension: Option<u64>,
    driver: Option<u64>,
    end_of_file: u64,
}

/// Reads the superblock and what it leads to; the file must be as long as it says.
pub(super) async fn read<'a>(
    buffer: &'a SourceBuffer,
    options: &DecodeOptions,
    at: u64,
) -> Result<(Superblock, Context<'a>), DecodeError> {
    let bytes = buffer.read_up_to(WHAT, at, MOST).await?;
    let superblock = Superblock::parse(&bytes, at)?;
    if let Some(probe) = &options.probe {
        superblock.note(buffer.file_len(), probe);
    }
    let mut context = Context::new(buffer, superblock.geometry, options);
    context.node_sizes = superblock.node_sizes();
    if let Some(driver) = superblock.driver {
        refuse_driver_block(&context, driver).await?;
    }
    if let Some(extension) = superblock.extension {
        read_extension(&mut context, extension).await?;
    }
    if options.probe.is_none() && superblock.end_of_file > buffer.file_len() {
        return Err(DecodeError::Truncated {
            expected: superblock.end_of_file,
            actual: buffer.file_len(),
        });
    }
    Ok((superblock, context))
}

impl Superblock {
    fn parse(bytes: &Bytes, at: u64) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(WHAT, at, bytes, Geometry::default());
        cursor.skip(8)?;
        let version = cursor.u8()?;
        match version {
            0 | 1 => Self::parse_old(bytes, at, version),
            2 | 3 => Self::parse_new(bytes, at, version),
            _ => Err(cursor.malformed(format!("version {version} is unknown"))),
        }
    }

    fn parse_old(bytes: &Bytes, at: u64, version: u8) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(WHAT, at, bytes, Geometry::default());
        cursor.skip(13)?;
        let geometry = sizes(&mut cursor, at)?;
        cursor.skip(1)?;
        let (group_leaf, group_internal) = (cursor.u16()?, cursor.u16()?);
        cursor.skip(4)?;
        let chunk_k = if version == 1 {
            let k = cursor.u16()?;
            cursor.skip(2)?;
            Some(k)
        } else {
            None
        };
        let mut cursor = rest_of(&cursor, bytes, geometry)?;
        let base = cursor.length_of_offset()?;
        cursor.0.address()?;
        let end_of_file = cursor.length_of_offset()?;
        let driver = cursor.0.address()?;
        // The offset of the root's name is as wide as a length.
        cursor.0.length()?;
        let root = cursor.0.defined_address()?;
        Ok(Self {
            version,
            geometry,
            root,
            group_ks: Some((group_leaf, group_internal)),
            chunk_k,
            extension: None,
            driver,
            end_of_file: moved(end_of_file, base, at),
        })
    }

    fn parse_new(bytes: &Bytes, at: u64, version: u8) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(WHAT, at, bytes, Geometry::default());
        cursor.skip(9)?;
        let geometry = sizes(&mut cursor, at)?;
        let len = 12 + 4 * geometry.offset_len() + 4;
        if bytes.len() < len {
            return Err(cursor.malformed("is too short"));
        }
        let bytes = bytes.slice(..len);
        let mut cursor = Cursor::checked(WHAT, at, &bytes, geometry)?;
        cursor.skip(12)?;
        let mut cursor = Offsets(cursor);
        let base = cursor.length_of_offset()?;
        let extension = cursor.0.address()?;
        let end_of_file = cursor.length_of_offset()?;
        let root = cursor.0.defined_address()?;
        Ok(Self {
            version,
            geometry,
            root,
            group_ks: None,
            chunk_k: None,
            extension,
            driver: None,
            end_of_file: moved(end_of_file, base, at),
        })
    }

    /// Notes what it says of the file, which may be shorter: what is there is then read as far as it goes.
    fn note(&self, file_len: u64, probe: &Probe) {
        let geometry = self.geometry;
        probe.note(|notes| {
            notes.container = Some(Container::Hdf5 {
                superblock_version: self.version,
                user_block_bytes: geometry.base,
                offset_size: geometry.offset_size,
                length_size: geometry.length_size,
            });
            notes.expected_length = Some(self.end_of_file).filter(|end| *end > file_len);
        });
    }

    fn node_sizes(&self) -> NodeSizes {
        let mut sizes = NodeSizes::default();
        if let Some((leaf, internal)) = self.group_ks {
            sizes.group_leaf = leaf;
            sizes.group_internal = internal;
        }
        sizes.chunk = self.chunk_k.unwrap_or(sizes.chunk);
        sizes
    }
}

/// Numbers as wide as an address that are not places of this file.
struct Offsets<'a>(Cursor<'a>);

impl Offsets<'_> {
    fn length_of_offset(&mut self) -> Result<u64, DecodeError> {
        let width = self.0.geometry().offset_len();
        self.0.uint(width)
    }
}

fn sizes(cursor: &mut Cursor<'_>, at: u64) -> Result<Geometry, DecodeError> {
    let (offset_size, length_size) = (cursor.u8()?, cursor.u8()?);
    if [offset_size, length_size]
        .iter()
        .any(|size| !matches!(size, 2 | 4 | 8))
    {
        return Err(cursor.malformed(format!(
            "addresses of {offset_size} and lengths of {length_size} bytes"
        )));
    }
    Ok(Geometry {
        base: at,
        offset_size,
        length_size,
    })
}

fn rest_of<'a>(
    cursor: &Cursor<'_>,
    bytes: &'a Bytes,
    geometry: Geometry,
) -> Result<Offsets<'a>, DecodeError> {
    let mut rest = Cursor::new(WHAT, geometry.base, bytes, geometry);
    rest.skip(cursor.position())?;
    Ok(Offsets(rest))
}

/// The end of a file whose bytes were moved, with a user block put before them or taken away, after it was written.
fn moved(end_of_file: u64, base: u64, at: u64) -> u64 {
    end_of_file.saturating_sub(base).saturating_add(at)
}

async fn refuse_driver_block(context: &Context<'_>, at: u64) -> Result<(), DecodeError> {
    let what = "driver information block";
    let bytes = context.read(what, at, 16).await?;
    let mut cursor = context.cursor(what, at, &bytes);
    cursor.skip(8)?;
    refuse_driver(cursor.take(8)?)
}

fn refuse_driver(name: &[u8]) -> Result<(), DecodeError> {
    let kind = match name {
        b"NCSAfami" => "HDF5 family file",
        b"NCSAmult" => "HDF5 multi file",
        _ => return Ok(()),
    };
    Err(DecodeError::Unsupported(String::from(kind)))
}

async fn read_extension(context: &mut Context<'_>, at: u64) -> Result<(), DecodeError> {
    let header = ObjectHeader::read(context, at).await?;
    for message in &header.messages {
        let mut cursor = context.cursor("superblock extension", message.at, &message.body);
        match message.kind {
            message::NODE_SIZES => {
                cursor.version(0)?;
                context.node_sizes = NodeSizes {
                    chunk: cursor.u16()?,
                    group_internal: cursor.u16()?,
                    group_leaf: cursor.u16()?,
                };
            }
            message::DRIVER_INFO => {
                cursor.version(0)?;
                refuse_driver(cursor.take(8)?)?;
            }
            message::SHARED_TABLE => {
                cursor.version(0)?;
                let (table, count) = (cursor.defined_address()?, cursor.u8()?);
                context.shared_indexes = shared::read_table(context, table, count).await?;
                shared::read_heaps(context).await;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::checksum::lookup3;
    use super::*;

    fn new(version: u8, offset_size: u8, fields: [u64; 4]) -> Bytes {
        let mut bytes = b"\x89HDF\r\n\x1a\n".to_vec();
        bytes.extend([version, offset_size, 8, 0]);
        for field in fields {
            bytes.extend(&field.to_le_bytes()[..usize::from(offset_size)]);
        }
        let checksum = lookup3(&bytes);
        bytes.extend(checksum.to_le_bytes());
        Bytes::from(bytes)
    }

    #[test]
    fn version_2_behind_a_user_block() {
        let bytes = new(2, 4, [512, 0xffff_ffff, 4096, 48]);
        let superblock = Superblock::parse(&bytes, 512).unwrap();
        assert_eq!((superblock.root, superblock.extension), (560, None));
        assert_eq!(superblock.end_of_file, 4096);
        assert_eq!(superblock.geometry.offset_size, 4);
    }

    #[test]
    fn a_user_block_put_before_a_finished_file_moves_its_end() {
        let bytes = new(3, 8, [0, u64::MAX, 4096, 48]);
        assert_eq!(Superblock::parse(&bytes, 512).unwrap().end_of_file, 4608);
    }

    #[test]
    fn version_1_brings_the_chunk_k() {
        let mut bytes = b"\x89HDF\r\n\x1a\n\x01\0\0\0\0\x08\x08\0".to_vec();
        bytes.extend([6, 0, 20, 0, 0, 0, 0, 0, 99, 0, 0, 0]);
        for field in [0, u64::MAX, 2048, u64::MAX, 0, 96] {
            bytes.extend(field.to_le_bytes());
        }
        let superblock = Superblock::parse(&Bytes::from(bytes), 0).unwrap();
        let sizes = superblock.node_sizes();
        assert_eq!(
            (sizes.group_leaf, sizes.group_internal, sizes.chunk),
            (6, 20, 99)
        );
        assert_eq!((superblock.root, superblock.driver), (96, None));
    }

    #[test]
    fn sizes_that_nothing_writes_are_refused() {
        let error = Superblock::parse(&new(2, 3, [0, 0, 0, 0]), 0).unwrap_err();
        assert!(error.to_string().contains("addresses of 3"), "{error}");
    }
}
