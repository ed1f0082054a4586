//! Where the data lie: the item's geometry and its projection.

use serde_json::{Map, Value, json};
use virtualize::cf::{Geographic, geographic_of};
use virtualize::{VirtualArray, VirtualGroup};

use super::ItemInput;

/// The geometry of west, south, east, north; `null` where the extent is not known.
///
/// Across the antimeridian (west greater than east) it is cut in two, as `GeoJSON` asks for.
pub(super) fn geometry(extent: Option<[f64; 4]>) -> Value {
    let Some([west, south, east, north]) = extent else {
        return Value::Null;
    };
    if west > east {
        let parts = [
            ring(west, south, 180.0, north),
            ring(-180.0, south, east, north),
        ];
        return json!({"type": "MultiPolygon", "coordinates": [[parts[0]], [parts[1]]]});
    }
    if west == east && south == north {
        return json!({"type": "Point", "coordinates": [west, south]});
    }
    if west == east || south == north {
        return json!({"type": "LineString", "coordinates": [[west, south], [east, north]]});
    }
    json!({"type": "Polygon", "coordinates": [ring(west, south, east, north)]})
}

/// Counter-clockwise, closed.
fn ring(west: f64, south: f64, east: f64, north: f64) -> [[f64; 2]; 5] {
    [
        [west, south],
        [east, south],
        [east, north],
        [west, north],
        [west, south],
    ]
}

/// The `proj:*` fields: geographic coordinates on a grid of latitudes and longitudes, else an unknown system.
pub(super) fn projection(input: &ItemInput<'_>) -> Map<String, Value> {
    let root = input.root();
    let latitudes = length_of(root, Geographic::Latitude);
    let longitudes = length_of(root, Geographic::Longitude);
    let mut out = Map::new();
    let Some(shape) = latitudes.zip(longitudes) else {
        out.insert(String::from("proj:code"), Value::Null);
        return out;
    };
    out.insert(String::from("proj:code"), json!("EPSG:4326"));
    out.insert(String::from("proj:shape"), json!([shape.0, shape.1]));
    if let Some(bbox) = input.combined.spatial_extent {
        out.insert(String::from("proj:bbox"), json!(bbox));
    }
    out
}

/// Length of the dimension whose coordinate is a true latitude or longitude.
fn length_of(root: &VirtualGroup, wanted: Geographic) -> Option<u64> {
    let is_wanted = |(name, array): &(&String, &VirtualArray)| {
        array.dimension_names.len() == 1
            && array.dimension_names.first() == Some(*name)
            && geographic_of(name, &array.attributes) == Some(wanted)
    };
    root.arrays
        .iter()
        .find(is_wanted)
        .and_then(|(_, array)| array.shape.first().copied())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // RFC 7946 §3.1.6 (counter-clockwise exterior rings) and §3.1.9 (cut at the antimeridian).
    #[rstest]
    #[case::unknown(None, json!(null))]
    #[case::globe(
        Some([-180.0, -90.0, 180.0, 90.0]),
        json!({"type": "Polygon", "coordinates":
            [[[-180.0, -90.0], [180.0, -90.0], [180.0, 90.0], [-180.0, 90.0], [-180.0, -90.0]]]})
    )]
    #[case::antimeridian(
        Some([170.0, -20.0, -170.0, 10.0]),
        json!({"type": "MultiPolygon", "coordinates": [
            [[[170.0, -20.0], [180.0, -20.0], [180.0, 10.0], [170.0, 10.0], [170.0, -20.0]]],
            [[[-180.0, -20.0], [-170.0, -20.0], [-170.0, 10.0], [-180.0, 10.0], [-180.0, -20.0]]]]})
    )]
    #[case::station(Some([7.0, 50.0, 7.0, 50.0]), json!({"type": "Point", "coordinates": [7.0, 50.0]}))]
    #[case::meridian(
        Some([7.0, 50.0, 7.0, 51.0]),
        json!({"type": "LineString", "coordinates": [[7.0, 50.0], [7.0, 51.0]]})
    )]
    fn the_geometry_is_geojson(#[case] extent: Option<[f64; 4]>, #[case] expected: Value) {
        assert_eq!(geometry(extent), expected);
    }
}
