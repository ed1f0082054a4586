//! The STAC catalogue in the same database: pgSTAC, written through its own functions, in the transaction of the decision
//! that it follows from. SPEC §8.
//!
//! pgSTAC validates nothing: what comes here is whole. An item is ours if `ddh:release_id` names a Release of the ledger;
//! another's is neither replaced nor removed. Collections that are there are kept as they are, but for the extent of
//! ours, which follows the items; one of ours goes with its last item. Writers follow one another, so that nobody fills
//! the collection that another finds empty, and so that pgSTAC's partitions are made by one at a time.

use deadpool_postgres::Transaction;

use super::database::{Session, execute, is_denied, is_passing, one};
use super::stac::{self, Remaining};
use super::values::{Text, document, flag, text};
use crate::stores::ledger::{Catalogue, LedgerError, Refusal, StacDocuments};

/// Oldest pgSTAC whose functions do what is asked of them here.
const OLDEST: [u64; 3] = [0, 9, 8];

/// The step before each change.
const FINDING: &str = "finding the item";

/// The step after each change.
const EXTENT: &str = "working out the extent of the collection";

/// Names the advisory lock of those who write to the catalogue.
pub(super) const LOCK: i64 = 0x6c61_6e64_7374_6163;

/// Writes an item, with its collection where there is none.
pub(super) async fn publish(
    tx: &Transaction<'_>,
    documents: &StacDocuments,
) -> Result<Catalogue, LedgerError> {
    if !open(tx).await? {
        return Ok(Catalogue::Absent);
    }
    let collection = &documents.collection_id;
    if !has_collection(tx, collection).await? {
        let sql = "SELECT pgstac.create_collection($1)";
        let made = document("collection", &documents.collection)?;
        at("making the collection", execute(tx, sql, &[&made]).await)?;
    }
    if let Some(refusal) = at(FINDING, occupant(tx, documents).await)? {
        return Err(refusal.into());
    }
    // Who writes it meanwhile is not of those that the lock holds: it is made and not replaced, unless it was ours.
    let sql = match at(FINDING, has_item(tx, collection, &documents.item_id).await)? {
        true => "SELECT pgstac.upsert_item($1)",
        false => "SELECT pgstac.create_item($1)",
    };
    let item = document("item", &stac::storable(&documents.item))?;
    at("writing the item", execute(tx, sql, &[&item]).await)?;
    at(EXTENT, stac::refresh_extent(tx, collection).await)?;
    Ok(Catalogue::Updated)
}

/// That an item is there which no Release of this ledger is the origin of.
pub(super) async fn occupant(
    session: &impl Session,
    documents: &StacDocuments,
) -> Result<Option<Refusal>, LedgerError> {
    let (item, collection) = (&documents.item_id, &documents.collection_id);
    let sql = "SELECT EXISTS (
                   SELECT FROM pgstac.items i WHERE collection = $1 AND id = $2 AND NOT EXISTS (
                       SELECT FROM app.asset_releases r
                       WHERE r.release_id = i.content -> 'properties' ->> 'ddh:release_id')) AS found";
    let found = one(session, sql, &[&Text(collection), &Text(item)]).await?;
    Ok(flag(&found, "found")?.then(|| Refusal::Occupied {
        item_id: item.clone(),
        collection_id: collection.clone(),
    }))
}

async fn has_item(tx: &Transaction<'_>, collection: &str, item: &str) -> Result<bool, LedgerError> {
    let sql = "SELECT EXISTS (SELECT FROM pgstac.items WHERE collection = $1 AND id = $2) AS found";
    flag(&one(tx, sql, &[&collection, &item]).await?, "found")
}

/// Removes the item of a Release, and its collection if that is empty then.
pub(super) async fn withdraw(
    tx: &Transaction<'_>,
    release_id: &str,
    collection: &str,
    item: &str,
) -> Result<Catalogue, LedgerError> {
    if !open(tx).await? {
        return Ok(Catalogue::Absent);
    }
    let sql = "SELECT EXISTS (SELECT FROM pgstac.items WHERE collection = $1 AND id = $2
                   AND content -> 'properties' ->> 'ddh:release_id' = $3) AS found";
    let found = one(tx, sql, &[&collection, &item, &release_id]).await;
    if !flag(&at(FINDING, found)?, "found")? {
        return Ok(Catalogue::Unchanged);
    }
    let sql = "SELECT pgstac.delete_item($1, $2)";
    let removed = execute(tx, sql, &[&item, &collection]).await;
    at("removing the item", removed)?;
    let rest = stac::refresh_extent(tx, collection).await;
    if at(EXTENT, rest)? == (Remaining::Empty { is_ours: true }) {
        remove_collection(tx, collection).await?;
    }
    Ok(Catalogue::Updated)
}

/// Removes an empty collection. Before 0.10 pgSTAC lets nobody do so who may not drop its partitions: then it stays, empty,
/// which is no reason to keep a Release approved.
async fn remove_collection(tx: &Transaction<'_>, collection: &str) -> Result<(), LedgerError> {
    tx.batch_execute("SAVEPOINT collection").await?;
    let sql = "SELECT pgstac.delete_collection($1)";
    match execute(tx, sql, &[&collection]).await {
        Err(error) if is_denied(&error) => {
            tx.batch_execute("ROLLBACK TO SAVEPOINT collection").await?;
            tracing::warn!(collection.id = collection, error = ?error, "An empty collection stays: pgSTAC does not let this role remove it");
            Ok(())
        }
        removed => at("removing the collection", removed).map(drop),
    }
}

/// Whether there is a catalogue; if so nobody else writes to it until the transaction ends.
///
/// Comes before anything that reads its items: who has read them holds a lock that another's new partition waits for.
/// pgSTAC takes the end of such a deadlock for no failure, and then misses the partition.
pub(super) async fn await_turn(tx: &Transaction<'_>) -> Result<bool, LedgerError> {
    if !stac::is_present(tx).await? {
        return Ok(false);
    }
    execute(tx, "SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    Ok(true)
}

/// Whether there is a catalogue; if so its functions are called as it wants.
async fn open(tx: &Transaction<'_>) -> Result<bool, LedgerError> {
    if !await_turn(tx).await? {
        return Ok(false);
    }
    // Some of pgSTAC's functions look for its tables, and for PostGIS, where the caller looks.
    tx.batch_execute("SET LOCAL search_path TO pgstac, public")
        .await?;
    let version = one(tx, "SELECT pgstac.get_version() AS version", &[]).await;
    let version = text(&at("asking for its version", version)?, "version")?;
    match is_recent(&version) {
        true => Ok(true),
        false => Err(LedgerError::Catalogue {
            step: "asking for its version",
            source: format!("pgSTAC is version {version}, 0.9.8 or newer is needed").into(),
        }),
    }
}

/// Whether a version is one whose functions are known. What is being developed has no number and counts as new.
fn is_recent(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u64>);
    let mut next = || numbers.next().and_then(Result::ok);
    match next() {
        None => true,
        Some(major) => [major, next().unwrap_or(0), next().unwrap_or(0)] >= OLDEST,
    }
}

async fn has_collection(tx: &Transaction<'_>, collection: &str) -> Result<bool, LedgerError> {
    let sql = "SELECT EXISTS (SELECT FROM pgstac.collections WHERE id = $1) AS found";
    let found = one(tx, sql, &[&collection]).await;
    flag(&at("finding the collection", found)?, "found")
}

/// Tells of a failure as one of the catalogue, unless the connection or a rival is to blame.
fn at<T>(step: &'static str, done: Result<T, LedgerError>) -> Result<T, LedgerError> {
    match done {
        Err(LedgerError::Unavailable(source) | LedgerError::Refused(source))
            if !is_passing(source.as_ref()) =>
        {
            Err(LedgerError::Catalogue { step, source })
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0.9.8", true)]
    #[case("0.9.7", false)]
    #[case("0.8.12", false)]
    #[case("0.10.0", true)]
    #[case("1.0", true)]
    #[case("0.9.8-dev", true)]
    #[case("unreleased", true)]
    fn versions_are_compared_by_number(#[case] version: &str, #[case] expected: bool) {
        assert_eq!(is_recent(version), expected);
    }
}
