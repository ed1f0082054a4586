//! What lies in a container of Azure, from the command line and from the app: series by CMIP6's names and by others'.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::support::azurite::{BRONZE, SILVER, azurite};
use crate::support::serve::{Handler, clean, in_azure, migrated, runtime};

/// Files of each series.
const FILES: usize = 20;

/// The name of a file: of CMIP6, and of stations, in turn.
fn name(number: usize, series: usize) -> String {
    let (which, year) = (number / 2 % series, 1900 + number / 2 / series);
    match number % 2 {
        0 => format!("cmip6/tas_Amon_M{which:03}_ssp585_r1i1p1f1_gn_{year}01-{year}12.nc"),
        _ => format!("obs/deep/station{which:03}_{year}.nc"),
    }
}

/// Puts so many blobs into a container, many at a time.
async fn fill(container: &str, count: usize) {
    azurite().make_container(BRONZE, container).await;
    azurite()
        .make_container(SILVER, &format!("{container}-silver"))
        .await;
    let token = std::fs::read_to_string(azurite().token_file()).unwrap();
    let client = azurite().trusting().build().unwrap();
    let base = azurite().blob_endpoint().replace("{account}", BRONZE);
    let puts = (0..count).map(|number| {
        let url = format!("{base}/{container}/{}", name(number, count / 2 / FILES));
        let request = client.put(url).bearer_auth(&token);
        let request = request.header("x-ms-version", "2025-05-05");
        let request = request.header("x-ms-blob-type", "BlockBlob").body("CDF");
        async move { request.send().await.unwrap().status().as_u16() }
    });
    let statuses: Vec<u16> = stream::iter(puts).buffer_unordered(32).collect().await;
    assert!(statuses.iter().all(|status| *status == 201));
}

/// The inventory of so many blobs by the command line and by the app, which is started again in between; how long each
/// took.
fn taken(container: &str, count: usize) -> [Duration; 2] {
    runtime().block_on(fill(container, count));
    let mut settings = in_azure(azurite(), container, &migrated().1);
    settings.remove("LANDFALL_DEAD_LETTERS");
    let begun = Instant::now();
    let mut command = clean(&settings);
    let output = command
        .args(["inventory", &format!("az://{container}/"), "--json"])
        .output();
    let output = output.unwrap();
    let by_command = begun.elapsed();
    assert!(output.status.success(), "{output:?}");
    let here: Value = serde_json::from_slice(&output.stdout).unwrap();

    let handler = Handler::start(&settings);
    handler.get("/api/livez");
    let begun = Instant::now();
    let asked = json!({"source_url": format!("abfs://{container}/")});
    let (status, answer) = handler.post("/api/inventory", &[], &asked);
    assert_eq!(status, 202, "{answer}");
    let path = format!(
        "/api/inventory/{}",
        answer["inventory_id"].as_str().unwrap()
    );
    let there = loop {
        let (status, document) = handler.get(&path);
        assert!(
            document["progress"]["files"].is_u64(),
            "progress is shown: {document}"
        );
        if status == 200 {
            break document;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let by_app = begun.elapsed();
    handler.wait_for_line("Took an inventory");
    drop(handler);

    for (document, who) in [(&here, "command"), (&there, "app")] {
        let expected =
            json!({"files": count, "total_bytes": count * 3, "others": 0, "series": count / FILES});
        assert_eq!(document["progress"], expected, "{who}");
        let sizes: Vec<u64> = document["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|series| series["files"].as_u64().unwrap())
            .collect();
        assert_eq!(sizes, vec![FILES as u64; count / FILES], "{who}");
    }
    assert_eq!(here["groups"], there["groups"]);
    // What was found outlives the process that found it.
    let again = Handler::start(&settings);
    assert_eq!(again.get(&path), (200, there));
    [by_command, by_app]
}

#[test]
fn series_of_a_container_are_found_and_kept() {
    taken("inventory", 400);
}

/// `just inventory`: ten thousand files within ten seconds.
#[test]
#[ignore = "makes ten thousand blobs, which takes a minute: `just inventory`"]
fn ten_thousand_files_are_scanned_within_ten_seconds() {
    let [by_command, by_app] = taken("tenthousand", 10_000);
    println!("10 000 blobs: {by_command:?} from the command line, {by_app:?} by the app");
    for took in [by_command, by_app] {
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}
