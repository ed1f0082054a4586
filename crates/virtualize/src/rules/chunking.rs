//! The table of findings about chunks: the first that matches counts.

use super::facts::VariableFacts;
use super::role::{Axis, Variable};
use super::{Finding, Grade};
use crate::contiguous::CUT_LIMIT;
use crate::dataset::Layout;

const HUGE_BYTES: u64 = 100 << 20;
const HUGE_SIDE: u64 = 1000;
const TINY_SIDE: u64 = 50;
const MANY_CHUNKS: u64 = 10_000;
const SMALL_CHUNK: u64 = 16_000;

/// The finding about the chunks of a data variable, if any.
pub(super) fn finding(variable: &Variable<'_>, facts: &VariableFacts) -> Option<Finding> {
    let rules = [
        contiguous_large,
        single_pixel_chunks,
        huge_spatial_chunks,
        tiny_chunks,
        huge_chunk,
        reference_heavy,
    ];
    if facts.shape.contains(&0) || !facts.shape.iter().any(|length| *length > 1) {
        return None;
    }
    let hit = rules.into_iter().find_map(|rule| rule(variable, facts))?;
    let (grade, code, message) = hit;
    Some(Finding::graded(grade, code, Some(&variable.path), message))
}

type Hit = (Grade, &'static str, String);

fn contiguous_large(variable: &Variable<'_>, facts: &VariableFacts) -> Option<Hit> {
    let contiguous = variable.array.layout == Layout::Contiguous;
    let leading = facts.shape.iter().find(|length| **length > 1)?;
    let step = facts.nbytes.checked_div(*leading)?;
    (contiguous && facts.nbytes > HUGE_BYTES && step > CUT_LIMIT).then(|| {
        let message = format!(
            "{} in one piece, {} for each step along the first dimension",
            mib(facts.nbytes),
            mib(step)
        );
        (Grade::Warning, "contiguous-large", message)
    })
}

/// Not where the file has no chunks: how it is cut then is our choice.
fn single_pixel_chunks(variable: &Variable<'_>, facts: &VariableFacts) -> Option<Hit> {
    let several = facts.shape.iter().filter(|length| **length > 1).count() >= 2;
    let cut = variable.array.layout == Layout::Contiguous;
    let single = variable.lengths(Axis::Spatial).any(|(_, chunk)| chunk == 1);
    (several && !cut && single).then(|| {
        let message = format!(
            "chunks of {:?} are one cell wide: a map of one step costs a request per row or cell",
            facts.chunks
        );
        (Grade::Critical, "single-pixel-chunks", message)
    })
}

fn huge_spatial_chunks(variable: &Variable<'_>, facts: &VariableFacts) -> Option<Hit> {
    let mut sides = variable.lengths(Axis::Spatial);
    let (_, side) = sides.find(|(_, chunk)| *chunk > HUGE_SIDE)?;
    let message = format!(
        "chunks of {:?} are {side} cells wide: a small area costs much more than it holds",
        facts.chunks
    );
    Some((Grade::Warning, "huge-spatial-chunks", message))
}

fn tiny_chunks(variable: &Variable<'_>, facts: &VariableFacts) -> Option<Hit> {
    let sides: Vec<u64> = variable
        .lengths(Axis::Spatial)
        .map(|(_, chunk)| chunk)
        .collect();
    let tiny = !sides.is_empty() && sides.iter().all(|side| *side < TINY_SIDE);
    (tiny && facts.chunk_count > MANY_CHUNKS).then(|| {
        let message = format!("{} chunks of {:?} only", facts.chunk_count, facts.chunks);
        (Grade::Warning, "tiny-chunks", message)
    })
}

fn huge_chunk(variable: &Variable<'_>, facts: &VariableFacts) -> Option<Hit> {
    let bytes = variable.array.chunk_nbytes().unwrap_or(u64::MAX);
    (bytes > HUGE_BYTES).then(|| {
        let message = format!("a chunk of {:?} decodes to {}", facts.chunks, mib(bytes));
        (Grade::Warning, "huge-chunk", message)
    })
}

fn reference_heavy(_: &Variable<'_>, facts: &VariableFacts) -> Option<Hit> {
    let mean = facts
        .mean_stored_chunk_bytes
        .filter(|mean| *mean < SMALL_CHUNK)?;
    let message = format!(
        "{} chunks of {mean} bytes on average: the references are not small beside the data",
        facts.chunk_count
    );
    Some((Grade::Warning, "reference-heavy", message))
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::super::{Recommendation, Status, judge};
    use super::*;
    use crate::contiguous::consecutive;
    use crate::dataset::{Format, Skipped, VirtualArray, VirtualDataset, VirtualGroup};
    use crate::manifest::SourceId;
    use crate::zarr::{ByteOrder, Codec, DataType};

    /// A variable of 4-byte floats whose chunks are all stored with `stored` bytes.
    fn array(dimensions: &[&str], shape: &[u64], chunks: &[u64], stored: u64) -> VirtualArray {
        let mut array = VirtualArray {
            shape: shape.to_vec(),
            chunk_shape: chunks.to_vec(),
            data_type: DataType::Float(4, ByteOrder::Little),
            fill_value: None,
            codecs: vec![Codec::Shuffle { element_size: 4 }, Codec::Zlib { level: 1 }],
            dimension_names: dimensions.iter().map(ToString::to_string).collect(),
            attributes: crate::dataset::Attributes::new(),
            chunks: crate::manifest::ChunkManifest::new(),
            layout: Layout::Chunked,
        };
        let count = array.chunk_grid().iter().product();
        array.chunks = consecutive(SourceId(0), 0, stored, count);
        array
    }

    fn dataset(array: VirtualArray) -> VirtualDataset {
        let mut root = VirtualGroup::default();
        root.arrays.insert("v".into(), array);
        VirtualDataset::new(Format::Netcdf4, root, 1 << 40)
    }

    fn codes(dataset: &VirtualDataset) -> Vec<String> {
        judge(dataset)
            .findings
            .into_iter()
            .map(|finding| finding.code)
            .collect()
    }

    const TYX: &[&str] = &["time", "y", "x"];
    const K: u64 = 1 << 10;
    const BIG: u64 = 20_000;

    #[rstest]
    #[case::single_pixel(&[10, 300, 300], &[10, 1, 300], BIG, &["single-pixel-chunks"])]
    #[case::two_pixels(&[10, 300, 300], &[10, 2, 300], BIG, &[])]
    #[case::length_one_is_no_pixel(&[10, 1, 300], &[10, 1, 300], BIG, &[])]
    #[case::one_time_step_is_fine(&[10, 300, 300], &[1, 300, 300], BIG, &[])]
    #[case::huge_spatial(&[10, 2000, 300], &[1, 1001, 300], BIG, &["huge-spatial-chunks"])]
    #[case::large_spatial(&[10, 2000, 300], &[1, 1000, 300], BIG, &[])]
    #[case::huge_time_is_not_spatial(&[5000, 30, 300], &[5000, 30, 60], BIG, &[])]
    #[case::chunk_beyond_the_shape(&[10, 30, 900], &[10, 30, 2000], BIG, &[])]
    #[case::tiny(&[10_001, 98, 98], &[1, 49, 98], BIG, &[])]
    #[case::tiny_both(&[10_001, 49, 49], &[1, 49, 49], BIG, &["tiny-chunks"])]
    #[case::tiny_but_few(&[10_000, 49, 49], &[1, 49, 49], BIG, &[])]
    #[case::fifty_is_not_tiny(&[10_001, 50, 49], &[1, 50, 49], BIG, &[])]
    #[case::huge_chunk(&[200, 512, 512], &[101, 512, 512], BIG, &["huge-chunk"])]
    #[case::large_chunk(&[200, 512, 512], &[100, 512, 512], BIG, &[])]
    #[case::reference_heavy(&[10, 300, 300], &[1, 300, 300], 15_999, &["reference-heavy"])]
    #[case::worth_its_references(&[10, 300, 300], &[1, 300, 300], 16_000, &[])]
    #[case::first_match_counts(&[10_001, 2, 1001], &[1, 1, 1001], 10, &["single-pixel-chunks"])]
    #[case::nothing_longer_than_one(&[1, 1, 1], &[1, 1, 1], 10, &[])]
    fn chunks_are_judged(
        #[case] shape: &[u64],
        #[case] chunks: &[u64],
        #[case] stored: u64,
        #[case] expected: &[&str],
    ) {
        assert_eq!(codes(&dataset(array(TYX, shape, chunks, stored))), expected);
    }

    #[rstest]
    #[case::step_too_large(&[25, 4 * K, K + 1], &["contiguous-large"])]
    #[case::step_as_large_as_a_cut(&[26, 4 * K, K], &["huge-spatial-chunks"])]
    #[case::not_larger_than_100_mib(&[5, 5 * K, K], &["huge-spatial-chunks"])]
    #[case::larger_than_100_mib(&[5, 5 * K, K + 1], &["contiguous-large"])]
    #[case::not_large_enough(&[6, 4 * K, K + 1], &["huge-spatial-chunks"])]
    #[case::leading_ones_are_no_steps(&[1, 25, 1025 * K], &["huge-spatial-chunks"])]
    fn contiguous_data_is_judged_by_how_it_can_be_cut(
        #[case] shape: &[u64],
        #[case] expected: &[&str],
    ) {
        let mut array = array(TYX, shape, &[1, 1024, 2000], BIG);
        array.layout = Layout::Contiguous;
        assert_eq!(codes(&dataset(array)), expected);
    }

    fn coordinate(dimensions: &[&str], length: u64, attribute: (&str, &str)) -> VirtualArray {
        let shape = vec![length; dimensions.len()];
        let mut array = array(dimensions, &shape, &shape, 10);
        array
            .attributes
            .insert(attribute.0.into(), json!(attribute.1));
        array
    }

    #[rstest]
    #[case::axis("y", ("axis", "Y"), true)]
    #[case::standard_name("y", ("standard_name", "grid_latitude"), true)]
    #[case::units("y", ("units", "degrees_north"), true)]
    #[case::time("y", ("units", "days since 2000-01-01"), false)]
    #[case::vertical("y", ("axis", "Z"), false)]
    #[case::axis_in_lower_case("y", ("axis", "y"), true)]
    #[case::standard_name_in_capitals("y", ("standard_name", "Latitude"), true)]
    #[case::units_with_a_space("y", ("units", "degrees north"), true)]
    #[case::pressure("y", ("units", "hPa"), false)]
    #[case::positive("y", ("positive", "down"), false)]
    #[case::radians_are_told_by_the_name("y", ("units", "radian"), true)]
    fn cf_tells_the_spatial_dimensions(
        #[case] name: &str,
        #[case] attribute: (&str, &str),
        #[case] spatial: bool,
    ) {
        let mut dataset = dataset(array(&["y", "a", "b"], &[9, 300, 300], &[1, 300, 300], BIG));
        let y = coordinate(&[name], 9, attribute);
        dataset.root.arrays.insert(name.into(), y);
        let expected: &[&str] = if spatial {
            &["single-pixel-chunks"]
        } else {
            &[]
        };
        assert_eq!(codes(&dataset), expected);
    }

    // A temperature is called `t` as often as time is.
    #[rstest]
    #[case::temperature("t", ("units", "K"), true)]
    #[case::time("t", ("units", "days since 2000-01-01"), false)]
    #[case::latitude("v", ("standard_name", "latitude"), false)]
    #[case::pressure("v", ("units", "Pa"), true)]
    fn data_is_not_told_by_its_name(
        #[case] name: &str,
        #[case] attribute: (&str, &str),
        #[case] is_data: bool,
    ) {
        let mut dataset = dataset(array(TYX, &[10, 300, 300], &[1, 300, 300], BIG));
        let mut array = dataset.root.arrays.remove("v").unwrap();
        let (key, value) = attribute;
        array.attributes.insert(key.into(), json!(value));
        dataset.root.arrays.insert(name.into(), array);
        assert_eq!(judge(&dataset).variables[0].is_data, is_data);
    }

    #[rstest]
    #[case::sides_of_128_and_512(&[1, 128, 512], true)]
    #[case::below_128(&[1, 127, 512], false)]
    #[case::above_512(&[1, 128, 513], false)]
    #[case::just_below_a_megabyte(&[1, 500, 499], true)]
    #[case::a_megabyte(&[1, 500, 500], false)]
    fn tiles_are_about_256_wide_and_below_a_megabyte(
        #[case] chunks: &[u64],
        #[case] friendly: bool,
    ) {
        let verdict = judge(&dataset(array(TYX, &[10, 2000, 2000], chunks, BIG)));
        assert_eq!(verdict.variables[0].tile_friendly, friendly);
    }

    #[test]
    fn the_dimensions_of_a_curvilinear_grid_are_spatial() {
        let mut dataset = dataset(array(&["j", "i", "k"], &[9, 9, 300], &[9, 1, 300], BIG));
        let lat = coordinate(&["j", "i"], 9, ("standard_name", "latitude"));
        dataset.root.arrays.insert("lat".into(), lat);
        assert_eq!(codes(&dataset), ["single-pixel-chunks"]);
    }

    #[test]
    fn coordinates_and_bounds_are_not_judged() {
        let mut dataset = dataset(array(TYX, &[10, 300, 300], &[1, 300, 300], BIG));
        let v = dataset.root.arrays.get_mut("v").unwrap();
        v.attributes
            .insert("coordinates".into(), json!("area /depth"));
        let mut time = coordinate(&["time"], 10, ("bounds", "time_bnds"));
        time.chunks = consecutive(SourceId(0), 0, 8, 1);
        let pairs = array(&["time", "bnds"], &[10, 2], &[1, 2], 16);
        let arrays = &mut dataset.root.arrays;
        arrays.insert("time".into(), time);
        arrays.insert(
            "area".into(),
            array(&["y", "x"], &[300, 300], &[1, 300], 10),
        );
        arrays.insert(
            "depth".into(),
            array(&["y", "x"], &[300, 300], &[1, 300], 10),
        );
        arrays.insert("time_bnds".into(), pairs);
        assert_eq!(codes(&dataset), Vec::<String>::new());
        let verdict = judge(&dataset);
        let data = verdict.variables.iter().filter(|facts| facts.is_data);
        assert_eq!(
            data.map(|facts| facts.name.as_str()).collect::<Vec<_>>(),
            ["/v"]
        );
    }

    // Time and its bounds as the last two dimensions are no map.
    #[test]
    fn time_and_bounds_are_not_spatial() {
        let intervals = array(&["station", "time", "bnds"], &[9, 9, 2], &[9, 1, 2], BIG);
        assert_eq!(codes(&dataset(intervals)), Vec::<String>::new());
    }

    #[rstest]
    #[case::data(true, Recommendation::ConsiderPhysicalConversion, Status::Error)]
    #[case::label(false, Recommendation::SuitableForVirtualization, Status::Success)]
    fn refused_data_is_critical(
        #[case] is_data: bool,
        #[case] recommendation: Recommendation,
        #[case] status: Status,
    ) {
        let mut dataset = dataset(array(TYX, &[10, 300, 300], &[1, 300, 300], BIG));
        let (variable, reason) = ("/w".into(), "unsupported filter szip".into());
        dataset.skipped.push(Skipped {
            variable,
            reason,
            is_data,
        });
        let verdict = judge(&dataset);
        assert_eq!(verdict.findings[0].code, "unsupported");
        assert_eq!(verdict.findings[0].variable.as_deref(), Some("/w"));
        assert_eq!(
            (verdict.recommendation, verdict.status),
            (recommendation, status)
        );
    }

    #[test]
    fn a_verdict_is_json_in_the_words_of_the_interface() {
        let verdict = judge(&dataset(array(
            TYX,
            &[10, 300, 256],
            &[1, 256, 256],
            15_000,
        )));
        let json = serde_json::to_value(&verdict).unwrap();
        assert_eq!(json["status"], "warning");
        assert_eq!(json["recommendation"], "suitable_for_virtualization");
        assert_eq!(json["findings"][0]["grade"], "warning");
        let facts = &json["variables"][0];
        assert_eq!(facts["dtype"], "float32");
        assert_eq!(facts["compression"], "gzip");
        assert_eq!(facts["filters"], json!(["shuffle"]));
        assert_eq!(facts["nbytes"], 10 * 300 * 256 * 4);
        assert_eq!(facts["chunk_count"], 20);
        assert_eq!(facts["mean_stored_chunk_bytes"], 15_000);
        assert_eq!(facts["tile_friendly"], true);
    }

    #[rstest]
    #[case::two_steps(&[2, 256, 256])]
    #[case::too_wide(&[1, 100, 1024])]
    #[case::too_narrow(&[1, 256, 64])]
    #[case::too_large(&[1, 512, 512])]
    fn what_is_no_tile_is_not_tile_friendly(#[case] chunks: &[u64]) {
        let verdict = judge(&dataset(array(TYX, &[10, 2000, 2000], chunks, BIG)));
        assert!(!verdict.variables[0].tile_friendly);
    }
}
