//! One table: a row per chunk.
//!
//! | column | type | holds |
//! | --- | --- | --- |
//! | `path` | string, optional | the file; none where the chunk is missing or inlined |
//! | `offset`, `size` | INT64 | the range in it; both 0 means the whole file |
//! | `raw` | bytes, optional | the chunk itself; it wins over `path` |

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{
    Compression, ConvertedType, Encoding, LogicalType, Repetition, Type as Physical, ZstdLevel,
};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};

/// Rows that are decoded at once.
const BATCH: usize = 8192;

/// Rows from which numbers are stored as differences.
const PACKED_FROM: usize = 1024;

/// Numbers below which their differences are small enough.
const PACKED_BELOW: i64 = 1 << 52;

/// The columns of a table that is being written.
#[derive(Debug, Default)]
pub(super) struct Columns {
    path: Optional,
    offset: Vec<i64>,
    size: Vec<i64>,
    raw: Optional,
}

/// A column of bytes whose rows may be null.
#[derive(Debug, Default)]
struct Optional {
    values: Vec<ByteArray>,
    levels: Vec<i16>,
}

impl Optional {
    fn push(&mut self, value: Option<ByteArray>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

impl Columns {
    pub(super) fn push_missing(&mut self) {
        self.push(None, 0, 0, None);
    }

    pub(super) fn push_inline(&mut self, bytes: Bytes) {
        self.push(None, 0, 0, Some(ByteArray::from(bytes)));
    }

    pub(super) fn push_range(&mut self, path: &ByteArray, offset: i64, size: i64) {
        self.push(Some(path.clone()), offset, size, None);
    }

    fn push(&mut self, path: Option<ByteArray>, offset: i64, size: i64, raw: Option<ByteArray>) {
        self.path.push(path);
        self.offset.push(offset);
        self.size.push(size);
        self.raw.push(raw);
    }

    /// The table as a Parquet file; equal columns give equal bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>, ParquetError> {
        let properties = Arc::new(self.properties()?);
        let schema = schema()?;
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties)?;
        let mut group = writer.next_row_group()?;
        write_column::<ByteArrayType>(&mut group, &self.path.values, Some(&self.path.levels))?;
        write_column::<Int64Type>(&mut group, &self.offset, None)?;
        write_column::<Int64Type>(&mut group, &self.size, None)?;
        write_column::<ByteArrayType>(&mut group, &self.raw.values, Some(&self.raw.levels))?;
        group.close()?;
        writer.into_inner()
    }

    /// What fsspec's default engine, fastparquet, needs: statistics, or it takes an integer column for one with nulls
    /// and its values for floats; and paths in a dictionary however many they are, or those that are null come out as
    /// NaN, which fsspec takes for paths.
    fn properties(&self) -> Result<WriterProperties, ParquetError> {
        let column = |name: &str| ColumnPath::from(name);
        let mut properties = WriterProperties::builder()
            .set_created_by(String::from("landfall"))
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_dictionary_enabled(false)
            .set_column_dictionary_enabled(column("path"), true)
            .set_column_dictionary_page_size_limit(column("path"), usize::MAX)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true);
        for (name, values) in [("offset", &self.offset), ("size", &self.size)] {
            properties =
                properties.set_column_statistics_enabled(column(name), EnabledStatistics::Chunk);
            if can_be_packed(values) {
                properties = properties
                    .set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED)
                    .set_column_compression(column(name), Compression::UNCOMPRESSED);
            }
        }
        Ok(properties.build())
    }
}

/// Whether the differences of numbers are stored, which are small: half the bytes of compressed ones at a tenth of
/// the time. fastparquet reads nothing behind a single number, and no difference of more than 56 bits.
fn can_be_packed(numbers: &[i64]) -> bool {
    numbers.len() >= PACKED_FROM && numbers.iter().all(|number| *number < PACKED_BELOW)
}

fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let mut column = group
        .next_column()?
        .ok_or_else(|| ParquetError::General(String::from("the schema has too few columns")))?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

fn schema() -> Result<Arc<Type>, ParquetError> {
    let bytes = |name| {
        Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
            .with_repetition(Repetition::OPTIONAL)
    };
    let number = |name| {
        Type::primitive_type_builder(name, Physical::INT64)
            .with_repetition(Repetition::REQUIRED)
            .build()
    };
    let path = bytes("path")
        .with_logical_type(Some(LogicalType::String))
        .with_converted_type(ConvertedType::UTF8)
        .build()?;
    let fields = [
        path,
        number("offset")?,
        number("size")?,
        bytes("raw").build()?,
    ];
    let root = Type::group_type_builder("schema").with_fields(fields.map(Arc::new).to_vec());
    Ok(Arc::new(root.build()?))
}

/// What a row says of its chunk.
#[derive(Debug, PartialEq)]
pub(super) enum Row {
    Missing,
    Inline(Bytes),
    Whole,
    Range {
        path: ByteArray,
        offset: i64,
        size: i64,
    },
}

/// Calls `visit` with the first `limit` rows of a file and returns how many there were. Of the file nothing is taken
/// for granted but the names and types of its columns; a column may be absent if all its rows would be null.
pub(super) fn for_each_row<E: From<ParquetError>>(
    file: Bytes,
    limit: usize,
    mut visit: impl FnMut(usize, Row) -> Result<(), E>,
) -> Result<usize, E> {
    let reader = guarded(|| SerializedFileReader::new(file))?;
    let mut done = 0usize;
    for number in 0..reader.num_row_groups() {
        let group = guarded(|| reader.get_row_group(number))?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let mut left = rows.min(limit.saturating_sub(done));
        let mut columns = guarded(|| Reader::new(group.as_ref()))?;
        while left > 0 {
            let rows = guarded(|| columns.next(left.min(BATCH)))?;
            left = left.saturating_sub(rows.len());
            for row in rows {
                visit(done, row)?;
                done = done.saturating_add(1);
            }
        }
    }
    Ok(done)
}

/// The decoder panics on some damage. What a file holds must not end the program, and what was decoded is dropped.
fn guarded<T>(decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode));
    caught.unwrap_or_else(|_| {
        let problem = String::from("its bytes are no table");
        Err(ParquetError::General(problem))
    })
}

/// The columns of a row group, read in step.
struct Reader {
    path: Option<Column<ByteArrayType>>,
    offset: Option<Column<Int64Type>>,
    size: Option<Column<Int64Type>>,
    raw: Option<Column<ByteArrayType>>,
}

impl Reader {
    fn new(group: &dyn RowGroupReader) -> Result<Self, ParquetError> {
        Ok(Self {
            path: bytes_column(group, "path")?,
            offset: number_column(group, "offset")?,
            size: number_column(group, "size")?,
            raw: bytes_column(group, "raw")?,
        })
    }

    fn next(&mut self, rows: usize) -> Result<Vec<Row>, ParquetError> {
        let path = next(&mut self.path, rows)?;
        let offset = next(&mut self.offset, rows)?;
        let size = next(&mut self.size, rows)?;
        let raw = next(&mut self.raw, rows)?;
        let chunks = path.into_iter().zip(offset.into_iter().zip(size)).zip(raw);
        Ok(chunks
            .map(|((path, (offset, size)), raw)| row(path, offset, size, raw))
            .collect())
    }
}

/// The order of precedence is that of fsspec's reader.
fn row(
    path: Option<ByteArray>,
    offset: Option<i64>,
    size: Option<i64>,
    raw: Option<ByteArray>,
) -> Row {
    match (raw, path) {
        (Some(bytes), _) => Row::Inline(Bytes::copy_from_slice(bytes.data())),
        (None, None) => Row::Missing,
        (None, Some(path)) => match (offset.unwrap_or(0), size.unwrap_or(0)) {
            (0, 0) => Row::Whole,
            (offset, size) => Row::Range { path, offset, size },
        },
    }
}

struct Column<T: DataType> {
    reader: ColumnReaderImpl<T>,
    optional: bool,
}

fn bytes_column(
    group: &dyn RowGroupReader,
    name: &str,
) -> Result<Option<Column<ByteArrayType>>, ParquetError> {
    match column(group, name)? {
        None => Ok(None),
        Some((ColumnReader::ByteArrayColumnReader(reader), optional)) => {
            Ok(Some(Column { reader, optional }))
        }
        Some(_) => Err(other_type(name)),
    }
}

fn number_column(
    group: &dyn RowGroupReader,
    name: &str,
) -> Result<Option<Column<Int64Type>>, ParquetError> {
    match column(group, name)? {
        None => Ok(None),
        Some((ColumnReader::Int64ColumnReader(reader), optional)) => {
            Ok(Some(Column { reader, optional }))
        }
        Some(_) => Err(other_type(name)),
    }
}

/// The reader of a column that is not nested, and whether its rows may be null.
fn column(
    group: &dyn RowGroupReader,
    name: &str,
) -> Result<Option<(ColumnReader, bool)>, ParquetError> {
    let metadata = group.metadata();
    let columns = metadata.columns().iter();
    let Some((number, found)) = columns
        .enumerate()
        .find(|(_, column)| column.column_path().string() == name)
    else {
        return Ok(None);
    };
    let described = found.column_descr();
    if described.max_rep_level() > 0 || described.max_def_level() > 1 {
        return Err(other_type(name));
    }
    let reader = group.get_column_reader(number)?;
    Ok(Some((reader, described.max_def_level() == 1)))
}

fn other_type(name: &str) -> ParquetError {
    ParquetError::General(format!("column `{name}` is of another type"))
}

/// Exactly so many rows of a column; all of them null where it is absent.
fn next<T: DataType>(
    column: &mut Option<Column<T>>,
    rows: usize,
) -> Result<Vec<Option<T::T>>, ParquetError> {
    let Some(column) = column else {
        return Ok(vec![None; rows]);
    };
    let mut values = Vec::new();
    let mut levels = Vec::new();
    let levels_wanted = column.optional.then_some(&mut levels);
    let (found, ..) = column
        .reader
        .read_records(rows, levels_wanted, None, &mut values)?;
    if found != rows {
        let problem = format!("a column ends {} rows early", rows.saturating_sub(found));
        return Err(ParquetError::General(problem));
    }
    if !column.optional {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    Ok(levels
        .into_iter()
        .map(|level| if level == 1 { values.next() } else { None })
        .collect())
}
