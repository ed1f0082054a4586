//! The generated matrix: HDF5 and NetCDF files of every kind, against h5py, netCDF4 and xarray.

use std::process::Command;

use serde_json::Value;

use crate::support::{python, repository};

/// Runs a script of the repository with the readers' Python and hands back what it printed.
fn run(script: &str, arguments: &[&std::ffi::OsStr]) -> String {
    let output = Command::new(python())
        .arg(repository().join(script))
        .args(arguments)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {printed}\n{errors}");
    printed
}

#[test]
fn generated_files_of_every_kind_read_as_h5py_and_netcdf_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().as_os_str();
    run("tests/fixtures/make_matrix.py", &[files]);
    let program = std::ffi::OsStr::new(env!("CARGO_BIN_EXE_landfall"));
    let printed = run("tests/support/check_matrix.py", &[program, files]);
    let verdict: Value = serde_json::from_str(&printed).unwrap();
    // A matrix that shrinks would prove nothing and still pass.
    assert!(verdict["files"].as_u64() > Some(250), "{verdict}");
    assert!(verdict["equal"].as_u64() > Some(5000), "{verdict}");
}
