//! Keeps the handler running: starts it with the environment that the Functions host gives, waits for its first answer,
//! starts it again when it dies, and ends it with SIGTERM.

use std::{path::PathBuf, process::ExitStatus, time::Duration};

use tokio::{
    process::Child,
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    answer::InvocationFailure,
    config::HostConfig,
    event::{EventSink, HostEvent, chain},
};

mod crashes;
mod process;

use crashes::Crashes;
pub use process::StartError;
use process::{free_port, spawn, terminate};

/// Interval of the readiness poll.
const READY_POLL: Duration = Duration::from_millis(25);

/// How a handler comes to be.
#[derive(Debug, Clone)]
pub enum Handler {
    /// A child process.
    Spawn(SpawnOptions),
    /// A server that somebody else runs, on this port of 127.0.0.1.
    External {
        /// The port.
        port: u16,
    },
}

/// What may differ from `host.json` when the handler is started.
#[derive(Debug, Clone)]
pub struct SpawnOptions {
    /// Program in place of `defaultExecutablePath`.
    pub executable: Option<PathBuf>,
    /// Whether to give up after three crashes within half an hour, as the Functions host does.
    pub crash_limit: bool,
}

impl Default for SpawnOptions {
    fn default() -> Self {
        Self {
            executable: None,
            crash_limit: true,
        }
    }
}

/// What the handler is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Down,
    Starting { pid: u32 },
    Ready { pid: Option<u32>, port: u16 },
    Ended(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Restart,
    Stop,
}

/// The running handler, as the rest of the host sees it.
#[derive(Debug, Clone)]
pub(crate) struct HandlerHandle {
    phase: watch::Receiver<Phase>,
    commands: mpsc::UnboundedSender<Command>,
}

impl HandlerHandle {
    /// The port, once the handler answers; waits for that no longer than `limit`.
    pub(crate) async fn ready(&self, limit: Duration) -> Result<u16, InvocationFailure> {
        let mut phase = self.phase.clone();
        let settled = phase.wait_for(|p| matches!(p, Phase::Ready { .. } | Phase::Ended(_)));
        let not_running = |why: &str| Err(InvocationFailure::NotRunning(why.to_owned()));
        match timeout(limit, settled).await {
            Ok(Ok(phase)) => match &*phase {
                Phase::Ready { port, .. } => Ok(*port),
                Phase::Ended(why) => not_running(why),
                Phase::Down | Phase::Starting { .. } => not_running("starting"),
            },
            Ok(Err(_)) => not_running("the host has stopped"),
            Err(_) => not_running("it did not get ready in time"),
        }
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        match &*self.phase.borrow() {
            Phase::Starting { pid } => Some(*pid),
            Phase::Ready { pid, .. } => *pid,
            Phase::Down | Phase::Ended(_) => None,
        }
    }

    pub(crate) fn port(&self) -> Option<u16> {
        match &*self.phase.borrow() {
            Phase::Ready { port, .. } => Some(*port),
            _ => None,
        }
    }

    pub(crate) fn restart(&self) {
        drop(self.commands.send(Command::Restart));
    }

    /// Ends the handler and waits until it has ended.
    pub(crate) async fn stop(&self) {
        drop(self.commands.send(Command::Stop));
        let mut phase = self.phase.clone();
        drop(phase.wait_for(|p| matches!(p, Phase::Ended(_))).await);
    }

    /// A handle on a server that this host does not run.
    fn external(port: u16) -> Self {
        let (commands, mut received) = mpsc::unbounded_channel();
        let (phase, watched) = watch::channel(Phase::Ready { pid: None, port });
        tokio::spawn(async move {
            while let Some(command) = received.recv().await {
                if command == Command::Stop {
                    phase.send_replace(Phase::Ended("stopped".to_owned()));
                }
            }
        });
        Self {
            phase: watched,
            commands,
        }
    }
}

/// Starts the handler and what keeps it running.
pub(crate) fn start(
    config: &HostConfig,
    handler: Handler,
    events: EventSink,
) -> Result<HandlerHandle, StartError> {
    let options = match handler {
        Handler::External { port } => return Ok(HandlerHandle::external(port)),
        Handler::Spawn(options) => options,
    };
    let (commands, received) = mpsc::unbounded_channel();
    let (phase, watched) = watch::channel(Phase::Down);
    let mut supervisor = Supervisor {
        config: config.clone(),
        crashes: Crashes::new(options.crash_limit),
        options,
        phase,
        commands: received,
        events,
        client: reqwest::Client::new(),
    };
    // The first start is done here, so that a missing program is an error of the caller's.
    let first = supervisor.spawn()?;
    tokio::spawn(async move { supervisor.run(first).await });
    Ok(HandlerHandle {
        phase: watched,
        commands,
    })
}

struct Supervisor {
    config: HostConfig,
    options: SpawnOptions,
    phase: watch::Sender<Phase>,
    commands: mpsc::UnboundedReceiver<Command>,
    events: EventSink,
    crashes: Crashes,
    client: reqwest::Client,
}

struct Running {
    child: Child,
    pid: u32,
    port: u16,
    since: Instant,
}

/// Why a handler's life ended.
enum End {
    Crashed(String),
    Restart,
    Stop,
}

impl Supervisor {
    async fn run(mut self, first: Running) {
        let mut next = Ok(first);
        loop {
            let end = match next {
                Ok(running) => self.watch_over(running).await,
                Err(error) => End::Crashed(chain(&error)),
            };
            match end {
                End::Stop => return self.end("stopped".to_owned()),
                End::Restart => {}
                End::Crashed(why) => {
                    let Some(pause) = self.crashes.record(Instant::now()) else {
                        self.events.send(HostEvent::HandlerGaveUp {
                            reason: why.clone(),
                        });
                        return self
                            .end(format!("given up after repeated crashes, the last: {why}"));
                    };
                    sleep(pause).await;
                }
            }
            next = self.spawn();
        }
    }

    fn end(&self, why: String) {
        self.phase.send_replace(Phase::Ended(why));
    }

    fn spawn(&mut self) -> Result<Running, StartError> {
        let port = free_port()?;
        let (child, pid) = spawn(
            &self.config,
            self.options.executable.as_deref(),
            port,
            &self.events,
        )?;
        self.phase.send_replace(Phase::Starting { pid });
        self.events.send(HostEvent::HandlerStarted { pid, port });
        Ok(Running {
            child,
            pid,
            port,
            since: Instant::now(),
        })
    }

    /// Stays with one process until it ends, whoever ends it.
    async fn watch_over(&mut self, mut running: Running) -> End {
        let ready = wait_until_ready(self.client.clone(), running.port);
        let end = tokio::select! {
            status = running.child.wait() => return self.crashed(status),
            command = self.commands.recv() => command,
            answered = timeout(self.config.initialization_timeout, ready) => {
                if answered.is_err() {
                    let status = terminate(&mut running.child).await;
                    self.exited(status, true);
                    return End::Crashed("no answer to GET / within initializationTimeout".to_owned());
                }
                self.is_ready(&running);
                tokio::select! {
                    status = running.child.wait() => return self.crashed(status),
                    command = self.commands.recv() => command,
                }
            }
        };
        self.phase.send_replace(Phase::Down);
        let status = terminate(&mut running.child).await;
        self.exited(status, true);
        match end {
            Some(Command::Restart) => End::Restart,
            Some(Command::Stop) | None => End::Stop,
        }
    }

    fn is_ready(&self, running: &Running) {
        let elapsed = running.since.elapsed();
        self.events.send(HostEvent::HandlerReady { elapsed });
        self.phase.send_replace(Phase::Ready {
            pid: Some(running.pid),
            port: running.port,
        });
    }

    fn crashed(&self, status: std::io::Result<ExitStatus>) -> End {
        let status = in_words(status);
        self.phase.send_replace(Phase::Down);
        self.events.send(HostEvent::HandlerExited {
            status: status.clone(),
            expected: false,
        });
        End::Crashed(status)
    }

    fn exited(&self, status: std::io::Result<ExitStatus>, expected: bool) {
        let status = in_words(status);
        self.events
            .send(HostEvent::HandlerExited { status, expected });
    }
}

fn in_words(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Polls until there is any answer at all.
async fn wait_until_ready(client: reqwest::Client, port: u16) {
    let url = format!("http://127.0.0.1:{port}/");
    while client.get(&url).send().await.is_err() {
        sleep(READY_POLL).await;
    }
}
