//! What the host is told by the folder it is started in: `host.json` and every `<Name>/function.json` in the
//! direct children of that folder, as the Functions host finds them. Only the fields this host acts on are kept.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

mod function;
mod host_file;
mod span;

pub use function::{AuthLevel, Function, HttpTrigger, Trigger};
use host_file::HostFile;
use span::parse_span;

/// Application settings: what Azure keeps as app settings, and `local.settings.json` under `Values`.
pub type Settings = BTreeMap<String, String>;

/// Why the folder cannot be hosted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file or folder could not be read.
    #[error("could not read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file is not the JSON it should be.
    #[error("{path} is not valid")]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// `%NAME%` names a setting that is not there.
    #[error("{path} refers to the setting `{name}`, which is not set")]
    UnknownSetting {
        /// The file.
        path: PathBuf,
        /// The setting.
        name: String,
    },
    /// A binding of a type, or in a combination, that this host does not know.
    #[error("{path}: {problem}")]
    Binding {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Two functions whose names differ in case only; the host takes them for one.
    #[error("two functions are called `{0}`")]
    DuplicateName(String),
    /// A value of `host.json` that cannot be used.
    #[error("{path}: `{field}` is `{value}`, which is not {wanted}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The field, dotted.
        field: &'static str,
        /// What it says.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
}

/// The program that handles the functions, from `customHandler.description`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerProgram {
    /// The executable; absolute if such a file is in the root, else as written (found on `PATH`).
    pub executable: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The folder it is started in.
    pub working_directory: PathBuf,
}

/// How HTTP functions reach the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMode {
    /// `enableProxyingHttpRequest`: bodies are streamed both ways.
    Proxying,
    /// `enableForwardingHttpRequest`: bodies are buffered, and dropped where the client sent no `Content-Length`.
    Forwarding,
}

/// Limits of the queue triggers, from `extensions.queues`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueLimits {
    /// Messages fetched at once.
    pub batch_size: usize,
    /// The next batch is fetched when no more than this many are running.
    pub new_batch_threshold: usize,
    /// A message that failed this often goes to the poison queue.
    pub max_dequeue_count: u32,
    /// How long a failed message stays hidden before it is tried again.
    pub visibility_timeout: Duration,
}

/// Everything the host needs to know about the folder it serves.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// The script root.
    pub root: PathBuf,
    /// Settings given to [`HostConfig::load`]; they become the handler's environment.
    pub settings: Settings,
    /// The handler.
    pub handler: HandlerProgram,
    /// How HTTP functions reach it.
    pub http_mode: HttpMode,
    /// Limit for the first answer of a started handler.
    pub initialization_timeout: Duration,
    /// Limit for one invocation.
    pub function_timeout: Duration,
    /// First part of every HTTP route, without slashes; may be empty.
    pub route_prefix: String,
    /// Limits of the queue triggers.
    pub queues: QueueLimits,
    /// The functions, ordered by name.
    pub functions: Vec<Function>,
}

impl HostConfig {
    /// Reads `host.json` and all `function.json` files below `root`, with `%NAME%` replaced from `settings`.
    ///
    /// # Errors
    /// Whatever keeps the folder from being hosted faithfully: unreadable or malformed files, binding types and
    /// properties this host does not know, unknown settings, two functions of one name.
    pub fn load(root: &Path, settings: Settings) -> Result<Self, ConfigError> {
        // The handler is started in another folder, where relative paths would lead elsewhere.
        let root = &root.canonicalize().map_err(|source| ConfigError::Read {
            path: root.to_path_buf(),
            source,
        })?;
        let path = root.join("host.json");
        let file: HostFile = read_json(&path, Some(&settings))?;
        let functions = load_functions(root, &settings)?;
        check(&path, &file, &functions)?;
        let span = |field, text: &str| {
            parse_span(text).ok_or_else(|| ConfigError::Value {
                path: path.clone(),
                field,
                value: text.to_owned(),
                wanted: "a time span hh:mm:ss",
            })
        };
        let (custom, queues) = (file.custom_handler, file.extensions.queues);
        Ok(Self {
            root: root.clone(),
            handler: custom.description.resolve(root),
            http_mode: if custom.enable_proxying_http_request {
                HttpMode::Proxying
            } else {
                HttpMode::Forwarding
            },
            initialization_timeout: span(
                "customHandler.initializationTimeout",
                &custom.initialization_timeout,
            )?,
            function_timeout: span("functionTimeout", &file.function_timeout)?,
            route_prefix: file
                .extensions
                .http
                .route_prefix
                .trim_matches('/')
                .to_owned(),
            queues: QueueLimits {
                batch_size: queues.batch_size,
                new_batch_threshold: queues.new_batch_threshold.unwrap_or(queues.batch_size / 2),
                max_dequeue_count: queues.max_dequeue_count,
                visibility_timeout: span(
                    "extensions.queues.visibilityTimeout",
                    &queues.visibility_timeout,
                )?,
            },
            functions,
            settings,
        })
    }

    /// The function of that name; names are compared as the host does, without regard to case.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions
            .iter()
            .find(|f| f.name.eq_ignore_ascii_case(name))
    }
}

/// Reads the `Values` of a `local.settings.json`.
///
/// # Errors
/// When the file cannot be read or its values are not strings.
pub fn read_local_settings(path: &Path) -> Result<Settings, ConfigError> {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "Values", default)]
        values: Settings,
    }
    read_json::<File>(path, None).map(|file| file.values)
}

/// Refuses what this host would emulate wrongly.
fn check(path: &Path, file: &HostFile, functions: &[Function]) -> Result<(), ConfigError> {
    let custom = &file.custom_handler;
    let passes_http = custom.enable_proxying_http_request || custom.enable_forwarding_http_request;
    if !passes_http
        && functions
            .iter()
            .any(|f| matches!(f.trigger, Trigger::Http(_)))
    {
        return Err(ConfigError::Binding {
            path: path.to_path_buf(),
            problem: "HTTP functions need `customHandler.enableProxyingHttpRequest` or \
                      `enableForwardingHttpRequest`; HTTP in envelopes is not emulated"
                .to_owned(),
        });
    }
    let encoding = &file.extensions.queues.message_encoding;
    let has_queues = functions
        .iter()
        .any(|f| matches!(f.trigger, Trigger::Queue { .. }));
    if has_queues && encoding != "none" {
        return Err(ConfigError::Value {
            path: path.to_path_buf(),
            field: "extensions.queues.messageEncoding",
            value: encoding.clone(),
            wanted: "`none`, the only encoding this host emulates",
        });
    }
    Ok(())
}

fn load_functions(root: &Path, settings: &Settings) -> Result<Vec<Function>, ConfigError> {
    let read_failed = |source| ConfigError::Read {
        path: root.to_path_buf(),
        source,
    };
    let mut functions: BTreeMap<String, Function> = BTreeMap::new();
    for entry in std::fs::read_dir(root).map_err(read_failed)? {
        let folder = entry.map_err(read_failed)?;
        let path = folder.path().join("function.json");
        if !path.is_file() {
            continue;
        }
        let name = folder.file_name().to_string_lossy().into_owned();
        let function = Function::from_bindings(&name, &path, read_json(&path, Some(settings))?)?;
        if functions
            .insert(name.to_ascii_lowercase(), function)
            .is_some()
        {
            return Err(ConfigError::DuplicateName(name));
        }
    }
    Ok(functions.into_values().collect())
}

/// Reads a JSON file and, given settings, replaces `%NAME%` in all its strings.
fn read_json<T: serde::de::DeserializeOwned>(
    path: &Path,
    settings: Option<&Settings>,
) -> Result<T, ConfigError> {
    let invalid = |source| ConfigError::Json {
        path: path.to_path_buf(),
        source,
    };
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let mut value: serde_json::Value = serde_json::from_str(&text).map_err(invalid)?;
    if let Some(settings) = settings {
        expand(&mut value, settings).map_err(|name| ConfigError::UnknownSetting {
            path: path.to_path_buf(),
            name,
        })?;
    }
    serde_json::from_value(value).map_err(invalid)
}

/// Replaces `%NAME%` in every string of `value`; gives the first name that is not set.
fn expand(value: &mut serde_json::Value, settings: &Settings) -> Result<(), String> {
    match value {
        serde_json::Value::String(text) => *text = expand_text(text, settings)?,
        serde_json::Value::Array(items) => {
            items.iter_mut().try_for_each(|v| expand(v, settings))?
        }
        serde_json::Value::Object(fields) => {
            fields.values_mut().try_for_each(|v| expand(v, settings))?
        }
        _ => {}
    }
    Ok(())
}

fn expand_text(text: &str, settings: &Settings) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        let Some((name, tail)) = after.split_once('%') else {
            break;
        };
        out.push_str(before);
        out.push_str(settings.get(name).ok_or_else(|| name.to_owned())?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn settings() -> Settings {
        [("SCHEDULE", "0 */5 * * * *"), ("QUEUE", "due")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into()
    }

    fn folder(host: &Value, functions: &[(&str, Value)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("host.json"), host.to_string()).unwrap();
        for (name, bindings) in functions {
            let folder = root.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(
                folder.join("function.json"),
                json!({ "bindings": bindings }).to_string(),
            )
            .unwrap();
        }
        root
    }

    fn host_json() -> Value {
        json!({"version": "2.0",
            "customHandler": {"description": {"defaultExecutablePath": "handler", "arguments": ["serve"]},
                "enableForwardingHttpRequest": true, "initializationTimeout": "00:00:07"},
            "extensions": {"queues": {"batchSize": 4, "messageEncoding": "none", "visibilityTimeout": "00:00:30"}}})
    }

    #[test]
    fn host_json_and_functions_are_read_with_settings_expanded() {
        let root = folder(
            &host_json(),
            &[
                (
                    "Due",
                    json!([{"type": "queueTrigger", "name": "msg", "direction": "in", "queueName": "%QUEUE%-x", "connection": "C"}]),
                ),
                (
                    "Tick",
                    json!([{"type": "timerTrigger", "name": "timer", "direction": "in", "schedule": "%SCHEDULE%"}]),
                ),
            ],
        );
        let config = HostConfig::load(root.path(), settings()).unwrap();
        assert_eq!(config.http_mode, HttpMode::Forwarding);
        assert_eq!(config.initialization_timeout, Duration::from_secs(7));
        assert_eq!(config.route_prefix, "api");
        assert_eq!(config.handler.executable, PathBuf::from("handler"));
        assert_eq!(
            (config.queues.batch_size, config.queues.new_batch_threshold),
            (4, 2)
        );
        assert_eq!(config.queues.visibility_timeout, Duration::from_secs(30));
        assert!(
            matches!(&config.function("due").unwrap().trigger, Trigger::Queue { queue } if queue == "due-x")
        );
        assert!(matches!(
            config.function("Tick").unwrap().trigger,
            Trigger::Timer { .. }
        ));
    }

    #[test]
    fn an_executable_in_the_root_is_made_absolute() {
        let root = folder(&host_json(), &[]);
        std::fs::write(root.path().join("handler"), "").unwrap();
        let config = HostConfig::load(root.path(), settings()).unwrap();
        assert_eq!(
            config.handler.executable,
            root.path().canonicalize().unwrap().join("handler")
        );
    }

    #[rstest]
    #[case::unknown_type(json!([{"type": "blobTrigger", "name": "b", "direction": "in"}]), "blobTrigger")]
    #[case::no_trigger(json!([{"type": "http", "name": "res", "direction": "out"}]), "exactly one trigger")]
    #[case::http_without_output(json!([{"type": "httpTrigger", "name": "req", "direction": "in"}]), "`http` output")]
    #[case::bad_schedule(json!([{"type": "timerTrigger", "name": "t", "direction": "in", "schedule": "* * *"}]), "six fields")]
    #[case::unset(json!([{"type": "timerTrigger", "name": "t", "direction": "in", "schedule": "%NOPE%"}]), "NOPE")]
    #[case::unknown_property(json!([{"type": "eventGridTrigger", "name": "e", "direction": "in", "retry": 1}]), "retry")]
    fn what_cannot_be_hosted_is_refused_by_name(#[case] bindings: Value, #[case] said: &str) {
        let root = folder(&host_json(), &[("F", bindings)]);
        let error = HostConfig::load(root.path(), settings()).unwrap_err();
        let text = format!(
            "{error} {:?}",
            std::error::Error::source(&error).map(ToString::to_string)
        );
        assert!(text.contains(said), "{text}");
    }

    #[test]
    fn names_that_differ_in_case_only_are_refused() {
        let event = json!([{"type": "eventGridTrigger", "name": "event", "direction": "in"}]);
        let root = folder(&host_json(), &[("Same", event.clone()), ("same", event)]);
        let error = HostConfig::load(root.path(), settings()).unwrap_err();
        assert!(matches!(error, ConfigError::DuplicateName(_)), "{error}");
    }

    #[test]
    fn base64_queues_are_refused_not_misread() {
        let mut host = host_json();
        host["extensions"]["queues"]["messageEncoding"] = json!("base64");
        let due = json!([{"type": "queueTrigger", "name": "msg", "direction": "in", "queueName": "q", "connection": "C"}]);
        let root = folder(&host, &[("Due", due)]);
        let error = HostConfig::load(root.path(), settings()).unwrap_err();
        assert!(error.to_string().contains("messageEncoding"), "{error}");
    }

    #[test]
    fn http_functions_need_proxying_or_forwarding() {
        let mut host = host_json();
        host["customHandler"]["enableForwardingHttpRequest"] = json!(false);
        let http = json!([{"type": "httpTrigger", "name": "req", "direction": "in"}, {"type": "http", "name": "res", "direction": "out"}]);
        let root = folder(&host, &[("F", http)]);
        let error = HostConfig::load(root.path(), settings()).unwrap_err();
        assert!(
            error.to_string().contains("enableProxyingHttpRequest"),
            "{error}"
        );
    }

    #[test]
    fn local_settings_are_the_values() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("local.settings.json");
        std::fs::write(&path, r#"{"IsEncrypted": false, "Values": {"A": "100%"}}"#).unwrap();
        assert_eq!(
            read_local_settings(&path).unwrap().get("A").unwrap(),
            "100%"
        );
    }
}
