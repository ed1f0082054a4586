//! What the host tells the terminal.

use std::time::Duration;

use tokio::sync::mpsc;

/// Something that happened in the host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostEvent {
    /// The handler's process was started.
    HandlerStarted {
        /// Its process id.
        pid: u32,
        /// The port it was told to listen on.
        port: u16,
    },
    /// The handler gave its first answer.
    HandlerReady {
        /// Time since it was started.
        elapsed: Duration,
    },
    /// The handler's process ended.
    HandlerExited {
        /// Exit code or signal, in words.
        status: String,
        /// Whether the host had asked for it.
        expected: bool,
    },
    /// The handler will not be started again.
    HandlerGaveUp {
        /// Why.
        reason: String,
    },
    /// A line that the handler wrote to its output.
    HandlerLine(String),
    /// The handler is about to be called.
    InvocationStarted {
        /// Id of the invocation.
        id: String,
        /// Name of the function.
        function: String,
    },
    /// The handler accepted a call.
    InvocationSucceeded {
        /// Id of the invocation.
        id: String,
        /// Name of the function.
        function: String,
        /// How long it took.
        elapsed: Duration,
    },
    /// The handler refused a call, or could not be called.
    InvocationFailed {
        /// Id of the invocation.
        id: String,
        /// Name of the function.
        function: String,
        /// How long it took.
        elapsed: Duration,
        /// Why, with causes.
        reason: String,
    },
    /// A message went to its poison queue.
    MessagePoisoned {
        /// The queue it came from.
        queue: String,
        /// The message.
        id: String,
    },
    /// A queue could not be reached.
    QueueFailed {
        /// The queue.
        queue: String,
        /// Why, with causes.
        reason: String,
    },
    /// An event is not delivered, on purpose.
    EventLost {
        /// The event's id.
        id: String,
        /// What it is about.
        subject: String,
    },
    /// An event was given up.
    EventDeadLettered {
        /// The event's id.
        id: String,
        /// The function that would not take it.
        function: String,
        /// How often it was tried.
        attempts: u32,
    },
}

/// Sends [`HostEvent`]s to whoever listens, if anybody does.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventSink(Option<mpsc::UnboundedSender<HostEvent>>);

impl EventSink {
    pub(crate) fn new(sender: Option<mpsc::UnboundedSender<HostEvent>>) -> Self {
        Self(sender)
    }

    pub(crate) fn send(&self, event: HostEvent) {
        if let Some(sender) = &self.0 {
            // A listener that went away is no concern of the host's.
            drop(sender.send(event));
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
