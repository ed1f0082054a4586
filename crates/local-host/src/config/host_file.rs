//! `host.json` as it is written, with the host's defaults.

use std::path::Path;

use serde::Deserialize;

use super::HandlerProgram;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HostFile {
    #[serde(default = "default_function_timeout")]
    pub(super) function_timeout: String,
    pub(super) custom_handler: CustomHandler,
    #[serde(default)]
    pub(super) extensions: Extensions,
}

fn default_function_timeout() -> String {
    "00:30:00".to_owned()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CustomHandler {
    pub(super) description: Description,
    #[serde(default)]
    pub(super) enable_forwarding_http_request: bool,
    #[serde(default)]
    pub(super) enable_proxying_http_request: bool,
    #[serde(default = "default_initialization_timeout")]
    pub(super) initialization_timeout: String,
}

fn default_initialization_timeout() -> String {
    "00:00:30".to_owned()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    pub(super) default_executable_path: String,
    #[serde(default)]
    pub(super) arguments: Vec<String>,
    #[serde(default)]
    pub(super) working_directory: String,
}

impl Description {
    pub(super) fn resolve(self, root: &Path) -> HandlerProgram {
        let beside = root.join(&self.default_executable_path);
        HandlerProgram {
            executable: if beside.is_file() {
                beside
            } else {
                self.default_executable_path.into()
            },
            arguments: self.arguments,
            working_directory: root.join(self.working_directory),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Extensions {
    pub(super) http: HttpExtension,
    pub(super) queues: QueuesExtension,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct HttpExtension {
    pub(super) route_prefix: String,
}

impl Default for HttpExtension {
    fn default() -> Self {
        Self {
            route_prefix: "api".to_owned(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct QueuesExtension {
    pub(super) batch_size: usize,
    pub(super) new_batch_threshold: Option<usize>,
    pub(super) max_dequeue_count: u32,
    pub(super) visibility_timeout: String,
    pub(super) message_encoding: String,
}

impl Default for QueuesExtension {
    fn default() -> Self {
        Self {
            batch_size: 16,
            new_batch_threshold: None,
            max_dequeue_count: 5,
            visibility_timeout: "00:00:00".to_owned(),
            message_encoding: "base64".to_owned(),
        }
    }
}
