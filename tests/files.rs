//! Random files, virtualized by the program and compared with what h5py, netCDF4 and xarray read in them: equal, or left out
//! by name for a reason. `./just files COUNT` draws more of them.

use crate::support::verdict_on_random;

#[test]
fn random_files_are_read_as_their_libraries_read_them_or_refused_by_name() {
    let verdict = verdict_on_random("check_files.py", 40);
    // A generator whose files nothing can be compared in would prove nothing and still pass.
    let compared = |what: &str| verdict[what].as_u64().unwrap_or_default();
    assert!(compared("files") > 25, "{verdict}");
    assert!(compared("h5py equal") > 80, "{verdict}");
    assert!(compared("netcdf4 decoded") > 10, "{verdict}");
    assert!(compared("h5netcdf stored") > 10, "{verdict}");
}
