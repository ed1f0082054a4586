//! Proves a stored document against its sources, a few of them at a time. What is compared, and what may stand from
//! an earlier proof, is `virtualize`'s to say. SPEC §7.

use futures_util::{FutureExt as _, StreamExt as _, stream};
use virtualize::combine::verify::{
    Sample, Standing, Verdict, Verification, Verifier, VerifyOptions, VerifyReport, standing,
};
use virtualize::{DecodeOptions, Source, VirtualDataset};

use super::{FILES_AT_ONCE, JoinError, Verify, add_beside, decode_again, fetch, sources};
use crate::read::IoCount;
use crate::stores::blobs::Sources;

/// Files that are held decoded at the same time.
const FILES_HELD: usize = 2 * FILES_AT_ONCE;

/// Bytes of one file's sample that are read at once.
const PIECE: u64 = 32 << 20;

/// What is to be proven, and how.
pub struct Proof<'a> {
    /// Opens the sources.
    pub sources: &'a dyn Sources,
    /// How they are decoded.
    pub decode: DecodeOptions,
    /// What is compared.
    pub verify: VerifyOptions,
    /// Whether a source that cannot be read is a mismatch like others; else it ends the proof.
    pub goes_on: bool,
    /// Called with the place of each file that is done.
    pub progress: &'a (dyn Fn(usize) + Sync),
}

impl std::fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof")
            .field("verify", &self.verify)
            .finish_non_exhaustive()
    }
}

impl Proof<'_> {
    /// Proves a reference that has just been written, as it was read back.
    pub(super) async fn after_join(
        &self,
        combined: &VirtualDataset,
        verify: Verify,
        io: &mut IoCount,
    ) -> Result<Option<(VerifyReport, Option<Verdict>)>, JoinError> {
        let verification = match verify {
            Verify::No => return Ok(None),
            Verify::Afresh => self.of(combined, io).await?,
            Verify::Since(verdict) => self.since(combined, verdict, io).await?,
        };
        match verification.mismatches.is_empty() {
            true => Ok(Some((verification.report, verification.verdict))),
            false => Err(JoinError::Unproven(verification.mismatches)),
        }
    }

    /// Compares every file afresh.
    ///
    /// # Errors
    ///
    /// [`JoinError`] when a source cannot be read.
    pub async fn of(
        &self,
        combined: &VirtualDataset,
        io: &mut IoCount,
    ) -> Result<Verification, JoinError> {
        let verifier = Verifier::new(combined, self.verify.clone());
        self.run(combined, verifier, None, io).await
    }

    /// Lets an earlier verdict stand for what has not changed since: in the document, and, as the store says, in the
    /// file. What that finds wrong is looked at again afresh.
    ///
    /// # Errors
    ///
    /// [`JoinError::SourceChanged`] when a file is not the version that the document names, and as [`of`](Self::of).
    pub async fn since(
        &self,
        combined: &VirtualDataset,
        earlier: Verdict,
        io: &mut IoCount,
    ) -> Result<Verification, JoinError> {
        let stands = standing(combined, &self.verify, earlier);
        let places = stands.places().filter_map(|at| combined.sources.get(at));
        let recorded: Vec<&Source> = places.collect();
        sources::ensure_unchanged(self.sources, &recorded, io).await?;
        let verifier = Verifier::new(combined, self.verify.clone()).going_on_from(&stands);
        let verification = self.run(combined, verifier, Some(&stands), io).await?;
        match verification.mismatches.is_empty() {
            true => Ok(verification),
            false => self.of(combined, io).await,
        }
    }

    async fn run(
        &self,
        combined: &VirtualDataset,
        mut verifier: Verifier<'_>,
        stands: Option<&Standing>,
        io: &mut IoCount,
    ) -> Result<Verification, JoinError> {
        let stands_at = |at: usize| stands.filter(|stands| stands.of(at).is_some());
        let mut at = 0;
        for held in combined.sources.chunks(FILES_HELD) {
            let wanted = held
                .iter()
                .zip(at..)
                .filter(|(_, at)| stands_at(*at).is_none());
            let mut decoded = self
                .decode(wanted.map(|(source, _)| source), io)
                .await?
                .into_iter();
            let mut samples = Vec::new();
            for at in at..at + held.len() {
                match stands_at(at) {
                    Some(stands) => verifier.stands(stands),
                    None => samples.extend(take(&mut verifier, decoded.next())),
                }
            }
            self.read(combined, &mut verifier, samples, io).await?;
            at += held.len();
            (self.progress)(at);
        }
        Ok(verifier.finish())
    }

    /// Decodes files afresh; one that cannot be is an error, or answered as such.
    async fn decode(
        &self,
        files: impl Iterator<Item = &Source>,
        io: &mut IoCount,
    ) -> Result<Vec<Result<VirtualDataset, JoinError>>, JoinError> {
        let mut decodes = Vec::new();
        for source in files {
            decodes.push(decode_again(source, self.sources, self.decode.clone()).boxed());
        }
        let decoded: Vec<_> = stream::iter(decodes)
            .buffered(FILES_AT_ONCE)
            .collect()
            .await;
        let counts = decoded.iter().filter_map(|one| Some(one.as_ref().ok()?.1));
        add_beside(io, counts.collect::<Vec<_>>().into_iter());
        let mut datasets = Vec::with_capacity(decoded.len());
        for one in decoded {
            match one {
                Err(error) if !self.goes_on => return Err(error),
                other => datasets.push(other.map(|(dataset, _)| dataset)),
            }
        }
        Ok(datasets)
    }

    /// Reads the samples of several files, piece by piece, and compares them.
    async fn read(
        &self,
        combined: &VirtualDataset,
        verifier: &mut Verifier<'_>,
        samples: Vec<(Sample, VirtualDataset)>,
        io: &mut IoCount,
    ) -> Result<(), JoinError> {
        let (samples, datasets): (Vec<Sample>, Vec<VirtualDataset>) = samples.into_iter().unzip();
        let mut reads = Vec::new();
        for (sample, fresh) in samples.into_iter().zip(&datasets) {
            for piece in sample.pieces(PIECE) {
                let read = async move {
                    let mut own = IoCount::default();
                    let needed = piece.needed();
                    let parts = fetch(&combined.sources, self.sources, &needed, &mut own).await;
                    (piece, fresh, parts, own)
                };
                reads.push(read.boxed());
            }
        }
        let mut reads = stream::iter(reads).buffered(FILES_AT_ONCE);
        let mut counts = Vec::new();
        while let Some((piece, fresh, parts, own)) = reads.next().await {
            counts.push(own);
            match parts {
                Ok(parts) => verifier.check(&piece, fresh, &parts),
                Err(error) if !self.goes_on => return Err(error),
                Err(error) => {
                    let reason = crate::pipeline::chain(&error);
                    verifier.not_read(&piece, "not_read", &reason);
                }
            }
        }
        add_beside(io, counts.into_iter());
        Ok(())
    }
}

/// Compares the next file, as far as that needs no data.
fn take(
    verifier: &mut Verifier<'_>,
    decoded: Option<Result<VirtualDataset, JoinError>>,
) -> Option<(Sample, VirtualDataset)> {
    match decoded? {
        Ok(fresh) => Some((verifier.compare(&fresh), fresh)),
        Err(error) => {
            let code = match &error {
                JoinError::Source { source, .. } if source.is_missing() => "source_missing",
                JoinError::Source { source, .. } if source.is_changed() => "source_changed",
                JoinError::Decode { .. } => "source_damaged",
                _ => "source_unreadable",
            };
            verifier.unreadable(code, crate::pipeline::chain(&error));
            None
        }
    }
}

/// Reads the concat coordinates that a reference of another program has left in the files.
///
/// # Errors
///
/// [`JoinError`] when they cannot be read.
pub async fn read_clocks(
    combined: &mut VirtualDataset,
    sources: &dyn Sources,
    dim: &str,
    io: &mut IoCount,
) -> Result<(), JoinError> {
    use virtualize::combine::verify::{clocks_to_read, inline_clocks};
    let needed = clocks_to_read(combined, dim);
    if needed.is_empty() {
        return Ok(());
    }
    let parts = fetch(&combined.sources, sources, &needed, io).await?;
    inline_clocks(combined, dim, &parts)
        .map_err(|(variable, source)| JoinError::Clock { variable, source })
}
