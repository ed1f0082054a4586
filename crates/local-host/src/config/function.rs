//! One `function.json`: its trigger, and nothing that this host would silently ignore.

use std::path::Path;

use serde::Deserialize;

use super::ConfigError;
use crate::{route::Route, schedule::Schedule};

/// A function: a folder with a `function.json`.
#[derive(Debug, Clone)]
pub struct Function {
    /// Name of the folder, and path under which the handler is called.
    pub name: String,
    /// Name of the trigger binding: the key in `Data`.
    pub binding: String,
    /// What starts it.
    pub trigger: Trigger,
}

/// What starts a function.
#[derive(Debug, Clone)]
pub enum Trigger {
    /// An event pushed by Event Grid.
    EventGrid,
    /// A message in a storage queue.
    Queue {
        /// Name of the queue.
        queue: String,
    },
    /// The clock.
    Timer {
        /// When, in UTC.
        schedule: Schedule,
    },
    /// An HTTP request.
    Http(HttpTrigger),
}

/// An `httpTrigger` with its `http` output.
#[derive(Debug, Clone)]
pub struct HttpTrigger {
    /// The route below the prefix.
    pub route: Route,
    /// Methods in upper case; empty means all.
    pub methods: Vec<String>,
    /// Who may call.
    pub auth_level: AuthLevel,
}

/// Who may call an HTTP function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthLevel {
    /// Everybody.
    Anonymous,
    /// Whoever has the function key or the master key.
    #[default]
    Function,
    /// Whoever has the master key.
    Admin,
}

#[derive(Deserialize)]
pub(super) struct FunctionFile {
    bindings: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Binding {
    #[serde(rename = "eventGridTrigger")]
    EventGrid(Named),
    #[serde(rename = "queueTrigger")]
    Queue(QueueBinding),
    #[serde(rename = "timerTrigger")]
    Timer(TimerBinding),
    #[serde(rename = "httpTrigger")]
    HttpTrigger(HttpBinding),
    #[serde(rename = "http")]
    HttpOutput(Named),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    #[serde(rename = "direction")]
    _direction: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct QueueBinding {
    name: String,
    #[serde(rename = "direction")]
    _direction: String,
    queue_name: String,
    #[serde(rename = "connection")]
    _connection: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimerBinding {
    name: String,
    #[serde(rename = "direction")]
    _direction: String,
    schedule: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HttpBinding {
    name: String,
    #[serde(rename = "direction")]
    _direction: String,
    route: Option<String>,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    auth_level: AuthLevel,
}

impl Function {
    pub(super) fn from_bindings(
        name: &str,
        path: &Path,
        file: FunctionFile,
    ) -> Result<Self, ConfigError> {
        let refuse = |problem: String| ConfigError::Binding {
            path: path.to_path_buf(),
            problem,
        };
        let mut triggers = Vec::new();
        let mut answers = 0_usize;
        for value in file.bindings {
            let binding = serde_json::from_value(value).map_err(|source| ConfigError::Json {
                path: path.to_path_buf(),
                source,
            })?;
            match binding {
                Binding::HttpOutput(_) => answers += 1,
                other => triggers.push(other.into_trigger(name).map_err(refuse)?),
            }
        }
        let (Some((binding, trigger)), true) = (triggers.pop(), triggers.is_empty()) else {
            return Err(refuse("a function has exactly one trigger".to_owned()));
        };
        let wanted = usize::from(matches!(trigger, Trigger::Http(_)));
        if answers != wanted {
            return Err(refuse(format!(
                "this trigger needs {wanted} `http` output, there are {answers}"
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            binding,
            trigger,
        })
    }
}

impl Binding {
    fn into_trigger(self, function: &str) -> Result<(String, Trigger), String> {
        Ok(match self {
            Self::EventGrid(b) => (b.name, Trigger::EventGrid),
            Self::Queue(b) => (
                b.name,
                Trigger::Queue {
                    queue: b.queue_name,
                },
            ),
            Self::Timer(b) => {
                let schedule = b.schedule.parse::<Schedule>().map_err(|e| e.to_string())?;
                (b.name, Trigger::Timer { schedule })
            }
            Self::HttpTrigger(b) => {
                let route = Route::parse(b.route.as_deref().unwrap_or(function))?;
                let methods = b.methods.iter().map(|m| m.to_ascii_uppercase()).collect();
                let auth_level = b.auth_level;
                (
                    b.name,
                    Trigger::Http(HttpTrigger {
                        route,
                        methods,
                        auth_level,
                    }),
                )
            }
            Self::HttpOutput(b) => return Err(format!("`{}` is an output, not a trigger", b.name)),
        })
    }
}
