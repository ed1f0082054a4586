//! `landfall token`: an address with a read token in it, made by a running app.

use serde_json::json;

use super::failure::Failure;
use super::server::{Server, ServerArguments};
use super::status;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id of the Release; or `DATASET/RESOURCE`, for its newest.
    release: String,
    /// How long the address can be read (ISO 8601), a year at most.
    #[arg(long, value_name = "PERIOD", default_value = "P7D")]
    expires_in: String,
    /// Revision of the Release; the one published last by default.
    #[arg(long)]
    revision: Option<i64>,
    #[command(flatten)]
    server: ServerArguments,
    /// Print the whole answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Asks the app and prints the address.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let server = Server::new(&arguments.server)?;
    let mut body = json!({"expires_in": arguments.expires_in});
    if let Some(revision) = arguments.revision {
        body["revision"] = json!(revision);
    }
    let release = release_id(&server, arguments.release).await?;
    let release =
        percent_encoding::utf8_percent_encode(&release, percent_encoding::NON_ALPHANUMERIC);
    let path = format!("/api/releases/{release}/token");
    let answer = server.post(&path, &body).await?;
    match (arguments.json, answer["zarr_url"].as_str()) {
        (false, Some(url)) => println!("{url}"),
        _ => println!("{answer}"),
    }
    Ok(())
}

async fn release_id(server: &Server, named: String) -> Result<String, Failure> {
    if !named.contains('/') {
        return Ok(named);
    }
    let story = server.get(&status::path_of(&named)).await?;
    let id = story["release"]["release_id"].as_str();
    let absent = || Failure::rejected("no_release", format!("{named} has no Release yet"));
    id.map(str::to_owned).ok_or_else(absent)
}
