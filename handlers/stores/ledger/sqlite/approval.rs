//! What people decide about Releases. There is no STAC catalogue in SQLite.

mod ask;
mod decide;

pub(super) use ask::record_sources;
pub(super) use decide::reopen;

use async_trait::async_trait;

use super::SqliteLedger;
use crate::stores::ledger::{
    Approval, ApprovalFilter, ApprovalLedger, Approvals, CachedItem, Catalogue, Decided, Decision,
    FileId, LedgerError, PublishedRevision, Refusal, Release, ReleaseSource, StacDocuments,
    Unpublication, Which,
};

#[async_trait]
impl ApprovalLedger for SqliteLedger {
    async fn approve(&self, approval: &Approval) -> Result<Decided, LedgerError> {
        let approval = approval.clone();
        self.database
            .write(move |tx| decide::approve(tx, &approval))
            .await
    }

    async fn reject(&self, decision: &Decision) -> Result<Decided, LedgerError> {
        let decision = decision.clone();
        self.database
            .write(move |tx| decide::reject(tx, &decision))
            .await
    }

    async fn revoke(&self, decision: &Decision) -> Result<Decided, LedgerError> {
        let decision = decision.clone();
        self.database
            .write(move |tx| decide::revoke(tx, &decision))
            .await
    }

    async fn unpublish(&self, order: &Unpublication) -> Result<Decided, LedgerError> {
        let order = order.clone();
        self.database
            .write(move |tx| decide::unpublish(tx, &order))
            .await
    }

    async fn materialize(
        &self,
        seen: &Release,
        _: &StacDocuments,
    ) -> Result<Catalogue, LedgerError> {
        let seen = seen.clone();
        self.database
            .read(move |tx| decide::materialize(tx, &seen))
            .await
    }

    async fn cache_item(&self, cached: &CachedItem) -> Result<Release, LedgerError> {
        let cached = cached.clone();
        self.database
            .write(move |tx| decide::cache_item(tx, &cached))
            .await
    }

    async fn version_conflict(
        &self,
        release: &Release,
        version_id: &str,
        documents: &StacDocuments,
    ) -> Result<Option<Refusal>, LedgerError> {
        let (release, documents) = (release.clone(), documents.clone());
        let version_id = version_id.to_owned();
        self.database
            .read(move |tx| ask::version_conflict(tx, &release, &version_id, &documents))
            .await
    }

    async fn approvals(&self, filter: &ApprovalFilter) -> Result<Approvals, LedgerError> {
        let filter = filter.clone();
        self.database
            .read(move |tx| ask::approvals(tx, &filter))
            .await
    }

    async fn published_revisions(
        &self,
        release_id: &str,
    ) -> Result<Vec<PublishedRevision>, LedgerError> {
        let release_id = release_id.to_owned();
        self.database
            .read(move |tx| ask::published_revisions(tx, &release_id))
            .await
    }

    async fn release_sources(
        &self,
        release_id: &str,
        which: Which,
    ) -> Result<Vec<ReleaseSource>, LedgerError> {
        let release_id = release_id.to_owned();
        self.database
            .read(move |tx| ask::sources(tx, &release_id, which))
            .await
    }

    async fn releases_changed_by(&self, file: Option<FileId>) -> Result<Vec<Release>, LedgerError> {
        self.database
            .read(move |tx| ask::changed_by(tx, file))
            .await
    }
}
