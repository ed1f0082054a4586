//! Random series, joined by the program and compared with what netCDF4 and numpy read in their files: equal, or refused by
//! file and variable. `./just series COUNT` draws more of them.

use crate::support::verdict_on_random;

#[test]
fn random_series_are_joined_as_their_files_have_it_or_refused_by_name() {
    let verdict = verdict_on_random("check_series.py", 60);
    // A generator that draws only what is refused would prove nothing and still pass.
    assert!(verdict["joined"].as_u64() > Some(20), "{verdict}");
    assert!(verdict["refused"].as_u64() > Some(10), "{verdict}");
}
