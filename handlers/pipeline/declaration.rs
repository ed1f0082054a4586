//! Series that somebody declares: by a `landfall.json` beside the files, or by a submission.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tracing::{info, warn};

use super::{Pipeline, PipelineError};
use crate::group::{self, Submission};
use crate::stores::blobs::{BlobError, BlobInfo, BlobPath};
use crate::stores::ledger::{
    Declaration, Declared, Expected, Fault, FileOutcome, GroupId, LedgerError, Origin, SourceFile,
};

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
            serde_json::from_slice::<Submission>(&bytes).map_err(|error| error.to_string());
        let declaration = declaration.and_then(|submission| {
            let declared = submission.into_declaration(Origin::File, &home, Timestamp::now());
            declared.map_err(|error| error.to_string())
        });
        let declaration = declaration.and_then(|declaration| stays_at_home(declaration, &home));
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
            Err(error) => Err(error),
        }
    }

    /// Declares a group, and takes in the files that are there already. A declaration that says nothing about
    /// completeness expects what a scan finds now, or else waits for a quiet period from the first file.
    ///
    /// # Errors
    ///
    /// [`PipelineError`]; a contradiction is a [`LedgerError::Conflict`].
    pub async fn submit(&self, mut declaration: Declaration) -> Result<Declared, PipelineError> {
        let found = self.scan(&declaration).await?;
        if declaration.options.expected.is_none() {
            declaration.options.expected = Some(match found.is_empty() {
                true => Expected::QuietPeriod(String::from("PT10M")),
                false => Expected::Files(found.iter().map(|info| info.path.to_string()).collect()),
            });
        }
        let mut declared = self.ledger.declare_group(&declaration).await?;
        info!(
            group.id = %declared.group.id, dataset.id = declaration.dataset_id, step = "declared",
            release.id = declared.group.release_id, "Declared {}/{}", declaration.dataset_id, declaration.resource_id
        );
        self.take_in(&declared.group.id, &declaration, &found)
            .await?;
        declared.group = self.settle(&declared.group.id).await?.group;
        Ok(declared)
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
    /// was a group to join; files that no event announced are sent to `reference-due`.
    async fn take_in(
        &self,
        group: &GroupId,
        declaration: &Declaration,
        found: &[BlobInfo],
    ) -> Result<(), PipelineError> {
        let mut known = self.ledger.files_below(&declaration.prefix).await?;
        known.retain(|file| group::takes(declaration, &file.path));
        for file in &known {
            self.ledger.add_member(group, file.id, true).await?;
        }
        let versions: BTreeMap<_, _> = known.iter().map(|file| (&file.path, &file.etag)).collect();
        let is_new = |info: &&BlobInfo| versions.get(&info.path) != Some(&&info.etag);
        let new: Vec<BlobPath> = found
            .iter()
            .filter(is_new)
            .map(|info| info.path.clone())
            .collect();
        self.send_all(&new).await.map(drop)
    }
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
