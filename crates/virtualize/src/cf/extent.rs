//! The longitudes and latitudes that coordinates cover, for a bounding box (RFC 7946 §5).
//!
//! Longitudes lie on a circle, so the extent is what is left of it when the widest empty arc is taken away.
//! That holds for values of -180..180 and of 0..360, across the antimeridian, and for two-dimensional
//! coordinates. What cannot be degrees gives no extent at all.

/// Rounding of 32-bit longitudes stays far below this many degrees.
const TOLERANCE: f64 = 1e-3;
/// Steps of curvilinear grids differ; up to this many degrees the widest may be half as long again as the next.
const UNEVEN_LIMIT: f64 = 5.0;
/// Longitudes beyond are fill values or no degrees.
const LON_LIMIT: f64 = 720.0;

/// West and east in degrees, -180 to 180; west is greater than east across the antimeridian.
///
/// `values` may have any shape; values that are not finite are masked and skipped. `bounds` holds the corners
/// of each value's cell, as many for each. Without bounds the globe is covered when one more step would close
/// the circle. `None` without values, or when they are no longitudes.
#[must_use]
pub fn lon_extent(values: &[f64], bounds: Option<&[f64]>) -> Option<(f64, f64)> {
    let arcs = match bounds {
        Some(bounds) => cell_arcs(values, bounds)?,
        None => finite(values)
            .map(|lon| {
                in_range(lon).map(|lon| Arc {
                    start: lon,
                    width: 0.0,
                })
            })
            .collect::<Option<_>>()?,
    };
    let empty = empty_arcs(arcs);
    let widest = empty
        .iter()
        .copied()
        .max_by(|a, b| a.width.total_cmp(&b.width))?;
    let step = if bounds.is_some() {
        0.0
    } else {
        second_width(&empty)
    };
    let uneven = widest.width <= UNEVEN_LIMIT && widest.width <= 1.5 * step;
    if widest.width <= step + TOLERANCE || uneven {
        return Some((-180.0, 180.0));
    }
    let (west, east) = (wrapped(widest.start + widest.width), wrapped(widest.start));
    Some((west, if east == -180.0 { 180.0 } else { east }))
}

/// South and north in degrees; `None` without values, or when they are no latitudes.
#[must_use]
pub fn lat_extent(values: &[f64], bounds: Option<&[f64]>) -> Option<(f64, f64)> {
    let all = || finite(values).chain(bounds.into_iter().flat_map(finite));
    let south = all().reduce(f64::min)?;
    let north = all().reduce(f64::max)?;
    let valid = south >= -90.0 - TOLERANCE && north <= 90.0 + TOLERANCE;
    valid.then(|| (south.max(-90.0), north.min(90.0)))
}

/// From `start` eastward.
#[derive(Debug, Clone, Copy)]
struct Arc {
    start: f64,
    width: f64,
}

fn finite(values: &[f64]) -> impl Iterator<Item = f64> {
    values.iter().copied().filter(|value| value.is_finite())
}

fn in_range(lon: f64) -> Option<f64> {
    (lon.abs() <= LON_LIMIT).then_some(lon)
}

/// -180 up to, but not including, 180.
fn wrapped(lon: f64) -> f64 {
    let turned = (lon + 180.0).rem_euclid(360.0) - 180.0;
    if turned >= 180.0 { -180.0 } else { turned }
}

/// Each cell as an arc; `None` when there are no corners for each value, or no longitudes.
fn cell_arcs(values: &[f64], bounds: &[f64]) -> Option<Vec<Arc>> {
    let corners = bounds
        .len()
        .checked_div(values.len())
        .filter(|n| *n > 0 && n * values.len() == bounds.len())?;
    let cells = values
        .iter()
        .zip(bounds.chunks_exact(corners))
        .filter(|(lon, _)| lon.is_finite());
    cells
        .map(|(lon, corners)| cell_arc(*lon, corners))
        .collect()
}

fn cell_arc(lon: f64, corners: &[f64]) -> Option<Arc> {
    let lon = in_range(lon)?;
    let (mut low, mut high) = (lon, lon);
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for corner in finite(corners) {
        let corner = in_range(corner)?;
        (least, most) = (least.min(corner), most.max(corner));
        let near = if (corner - lon).abs() <= 180.0 {
            corner
        } else {
            lon + wrapped(corner - lon)
        };
        (low, high) = (low.min(near), high.max(near));
    }
    // A zonal mean has one cell around the globe, whose corners coincide on the circle.
    let whole = (most - least - 360.0).abs() <= TOLERANCE && corners.len() == 2;
    Some(Arc {
        start: low,
        width: if whole { 360.0 } else { high - low },
    })
}

/// What the arcs leave uncovered of the circle, an empty arc after each that is not overlapped.
fn empty_arcs(mut arcs: Vec<Arc>) -> Vec<Arc> {
    for arc in &mut arcs {
        arc.start = arc.start.rem_euclid(360.0);
    }
    arcs.sort_by(|a, b| a.start.total_cmp(&b.start));
    let Some(first) = arcs.first().copied() else {
        return Vec::new();
    };
    let reach = arcs
        .iter()
        .map(|arc| arc.start + arc.width - 360.0)
        .fold(f64::NEG_INFINITY, f64::max);
    let mut end = reach.max(first.start);
    let mut empty = Vec::with_capacity(arcs.len());
    for arc in arcs.iter().chain(std::iter::once(&Arc {
        start: first.start + 360.0,
        width: 0.0,
    })) {
        if arc.start > end {
            empty.push(Arc {
                start: end,
                width: arc.start - end,
            });
        }
        end = end.max(arc.start + arc.width);
    }
    if empty.is_empty() {
        empty.push(Arc {
            start: end,
            width: 0.0,
        });
    }
    empty
}

/// The widest empty arc but one: the step of a grid whose widest is its edge.
fn second_width(empty: &[Arc]) -> f64 {
    let mut widths: Vec<_> = empty.iter().map(|arc| arc.width).collect();
    widths.sort_by(f64::total_cmp);
    widths.iter().rev().nth(1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn regular(start: f64, step: f64, count: u32) -> Vec<f64> {
        (0..count).map(|i| start + step * f64::from(i)).collect()
    }

    fn cells(values: &[f64], half: f64) -> Vec<f64> {
        values
            .iter()
            .flat_map(|lon| [lon - half, lon + half])
            .collect()
    }

    #[rstest]
    #[case::globe_from_0(regular(0.0, 2.5, 144), Some((-180.0, 180.0)))]
    #[case::globe_from_minus_180(regular(-179.5, 1.0, 360), Some((-180.0, 180.0)))]
    #[case::globe_with_both_ends(regular(-180.0, 90.0, 5), Some((-180.0, 180.0)))]
    #[case::globe_less_one_column(regular(0.0, 2.5, 143), Some((0.0, -5.0)))]
    #[case::globe_with_uneven_steps([regular(0.0, 1.0, 359), vec![359.2]].concat(), Some((-180.0, 180.0)))]
    #[case::stations(vec![0.0, 110.0, 230.0], Some((0.0, -130.0)))]
    #[case::region(vec![5.0, 10.0, 15.0], Some((5.0, 15.0)))]
    #[case::descending(vec![15.0, 10.0, 5.0], Some((5.0, 15.0)))]
    #[case::region_in_0_to_360(vec![270.0, 280.0, 290.0], Some((-90.0, -70.0)))]
    #[case::greenwich_in_0_to_360(vec![350.0, 355.0, 0.0, 5.0], Some((-10.0, 5.0)))]
    #[case::antimeridian(vec![170.0, 175.0, 180.0, 185.0], Some((170.0, -175.0)))]
    #[case::up_to_the_antimeridian(vec![160.0, 170.0, 180.0], Some((160.0, 180.0)))]
    #[case::from_the_antimeridian(vec![-180.0, -170.0, -160.0], Some((-180.0, -160.0)))]
    #[case::one(vec![190.0], Some((-170.0, -170.0)))]
    #[case::masked(vec![f64::NAN, 10.0, 20.0], Some((10.0, 20.0)))]
    #[case::fill_value(vec![9.97e36, 10.0], None)]
    #[case::all_masked(vec![f64::NAN], None)]
    #[case::none(vec![], None)]
    fn longitudes_lie_on_a_circle(#[case] values: Vec<f64>, #[case] extent: Option<(f64, f64)>) {
        assert_eq!(lon_extent(&values, None), extent);
    }

    #[rstest]
    #[case::globe(regular(1.25, 2.5, 144), 1.25, Some((-180.0, 180.0)))]
    #[case::region(regular(0.5, 1.0, 10), 0.5, Some((0.0, 10.0)))]
    #[case::half_the_globe(regular(90.0, 180.0, 1), 90.0, Some((0.0, 180.0)))]
    #[case::antimeridian(regular(175.0, 10.0, 2), 5.0, Some((170.0, -170.0)))]
    #[case::greenwich(regular(359.0, 1.0, 3), 0.5, Some((-1.5, 1.5)))]
    #[case::zonal_mean(vec![180.0], 180.0, Some((-180.0, 180.0)))]
    fn bounds_widen_the_extent(
        #[case] values: Vec<f64>,
        #[case] half: f64,
        #[case] extent: Option<(f64, f64)>,
    ) {
        assert_eq!(lon_extent(&values, Some(&cells(&values, half))), extent);
    }

    #[rstest]
    #[case::zonal_mean_with_its_value_at_the_edge(&[0.0], &[0.0, 360.0], Some((-180.0, 180.0)))]
    #[case::corners_across_greenwich(&[359.5, 0.5], &[359.0, 0.0, 0.0, 1.0], Some((-1.0, 1.0)))]
    #[case::four_corners(&[10.0], &[9.0, 11.0, 11.0, 9.0], Some((9.0, 11.0)))]
    #[case::bounds_of_another_shape(&[10.0, 20.0], &[9.0, 11.0, 12.0], None)]
    fn corners_belong_to_their_value(
        #[case] values: &[f64],
        #[case] bounds: &[f64],
        #[case] extent: Option<(f64, f64)>,
    ) {
        assert_eq!(lon_extent(values, Some(bounds)), extent);
    }

    #[rstest]
    #[case::values(&[-89.0, 89.0], None, Some((-89.0, 89.0)))]
    #[case::bounds(&[-89.0, 89.0], Some(&[-90.000_01, -88.0, 88.0, 90.000_01][..]), Some((-90.0, 90.0)))]
    #[case::no_latitude(&[0.0, 100.0], None, None)]
    #[case::none(&[], None, None)]
    fn latitudes_stay_within_the_poles(
        #[case] values: &[f64],
        #[case] bounds: Option<&[f64]>,
        #[case] extent: Option<(f64, f64)>,
    ) {
        assert_eq!(lat_extent(values, bounds), extent);
    }
}
