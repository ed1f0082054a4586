//! What `landfall inspect` tells: the `--json` document, whose field names are stable.

use serde::Serialize;
use serde_json::{Value, json};
use virtualize::VirtualDataset;
use virtualize::dataset::{Format, Layout};
use virtualize::inspect::{self, Container, Fill, Filter, Values};
use virtualize::rules::Finding;

use super::survey::{Survey, total};

/// One file.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The file as it was named.
    pub(super) file: String,
    /// Its address as references name it.
    pub(super) url: String,
    /// Its length.
    pub(super) size_bytes: u64,
    /// `NETCDF4`, `HDF5`, `CDF1`, `CDF2` or `CDF5`; null where it could not be decoded.
    pub(super) format: Option<Format>,
    /// The file format below: `kind` is `hdf5` (with `superblock_version`, `user_block_bytes`, `offset_size`,
    /// `length_size`) or `classic` (with `version`, `header_bytes`); null where not even that could be told.
    pub(super) container: Option<Container>,
    /// What is wrong with the file as a whole; what follows is then what could be read all the same.
    pub(super) error: Option<ErrorReport>,
    /// The groups, the root first.
    pub(super) groups: Vec<GroupReport>,
    /// The variables, refused ones included, in the order of the groups.
    pub(super) variables: Vec<VariableReport>,
    /// What was left out of the reference that is no variable above, and why.
    pub(super) left_out: Vec<LeftOut>,
    /// Findings of decoding: `grade`, `code`, `variable`, `message`.
    pub(super) findings: Vec<Finding>,
    /// Where the metadata lies.
    pub(super) metadata: MetadataReport,
    /// What a cold read costs over an object store.
    pub(super) cold_read: ColdRead,
}

/// An error of the whole file.
#[derive(Debug, Serialize)]
pub(super) struct ErrorReport {
    /// Stable code, as other commands have it.
    pub(super) code: String,
    /// What is wrong and where.
    pub(super) message: String,
}

/// A group.
#[derive(Debug, Serialize)]
pub(super) struct GroupReport {
    /// Absolute path; `/` for the root.
    pub(super) path: String,
    /// Dimensions declared here, by name.
    pub(super) dimensions: Vec<DimensionReport>,
    /// Attributes.
    pub(super) attributes: Vec<AttributeReport>,
}

/// A dimension.
#[derive(Debug, Serialize)]
pub(super) struct DimensionReport {
    /// Its name.
    pub(super) name: String,
    /// Its length.
    pub(super) length: u64,
    /// Whether it can grow.
    pub(super) unlimited: bool,
}

/// An attribute.
#[derive(Debug, Serialize)]
pub(super) struct AttributeReport {
    /// Its name.
    pub(super) name: String,
    /// Its type in CDL.
    #[serde(rename = "type")]
    pub(super) data_type: String,
    /// Its value, a list where there are several or none; what is not finite is `"NaN"`, `"Infinity"`, `"-Infinity"`.
    pub(super) value: Value,
    /// The same for text output.
    #[serde(skip)]
    pub(super) values: Values,
}

/// A variable.
#[derive(Debug, Serialize)]
pub(super) struct VariableReport {
    /// Absolute path.
    pub(super) path: String,
    /// Its type in CDL.
    #[serde(rename = "type")]
    pub(super) data_type: String,
    /// Whether its numbers are stored with the most significant byte first.
    pub(super) big_endian: bool,
    /// Name of each dimension.
    pub(super) dimensions: Vec<String>,
    /// Length of each dimension; null for a null dataspace.
    pub(super) shape: Option<Vec<u64>>,
    /// Attributes.
    pub(super) attributes: Vec<AttributeReport>,
    /// How it is stored.
    pub(super) storage: StorageReport,
    /// Why it is left out of references; null where it is not.
    pub(super) refused: Option<String>,
}

/// How a variable is stored.
#[derive(Debug, Serialize)]
pub(super) struct StorageReport {
    /// `contiguous`, `chunked`, `compact`, `record`; null where the data is elsewhere.
    pub(super) layout: Option<Layout>,
    /// Why there is no layout, or why the index could not be read to its end.
    pub(super) problem: Option<String>,
    /// `btree-v1`, `single-chunk`, `implicit`, `fixed-array`, `extensible-array`, `btree-v2`.
    pub(super) chunk_index: Option<&'static str>,
    /// Shape of a chunk.
    pub(super) chunk_shape: Option<Vec<u64>>,
    /// Chunks that the shape asks for; 1 where the layout has no chunks, the number of records for `record`.
    pub(super) chunks: u64,
    /// Those that are allocated.
    pub(super) chunks_allocated: u64,
    /// Those that left out a filter.
    pub(super) chunks_masked: u64,
    /// Bytes in the file.
    pub(super) stored_bytes: u64,
    /// Bytes of all elements; null where they have no fixed size.
    pub(super) decoded_bytes: Option<u64>,
    /// Decoded by stored bytes; null where nothing is stored, or where data is not allocated.
    pub(super) compression_ratio: Option<f64>,
    /// Filters in the order of writing: `id`, `name`, `parameters`, `codec` (Zarr v2, null where none decodes it).
    pub(super) filters: Vec<Filter>,
    /// The fill value of the format: `kind` is `none`, `undefined`, `default` or `value` (with `value`).
    pub(super) fill: Fill,
}

/// Something that is not in the reference.
#[derive(Debug, Serialize)]
pub(super) struct LeftOut {
    /// Its absolute path.
    pub(super) path: String,
    /// Why.
    pub(super) reason: String,
}

/// Where the metadata lies: what the decoder asks for, the data of variables taken away.
#[derive(Debug, Serialize)]
pub(super) struct MetadataReport {
    /// All of it.
    pub(super) bytes: u64,
    /// Of these, in the part at the head that the first request reads.
    pub(super) head_bytes: u64,
    /// Of these, in the part at the tail that the first round reads.
    pub(super) tail_bytes: u64,
    /// Of these, in between.
    pub(super) spread_bytes: u64,
    /// Values that are read as well, of variables that a reference holds itself.
    pub(super) inlined_bytes: u64,
    /// Merged ranges as `[offset, bytes]`, sorted.
    pub(super) extents: Vec<(u64, u64)>,
}

/// What a cold read costs.
#[derive(Debug, Serialize)]
pub(super) struct ColdRead {
    /// Ranged requests.
    pub(super) requests: u64,
    /// Round trips that wait for each other.
    pub(super) rounds: u32,
    /// Bytes fetched.
    pub(super) bytes: u64,
    /// Time of a round trip that was reckoned with.
    pub(super) round_trip_ms: u64,
    /// Rounds times that, the transfer left out.
    pub(super) milliseconds: u64,
}

impl Report {
    /// The report of a surveyed file and of what is wrong with it.
    pub(super) fn new(
        file: String,
        survey: Survey,
        error: Option<ErrorReport>,
        round_trip_ms: u64,
    ) -> Self {
        let cold_read = ColdRead {
            requests: survey.cost.requests,
            rounds: survey.cost.rounds,
            bytes: survey.cost.bytes,
            round_trip_ms,
            milliseconds: u64::from(survey.cost.rounds).saturating_mul(round_trip_ms),
        };
        let metadata = MetadataReport::new(&survey);
        let skipped = survey.dataset.as_ref().map(|dataset| &dataset.skipped);
        let mut left_out: Vec<LeftOut> = skipped.into_iter().flatten().map(LeftOut::new).collect();
        let variables = survey.notes.variables.into_iter();
        let variables = variables
            .map(|variable| VariableReport::new(variable, &mut left_out))
            .collect();
        let groups = survey.notes.groups.into_iter();
        Self {
            file,
            url: survey.source.url,
            size_bytes: survey.source.length,
            format: survey.dataset.as_ref().map(|dataset| dataset.format),
            container: survey.notes.container,
            error,
            groups: groups.map(GroupReport::new).collect(),
            variables,
            left_out,
            findings: survey.dataset.map_or_else(Vec::new, findings),
            metadata,
            cold_read,
        }
    }
}

fn findings(dataset: VirtualDataset) -> Vec<Finding> {
    dataset.findings
}

impl LeftOut {
    fn new(skipped: &virtualize::dataset::Skipped) -> Self {
        Self {
            path: skipped.variable.clone(),
            reason: skipped.reason.clone(),
        }
    }
}

impl GroupReport {
    fn new(group: inspect::Group) -> Self {
        let dimensions = group.dimensions.into_iter();
        let dimensions = dimensions.map(|(name, dimension)| DimensionReport {
            name,
            length: dimension.length,
            unlimited: dimension.unlimited,
        });
        Self {
            path: group.path,
            dimensions: dimensions.collect(),
            attributes: attributes(group.attributes),
        }
    }
}

impl VariableReport {
    /// Takes the reason why the variable was left out from the list.
    fn new(variable: inspect::Variable, left_out: &mut Vec<LeftOut>) -> Self {
        let position = left_out.iter().position(|row| row.path == variable.path);
        let refused = position.map(|position| left_out.remove(position).reason);
        Self {
            storage: StorageReport::new(variable.storage, variable.decoded_bytes),
            path: variable.path,
            data_type: variable.data_type,
            big_endian: variable.big_endian,
            dimensions: variable.dimensions,
            shape: variable.shape,
            attributes: attributes(variable.attributes),
            refused,
        }
    }
}

impl StorageReport {
    fn new(storage: inspect::Storage, decoded_bytes: Option<u64>) -> Self {
        let whole = storage.allocated_chunks == storage.grid_chunks && storage.stored_bytes > 0;
        Self {
            layout: storage.layout,
            problem: storage.problem,
            chunk_index: storage.index,
            chunk_shape: storage.chunk_shape,
            chunks: storage.grid_chunks,
            chunks_allocated: storage.allocated_chunks,
            chunks_masked: storage.masked_chunks,
            stored_bytes: storage.stored_bytes,
            decoded_bytes,
            compression_ratio: decoded_bytes
                .filter(|_| whole)
                .map(|decoded| ratio(decoded, storage.stored_bytes)),
            filters: storage.filters,
            fill: storage.fill,
        }
    }
}

/// To three decimals, so that documents do not differ in the last bits.
#[expect(
    clippy::cast_precision_loss,
    reason = "sizes above 2^53 bytes are no matter of three decimals"
)]
fn ratio(decoded: u64, stored: u64) -> f64 {
    (decoded as f64 / stored as f64 * 1000.0).round() / 1000.0
}

impl MetadataReport {
    fn new(survey: &Survey) -> Self {
        let (head, tail) = survey.windows;
        let tail_start = survey.source.length.saturating_sub(tail).max(head);
        let inside = |from: u64, until: u64| -> u64 {
            let parts = survey.metadata.iter();
            parts
                .map(|range| range.end().min(until).saturating_sub(range.start.max(from)))
                .sum()
        };
        let extents = survey.metadata.iter();
        Self {
            bytes: total(&survey.metadata),
            head_bytes: inside(0, head),
            tail_bytes: inside(tail_start, u64::MAX),
            spread_bytes: inside(head, tail_start),
            inlined_bytes: survey.values_bytes,
            extents: extents.map(|range| (range.start, range.len)).collect(),
        }
    }
}

fn attributes(attributes: Vec<inspect::Attribute>) -> Vec<AttributeReport> {
    let attributes = attributes.into_iter();
    attributes
        .map(|attribute| AttributeReport {
            name: attribute.name,
            data_type: attribute.data_type,
            value: value(&attribute.values),
            values: attribute.values,
        })
        .collect()
}

fn value(values: &Values) -> Value {
    let mut list: Vec<Value> = match values {
        Values::Integers(numbers) => numbers.iter().map(|number| integer(*number)).collect(),
        Values::Floats(numbers) => numbers.iter().map(|number| float(*number)).collect(),
        Values::Text(texts) => texts.iter().map(|text| json!(text)).collect(),
        Values::Other(description) => return json!(description),
    };
    match list.len() {
        1 => list.pop().unwrap_or_default(),
        _ => Value::Array(list),
    }
}

fn integer(number: i128) -> Value {
    match (i64::try_from(number), u64::try_from(number)) {
        (Ok(number), _) => json!(number),
        (_, Ok(number)) => json!(number),
        _ => json!(number.to_string()),
    }
}

fn float(number: f64) -> Value {
    match number {
        number if number.is_finite() => json!(number),
        number if number.is_nan() => json!("NaN"),
        number if number > 0.0 => json!("Infinity"),
        _ => json!("-Infinity"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one(Values::Floats(vec![1.5]), json!(1.5))]
    #[case::several(Values::Floats(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]), json!(["NaN", "Infinity", "-Infinity"]))]
    #[case::none(Values::Integers(Vec::new()), json!([]))]
    #[case::largest(Values::Integers(vec![i128::from(u64::MAX)]), json!(u64::MAX))]
    #[case::text(Values::Text(vec!["a".into(), "b".into()]), json!(["a", "b"]))]
    fn values_are_json(#[case] values: Values, #[case] expected: Value) {
        assert_eq!(value(&values), expected);
    }

    #[rstest]
    #[case::a_third(1000, 3000, 0.333)]
    #[case::tenfold(98_304, 9_830, 10.0)]
    fn ratios_have_three_decimals(
        #[case] decoded: u64,
        #[case] stored: u64,
        #[case] expected: f64,
    ) {
        assert_eq!(ratio(decoded, stored).to_bits(), expected.to_bits());
    }
}
