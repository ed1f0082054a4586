//! What [`hdf5`](crate::hdf5) hands on: the object tree in HDF5's own terms.

use bytes::Bytes;

use crate::decode::ByteRange;
use crate::hdf5::float::FloatFormat;

/// A whole file.
#[derive(Debug, Clone)]
pub struct Hdf5File {
    /// Version of the superblock.
    pub superblock_version: u8,
    /// Sizes and base address that hold all through the file.
    pub geometry: Geometry,
    /// The root group.
    pub root: Group,
}

/// Sizes and base address that hold all through a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Geometry {
    /// Where the superblock's base address lies; stored addresses count from here.
    pub base: u64,
    /// Bytes of an address.
    pub offset_size: u8,
    /// Bytes of a length.
    pub length_size: u8,
}

/// A group with its links in order of name.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Address of its object header, absolute.
    pub address: u64,
    /// Attributes in order of creation where tracked, else as stored.
    pub attributes: Vec<Attribute>,
    /// Attributes that could not be read: name (`*` where even that is unknown) and reason.
    pub broken_attributes: Vec<(String, String)>,
    /// Links.
    pub links: Vec<Link>,
}

/// A named link of a group.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Creation order, where the group tracks it.
    pub creation_order: Option<i64>,
    /// What it leads to.
    pub target: Node,
}

/// What a link leads to.
#[derive(Debug, Clone)]
pub enum Node {
    /// A group, met for the first time.
    Group(Box<Group>),
    /// A dataset, met for the first time.
    Dataset(Box<Dataset>),
    /// A committed datatype.
    NamedType(Box<Datatype>),
    /// Another name of an object listed elsewhere, by its header's address.
    HardLink {
        /// Address of the object header, absolute.
        address: u64,
        /// The path under which the object is listed.
        path: String,
    },
    /// A path inside the file.
    Soft(String),
    /// An object of another file.
    External {
        /// Name of the file.
        file: String,
        /// Path inside it.
        path: String,
    },
    /// An object that cannot be read, and why.
    Broken(String),
}

/// A dataset.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Address of its object header, absolute; what object references hold (less the base address).
    pub address: u64,
    /// Type of an element.
    pub datatype: Datatype,
    /// Extent.
    pub dataspace: Dataspace,
    /// Where the data is.
    pub storage: Storage,
    /// Filter pipeline in the order of encoding.
    pub filters: Vec<Filter>,
    /// Fill value.
    pub fill: FillValue,
    /// Attributes in order of creation where tracked, else as stored.
    pub attributes: Vec<Attribute>,
    /// Attributes that could not be read: name (`*` where even that is unknown) and reason.
    pub broken_attributes: Vec<(String, String)>,
}

/// Extent of a dataset or an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dataspace {
    /// No element at all.
    Null,
    /// One element.
    Scalar,
    /// A lattice.
    Simple {
        /// Current lengths.
        dims: Vec<u64>,
        /// Largest lengths; `None` in it means unlimited.
        max_dims: Vec<Option<u64>>,
    },
}

impl Dataspace {
    /// Current lengths; empty for a scalar, `None` for a null dataspace.
    pub fn shape(&self) -> Option<&[u64]> {
        match self {
            Self::Null => None,
            Self::Scalar => Some(&[]),
            Self::Simple { dims, .. } => Some(dims),
        }
    }
}

/// Type of an element in HDF5's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datatype {
    /// Size of an element in bytes.
    pub size: u32,
    /// What it is.
    pub class: DatatypeClass,
    /// Whether it is a committed (named) type.
    pub committed: bool,
}

/// Byte order of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
    /// VAX or another order that nothing else reads.
    Other,
}

/// Class of a datatype.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatatypeClass {
    /// Fixed-point number.
    Integer {
        /// Byte order.
        order: Order,
        /// Whether it has a sign.
        signed: bool,
        /// Position of the lowest significant bit.
        bit_offset: u16,
        /// Number of significant bits.
        precision: u16,
    },
    /// Floating-point number.
    Float {
        /// Byte order.
        order: Order,
        /// How its bits make a number.
        format: FloatFormat,
    },
    /// Time; nobody writes it.
    Time,
    /// Text of fixed length.
    String {
        /// How the end is marked.
        padding: StringPadding,
        /// Whether the text is UTF-8 (else ASCII).
        utf8: bool,
    },
    /// Bits.
    Bitfield {
        /// Byte order.
        order: Order,
    },
    /// Bytes with a tag.
    Opaque {
        /// Its tag.
        tag: String,
    },
    /// Members at offsets.
    Compound(Vec<Member>),
    /// Object reference (8 bytes, mostly) or region reference.
    Reference {
        /// Whether it is an object reference of the old kind: the address of an object header.
        object: bool,
    },
    /// Names for values of an integer type.
    Enum {
        /// The integer type.
        base: Box<Datatype>,
        /// Name and value (as stored) of each member.
        members: Vec<(String, Bytes)>,
    },
    /// Variable-length text; an element is a reference into the global heap.
    VlenString {
        /// Whether the text is UTF-8 (else ASCII).
        utf8: bool,
    },
    /// Variable-length sequence; an element is a reference into the global heap.
    VlenSequence(Box<Datatype>),
    /// A small array of a base type.
    Array {
        /// Its lengths.
        dims: Vec<u64>,
        /// The base type.
        base: Box<Datatype>,
    },
    /// Two floats (HDF5 2.0's native complex class).
    Complex(Box<Datatype>),
}

/// How the end of a fixed string is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StringPadding {
    /// By a zero byte.
    NullTerminated,
    /// By zero bytes up to the size.
    NullPadded,
    /// By spaces up to the size.
    SpacePadded,
}

/// A member of a compound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Offset in the element, in bytes.
    pub offset: u32,
    /// Its type.
    pub datatype: Datatype,
}

/// Where the data of a dataset is. All addresses are absolute.
#[derive(Debug, Clone)]
pub enum Storage {
    /// In the object header: the bytes, and where they stand in the file.
    Compact {
        /// The data.
        data: Bytes,
        /// Where it stands, if in one piece.
        range: Option<ByteRange>,
    },
    /// In one run of bytes; `None` while not allocated.
    Contiguous(Option<ByteRange>),
    /// In chunks.
    Chunked {
        /// Lengths of a chunk in elements, as many as the rank.
        chunk_shape: Vec<u64>,
        /// Kind of index, for people: `btree-v1`, `single-chunk`, `implicit`, `fixed-array`, `extensible-array`, `btree-v2`.
        index: &'static str,
        /// Every allocated chunk inside the current extent, by row-major number over the current chunk grid.
        chunks: Vec<Chunk>,
        /// Number of allocated chunks outside the extent, which were dropped.
        outside: u64,
        /// Why the index could not be read to its end; the dataset is then unusable.
        broken: Option<String>,
    },
    /// In other files (names).
    External(Vec<String>),
    /// A view of other datasets.
    Virtual,
    /// In a layout this crate does not read: why.
    Unsupported(String),
}

/// One allocated chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Row-major number over the current chunk grid.
    pub number: u64,
    /// Where its bytes are, absolute.
    pub range: ByteRange,
    /// Bit `i` set: filter `i` of the pipeline was left out for this chunk. (A partial edge chunk that the layout
    /// leaves unfiltered has all bits set.)
    pub filter_mask: u32,
}

/// One filter of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Registered id.
    pub id: u16,
    /// Whether a failure of it when writing was allowed.
    pub optional: bool,
    /// Name, where stored.
    pub name: String,
    /// Client data.
    pub values: Vec<u32>,
}

/// Fill value of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FillValue {
    /// None is defined: unallocated data has no value.
    Undefined,
    /// The library's default, zeros.
    Default,
    /// This element, as stored.
    User(Bytes),
}

/// An attribute.
#[derive(Debug, Clone)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Type of an element.
    pub datatype: Datatype,
    /// Extent.
    pub dataspace: Dataspace,
    /// Its values.
    pub value: AttributeValue,
}

/// Values of an attribute, in row-major order; references into the global heap are resolved.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValue {
    /// Null dataspace.
    Null,
    /// Signed integers (enums too).
    Integers(Vec<i64>),
    /// Unsigned integers (enums too).
    Unsigned(Vec<u64>),
    /// Floats, widened.
    Floats(Vec<f64>),
    /// Fixed or variable-length text without padding; bytes, since nothing promises UTF-8.
    Strings(Vec<Bytes>),
    /// Object references of the old kind, as absolute addresses of object headers (0 = null).
    References(Vec<u64>),
    /// Sequences of object references, as `DIMENSION_LIST` has them.
    ReferenceLists(Vec<Vec<u64>>),
    /// Anything else: the bytes as stored.
    Raw(Bytes),
}
