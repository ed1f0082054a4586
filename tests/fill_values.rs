//! Fill values, case by case: what xarray masks in a reference, and what it shows for chunks that were never written, is
//! what it does for the file.

use crate::semantics::assert_equal_through_xarray;

/// xarray takes a Zarr fill value for CF's `_FillValue`; the cases are in `tests/support/semantics/fill_values.py`.
#[test]
fn xarray_masks_and_fills_as_in_the_file() {
    assert_equal_through_xarray("fill_values");
}
