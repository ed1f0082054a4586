//! A storage service or a database that fails now and then: the same is read and written as from one that never does.

use std::time::Duration;

use rstest::rstest;
use serde_json::Value;

use crate::support::azurite::{Azurite, BRONZE, azurite};
use crate::support::postgres::cluster;
use crate::support::proxy::{Fault, Proxy};
use crate::support::rig::block_on;
use crate::support::serve::migrated;
use crate::support::wire::{Wire, WireFault};
use crate::support::{Dev, demo_series, landfall, name_of};

fn combined(azurite: &Azurite, port: u16) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("combined.json");
    let told = landfall()
        .args(["combine", "az://faults/cmip6/", "--json", "-o"])
        .arg(&output)
        .env("LANDFALL_BRONZE_ACCOUNT", BRONZE)
        .env(
            "LANDFALL_BLOB_ENDPOINT",
            format!("https://127.0.0.1:{port}/{{account}}"),
        )
        .env("LANDFALL_CREDENTIAL", "token-file")
        .env("LANDFALL_TOKEN_FILE", azurite.token_file())
        .env("SSL_CERT_FILE", azurite.trust())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{errors}");
    serde_json::from_slice(&std::fs::read(output).unwrap()).unwrap()
}

#[rstest]
fn a_fault_that_passes_changes_nothing(
    #[values(
        Fault::Throttled,
        Fault::ThrottledSilently,
        Fault::Busy,
        Fault::BusySilently,
        Fault::Failing,
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::CutBody,
        Fault::Stalled
    )]
    fault: Fault,
) {
    let azurite = azurite();
    block_on(async {
        azurite.make_container(BRONZE, "faults").await;
        for file in demo_series() {
            let name = format!("faults/cmip6/{}", name_of(&file));
            if azurite.get(BRONZE, &name).await.is_none() {
                azurite
                    .put(BRONZE, &name, std::fs::read(&file).unwrap())
                    .await;
            }
        }
    });
    let proxy = Proxy::before(
        azurite.ports().0,
        azurite.certificates(),
        1,
        Duration::from_millis(500),
    );
    let expected = combined(azurite, proxy.port());
    proxy.set_kind(fault);
    proxy.set_faults(400);
    let met = combined(azurite, proxy.port());
    assert!(proxy.faults()[&fault] > 0, "no fault was met");
    assert_eq!(met, expected);
}

/// Each commit, and now and then another statement, is carried out and not heard of.
#[test]
fn what_a_database_did_unheard_is_done_once() {
    let (name, url) = migrated();
    let wire = Wire::before(cluster().port(), 5, Duration::from_millis(500));
    wire.set_kind(WireFault::CutAfter);
    let dev = Dev::start_with(&[
        ("LANDFALL_DATABASE_URL", &wire.url(&url)),
        ("LANDFALL_LEASE", "PT2S"),
        ("LANDFALL_STUCK_AFTER", "PT2S"),
        ("LANDFALL_SWEEP_SCHEDULE", "*/2 * * * * *"),
    ]);
    dev.submit("cmip6", 3);
    wire.set_faults(300);
    for file in demo_series() {
        dev.land(&file, &format!("cmip6/{}", name_of(&file)));
    }
    let is_done = || {
        let state = "SELECT state FROM landfall.source_group";
        (cluster().sql(&name, state) == "combined").then_some(())
    };
    dev.wait_for("a series that is combined", is_done);
    wire.set_faults(0);
    let met = wire.faults();
    assert!(met.contains_key(&(WireFault::CutAfter, true)), "{met:?}");
    let published =
        "SELECT count(*), max(revision) FROM landfall.combine_run WHERE state = 'published'";
    assert_eq!(cluster().sql(&name, published), "1|1");
    let told = "SELECT event_type, count(*) FROM app.release_audit
                WHERE event_type IN ('created', 'processing_completed') GROUP BY 1 ORDER BY 1";
    assert_eq!(
        cluster().sql(&name, told),
        "created|1\nprocessing_completed|1"
    );
}
