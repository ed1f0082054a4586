//! `host.json` and the functions of the folder that is deployed, against those that this program was built with.

use std::path::Path;

use serde_json::Value;

use super::Check;
use crate::function_app::FUNCTIONS;

const PART: &str = "app";

/// What has to stand in `host.json`, and what goes wrong else.
const NEEDED: [(&str, &str, bool, &str); 5] = [
    (
        "/extensions/queues/messageEncoding",
        "\"none\"",
        true,
        "messages are sent as they are: the host would take them for base64, and they end as poison",
    ),
    (
        "/extensions/http/routePrefix",
        "\"api\"",
        true,
        "the handler answers below /api",
    ),
    (
        "/customHandler/enableForwardingHttpRequest",
        "true",
        true,
        "the handler expects requests as they came",
    ),
    (
        "/customHandler/description/arguments/0",
        "\"serve\"",
        true,
        "the program has to be started as `landfall serve`",
    ),
    (
        "/logging/applicationInsights/samplingSettings/excludedTypes",
        "\"Trace;Request;Exception\"",
        false,
        "log lines that alerts count are sampled away",
    ),
];

/// What a binding has to say as it did when the program was built.
const OF_BINDINGS: [&str; 7] = [
    "type",
    "name",
    "queueName",
    "connection",
    "schedule",
    "route",
    "authLevel",
];

/// The folder of the app.
pub(super) fn check(folder: Option<&Path>) -> Vec<Check> {
    let Some(folder) = folder else {
        let check = Check::warning(
            PART,
            "host.json",
            "not looked at: nothing says where the function app is",
        );
        return vec![
            check.cured_by("landfall doctor --app FOLDER, the folder with host.json in it"),
        ];
    };
    let mut checks = match read(&folder.join("host.json")) {
        Ok(host) => host_file(&host, folder),
        Err(error) => vec![Check::failed(PART, "host.json", error).cured_by(DEPLOY)],
    };
    checks.extend(functions(folder));
    checks
}

const DEPLOY: &str =
    "deploy the folder that `just stage` lays out: host.json, functions and program of one version";

fn read(file: &Path) -> Result<Value, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", file.display()))
}

fn host_file(host: &Value, folder: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    for (pointer, wanted, is_fatal, why) in NEEDED {
        let found = host.pointer(pointer).unwrap_or(&Value::Null).to_string();
        if found == wanted {
            continue;
        }
        let name = format!(
            "host.json {}",
            pointer.trim_start_matches('/').replace('/', ".")
        );
        let message = format!("is {found}: {why}");
        let check = match is_fatal {
            true => Check::failed(PART, name, message),
            false => Check::warning(PART, name, message),
        };
        checks.push(check.cured_by(format!("set it to {wanted}")));
    }
    checks.extend(program(host, folder));
    if checks.is_empty() {
        checks.push(Check::ok(
            PART,
            "host.json",
            "messageEncoding is none; the rest as it has to be",
        ));
    }
    checks
}

/// Whether the program is where the host looks for it.
fn program(host: &Value, folder: &Path) -> Option<Check> {
    let pointer = "/customHandler/description/defaultExecutablePath";
    let name = host
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_there = !name.is_empty() && folder.join(name).is_file();
    // `landfall dev` starts itself, from wherever it is.
    let is_dev = folder.ends_with(".landfall/app");
    (!is_there && !is_dev).then(|| {
        let message = format!("`{name}` is not in {}", folder.display());
        Check::warning(PART, "program", message).cured_by(DEPLOY)
    })
}

fn functions(folder: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, built_with) in FUNCTIONS {
        let wanted: Value = serde_json::from_str(built_with).unwrap_or_default();
        match read(&folder.join(name).join("function.json")) {
            Ok(found) => checks.extend(
                differences(&found, &wanted)
                    .into_iter()
                    .map(|message| Check::failed(PART, name, message).cured_by(DEPLOY)),
            ),
            Err(error) => checks.push(Check::failed(PART, name, error).cured_by(DEPLOY)),
        }
    }
    checks.extend(strangers(folder));
    if checks.is_empty() {
        let message = format!(
            "{} functions, as this program was built with",
            FUNCTIONS.len()
        );
        checks.push(Check::ok(PART, "functions", message));
    }
    checks
}

/// What differs in the trigger of a function.
fn differences(found: &Value, wanted: &Value) -> Vec<String> {
    let of = |document: &Value, key: &str| {
        let value = document
            .pointer("/bindings/0")
            .and_then(|binding| binding.get(key));
        value.cloned().unwrap_or_default()
    };
    let differs = OF_BINDINGS
        .iter()
        .filter(|key| of(found, key) != of(wanted, key));
    differs
        .map(|key| format!("{key} is {}, not {}", of(found, key), of(wanted, key)))
        .collect()
}

/// Folders of functions that the program knows nothing of.
fn strangers(folder: &Path) -> Vec<Check> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let functions = entries.filter(|entry| entry.path().join("function.json").is_file());
    let names = functions.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let strange = names.filter(|name| FUNCTIONS.iter().all(|(known, _)| known != name));
    strange
        .map(|name| Check::failed(PART, name, "this program has no such function").cured_by(DEPLOY))
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::doctor::State;
    use crate::function_app::HOST;

    fn app() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("host.json"), HOST).unwrap();
        std::fs::write(folder.path().join("landfall"), "program").unwrap();
        for (name, text) in FUNCTIONS {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("function.json"), text).unwrap();
        }
        folder
    }

    fn change(folder: &tempfile::TempDir, file: &str, from: &str, to: &str) {
        let file = folder.path().join(file);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(file, text.replace(from, to)).unwrap();
    }

    #[test]
    fn what_is_deployed_as_it_was_built_is_well() {
        let folder = app();
        let checks = check(Some(folder.path()));
        assert!(
            checks.iter().all(|check| check.state == State::Ok),
            "{checks:?}"
        );
    }

    #[rstest]
    #[case::encoding(
        "host.json",
        "\"messageEncoding\": \"none\"",
        "\"messageEncoding\": \"base64\"",
        "host.json extensions.queues.messageEncoding",
        State::Failed
    )]
    #[case::default_encoding(
        "host.json",
        "\"messageEncoding\"",
        "\"other\"",
        "host.json extensions.queues.messageEncoding",
        State::Failed
    )]
    #[case::prefix(
        "host.json",
        "\"routePrefix\": \"api\"",
        "\"routePrefix\": \"\"",
        "host.json extensions.http.routePrefix",
        State::Failed
    )]
    #[case::sampling(
        "host.json",
        "Trace;Request",
        "Request",
        "host.json logging.applicationInsights.samplingSettings.excludedTypes",
        State::Warning
    )]
    #[case::no_program("host.json", "\"landfall\"", "\"handler\"", "program", State::Warning)]
    #[case::no_json("host.json", "{", "", "host.json", State::Failed)]
    #[case::queue(
        "CombineDue/function.json",
        "combine-due",
        "combine",
        "CombineDue",
        State::Failed
    )]
    #[case::open_to_all(
        "Api/function.json",
        "\"function\"",
        "\"anonymous\"",
        "Api",
        State::Failed
    )]
    #[case::schedule(
        "Sweep/function.json",
        "%LANDFALL_SWEEP_SCHEDULE%",
        "0 0 * * * *",
        "Sweep",
        State::Failed
    )]
    fn what_differs_is_told(
        #[case] file: &str,
        #[case] from: &str,
        #[case] to: &str,
        #[case] name: &str,
        #[case] state: State,
    ) {
        let folder = app();
        change(&folder, file, from, to);
        let checks = check(Some(folder.path()));
        let bad: Vec<(&str, State)> = checks
            .iter()
            .filter(|check| check.state != State::Ok)
            .map(|check| (check.name.as_str(), check.state))
            .collect();
        assert_eq!(bad, [(name, state)], "{checks:?}");
        assert!(
            checks
                .iter()
                .all(|check| (check.state == State::Ok) == check.remedy.is_none())
        );
    }

    #[test]
    fn functions_that_are_missing_or_unknown_are_told() {
        let folder = app();
        std::fs::rename(folder.path().join("Sweep"), folder.path().join("Swept")).unwrap();
        let checks = check(Some(folder.path()));
        let bad: Vec<&str> = checks
            .iter()
            .filter(|check| check.state == State::Failed)
            .map(|check| check.name.as_str())
            .collect();
        assert_eq!(bad, ["Sweep", "Swept"]);
    }
}
