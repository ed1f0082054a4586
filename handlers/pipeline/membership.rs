//! Which series a file belongs to: those that are declared, else the one of its name.

use jiff::Timestamp;
use tracing::warn;
use virtualize::VirtualDataset;

use super::{Pipeline, PipelineError};
use crate::group;
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::ids;
use crate::stores::ledger::{
    Expected, FileState, GroupId, LedgerError, Origin, Settled, SourceFile,
};

impl Pipeline {
    /// Makes the file a member of the groups that take it.
    pub(super) async fn join_groups(
        &self,
        file: &SourceFile,
        dataset: Option<&VirtualDataset>,
    ) -> Result<(), PipelineError> {
        let declared = self.ledger.declared_groups_for(&file.path).await?;
        let taking: Vec<_> = declared
            .iter()
            .filter(|group| group::takes(&group.declaration, &file.path))
            .collect();
        for group in &taking {
            self.ledger.add_member(&group.id, file.id, true).await?;
        }
        match dataset {
            _ if !taking.is_empty() || !self.config.pipeline.auto_group => Ok(()),
            Some(dataset) => self.join_by_name(file, dataset).await,
            None => self.block_by_name(file).await,
        }
    }

    /// Joins the series of the file's name, and has the rejected files of that name block it: a series that
    /// silently lacks a file would be wrong.
    async fn join_by_name(
        &self,
        file: &SourceFile,
        dataset: &VirtualDataset,
    ) -> Result<(), PipelineError> {
        let quiet = self.config.pipeline.quiet_period;
        let declaration = group::auto_declaration(&file.path, dataset, quiet, Timestamp::now());
        let declared = match self.ledger.declare_group(&declaration).await {
            Err(LedgerError::Conflict(conflict)) => {
                warn!(blob.url = %file.path, "{} is in no series: {conflict}", file.path.short());
                return Ok(());
            }
            other => other?,
        };
        let group = &declared.group.id;
        // Until a file was counted: whoever has declared the series may have ended before it came to this.
        if declared.group.generation == 1 {
            self.take_in_rejected(group, file, &declaration.prefix)
                .await?;
        }
        Ok(self.ledger.add_member(group, file.id, false).await?)
    }

    /// Has the rejected files of a file's name join its series.
    async fn take_in_rejected(
        &self,
        group: &GroupId,
        file: &SourceFile,
        prefix: &BlobPath,
    ) -> Result<(), PipelineError> {
        let same = group::series_of(&file.path);
        let mut below = self.ledger.files_below(prefix).await?;
        below.retain(|other| {
            other.state == FileState::Rejected
                && group::is_data_file(&other.path)
                && group::series_of(&other.path) == same
        });
        for other in below {
            self.ledger.add_member(group, other.id, false).await?;
        }
        Ok(())
    }

    /// A rejected file shows no variables; it joins, and so blocks, the undeclared series of its name.
    async fn block_by_name(&self, file: &SourceFile) -> Result<(), PipelineError> {
        let name = group::series_of(&file.path);
        let asset = ids::asset_id(group::AUTO_PLATFORM, &name.dataset_id, &name.resource_id);
        let group = ids::group_id(&asset);
        match self.ledger.group(&group).await? {
            Some(found) if found.declaration.origin == Origin::Auto => {
                Ok(self.ledger.add_member(&group, file.id, false).await?)
            }
            _ => Ok(()),
        }
    }

    /// `arrived/expected` of the first group, for the person at the terminal.
    pub(super) fn progress(settled: &[Settled]) -> String {
        let Some(first) = settled.first() else {
            return String::new();
        };
        let (declaration, arrived) = (&first.group.declaration, first.referenced);
        let expected = match &declaration.options.expected {
            Some(Expected::Files(names)) => names.len().to_string(),
            Some(Expected::Count(count)) => count.to_string(),
            _ => String::from("?"),
        };
        format!("{} {arrived}/{expected}", declaration.dataset_id)
    }
}
