//! `landfall inventory`: the series of a folder, here or in a storage account, or as a running app sees them.

use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use serde_json::{Value, json};

use super::failure::Failure;
use super::server::{Server, ServerArguments};
use crate::config::NamingConfig;
use crate::inventory::{Scan, Wanted};
use crate::stores::blobs::{BlobError, BlobPath, Blobs, LocalBlobs, Named, NamedSources};

/// How often the app is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A folder of this machine, or of a storage account (`abfs://bronze/era5/`); with --server as the app knows it.
    source: String,
    /// Leave out the folders below.
    #[arg(long)]
    flat: bool,
    /// Shell pattern on the names of files.
    #[arg(long, default_value = "*")]
    file_pattern: String,
    /// Submit every series to the running app.
    #[arg(long)]
    submit: bool,
    #[command(flatten)]
    server: ServerArguments,
    /// Print the inventory as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Scans and prints.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let document = match arguments.submit || arguments.server.server.is_some() {
        true => ask(&arguments).await?,
        false => scan(&arguments).await?,
    };
    match arguments.json {
        true => println!("{document}"),
        false => print(&document),
    }
    match document["state"].as_str() {
        None | Some("completed") => Ok(()),
        Some(state) => {
            let why = document["error"].as_str().unwrap_or_default();
            let error = std::io::Error::other(format!("the inventory is {state}: {why}"));
            Err(Failure::failed("inventory_failed", &error))
        }
    }
}

/// Has the app scan, and tells how far it is.
async fn ask(arguments: &Arguments) -> Result<Value, Failure> {
    let server = Server::new(&arguments.server)?;
    let body = json!({
        "source_url": arguments.source, "recursive": !arguments.flat,
        "file_pattern": arguments.file_pattern, "submit": arguments.submit,
    });
    let mut document = server.post("/api/inventory", &body).await?;
    let id = document["inventory_id"].as_str().unwrap_or_default();
    let path = format!("/api/inventory/{id}");
    let bar = indicatif::ProgressBar::new_spinner();
    loop {
        document = server.get(&path).await?;
        let state = document["state"].as_str().unwrap_or_default();
        if !matches!(state, "running" | "submitting") {
            break;
        }
        bar.set_message(format!("{state}: {} files", document["progress"]["files"]));
        bar.tick();
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bar.finish_and_clear();
    Ok(document)
}

/// Scans from here; nothing is read but names and sizes.
async fn scan(arguments: &Arguments) -> Result<Value, Failure> {
    let file_pattern = glob::Pattern::new(&arguments.file_pattern)
        .map_err(|error| Failure::rejected("pattern", format!("--file-pattern: {error}")))?;
    let config = NamingConfig::from_env()
        .map_err(|error| Failure::rejected("configuration", format!("{error:#}")))?;
    let sources = NamedSources::new(config.clone());
    let named = Named::parse(Path::new(&arguments.source), &config)
        .map_err(|error| Failure::rejected("source", error.to_string()))?;
    let failed = |error: BlobError| Failure::failed("scan_failed", &error);
    let (blobs, prefix): (std::sync::Arc<dyn Blobs>, BlobPath) = match named {
        Named::Blob(path) => (sources.blobs(&path).map_err(failed)?, path),
        Named::File(folder) if folder.is_dir() => {
            let blobs = LocalBlobs::new(folder.clone(), folder);
            (
                std::sync::Arc::new(blobs),
                BlobPath::new("local", "bronze", ""),
            )
        }
        other => return Err(Failure::rejected("source", format!("{other} is no folder"))),
    };
    let mut scan = Scan::new(Wanted {
        prefix: prefix.clone(),
        recursive: !arguments.flat,
        file_pattern,
    });
    let bar = indicatif::ProgressBar::new_spinner();
    let mut pages = blobs.list_pages(&prefix);
    while let Some(page) = pages.try_next().await.map_err(failed)? {
        page.iter().for_each(|info| scan.add(info));
        bar.set_message(format!("{} files", scan.progress().files));
        bar.tick();
    }
    bar.finish_and_clear();
    Ok(json!(scan.finish()))
}

fn print(document: &Value) {
    let progress = &document["progress"];
    println!(
        "{} files in {} series, {} bytes; {} other blobs",
        progress["files"], progress["series"], progress["total_bytes"], progress["others"]
    );
    for series in document["groups"].as_array().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let submission = &series["submission"];
        let dates = series["dates"].as_array();
        let dates = dates.map(|dates| format!(", {} … {}", text(&dates[0]), text(&dates[1])));
        println!(
            "  {}/{}: {} files, {} bytes{}{}",
            text(&submission["dataset_id"]),
            text(&submission["resource_id"]),
            series["files"],
            series["total_bytes"],
            dates.unwrap_or_default(),
            outcome(&series["submitted"]),
        );
    }
}

/// What became of the submission of a series.
fn outcome(submitted: &Value) -> String {
    match (submitted["accepted"].as_bool(), submitted["error"].as_str()) {
        (Some(true), _) => format!("; job {}", submitted["job_id"].as_str().unwrap_or_default()),
        (Some(false), Some(error)) => format!("; refused: {error}"),
        _ => String::new(),
    }
}
