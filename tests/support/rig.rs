//! The function app as it is deployed, on stand-ins for what it is deployed on: laid out by the recipe's own script and
//! run by the local host, blobs and queues in Azurite (OAuth, https), the ledger in PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::azurite::{Azurite, BRONZE, SILVER};
use super::postgres::Cluster;
use super::proxy::Proxy;
use super::{Dev, landfall, repository};

/// Lays out the function app in a folder, as `just stage` does.
pub(crate) fn stage(folder: &Path) {
    let script = repository().join("infra/stage.sh");
    let binary = landfall().get_program().to_owned();
    let staged = Command::new(script).arg(binary).arg(folder).status();
    assert!(staged.unwrap().success());
}

/// Where an app finds what it needs.
pub(crate) struct Site {
    /// The container of sources, in [`BRONZE`].
    pub(crate) bronze: String,
    /// The container that is written, in [`SILVER`].
    pub(crate) silver: String,
    /// The database of the ledger.
    pub(crate) database: String,
    settings: Vec<(&'static str, String)>,
    app: TempDir,
}

impl Site {
    /// Makes the containers, the queues in an account that nobody else uses them of, and a database, and stages the app.
    pub(crate) fn make(
        azurite: &Azurite,
        cluster: &Cluster,
        containers: (&str, &str),
        queues: &str,
    ) -> Self {
        let (bronze, silver) = containers;
        let app = tempfile::tempdir().unwrap();
        stage(&app.path().join("app"));
        let database = cluster.create(None);
        let url = cluster.url(&database);
        let migrated = landfall()
            .args(["migrate", "--database-url", &url])
            .output();
        assert!(migrated.unwrap().status.success());
        block_on(async {
            azurite.make_container(BRONZE, bronze).await;
            azurite.make_container(SILVER, silver).await;
            for queue in QUEUES {
                azurite.make_queue(queues, queue).await;
            }
        });
        let settings = vec![
            ("LANDFALL_BRONZE_ACCOUNT", BRONZE.to_owned()),
            ("LANDFALL_BRONZE_CONTAINER", bronze.to_owned()),
            ("LANDFALL_SILVER_ACCOUNT", SILVER.to_owned()),
            ("LANDFALL_SILVER_CONTAINER", silver.to_owned()),
            ("LANDFALL_QUEUE_ACCOUNT", queues.to_owned()),
            ("LANDFALL_BLOB_ENDPOINT", azurite.blob_endpoint()),
            ("LANDFALL_QUEUE_ENDPOINT", azurite.queue_endpoint()),
            ("LANDFALL_CREDENTIAL", String::from("token-file")),
            (
                "LANDFALL_TOKEN_FILE",
                azurite.token_file().display().to_string(),
            ),
            ("SSL_CERT_FILE", azurite.trust().display().to_string()),
            ("LANDFALL_DATABASE_URL", url),
        ];
        Self {
            bronze: bronze.to_owned(),
            silver: silver.to_owned(),
            database,
            settings,
            app,
        }
    }

    /// With proxies between the app and its blobs and queues.
    #[must_use]
    pub(crate) fn through(mut self, blobs: &Proxy, queues: &Proxy) -> Self {
        let endpoint = |proxy: &Proxy| format!("https://127.0.0.1:{}/{{account}}", proxy.port());
        self.settings.retain(|(name, _)| !name.ends_with("_ENDPOINT"));
        self.settings
            .push(("LANDFALL_BLOB_ENDPOINT", endpoint(blobs)));
        self.settings
            .push(("LANDFALL_QUEUE_ENDPOINT", endpoint(queues)));
        self
    }

    /// The settings of the app.
    pub(crate) fn settings(&self) -> &[(&'static str, String)] {
        &self.settings
    }

    /// The staged folder.
    pub(crate) fn app(&self) -> PathBuf {
        self.app.path().join("app")
    }

    /// Starts the staged app. It takes up what was lost within seconds.
    pub(crate) fn start(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Dev {
        let app = self.app().display().to_string();
        let mut all = vec!["--app", &app];
        all.extend(arguments);
        let mut given: Vec<(&str, &str)> = SOON.to_vec();
        given.extend(self.settings.iter().map(|(name, value)| (*name, value.as_str())));
        given.extend(settings);
        Dev::start_as(tempfile::tempdir().unwrap(), &all, &given)
    }
}

/// What makes Sweep do in seconds what it does in minutes.
const SOON: [(&str, &str); 5] = [
    ("LANDFALL_LEASE", "PT4S"),
    ("LANDFALL_STUCK_AFTER", "PT3S"),
    ("LANDFALL_RECONCILE_EVERY", "PT3S"),
    ("LANDFALL_SWEEP_SCHEDULE", "*/2 * * * * *"),
    ("LANDFALL_SETTLE_PERIOD", "PT0S"),
];

/// The queues of the app.
pub(crate) const QUEUES: [&str; 4] = [
    "reference-due",
    "combine-due",
    "reference-due-poison",
    "combine-due-poison",
];

/// Runs what is asked of the emulator.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(work)
}

/// Waits until `check` is content; fails with what it last said against it.
pub(crate) fn wait_until(limit: Duration, check: impl Fn() -> Result<(), String>) {
    let start = Instant::now();
    while let Err(said) = check() {
        assert!(start.elapsed() < limit, "{said}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
