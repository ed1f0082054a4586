//! A storage service that fails now and then: the same is read and written as from one that never does.

use std::time::Duration;

use rstest::rstest;
use serde_json::Value;

use crate::support::azurite::{Azurite, BRONZE, azurite};
use crate::support::proxy::{Fault, Proxy};
use crate::support::rig::block_on;
use crate::support::{demo_series, landfall, name_of};

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
