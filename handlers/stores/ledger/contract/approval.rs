//! Rules on what people decide about Releases.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::*;
use crate::stores::ledger::{
    Action, Approval, ApprovalFilter, CachedItem, Catalogue, Clearance, Decision, Reason, Refusal,
    Release, StacDocuments, Unpublication, Which,
};

/// An item of a Release that every catalogue takes, with its collection.
pub(crate) fn documents(release_id: &str, collection: &str, item: &str) -> StacDocuments {
    let at = "2020-01-01T00:00:00Z";
    StacDocuments {
        item_id: item.to_owned(),
        collection_id: collection.to_owned(),
        item: json!({
            "type": "Feature", "stac_version": "1.1.0", "id": item, "collection": collection, "bbox": [10, 20, 30, 40],
            "geometry": {"type": "Polygon", "coordinates": [[[10, 20], [30, 20], [30, 40], [10, 40], [10, 20]]]},
            "properties": {
                "datetime": at, "start_datetime": at, "end_datetime": "2020-12-31T00:00:00Z",
                "ddh:release_id": release_id,
            },
            "links": [], "assets": {},
        }),
        collection: json!({
            "type": "Collection", "stac_version": "1.1.0", "id": collection, "description": "of a test",
            "license": "other", "links": [], "ddh:managed_by": "landfall", "extent": {
                "spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[null, null]]}},
        }),
    }
}

/// The approval of a Release as it is now.
pub(crate) async fn approval(ledger: &dyn Ledger, release_id: &str, version: &str) -> Approval {
    let seen = ledger.release(release_id).await.unwrap().unwrap();
    Approval {
        version_id: version.to_owned(),
        clearance: Clearance::Public,
        reviewer: String::from("ada"),
        notes: Some(String::from("looks right")),
        documents: documents(
            release_id,
            &seen.dataset_id,
            &format!("{}-{version}", seen.resource_id),
        ),
        at: at(50),
        seen,
    }
}

pub(crate) fn decision(release_id: &str, seconds: i64) -> Decision {
    Decision {
        release_id: release_id.to_owned(),
        actor: Some(String::from("grace")),
        reason: Some(String::from("wrong units")),
        at: at(seconds),
    }
}

fn unpublication(release_id: &str, force_approved: bool) -> Unpublication {
    Unpublication {
        decision: decision(release_id, 80),
        force_approved,
    }
}

fn refusal<T: std::fmt::Debug>(done: Result<T, LedgerError>) -> Refusal {
    match done {
        Err(LedgerError::Refusal(refusal)) => refusal,
        other => panic!("it is not refused: {other:?}"),
    }
}

/// Why a state does not allow an action.
fn reason<T: std::fmt::Debug>(done: Result<T, LedgerError>) -> Reason {
    match refusal(done) {
        Refusal::State { reason, .. } => reason,
        other => panic!("its state is not the reason: {other:?}"),
    }
}

async fn state_of(ledger: &dyn Ledger, release_id: &str) -> String {
    let release = ledger.release(release_id).await.unwrap().unwrap();
    release.approval_state
}

async fn is_live(ledger: &dyn Ledger, release_id: &str, revision: i64) -> bool {
    let found = ledger.revision(release_id, revision).await.unwrap();
    found.unwrap().is_live
}

/// A published Release that a person has approved.
async fn approved(ledger: &dyn Ledger) -> (Claim, Release) {
    let claim = combined_group(ledger).await;
    let release_id = &claim.release.release_id;
    let decided = ledger
        .approve(&approval(ledger, release_id, "v1").await)
        .await
        .unwrap();
    (claim, decided.release)
}

pub(crate) async fn approving_sets_everything_and_says_so_in_the_audit(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let claim = combined_group(ledger).await;
    let release_id = &claim.release.release_id;
    let decided = ledger
        .approve(&approval(ledger, release_id, "2020.1").await)
        .await
        .unwrap();
    assert_eq!(decided.catalogue, Catalogue::Absent);
    let release = decided.release;
    assert_eq!(release, ledger.release(release_id).await.unwrap().unwrap());
    assert_eq!(
        (
            release.approval_state.as_str(),
            release.version_id.as_deref(),
            release.clearance_state.as_str(),
            release.stac_item_id.as_deref(),
            release.stac_collection_id.as_deref(),
        ),
        (
            "approved",
            Some("2020.1"),
            "public",
            Some("global-daily-2020-2020.1"),
            Some("era5-temperature")
        )
    );
    let item = release.stac_item_json.unwrap();
    assert_eq!(
        item,
        json!({"id": "global-daily-2020-2020.1", "revision": 1}),
        "what is cached stays, under the id that it has now"
    );
    let review = release.review;
    assert!(review.is_served);
    assert_eq!(
        (
            review.reviewer.as_deref(),
            review.reviewed_at,
            review.approval_notes.as_deref()
        ),
        (Some("ada"), Some(at(50)), Some("looks right"))
    );
    let audit = subject.audit_rows(release_id).await;
    let last = audit.last().unwrap();
    assert_eq!(
        last,
        &json!({
            "event_type": "approved", "actor": "ada", "reason": "looks right", "before": "pending_review",
            "metadata": {
                "version_id": "2020.1", "clearance_state": "public", "stac_item_id": "global-daily-2020-2020.1",
                "stac_collection_id": "era5-temperature",
            },
        })
    );
}

pub(crate) async fn only_a_completed_release_that_is_pending_review_is_approved(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    let settled = due_group(ledger).await;
    let release_id = &settled.group.release_id;
    let early = approval(ledger, release_id, "v1").await;
    assert_eq!(
        reason(ledger.approve(&early).await),
        Reason::NothingPublished
    );
    let claim = claim(ledger, &settled, "one").await;
    ledger.publish(&claim, &result(1)).await.unwrap();
    assert_eq!(reason(ledger.approve(&early).await), Reason::Moved);
    let late = approval(ledger, release_id, "v1").await;
    ledger.approve(&late).await.unwrap();
    let again = approval(ledger, release_id, "v2").await;
    assert!(matches!(
        reason(ledger.approve(&again).await),
        Reason::Approval { state, .. } if state == "approved"
    ));
    for state in ["rejected", "revoked"] {
        subject.set_approval(release_id, state).await;
        let again = approval(ledger, release_id, "v2").await;
        assert!(matches!(
            reason(ledger.approve(&again).await),
            Reason::Approval { state: found, .. } if found == state
        ));
    }
    let mut unknown = late;
    unknown.seen.release_id = String::from("none");
    assert_eq!(refusal(ledger.approve(&unknown).await), Refusal::Unknown);
    let kinds = subject.audit(release_id).await;
    assert_eq!(
        kinds.iter().filter(|kind| *kind == "approved").count(),
        1,
        "what is refused leaves no trace: {kinds:?}"
    );
}

pub(crate) async fn what_is_being_combined_again_is_not_approved(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    let release_id = &first.release.release_id;
    let seen = approval(ledger, release_id, "v1").await;
    let settled = fill(ledger, &first.group.id, &["era5/c.nc"]).await;
    let second = claim(ledger, &settled, "one").await;
    let refused = reason(
        ledger
            .approve(&approval(ledger, release_id, "v1").await)
            .await,
    );
    assert!(matches!(refused, Reason::Processing(_)), "{refused:?}");
    ledger.publish(&second, &result(2)).await.unwrap();
    assert_eq!(
        reason(ledger.approve(&seen).await),
        Reason::Moved,
        "what was looked at is revision 1"
    );
    ledger
        .approve(&approval(ledger, release_id, "v1").await)
        .await
        .unwrap();
}

pub(crate) async fn a_version_is_that_of_one_approved_release(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let (claim_of_first, first) = approved(ledger).await;
    let settled = fill(ledger, &claim_of_first.group.id, &["era5/c.nc"]).await;
    let second = claim(ledger, &settled, "one").await;
    ledger.publish(&second, &result(1)).await.unwrap();
    let second = &second.release.release_id;
    let same = approval(ledger, second, "v1").await;
    let expected = Refusal::Version {
        version_id: String::from("v1"),
        conflicting_release_id: first.release_id.clone(),
    };
    assert_eq!(refusal(ledger.approve(&same).await), expected.clone());
    let conflict = ledger.version_conflict(&same.seen, "v1", &same.documents);
    assert_eq!(conflict.await.unwrap(), Some(expected));
    let mut same_item = approval(ledger, second, "V1").await;
    same_item.documents.item_id = first.stac_item_id.clone().unwrap();
    assert!(matches!(
        refusal(ledger.approve(&same_item).await),
        Refusal::Version { .. }
    ));
    assert_eq!(state_of(ledger, second).await, "pending_review");
    ledger
        .approve(&approval(ledger, second, "v2").await)
        .await
        .unwrap();
    ledger
        .revoke(&decision(&first.release_id, 60))
        .await
        .unwrap();
    assert_eq!(state_of(ledger, second).await, "approved");
}

pub(crate) async fn a_rejected_release_is_not_served_until_its_next_revision(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    let release_id = &first.release.release_id;
    let decided = ledger.reject(&decision(release_id, 60)).await.unwrap();
    let review = decided.release.review;
    assert_eq!(
        (
            decided.release.approval_state.as_str(),
            review.reviewer.as_deref(),
            review.rejection_reason.as_deref(),
            review.reviewed_at,
            review.is_served,
        ),
        (
            "rejected",
            Some("grace"),
            Some("wrong units"),
            Some(at(60)),
            false
        )
    );
    assert!(!is_live(ledger, release_id, 1).await);
    assert!(matches!(
        reason(ledger.reject(&decision(release_id, 61)).await),
        Reason::Approval { .. }
    ));
    let settled = fill(ledger, &first.group.id, &["era5/c.nc"]).await;
    let second = claim(ledger, &settled, "one").await;
    assert_eq!(&second.release.release_id, release_id);
    ledger.publish(&second, &result(2)).await.unwrap();
    let release = ledger.release(release_id).await.unwrap().unwrap();
    assert_eq!(release.approval_state, "pending_review");
    assert_eq!(release.review, crate::stores::ledger::Review::default());
    assert!(is_live(ledger, release_id, 2).await);
    assert!(
        !is_live(ledger, release_id, 1).await,
        "what was rejected does not come back with its successor"
    );
    let audit = subject.audit(release_id).await;
    assert_eq!(
        audit[audit.len() - 4..],
        [
            "rejected",
            "processing_started",
            "overwritten",
            "processing_completed"
        ]
    );
}

pub(crate) async fn only_an_approved_release_is_revoked(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let claim = combined_group(ledger).await;
    let release_id = &claim.release.release_id;
    assert!(matches!(
        reason(ledger.revoke(&decision(release_id, 40)).await),
        Reason::Approval {
            needed: "approved",
            ..
        }
    ));
    ledger
        .approve(&approval(ledger, release_id, "v1").await)
        .await
        .unwrap();
    assert!(matches!(
        reason(ledger.reject(&decision(release_id, 55)).await),
        Reason::Approval {
            needed: "pending_review",
            ..
        }
    ));
    let decided = ledger.revoke(&decision(release_id, 60)).await.unwrap();
    let release = decided.release;
    let review = &release.review;
    assert_eq!(
        (
            release.approval_state.as_str(),
            review.revoked_by.as_deref(),
            review.revocation_reason.as_deref(),
            review.revoked_at,
            review.is_served,
            review.reviewer.as_deref(),
        ),
        (
            "revoked",
            Some("grace"),
            Some("wrong units"),
            Some(at(60)),
            false,
            Some("ada")
        )
    );
    assert!(!is_live(ledger, release_id, 1).await);
    assert_eq!(
        refusal(ledger.revoke(&decision("none", 61)).await),
        Refusal::Unknown
    );
    let audit = subject.audit(release_id).await;
    assert_eq!(audit[audit.len() - 2..], ["approved", "revoked"]);
}

pub(crate) async fn a_rejected_release_that_is_overwritten_stays_withdrawn(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let claim = combined_group(ledger).await;
    let release_id = &claim.release.release_id;
    ledger.reject(&decision(release_id, 60)).await.unwrap();
    let mut again = declaration(Origin::Submit, "era5/", 2);
    again.options.overwrite = true;
    again.title = Some(String::from("once more"));
    let declared = ledger.declare_group(&again).await.unwrap();
    assert_eq!(&declared.group.release_id, release_id);
    let release = ledger.release(release_id).await.unwrap().unwrap();
    assert_eq!(release.approval_state, "pending_review");
    assert_eq!(release.review, crate::stores::ledger::Review::default());
    assert!(!is_live(ledger, release_id, 1).await);
    let early = approval(ledger, release_id, "v1").await;
    assert!(matches!(
        reason(ledger.approve(&early).await),
        Reason::Processing(_)
    ));
}

pub(crate) async fn unpublishing_names_every_revision_and_ends_them(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    let release_id = &first.release.release_id;
    let settled = fill(ledger, &first.group.id, &["era5/c.nc"]).await;
    let second = claim(ledger, &settled, "one").await;
    let busy = ledger.unpublish(&unpublication(release_id, false)).await;
    assert!(matches!(reason(busy), Reason::Processing(_)));
    ledger.publish(&second, &result(2)).await.unwrap();
    let revisions = ledger.published_revisions(release_id).await.unwrap();
    let paths: Vec<_> = revisions
        .iter()
        .map(|revision| {
            (
                revision.revision,
                revision.blob_path.as_str(),
                revision.is_shared,
            )
        })
        .collect();
    assert_eq!(
        paths,
        [
            (1, "refs/combined/r1/combined.json", false),
            (2, "refs/combined/r2/combined.json", false)
        ]
    );
    let order = unpublication(release_id, false);
    let decided = ledger.unpublish(&order).await.unwrap();
    assert_eq!(decided.release.blob_path, None);
    for revision in [1, 2] {
        assert!(!is_live(ledger, release_id, revision).await);
    }
    assert_eq!(
        ledger.published_revisions(release_id).await.unwrap().len(),
        2,
        "what is left of them can be deleted later"
    );
    let again = approval(ledger, release_id, "v1").await;
    assert_eq!(
        reason(ledger.approve(&again).await),
        Reason::NothingPublished
    );
    ledger.unpublish(&order).await.unwrap();
    let rows = subject.audit_rows(release_id).await;
    let told: Vec<&Value> = rows
        .iter()
        .filter(|row| row["metadata"]["action"] == "unpublished")
        .collect();
    assert_eq!(told.len(), 1, "the second time nothing happens");
    assert_eq!(told[0]["actor"], "grace");
    let settled = fill(ledger, &first.group.id, &["era5/d.nc"]).await;
    let third = claim(ledger, &settled, "one").await;
    ledger.publish(&third, &result(3)).await.unwrap();
    assert!(is_live(ledger, release_id, 3).await);
    assert!(!is_live(ledger, release_id, 2).await);
}

pub(crate) async fn an_approved_release_is_unpublished_only_if_that_is_said(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let (_, release) = approved(ledger).await;
    let release_id = &release.release_id;
    let refused = ledger.unpublish(&unpublication(release_id, false)).await;
    assert_eq!(reason(refused), Reason::StillApproved);
    assert!(is_live(ledger, release_id, 1).await);
    let done = ledger.unpublish(&unpublication(release_id, true)).await;
    let release = done.unwrap().release;
    assert_eq!(
        (release.approval_state.as_str(), release.blob_path),
        ("revoked", None)
    );
    let audit = subject.audit(release_id).await;
    assert_eq!(audit[audit.len() - 2..], ["revoked", "overwritten"]);
}

pub(crate) async fn another_item_is_cached_on_what_is_published(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let settled = due_group(ledger).await;
    let cached = |seen: Release| CachedItem {
        seen,
        item: json!({"id": "other"}),
        item_id: String::from("other"),
        collection_id: String::from("others"),
        at: at(45),
    };
    let early = ledger.release(&settled.group.release_id).await.unwrap();
    let refused = ledger.cache_item(&cached(early.unwrap())).await;
    assert_eq!(reason(refused), Reason::NothingPublished);
    let claim = claim(ledger, &settled, "one").await;
    ledger.publish(&claim, &result(1)).await.unwrap();
    let release_id = &claim.release.release_id;
    let seen = ledger.release(release_id).await.unwrap().unwrap();
    let release = ledger.cache_item(&cached(seen.clone())).await.unwrap();
    assert_eq!(
        (
            release.stac_item_json,
            release.stac_item_id.as_deref(),
            release.stac_collection_id.as_deref(),
            release.updated_at,
        ),
        (
            Some(json!({"id": "other"})),
            Some("other"),
            Some("others"),
            at(45)
        )
    );
    assert_eq!(
        reason(ledger.cache_item(&cached(seen)).await),
        Reason::Moved
    );
    let rows = subject.audit_rows(release_id).await;
    assert_eq!(
        rows.last().unwrap()["metadata"],
        json!({"action": "stac_item_cached", "stac_item_id": "other"})
    );
}

pub(crate) async fn without_a_catalogue_nothing_is_materialized(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let (claim, release) = approved(ledger).await;
    let documents = documents("r", "a", "b");
    let done = ledger.materialize(&release, &documents).await.unwrap();
    assert_eq!(done, Catalogue::Absent);
    let refused = ledger.materialize(&claim.release, &documents).await;
    assert_eq!(reason(refused), Reason::Moved);
    let revoked = ledger.revoke(&decision(&release.release_id, 60)).await;
    let refused = ledger
        .materialize(&revoked.unwrap().release, &documents)
        .await;
    assert!(matches!(
        refusal(refused),
        Refusal::State {
            action: Action::Materialize,
            ..
        }
    ));
}

pub(crate) async fn approvals_are_listed_by_state_and_counted(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let (claim_of_first, first) = approved(ledger).await;
    let settled = fill(ledger, &claim_of_first.group.id, &["era5/c.nc"]).await;
    let second = claim(ledger, &settled, "one").await.release.release_id;
    let list = async |state: Option<&str>, clearance: Option<&str>, limit, offset| {
        let filter = ApprovalFilter {
            approval_state: state.map(str::to_owned),
            clearance_state: clearance.map(str::to_owned),
            limit,
            offset,
        };
        let found = ledger.approvals(&filter).await.unwrap();
        let counts: Vec<_> = found.status_counts.into_iter().collect();
        assert_eq!(
            counts,
            [
                (String::from("approved"), 1),
                (String::from("pending_review"), 1)
            ],
            "the counts are those of all"
        );
        let ids = found.releases.into_iter().map(|release| release.release_id);
        ids.collect::<Vec<_>>()
    };
    let first = first.release_id;
    assert_eq!(
        list(None, None, 10, 0).await,
        [second.clone(), first.clone()]
    );
    assert_eq!(list(None, None, 1, 1).await, *std::slice::from_ref(&first));
    assert_eq!(
        list(Some("approved"), None, 10, 0).await,
        *std::slice::from_ref(&first)
    );
    assert_eq!(list(Some("rejected"), None, 10, 0).await, [""; 0]);
    assert_eq!(list(None, Some("public"), 10, 0).await, [first]);
    assert_eq!(list(None, Some("uncleared"), 10, 0).await, [second]);
}

pub(crate) async fn a_file_that_changes_under_an_approved_release_is_told(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let claim = combined_group(ledger).await;
    let release_id = claim.release.release_id.clone();
    let names = async |which| {
        let found = ledger.release_sources(&release_id, which).await.unwrap();
        let names = found.into_iter().map(|source| {
            assert_eq!((source.etag.as_str(), source.size), ("v1", 100));
            source.file.path.blob
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(Which::All).await, ["era5/a.nc", "era5/b.nc"]);
    assert_eq!(names(Which::Changed).await, [""; 0]);
    let file = ledger.file(&path("era5/a.nc")).await.unwrap().unwrap();
    let told = async |file| {
        let found = ledger.releases_changed_by(file).await.unwrap();
        found.len()
    };
    ledger
        .approve(&approval(ledger, &release_id, "v1").await)
        .await
        .unwrap();
    assert_eq!((told(Some(file.id)).await, told(None).await), (0, 0));
    let newer = land(ledger, "era5/a.nc", "v2").await;
    assert_eq!(newer.id, file.id);
    assert_eq!((told(Some(file.id)).await, told(None).await), (1, 1));
    assert_eq!(names(Which::Changed).await, ["era5/a.nc"]);
    let gone = path("era5/b.nc");
    ledger.record_gone(&gone, None).await.unwrap();
    let gone = ledger.file(&gone).await.unwrap().unwrap();
    assert_eq!((told(Some(gone.id)).await, told(None).await), (1, 1));
    assert_eq!(names(Which::Changed).await, ["era5/a.nc", "era5/b.nc"]);
    ledger.revoke(&decision(&release_id, 60)).await.unwrap();
    assert_eq!((told(Some(file.id)).await, told(None).await), (0, 0));
}

pub(crate) async fn fifty_approvals_at_once_are_one(subject: &dyn Subject) {
    const REVIEWERS: usize = 50;
    let claim = combined_group(subject.ledger()).await;
    let release_id = claim.release.release_id.clone();
    let seen = approval(subject.ledger(), &release_id, "v1").await;
    let handlers = [subject.another(), subject.another()];
    let start = Arc::new(Barrier::new(REVIEWERS));
    let mut tasks = JoinSet::new();
    for number in 0..REVIEWERS {
        let (handler, start) = (Arc::clone(&handlers[number % 2]), Arc::clone(&start));
        let mut approval = seen.clone();
        approval.reviewer = format!("reviewer {number}");
        approval.version_id = format!("v{number}");
        approval.documents = documents(
            &release_id,
            &seen.seen.dataset_id,
            &format!("item-v{number}"),
        );
        tasks.spawn(async move {
            start.wait().await;
            handler.approve(&approval).await
        });
    }
    let mut winners = Vec::new();
    for done in tasks.join_all().await {
        match done {
            Ok(decided) => winners.push(decided.release),
            Err(error) => assert!(
                matches!(&error, LedgerError::Refusal(Refusal::State { .. })),
                "{error:?}"
            ),
        }
    }
    assert_eq!(winners.len(), 1);
    let release = subject.ledger().release(&release_id).await.unwrap();
    assert_eq!(release.as_ref(), winners.first());
    let rows = subject.audit_rows(&release_id).await;
    let told: Vec<&Value> = rows
        .iter()
        .filter(|row| row["event_type"] == "approved")
        .collect();
    assert_eq!(told.len(), 1, "{rows:?}");
    let winner = &winners[0];
    assert_eq!(told[0]["actor"], json!(winner.review.reviewer));
    assert_eq!(told[0]["metadata"]["version_id"], json!(winner.version_id));
}

/// Two Releases of one Asset, approved as the same version at the same time.
pub(crate) async fn of_two_releases_one_gets_the_version(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    let first_id = first.release.release_id.clone();
    subject.set_approval(&first_id, "approved").await;
    let settled = fill(ledger, &first.group.id, &["era5/c.nc"]).await;
    let second = claim(ledger, &settled, "one").await;
    ledger.publish(&second, &result(1)).await.unwrap();
    subject.set_approval(&first_id, "pending_review").await;
    let second_id = second.release.release_id;
    let start = Arc::new(Barrier::new(2));
    let mut tasks = JoinSet::new();
    for release_id in [&first_id, &second_id] {
        let (handler, start) = (subject.another(), Arc::clone(&start));
        let approval = approval(ledger, release_id, "v1").await;
        tasks.spawn(async move {
            start.wait().await;
            handler.approve(&approval).await
        });
    }
    let done = tasks.join_all().await;
    let (approved, refused): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_ok);
    assert_eq!((approved.len(), refused.len()), (1, 1), "{refused:?}");
    assert!(matches!(
        refusal(refused.into_iter().next().unwrap()),
        Refusal::Version { .. }
    ));
}

/// A published Release of an Asset of its own.
pub(crate) async fn published(ledger: &dyn Ledger, resource: &str) -> String {
    let group = crate::stores::ledger::contract::declare_named(ledger, resource)
        .await
        .unwrap()
        .group
        .id;
    let settled = fill(ledger, &group, &[&format!("era5/{resource}.nc")]).await;
    let claim = claim(ledger, &settled, "one").await;
    assert!(ledger.publish(&claim, &result(1)).await.unwrap());
    claim.release.release_id
}
