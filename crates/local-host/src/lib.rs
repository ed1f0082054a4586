#![doc = include_str!("../README.md")]
//!
//! | module | is |
//! | --- | --- |
//! | `config`, `route`, `schedule` | the folder: functions, routes, timer schedules |
//! | `envelope`, `answer` | the bodies sent to the handler, and what its answers mean |
//! | `handler`, `invoke` | the handler's process, and a call |
//! | `event_grid`, `queue`, `timer`, `front` | the four kinds of trigger |
//! | `watch` | a folder, or a container, that announces its files as Event Grid does |
//! | `host`, `event` | everything together, and what it tells the terminal |

mod answer;
mod config;
pub mod envelope;
mod event;
mod event_grid;
mod front;
mod guid;
mod handler;
mod host;
mod invoke;
mod queue;
mod route;
mod schedule;
mod stop;
mod timer;
mod watch;

#[cfg(test)]
mod tests;

pub use answer::{HandlerAnswer, InvocationFailure, InvocationOutcome};
pub use config::{
    AuthLevel, ConfigError, Function, HandlerProgram, HostConfig, HttpMode, HttpTrigger,
    QueueLimits, Settings, Trigger, read_local_settings,
};
pub use event::HostEvent;
pub use event_grid::{Chaos, DeadLetters, EventGrid, EventGridOptions};
pub use front::HostKeys;
pub use guid::Guid;
pub use handler::{Handler, SpawnOptions, StartError};
pub use host::{EventSource, Host, HostOptions};
pub use queue::{QueueError, QueueMessage, QueueSource};
pub use route::Route;
pub use schedule::{Schedule, ScheduleError};
pub use watch::container::{
    ContainerListing, ContainerWatch, ContainerWatchOptions, ListedBlob, ListingError,
};
pub use watch::{FolderWatch, FolderWatchOptions, WatchError};
