//! What lies in a container already, and what was lost on the way: inventories, replays, and Sweep.

use serde_json::{Value, json};

use crate::support::{Dev, demo_series, landfall};

fn run(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = landfall().args(arguments).output().unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), document)
}

#[test]
fn what_no_event_announced_is_found_by_sweep() {
    let settings = [
        ("LANDFALL_RECONCILE_EVERY", "PT1S"),
        ("LANDFALL_STUCK_AFTER", "PT1S"),
        ("LANDFALL_SWEEP_SCHEDULE", "* * * * * *"),
    ];
    let dev = Dev::start_told(&["--lose", "1"], &settings);
    let landed = dev.land_all(&demo_series(), "cmip6");
    let (release, _) = dev.wait_combined(1);
    assert_eq!(dev.steps("referenced").len(), landed.len());
    std::fs::remove_file(&landed[2]).unwrap();
    dev.wait_combined(2);
    let story = dev.json(&format!("/api/platform/status/{release}"));
    assert_eq!(story["outputs"]["result"]["source_files"], 2, "{story}");
}

#[test]
fn an_inventory_is_submitted_and_a_container_replayed() {
    let settings = [("LANDFALL_AUTO_GROUP", "false")];
    let dev = Dev::start_told(&["--lose", "1"], &settings);
    let files = dev.land_all(&demo_series(), "cmip6");
    let here = run(&["inventory", dev.bronze().to_str().unwrap(), "--json"]);
    assert_eq!(here.0, Some(0));
    assert_eq!(here.1["progress"]["files"], 3);
    let server = dev.url("");
    let asked = [
        "inventory",
        "abfs://bronze/",
        "--submit",
        "--json",
        "--server",
        &server,
    ];
    let (code, found) = run(&asked);
    assert_eq!(code, Some(0), "{found}");
    assert_eq!(
        found["groups"][0]["submission"],
        here.1["groups"][0]["submission"]
    );
    assert_eq!(found["groups"][0]["submitted"]["accepted"], true);
    dev.wait_combined(1);
    let replayed = run(&[
        "replay",
        "abfs://bronze/cmip6/",
        "--json",
        "--server",
        &server,
    ]);
    let expected = json!({"found": files.len(), "sent": files.len(), "passed_over": 0});
    assert_eq!(replayed, (Some(0), expected));
    let refused = run(&["replay", "abfs://silver/", "--json", "--server", &server]);
    assert_eq!(
        (refused.0, &refused.1["error"]["code"]),
        (Some(3), &json!("refused"))
    );
}

#[test]
fn an_app_that_is_not_there_is_named() {
    let server = "http://127.0.0.1:9";
    let (code, document) = run(&["replay", "--dead-letters", "--json", "--server", server]);
    assert_eq!(code, Some(1));
    assert_eq!(document["error"]["code"], "server_unreachable");
    assert!(
        document["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with(server)
    );
}
