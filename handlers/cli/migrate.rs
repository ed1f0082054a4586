//! `landfall migrate`: brings the schemas of a PostgreSQL database up to date; a step of the deployment, with an
//! identity that may make tables. The app itself never does.

use serde_json::json;

use super::failure::Failure;
use super::ledger;
use crate::config::DatabaseConfig;
use crate::stores::ledger::MigrationOptions;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Database to migrate; `LANDFALL_DATABASE_URL` by default.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Only tell what is to be done; exit code 1 if anything is.
    #[arg(long)]
    check: bool,
    /// Role of the app, which is given the rows of both schemas.
    #[arg(long, value_name = "ROLE")]
    grant_to: Option<String>,
    /// Print one JSON object in place of lines for people.
    #[arg(long)]
    pub(super) json: bool,
}

/// Migrates, or tells what is to be done.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = config(arguments.database_url.as_deref());
    let ledger = config.and_then(|config| ledger::postgres(&config));
    let ledger = ledger.map_err(|error| failed(&error))?.ok_or_else(|| {
        let missing = anyhow::anyhow!(
            "no database is named: give --database-url or set LANDFALL_DATABASE_URL (a SQLite file migrates itself)"
        );
        failed(&missing)
    })?;
    let options = MigrationOptions {
        check: arguments.check,
        grant_to: arguments.grant_to,
    };
    let done = ledger.migrate(&options).await;
    let done = done.map_err(|error| Failure::failed("migration_failed", &error))?;
    let is_done = !arguments.check || done.steps.is_empty();
    if arguments.json {
        let document = json!({
            "steps": done.steps, "from": done.from, "to": done.to, "check": arguments.check,
        });
        println!("{document}");
    } else {
        for step in &done.steps {
            println!("{step}");
        }
        let verdict = match (done.steps.is_empty(), arguments.check) {
            (true, _) => "up to date",
            (false, true) => "to be migrated",
            (false, false) => "migrated",
        };
        println!("schema version {}: {verdict}", done.to);
    }
    if is_done {
        return Ok(());
    }
    let message = std::io::Error::other("the database is not up to date: run `landfall migrate`");
    Err(Failure::failed("not_migrated", &message))
}

/// The database that the argument names, else that of the environment.
fn config(url: Option<&str>) -> anyhow::Result<DatabaseConfig> {
    match url {
        Some(url) => DatabaseConfig::read(|name| match name {
            "LANDFALL_DATABASE_URL" => Some(url.to_owned()),
            _ => None,
        }),
        None => DatabaseConfig::from_env(),
    }
}

fn failed(error: &anyhow::Error) -> Failure {
    let message = format!("{error:#}");
    Failure::failed("migration_failed", &std::io::Error::other(message))
}
