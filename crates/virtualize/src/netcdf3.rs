//! The classic NetCDF format: CDF-1, CDF-2 and CDF-5.

use crate::dataset::VirtualDataset;
use crate::decode::{DecodeError, DecodeOptions, SourceBuffer};

/// Decodes the header of a classic file.
///
/// # Errors
///
/// [`DecodeError`] when the header cannot be read.
pub(crate) async fn decode(
    buffer: &SourceBuffer,
    options: &DecodeOptions,
) -> Result<VirtualDataset, DecodeError> {
    let _ = (buffer, options);
    Err(DecodeError::Unsupported(String::from("classic NetCDF")))
}
