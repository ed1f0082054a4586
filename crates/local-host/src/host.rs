//! The running host: the handler, the triggers and the HTTP front, started and stopped together.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Mutex, Notify, mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use crate::{
    answer::InvocationFailure,
    config::{Function, HostConfig, HttpMode, Trigger},
    event::{EventSink, HostEvent},
    event_grid::{EventGrid, EventGridOptions, Subscriber},
    front::{self, Front, HostKeys},
    handler::{self, Handler, HandlerHandle, SpawnOptions, StartError},
    invoke::Invoker,
    queue::{QueueSource, QueueTrigger},
    stop::StopSignal,
    timer::TimerTrigger,
};

/// Time that calls under way have when the host stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Where events come from.
#[async_trait]
pub trait EventSource: Send {
    /// The next event, in Event Grid's schema or CloudEvents'; none when there will be no more.
    async fn next(&mut self) -> Option<Value>;
}

/// What the host needs beyond the files in its root.
pub struct HostOptions {
    /// The handler.
    pub handler: Handler,
    /// Address of the HTTP front, if there shall be one; port 0 takes a free port.
    pub http: Option<SocketAddr>,
    /// Keys of the HTTP front; none leaves everything open.
    pub keys: Option<HostKeys>,
    /// Buffers HTTP bodies as `enableForwardingHttpRequest` does, even where `host.json` asks for streaming.
    pub buffering: bool,
    /// How long an HTTP request waits for a handler that is being started.
    pub ready_limit: Duration,
    /// Whether timers tick; they can be fired by hand in any case.
    pub timers: bool,
    /// Queues for the queue functions; without, they never run.
    pub queues: Option<Arc<dyn QueueSource>>,
    /// Retry delay of failed messages, in place of `visibilityTimeout`.
    pub queue_retry_delay: Option<Duration>,
    /// How long a message is hidden while it is worked on. It is renewed at half-time, so this is how long a message stays
    /// hidden when the host itself dies.
    pub queue_lease: Duration,
    /// Where events come from.
    pub event_sources: Vec<Box<dyn EventSource>>,
    /// How they are delivered.
    pub event_grid: EventGridOptions,
    /// Who wants to know what happens.
    pub events: Option<mpsc::UnboundedSender<HostEvent>>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            handler: Handler::Spawn(SpawnOptions::default()),
            http: None,
            keys: None,
            buffering: false,
            ready_limit: Duration::from_secs(10),
            timers: true,
            queues: None,
            queue_retry_delay: None,
            queue_lease: Duration::from_secs(60),
            event_sources: Vec::new(),
            event_grid: EventGridOptions::default(),
            events: None,
        }
    }
}

impl std::fmt::Debug for HostOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostOptions")
            .field("handler", &self.handler)
            .field("http", &self.http)
            .field("event_grid", &self.event_grid)
            .finish_non_exhaustive()
    }
}

/// A running host. Dropping it ends everything at once, [`Host::stop`] in good order.
#[derive(Debug)]
pub struct Host {
    handler: HandlerHandle,
    grid: EventGrid,
    front: Option<SocketAddr>,
    nudge: Arc<Notify>,
    stop: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

impl Host {
    /// Starts the handler, the triggers and the HTTP front. They wait by themselves until the handler is ready.
    ///
    /// # Errors
    /// When the handler's program cannot be started or the address is taken.
    pub async fn start(config: HostConfig, options: HostOptions) -> Result<Self, StartError> {
        let listener = match options.http {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let events = EventSink::new(options.events.clone());
        let handler = handler::start(&config, options.handler.clone(), events.clone())?;
        let (stop, stopping) = StopSignal::new();
        let invoker = Invoker::new(handler.clone(), events, config.function_timeout);
        let grid = EventGrid::new(
            subscribers(&config.functions),
            options.event_grid.clone(),
            invoker.clone(),
            stopping.clone(),
        );
        let mut starting = Starting {
            config: Arc::new(config),
            options,
            invoker,
            grid: grid.clone(),
            nudge: Arc::new(Notify::new()),
            stopping,
            tasks: JoinSet::new(),
        };
        starting.start_sources();
        starting.start_triggers();
        let front = listener.as_ref().and_then(|l| l.local_addr().ok());
        if let Some(listener) = listener {
            starting.start_front(listener);
        }
        Ok(Self {
            handler,
            grid,
            front,
            nudge: starting.nudge,
            stop,
            tasks: Mutex::new(starting.tasks),
        })
    }

    /// Waits until the handler has given its first answer.
    ///
    /// # Errors
    /// When it does not within `limit`, or has been given up.
    pub async fn ready(&self, limit: Duration) -> Result<(), InvocationFailure> {
        self.handler.ready(limit).await.map(|_| ())
    }

    /// Port of the HTTP front.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.front.map(|address| address.port())
    }

    /// Process id of the handler while it runs as a child of this host.
    #[must_use]
    pub fn handler_pid(&self) -> Option<u32> {
        self.handler.pid()
    }

    /// Port of the handler while it is ready.
    #[must_use]
    pub fn handler_port(&self) -> Option<u16> {
        self.handler.port()
    }

    /// Ends the handler in good order and starts it again.
    pub fn restart_handler(&self) {
        self.handler.restart();
    }

    /// Delivers events beside the event sources.
    #[must_use]
    pub fn event_grid(&self) -> EventGrid {
        self.grid.clone()
    }

    /// Looks into the queues now rather than at the next poll.
    pub fn nudge_queues(&self) {
        self.nudge.notify_waiters();
    }

    /// Stops taking work, lets calls under way finish for some seconds, then ends the handler.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let mut tasks = self.tasks.into_inner();
        drop(timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await);
        self.grid.settle(DRAIN).await;
        self.handler.stop().await;
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen {
            address: address.to_string(),
            source,
        })
}

fn subscribers(functions: &[Function]) -> Vec<Subscriber> {
    let events = functions
        .iter()
        .filter(|f| matches!(f.trigger, Trigger::EventGrid));
    events
        .map(|function| Subscriber {
            function: function.name.clone(),
            binding: function.binding.clone(),
        })
        .collect()
}

struct Starting {
    config: Arc<HostConfig>,
    options: HostOptions,
    invoker: Invoker,
    grid: EventGrid,
    nudge: Arc<Notify>,
    stopping: StopSignal,
    tasks: JoinSet<()>,
}

impl Starting {
    fn start_sources(&mut self) {
        for mut source in std::mem::take(&mut self.options.event_sources) {
            let (grid, stopping) = (self.grid.clone(), self.stopping.clone());
            let pump = async move {
                while let Some(event) = source.next().await {
                    grid.deliver(event).await;
                }
            };
            self.tasks.spawn(async move {
                tokio::select! {
                    () = pump => {}
                    () = stopping.given() => {}
                }
            });
        }
    }

    fn start_triggers(&mut self) {
        let config = Arc::clone(&self.config);
        for function in &config.functions {
            match &function.trigger {
                Trigger::Queue { queue } => self.start_queue(function, queue),
                Trigger::Timer { schedule } if self.options.timers => {
                    let timer = TimerTrigger {
                        function: function.name.clone(),
                        binding: function.binding.clone(),
                        schedule: schedule.clone(),
                        invoker: self.invoker.clone(),
                    };
                    self.tasks.spawn(timer.run(self.stopping.clone()));
                }
                Trigger::EventGrid | Trigger::Timer { .. } | Trigger::Http(_) => {}
            }
        }
    }

    fn start_queue(&mut self, function: &Function, queue: &str) {
        let Some(source) = &self.options.queues else {
            return;
        };
        let mut limits = self.config.queues.clone();
        limits.visibility_timeout = self
            .options
            .queue_retry_delay
            .unwrap_or(limits.visibility_timeout);
        let trigger = QueueTrigger {
            function: function.name.clone(),
            binding: function.binding.clone(),
            queue: queue.to_owned(),
            limits,
            lease: self.options.queue_lease,
            source: Arc::clone(source),
            invoker: self.invoker.clone(),
            nudge: Arc::clone(&self.nudge),
        };
        self.tasks.spawn(trigger.run(self.stopping.clone()));
    }

    fn start_front(&mut self, listener: TcpListener) {
        let mode = if self.options.buffering {
            HttpMode::Forwarding
        } else {
            self.config.http_mode
        };
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let front = Front {
            config: Arc::clone(&self.config),
            mode,
            keys: self.options.keys.clone(),
            invoker: self.invoker.clone(),
            grid: self.grid.clone(),
            client: client.unwrap_or_default(),
            ready_limit: self.options.ready_limit,
        };
        self.tasks.spawn(front::serve(
            Arc::new(front),
            listener,
            self.stopping.clone(),
        ));
    }
}
