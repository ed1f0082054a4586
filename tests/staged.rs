//! What is deployed: laid out by `infra/stage.sh`, packed by `infra/package.sh`, and run as the Functions host runs it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::azurite::{Azurite, BRONZE, SILVER};
use crate::support::postgres::cluster;
use crate::support::rig::{Site, block_on, stage};
use crate::support::{demo_series, name_of, read_with_xarray, repository};

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn the_staged_folder_has_the_functions_beside_host_json_and_what_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("app");
    fs::create_dir(&app).unwrap();
    fs::write(app.join("left-over"), "of an earlier time").unwrap();
    stage(&app);
    let mut expected = names_in(&repository().join("function-definitions"));
    let functions = expected.clone();
    let host = fs::read_to_string(app.join("host.json")).unwrap();
    let host: serde_json::Value = serde_json::from_str(&host).unwrap();
    let program = host["customHandler"]["description"]["defaultExecutablePath"].clone();
    let program = program.as_str().unwrap();
    expected.extend(["host.json", program].map(String::from));
    assert_eq!(names_in(&app), expected);
    let mode = fs::metadata(app.join(program))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
    for function in functions {
        let files = names_in(&app.join(&function));
        assert_eq!(files, [String::from("function.json")].into(), "{function}");
    }
}

/// Any program will do to see what is packed.
#[test]
fn the_package_holds_the_folder_and_a_binary_that_old_systems_run() {
    let folder = tempfile::tempdir().unwrap();
    let (app, zip) = (folder.path().join("app"), folder.path().join("app.zip"));
    let script = |name: &str| Command::new(repository().join("infra").join(name));
    let staged = script("stage.sh").arg("/bin/sh").arg(&app).status();
    assert!(staged.unwrap().success());
    let package = |newest: &str| {
        let mut command = script("package.sh");
        command
            .arg(&app)
            .arg(&zip)
            .env("LANDFALL_MAX_GLIBC", newest);
        command.output().unwrap()
    };
    let refused = package("2.0");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && !zip.exists(), "{told}");
    assert!(told.contains("the binary needs glibc 2."), "{told}");
    let packed = package("2.99");
    assert!(packed.status.success(), "{packed:?}");
    let script = "import sys, zipfile
for entry in zipfile.ZipFile(sys.argv[1]).infolist():
    print(oct(entry.external_attr >> 16)[-3:], entry.filename)";
    let listed = Command::new("python3")
        .args(["-c", script])
        .arg(&zip)
        .output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    for line in ["755 landfall", "host.json", "BlobEvent/function.json"] {
        assert!(listed.contains(line), "{line} in {listed}");
    }
    fs::write(app.join("landfall"), "no program").unwrap();
    assert!(!package("2.99").status.success());
}

#[test]
fn the_staged_app_does_the_main_job_on_azurite_and_postgresql() {
    let (azurite, cluster) = (Azurite::in_memory(), cluster());
    let site = Site::make(&azurite, cluster, ("drops", "silver"), SILVER);
    let settings = [("LANDFALL_AUTO_GROUP", "true")];
    let dev = site.start(&["--duplicate", "0.5"], &settings);
    let handler = dev.handler_pid().unwrap();
    let program = fs::read_link(format!("/proc/{handler}/exe")).unwrap();
    assert_eq!(program, site.app().canonicalize().unwrap().join("landfall"));
    let files = demo_series();
    block_on(async {
        for file in files.iter().rev() {
            let name = format!("drops/cmip6/{}", name_of(file));
            azurite.put(BRONZE, &name, fs::read(file).unwrap()).await;
        }
    });
    let (release, revision) = dev.wait_combined(1);
    let store = dev.url(&format!("/api/zarr/{release}/r{revision}"));
    read_with_xarray("served", &store, &files);
    let counted = "SELECT state, count(*) FROM landfall.source_file GROUP BY 1";
    assert_eq!(cluster.sql(&site.database, counted), "referenced|3");
    let written = block_on(azurite.list(SILVER, "silver"));
    let references = written
        .keys()
        .filter(|name| name.starts_with("refs/files/"));
    assert_eq!(references.count(), 3, "{written:?}");
    assert!(dev.silver_files().is_empty(), "nothing is kept here");
}
