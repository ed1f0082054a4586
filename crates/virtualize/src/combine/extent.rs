//! The area that the coordinates of a dataset cover.

use crate::cf::{Geographic, geographic_of, lat_extent, lon_extent};
use crate::combine::input::{array_at, split, text};
use crate::combine::values::{assemble, numbers, to_little_endian};
use crate::dataset::{VirtualArray, VirtualGroup};
use crate::manifest::ChunkEntry;

/// West, south, east and north in degrees, from inlined coordinates; `None` when they are not known.
pub(super) fn spatial_extent(root: &VirtualGroup) -> Option<[f64; 4]> {
    let arrays = root.walk();
    let find = |kind: Geographic| {
        let mut found: Vec<_> = arrays
            .iter()
            .filter(|(path, array)| geographic_of(split(path).1, &array.attributes) == Some(kind))
            .filter(|(path, _)| !is_bounds(root, path))
            .collect();
        found.sort_by_key(|(path, array)| {
            (
                path.matches('/').count(),
                array.shape.len() != 1,
                path.clone(),
            )
        });
        found.into_iter().find_map(|(path, array)| {
            let values = degrees(array)?;
            let bounds =
                bounds_of(root, path, array).and_then(|bounds| degrees_like(bounds, array));
            Some((values, bounds))
        })
    };
    let (lat, lat_bounds) = find(Geographic::Latitude)?;
    let (lon, lon_bounds) = find(Geographic::Longitude)?;
    let (south, north) = lat_extent(&lat, lat_bounds.as_deref())?;
    let (west, east) = lon_extent(&lon, lon_bounds.as_deref())?;
    Some([west, south, east, north])
}

fn bounds_of<'a>(
    root: &'a VirtualGroup,
    path: &str,
    array: &VirtualArray,
) -> Option<&'a VirtualArray> {
    array_at(
        root,
        &format!("{}{}", split(path).0, text(array, "bounds")?.trim()),
    )
}

fn is_bounds(root: &VirtualGroup, path: &str) -> bool {
    let (folder, name) = split(path);
    let siblings = root
        .walk()
        .into_iter()
        .filter(|(other, _)| split(other).0 == folder);
    siblings
        .into_iter()
        .any(|(_, array)| text(array, "bounds").map(str::trim) == Some(name))
}

fn degrees(array: &VirtualArray) -> Option<Vec<f64>> {
    degrees_like(array, array)
}

/// Inlined values in degrees with what is masked as NaN; bounds take units and packing from their coordinate.
fn degrees_like(array: &VirtualArray, like: &VirtualArray) -> Option<Vec<f64>> {
    if !array.chunks.is_inline() || array.chunks.is_empty() {
        return None;
    }
    let inlined = |entry| match entry {
        ChunkEntry::Inline(bytes) => Some(Some(bytes)),
        _ => None,
    };
    let bytes = to_little_endian(assemble(array, inlined).ok()?, &array.data_type);
    let stored = numbers(&bytes, &array.data_type)?;
    let number = |name: &str| {
        like.attributes
            .get(name)
            .and_then(serde_json::Value::as_f64)
    };
    let fill = array
        .fill_value
        .clone()
        .map(|fill| to_little_endian(fill, &array.data_type));
    let fill = fill.and_then(|fill| numbers(&fill, &array.data_type)?.first().copied());
    let missing = number("missing_value");
    let scale = crate::cf::axis::degrees_per_unit(&like.attributes)?;
    let (factor, offset) = (
        number("scale_factor").unwrap_or(1.0),
        number("add_offset").unwrap_or(0.0),
    );
    let value = |stored: f64| {
        let masked = Some(stored) == fill || Some(stored) == missing;
        if masked {
            f64::NAN
        } else {
            (stored * factor + offset) * scale
        }
    };
    Some(stored.into_iter().map(value).collect())
}
