//! Links from a published item to TiTiler, as the routes of `titiler.xarray` take them. SPEC §8, §9.
//!
//! Every link has to answer as it stands, so each names a variable that TiTiler can draw (a grid of true latitudes
//! and longitudes), its first step of time by its number (`bidx=1`, which needs no decoding: calendars such as
//! `360_day` have no dates that TiTiler could look up) and one value of every further dimension.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::quicklook::Quicklook;

/// Relations of the links that are made here.
pub(super) const RELS: [&str; 5] = ["tiles", "tilejson", "info", "point", "viewer"];

/// Data variables that get links, so that a file of a hundred does not make a document of five hundred links.
const MOST_VARIABLES: usize = 10;

/// Names of dimensions that TiTiler takes for x and for y.
const X_NAMES: [&str; 6] = ["lon", "longitude", "LON", "LONGITUDE", "Lon", "Longitude"];
const Y_NAMES: [&str; 6] = ["lat", "latitude", "LAT", "LATITUDE", "Lat", "Latitude"];

const MATRIX: &str = "WebMercatorQuad";
const PNG: &str = "image/png";
const JSON: &str = "application/json";
const HTML: &str = "text/html";

/// What a query value of a form keeps as it is.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The links of an item whose asset `zarr-store` TiTiler is to open; `titiler` is the address of its xarray routes.
pub(super) fn links(item: &Map<String, Value>, titiler: &str) -> Vec<Value> {
    let store = item
        .get("assets")
        .and_then(|assets| assets.get("zarr-store")?.get("href")?.as_str());
    let Some((store, cube)) = store.zip(Cube::of(item)) else {
        return Vec::new();
    };
    let properties = item.get("properties");
    let looked_at = properties.and_then(|found| found.get(Quicklook::PROPERTY));
    let looked_at = looked_at.and_then(|found| Quicklook::deserialize(found).ok());
    let queries = cube.variables.iter().filter_map(|(name, variable)| {
        let query = cube.query(store, name, variable)?;
        let shades = looked_at.as_ref().filter(|found| found.variable == *name);
        Some((name, query, shades.map(shades_of).unwrap_or_default()))
    });
    queries
        .take(MOST_VARIABLES)
        .flat_map(|(name, query, shades)| of_variable(titiler, name, &query, &shades))
        .collect()
}

/// What makes a picture of values that are no shades: without it TiTiler spreads the range of their type.
fn shades_of(quicklook: &Quicklook) -> String {
    let [low, high] = quicklook.range;
    format!("&rescale={low}%2C{high}&colormap_name=viridis")
}

fn of_variable(titiler: &str, name: &str, query: &str, shades: &str) -> [Value; 5] {
    let link = |rel: &str, path: &str, shades: &str, kind: &str, title: &str| {
        json!({
            "rel": rel,
            "href": format!("{titiler}/{path}?{query}{shades}"),
            "type": kind,
            "title": format!("{title} of {name}"),
        })
    };
    let template = |mut link: Value| {
        link["templated"] = json!(true);
        link
    };
    let [tiles, tilejson, info, point, viewer] = RELS;
    let png = format!("tiles/{MATRIX}/{{z}}/{{x}}/{{y}}.png");
    let document = format!("{MATRIX}/tilejson.json");
    let page = format!("{MATRIX}/map.html");
    [
        template(link(tiles, &png, shades, PNG, "Map tiles")),
        link(tilejson, &document, shades, JSON, "TileJSON"),
        link(info, "info", "", JSON, "Description"),
        template(link(
            point,
            "point/{lon},{lat}",
            "",
            JSON,
            "Values at a point",
        )),
        link(viewer, &page, shades, HTML, "Map"),
    ]
}

/// Dimensions and variables of an item.
struct Cube<'a> {
    dimensions: &'a Map<String, Value>,
    variables: &'a Map<String, Value>,
}

impl<'a> Cube<'a> {
    fn of(item: &'a Map<String, Value>) -> Option<Self> {
        let properties = item.get("properties")?;
        Some(Self {
            dimensions: properties.get("cube:dimensions")?.as_object()?,
            variables: properties.get("cube:variables")?.as_object()?,
        })
    }

    /// What TiTiler has to be asked for to draw the first step of a variable; `None` where it cannot.
    fn query(&self, store: &str, name: &str, variable: &Value) -> Option<String> {
        let is_data = variable.get("type").is_some_and(|kind| kind == "data");
        let dimensions = variable.get("dimensions")?.as_array()?;
        let dimensions: Vec<&str> = dimensions.iter().filter_map(Value::as_str).collect();
        // A variable of a group does not find the coordinates of the groups above it.
        if !is_data || name.contains('/') || !self.is_map(&dimensions) {
            return None;
        }
        let others = dimensions
            .into_iter()
            .filter(|name| !self.is_horizontal(name));
        let others: Vec<&str> = others.collect();
        let mut query = format!("url={}&variable={}", form(store), form(name));
        // TiTiler takes one dimension beside the two of the map, and numbers its steps: that of time, if there is one.
        let time = others.iter().find(|name| self.is_temporal(name));
        let counted = time.or(others.first());
        for other in others.iter().filter(|name| Some(*name) != counted) {
            let first = self.first_value(other)?;
            query.push_str("&sel=");
            query.push_str(&form(&format!("{other}={first}")));
        }
        if counted.is_some() {
            query.push_str("&bidx=1");
        }
        query.push_str("&decode_times=false");
        Some(query)
    }

    /// Whether a variable lies on a grid of latitudes and longitudes under names that TiTiler knows, more than one
    /// of each: it takes the distance of two for the size of a cell.
    fn is_map(&self, dimensions: &[&str]) -> bool {
        let one_of = |names: &[&str]| {
            let found: Vec<_> = dimensions
                .iter()
                .filter(|name| names.contains(name))
                .collect();
            matches!(found.as_slice(), [only] if self.is_horizontal(only) && self.is_long(only))
        };
        one_of(&X_NAMES) && one_of(&Y_NAMES)
    }

    fn is_horizontal(&self, dimension: &str) -> bool {
        let axis = self
            .dimensions
            .get(dimension)
            .and_then(|found| found.get("axis"));
        axis.is_some_and(|axis| axis == "x" || axis == "y")
    }

    fn is_temporal(&self, dimension: &str) -> bool {
        let found = self.dimensions.get(dimension);
        found.is_some_and(|found| found.get("type").is_some_and(|kind| kind == "temporal"))
    }

    fn is_long(&self, dimension: &str) -> bool {
        let extent = self
            .dimensions
            .get(dimension)
            .and_then(|found| found.get("extent"));
        let extent = extent.and_then(Value::as_array).map(Vec::as_slice);
        matches!(extent, Some([first, last]) if first != last)
    }

    /// A value that a dimension has, as text.
    fn first_value(&self, dimension: &str) -> Option<String> {
        let found = self.dimensions.get(dimension)?;
        let values = found.get("values").and_then(Value::as_array);
        match values.and_then(|values| values.first()) {
            Some(Value::String(text)) if is_selectable(text) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(_) => None,
            None if self.is_temporal(dimension) => None,
            // Without a coordinate its steps are numbered.
            None if !self.variables.contains_key(dimension) => Some(String::from("0")),
            None => {
                let smallest = found.get("extent")?.get(0)?.as_f64()?;
                Some(format!("nearest::{smallest}"))
            }
        }
    }
}

/// Whether TiTiler's `sel=dimension=value` can carry a text.
fn is_selectable(text: &str) -> bool {
    !text.is_empty() && !text.contains('=') && !text.contains(':')
}

fn form(text: &str) -> String {
    utf8_percent_encode(text, FORM).to_string()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// An item of one data variable with these dimensions.
    fn item(dimensions: &[&str]) -> Map<String, Value> {
        let item = json!({
            "assets": {"zarr-store": {"href": "https://zarr.example/api/zarr/0a/r1"}},
            "properties": {
                "cube:dimensions": {
                    "time": {"type": "temporal", "extent": ["2000-01-01T00:00:00Z", null]},
                    "lat": {"type": "spatial", "axis": "y", "extent": [-45.0, 45.0]},
                    "lon": {"type": "spatial", "axis": "x", "extent": [0.0, 359.0]},
                    "one": {"type": "spatial", "axis": "x", "extent": [5.0, 5.0]},
                    "rlon": {"type": "other", "extent": [-5.0, 5.0]},
                    "plev": {"type": "spatial", "axis": "z", "extent": [5e4, 1e5], "values": [100_000.0, 50_000.0]},
                    "depth": {"type": "spatial", "axis": "z", "extent": [0.5, 6000.0]},
                    "member": {"type": "other", "extent": [0, 9]},
                    "region": {"type": "other", "extent": [0, 1], "values": ["a=b", "c"]},
                },
                "cube:variables": {
                    "depth": {"type": "auxiliary", "dimensions": ["depth"]},
                    "group/v": {"type": "data", "dimensions": ["lat", "lon"]},
                    "lat_bnds": {"type": "auxiliary", "dimensions": ["lat", "lon"]},
                    "v": {"type": "data", "dimensions": dimensions},
                },
            },
        });
        item.as_object().unwrap().clone()
    }

    // What `titiler.xarray` 2.4.0 takes: `get_variable` and `_sel_indexes` of its readers.
    #[rstest]
    #[case::map(&["lat", "lon"], Some(""))]
    #[case::turned(&["lon", "lat"], Some(""))]
    #[case::series(&["time", "lat", "lon"], Some("&bidx=1"))]
    #[case::levels(&["plev", "lat", "lon"], Some("&bidx=1"))]
    #[case::series_of_levels(&["time", "plev", "lat", "lon"], Some("&sel=plev%3D100000.0&bidx=1"))]
    #[case::many_levels(&["depth", "time", "lat", "lon"], Some("&sel=depth%3Dnearest%3A%3A0.5&bidx=1"))]
    #[case::without_coordinate(&["member", "time", "lat", "lon"], Some("&sel=member%3D0&bidx=1"))]
    #[case::unselectable(&["region", "time", "lat", "lon"], None)]
    #[case::rotated(&["time", "lat", "rlon"], None)]
    #[case::one_meridian(&["time", "lat", "one"], None)]
    #[case::no_map(&["time"], None)]
    fn the_query_selects_one_map(#[case] dimensions: &[&str], #[case] rest: Option<&str>) {
        let links = links(&item(dimensions), "https://tiles.example/xarray");
        let Some(rest) = rest else {
            assert_eq!(links, Vec::<Value>::new());
            return;
        };
        let query = format!(
            "url=https%3A%2F%2Fzarr.example%2Fapi%2Fzarr%2F0a%2Fr1&variable=v{rest}&decode_times=false"
        );
        let hrefs: Vec<_> = links
            .iter()
            .map(|link| link["href"].as_str().unwrap())
            .collect();
        let expected = [
            "tiles/WebMercatorQuad/{z}/{x}/{y}.png",
            "WebMercatorQuad/tilejson.json",
            "info",
            "point/{lon},{lat}",
            "WebMercatorQuad/map.html",
        ];
        let expected = expected.map(|path| format!("https://tiles.example/xarray/{path}?{query}"));
        assert_eq!(hrefs, expected);
        let rels: Vec<_> = links
            .iter()
            .map(|link| link["rel"].as_str().unwrap())
            .collect();
        assert_eq!(rels, RELS);
    }

    #[test]
    fn what_was_looked_at_is_drawn_in_shades() {
        let mut item = item(&["lat", "lon"]);
        item["properties"]["landfall:quicklook"] = json!({"variable": "v", "range": [-1.5, 300.0]});
        let links = links(&item, "https://tiles.example");
        let drawn: Vec<bool> = links
            .iter()
            .map(|link| {
                link["href"]
                    .as_str()
                    .unwrap()
                    .ends_with("&rescale=-1.5%2C300&colormap_name=viridis")
            })
            .collect();
        assert_eq!(drawn, [true, true, false, false, true]);
    }
}
