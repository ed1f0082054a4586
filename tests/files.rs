//! Random files, virtualized by the program and compared with what h5py, netCDF4 and xarray read in them: equal, or left out
//! by name for a reason. `./just files COUNT` draws more of them.

use std::process::Command;

use serde_json::Value;

use crate::support::{python, repository};

#[test]
fn random_files_are_read_as_their_libraries_read_them_or_refused_by_name() {
    let output = Command::new(python())
        .arg(repository().join("tests/support/check_files.py"))
        .arg(env!("CARGO_BIN_EXE_landfall"))
        .args(["--count", "40", "--seed", "7"])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let verdict: Value = serde_json::from_str(&printed).unwrap_or_default();
    assert!(output.status.success(), "{verdict:#}\n{errors}");
    // A generator whose files nothing can be compared in would prove nothing and still pass.
    let compared = |what: &str| verdict[what].as_u64().unwrap_or_default();
    assert!(compared("files") > 25, "{verdict}");
    assert!(compared("h5py equal") > 80, "{verdict}");
    assert!(compared("netcdf4 decoded") > 10, "{verdict}");
    assert!(compared("h5netcdf stored") > 10, "{verdict}");
}
