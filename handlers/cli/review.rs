//! `landfall approve`, `reject`, `revoke` and `unpublish`: what a person decides about a Release of a running app.

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::server::{Server, ServerArguments};

/// Which Release, who, and how it is told.
#[derive(Debug, clap::Args)]
struct Common {
    /// Who decides; the app takes the signed-in principal instead where Easy Auth stands before it.
    #[arg(long)]
    reviewer: Option<String>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArguments,
    /// Print the app's answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `approve`.
#[derive(Debug, clap::Args)]
pub(super) struct ApproveArguments {
    /// Id of the Release, its job, request or Asset; or `DATASET/RESOURCE`. Without one the Releases that await approval
    /// are listed.
    release: Option<String>,
    /// Who may see it.
    #[arg(long, value_enum, value_name = "ouo|public")]
    clearance: Option<Clearance>,
    /// Its version; `v` and its ordinal by default.
    #[arg(long)]
    version_id: Option<String>,
    /// What there is to say about it.
    #[arg(long)]
    notes: Option<String>,
    /// Write what is approved already to the catalogue once more: the Release, or all of them.
    #[arg(long, conflicts_with_all = ["clearance", "version_id", "notes", "dry_run"])]
    rematerialize: bool,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `reject` and `revoke`.
#[derive(Debug, clap::Args)]
pub(super) struct ObjectArguments {
    /// Id of the Release, its job, request or Asset; or `DATASET/RESOURCE`.
    release: String,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `unpublish`.
#[derive(Debug, clap::Args)]
pub(super) struct UnpublishArguments {
    /// Id of the Release, its job, request or Asset; or `DATASET/RESOURCE`.
    release: String,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
    /// Delete the references; without this, only say which they are. Sources are never deleted.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Revoke the Release first, if it is approved.
    #[arg(long)]
    force_approved: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Clearance {
    /// Official use only.
    Ouo,
    /// Everybody.
    Public,
}

impl ApproveArguments {
    pub(super) const fn wants_json(&self) -> bool {
        self.common.json
    }
}

impl ObjectArguments {
    pub(super) const fn wants_json(&self) -> bool {
        self.common.json
    }
}

impl UnpublishArguments {
    pub(super) const fn wants_json(&self) -> bool {
        self.common.json
    }
}

/// Approves a Release, lists those that wait for it, or writes what is approved to the catalogue once more.
pub(super) async fn approve(arguments: ApproveArguments) -> Result<(), Failure> {
    let common = &arguments.common;
    let mut body = match &arguments.release {
        Some(release) => named(release),
        None if arguments.rematerialize => Map::new(),
        None => return list(common).await,
    };
    if arguments.rematerialize {
        body.insert(String::from("rematerialize"), json!(true));
        return decide(common, "approve", body).await;
    }
    let clearance = arguments.clearance.ok_or_else(|| {
        let message = String::from("say who may see it: --clearance ouo, or public");
        Failure::rejected("clearance", message)
    })?;
    let clearance = match clearance {
        Clearance::Ouo => "ouo",
        Clearance::Public => "public",
    };
    body.insert(String::from("clearance_state"), json!(clearance));
    set(&mut body, "version_id", arguments.version_id.as_ref());
    set(&mut body, "notes", arguments.notes.as_ref());
    decide(common, "approve", body).await
}

/// Rejects a Release.
pub(super) async fn reject(arguments: ObjectArguments) -> Result<(), Failure> {
    object("reject", &arguments).await
}

/// Takes an approval back.
pub(super) async fn revoke(arguments: ObjectArguments) -> Result<(), Failure> {
    object("revoke", &arguments).await
}

async fn object(action: &str, arguments: &ObjectArguments) -> Result<(), Failure> {
    let mut body = named(&arguments.release);
    set(&mut body, "reason", Some(&arguments.reason));
    decide(&arguments.common, action, body).await
}

/// Deletes the references of a Release, or says which they are.
pub(super) async fn unpublish(arguments: UnpublishArguments) -> Result<(), Failure> {
    let mut body = named(&arguments.release);
    set(&mut body, "reason", arguments.reason.as_ref());
    body.insert(String::from("dry_run"), json!(!arguments.yes));
    body.insert(
        String::from("force_approved"),
        json!(arguments.force_approved),
    );
    decide(&arguments.common, "unpublish", body).await
}

/// The fields that name a Release.
fn named(release: &str) -> Map<String, Value> {
    let fields = match release.split_once('/') {
        Some((dataset, resource)) => vec![("dataset_id", dataset), ("resource_id", resource)],
        // The app finds by it whatever has this id.
        None => vec![("approval_id", release)],
    };
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
}

fn set(body: &mut Map<String, Value>, field: &str, value: Option<&String>) {
    if let Some(value) = value {
        body.insert(field.to_owned(), json!(value));
    }
}

async fn decide(
    common: &Common,
    action: &str,
    mut body: Map<String, Value>,
) -> Result<(), Failure> {
    set(&mut body, "reviewer", common.reviewer.as_ref());
    if common.dry_run {
        body.insert(String::from("dry_run"), json!(true));
    }
    let server = Server::new(&common.server)?;
    let path = format!("/api/platform/{action}");
    let answer = server.post(&path, &Value::Object(body)).await?;
    match common.json {
        true => println!("{answer}"),
        false => tell(&answer),
    }
    Ok(())
}

/// Fields of an answer that a person wants to see, with what to call them.
const SHOWN: [(&str, &str); 13] = [
    ("message", ""),
    ("release_id", "Release"),
    ("current_state", "is"),
    ("would_transition_to", "would be"),
    ("blocked_reason", "but"),
    ("approval_state", "is"),
    ("version_id", "version"),
    ("clearance_state", "clearance"),
    ("reviewer", "by"),
    ("stac_collection_id", "collection"),
    ("stac_item_id", "item"),
    ("catalogue", "catalogue"),
    ("warning", "warning"),
];

fn tell(answer: &Value) {
    for (field, label) in SHOWN {
        match (answer[field].as_str(), label) {
            (Some(text), "") => println!("{text}"),
            (Some(text), label) => println!("  {label:<12}{text}"),
            (None, _) => {}
        }
    }
    for (field, label) in [("would_delete", "would delete"), ("deleted", "deleted")] {
        for reference in answer[field]["references"].as_array().into_iter().flatten() {
            println!("  {label:<12}{}", reference.as_str().unwrap_or_default());
        }
    }
    for release in answer["rematerialized"].as_array().into_iter().flatten() {
        let text = |name: &str| release[name].as_str().unwrap_or_default().to_owned();
        println!("  {}/{}", text("stac_collection_id"), text("stac_item_id"));
    }
}

/// The Releases that await approval.
async fn list(common: &Common) -> Result<(), Failure> {
    let server = Server::new(&common.server)?;
    let answer = server
        .get("/api/platform/approvals?status=pending_review")
        .await?;
    if common.json {
        println!("{answer}");
        return Ok(());
    }
    let releases = answer["releases"].as_array();
    let releases: Vec<&Value> = releases.into_iter().flatten().collect();
    if releases.is_empty() {
        println!("nothing awaits approval");
        return Ok(());
    }
    println!(
        "{:<34}{:<12}{:<5}{:<5}DATASET/RESOURCE",
        "RELEASE", "PROCESSING", "ORD", "REV"
    );
    for release in releases {
        let text = |name: &str| release[name].as_str().unwrap_or_default().to_owned();
        println!(
            "{:<34}{:<12}{:<5}{:<5}{}/{}",
            text("release_id"),
            text("processing_status"),
            release["version_ordinal"].to_string(),
            release["revision"].to_string(),
            text("dataset_id"),
            text("resource_id"),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_named_by_an_id_or_by_its_asset() {
        assert_eq!(Value::Object(named("0123")), json!({"approval_id": "0123"}));
        assert_eq!(
            Value::Object(named("tas/demo")),
            json!({"dataset_id": "tas", "resource_id": "demo"})
        );
    }
}
