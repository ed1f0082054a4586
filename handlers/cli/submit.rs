//! `landfall submit`: declares a series to a running app. SPEC §8, §12.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::server::{Server, ServerArguments};
use super::status;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder, file or container of the sources as the app knows it, such as `abfs://bronze/netcdf/era5/`.
    source_url: Option<String>,
    /// A JSON file with the body of the request, `-` for the standard input; flags are put over what it says.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    options: Options,
    /// Say what would happen; nothing is changed.
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Wait until the series is combined, or is known not to be.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    server: ServerArguments,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// What the series is called, and what is said of it.
#[derive(Debug, clap::Args)]
struct Names {
    /// Dataset of the Asset.
    #[arg(long, value_name = "ID", required_unless_present = "body")]
    dataset_id: Option<String>,
    /// Resource of the Asset.
    #[arg(long, value_name = "ID", required_unless_present = "body")]
    resource_id: Option<String>,
    /// Container of the sources, in place of their address.
    #[arg(long, value_name = "NAME")]
    container_name: Option<String>,
    /// Files of the series, by their names below the folder or container.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    file_name: Vec<String>,
    /// Version wished for.
    #[arg(long, value_name = "VERSION")]
    version_id: Option<String>,
    /// Version that this one follows.
    #[arg(long, value_name = "VERSION", requires = "version_id")]
    previous_version_id: Option<String>,
    /// Title for people.
    #[arg(long)]
    title: Option<String>,
    /// Description for people.
    #[arg(long)]
    description: Option<String>,
    /// Words to find it by.
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,
    /// Clearance wished for: `public` or `ouo`.
    #[arg(long, value_name = "LEVEL")]
    access_level: Option<String>,
    /// Platform of the Asset.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
}

/// The processing options, by their names in a request.
#[derive(Debug, clap::Args)]
struct Options {
    /// How it is made; `virtualzarr`, the only one.
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Dimension to join along (`time` by default).
    #[arg(long, value_name = "NAME")]
    concat_dim: Option<String>,
    /// Shell pattern on the file names (`*.nc` by default).
    #[arg(long, value_name = "PATTERN")]
    file_pattern: Option<String>,
    /// Reject files with critical chunking findings.
    #[arg(long)]
    fail_on_chunking_warnings: bool,
    /// Replace what was declared before, unless it is approved.
    #[arg(long)]
    overwrite: bool,
    /// When the series is complete: `count=12`, `files=a.nc,b.nc`, `time_range=2000-01-01,2000-12-31` or
    /// `quiet_period=PT10M`; by default with what is there now.
    #[arg(long, value_name = "WHAT=VALUE", value_parser = expected)]
    expected: Option<Value>,
    /// STAC collection (the dataset by default).
    #[arg(long, value_name = "ID")]
    collection_id: Option<String>,
    /// Most files that may be found.
    #[arg(long, value_name = "COUNT")]
    max_files: Option<u64>,
    /// Variables that some files lack: `refuse` or `fill`.
    #[arg(long, value_name = "HOW")]
    missing: Option<String>,
    /// Variables to leave out.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    drop_variables: Vec<String>,
    /// Largest difference of coordinates that still counts as equal.
    #[arg(long, value_name = "DISTANCE")]
    coord_tolerance: Option<f64>,
    /// Let files hold different variables over the same coordinates.
    #[arg(long)]
    merge_variables: bool,
    /// Largest variable that is inlined, in bytes.
    #[arg(long, value_name = "BYTES")]
    inline_max_bytes: Option<u64>,
}

/// `count=12` and the like, or the JSON of a request.
fn expected(text: &str) -> Result<Value, String> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let (what, value) = text.split_once('=').ok_or("no `=` in it")?;
    let list: Vec<&str> = value.split(',').collect();
    match what {
        "count" => {
            let count: u64 = value.parse().map_err(|_| "no count".to_owned())?;
            Ok(json!({"count": count}))
        }
        "files" => Ok(json!({"files": list})),
        "time_range" if list.len() == 2 => Ok(json!({"time_range": list})),
        "time_range" => Err(String::from("two dates, with a comma between them")),
        "quiet_period" => Ok(json!({"quiet_period": value})),
        _ => Err(String::from(
            "one of count, files, time_range and quiet_period",
        )),
    }
}

/// Submits, and tells what the app said.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let server = Server::new(&arguments.server)?;
    let path = match arguments.dry_run {
        true => "/api/platform/submit?dry_run=true",
        false => "/api/platform/submit",
    };
    let answer = server.post(path, &body(&arguments)?).await?;
    if arguments.wait {
        let id = answer["release_id"].as_str().unwrap_or_default();
        return status::follow(&server, &status::path_of(id), arguments.json).await;
    }
    match arguments.json {
        true => println!("{answer}"),
        false => print!("{}", told(&answer)),
    }
    Ok(())
}

fn body(arguments: &Arguments) -> Result<Value, Failure> {
    let mut body = match &arguments.body {
        Some(file) => read(file)?,
        None => json!({"data_type": "zarr"}),
    };
    let Value::Object(fields) = &mut body else {
        let message = String::from("the body is not a JSON object");
        return Err(Failure::rejected("body_unreadable", message));
    };
    fields.extend(arguments.names.fields());
    if let Some(url) = &arguments.source_url {
        fields.insert(String::from("source_url"), json!(url));
    }
    let options = arguments.options.fields();
    if !options.is_empty() {
        let given = fields
            .entry("processing_options")
            .or_insert_with(|| json!({}));
        if let Value::Object(given) = given {
            given.extend(options);
        }
    }
    Ok(body)
}

fn read(file: &Path) -> Result<Value, Failure> {
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    let refused =
        |why: String| Failure::rejected("body_unreadable", format!("{}: {why}", file.display()));
    read.map_err(|error| refused(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| refused(error.to_string()))
}

/// The fields that were given, by name.
fn given<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let given = fields.into_iter();
    given
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn text(text: &Option<String>) -> Option<Value> {
    text.as_ref().map(|text| json!(text))
}

fn list(texts: &[String]) -> Option<Value> {
    (!texts.is_empty()).then(|| json!(texts))
}

fn flag(is_set: bool) -> Option<Value> {
    is_set.then_some(Value::Bool(true))
}

impl Names {
    fn fields(&self) -> Map<String, Value> {
        given([
            ("dataset_id", text(&self.dataset_id)),
            ("resource_id", text(&self.resource_id)),
            ("container_name", text(&self.container_name)),
            ("file_name", list(&self.file_name)),
            ("version_id", text(&self.version_id)),
            ("previous_version_id", text(&self.previous_version_id)),
            ("title", text(&self.title)),
            ("description", text(&self.description)),
            ("tags", list(&self.tags)),
            ("access_level", text(&self.access_level)),
            ("client_id", text(&self.client_id)),
        ])
    }
}

impl Options {
    fn fields(&self) -> Map<String, Value> {
        given([
            ("pipeline", text(&self.pipeline)),
            ("concat_dim", text(&self.concat_dim)),
            ("file_pattern", text(&self.file_pattern)),
            (
                "fail_on_chunking_warnings",
                flag(self.fail_on_chunking_warnings),
            ),
            ("overwrite", flag(self.overwrite)),
            ("expected", self.expected.clone()),
            ("collection_id", text(&self.collection_id)),
            ("max_files", self.max_files.map(Value::from)),
            ("missing", text(&self.missing)),
            ("drop_variables", list(&self.drop_variables)),
            ("coord_tolerance", self.coord_tolerance.map(Value::from)),
            ("merge_variables", flag(self.merge_variables)),
            ("inline_max_bytes", self.inline_max_bytes.map(Value::from)),
        ])
    }
}

/// The answer for people.
fn told(answer: &Value) -> String {
    let text = |field: &str| answer[field].as_str().unwrap_or_default();
    let mut out = match answer["dry_run"] == true {
        true => format!(
            "would be {}: {} files, {} bytes\n",
            text("operation").replace('_', " "),
            answer["file_count"],
            answer["total_size_bytes"]
        ),
        false => format!("{}\n", text("message")),
    };
    for field in ["release_id", "job_id", "request_id", "monitor_url"] {
        if !text(field).is_empty() {
            out.push_str(&format!("  {field:<12} {}\n", text(field)));
        }
    }
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        let warning = warning.as_str().unwrap_or_default();
        out.push_str(&format!("  warning: {warning}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rstest::rstest;

    use super::*;
    use crate::group::{SUBMISSION_FIELDS, option_fields};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn body_of(line: &str) -> Value {
        let words = std::iter::once("submit").chain(line.split_whitespace());
        body(&Line::parse_from(words).arguments).unwrap()
    }

    #[rstest]
    #[case("count=12", json!({"count": 12}))]
    #[case("files=a.nc,b.nc", json!({"files": ["a.nc", "b.nc"]}))]
    #[case("time_range=2000-01-01,2000-12-31", json!({"time_range": ["2000-01-01", "2000-12-31"]}))]
    #[case("quiet_period=PT10M", json!({"quiet_period": "PT10M"}))]
    #[case(r#"{"count": 3}"#, json!({"count": 3}))]
    fn what_is_expected(#[case] text: &str, #[case] value: Value) {
        assert_eq!(expected(text), Ok(value));
    }

    #[rstest]
    #[case("count")]
    #[case("count=many")]
    #[case("time_range=2000")]
    #[case("days=3")]
    fn what_is_no_expectation(#[case] text: &str) {
        assert!(expected(text).is_err());
    }

    // Every field and option of a request is a flag: one that is added there is missed here.
    #[test]
    fn every_field_is_a_flag() {
        let line = "abfs://bronze/x/ --dataset-id a --resource-id b --container-name bronze --file-name a.nc \
                    --version-id v2 --previous-version-id v1 --title t --description d --tags x,y \
                    --access-level ouo --client-id ddh --pipeline virtualzarr --concat-dim t --file-pattern *.nc \
                    --fail-on-chunking-warnings --overwrite --expected count=1 --collection-id c --max-files 3 \
                    --missing fill --drop-variables u,v --coord-tolerance 0.5 --merge-variables \
                    --inline-max-bytes 7";
        let body = body_of(line);
        // The one operation there is goes without saying.
        for field in SUBMISSION_FIELDS
            .iter()
            .filter(|field| **field != "operation")
        {
            assert!(body.get(field).is_some(), "{field}");
        }
        for option in option_fields() {
            assert!(
                body["processing_options"].get(&option).is_some(),
                "{option}"
            );
        }
        assert_eq!(
            body["processing_options"]["drop_variables"],
            json!(["u", "v"])
        );
    }

    #[test]
    fn what_is_not_given_is_not_sent() {
        let expected = json!({
            "data_type": "zarr", "dataset_id": "a", "resource_id": "b", "source_url": "abfs://bronze/x/",
        });
        assert_eq!(
            body_of("abfs://bronze/x/ --dataset-id a --resource-id b"),
            expected
        );
    }
}
