//! An app with one published Release: `v`, six bytes in chunks of two, over two files; and `x`, inlined.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use virtualize::dataset::{Attributes, Format, Layout};
use virtualize::zarr::DataType;
use virtualize::{
    ByteRange, ChunkManifest, Source, SourceId, VirtualArray, VirtualDataset, VirtualGroup, zarr,
};
use warp::http::Response;

use super::openapi;
use super::watched::Watched;
use crate::config::{
    BlobsConfig, Config, DatabaseConfig, DeadLettersConfig, HttpConfig, PipelineConfig,
    QueuesConfig, StorageConfig,
};
use crate::http::{App, routes};
use crate::pipeline::Pipeline;
use crate::stores::blobs::{BlobPath, Blobs, LocalBlobs, PutCondition};
use crate::stores::ledger::{
    Claimed, Declaration, Declared, Expected, Extras, FileOutcome, Landing, Lease, Ledger, Origin,
    ProcessingOptions, PublishedCombine, Recorded, SqliteLedger,
};
use crate::stores::queue::EmbeddedQueue;
use crate::{group, reference};

const BLOB_PATH: &str = "refs/combined/numbers/all/ord1/r1/combined.json";

pub(super) struct Stage {
    folder: tempfile::TempDir,
    app: Arc<App>,
    /// What is asked of the blobs.
    pub(super) watched: Arc<Watched>,
    pub(super) release_id: String,
    pub(super) job_id: String,
    pub(super) asset_id: String,
    pub(super) request_id: String,
}

impl Stage {
    /// Open to everybody, as `dev` is.
    pub(super) async fn published() -> Self {
        Self::new(true).await
    }

    /// Open to nobody without permission.
    pub(super) async fn closed() -> Self {
        Self::new(false).await
    }

    async fn new(open_access: bool) -> Self {
        Self::with(|config| config.http.open_access = open_access).await
    }

    /// With other settings; open to nobody unless they say so.
    pub(super) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bronze = folder.path().join("bronze");
        std::fs::create_dir(&bronze).unwrap();
        std::fs::write(bronze.join("a.nc"), b"____ab__").unwrap();
        std::fs::write(bronze.join("b.nc"), b"__yz").unwrap();
        let mut config = config(&folder, false);
        change(&mut config);
        let blobs = local_blobs(&config);
        let watched = Arc::new(Watched::new(blobs));
        let blobs: Arc<dyn Blobs> = Arc::<Watched>::clone(&watched);
        let ledger = embedded(&config);
        let app = Arc::new(app_over(config, blobs, ledger));
        let declared = publish(&app).await;
        let Declared {
            group,
            asset_id,
            request_id,
            ..
        } = declared;
        Self {
            folder,
            app,
            watched,
            release_id: group.release_id,
            job_id: group.job_id,
            asset_id,
            request_id,
        }
    }

    pub(super) fn bronze(&self) -> PathBuf {
        self.folder.path().join("bronze")
    }

    /// The app itself.
    pub(super) fn app(&self) -> Arc<App> {
        Arc::clone(&self.app)
    }

    /// Changes rows of the ledger as no method of it does.
    pub(super) fn alter(&self, sql: &str) {
        let path = self.folder.path().join("landfall.db");
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// Puts the Release into a state.
    pub(super) fn decide(&self, approval: &str, clearance: &str) {
        self.alter(&format!(
            "UPDATE app_asset_releases SET approval_state = '{approval}', clearance_state = '{clearance}'"
        ));
    }

    /// The stored document.
    pub(super) fn document(&self) -> PathBuf {
        self.folder.path().join("silver").join(BLOB_PATH)
    }

    /// The path of a key of the published revision.
    pub(super) fn path(&self, key: &str) -> String {
        format!("/api/zarr/{}/r1/{key}", self.release_id)
    }

    pub(super) async fn zarr(&self, key: &str) -> Response<Bytes> {
        self.request("GET", key, &[]).await
    }

    pub(super) async fn request(
        &self,
        method: &str,
        key: &str,
        headers: &[(&str, &str)],
    ) -> Response<Bytes> {
        self.send(method, &self.path(key), headers, "").await
    }

    pub(super) async fn get(&self, path: &str) -> Response<Bytes> {
        self.send("GET", path, &[], "").await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Response<Bytes> {
        self.send("POST", path, &[], &body.to_string()).await
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Bytes> {
        let mut request = warp::test::request().method(method).path(path).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.reply(&routes(Arc::clone(&self.app))).await;
        openapi::check(method, path, &answer);
        answer
    }

    /// Takes the tables of the ledger away.
    pub(super) fn break_ledger(&self) {
        let database = self.app.config.storage.embedded_database().unwrap();
        let database = rusqlite::Connection::open(database).unwrap();
        let tables =
            "PRAGMA foreign_keys = OFF; DROP TABLE app_asset_releases; DROP TABLE app_jobs;
                      DROP TABLE landfall_source_group; DROP TABLE landfall_schema_version";
        database.execute_batch(tables).unwrap();
    }
}

pub(super) fn config(folder: &tempfile::TempDir, open_access: bool) -> Config {
    Config {
        storage: StorageConfig {
            blobs: BlobsConfig::Folders {
                bronze: folder.path().join("bronze"),
                silver: folder.path().join("silver"),
            },
            queues: QueuesConfig::Embedded,
            dead_letters: None,
            database: Some(folder.path().join("landfall.db")),
        },
        database: DatabaseConfig {
            url: None,
            by_identity: false,
            connections: 1,
            instances: None,
        },
        pipeline: PipelineConfig {
            auto_group: false,
            quiet_period: Duration::from_secs(600),
            settle_period: Duration::ZERO,
            lease: Duration::from_secs(60),
            stuck_after: Duration::from_secs(300),
            reconcile_every: Duration::from_secs(3600),
            files_in_flight: 2,
            memory: None,
            pause_at: None,
            pause_file: None,
        },
        http: HttpConfig {
            port: 0,
            public_url: String::from("http://127.0.0.1:7071"),
            open_access,
            stop_with_stdin: false,
            api_key: None,
            easy_auth: false,
            stores_bytes: 64 << 20,
            titiler_url: None,
            https_hosts: Vec::new(),
            cors_origin: None,
        },
    }
}

pub(super) fn local_blobs(config: &Config) -> Arc<dyn Blobs> {
    let BlobsConfig::Folders { bronze, silver } = &config.storage.blobs else {
        panic!("the stage is of folders")
    };
    Arc::new(LocalBlobs::new(bronze, silver))
}

pub(super) fn app(config: Config) -> App {
    let (blobs, ledger) = (local_blobs(&config), embedded(&config));
    app_over(config, blobs, ledger)
}

fn embedded(config: &Config) -> Arc<dyn Ledger> {
    let database = config.storage.embedded_database().unwrap();
    Arc::new(SqliteLedger::open(database).unwrap())
}

/// An app over these stores, with a queue in a file of its own.
pub(super) fn app_over(config: Config, blobs: Arc<dyn Blobs>, ledger: Arc<dyn Ledger>) -> App {
    let storage = &config.storage;
    let BlobsConfig::Folders { bronze, .. } = &storage.blobs else {
        panic!("the stage is of folders")
    };
    let database = storage.embedded_database().unwrap();
    let queue = Arc::new(EmbeddedQueue::open(database).unwrap());
    let dead_letters = match &config.storage.dead_letters {
        Some(DeadLettersConfig::Folder(folder)) => {
            Some(Arc::new(LocalBlobs::new(bronze, folder)) as Arc<dyn Blobs>)
        }
        _ => None,
    };
    let pipeline = Pipeline::new(
        config.clone(),
        Arc::clone(&blobs),
        Arc::clone(&ledger),
        queue,
    )
    .with_dead_letters(dead_letters);
    let pipeline = Arc::new(pipeline);
    App::new(config, blobs, ledger, pipeline)
}

/// Takes two files through the ledger to a published Release.
async fn publish(app: &App) -> Declared {
    let now = Timestamp::UNIX_EPOCH;
    let declared = app.ledger.declare_group(&declaration(now)).await.unwrap();
    let mut sources = Vec::new();
    for name in ["a.nc", "b.nc"] {
        let info = app
            .blobs
            .head(&BlobPath::new("local", "bronze", name))
            .await
            .unwrap();
        let landing = Landing {
            path: info.path.clone(),
            etag: info.etag.clone(),
            size: info.length,
            sequencer: None,
            at: now,
        };
        let Recorded::New(file) = app.ledger.record_landed(&landing).await.unwrap() else {
            panic!("{name} is new")
        };
        let reference_path = reference::reference_name(&info.path);
        let outcome = FileOutcome::Referenced {
            reference_path,
            findings: Vec::new(),
            span: None,
        };
        assert!(
            app.ledger
                .record_outcome(file.id, &info.etag, &outcome)
                .await
                .unwrap()
        );
        app.ledger
            .add_member(&declared.group.id, file.id, false)
            .await
            .unwrap();
        let url = app.blobs.reference_url(&info.path);
        sources.push(Source {
            url,
            etag: Some(info.etag),
            length: info.length,
            last_modified: None,
        });
    }
    let document = reference::render(&dataset(sources)).unwrap();
    let at = BlobPath::new("local", "silver", BLOB_PATH);
    app.blobs
        .put(&at, document, PutCondition::IfAbsent)
        .await
        .unwrap();
    let settled = app
        .ledger
        .settle(&declared.group.id, group::JUDGE, now)
        .await
        .unwrap();
    let lease = Lease {
        runner: String::from("test"),
        now,
        until: Timestamp::MAX,
    };
    let claimed = app
        .ledger
        .claim(&declared.group.id, settled.group.generation, &lease)
        .await
        .unwrap();
    let Claimed::Ours(claim) = claimed else {
        panic!("the group is due: {claimed:?}")
    };
    assert!(app.ledger.publish(&claim, &published(now)).await.unwrap());
    declared
}

fn declaration(at: Timestamp) -> Declaration {
    let expected = Some(Expected::Count(2));
    Declaration {
        origin: Origin::Submit,
        platform_id: String::from("ddh"),
        dataset_id: String::from("numbers"),
        resource_id: String::from("all"),
        version_id: None,
        title: None,
        description: None,
        prefix: BlobPath::new("local", "bronze", ""),
        stem: String::new(),
        extras: Extras::default(),
        options: ProcessingOptions {
            expected,
            ..ProcessingOptions::default()
        },
        at,
    }
}

fn published(at: Timestamp) -> PublishedCombine {
    PublishedCombine {
        blob_path: String::from(BLOB_PATH),
        stac_item: json!({"id": "numbers-all-ord1"}),
        stac_item_id: String::from("numbers-all-ord1"),
        stac_collection_id: String::from("numbers"),
        result: json!({"source_files": 2}),
        findings: Vec::new(),
        at,
    }
}

fn dataset(sources: Vec<Source>) -> VirtualDataset {
    let attributes =
        |name: &str, text: &str| Attributes::from_iter([(name.to_owned(), json!(text))]);
    let mut chunks = ChunkManifest::new();
    chunks.push(0, SourceId(0), ByteRange::new(4, 2));
    chunks.push(1, SourceId(1), ByteRange::new(2, 2));
    let v = VirtualArray {
        shape: vec![6],
        chunk_shape: vec![2],
        data_type: DataType::from_json(&json!("|u1")).unwrap(),
        fill_value: Some(vec![255]),
        codecs: Vec::<zarr::Codec>::new(),
        dimension_names: vec![String::from("x")],
        attributes: attributes("units", "1"),
        chunks,
        layout: Layout::Chunked,
    };
    let x = VirtualArray {
        chunk_shape: vec![6],
        chunks: ChunkManifest::inlined(Bytes::from_static(&[0, 1, 2, 3, 4, 5])),
        ..v.clone()
    };
    let arrays = [(String::from("v"), v), (String::from("x"), x)].into();
    let root = VirtualGroup {
        attributes: attributes("title", "numbers"),
        arrays,
        ..VirtualGroup::default()
    };
    VirtualDataset {
        sources,
        ..VirtualDataset::new(Format::Netcdf4, root, 0)
    }
}
