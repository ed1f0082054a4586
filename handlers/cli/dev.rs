//! `landfall dev [ROOT]`: the whole function app on one machine, over folders and one SQLite file.
//!
//! Not a shortcut: the local host reads `host.json` and the function folders, starts `landfall serve` as its child
//! as the Functions host does, and posts events, messages and ticks to it. What runs in Azure runs here.

mod faults;
mod queue;
mod sources;
mod staging;
mod terminal;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use local_host::{
    DeadLetters, EventGridOptions, Handler, Host, HostConfig, HostEvent, HostOptions, SpawnOptions,
};
use tokio::sync::mpsc;

use super::failure::Failure;
use super::ledger;
use super::serve::TlsArguments;
use crate::config::{DatabaseConfig, parse_duration};
use crate::http::tls;

use queue::HostQueue;
use terminal::Terminal;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder that holds bronze, silver and the catalogue; made if it is not there.
    #[arg(default_value = "landfall-data")]
    root: PathBuf,
    /// An existing folder of data to watch in place of ROOT/bronze; it is only read.
    #[arg(long)]
    bronze: Option<PathBuf>,
    /// Port of 127.0.0.1 to answer on.
    #[arg(long, default_value_t = 7071)]
    port: u16,
    /// How long nothing must land before an undeclared series counts as complete (ISO 8601).
    #[arg(long, default_value = "PT5S")]
    quiet_period: String,
    /// PostgreSQL database for the catalogue in place of the embedded one, up to date by `landfall migrate`;
    /// `LANDFALL_DATABASE_URL` by default.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// A function app as it is deployed (`just stage`) to run in place of this program: its host.json, its functions,
    /// its binary.
    #[arg(long, value_name = "FOLDER")]
    app: Option<PathBuf>,
    /// How often a container of sources is listed to announce what landed, where `LANDFALL_BRONZE_ACCOUNT` says that
    /// blobs are in Azure or an emulator of it (ISO 8601).
    #[arg(long, value_name = "DURATION", default_value = "PT1S", value_parser = parse_duration)]
    list_every: Duration,
    #[command(flatten)]
    tls: TlsArguments,
    #[command(flatten)]
    faults: faults::FaultArguments,
    /// Print the handler's JSON log lines instead of a story for people.
    #[arg(long)]
    json: bool,
}

/// Runs until ctrl-C.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    dev(arguments).await.map_err(|error| {
        let message = format!("{error:#}");
        Failure::failed("dev_failed", &std::io::Error::other(message))
    })
}

async fn dev(arguments: Arguments) -> anyhow::Result<()> {
    let outside = Outside::open(&arguments).await?;
    let layout = Layout::make(&arguments)?;
    let (events, received) = mpsc::unbounded_channel();
    let settings = layout.settings(&arguments);
    let config = DatabaseConfig::read(|name| settings.get(name).cloned())?;
    let catalogue = match config.url {
        Some(_) => String::from("in PostgreSQL"),
        None => layout.database.display().to_string(),
    };
    let ledger = ledger::open(&config, Some(&layout.database)).context("opening the catalogue")?;
    ledger
        .check_schema()
        .await
        .context("the catalogue cannot be used: has `landfall migrate` been run?")?;
    let config = HostConfig::load(&layout.app, settings).context("reading the function app")?;
    let queue = super::stores::host_queue(&layout.database)
        .await
        .context("opening the queues")?;
    let sources = sources::start(
        &layout.bronze,
        &layout.silver,
        arguments.list_every,
        ledger.as_ref(),
    )
    .await?;
    let options = HostOptions {
        handler: Handler::Spawn(SpawnOptions {
            executable: layout.executable()?,
            crash_limit: !arguments.faults.no_crash_limit,
        }),
        http: Some(outside.inner()),
        queues: Some(Arc::new(HostQueue::new(queue))),
        queue_retry_delay: Some(Duration::from_secs(2)),
        // Nobody at a terminal waits ten seconds for the first retry.
        event_grid: EventGridOptions {
            time_scale: 0.1,
            dead_letters: DeadLetters::Folder(layout.dead_letters.clone()),
            chaos: arguments.faults.chaos(),
            ..EventGridOptions::default()
        },
        event_sources: sources.watches,
        events: Some(events),
        ..HostOptions::default()
    };
    let host = Host::start(config, options)
        .await
        .context("starting the host")?;
    let port = host.port().unwrap_or(arguments.port);
    let terminal = Terminal::new(arguments.json);
    let address = outside.address(port);
    terminal.greet(&sources.bronze, &sources.silver, &catalogue, &address);
    let gave_up = tokio::select! {
        gave_up = tell(terminal, received, told_to_stop()) => gave_up,
        () = outside.forward(port) => None,
    };
    host.stop().await;
    gave_up.map_or(Ok(()), |reason| {
        Err(anyhow::anyhow!(
            "the handler cannot be kept running: {reason}"
        ))
    })
}

/// Where people reach the host: itself, or a port that speaks https and passes on to it.
enum Outside {
    Itself(SocketAddr),
    Https(tokio::net::TcpListener, tokio_rustls::TlsAcceptor),
}

impl Outside {
    async fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
        let acceptor = arguments
            .tls
            .acceptor(tls::HTTP_1)
            .context("--tls-cert, --tls-key")?;
        let Some(acceptor) = acceptor else {
            return Ok(Self::Itself(address));
        };
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("listening on {address}"))?;
        Ok(Self::Https(listener, acceptor))
    }

    /// Where the host listens.
    fn inner(&self) -> SocketAddr {
        match self {
            Self::Itself(address) => *address,
            Self::Https(..) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        }
    }

    /// The address for people, where the host has this port.
    fn address(&self, port: u16) -> String {
        let https = match self {
            Self::Itself(_) => None,
            Self::Https(listener, _) => listener.local_addr().ok(),
        };
        https.map_or_else(
            || format!("http://127.0.0.1:{port}"),
            |address| format!("https://{address}"),
        )
    }

    /// Passes on for as long as it is awaited.
    async fn forward(self, port: u16) {
        match self {
            Self::Itself(_) => std::future::pending().await,
            Self::Https(listener, acceptor) => {
                let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                tls::forward(listener, acceptor, to).await;
            }
        }
    }
}

/// Renders what happens until somebody ends it; the reason if the handler is given up.
async fn tell(
    mut terminal: Terminal,
    mut events: mpsc::UnboundedReceiver<HostEvent>,
    stop: impl Future<Output = ()>,
) -> Option<String> {
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return None,
            event = events.recv() => match event? {
                HostEvent::HandlerGaveUp { reason } => return Some(reason),
                event => terminal.tell(&event),
            },
        }
    }
}

/// Completes on ctrl-C and on SIGTERM.
async fn told_to_stop() {
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    match terminate {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

/// Where everything of a root is.
#[derive(Debug)]
struct Layout {
    bronze: PathBuf,
    silver: PathBuf,
    database: PathBuf,
    app: PathBuf,
    /// Whether `app` was laid out by this program, which then is the handler too.
    is_built_in: bool,
    dead_letters: PathBuf,
}

impl Layout {
    fn make(arguments: &Arguments) -> anyhow::Result<Self> {
        let root = std::path::absolute(&arguments.root)?;
        let bronze = match &arguments.bronze {
            Some(folder) => folder
                .canonicalize()
                .with_context(|| format!("--bronze {}", folder.display()))?,
            None => root.join("bronze"),
        };
        let silver = root.join("silver");
        let app = match &arguments.app {
            Some(folder) => folder
                .canonicalize()
                .with_context(|| format!("--app {}", folder.display()))?,
            None => root.join(".landfall").join("app"),
        };
        let dead_letters = root.join(".landfall").join("dead-letters");
        for folder in [&root, &silver, &app, &dead_letters] {
            make_folder(folder)?;
        }
        if arguments.bronze.is_none() {
            make_folder(&bronze)?;
        }
        if arguments.app.is_none() {
            staging::lay_out(&app)?;
        }
        Ok(Self {
            bronze,
            silver,
            database: root.join("landfall.db"),
            app,
            is_built_in: arguments.app.is_none(),
            dead_letters,
        })
    }

    /// The handler's program in place of the one that `host.json` names.
    fn executable(&self) -> anyhow::Result<Option<PathBuf>> {
        let program = self.is_built_in.then(std::env::current_exe);
        Ok(program.transpose()?)
    }

    /// The handler's settings. What the caller's environment says about `LANDFALL_*` wins, so that tests and the
    /// curious can change it.
    fn settings(&self, arguments: &Arguments) -> BTreeMap<String, String> {
        let text = |path: &Path| path.display().to_string();
        let defaults = [
            ("LANDFALL_BRONZE_DIR", text(&self.bronze)),
            ("LANDFALL_SILVER_DIR", text(&self.silver)),
            ("LANDFALL_DATABASE", text(&self.database)),
            (
                "LANDFALL_PUBLIC_URL",
                format!("{}://127.0.0.1:{}", arguments.tls.scheme(), arguments.port),
            ),
            ("LANDFALL_OPEN_ACCESS", String::from("true")),
            ("LANDFALL_STOP_WITH_STDIN", String::from("true")),
            ("LANDFALL_AUTO_GROUP", String::from("true")),
            ("LANDFALL_QUIET_PERIOD", arguments.quiet_period.clone()),
            ("LANDFALL_SETTLE_PERIOD", String::from("PT30S")),
            ("LANDFALL_LEASE", String::from("PT6S")),
            ("LANDFALL_STUCK_AFTER", String::from("PT20S")),
            ("LANDFALL_SWEEP_SCHEDULE", String::from("*/10 * * * * *")),
        ];
        let mut settings: BTreeMap<String, String> = defaults
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        settings.extend(std::env::vars().filter(|(name, _)| name.starts_with("LANDFALL_")));
        // Where blobs are in Azure, dead letters are in a container.
        let account = settings.get("LANDFALL_BRONZE_ACCOUNT");
        if account.is_none_or(String::is_empty) {
            let dead_letters = || text(&self.dead_letters);
            settings
                .entry(String::from("LANDFALL_DEAD_LETTERS"))
                .or_insert_with(dead_letters);
        }
        if let Some(url) = &arguments.database_url {
            settings.insert(String::from("LANDFALL_DATABASE_URL"), url.clone());
        }
        settings
    }
}

fn make_folder(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))
}
