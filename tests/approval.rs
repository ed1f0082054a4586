//! A Release from review to its end, by the commands that talk to a running app.

use serde_json::Value;

use crate::support::{Dev, demo_series, landfall};

/// What a command prints, as text and as JSON, with its exit code.
fn run(dev: &Dev, arguments: &[&str]) -> (Option<i32>, String, Value) {
    let mut command = landfall();
    command
        .args(arguments)
        .args(["--server", &dev.url("")])
        .env_remove("LANDFALL_KEY");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let document = serde_json::from_str(&text).unwrap_or(Value::Null);
    let errors = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), format!("{text}{errors}"), document)
}

#[test]
fn a_release_is_approved_revoked_and_unpublished_from_the_terminal() {
    let dev = Dev::start();
    dev.submit("cmip6", 3);
    dev.land_all(&demo_series(), "cmip6");
    let (release, _) = dev.wait_combined(1);
    let (code, listed, _) = run(&dev, &["approve"]);
    assert_eq!(code, Some(0), "{listed}");
    let row = listed
        .lines()
        .find(|line| line.starts_with(release.as_str()));
    assert!(row.unwrap().ends_with("cmip6/test"), "{listed}");

    let (code, told, _) = run(&dev, &["approve", &release, "--reviewer", "ada"]);
    assert_eq!(code, Some(3), "who may see it has to be said");
    assert!(told.contains("--clearance"), "{told}");
    let public = ["--clearance", "public", "--reviewer", "ada"];
    let with = |further: &[&'static str]| -> Vec<String> {
        let all = ["approve", release.as_str()].into_iter().chain(public);
        all.chain(further.iter().copied())
            .map(String::from)
            .collect()
    };
    let as_arguments = |arguments: &[String]| -> (Option<i32>, String, Value) {
        run(
            &dev,
            &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
        )
    };
    let (code, told, _) = as_arguments(&with(&["--dry-run"]));
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("would be    approved"), "{told}");
    let (code, told, answer) = as_arguments(&with(&["--json"]));
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(
        (&answer["version_id"], &answer["stac_item_id"]),
        (&Value::from("v1"), &Value::from("cmip6-test-v1"))
    );
    let (code, told, _) = as_arguments(&with(&[]));
    assert_eq!(code, Some(3));
    assert!(told.contains("its approval_state is approved"), "{told}");
    let (_, told, _) = run(&dev, &["approve"]);
    assert_eq!(told, "nothing awaits approval\n");
    let (code, told, _) = run(&dev, &["approve", "--rematerialize"]);
    assert_eq!(code, Some(0));
    assert!(told.contains("there is no pgSTAC catalogue"), "{told}");

    let store = format!("/api/zarr/{release}/r1/.zmetadata");
    assert_eq!(dev.get(&store).0, 200);
    let because = ["--reason", "wrong units", "--reviewer", "grace"];
    let (code, told, _) = run(&dev, &[&["revoke", "cmip6/test"], &because[..]].concat());
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("is          revoked"), "{told}");
    assert_eq!(dev.get(&store).0, 410);
    let (code, told, _) = run(&dev, &[&["reject", &release], &because[..]].concat());
    assert_eq!(code, Some(3), "{told}");

    let references = || {
        let names = dev.silver_files().into_keys();
        names
            .filter(|name| name.starts_with("refs/combined/"))
            .count()
    };
    assert_eq!(references(), 3);
    let (code, told, _) = run(&dev, &["unpublish", &release]);
    assert_eq!((code, references()), (Some(0), 3), "{told}");
    assert!(
        told.contains("would delete") && told.contains("r1/combined.json"),
        "{told}"
    );
    let (code, told, _) = run(&dev, &["unpublish", &release, "--yes"]);
    assert_eq!((code, references()), (Some(0), 0), "{told}");
    assert_eq!(dev.bronze().join("cmip6").read_dir().unwrap().count(), 3);

    let (code, told, _) = run(&dev, &[&["revoke", "none"], &because[..]].concat());
    assert_eq!(code, Some(3));
    assert!(told.contains("there is no such Release"), "{told}");
}
