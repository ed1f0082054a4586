//! The HTTP API from outside: the options of a submission, `landfall submit` and `status`, and schemathesis, which tries
//! the API from its document.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::mismatch::matrix;
use crate::support::{Dev, demo_series, landfall, python, repository};

fn run(dev: &Dev, arguments: &[&str]) -> Output {
    let mut command = landfall();
    command.args(arguments).args(["--server", &dev.url("")]);
    command.output().unwrap()
}

/// The exit code and the JSON of a command.
fn asked(dev: &Dev, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = run(dev, &[arguments, &["--json"]].concat());
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), document)
}

/// The rows of the mismatch matrix that need an option to be joined: through the app each is joined with its options, and
/// those that cannot be without are refused first.
#[test]
fn every_option_of_a_join_does_in_the_app_what_it_does_on_the_command_line() {
    let dev = Dev::start_told(&[], &[("LANDFALL_AUTO_GROUP", "false")]);
    let (root, cases) = matrix();
    let needs = |options: &[String]| {
        let mut flags = options.iter().filter(|word| word.starts_with("--"));
        flags.any(|flag| flag != "--concat-dim")
    };
    let with_options: Vec<_> = cases
        .iter()
        .filter(|case| case.must_join() && needs(&case.options))
        .collect();
    assert!(with_options.len() > 8, "{} cases", with_options.len());
    for case in with_options {
        let files = case.files(root.path());
        dev.land_all(&files, &case.name);
        let source = format!("abfs://bronze/{}/", case.name);
        let names = ["--dataset-id", &case.name, "--resource-id", "options"];
        let options: Vec<&str> = case.options.iter().map(String::as_str).collect();
        let line = [&["submit", &source], &names[..], &options, &["--wait"]].concat();
        let (code, story) = asked(&dev, &line);
        assert_eq!(code, Some(0), "{}: {story}", case.name);
        assert_eq!(
            story["outputs"]["result"]["source_files"],
            files.len(),
            "{}",
            case.name
        );
    }
}

/// Makes files whose chunks are one pixel, and files with a variable that only an inlined value can express.
const OPTION_FILES: &str = r#"
import sys, h5py, numpy as np
folder = sys.argv[1]
for year in (2000, 2001):
    with h5py.File(f"{folder}/pixels_{year}.nc", "w") as f:
        time = f.create_dataset("time", data=np.arange(2.0)); time.make_scale("time")
        time.attrs["units"] = f"days since {year}-01-01"
        for name, units in (("lat", "degrees_north"), ("lon", "degrees_east")):
            axis = f.create_dataset(name, data=np.arange(4.0)); axis.make_scale(name)
            axis.attrs["units"] = units
        v = f.create_dataset("v", data=np.ones((2, 4, 4), "f4"), chunks=(2, 1, 1))
        for number, name in enumerate(("time", "lat", "lon")):
            v.dims[number].attach_scale(f[name])
    for name in ("codes", "dropped"):
        with h5py.File(f"{folder}/{name}_{year}.nc", "w") as f:
            time = f.create_dataset("time", data=np.arange(2.0)); time.make_scale("time")
            time.attrs["units"] = f"days since {year}-01-01"
            v = f.create_dataset("v", data=np.ones(2, "f4")); v.dims[0].attach_scale(time)
            codes = f.create_dataset("codes", data=np.arange(16).reshape(2, 8), scaleoffset=0)
            codes.dims[0].attach_scale(time)
"#;

/// An app that has read the files.
fn with_option_files() -> Dev {
    let dev = Dev::start_told(&[], &[("LANDFALL_AUTO_GROUP", "false")]);
    let folder = dev.bronze().join("options");
    std::fs::create_dir_all(&folder).unwrap();
    let made = Command::new(python())
        .args(["-c", OPTION_FILES])
        .arg(&folder)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    dev.wait_for("the files to be read", || {
        (dev.steps("referenced").len() == 6).then_some(())
    });
    dev
}

/// Options of the command line.
type Options<'a> = &'a [&'a str];

/// Two series of the same files: each is judged by its own options, and has what they let in, whichever was declared
/// first and whatever the other comes to.
#[test]
fn series_with_other_options_have_files_in_common() {
    let dev = with_option_files();
    let submit = |dataset: &str, resource: &str, options: &[&str]| {
        let pattern = format!("{dataset}_*.nc");
        let names = ["--dataset-id", dataset, "--resource-id", resource];
        let files = [
            "submit",
            "abfs://bronze/options/",
            "--file-pattern",
            &pattern,
        ];
        asked(&dev, &[&files, &names[..], options, &["--wait"]].concat())
    };
    let few = ["--inline-max-bytes", "20"];
    let dropping = [&few[..], &["--drop-variables", "codes"]].concat();
    let many = ["--inline-max-bytes", "1000"];
    let lost = ("variable_unsupported", "drop_variables");
    let cases: [(&str, Options, Options, (&str, &str)); 3] = [
        (
            "pixels",
            &["--fail-on-chunking-warnings"],
            &[],
            ("ChunkingWarning", "fail_on_chunking_warnings"),
        ),
        ("codes", &few, &many, lost),
        ("dropped", &few, &dropping, lost),
    ];
    let refused = |story: &Value, (code, option): (&str, &str), dataset: &str| {
        let error = &story["error"];
        assert_eq!(
            (&error["code"], &error["user_fixable"]),
            (&json!(code), &json!(true)),
            "{story}"
        );
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{dataset}_200")),
            "{story}"
        );
        assert!(
            error["remediation"].as_str().unwrap().contains(option),
            "{story}"
        );
    };
    for (dataset, strict, lenient, fault) in cases {
        for order in ["strict-first", "lenient-first"] {
            let names = ["strict", "lenient"].map(|kind| format!("{order}-{kind}"));
            let mut both = [(&names[0], strict), (&names[1], lenient)];
            if order == "lenient-first" {
                both.reverse();
            }
            for (resource, options) in both {
                let (code, story) = submit(dataset, resource, options);
                match options == strict {
                    true => {
                        assert_eq!(code, Some(3), "{dataset} {resource}: {story}");
                        refused(&story, fault, dataset);
                    }
                    false => {
                        assert_eq!(code, Some(0), "{dataset} {resource}: {story}");
                        assert_eq!(story["outputs"]["result"]["source_files"], 2, "{story}");
                    }
                }
            }
        }
        // What came later has changed nothing for those that were there before.
        for order in ["strict-first", "lenient-first"] {
            let names = |kind: &str| format!("dataset_id={dataset}&resource_id={order}-{kind}");
            let story = dev.wait_for("the strict series to be refused", || {
                let story = dev.json(&format!("/api/platform/status?{}", names("strict")));
                (story["job_status"] == "failed").then_some(story)
            });
            refused(&story, fault, dataset);
            let story = dev.json(&format!("/api/platform/status?{}", names("lenient")));
            assert_eq!(story["job_status"], "completed", "{story}");
        }
    }
    // Neither is refused: what the one drops, the other has.
    for (resource, options, variables) in [
        ("without", &dropping[..], json!(["v"])),
        ("with", &many, json!(["codes", "v"])),
    ] {
        let (code, story) = submit("codes", resource, options);
        assert_eq!(code, Some(0), "{story}");
        assert_eq!(
            story["outputs"]["result"]["variables"], variables,
            "{story}"
        );
    }
}

/// A file that one submission has rejected is read again for the next.
#[test]
fn options_of_single_files_reject_and_let_in() {
    let dev = with_option_files();
    for (dataset, strict, lenient) in [
        ("pixels", &["--fail-on-chunking-warnings"][..], &[][..]),
        (
            "codes",
            &["--inline-max-bytes", "20"],
            &["--inline-max-bytes", "1000"],
        ),
        (
            "dropped",
            &["--inline-max-bytes", "20"],
            &["--inline-max-bytes", "20", "--drop-variables", "codes"],
        ),
    ] {
        let pattern = format!("{dataset}_*.nc");
        let line = [
            "submit",
            "abfs://bronze/options/",
            "--dataset-id",
            dataset,
            "--resource-id",
            "all",
            "--file-pattern",
            &pattern,
            "--wait",
        ];
        let (code, story) = asked(&dev, &[&line, strict].concat());
        assert_eq!(code, Some(3), "{dataset}: {story}");
        assert_eq!(story["error"]["user_fixable"], true, "{story}");
        // The first file at fault blocks the series, before the other is read again.
        let at_fault = story["error"]["files"].as_array().unwrap();
        assert!(!at_fault.is_empty(), "{story}");
        let (code, story) = asked(&dev, &[&line, lenient, &["--overwrite"]].concat());
        assert_eq!(code, Some(0), "{dataset}: {story}");
        assert_eq!(story["release"]["revision"], 2, "{story}");
    }
}

#[test]
fn people_submit_and_follow_a_series() {
    let dev = Dev::start_told(&[], &[("LANDFALL_AUTO_GROUP", "false")]);
    let files = demo_series();
    dev.land_all(&files, "cmip6");
    let names = ["--dataset-id", "tas", "--resource-id", "demo"];
    let line = [&["submit", "abfs://bronze/cmip6/"], &names[..]].concat();
    let text = |output: Output| String::from_utf8(output.stdout).unwrap();
    let foreseen = text(run(&dev, &[&line[..], &["--dry-run"]].concat()));
    assert!(
        foreseen.starts_with("would be created: 3 files, "),
        "{foreseen}"
    );
    assert_eq!(
        asked(&dev, &[&["status"], &names[..]].concat()).0,
        Some(3),
        "nothing was declared"
    );
    let accepted = text(run(&dev, &line));
    assert!(
        accepted.starts_with("accepted; follow monitor_url\n  release_id   "),
        "{accepted}"
    );
    dev.wait_combined(1);
    let told = text(run(&dev, &[&["status", "--verbose"], &names[..]].concat()));
    assert!(
        told.starts_with("tas/demo: completed, combined; 3 of 3 files referenced\n"),
        "{told}"
    );
    for part in [
        "/api/zarr/",
        "pending_review",
        "register_stac completed",
        "approve at",
    ] {
        assert!(told.contains(part), "`{part}` is missing in:\n{told}");
    }
    let (code, again) = asked(&dev, &line);
    assert_eq!((code, &again["operation"]), (Some(0), &json!("repeated")));
    let id = again["job_id"].as_str().unwrap();
    for named in [id, "tas/demo"] {
        assert_eq!(asked(&dev, &["status", named]).1["job_status"], "completed");
    }
    for (named, token_code) in [("tas/demo", Some(0)), ("tas/other", Some(3))] {
        let token = run(&dev, &["token", named]);
        assert_eq!(token.status.code(), token_code, "{token:?}");
        let release = again["release_id"].as_str().unwrap();
        let address = format!("/api/zarr/{release}/r1/~");
        assert_eq!(text(token).contains(&address), token_code == Some(0));
    }
    let (code, refused) = asked(&dev, &[&line[..], &["--missing", "fill"]].concat());
    assert_eq!(
        (code, &refused["error"]["code"]),
        (Some(3), &json!("refused"))
    );
    let usage = run(&dev, &["submit", "abfs://bronze/cmip6/"]);
    assert_eq!(usage.status.code(), Some(2));
    let nobody = landfall()
        .args(["status", id, "--server", "http://127.0.0.1:9"])
        .output();
    assert_eq!(nobody.unwrap().status.code(), Some(1));
}

/// schemathesis, from `.venv/api` (`tests/support/setup.sh api`).
fn schemathesis() -> PathBuf {
    let folder = std::env::var_os("LANDFALL_TEST_API_FOLDER").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| repository().join(".venv/api"));
    let program = folder.join("bin/st");
    assert!(
        program.exists(),
        "no schemathesis at {}: run `./just setup`",
        program.display()
    );
    program
}

/// No 500 and no answer that the document does not have, whatever is sent. `LANDFALL_API_EXAMPLES` has more sent
/// (`just api`).
#[test]
fn schemathesis_finds_no_answer_that_is_not_documented() {
    let dev = Dev::start_told(&[], &[("LANDFALL_AUTO_GROUP", "false")]);
    dev.land_all(&demo_series(), "cmip6");
    let (_, reply) = dev.post(
        "/api/platform/submit",
        &json!({"dataset_id": "tas", "resource_id": "demo", "source_url": "abfs://bronze/cmip6/"}),
    );
    let (release, _) = dev.wait_combined(1);
    let examples = std::env::var("LANDFALL_API_EXAMPLES").unwrap_or_else(|_| String::from("6"));
    // It leaves what it found where it is started.
    let output = Command::new(schemathesis())
        .current_dir(dev.root.path())
        .arg("--config-file")
        .arg(repository().join("tests/support/schemathesis.toml"))
        .args(["run", &dev.url("/api/openapi.json"), "--url", &dev.url("")])
        .args([
            "--max-examples",
            &examples,
            "--generation-deterministic",
            "--phases",
            "examples,coverage,fuzzing",
        ])
        .args([
            "--checks",
            CHECKS,
            "--workers",
            "2",
            "--continue-on-failure",
            "--request-timeout",
            "30",
        ])
        .env("LANDFALL_API_RELEASE", release)
        .env("LANDFALL_API_JOB", reply["job_id"].as_str().unwrap())
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What every answer is held against.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";
