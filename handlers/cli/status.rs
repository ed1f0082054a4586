//! `landfall status`: how far a series is, as a running app tells it. SPEC §8, §12.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::failure::Failure;
use super::server::{Server, ServerArguments};

/// How often the app is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Files at fault and findings that people are told one by one.
const MOST: usize = 20;

/// Arguments of the command. Exit code 3: the series is blocked by its input; 1: it failed for another reason.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id of the request, job, Release or Asset; or `DATASET/RESOURCE`.
    #[arg(required_unless_present = "dataset_id", conflicts_with = "dataset_id")]
    id: Option<String>,
    /// Dataset of the Asset, in place of an id.
    #[arg(long, value_name = "ID", requires = "resource_id")]
    dataset_id: Option<String>,
    /// Resource of the Asset.
    #[arg(long, value_name = "ID", requires = "dataset_id")]
    resource_id: Option<String>,
    /// Tell the tasks of its job as well.
    #[arg(long, conflicts_with = "wait")]
    verbose: bool,
    /// Wait until the series is combined, or is known not to be.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    server: ServerArguments,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Asks, and tells what the app said.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let server = Server::new(&arguments.server)?;
    let mut path = match (&arguments.id, &arguments.dataset_id) {
        (Some(id), _) => path_of(id),
        (None, dataset) => path_of_asset(
            dataset.as_deref().unwrap_or_default(),
            arguments.resource_id.as_deref().unwrap_or_default(),
        ),
    };
    if arguments.wait {
        return follow(&server, &path, arguments.json).await;
    }
    if arguments.verbose {
        path.push_str(if path.contains('?') { "&" } else { "?" });
        path.push_str("detail=full");
    }
    end(&server.get(&path).await?, arguments.json)
}

/// The address of the status of an id, or of `DATASET/RESOURCE`.
pub(super) fn path_of(id: &str) -> String {
    match id.split_once('/') {
        Some((dataset, resource)) => path_of_asset(dataset, resource),
        None => format!("/api/platform/status/{}", escaped(id)),
    }
}

fn path_of_asset(dataset: &str, resource: &str) -> String {
    format!(
        "/api/platform/status?dataset_id={}&resource_id={}",
        escaped(dataset),
        escaped(resource)
    )
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Asks until it is over.
pub(super) async fn follow(server: &Server, path: &str, as_json: bool) -> Result<(), Failure> {
    let bar = indicatif::ProgressBar::new_spinner();
    let story = loop {
        let story = server.get(path).await?;
        let status = story["job_status"].as_str().unwrap_or_default();
        if !matches!(status, "queued" | "processing") {
            break story;
        }
        bar.set_message(headline(&story));
        bar.tick();
        tokio::time::sleep(LOOK_EVERY).await;
    };
    bar.finish_and_clear();
    end(&story, as_json)
}

/// Prints a status; one that failed is a failure of the command.
fn end(story: &Value, as_json: bool) -> Result<(), Failure> {
    match as_json {
        true => println!("{story}"),
        false => print!("{}", told(story)),
    }
    if story["job_status"] != "failed" {
        return Ok(());
    }
    let error = &story["error"];
    let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    let mut failure = match error["user_fixable"] == true {
        true => Failure::rejected(&text("code"), text("message")),
        false => Failure::failed(&text("code"), &std::io::Error::other(text("message"))),
    };
    failure.reported = true;
    Err(failure)
}

fn headline(story: &Value) -> String {
    let (asset, progress) = (&story["asset"], &story["progress"]);
    let files = &progress["files"];
    let text = |value: &Value| value.as_str().unwrap_or("–").to_owned();
    let of = files["expected"]
        .as_u64()
        .map(|count| format!(" of {count}"));
    format!(
        "{}/{}: {}, {}; {}{} files referenced",
        text(&asset["dataset_id"]),
        text(&asset["resource_id"]),
        text(&story["job_status"]),
        text(&progress["stage"]),
        files["referenced"],
        of.unwrap_or_default(),
    )
}

/// A status for people: a headline, a table of what it is, and what is wrong.
fn told(story: &Value) -> String {
    let mut out = format!("{}\n", headline(story));
    for (name, value) in rows(story) {
        out.push_str(&format!("  {name:<12} {value}\n"));
    }
    let error = &story["error"];
    if let Some(message) = error["message"].as_str() {
        let code = error["code"].as_str().unwrap_or_default();
        out.push_str(&format!("  error: {message} ({code})\n"));
        for file in error["files"].as_array().into_iter().flatten().take(MOST) {
            let text = |field: &str| file[field].as_str().unwrap_or_default();
            out.push_str(&format!("    {}: {}\n", text("url"), text("message")));
        }
        if let Some(cure) = error["remediation"].as_str() {
            out.push_str(&format!("    → {cure}\n"));
        }
    }
    for warning in story["warnings"]
        .as_array()
        .into_iter()
        .flatten()
        .take(MOST)
    {
        let message = warning["finding"]["message"].as_str().unwrap_or_default();
        let about = warning["file"].as_str().unwrap_or("the series");
        out.push_str(&format!("  warning: {about}: {message}\n"));
    }
    out.push_str(&tasks(&story["detail"]));
    out
}

/// What is there of what people ask for.
fn rows(story: &Value) -> Vec<(&'static str, String)> {
    let (release, files) = (&story["release"], &story["progress"]["files"]);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let number = |value: &Value| value.as_i64().map(|number| number.to_string());
    let version = text(&release["version_id"]).or_else(|| {
        let ordinal = number(&release["version_ordinal"])?;
        Some(format!("ord{ordinal}"))
    });
    let revision = number(&release["revision"]).unwrap_or_default();
    let clearance = text(&release["clearance_state"]).unwrap_or_default();
    let counts = format!(
        "{} arrived, {} rejected, {} failed, {} gone",
        files["arrived"], files["rejected"], files["failed"], files["gone"]
    );
    let all = [
        ("release", text(&release["release_id"])),
        (
            "version",
            version.map(|version| format!("{version}, revision {revision}")),
        ),
        (
            "approval",
            text(&release["approval_state"]).map(|state| format!("{state}, {clearance}")),
        ),
        ("files", Some(counts)),
        ("zarr", text(&story["outputs"]["zarr_url"])),
        ("reference", text(&story["outputs"]["blob_path"])),
        ("item", text(&story["services"]["stac_item"])),
        ("approve at", text(&story["approval"]["approve_url"])),
    ];
    let known = all.into_iter();
    known
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn tasks(detail: &Value) -> String {
    let mut out = String::new();
    let tasks = detail["taskSummary"]["tasks"].as_array();
    for task in tasks.into_iter().flatten() {
        let text = |field: &str| task[field].as_str().unwrap_or_default();
        let error = task["error"].as_str().map(|error| format!(": {error}"));
        out.push_str(&format!(
            "  {:<13} {}{}\n",
            text("taskType"),
            text("status"),
            error.unwrap_or_default()
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_blocked_series_is_told_with_its_files_and_the_cure() {
        let story = json!({
            "job_status": "failed",
            "asset": {"dataset_id": "era5", "resource_id": "daily"},
            "release": {"release_id": "r1", "version_ordinal": 1, "revision": 1, "approval_state": "pending_review",
                        "clearance_state": "uncleared", "version_id": null},
            "progress": {"stage": "blocked", "files": {"expected": 2, "referenced": 1, "arrived": 2, "rejected": 1,
                                                       "failed": 0, "gone": 0}},
            "error": {"message": "b.nc: it is text", "code": "not_netcdf", "remediation": "upload a good copy",
                      "user_fixable": true, "files": [{"url": "abfs://bronze/b.nc", "message": "it is text"}]},
            "warnings": [], "outputs": null, "services": null, "approval": null,
        });
        let expected = "era5/daily: failed, blocked; 1 of 2 files referenced\n  \
                          release      r1\n  \
                          version      ord1, revision 1\n  \
                          approval     pending_review, uncleared\n  \
                          files        2 arrived, 1 rejected, 0 failed, 0 gone\n  \
                          error: b.nc: it is text (not_netcdf)\n    \
                            abfs://bronze/b.nc: it is text\n    \
                            → upload a good copy\n";
        assert_eq!(told(&story), expected);
    }
}
