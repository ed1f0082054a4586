//! Takes in the files of a series within a memory budget, told from counts before the memory is taken. SPEC §2 rule 7.

use virtualize::VirtualDataset;
use virtualize::combine::{Held, Sharing};

use super::JoinError;

/// A process without a series, and what reading, writing and verifying a few files at a time takes.
const PROCESS: u64 = 48 << 20;
/// Of a chunk in the joined dataset: its row.
const ROW: u64 = 13;
/// Of a step on a concat coordinate while files are put in order.
const STEP: u64 = 8;

/// The datasets of a series that are to be joined.
#[derive(Debug)]
pub struct Intake {
    sharing: Sharing,
    inputs: Vec<VirtualDataset>,
    /// How many there will be.
    files: usize,
    /// The budget in bytes; without one anything goes.
    budget: Option<u64>,
}

impl Intake {
    /// An intake of so many files.
    pub fn new(files: usize, budget: Option<u64>) -> Self {
        Self {
            sharing: Sharing::new(),
            inputs: Vec::with_capacity(files),
            files,
            budget,
        }
    }

    /// Takes the next file in.
    ///
    /// # Errors
    ///
    /// [`JoinError::MemoryBudgetExceeded`] as soon as the files so far show that joining takes more than the budget;
    /// what it names is what all of them would take if they are like these.
    pub fn take(&mut self, dataset: VirtualDataset) -> Result<(), JoinError> {
        self.inputs.push(self.sharing.shared(dataset));
        let held = self.sharing.held();
        match self.budget.filter(|budget| needed(held) > *budget) {
            None => Ok(()),
            Some(budget) => Err(JoinError::MemoryBudgetExceeded {
                needed: megabytes(needed(self.expected(held))),
                budget: budget >> 20,
            }),
        }
    }

    /// All of them.
    pub fn finish(self) -> Vec<VirtualDataset> {
        self.inputs
    }

    /// What all files will hold, if they are like those so far.
    fn expected(&self, so_far: Held) -> Held {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (done, all) = (count(self.inputs.len()).max(1), count(self.files));
        let of_all = |held: u64| held.saturating_mul(all.max(done)) / done;
        Held {
            bytes: of_all(so_far.bytes),
            chunks: of_all(so_far.chunks),
            inlined: of_all(so_far.inlined),
            largest: of_all(so_far.largest),
            steps: of_all(so_far.steps),
        }
    }
}

/// The most memory that joining takes, in bytes: the files, the joined dataset beside them, and the times on which
/// files are put in order; or, once the files' values are gone, the largest value thrice, as a table is made of it.
fn needed(held: Held) -> u64 {
    let joined = held.chunks.saturating_mul(ROW).saturating_add(held.inlined);
    let ordering = held.steps.saturating_mul(STEP);
    let writing = held.largest.saturating_mul(3).saturating_sub(held.inlined);
    [PROCESS, held.bytes, joined, ordering.max(writing)]
        .into_iter()
        .fold(0, u64::saturating_add)
}

/// Whole megabytes, rounded up.
const fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use virtualize::dataset::Format;
    use virtualize::{ByteRange, ChunkManifest, SourceId, VirtualArray, VirtualGroup};

    use super::*;

    fn dataset(chunks: u64) -> VirtualDataset {
        let rows = (0..chunks).map(|number| (number, ByteRange::new(number, 1)));
        let array = VirtualArray {
            shape: vec![chunks],
            chunk_shape: vec![1],
            data_type: virtualize::zarr::DataType::Bool,
            fill_value: None,
            codecs: Vec::new(),
            dimension_names: vec![String::from("x")],
            attributes: virtualize::dataset::Attributes::new(),
            chunks: ChunkManifest::from_rows(SourceId(0), rows).0,
            layout: virtualize::dataset::Layout::Chunked,
        };
        let mut root = VirtualGroup::default();
        root.arrays.insert(String::from("v"), array);
        VirtualDataset::new(Format::Hdf5, root, chunks)
    }

    fn taken(files: usize, budget: u64) -> Result<usize, (usize, u64)> {
        let mut intake = Intake::new(files, Some(budget << 20));
        for at in 0..files {
            match intake.take(dataset(100_000)) {
                Ok(()) => {}
                Err(JoinError::MemoryBudgetExceeded { needed, .. }) => return Err((at, needed)),
                Err(error) => panic!("{error}"),
            }
        }
        Ok(intake.finish().len())
    }

    #[test]
    fn what_is_too_much_is_told_early_with_the_size_that_does() {
        let (at, needed) = taken(100, 100).unwrap_err();
        assert!((15..30).contains(&at), "{at}");
        // 25 bytes a chunk, in the files and joined, on top of what every process has.
        assert!((286..300).contains(&needed), "{needed}");
        assert_eq!(taken(100, needed).unwrap(), 100);
        assert!(taken(100, needed - 1).is_err());
    }
}
