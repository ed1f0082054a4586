//! `landfall replay`: events once more, by a running app.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::failure::Failure;
use super::server::{Server, ServerArguments};

/// Events sent at one time: the app's bodies are bounded.
const EVENTS_AT_ONCE: usize = 1000;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["source_url", "dead_letters", "events"]))]
pub(super) struct Arguments {
    /// Folder or container whose blobs are taken as if they had just landed, such as `abfs://bronze/era5/`.
    source_url: Option<String>,
    /// The events that Event Grid gave up.
    #[arg(long)]
    dead_letters: bool,
    /// A file with an event or an array of them, as Event Grid sends or leaves them; `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Only blobs or dead letters of this time or later, such as 2026-11-20 or 2026-11-20T10:00:00Z.
    #[arg(long, value_name = "TIME", conflicts_with = "events")]
    since: Option<String>,
    #[command(flatten)]
    server: ServerArguments,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Asks the app, and says what it sent.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let server = Server::new(&arguments.server)?;
    let mut sum = json!({"found": 0, "sent": 0, "passed_over": 0});
    for body in bodies(&arguments)? {
        let answer = server.post("/api/replay", &body).await?;
        for field in ["found", "sent", "passed_over"] {
            let count = |document: &Value| document.get(field).and_then(Value::as_u64);
            let both = count(&sum).unwrap_or(0) + count(&answer).unwrap_or(0);
            sum[field] = json!(both);
        }
    }
    match arguments.json {
        true => println!("{sum}"),
        false => println!(
            "{} found, {} sent to be referenced, {} passed over",
            sum["found"], sum["sent"], sum["passed_over"]
        ),
    }
    Ok(())
}

fn bodies(arguments: &Arguments) -> Result<Vec<Value>, Failure> {
    let mut body = match (&arguments.source_url, &arguments.events) {
        (Some(url), _) => json!({"source_url": url}),
        (None, Some(file)) => return events(file),
        (None, None) => json!({"dead_letters": true}),
    };
    if let Some(since) = &arguments.since {
        body["since"] = json!(since);
    }
    Ok(vec![body])
}

fn events(file: &Path) -> Result<Vec<Value>, Failure> {
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    let refused = |why: String| Failure::rejected("events_unreadable", why);
    read.map_err(|error| refused(format!("{}: {error}", file.display())))?;
    let events = match serde_json::from_str(&text) {
        Ok(Value::Array(events)) => events,
        Ok(event @ Value::Object(_)) => vec![event],
        Ok(_) => return Err(refused(format!("{}: holds no events", file.display()))),
        Err(error) => return Err(refused(format!("{}: {error}", file.display()))),
    };
    let some = events.chunks(EVENTS_AT_ONCE);
    Ok(some.map(|events| json!({"events": events})).collect())
}
