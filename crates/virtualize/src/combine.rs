//! Joins the datasets of a series into one, or says in full why they cannot be joined. SPEC §7.
//!
//! The files of a series are put in the order of their concat coordinate and compared with the first of them;
//! whatever cannot be expressed without changing a value is refused, with every disagreement by name. The few
//! values that have to be compared or re-expressed are asked for like the decoder asks: the caller fetches.
//!
//! | module | what it does |
//! | --- | --- |
//! | `input`, `values` | the files, and the values of their small variables |
//! | `join`, `run` | runs a join; joins the files of one part: comparison, joined arrays |
//! | `parts`, `merge` | files that hold different variables: which belong together; what they share |
//! | `time`, `timeline`, `moments`, `columns` | puts files in order, checks that time increases; re-encodes times and bounds |
//! | `agree`, `coordinates` | what must agree along the series; variables without the concat dimension |
//! | `plan`, `ragged` | how each variable is joined; the chunk grid that all files share |
//! | `concat` | joins manifests and inlined values |
//! | `outcome`, `attributes`, `extent` | the result: groups, merged attributes, the area covered |
//! | `sharing` | lets datasets share what they have alike |
//! | [`verify`] | proves a join against fresh decodes of its sources |

mod agree;
mod attributes;
mod columns;
mod concat;
mod coordinates;
mod extent;
mod input;
mod join;
mod merge;
mod moments;
mod outcome;
mod parts;
mod plan;
mod ragged;
mod refusal;
mod run;
mod sharing;
mod time;
mod timeline;
mod values;
pub mod verify;

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "lengths and values in tests are small"
)]
mod sample;
#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "lengths in tests are small"
)]
mod tests;

use bytes::Bytes;

use crate::dataset::VirtualDataset;
use crate::decode::ByteRange;
use crate::manifest::SourceId;
use crate::rules::Finding;
use crate::zarr::CodecError;

pub use refusal::Disagreement;
pub use sharing::{Held, Sharing};
pub(crate) use time::clock_paths;
pub use time::time_instants;

use input::Input;
use values::{Pages, Reader};

/// What to do when a variable is absent in some of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// Refuse the series.
    #[default]
    Refuse,
    /// Let it read as its fill value there.
    Fill,
}

/// How files are joined.
#[derive(Debug, Clone)]
pub struct CombineOptions {
    /// Dimension along which the files follow each other.
    pub concat_dim: String,
    /// Largest absolute difference between coordinates that still counts as equal.
    pub coord_tolerance: f64,
    /// Variables (names or paths) that are left out.
    pub drop_variables: Vec<String>,
    /// What to do when a variable is absent in some of the files.
    pub missing: Missing,
    /// Whether files with different variables over the same coordinates are merged first.
    pub merge_variables: bool,
    /// Largest decoded size in one file of a coordinate that is read to be inlined.
    pub inline_max_bytes: u64,
}

impl Default for CombineOptions {
    fn default() -> Self {
        Self {
            concat_dim: String::from("time"),
            coord_tolerance: 0.0,
            drop_variables: Vec::new(),
            missing: Missing::Refuse,
            merge_variables: false,
            inline_max_bytes: 1 << 20,
        }
    }
}

/// Why a series was not joined.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CombineError {
    /// The files disagree; each disagreement is listed.
    #[error("{}", refusal::summary(.0))]
    Refused(Vec<Disagreement>),
    /// No file was given.
    #[error("there is nothing to combine")]
    Empty,
    /// The bytes of a chunk are not what its codecs write.
    #[error("{file}: {variable}: a chunk cannot be decoded")]
    Chunk {
        /// The file that the chunk lies in.
        file: String,
        /// The variable that it belongs to.
        variable: String,
        /// What is wrong with it.
        #[source]
        source: CodecError,
    },
    /// A variable is too large to be read as a whole.
    #[error("{file}: {variable} has {bytes} bytes, too many to be compared or inlined")]
    TooLarge {
        /// The file.
        file: String,
        /// The variable.
        variable: String,
        /// Its decoded size.
        bytes: u64,
    },
    /// A variable that is to be dropped is in no file.
    #[error("drop_variables names {name}, which is in no file; there are {}", known.join(", "))]
    UnknownVariable {
        /// The name.
        name: String,
        /// Paths of the variables that the files have.
        known: Vec<String>,
    },
}

/// A joined series.
#[derive(Debug, Clone, PartialEq)]
pub struct Combined {
    /// The joined dataset; its sources are in the order of the series.
    pub dataset: VirtualDataset,
    /// For each position in the series, which of the inputs stands there.
    pub order: Vec<usize>,
    /// The first step of each file, in the order of the series; files that hold different variables share steps.
    pub starts: Vec<u64>,
    /// First and last time in ISO 8601, in the calendar of the data.
    pub time_range: Option<(String, String)>,
    /// CF name of that calendar.
    pub calendar: Option<String>,
    /// ISO 8601 duration between the steps of a regular series.
    pub step: Option<String>,
    /// Gaps and whatever else is worth telling.
    pub findings: Vec<Finding>,
    /// Attributes that differ between files and were dropped, as `variable:attribute`.
    pub dropped_attributes: Vec<String>,
    /// West, south, east, north in degrees, -180 to 180; west is greater than east across the antimeridian.
    pub spatial_extent: Option<[f64; 4]>,
}

/// What [`Combiner::combine`] answers.
#[derive(Debug)]
pub enum Step {
    /// These ranges are missing; a [`SourceId`] counts the sources of all inputs in the order given.
    NeedsData(Vec<(SourceId, ByteRange)>),
    /// The result.
    Done(Box<Combined>),
}

/// Joins the datasets of a series.
#[derive(Debug)]
pub struct Combiner {
    inputs: Vec<Input>,
    options: CombineOptions,
    pages: Pages,
    verdicts: coordinates::Verdicts,
}

impl Combiner {
    /// A combiner over the datasets of single files, in any order.
    ///
    /// # Errors
    ///
    /// [`CombineError::Empty`] without an input, [`CombineError::UnknownVariable`] for a name in `drop_variables`
    /// that no input has.
    pub fn new(inputs: Vec<VirtualDataset>, options: CombineOptions) -> Result<Self, CombineError> {
        if inputs.is_empty() {
            return Err(CombineError::Empty);
        }
        input::check_dropped(&inputs, &options.drop_variables)?;
        Ok(Self {
            inputs: input::numbered(inputs, &options.drop_variables),
            options,
            pages: Pages::default(),
            verdicts: coordinates::Verdicts::default(),
        })
    }

    /// Goes as far as the pushed bytes allow.
    ///
    /// # Errors
    ///
    /// [`CombineError::Refused`] lists every disagreement between the files.
    pub fn combine(&mut self) -> Result<Step, CombineError> {
        let mut reader = Reader::new(&self.pages);
        let done = join::join(&self.inputs, &self.options, &mut reader, &mut self.verdicts)?;
        let needs = reader.into_needs();
        match done {
            Some(combined) => Ok(Step::Done(Box::new(combined))),
            None => {
                self.pages.forget(&mut self.verdicts);
                Ok(Step::NeedsData(needs))
            }
        }
    }

    /// Hands over the bytes of a range; larger ranges than asked for are welcome.
    pub fn push(&mut self, source: SourceId, range: ByteRange, bytes: Bytes) {
        self.pages.push(source, range.start, bytes);
    }
}
