//! Parses the header: bytes in, dimensions, attributes and variables out.

use std::collections::HashSet;

use crate::dataset::Format;
use crate::decode::DecodeError;
use crate::zarr::{ByteOrder, DataType};

/// Why a header cannot be parsed.
#[derive(Debug, PartialEq)]
pub(super) enum HeaderError {
    /// It goes on behind the bytes at hand, up to `end` at least.
    Short {
        what: &'static str,
        at: u64,
        end: u64,
    },
    /// It is wrong.
    Decode(DecodeError),
}

impl From<DecodeError> for HeaderError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// External type of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NcType {
    Byte,
    Char,
    Short,
    Int,
    Float,
    Double,
    UByte,
    UShort,
    UInt,
    Int64,
    UInt64,
}

impl NcType {
    /// Types from 7 on are CDF-5's alone by the specification; netCDF-C reads them in any file.
    const fn from_tag(tag: u32) -> Option<Self> {
        match tag {
            1 => Some(Self::Byte),
            2 => Some(Self::Char),
            3 => Some(Self::Short),
            4 => Some(Self::Int),
            5 => Some(Self::Float),
            6 => Some(Self::Double),
            7 => Some(Self::UByte),
            8 => Some(Self::UShort),
            9 => Some(Self::UInt),
            10 => Some(Self::Int64),
            11 => Some(Self::UInt64),
            _ => None,
        }
    }

    /// The type as Zarr has it; all numbers are big-endian.
    pub(super) const fn data_type(self) -> DataType {
        match self {
            Self::Byte => DataType::Int(1, ByteOrder::Little),
            Self::Char => DataType::FixedString(1),
            Self::Short => DataType::Int(2, ByteOrder::Big),
            Self::Int => DataType::Int(4, ByteOrder::Big),
            Self::Float => DataType::Float(4, ByteOrder::Big),
            Self::Double => DataType::Float(8, ByteOrder::Big),
            Self::UByte => DataType::UInt(1, ByteOrder::Little),
            Self::UShort => DataType::UInt(2, ByteOrder::Big),
            Self::UInt => DataType::UInt(4, ByteOrder::Big),
            Self::Int64 => DataType::Int(8, ByteOrder::Big),
            Self::UInt64 => DataType::UInt(8, ByteOrder::Big),
        }
    }

    pub(super) const fn size(self) -> u64 {
        match self {
            Self::Byte | Self::Char | Self::UByte => 1,
            Self::Short | Self::UShort => 2,
            Self::Int | Self::UInt | Self::Float => 4,
            Self::Double | Self::Int64 | Self::UInt64 => 8,
        }
    }
}

/// A dimension; the record dimension has length 0 here.
#[derive(Debug, PartialEq)]
pub(super) struct Dim<'a> {
    pub(super) name: &'a str,
    pub(super) length: u64,
}

/// An attribute with its values as stored.
#[derive(Debug, PartialEq)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    pub(super) nc_type: NcType,
    pub(super) values: &'a [u8],
}

/// A variable.
#[derive(Debug, PartialEq)]
pub(super) struct Variable<'a> {
    pub(super) name: &'a str,
    /// Positions in [`Header::dimensions`], all of them inside it.
    pub(super) dimensions: Vec<usize>,
    pub(super) attributes: Vec<Attribute<'a>>,
    pub(super) nc_type: NcType,
    /// Offset of its data.
    pub(super) begin: u64,
    /// Where its own entry stands.
    pub(super) at: u64,
}

/// What a header says.
#[derive(Debug, PartialEq)]
pub(super) struct Header<'a> {
    pub(super) format: Format,
    /// Number of records; `None` while the file is written as a stream.
    pub(super) records: Option<u64>,
    pub(super) dimensions: Vec<Dim<'a>>,
    /// Position of the record dimension.
    pub(super) record_dimension: Option<usize>,
    pub(super) attributes: Vec<Attribute<'a>>,
    pub(super) variables: Vec<Variable<'a>>,
    /// Offset of the first byte behind the header.
    pub(super) end: u64,
}

const DIMENSIONS: u32 = 0x0a;
const VARIABLES: u32 = 0x0b;
const ATTRIBUTES: u32 = 0x0c;

/// Parses a header from the first bytes of a file.
///
/// | part | CDF-1 | CDF-2 | CDF-5 |
/// | --- | --- | --- | --- |
/// | magic, version | 3 + 1 | 3 + 1 | 3 + 1 |
/// | number of records, counts, lengths, ids, sizes | 4 | 4 | 8 |
/// | tags, types | 4 | 4 | 4 |
/// | offset of a variable's data | 4 | 8 | 8 |
pub(super) fn parse(bytes: &[u8], max_objects: u64) -> Result<Header<'_>, HeaderError> {
    let mut cursor = Cursor::new(bytes, max_objects)?;
    let records = cursor.records()?;
    let dimensions = cursor.dimensions()?;
    let attributes = cursor.attributes()?;
    let variables = cursor.variables(dimensions.len())?;
    let record_dimension = dimensions.iter().position(|dim| dim.length == 0);
    Ok(Header {
        format: cursor.format,
        records,
        dimensions,
        record_dimension,
        attributes,
        variables,
        end: cursor.position(),
    })
}

/// Reads the parts of a header one after another.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    format: Format,
    objects: u64,
    max_objects: u64,
}

impl<'a> Cursor<'a> {
    fn new(bytes: &'a [u8], max_objects: u64) -> Result<Self, HeaderError> {
        let mut cursor = Self {
            bytes,
            at: 0,
            format: Format::Cdf1,
            objects: 0,
            max_objects,
        };
        let magic = cursor.take("magic number", 4)?;
        cursor.format = match magic {
            b"CDF\x01" => Format::Cdf1,
            b"CDF\x02" => Format::Cdf2,
            b"CDF\x05" => Format::Cdf5,
            other => {
                let version = other.last().copied().unwrap_or(0);
                let problem = format!("there is no classic format of version {version}");
                return Err(DecodeError::NotNetcdf(problem).into());
            }
        };
        Ok(cursor)
    }

    fn position(&self) -> u64 {
        u64::try_from(self.at).unwrap_or(u64::MAX)
    }

    fn take(&mut self, what: &'static str, length: u64) -> Result<&'a [u8], HeaderError> {
        let at = self.position();
        let end = at.saturating_add(length);
        let taken = usize::try_from(end)
            .ok()
            .and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(HeaderError::Short { what, at, end })?;
        self.at = self.at.saturating_add(taken.len());
        Ok(taken)
    }

    fn number(&mut self, what: &'static str, width: u64) -> Result<u64, HeaderError> {
        let bytes = self.take(what, width)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn tag(&mut self, what: &'static str) -> Result<u32, HeaderError> {
        let tag = self.number(what, 4)?;
        Ok(u32::try_from(tag).unwrap_or(u32::MAX))
    }

    /// A length, count or id. With 32 bits some writers use the upper half of the range as well.
    fn non_negative(&mut self, what: &'static str) -> Result<u64, HeaderError> {
        let at = self.position();
        let number = self.number(what, self.width())?;
        match i64::try_from(number) {
            Ok(_) => Ok(number),
            Err(_) => Err(malformed(what, at, "it is negative").into()),
        }
    }

    const fn width(&self) -> u64 {
        match self.format {
            Format::Cdf5 => 8,
            _ => 4,
        }
    }

    /// Data offsets; those of CDF-1 are signed 32-bit numbers.
    fn offset(&mut self) -> Result<u64, HeaderError> {
        let at = self.position();
        let (width, most) = match self.format {
            Format::Cdf1 => (4, u64::from(i32::MAX.unsigned_abs())),
            _ => (8, i64::MAX.unsigned_abs()),
        };
        let offset = self.number("data offset", width)?;
        if offset > most {
            return Err(malformed("data offset", at, "it is negative").into());
        }
        Ok(offset)
    }

    /// The number of records; all ones stands for a file that was written as a stream.
    fn records(&mut self) -> Result<Option<u64>, HeaderError> {
        let at = self.position();
        let what = "number of records";
        let number = self.number(what, self.width())?;
        let streaming = match self.format {
            Format::Cdf5 => u64::MAX,
            _ => u64::from(u32::MAX),
        };
        match i64::try_from(number) {
            _ if number == streaming => Ok(None),
            Ok(_) => Ok(Some(number)),
            Err(_) => Err(malformed(what, at, "it is negative").into()),
        }
    }

    /// The tag of a list and how many elements follow.
    fn list(&mut self, what: &'static str, tag: u32) -> Result<u64, HeaderError> {
        let at = self.position();
        let found = self.tag(what)?;
        let count = self.non_negative(what)?;
        match found {
            0 if count == 0 => Ok(0),
            found if found == tag => Ok(count),
            found => {
                let problem = format!("its tag is {found:#x}, not {tag:#x} or absent");
                Err(malformed(what, at, &problem).into())
            }
        }
    }

    fn count_object(&mut self) -> Result<(), HeaderError> {
        self.objects = self.objects.saturating_add(1);
        if self.objects > self.max_objects {
            let limit = self.max_objects;
            let what = "number of dimensions, attributes and variables";
            return Err(DecodeError::Budget { what, limit }.into());
        }
        Ok(())
    }

    /// A name. What pads it to four bytes is not looked at: netCDF-C reads files where it is not zero. Old writers
    /// counted the zeros that end a C string in: the name ends where the C library sees its end.
    fn name(
        &mut self,
        what: &'static str,
        seen: &mut HashSet<&'a str>,
    ) -> Result<&'a str, HeaderError> {
        self.count_object()?;
        let at = self.position();
        let length = self.non_negative(what)?;
        let bytes = self.take(what, length)?;
        self.padding(what, length)?;
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = std::str::from_utf8(bytes).map_err(|_| malformed(what, at, "it is no UTF-8"))?;
        if name.is_empty() {
            return Err(malformed(what, at, "it is empty").into());
        }
        if !seen.insert(name) {
            return Err(malformed(what, at, &format!("`{name}` is there twice")).into());
        }
        Ok(name)
    }

    fn padding(&mut self, what: &'static str, length: u64) -> Result<(), HeaderError> {
        let odd = length % 4;
        self.take(what, (4 - odd) % 4).map(drop)
    }

    fn dimensions(&mut self) -> Result<Vec<Dim<'a>>, HeaderError> {
        let count = self.list("dimension list", DIMENSIONS)?;
        let (mut dimensions, mut seen) = (Vec::new(), HashSet::new());
        let mut unlimited = false;
        for _ in 0..count {
            let at = self.position();
            let name = self.name("dimension name", &mut seen)?;
            let length = self.non_negative("dimension length")?;
            if length == 0 && std::mem::replace(&mut unlimited, true) {
                let problem = format!("`{name}` is a second record dimension");
                return Err(malformed("dimension", at, &problem).into());
            }
            dimensions.push(Dim { name, length });
        }
        Ok(dimensions)
    }

    fn attributes(&mut self) -> Result<Vec<Attribute<'a>>, HeaderError> {
        let count = self.list("attribute list", ATTRIBUTES)?;
        let (mut attributes, mut seen) = (Vec::new(), HashSet::new());
        for _ in 0..count {
            let what = "attribute values";
            let name = self.name("attribute name", &mut seen)?;
            let nc_type = self.nc_type("attribute type")?;
            let at = self.position();
            let length = self
                .non_negative(what)?
                .checked_mul(nc_type.size())
                .ok_or_else(|| malformed(what, at, "their number overflows"))?;
            let values = self.take(what, length)?;
            self.padding(what, length)?;
            attributes.push(Attribute {
                name,
                nc_type,
                values,
            });
        }
        Ok(attributes)
    }

    fn nc_type(&mut self, what: &'static str) -> Result<NcType, HeaderError> {
        let at = self.position();
        let tag = self.tag(what)?;
        NcType::from_tag(tag)
            .ok_or_else(|| malformed(what, at, &format!("there is no type {tag}")).into())
    }

    fn variables(&mut self, rank: usize) -> Result<Vec<Variable<'a>>, HeaderError> {
        let count = self.list("variable list", VARIABLES)?;
        let (mut variables, mut seen) = (Vec::new(), HashSet::new());
        for _ in 0..count {
            let at = self.position();
            let name = self.name("variable name", &mut seen)?;
            let dimensions = self.dimension_ids(rank)?;
            let attributes = self.attributes()?;
            let nc_type = self.nc_type("variable type")?;
            self.take("variable size", self.width())?;
            let begin = self.offset()?;
            variables.push(Variable {
                name,
                dimensions,
                attributes,
                nc_type,
                begin,
                at,
            });
        }
        Ok(variables)
    }

    fn dimension_ids(&mut self, known: usize) -> Result<Vec<usize>, HeaderError> {
        let count = self.non_negative("number of dimensions")?;
        let mut ids = Vec::new();
        for _ in 0..count {
            let at = self.position();
            let id = self.non_negative("dimension id")?;
            let known_id = usize::try_from(id).ok().filter(|id| *id < known);
            let problem = || malformed("dimension id", at, &format!("there is no dimension {id}"));
            ids.push(known_id.ok_or_else(problem)?);
        }
        Ok(ids)
    }
}

pub(super) fn malformed(what: &'static str, at: u64, problem: &str) -> DecodeError {
    DecodeError::Malformed {
        what,
        at,
        problem: crate::decode::one_line(problem),
    }
}
