//! Proves a joined reference: a few files at a time, so that neither their decodes nor their bytes pile up.

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use virtualize::combine::verify::{Proof, VerifyOptions, VerifyReport};
use virtualize::{DecodeOptions, Source, VirtualDataset};

use super::{FILES_AT_ONCE, JoinError, add_beside, decode_again, fetch};
use crate::read::IoCount;
use crate::stores::blobs::Sources;

/// Files that are decoded and compared together.
const FILES: usize = 16;

/// Proves a dataset that was read back from what was written: every file is decoded afresh, and a sample that covers
/// every file and both sides of every file boundary is compared down to the values.
///
/// # Errors
///
/// [`JoinError::Unproven`] with every difference of the first files that have any; others when a source cannot be
/// read.
pub async fn prove(
    combined: &VirtualDataset,
    sources: &dyn Sources,
    options: DecodeOptions,
    verify: VerifyOptions,
    io: &mut IoCount,
) -> Result<VerifyReport, JoinError> {
    let mut proof = Proof::new(combined, verify);
    for files in combined.sources.chunks(FILES) {
        let fresh = decode_all(files, sources, &options, io).await?;
        let verifier = proof.files(&fresh);
        let parts = fetch(&combined.sources, sources, &verifier.needed(), io).await?;
        verifier.check(&parts);
        if proof.has_failed() {
            break;
        }
    }
    proof.finish().map_err(JoinError::Unproven)
}

async fn decode_all(
    files: &[Source],
    sources: &dyn Sources,
    options: &DecodeOptions,
    io: &mut IoCount,
) -> Result<Vec<VirtualDataset>, JoinError> {
    let mut decodes = Vec::with_capacity(files.len());
    for source in files {
        decodes.push(decode_again(source, sources, options.clone()).boxed());
    }
    let decoded: Vec<(VirtualDataset, IoCount)> = stream::iter(decodes)
        .buffered(FILES_AT_ONCE)
        .try_collect()
        .await?;
    add_beside(io, decoded.iter().map(|(_, count)| *count));
    Ok(decoded.into_iter().map(|(dataset, _)| dataset).collect())
}
