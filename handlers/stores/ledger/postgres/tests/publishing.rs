//! What decisions write to a pgSTAC catalogue in the same database, and what they leave undone when it fails.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::stores::ledger::contract::approval::{approval, decision, documents, published};
use crate::stores::ledger::{ApprovalLedger as _, Catalogue, Decided, Refusal};

const COLLECTION: &str = "era5-temperature";

/// A ledger beside a catalogue.
pub(super) async fn catalogue() -> InDatabase {
    let name = pgstac::with_pgstac();
    let ledger = ledger_in(&name);
    ledger.migrate(&MigrationOptions::default()).await.unwrap();
    InDatabase { ledger, name }
}

impl InDatabase {
    /// Makes a function of pgSTAC fail, as it would if the catalogue were broken.
    pub(super) fn break_function(&self, function: &str, arguments: &str) {
        let returned = match function {
            "get_version" => "text",
            _ => "void",
        };
        self.sql(&format!(
            "ALTER FUNCTION pgstac.{function}({arguments}) RENAME TO {function}_kept;
             CREATE FUNCTION pgstac.{function}({arguments}) RETURNS {returned} LANGUAGE plpgsql
                 AS 'BEGIN RAISE EXCEPTION ''injected''; END';"
        ));
    }

    pub(super) fn mend_function(&self, function: &str, arguments: &str) {
        self.sql(&format!(
            "DROP FUNCTION pgstac.{function}({arguments});
             ALTER FUNCTION pgstac.{function}_kept({arguments}) RENAME TO {function}"
        ));
    }

    /// Everything that a decision changes, in one text.
    fn everything(&self) -> String {
        self.sql(
            "SELECT to_jsonb(r) FROM app.asset_releases r ORDER BY 1; SELECT to_jsonb(a) FROM app.release_audit a ORDER BY 1;
             SELECT to_jsonb(c) FROM landfall.combine_run c ORDER BY 1;
             SELECT content FROM pgstac.collections ORDER BY 1; SELECT collection, id, content FROM pgstac.items ORDER BY 1, 2",
        )
    }

    fn items(&self) -> String {
        self.sql("SELECT collection || '/' || id FROM pgstac.items ORDER BY 1")
    }

    fn extent(&self) -> Value {
        let sql =
            format!("SELECT content -> 'extent' FROM pgstac.collections WHERE id = '{COLLECTION}'");
        serde_json::from_str(&self.sql(&sql)).unwrap()
    }

    async fn approve(&self, release_id: &str, version: &str) -> Result<Decided, LedgerError> {
        self.ledger
            .approve(&approval(&self.ledger, release_id, version).await)
            .await
    }
}

fn step(done: Result<Decided, LedgerError>) -> &'static str {
    match done {
        Err(LedgerError::Catalogue { step, .. }) => step,
        other => panic!("the catalogue did not fail: {other:?}"),
    }
}

#[tokio::test]
async fn an_approval_writes_item_and_collection_and_a_revocation_takes_them_away() {
    let subject = catalogue().await;
    let (one, two) = (
        published(&subject.ledger, "one").await,
        published(&subject.ledger, "two").await,
    );
    let decided = subject.approve(&one, "v1").await.unwrap();
    assert_eq!(decided.catalogue, Catalogue::Updated);
    let found = subject
        .ledger
        .stac_item(COLLECTION, "one-v1")
        .await
        .unwrap();
    assert_eq!(
        found.unwrap().documents,
        [documents(&one, COLLECTION, "one-v1").item],
        "pgSTAC gives back what it was given"
    );
    let mut approval = approval(&subject.ledger, &two, "v1").await;
    let item = &mut approval.documents.item;
    item["bbox"] = json!([-20, -10, 0, 5]);
    item["geometry"]["coordinates"] = json!([[[-20, -10], [0, -10], [0, 5], [-20, 5], [-20, -10]]]);
    item["properties"]["end_datetime"] = json!("2022-06-30T12:00:00Z");
    subject.ledger.approve(&approval).await.unwrap();
    let of_both = json!({
        "spatial": {"bbox": [[-20.0, -10.0, 30.0, 40.0]]},
        "temporal": {"interval": [["2020-01-01T00:00:00Z", "2022-06-30T12:00:00Z"]]},
    });
    assert_eq!(subject.extent(), of_both);
    let revoked = subject.ledger.revoke(&decision(&two, 60)).await.unwrap();
    assert_eq!(revoked.catalogue, Catalogue::Updated);
    assert_eq!(subject.items(), "era5-temperature/one-v1");
    let of_one = json!({
        "spatial": {"bbox": [[10.0, 20.0, 30.0, 40.0]]},
        "temporal": {"interval": [["2020-01-01T00:00:00Z", "2020-12-31T00:00:00Z"]]},
    });
    assert_eq!(subject.extent(), of_one);
}

/// A collection of ours goes with its last item, one that somebody has made by hand stays.
#[rstest]
#[case::ours(Some("landfall"), "")]
#[case::by_hand(None, "era5-temperature")]
#[tokio::test]
async fn an_empty_collection_of_ours_goes(#[case] manager: Option<&str>, #[case] left: &str) {
    let subject = catalogue().await;
    let release_id = published(&subject.ledger, "one").await;
    let mut approval = approval(&subject.ledger, &release_id, "v1").await;
    approval.documents.collection["ddh:managed_by"] = json!(manager);
    subject.ledger.approve(&approval).await.unwrap();
    subject
        .ledger
        .revoke(&decision(&release_id, 60))
        .await
        .unwrap();
    assert_eq!(subject.items(), "");
    assert_eq!(subject.sql("SELECT id FROM pgstac.collections"), left);
}

#[rstest]
#[case("get_version", "", "asking for its version")]
#[case("create_collection", "data jsonb", "making the collection")]
#[case("create_item", "data jsonb", "writing the item")]
#[tokio::test]
async fn an_approval_that_the_catalogue_does_not_take_leaves_everything_as_it_was(
    #[case] function: &str,
    #[case] arguments: &str,
    #[case] expected: &str,
) {
    let subject = catalogue().await;
    let release_id = published(&subject.ledger, "one").await;
    let before = subject.everything();
    subject.break_function(function, arguments);
    assert_eq!(step(subject.approve(&release_id, "v1").await), expected);
    subject.mend_function(function, arguments);
    assert_eq!(subject.everything(), before);
    subject.approve(&release_id, "v1").await.unwrap();
    assert_eq!(subject.items(), "era5-temperature/one-v1");
}

/// The last step of both: the extent.
#[tokio::test]
async fn an_extent_that_is_not_taken_undoes_approval_and_revocation() {
    let subject = catalogue().await;
    let (one, two) = (
        published(&subject.ledger, "one").await,
        published(&subject.ledger, "two").await,
    );
    subject.approve(&two, "v1").await.unwrap();
    let fail = "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''injected''; END';
                CREATE TRIGGER fail BEFORE UPDATE ON pgstac.collections FOR EACH ROW EXECUTE FUNCTION public.fail()";
    subject.sql(fail);
    let before = subject.everything();
    let extent = "working out the extent of the collection";
    assert_eq!(step(subject.approve(&one, "v1").await), extent);
    assert_eq!(subject.everything(), before);
    subject.sql("DROP TRIGGER fail ON pgstac.collections");
    subject.approve(&one, "v1").await.unwrap();
    subject.sql("CREATE TRIGGER fail BEFORE UPDATE ON pgstac.collections FOR EACH ROW EXECUTE FUNCTION public.fail()");
    let before = subject.everything();
    assert_eq!(
        step(subject.ledger.revoke(&decision(&two, 60)).await),
        extent
    );
    assert_eq!(subject.everything(), before);
}

#[rstest]
#[case("delete_item", "_id text, _collection text", "removing the item")]
#[case("delete_collection", "_id text", "removing the collection")]
#[tokio::test]
async fn a_revocation_that_the_catalogue_does_not_take_leaves_the_release_approved(
    #[case] function: &str,
    #[case] arguments: &str,
    #[case] expected: &str,
) {
    let subject = catalogue().await;
    let release_id = published(&subject.ledger, "one").await;
    subject.approve(&release_id, "v1").await.unwrap();
    let before = subject.everything();
    subject.break_function(function, arguments);
    let failed = subject.ledger.revoke(&decision(&release_id, 60)).await;
    assert_eq!(step(failed), expected);
    subject.mend_function(function, arguments);
    assert_eq!(subject.everything(), before);
    subject
        .ledger
        .revoke(&decision(&release_id, 61))
        .await
        .unwrap();
    assert_eq!(subject.items(), "");
}

/// Who wrote an item is told by its `ddh:release_id`; somebody else's stays as it is, and is named.
#[rstest]
#[case::without_a_mark(json!(null))]
#[case::of_another_platform(json!("ffffffffffffffffffffffffffffffff"))]
#[tokio::test]
async fn an_item_that_somebody_else_has_written_is_neither_replaced_nor_removed(
    #[case] mark: Value,
) {
    let subject = catalogue().await;
    let release_id = published(&subject.ledger, "one").await;
    let theirs = documents("", COLLECTION, "one-v1");
    subject.call("create_collection", &theirs.collection);
    let mut item = theirs.item;
    item["properties"]["ddh:release_id"] = mark;
    subject.call("create_item", &item);
    let before = subject.everything();
    let expected = Refusal::Occupied {
        item_id: String::from("one-v1"),
        collection_id: String::from(COLLECTION),
    };
    let approval = approval(&subject.ledger, &release_id, "v1").await;
    let conflict = subject
        .ledger
        .version_conflict(&approval.seen, "v1", &approval.documents)
        .await;
    assert_eq!(conflict.unwrap(), Some(expected.clone()), "foreseen");
    match subject.ledger.approve(&approval).await {
        Err(LedgerError::Refusal(refusal)) => assert_eq!(refusal, expected),
        other => panic!("it is not refused: {other:?}"),
    }
    assert_eq!(subject.everything(), before);
    // Another version has another item, and goes without the one that is not ours.
    subject.approve(&release_id, "v2").await.unwrap();
    let revoked = subject.ledger.revoke(&decision(&release_id, 60)).await;
    assert_eq!(revoked.unwrap().catalogue, Catalogue::Updated);
    assert_eq!(subject.items(), "era5-temperature/one-v1");
}

/// Approved while there was no catalogue; then somebody else's item took the place.
#[tokio::test]
async fn a_revocation_removes_no_item_but_that_of_its_release() {
    let subject = catalogue().await;
    let release_id = published(&subject.ledger, "one").await;
    let decided = subject.approve(&release_id, "v1").await.unwrap();
    subject.sql(
        "SET search_path TO pgstac, public;
         UPDATE items SET content = content #- '{properties,ddh:release_id}'",
    );
    let before = subject.sql("SELECT content FROM pgstac.items");
    let ours = documents(&release_id, COLLECTION, "one-v1");
    let again = subject.ledger.materialize(&decided.release, &ours).await;
    assert!(
        matches!(again, Err(LedgerError::Refusal(Refusal::Occupied { .. }))),
        "{again:?}"
    );
    let revoked = subject.ledger.revoke(&decision(&release_id, 60)).await;
    assert_eq!(revoked.unwrap().catalogue, Catalogue::Unchanged);
    assert_eq!(subject.sql("SELECT content FROM pgstac.items"), before);
}

/// What a Release that is not approved any more has left behind is ours to replace.
#[tokio::test]
async fn an_item_left_behind_by_a_release_of_ours_is_replaced() {
    let subject = catalogue().await;
    let (one, two) = (
        published(&subject.ledger, "one").await,
        published(&subject.ledger, "two").await,
    );
    subject.approve(&one, "v1").await.unwrap();
    subject.sql("ALTER SCHEMA pgstac RENAME TO elsewhere");
    subject.ledger.revoke(&decision(&one, 60)).await.unwrap();
    subject.sql("ALTER SCHEMA elsewhere RENAME TO pgstac");
    let mut approval = approval(&subject.ledger, &two, "v1").await;
    approval.documents = documents(&two, COLLECTION, "one-v1");
    subject.ledger.approve(&approval).await.unwrap();
    let found = subject.ledger.stac_item(COLLECTION, "one-v1").await;
    assert_eq!(found.unwrap().unwrap().documents, [approval.documents.item]);
}

/// Of somebody else's collection nothing is written: our items come and go in it.
#[tokio::test]
async fn a_collection_that_somebody_else_has_made_stays_as_it_is() {
    let subject = catalogue().await;
    let mut theirs = documents("", COLLECTION, "").collection;
    theirs["ddh:managed_by"] = json!("somebody else");
    theirs["description"] = json!("by hand");
    subject.call("create_collection", &theirs);
    let release_id = published(&subject.ledger, "one").await;
    let collection = "SELECT content FROM pgstac.collections";
    let before = subject.sql(collection);
    subject.approve(&release_id, "v1").await.unwrap();
    assert_eq!(subject.items(), "era5-temperature/one-v1");
    assert_eq!(subject.sql(collection), before);
    let revoked = subject.ledger.revoke(&decision(&release_id, 60)).await;
    assert_eq!(revoked.unwrap().catalogue, Catalogue::Updated);
    assert_eq!(subject.items(), "");
    assert_eq!(subject.sql(collection), before);
}

#[tokio::test]
async fn an_item_that_pgstac_refuses_is_not_approved() {
    let subject = catalogue().await;
    let release_id = published(&subject.ledger, "one").await;
    let mut approval = approval(&subject.ledger, &release_id, "v1").await;
    approval.documents.item["properties"]["datetime"] = json!("30 February");
    approval.documents.item["properties"]["start_datetime"] = json!("30 February");
    let before = subject.everything();
    let failed = subject.ledger.approve(&approval).await;
    assert_eq!(step(failed), "writing the item");
    assert_eq!(subject.everything(), before);
}

#[tokio::test]
async fn a_catalogue_that_is_too_old_is_told_by_its_version() {
    let subject = catalogue().await;
    let release_id = published(&subject.ledger, "one").await;
    subject.sql("UPDATE pgstac.migrations SET version = '0.9.7'");
    let error = subject.approve(&release_id, "v1").await.unwrap_err();
    let LedgerError::Catalogue { source, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        source.to_string(),
        "pgSTAC is version 0.9.7, 0.9.8 or newer is needed"
    );
}

#[tokio::test]
async fn what_was_approved_without_a_catalogue_is_written_when_there_is_one() {
    let subject = catalogue().await;
    subject.sql("ALTER SCHEMA pgstac RENAME TO elsewhere");
    let release_id = published(&subject.ledger, "one").await;
    let decided = subject.approve(&release_id, "v1").await.unwrap();
    assert_eq!(decided.catalogue, Catalogue::Absent);
    subject.sql("ALTER SCHEMA elsewhere RENAME TO pgstac");
    let documents = documents(&release_id, COLLECTION, "one-v1");
    for _ in 0..2 {
        let done = subject
            .ledger
            .materialize(&decided.release, &documents)
            .await;
        assert_eq!(done.unwrap(), Catalogue::Updated);
        assert_eq!(subject.items(), "era5-temperature/one-v1");
    }
    subject.sql("SET search_path TO pgstac, public; DELETE FROM pgstac.items");
    let revoked = subject.ledger.revoke(&decision(&release_id, 60)).await;
    assert_eq!(
        revoked.unwrap().catalogue,
        Catalogue::Unchanged,
        "an item that is not there need not go"
    );
}

/// `landfall migrate --grant-to` gives the app what it needs of pgSTAC too, and no more.
#[tokio::test]
async fn the_role_of_the_app_may_write_to_the_catalogue() {
    let subject = catalogue().await;
    let role = format!("app_{}", subject.name);
    subject.sql(&format!("CREATE ROLE {role} LOGIN"));
    let options = MigrationOptions {
        grant_to: Some(role.clone()),
        ..MigrationOptions::default()
    };
    let done = subject.ledger.migrate(&options).await.unwrap();
    let granted = format!("granted {role} what pgstac_ingest may");
    assert!(done.steps.contains(&granted), "{:?}", done.steps);
    let again = subject.ledger.migrate(&options).await.unwrap();
    assert_eq!(again.steps, Vec::<String>::new());
    let url = cluster().url(&subject.name);
    let url = url.replace("landfall@", &format!("{role}@"));
    let app = PostgresLedger::new(&url, 2, None).unwrap();
    let release_id = published(&app, "one").await;
    let approval = approval(&app, &release_id, "v1").await;
    app.approve(&approval).await.unwrap();
    assert_eq!(subject.items(), "era5-temperature/one-v1");
    app.revoke(&decision(&release_id, 60)).await.unwrap();
    assert_eq!(subject.items(), "");
    let left = match std::env::var("LANDFALL_TEST_PGSTAC") {
        Ok(version) if version.starts_with("0.9.") => "1",
        _ => "0",
    };
    let collections = subject.sql("SELECT count(*) FROM pgstac.collections");
    assert_eq!(collections, left, "0.9 does not let it drop partitions");
}

/// A new partition waits for everybody who has read the items: in a deadlock, if they wait for who makes it.
#[tokio::test]
async fn who_waits_for_its_turn_has_read_no_items() {
    let subject = catalogue().await;
    let release_id = published(&subject.ledger, "one").await;
    let approval = approval(&subject.ledger, &release_id, "v1").await;
    let url = cluster().url(&subject.name);
    let (other, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let turn = format!(
        "BEGIN; SELECT pg_advisory_xact_lock({})",
        super::super::catalogue::LOCK
    );
    other.batch_execute(&turn).await.unwrap();
    let ledger = ledger_in(&subject.name);
    let approved = tokio::spawn(async move { ledger.approve(&approval).await });
    let waiting = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while other.query_opt(waiting, &[]).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let held = format!(
        "SELECT DISTINCT relation::regclass::text FROM pg_locks JOIN pg_class c ON c.oid = relation
         WHERE pid = ({waiting}) AND c.relnamespace = 'pgstac'::regnamespace"
    );
    let held = other.query(&held, &[]).await.unwrap();
    let held: Vec<String> = held.iter().map(|row| row.get(0)).collect();
    assert_eq!(held, Vec::<String>::new());
    other.batch_execute("ROLLBACK").await.unwrap();
    approved.await.unwrap().unwrap();
    assert_eq!(subject.items(), "era5-temperature/one-v1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approvals_and_revocations_at_once_leave_what_is_approved() {
    const RELEASES: usize = 12;
    let subject = catalogue().await;
    let mut releases = Vec::new();
    for number in 0..RELEASES {
        releases.push(published(&subject.ledger, &format!("n{number:02}")).await);
    }
    let mut tasks = JoinSet::new();
    for (number, release_id) in releases.iter().cloned().enumerate() {
        let ledger = ledger_in(&subject.name);
        tasks.spawn(async move {
            let approval = approval(&ledger, &release_id, "v1").await;
            ledger.approve(&approval).await.unwrap();
            if number % 2 == 1 {
                ledger.revoke(&decision(&release_id, 60)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let expected: Vec<String> = (0..RELEASES)
        .step_by(2)
        .map(|number| format!("{COLLECTION}/n{number:02}-v1"))
        .collect();
    assert_eq!(subject.items(), expected.join("\n"));
    let approved = "SELECT stac_collection_id || '/' || stac_item_id FROM app.asset_releases
                    WHERE approval_state = 'approved' ORDER BY 1";
    assert_eq!(subject.sql(approved), expected.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_approvals_at_once_write_one_item() {
    let subject = catalogue().await;
    crate::stores::ledger::contract::approval::fifty_approvals_at_once_are_one(&subject).await;
    assert_eq!(subject.sql("SELECT count(*) FROM pgstac.items"), "1");
    let same = "SELECT r.stac_item_id = i.id FROM app.asset_releases r, pgstac.items i";
    assert_eq!(subject.sql(same), "t");
}
