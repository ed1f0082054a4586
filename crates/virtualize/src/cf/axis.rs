//! Which axis a coordinate is (CF conventions §4), and whether it is a latitude or a longitude.
//!
//! What the file says outweighs names: `axis`, then `standard_name`, `units`, `positive`, and only then a name
//! that everybody uses. The functions are for coordinates: units of pressure make a coordinate vertical, but
//! not a data variable.

use serde_json::{Map, Value};

/// An axis of a coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Axis {
    /// West to east, or the first axis of a map projection.
    X,
    /// South to north, or the second axis of a map projection.
    Y,
    /// Up or down.
    Z,
    /// Time.
    T,
}

/// A coordinate on the Earth, as against one of a map projection or a rotated grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Geographic {
    /// Degrees or radians north.
    Latitude,
    /// Degrees or radians east.
    Longitude,
}

/// The axis of a coordinate; `None` when neither attributes nor name tell.
#[must_use]
pub fn axis_of(name: &str, attributes: &Map<String, Value>) -> Option<Axis> {
    axis_told(attributes).or_else(|| axis_named(name))
}

/// The axis that the attributes of a coordinate tell.
#[must_use]
pub fn axis_told(attributes: &Map<String, Value>) -> Option<Axis> {
    let text = |key| lowered(attributes, key);
    text("axis")
        .and_then(|axis| axis_attribute(&axis))
        .or_else(|| text("standard_name").and_then(|name| standard_axis(&name)))
        .or_else(|| text("units").and_then(|units| units_axis(&units)))
        .or_else(|| {
            text("positive")
                .filter(|p| matches!(p.as_str(), "up" | "down"))
                .map(|_| Axis::Z)
        })
}

/// The axis that everybody names so; `t` is also the name of a temperature, so this is for dimensions.
#[must_use]
pub fn axis_named(name: &str) -> Option<Axis> {
    named_axis(&name.to_ascii_lowercase())
}

/// Whether a coordinate is a true latitude or longitude; rotated and projected ones are not.
#[must_use]
pub fn geographic_of(name: &str, attributes: &Map<String, Value>) -> Option<Geographic> {
    if let Some(standard_name) = lowered(attributes, "standard_name") {
        match standard_name.as_str() {
            "latitude" => return Some(Geographic::Latitude),
            "longitude" => return Some(Geographic::Longitude),
            other if standard_axis(other).is_some() => return None,
            _ => {}
        }
    }
    let units = lowered(attributes, "units");
    if let Some(found) = units.as_deref().and_then(degrees_of) {
        return Some(found);
    }
    let by_name = match name.to_ascii_lowercase().as_str() {
        "lat" | "latitude" | "nav_lat" | "xlat" => Geographic::Latitude,
        "lon" | "longitude" | "nav_lon" | "xlong" | "long" => Geographic::Longitude,
        _ => return None,
    };
    degrees_per_unit(attributes).map(|_| by_name)
}

/// Degrees in the unit of a latitude or longitude, 1 where none is given; `None` when the units are no angle.
#[must_use]
pub fn degrees_per_unit(attributes: &Map<String, Value>) -> Option<f64> {
    match lowered(attributes, "units").as_deref() {
        None | Some("" | "degrees" | "degree" | "deg") => Some(1.0),
        Some("radian" | "radians" | "rad") => Some(180.0 / std::f64::consts::PI),
        Some(units) => degrees_of(units).map(|_| 1.0),
    }
}

fn lowered(attributes: &Map<String, Value>, key: &str) -> Option<String> {
    attributes
        .get(key)?
        .as_str()
        .map(|text| text.trim().to_ascii_lowercase())
}

fn axis_attribute(axis: &str) -> Option<Axis> {
    match axis {
        "x" => Some(Axis::X),
        "y" => Some(Axis::Y),
        "z" => Some(Axis::Z),
        "t" => Some(Axis::T),
        _ => None,
    }
}

fn standard_axis(name: &str) -> Option<Axis> {
    match name {
        "longitude"
        | "grid_longitude"
        | "projection_x_coordinate"
        | "projection_x_angular_coordinate" => Some(Axis::X),
        "latitude"
        | "grid_latitude"
        | "projection_y_coordinate"
        | "projection_y_angular_coordinate" => Some(Axis::Y),
        "time" => Some(Axis::T),
        "air_pressure"
        | "altitude"
        | "depth"
        | "height"
        | "height_above_mean_sea_level"
        | "height_above_reference_ellipsoid"
        | "height_above_geopotential_datum"
        | "geopotential_height"
        | "model_level_number"
        | "atmosphere_ln_pressure_coordinate"
        | "atmosphere_sigma_coordinate"
        | "atmosphere_hybrid_sigma_pressure_coordinate"
        | "atmosphere_hybrid_height_coordinate"
        | "atmosphere_sleve_coordinate"
        | "ocean_sigma_coordinate"
        | "ocean_s_coordinate"
        | "ocean_s_coordinate_g1"
        | "ocean_s_coordinate_g2"
        | "ocean_sigma_z_coordinate"
        | "ocean_double_sigma_coordinate" => Some(Axis::Z),
        _ => None,
    }
}

fn units_axis(units: &str) -> Option<Axis> {
    if let Some(found) = degrees_of(units) {
        return Some(if found == Geographic::Latitude {
            Axis::Y
        } else {
            Axis::X
        });
    }
    match units {
        "pa" | "hpa" | "kpa" | "dbar" | "bar" | "mbar" | "mb" | "millibar" | "millibars"
        | "decibar" | "decibars" | "pascal" | "pascals" => Some(Axis::Z),
        "level" | "layer" | "sigma_level" => Some(Axis::Z),
        _ => units
            .split_whitespace()
            .nth(1)
            .filter(|word| *word == "since")
            .map(|_| Axis::T),
    }
}

/// CF's spellings of degrees north and east, and the one with a space that files have.
fn degrees_of(units: &str) -> Option<Geographic> {
    let rest = units
        .strip_prefix("degrees")
        .or_else(|| units.strip_prefix("degree"))?;
    match rest.trim_start_matches(['_', ' ']) {
        "north" | "n" => Some(Geographic::Latitude),
        "east" | "e" => Some(Geographic::Longitude),
        _ => None,
    }
}

fn named_axis(name: &str) -> Option<Axis> {
    match name {
        "lat" | "latitude" | "y" | "rlat" | "nav_lat" | "xlat" | "yc" | "nj" | "y_dim" => {
            Some(Axis::Y)
        }
        "lon" | "longitude" | "long" | "x" | "rlon" | "nav_lon" | "xlong" | "xc" | "ni"
        | "x_dim" => Some(Axis::X),
        "time" | "t" | "valid_time" | "datetime" => Some(Axis::T),
        "lev" | "level" | "plev" | "z" | "depth" | "height" | "altitude" | "olevel"
        | "pressure" => Some(Axis::Z),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "the cases read better without references"
    )]
    fn attributes(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[rstest]
    #[case::axis_first("lat", json!({"axis": "X", "standard_name": "latitude"}), Some(Axis::X))]
    #[case::standard_name("foo", json!({"standard_name": "Grid_Longitude", "units": "degrees"}), Some(Axis::X))]
    #[case::projection("foo", json!({"standard_name": "projection_y_coordinate", "units": "m"}), Some(Axis::Y))]
    #[case::units("foo", json!({"units": "degreeN"}), Some(Axis::Y))]
    #[case::units_with_space("foo", json!({"units": "degrees east"}), Some(Axis::X))]
    #[case::pressure("foo", json!({"units": "hPa"}), Some(Axis::Z))]
    #[case::time_units("foo", json!({"units": "Days Since 1850-1-1"}), Some(Axis::T))]
    #[case::positive("foo", json!({"positive": "down", "units": "m"}), Some(Axis::Z))]
    #[case::radar_axis("elevation", json!({"axis": "radial_elevation_coordinate", "units": "degrees"}), None)]
    #[case::name_last("Latitude", json!({}), Some(Axis::Y))]
    #[case::name_loses("x", json!({"units": "degrees_north"}), Some(Axis::Y))]
    #[case::unknown("station", json!({"units": "1", "axis": 3}), None)]
    fn axes_follow_cf(#[case] name: &str, #[case] given: Value, #[case] axis: Option<Axis>) {
        assert_eq!(axis_of(name, &attributes(given)), axis);
    }

    #[rstest]
    #[case::standard_name("clon", json!({"standard_name": "longitude", "units": "radian"}), Some(Geographic::Longitude))]
    #[case::units("foo", json!({"units": "degrees_north"}), Some(Geographic::Latitude))]
    #[case::rotated("lat", json!({"standard_name": "grid_latitude", "units": "degrees"}), None)]
    #[case::rotated_in_degrees_north("rlat", json!({"standard_name": "grid_latitude", "units": "degrees_north"}), None)]
    #[case::name("lon", json!({}), Some(Geographic::Longitude))]
    #[case::name_in_metres("lon", json!({"units": "m"}), None)]
    #[case::projected("x", json!({"units": "m"}), None)]
    fn latitudes_are_true_ones(
        #[case] name: &str,
        #[case] given: Value,
        #[case] kind: Option<Geographic>,
    ) {
        assert_eq!(geographic_of(name, &attributes(given)), kind);
    }

    #[rstest]
    #[case(json!({"units": "radians"}), Some(57.295_779_513_082_32))]
    #[case(json!({"units": "degrees_east"}), Some(1.0))]
    #[case(json!({}), Some(1.0))]
    #[case(json!({"units": "km"}), None)]
    fn angles_are_brought_to_degrees(#[case] given: Value, #[case] factor: Option<f64>) {
        assert_eq!(degrees_per_unit(&attributes(given)), factor);
    }
}
