//! Series that somebody declares: by a `landfall.json` beside the files, or by a submission.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tracing::{info, warn};

use super::reading::{Reading, decode_alike};
use super::{Pipeline, PipelineError};
use crate::group::{self, Submission, SubmissionError};
use crate::stores::blobs::{BlobError, BlobInfo, BlobPath};
use crate::stores::ledger::{
    Declaration, Declared, Expected, Fault, FileOutcome, FileState, GroupId, LedgerError,
    Operation, Origin, ProcessingOptions, SourceFile, SourceGroup, ids,
};

/// What a submission would come to.
#[derive(Debug)]
pub struct Foreseen {
    /// What it would declare, and what would become of that.
    pub declared: Declared,
    /// The files that a scan finds now.
    pub files: Vec<BlobInfo>,
}

impl Pipeline {
    /// A `landfall.json`: declares the series of its folder.
    pub(super) async fn declare_from(&self, file: &SourceFile) -> Result<(), PipelineError> {
        let (bytes, info) = match self.blobs.get(&file.path).await {
            Err(BlobError::NotFound(_) | BlobError::Changed(_)) => return Ok(()),
            other => other?,
        };
        if info.etag != file.etag {
            return Ok(());
        }
        let home = file.path.sibling(file.path.folder());
        let declaration =
            declaration_of(&bytes, &home).and_then(|declaration| stays_at_home(declaration, &home));
        let outcome = match declaration {
            Ok(declaration) => self.declare_and_record(file, declaration).await?,
            Err(message) => refused_declaration(&message),
        };
        if let FileOutcome::Rejected { fault, .. } = &outcome {
            warn!(blob.url = %file.path, step = "rejected", "{} is rejected: {}", file.path.short(), fault.message);
        }
        self.ledger
            .record_outcome(file.id, &file.etag, &outcome)
            .await?;
        Ok(())
    }

    async fn declare_and_record(
        &self,
        file: &SourceFile,
        declaration: Declaration,
    ) -> Result<FileOutcome, PipelineError> {
        let reference_path = file.path.blob.clone();
        match self.submit(declaration).await {
            Ok(_) => Ok(FileOutcome::Referenced {
                reference_path,
                findings: Vec::new(),
                span: None,
            }),
            Err(PipelineError::Ledger(LedgerError::Conflict(conflict))) => {
                Ok(refused_declaration(&conflict.to_string()))
            }
            Err(PipelineError::Submission(error)) => Ok(refused_declaration(&error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Declares a group, and takes in the files that are there already. A declaration that says nothing about
    /// completeness expects what a scan finds now, or else waits for a quiet period from the first file.
    ///
    /// # Errors
    ///
    /// [`PipelineError`]; a contradiction is a [`LedgerError::Conflict`].
    pub async fn submit(&self, declaration: Declaration) -> Result<Declared, PipelineError> {
        let (declaration, found) = self.scanned(declaration).await?;
        let before = self.ledger.group(&group_of(&declaration)).await?;
        let mut declared = self.ledger.declare_group(&declaration).await?;
        info!(
            group.id = %declared.group.id, dataset.id = declaration.dataset_id, step = "declared",
            release.id = declared.group.release_id, "Declared {}/{}", declaration.dataset_id, declaration.resource_id
        );
        let again = to_be_read_again(before.as_ref(), &declared);
        let options = &declared.group.declaration.options;
        let wanted_another =
            before.is_some_and(|before| !decode_alike(&before.declaration.options, options));
        self.take_in(&declared.group, again, wanted_another, &found)
            .await?;
        declared.group = self.settle(&declared.group.id).await?.group;
        Ok(declared)
    }

    /// What [`submit`](Self::submit) would come to; nothing is changed.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn foresee(&self, declaration: Declaration) -> Result<Foreseen, PipelineError> {
        let (declaration, files) = self.scanned(declaration).await?;
        let declared = self.ledger.foresee_group(&declaration).await?;
        Ok(Foreseen { declared, files })
    }

    /// A declaration with what a scan finds now, unless it says itself what is expected.
    async fn scanned(
        &self,
        mut declaration: Declaration,
    ) -> Result<(Declaration, Vec<BlobInfo>), PipelineError> {
        let found = self.scan(&declaration).await?;
        let most = declaration.options.max_files;
        if u64::try_from(found.len()).unwrap_or(u64::MAX) > most {
            return Err(SubmissionError {
                field: "processing_options.max_files",
                problem: format!("{} files were found, more than {most}", found.len()),
            }
            .into());
        }
        if declaration.options.expected.is_none() {
            declaration.extras.is_scanned = true;
            declaration.options.expected = Some(match found.is_empty() {
                true => Expected::QuietPeriod(String::from("PT10M")),
                false => Expected::Files(found.iter().map(|info| info.path.to_string()).collect()),
            });
        }
        Ok((declaration, found))
    }

    /// The blobs below a declaration's prefix that it takes.
    async fn scan(&self, declaration: &Declaration) -> Result<Vec<BlobInfo>, PipelineError> {
        let listed = self.blobs.list(&declaration.prefix).await?;
        let folder = declaration.prefix.blob.trim_end_matches('/');
        let below = |blob: &str| {
            let rest = blob.strip_prefix(folder);
            folder.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let takes =
            |info: &BlobInfo| below(&info.path.blob) && group::takes(declaration, &info.path);
        Ok(listed.into_iter().filter(takes).collect())
    }

    /// Files that are known join at once, those among them that landed after the scan and were through before there
    /// was a group to join; files that no event announced, and those to be read once more, are sent to `reference-due`.
    async fn take_in(
        &self,
        group: &SourceGroup,
        again: Again,
        wanted_another: bool,
        found: &[BlobInfo],
    ) -> Result<(), PipelineError> {
        let declaration = &group.declaration;
        let mut known = self.ledger.files_below(&declaration.prefix).await?;
        known.retain(|file| group::takes(declaration, &file.path));
        let mut versions: BTreeMap<_, _> =
            known.iter().map(|file| (&file.path, &file.etag)).collect();
        for file in &known {
            if again.includes(file)
                && !self.stays_for_others(file, group, wanted_another).await?
                && self.ledger.record_unread(file.id, &file.etag).await?
            {
                versions.remove(&file.path);
            }
            self.ledger.add_member(&group.id, file.id, true).await?;
        }
        let is_new = |info: &&BlobInfo| {
            group::takes(declaration, &info.path) && versions.get(&info.path) != Some(&&info.etag)
        };
        let new: Vec<BlobPath> = found
            .iter()
            .filter(is_new)
            .map(|info| info.path.clone())
            .collect();
        self.send_all(&new).await.map(drop)
    }
}

/// Which of the files that are known a declaration has read once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    None,
    /// Those that were rejected or failed: the fault may have been another declaration's, or ours.
    Faulty,
    /// All: they were read by other options.
    All,
}

impl Again {
    const fn includes(self, file: &SourceFile) -> bool {
        match self {
            Self::None => false,
            Self::Faulty => matches!(file.state, FileState::Rejected | FileState::Failed),
            Self::All => true,
        }
    }
}

fn to_be_read_again(before: Option<&SourceGroup>, declared: &Declared) -> Again {
    let other = || Declaration {
        options: ProcessingOptions::default(),
        ..declared.group.declaration.clone()
    };
    let old = before.map_or_else(other, |group| group.declaration.clone());
    match declared.operation {
        Operation::Repeated => Again::None,
        Operation::Requeued => Again::Faulty,
        _ if Reading::by(&old.options) == Reading::by(&declared.group.declaration.options) => {
            Again::Faulty
        }
        _ => Again::All,
    }
}

fn group_of(declaration: &Declaration) -> GroupId {
    ids::group_id(&ids::asset_id(
        &declaration.platform_id,
        &declaration.dataset_id,
        &declaration.resource_id,
    ))
}

/// The declaration that a `landfall.json` holds.
fn declaration_of(bytes: &[u8], home: &BlobPath) -> Result<Declaration, String> {
    let document = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let submission = Submission::parse(document).map_err(|error| error.to_string())?;
    let declared = submission.into_declaration(Origin::File, home, Timestamp::now());
    declared.map_err(|error| error.to_string())
}

fn refused_declaration(message: &str) -> FileOutcome {
    let fault = Fault {
        code: String::from("declaration_invalid"),
        message: message.to_owned(),
        remediation: Some(String::from("correct landfall.json and upload it again")),
    };
    FileOutcome::Rejected {
        fault,
        findings: Vec::new(),
    }
}

/// A `landfall.json` speaks for its own prefix only, and never overwrites.
fn stays_at_home(declaration: Declaration, home: &BlobPath) -> Result<Declaration, String> {
    let prefix = &declaration.prefix;
    let folder = home.blob.trim_end_matches('/');
    let inside = prefix.blob.trim_end_matches('/') == folder
        || prefix.blob.starts_with(&format!("{folder}/"));
    if prefix.account != home.account
        || prefix.container != home.container
        || !(folder.is_empty() || inside)
    {
        return Err(format!(
            "source_url: {} is outside {}",
            prefix.short(),
            home.short()
        ));
    }
    if declaration.options.overwrite {
        return Err(String::from(
            "processing_options.overwrite: landfall.json never overwrites; submit does",
        ));
    }
    Ok(declaration)
}
