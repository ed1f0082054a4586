//! The function app as it is deployed, on stand-ins for what it is deployed on: laid out by the recipe's own script and
//! run by the local host, blobs and queues in Azurite (OAuth, https), the ledger in PostgreSQL.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::azurite::{Azurite, BRONZE, SILVER};
use super::postgres::Cluster;
use super::proxy::Proxy;
use super::wire::Wire;
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
        self.settings
            .retain(|(name, _)| !name.ends_with("_ENDPOINT"));
        self.settings
            .push(("LANDFALL_BLOB_ENDPOINT", endpoint(blobs)));
        self.settings
            .push(("LANDFALL_QUEUE_ENDPOINT", endpoint(queues)));
        self
    }

    /// With a proxy between the app and its database.
    #[must_use]
    pub(crate) fn over(mut self, wire: &Wire) -> Self {
        for (name, value) in &mut self.settings {
            if *name == "LANDFALL_DATABASE_URL" {
                *value = wire.url(value);
            }
        }
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
        given.extend(
            self.settings
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        given.extend(settings);
        Dev::start_as(tempfile::tempdir().unwrap(), &all, &given)
    }
}

impl Site {
    /// Runs SQL on the ledger and gives what psql prints.
    pub(crate) fn sql(&self, cluster: &Cluster, sql: &str) -> String {
        cluster.sql(&self.database, sql)
    }

    /// Waits until the ledger knows what lies in the container of sources, and no file or series has had anything left
    /// to do for some seconds.
    pub(crate) fn wait_for_rest(&self, azurite: &Azurite, cluster: &Cluster, limit: Duration) {
        let calm = Cell::new(None::<Instant>);
        wait_until(limit, || {
            let busy = self.unrest(azurite, cluster);
            if !busy.is_empty() {
                calm.set(None);
                return Err(busy);
            }
            let since = calm.get().unwrap_or_else(Instant::now);
            calm.set(Some(since));
            match since.elapsed() > CALM {
                true => Ok(()),
                false => Err(String::from("it has not been at rest for long")),
            }
        });
    }

    /// What is still to be done, a line each.
    fn unrest(&self, azurite: &Azurite, cluster: &Cluster) -> String {
        let busy = self.sql(cluster, BUSY);
        let known = self.sql(cluster, KNOWN);
        let there = block_on(azurite.list(BRONZE, &self.bronze));
        let there: BTreeSet<String> = there
            .iter()
            .map(|(name, etag)| format!("{name} {etag}"))
            .collect();
        let known: BTreeSet<String> = known.lines().map(String::from).collect();
        let missed = there.symmetric_difference(&known);
        let missed = missed.map(|line| format!("not in both, bronze and the ledger: {line}"));
        let lines = busy.lines().map(String::from).chain(missed);
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// How long nothing must happen for things to be at rest.
const CALM: Duration = Duration::from_secs(3);

/// Files and series that somebody still has to do something about.
const BUSY: &str = "
    SELECT blob || ' is ' || state FROM landfall.source_file WHERE state IN ('landed', 'reading', 'failed')
    UNION ALL SELECT prefix || ' is ' || state || coalesce(' ' || fault::text, '') FROM landfall.source_group
        WHERE state IN ('collecting', 'due', 'combining', 'stale', 'failed')";

/// Files with the versions that the ledger has of them.
const KNOWN: &str = "SELECT blob || ' ' || etag FROM landfall.source_file WHERE state <> 'gone'";

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
