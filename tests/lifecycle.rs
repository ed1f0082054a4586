//! The life of a Release over PostgreSQL and pgSTAC, seen by those who read the catalogue: submitted, landed, combined,
//! cached, approved, found by an unmodified client through an unmodified STAC API, opened, revoked, gone.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::items::{assert_valid, files_of, make_series};
use crate::support::pgstac::{stac_python, with_pgstac};
use crate::support::postgres::cluster;
use crate::support::{Dev, free_port, landfall, python, read_with_xarray, repository};

/// TiTiler is only linked to here; `just clients` asks it.
const TITILER: &str = "https://titiler.example/xarray";

/// `stac-fastapi-pgstac` over a database, ended when dropped.
struct StacApi {
    child: Child,
    url: String,
}

impl StacApi {
    fn start(database: &str) -> Self {
        let port = free_port();
        let child = Command::new(stac_python())
            .args([
                "-m",
                "uvicorn",
                "--factory",
                "stac_fastapi.pgstac.app:create_app",
            ])
            .args([
                "--host",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--log-level",
                "warning",
            ])
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", cluster().port().to_string())
            .env("PGUSER", "landfall")
            .env("PGPASSWORD", "not asked for")
            .env("PGDATABASE", database)
            .current_dir(repository().join("tests/support"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        Self { child, url }
    }

    /// What a client finds in a collection.
    fn find(&self, dev: &Dev, collection: &str) -> Value {
        let script = repository().join("tests/support/find_items.py");
        let port = self.url.rsplit(':').next().unwrap().parse().unwrap();
        dev.wait_for("the STAC API", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let output = Command::new(stac_python())
            .arg(script)
            .args([&self.url, collection])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for StacApi {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An app over a new database with a catalogue.
struct Stage {
    dev: Dev,
    api: StacApi,
    database: String,
    series: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let database = with_pgstac();
        let api = StacApi::start(&database);
        let url = cluster().url(&database);
        let migrated = landfall()
            .args(["migrate", "--database-url", &url])
            .output();
        assert!(migrated.unwrap().status.success());
        let settings = [
            ("LANDFALL_DATABASE_URL", url.as_str()),
            ("LANDFALL_TITILER_URL", TITILER),
        ];
        Self {
            dev: Dev::start_with(&settings),
            api,
            database,
            series: make_series(),
        }
    }

    /// Submits a series and lets its files land, which are given; the Release that is then combined.
    fn land(&self, name: &str) -> (String, Vec<PathBuf>) {
        let files = files_of(&self.series.path().join(name));
        self.dev.submit(name, files.len());
        let landed = self.dev.land_all(&files, name);
        let status = format!("/api/platform/status?dataset_id={name}&resource_id=test");
        let release = self.dev.wait_for("a combined series", || {
            let status = self.dev.json(&status);
            let is_done = status["job_status"] == "completed";
            is_done.then(|| status["release"]["release_id"].as_str().unwrap().to_owned())
        });
        (release, landed)
    }

    fn decide(&self, decision: &str, body: &Value) -> Value {
        let (status, answer) = self.dev.post(&format!("/api/platform/{decision}"), body);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    fn approve(&self, release: &str, version: &str) {
        self.decide(
            "approve",
            &json!({
                "release_id": release, "reviewer": "reviewer@example", "clearance_state": "public",
                "version_id": version,
            }),
        );
    }
}

#[test]
fn a_series_is_found_and_opened_while_it_is_approved() {
    let stage = Stage::new();
    let (release, landed) = stage.land("global");
    assert_eq!(
        stage.api.find(&stage.dev, "global"),
        json!({"items": [], "extent": null})
    );
    stage.approve(&release, "v1");

    let found = stage.api.find(&stage.dev, "global");
    let item = &found["items"][0];
    assert_eq!(item["id"], "global-test-v1");
    assert_eq!(item["properties"]["ddh:release_id"], release.as_str());
    assert_eq!(item["properties"]["cube:dimensions"]["time"]["step"], "P1D");
    assert_eq!(
        found["extent"],
        json!({
            "spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]},
            "temporal": {"interval": [["2000-01-01T00:00:00Z", "2000-01-12T00:00:00Z"]]},
        })
    );
    let rels = |item: &Value| -> Vec<String> {
        let links = item["links"].as_array().unwrap().iter();
        links
            .map(|link| link["rel"].as_str().unwrap().to_owned())
            .collect()
    };
    for rel in ["tiles", "tilejson", "info", "point", "viewer", "store"] {
        assert!(
            rels(item).iter().any(|found| found == rel),
            "no {rel} in {item}"
        );
    }
    let store = item["assets"]["zarr-store"]["href"].as_str().unwrap();
    read_with_xarray("served", store, &landed);

    assert_picture(&stage.dev, item, &landed);

    let revocation =
        json!({"release_id": release, "reviewer": "reviewer@example", "reason": "a test"});
    stage.decide("revoke", &revocation);
    assert_eq!(
        stage.api.find(&stage.dev, "global"),
        json!({"items": [], "extent": null})
    );
    let chunk = format!("/api/zarr/{release}/r1/tas/0.0.0");
    assert_eq!(stage.dev.get(&chunk).0, 410);
}

/// Its thumbnail shows the first step of what it lists first.
fn assert_picture(dev: &Dev, item: &Value, landed: &[PathBuf]) {
    let href = item["assets"]["thumbnail"]["href"].as_str().unwrap();
    let (status, picture) = dev.get(&href.replace(&dev.url(""), ""));
    assert_eq!(status, 200);
    let file = dev.root.path().join("picture.png");
    std::fs::write(&file, picture).unwrap();
    let range = &item["properties"]["landfall:quicklook"]["range"];
    let output = Command::new(python())
        .arg(repository().join("tests/support/check_picture.py"))
        .args([&file, &landed[0]])
        .args(["tas", &range[0].to_string(), &range[1].to_string()])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}

#[test]
fn what_is_published_is_valid_and_read_page_by_page() {
    let stage = Stage::new();
    for name in ["global", "thirty", "nowhere"] {
        let (release, _) = stage.land(name);
        stage.approve(&release, "v1");
    }
    let dev = &stage.dev;
    let landing = dev.json("/api/stac");
    assert_eq!(landing.get("landfall:catalogue"), None);
    let mut documents = Vec::new();
    let mut next = Some(String::from("/api/stac/collections?limit=2"));
    while let Some(path) = next {
        let page = dev.json(&path);
        for found in page["collections"].as_array().unwrap() {
            let id = found["id"].as_str().unwrap().to_owned();
            assert_eq!(&dev.json(&format!("/api/stac/collections/{id}")), found);
            let items = dev.json(&format!("/api/stac/collections/{id}/items"));
            assert_eq!(items["numberReturned"], 1, "{items}");
            let item = &items["features"][0];
            let own = format!("/api/stac/collections/{id}/items/{id}-test-v1");
            assert_eq!(&dev.json(&own), item);
            documents.push((id.clone(), found.clone()));
            documents.push((format!("{id}-item"), item.clone()));
        }
        let links = page["links"].as_array().unwrap();
        let link = links.iter().find(|link| link["rel"] == "next");
        next = link.map(|link| link["href"].as_str().unwrap().replace(&dev.url(""), ""));
    }
    let ids: Vec<_> = documents.iter().map(|(id, _)| id.as_str()).collect();
    let expected = [
        "global",
        "global-item",
        "nowhere",
        "nowhere-item",
        "thirty",
        "thirty-item",
    ];
    assert_eq!(ids, expected);
    assert_valid(&documents);
    assert_eq!(documents[3].1["geometry"], Value::Null);
    assert_eq!(
        documents[5].1["properties"]["end_datetime"],
        "2000-02-29T00:00:00Z"
    );
    let (status, missing) = dev.get("/api/stac/collections/global/items/none");
    assert_eq!(status, 404);
    let missing: Value = serde_json::from_slice(&missing).unwrap();
    assert_eq!(missing["code"], "NotFound");
}

/// Items of others in a collection of ours: in Europe in 1990, and in the Pacific in 2000 and 2010.
const OTHERS: &str = r#"
SET search_path TO pgstac, public;
SELECT create_item(jsonb_build_object('type', 'Feature', 'stac_version', '1.1.0', 'collection', 'global', 'id', id,
    'geometry', place::jsonb, 'bbox', jsonb_build_array(west, 45, west, 45), 'links', '[]'::jsonb, 'assets', '{}'::jsonb,
    'properties', jsonb_build_object('datetime', at)))
FROM (VALUES ('europe-1990', 5, '{"type": "Point", "coordinates": [5, 45]}', '1990-06-01T00:00:00Z'),
    ('pacific-2000', -170, '{"type": "Point", "coordinates": [-170, 45]}', '2000-06-01T00:00:00Z'),
    ('pacific-2010', -170, '{"type": "Point", "coordinates": [-170, 45]}', '2010-06-01T00:00:00Z'))
    AS other (id, west, place, at)"#;

/// Our own routes serve an unmodified client as STAC API Features promises it.
#[test]
fn a_client_walks_through_the_items_of_our_own_routes() {
    let stage = Stage::new();
    let (release, _) = stage.land("global");
    stage.approve(&release, "v1");
    cluster().sql(&stage.database, OTHERS);
    let output = Command::new(stac_python())
        .arg(repository().join("tests/support/walk_items.py"))
        .args([&stage.dev.url("/api/stac"), "global"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (ours, all) = (
        "global-test-v1",
        [
            "europe-1990",
            "global-test-v1",
            "pacific-2000",
            "pacific-2010",
        ],
    );
    let expected = json!({
        "all": all, "place": ["europe-1990", ours], "time": [ours, "pacific-2000"],
        "since": [ours, "pacific-2000", "pacific-2010"], "both": [ours], "refused": 400,
    });
    assert_eq!(found, expected);
}
