//! Rules on Releases and what may be read of them.

use super::*;

pub(crate) async fn every_id_means_its_release(subject: &dyn Subject) {
    let ledger = subject.ledger();
    let first = combined_group(ledger).await;
    subject
        .set_approval(&first.release.release_id, "approved")
        .await;
    let settled = fill(ledger, &first.group.id, &["era5/c.nc"]).await;
    let second = claim(ledger, &settled, "one").await.release;
    let first = first.release;
    let cases = [
        (&first.release_id, &first.release_id),
        (&first.job_id, &first.release_id),
        (&second.release_id, &second.release_id),
        (&second.job_id, &second.release_id),
        (&first.request_id, &second.release_id),
        (&first.asset_id, &second.release_id),
        (&settled.group.id.0, &second.release_id),
    ];
    for (id, expected) in cases {
        assert_eq!(
            &ledger.resolve(id).await.unwrap().unwrap().release_id,
            expected
        );
    }
    assert_eq!(ledger.resolve("none").await.unwrap(), None);
    let named = ledger
        .resolve_names("era5-temperature", "global-daily-2020")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(named.release_id, second.release_id);
    assert_eq!(
        ledger
            .resolve_names("era5-temperature", "none")
            .await
            .unwrap(),
        None
    );
    let newest_first: Vec<_> = ledger
        .releases(10)
        .await
        .unwrap()
        .into_iter()
        .map(|r| r.release_id)
        .collect();
    assert_eq!(
        newest_first,
        [second.release_id.clone(), first.release_id.clone()]
    );
    assert_eq!(ledger.releases(1).await.unwrap().len(), 1);
    for release_id in [first.release_id, second.release_id] {
        assert_eq!(
            ledger
                .group_of_release(&release_id)
                .await
                .unwrap()
                .unwrap()
                .id,
            settled.group.id
        );
    }
}

pub(crate) async fn a_revision_is_there_once_published_and_live_unless_withdrawn(
    subject: &dyn Subject,
) {
    let ledger = subject.ledger();
    let settled = due_group(ledger).await;
    let claim = claim(ledger, &settled, "one").await;
    let release_id = &claim.release.release_id;
    assert_eq!(ledger.revision(release_id, 1).await.unwrap(), None);
    ledger.publish(&claim, &result(1)).await.unwrap();
    assert_eq!(ledger.revision(release_id, 2).await.unwrap(), None);
    assert_eq!(ledger.revision("none", 1).await.unwrap(), None);
    for (approval, is_live) in [
        ("pending_review", true),
        ("approved", true),
        ("rejected", false),
        ("revoked", false),
    ] {
        subject.set_approval(release_id, approval).await;
        let revision = ledger.revision(release_id, 1).await.unwrap().unwrap();
        assert_eq!(
            (revision.blob_path.as_str(), revision.is_live),
            ("refs/combined/r1/combined.json", is_live)
        );
    }
}

pub(crate) async fn the_schema_is_current_once_opened(subject: &dyn Subject) {
    assert!(subject.ledger().check_schema().await.unwrap() >= 1);
}
