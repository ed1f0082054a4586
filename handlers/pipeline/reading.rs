//! By which options a file is read and judged, where several series have it. SPEC §6.
//!
//! A file has one reference. It is published if one of its series lets it in, and has what the most generous of them wants
//! inlined. Each series judges its members by its own options when it is combined; one whose options would have made
//! another reference than that of a file it shares reads the file once more, by its own.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use virtualize::rules::Finding;
use virtualize::{DecodeOptions, VirtualDataset};

use super::{Pipeline, PipelineError};
use crate::combine::{self, JoinError};
use crate::group;
use crate::read::{self, ReadPolicy};
use crate::reference;
use crate::stores::blobs::{BlobPath, PinnedBlob};
use crate::stores::ledger::{
    Claim, Fault, FileId, FileState, ProcessingOptions, SourceFile, SourceGroup,
};
use crate::validate;

/// What a file is read by, and judged by.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading<'a> {
    concat_dim: &'a str,
    inline_max_bytes: u64,
    fail_on_chunking_warnings: bool,
    drop_variables: BTreeSet<&'a str>,
}

impl<'a> Reading<'a> {
    pub(super) fn by(options: &'a ProcessingOptions) -> Self {
        Self {
            concat_dim: &options.concat_dim,
            inline_max_bytes: options.inline_max_bytes,
            fail_on_chunking_warnings: options.fail_on_chunking_warnings,
            drop_variables: options.drop_variables.iter().map(String::as_str).collect(),
        }
    }
}

/// How a series has its files decoded.
fn decoding(options: &ProcessingOptions) -> DecodeOptions {
    DecodeOptions::along(&options.concat_dim, options.inline_max_bytes)
}

/// Whether one reference is that of both.
pub(super) fn decode_alike(one: &ProcessingOptions, other: &ProcessingOptions) -> bool {
    (&one.concat_dim, one.inline_max_bytes) == (&other.concat_dim, other.inline_max_bytes)
}

/// How a file is decoded that series with these options have.
pub(super) fn decoding_for_all(options: &[ProcessingOptions]) -> DecodeOptions {
    let first = options.first().cloned().unwrap_or_default();
    let most = options.iter().map(|options| options.inline_max_bytes).max();
    let inline_max = most.unwrap_or(first.inline_max_bytes);
    DecodeOptions::along(&first.concat_dim, inline_max)
}

/// Why no series with these options lets a file in, in the words of the first; `None` if one does.
pub(super) fn refused_by_all(findings: &[Finding], options: &[ProcessingOptions]) -> Option<Fault> {
    let faults = options
        .iter()
        .map(|options| validate::fault_in(findings, options));
    let faults: Option<Vec<Fault>> = faults.collect();
    faults?.into_iter().next()
}

impl Pipeline {
    /// The options of the declared series that take a file; the defaults where none does.
    pub(super) async fn options_for(
        &self,
        path: &BlobPath,
    ) -> Result<Vec<ProcessingOptions>, PipelineError> {
        let groups = self.ledger.declared_groups_for(path).await?.into_iter();
        let taking = groups.filter(|group| group::takes(&group.declaration, path));
        let mut options: Vec<_> = taking.map(|group| group.declaration.options).collect();
        if options.is_empty() {
            options.push(ProcessingOptions::default());
        }
        Ok(options)
    }

    /// Whether series that were declared while a file was read want it read by other options than these.
    pub(super) async fn wants_other_reading(
        &self,
        path: &BlobPath,
        options: &[ProcessingOptions],
    ) -> Result<bool, PipelineError> {
        let now = self.options_for(path).await?;
        let now = now.iter().map(Reading::by);
        Ok(now.ne(options.iter().map(Reading::by)))
    }

    /// Whether a file that is to be read anew for a series may stay as it is because others have it: they were combined
    /// from its reference, or will be. Where its reference is what the series had wanted before, and does not any more,
    /// that takes one that differs from the series, for then this reads by itself.
    pub(super) async fn stays_for_others(
        &self,
        file: &SourceFile,
        group: &SourceGroup,
        wanted_another: bool,
    ) -> Result<bool, PipelineError> {
        if file.state != FileState::Referenced {
            return Ok(false);
        }
        let own = &group.declaration.options;
        let others = self.ledger.groups_of(file.id).await?.into_iter();
        for other in others.filter(|other| *other != group.id) {
            let other = self.ledger.group(&other).await?;
            let differs = other.is_some_and(|other| !decode_alike(&other.declaration.options, own));
            if differs || !wanted_another {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The members of a claimed series that others have decoded in another way.
    pub(super) async fn decoded_otherwise(
        &self,
        claim: &Claim,
    ) -> Result<HashSet<FileId>, PipelineError> {
        let own = &claim.group.declaration.options;
        let mut found = HashSet::new();
        for (other, files) in self.ledger.shared_members(&claim.group.id).await? {
            let other = self.ledger.group(&other).await?;
            if other.is_some_and(|other| !decode_alike(&other.declaration.options, own)) {
                found.extend(files);
            }
        }
        Ok(found)
    }

    /// A member as its series has it: from its reference, or decoded once more.
    pub(super) async fn member(
        &self,
        file: &SourceFile,
        options: &ProcessingOptions,
        is_decoded_otherwise: bool,
    ) -> Result<VirtualDataset, JoinError> {
        let refused = |fault| JoinError::Refused {
            file: file.path.file_name().to_owned(),
            fault: Box::new(fault),
        };
        if is_decoded_otherwise {
            let (dataset, fault) = self.decode_for(file, options).await?;
            return fault.map_or(Ok(dataset), |fault| Err(refused(fault)));
        }
        match validate::fault_in(&file.findings, options) {
            Some(fault) => Err(refused(fault)),
            None => combine::load_member(&self.blobs, file).await,
        }
    }

    /// A file by the options of one series, as its reference would say it, and what speaks against it.
    async fn decode_for(
        &self,
        file: &SourceFile,
        options: &ProcessingOptions,
    ) -> Result<(VirtualDataset, Option<Fault>), JoinError> {
        let name = || file.path.file_name().to_owned();
        let policy = ReadPolicy::for_reads(self.blobs.is_local());
        let (blobs, known) = (Arc::clone(&self.blobs), (file.etag.as_str(), file.size));
        let opened = PinnedBlob::open(blobs, &file.path, Some(known), policy.head, policy.tail);
        let opened = opened.await.map_err(|source| JoinError::Source {
            file: name(),
            source,
        })?;
        let read = read::read_metadata(&opened, decoding(options), policy).await;
        let (dataset, _) = read.map_err(|source| JoinError::Decode {
            file: name(),
            source,
        })?;
        let fault = validate::validate(&dataset, options).1;
        Ok((reference::written(&dataset)?, fault))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use virtualize::rules::Grade;

    use super::*;

    fn options(drop_variables: &[&str], fail_on_chunking_warnings: bool) -> ProcessingOptions {
        ProcessingOptions {
            drop_variables: drop_variables
                .iter()
                .map(|name| String::from(*name))
                .collect(),
            fail_on_chunking_warnings,
            ..ProcessingOptions::default()
        }
    }

    #[rstest]
    #[case::one_that_refuses(&[options(&[], false)], Some("variable_unsupported"))]
    #[case::one_that_drops(&[options(&["codes"], false)], None)]
    #[case::one_of_two(&[options(&[], false), options(&["codes"], false)], None)]
    #[case::neither(&[options(&["codes"], true), options(&[], false)], Some("ChunkingWarning"))]
    fn a_file_is_refused_by_all_or_let_in(
        #[case] options: &[ProcessingOptions],
        #[case] code: Option<&str>,
    ) {
        let critical = |code: &str, variable| {
            Finding::graded(Grade::Critical, code, Some(variable), "left out: too large")
        };
        let findings = [
            critical("unsupported", "/codes"),
            critical("single-pixel-chunks", "/tas"),
        ];
        let fault = refused_by_all(&findings, options);
        assert_eq!(fault.as_ref().map(|fault| fault.code.as_str()), code);
    }
}
