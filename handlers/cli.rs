//! The command line: one file per command. Exit codes: 0 ok, 1 failed, 2 usage, 3 rejected input.

mod combine;
mod dev;
mod doctor;
mod failure;
mod input;
mod inspect;
mod inventory;
mod ledger;
mod migrate;
mod output;
mod parquet;
mod progress;
mod replay;
mod review;
mod serve;
mod server;
mod status;
mod stores;
mod submit;
mod token;
mod validate;
mod verify;
mod virtualize;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// NetCDF files readable as Zarr, without copying them, the moment they land.
#[derive(Debug, Parser)]
#[command(name = "landfall", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the kerchunk reference of each file.
    Virtualize(virtualize::Arguments),
    /// Show what is in files, how it is stored and what reading it costs.
    Inspect(inspect::Arguments),
    /// Tell how well files read virtually.
    Validate(validate::Arguments),
    /// Join the files of a series, or their references, into one.
    Combine(combine::Arguments),
    /// List the series of a folder or container and what would declare them; or submit them all.
    Inventory(inventory::Arguments),
    /// Declare a series to a running app.
    Submit(Box<submit::Arguments>),
    /// Tell how far a series is, as a running app knows it.
    Status(status::Arguments),
    /// Have a running app take events once more: dead letters, kept ones, or those of a container.
    Replay(replay::Arguments),
    /// Approve a Release of a running app, or list those that await approval.
    Approve(review::ApproveArguments),
    /// Reject a Release that awaits approval.
    Reject(review::ObjectArguments),
    /// Take the approval of a Release back.
    Revoke(review::ObjectArguments),
    /// Delete the references of a Release; never its sources.
    Unpublish(review::UnpublishArguments),
    /// Make an address under which a Release can be read for a while.
    Token(token::Arguments),
    /// Compare a reference, of one file or a whole series, with its sources.
    Verify(verify::Arguments),
    /// Watch a folder: references, combined datasets and served Zarr as files land.
    Dev(dev::Arguments),
    /// Answer the Functions host (its custom handler).
    Serve(serve::Arguments),
    /// Try every account, role, queue, database and setting, and name what is missing.
    Doctor(doctor::Arguments),
    /// Bring the schemas of a PostgreSQL database up to date.
    Migrate(migrate::Arguments),
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.command.wants_json();
    match arguments.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

impl Command {
    const fn wants_json(&self) -> bool {
        match self {
            Self::Virtualize(arguments) => arguments.json,
            Self::Combine(arguments) => arguments.json,
            Self::Verify(arguments) => arguments.json,
            Self::Inspect(arguments) => arguments.json,
            Self::Validate(arguments) => arguments.json,
            Self::Inventory(arguments) => arguments.json,
            Self::Submit(arguments) => arguments.json,
            Self::Status(arguments) => arguments.json,
            Self::Replay(arguments) => arguments.json,
            Self::Migrate(arguments) => arguments.json,
            Self::Doctor(arguments) => arguments.json,
            Self::Approve(arguments) => arguments.wants_json(),
            Self::Reject(arguments) | Self::Revoke(arguments) => arguments.wants_json(),
            Self::Unpublish(arguments) => arguments.wants_json(),
            Self::Token(arguments) => arguments.json,
            Self::Dev(_) | Self::Serve(_) => false,
        }
    }

    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Virtualize(arguments) => block_on_one_thread(virtualize::run(arguments)),
            Self::Inspect(arguments) => block_on_one_thread(inspect::run(arguments)),
            Self::Validate(arguments) => block_on_one_thread(validate::run(arguments)),
            Self::Combine(arguments) => block_on_threads(combine::run(arguments)),
            Self::Inventory(arguments) => block_on_threads(inventory::run(arguments)),
            Self::Submit(arguments) => block_on_one_thread(submit::run(*arguments)),
            Self::Status(arguments) => block_on_one_thread(status::run(arguments)),
            Self::Replay(arguments) => block_on_one_thread(replay::run(arguments)),
            Self::Approve(arguments) => block_on_one_thread(review::approve(arguments)),
            Self::Reject(arguments) => block_on_one_thread(review::reject(arguments)),
            Self::Revoke(arguments) => block_on_one_thread(review::revoke(arguments)),
            Self::Unpublish(arguments) => block_on_one_thread(review::unpublish(arguments)),
            Self::Token(arguments) => block_on_one_thread(token::run(arguments)),
            Self::Verify(arguments) => block_on_threads(verify::run(arguments)),
            Self::Dev(arguments) => block_on_threads(dev::run(arguments)),
            Self::Serve(arguments) => block_on_threads(serve::run(arguments)),
            Self::Migrate(arguments) => block_on_one_thread(migrate::run(arguments)),
            Self::Doctor(arguments) => block_on_one_thread(doctor::run(arguments)),
        }
    }
}

/// For commands whose work is one file after another: no thread is started that the file does not need.
fn block_on_one_thread(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    crate::telemetry::init_terminal();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(|error| Failure::failed("runtime", &error))?
        .block_on(work)
}

fn block_on_threads(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime
        .map_err(|error| Failure::failed("runtime", &error))?
        .block_on(work)
}
