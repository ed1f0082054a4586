//! The tracing subscriber: JSON lines on stdout under the Functions host, nothing on a quiet command line.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

/// Starts logging as JSON lines on stdout, which the host takes as its logs; `LANDFALL_LOG` sets the filter.
pub fn init_json() {
    let filter = EnvFilter::try_from_env("LANDFALL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_timer(SystemTime);
    subscriber
        .with_env_filter(filter)
        .with_writer(std::io::stdout)
        .init();
}

/// Starts logging for a person on stderr: warnings, or what `LANDFALL_LOG` says.
pub fn init_terminal() {
    let filter = EnvFilter::try_from_env("LANDFALL_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt()
        .with_target(false)
        .with_env_filter(filter);
    subscriber.with_writer(std::io::stderr).init();
}
