//! What people decide about Releases.

mod ask;
mod decide;

pub(super) use ask::record_sources;
pub(super) use decide::reopen;

use async_trait::async_trait;

use super::PostgresLedger;
use super::database::transact;
use crate::stores::ledger::{
    Approval, ApprovalFilter, ApprovalLedger, Approvals, CachedItem, Catalogue, Decided, Decision,
    FileId, LedgerError, PublishedRevision, Refusal, Release, ReleaseSource, StacDocuments,
    Unpublication, Which,
};

#[async_trait]
impl ApprovalLedger for PostgresLedger {
    async fn approve(&self, approval: &Approval) -> Result<Decided, LedgerError> {
        transact!(self.database, tx => decide::approve(tx, approval))
    }

    async fn reject(&self, decision: &Decision) -> Result<Decided, LedgerError> {
        transact!(self.database, tx => decide::reject(tx, decision))
    }

    async fn revoke(&self, decision: &Decision) -> Result<Decided, LedgerError> {
        transact!(self.database, tx => decide::revoke(tx, decision))
    }

    async fn unpublish(&self, order: &Unpublication) -> Result<Decided, LedgerError> {
        transact!(self.database, tx => decide::unpublish(tx, order))
    }

    async fn materialize(
        &self,
        seen: &Release,
        documents: &StacDocuments,
    ) -> Result<Catalogue, LedgerError> {
        transact!(self.database, tx => decide::materialize(tx, seen, documents))
    }

    async fn cache_item(&self, cached: &CachedItem) -> Result<Release, LedgerError> {
        transact!(self.database, tx => decide::cache_item(tx, cached))
    }

    async fn version_conflict(
        &self,
        release: &Release,
        version_id: &str,
        documents: &StacDocuments,
    ) -> Result<Option<Refusal>, LedgerError> {
        let client = self.database.client().await?;
        ask::version_conflict(&client, release, version_id, documents).await
    }

    async fn approvals(&self, filter: &ApprovalFilter) -> Result<Approvals, LedgerError> {
        ask::approvals(&self.database.client().await?, filter).await
    }

    async fn published_revisions(
        &self,
        release_id: &str,
    ) -> Result<Vec<PublishedRevision>, LedgerError> {
        ask::published_revisions(&self.database.client().await?, release_id).await
    }

    async fn release_sources(
        &self,
        release_id: &str,
        which: Which,
    ) -> Result<Vec<ReleaseSource>, LedgerError> {
        ask::sources(&self.database.client().await?, release_id, which).await
    }

    async fn releases_changed_by(&self, file: Option<FileId>) -> Result<Vec<Release>, LedgerError> {
        ask::changed_by(&self.database.client().await?, file).await
    }
}
