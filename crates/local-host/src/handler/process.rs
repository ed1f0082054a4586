//! The handler's process: its environment, its output, its end.

use std::{
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{
    config::HostConfig,
    event::{EventSink, HostEvent},
    guid::Guid,
};

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// Why the host could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The handler's program could not be started.
    #[error("could not start the handler {program}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// There is no port to listen on.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// A port of 127.0.0.1 that nobody listens on.
pub(super) fn free_port() -> Result<u16, StartError> {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| StartError::Listen {
            address: "127.0.0.1".to_owned(),
            source,
        })
}

/// Starts the handler in a process group of its own, so that Ctrl-C in the terminal reaches the host alone and the host
/// ends the handler in good order. Its standard input says nothing and ends with the host, however that ends: a handler
/// that watches it does not outlive a host that was killed.
pub(super) fn spawn(
    config: &HostConfig,
    executable: Option<&Path>,
    port: u16,
    events: &EventSink,
) -> Result<(Child, u32), StartError> {
    let program = executable.unwrap_or(&config.handler.executable);
    let mut command = Command::new(program);
    command
        .args(&config.handler.arguments)
        .current_dir(&config.handler.working_directory)
        .envs(&config.settings)
        .envs(environment(&config.root, port))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let failed = |source| StartError::Spawn {
        program: program.to_path_buf(),
        source,
    };
    let mut child = command.spawn().map_err(failed)?;
    let pid = child
        .id()
        .ok_or_else(|| failed(io::Error::other("it ended at once")))?;
    // Waiting for the child would close its input at once, so that is kept elsewhere.
    let input = child.stdin.take();
    if let Some(out) = child.stdout.take() {
        let events = events.clone();
        tokio::spawn(async move {
            pass_lines(out, events).await;
            drop(input);
        });
    }
    if let Some(err) = child.stderr.take() {
        tokio::spawn(pass_lines(err, events.clone()));
    }
    Ok((child, pid))
}

/// The variables that the Functions host sets for a custom handler.
fn environment(root: &Path, port: u16) -> [(&'static str, String); 5] {
    let worker = Guid::new().to_string();
    [
        ("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string()),
        ("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", worker.clone()),
        ("FUNCTIONS_HTTPWORKER_PORT", port.to_string()),
        ("FUNCTIONS_HTTPWORKER_ID", worker),
        ("FUNCTIONS_APP_ROOT_PATH", root.display().to_string()),
    ]
}

async fn pass_lines(output: impl AsyncRead + Unpin, events: EventSink) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    // Read as bytes: one line that is not UTF-8 must not end the reading, or the handler would block on a full pipe.
    while matches!(reader.read_until(b'\n', &mut line).await, Ok(n) if n > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        events.send(HostEvent::HandlerLine(text));
        line.clear();
    }
}

/// Asks the process to end, and makes it end after [`GRACE`].
pub(super) async fn terminate(child: &mut Child) -> io::Result<ExitStatus> {
    if let Some(pid) = child.id() {
        // Sending the signal from here would take unsafe code. Every shell has `kill` built in; not every system has the
        // program.
        let asked = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &pid.to_string()])
            .status()
            .await;
        if asked.is_ok_and(|status| status.success())
            && let Ok(status) = timeout(GRACE, child.wait()).await
        {
            return status;
        }
        child.start_kill()?;
    }
    child.wait().await
}
