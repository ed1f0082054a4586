//! `landfall doctor`: tries everything that the settings describe, and says what is missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::Failure;
use super::server::{Server, ServerArguments};
use crate::config::{self, Concerns};
use crate::doctor::{self, Check, State};

/// Columns for the state and the part of a check.
const STATE: usize = 8;
const PART: usize = 13;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder of `landfall dev`, which is looked at where no setting says where blobs are.
    #[arg(default_value = "landfall-data")]
    root: PathBuf,
    /// Folder of the function app, with host.json in it.
    #[arg(long, value_name = "FOLDER")]
    app: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArguments,
    /// Print each check as a line of JSON, and their sum as the last one.
    #[arg(long)]
    pub(super) json: bool,
}

/// Tries, or has the running app try with its own identity.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let checks = match arguments.server.server.is_some() {
        true => ask(&arguments.server).await?,
        false => examine(&arguments).await,
    };
    let state = doctor::worst(&checks);
    let count = |state: State| checks.iter().filter(|check| check.state == state).count();
    let (ok, warnings, failed) = (
        count(State::Ok),
        count(State::Warning),
        count(State::Failed),
    );
    if arguments.json {
        checks.iter().for_each(|check| println!("{}", json!(check)));
        let sum = json!({
            "state": state, "ok": ok, "warnings": warnings, "failed": failed, "version": env!("CARGO_PKG_VERSION"),
        });
        println!("{sum}");
    } else {
        checks.iter().for_each(print);
        println!("\n{ok} ok, {warnings} warnings, {failed} failed");
    }
    match state {
        State::Failed => {
            let message = format!("{failed} of {} checks failed", checks.len());
            let mut failure = Failure::failed("unhealthy", &std::io::Error::other(message));
            failure.reported = true;
            Err(failure)
        }
        State::Ok | State::Warning => Ok(()),
    }
}

async fn ask(arguments: &ServerArguments) -> Result<Vec<Check>, Failure> {
    let answer = Server::new(arguments)?.get("/api/health/details").await?;
    let checks = answer.get("checks").cloned().unwrap_or_default();
    serde_json::from_value(checks).map_err(|error| Failure::failed("server_failed", &error))
}

async fn examine(arguments: &Arguments) -> Vec<Check> {
    let root = std::path::absolute(&arguments.root).unwrap_or_else(|_| arguments.root.clone());
    let is_dev = config::fall_back_to(defaults(&root));
    let mut app = arguments.app.clone();
    if is_dev {
        if !root.exists() {
            return vec![Check {
                part: String::from("settings"),
                name: root.display().to_string(),
                state: State::Failed,
                message: String::from(
                    "no setting says where blobs are, and there is no such folder",
                ),
                remedy: Some(String::from(
                    "set LANDFALL_BRONZE_ACCOUNT (local.settings.example.json explains it), or start `landfall dev`",
                )),
            }];
        }
        app = app.or_else(|| Some(root.join(".landfall").join("app")));
    }
    // In the repository host.json lies apart from the functions.
    let is_app = Path::new("host.json").is_file() && Path::new("Api/function.json").is_file();
    let here = is_app.then(|| PathBuf::from("."));
    let concerns = Concerns::from_env();
    let app = app.or_else(|| concerns.app.clone()).or(here);
    doctor::examine(&concerns, app).await
}

/// Where `landfall dev` has everything.
fn defaults(root: &Path) -> BTreeMap<&'static str, String> {
    let at = |name: &str| root.join(name).display().to_string();
    BTreeMap::from([
        ("LANDFALL_BRONZE_DIR", at("bronze")),
        ("LANDFALL_SILVER_DIR", at("silver")),
        ("LANDFALL_DATABASE", at("landfall.db")),
        ("LANDFALL_DEAD_LETTERS", at(".landfall/dead-letters")),
    ])
}

fn print(check: &Check) {
    let state = match check.state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Failed => "FAILED",
    };
    println!(
        "{state:STATE$} {:PART$} {}: {}",
        check.part, check.name, check.message
    );
    if let Some(remedy) = &check.remedy {
        println!("{:indent$}-> {remedy}", "", indent = STATE + PART + 2);
    }
}
