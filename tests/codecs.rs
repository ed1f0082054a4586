//! Every filter of HDF5: files of all kinds of numbers, through the real binary and zarr-python, against h5py.

use std::path::Path;
use std::process::Command;

use rstest::rstest;
use serde_json::Value;

use crate::support::{landfall, python, repository};

fn script(arguments: &[&Path], command: &str) -> String {
    let script = repository().join("tests/support/codecs.py");
    let output = Command::new(python())
        .arg(script)
        .arg(command)
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The findings of `landfall virtualize`, and what comparing its reference with the file gives.
fn virtualized(name: &str) -> (Vec<Value>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let (file, reference) = (
        folder.path().join(format!("{name}.h5")),
        folder.path().join("reference.json"),
    );
    script(&[folder.path(), Path::new(name)], "write");
    let output = landfall()
        .arg("virtualize")
        .arg(&file)
        .arg("-o")
        .arg(&reference)
        .arg("--json")
        .output()
        .unwrap();
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    let compared = script(&[&file, &reference], "compare");
    (
        line["findings"].as_array().unwrap().clone(),
        serde_json::from_str(&compared).unwrap(),
    )
}

fn names(compared: &Value) -> Vec<&String> {
    compared["codecs"].as_object().unwrap().keys().collect()
}

/// What `codec` must be among the codecs for the test to have tested it.
#[rstest]
#[case::lzf("lzf", "imagecodecs_lzf")]
#[case::lzf_between("lzf_shuffle_fletcher32", "shuffle+imagecodecs_lzf+fletcher32")]
#[case::lz4("lz4", "imagecodecs_lz4h5")]
#[case::lz4_small_blocks("lz4_small_blocks", "shuffle+imagecodecs_lz4h5")]
#[case::szip_neighbours("szip_nn_8", "imagecodecs_szip")]
#[case::szip_entropy("szip_ec_32", "imagecodecs_szip")]
#[case::bitshuffle("bitshuffle", "shuffle+zlib")]
#[case::bitshuffle_blocks("bitshuffle_64", "shuffle+zlib")]
#[case::bitshuffle_lz4("bitshuffle_lz4", "shuffle+zlib")]
#[case::bitshuffle_lz4_blocks("bitshuffle_lz4_64", "shuffle+zlib")]
#[case::bitshuffle_zstd("bitshuffle_zstd", "shuffle+zlib")]
#[case::blosc("blosc_lz4", "blosc")]
#[case::bzip2("bzip2", "bz2")]
#[case::zstd("zstd", "zstd")]
#[case::nbit("nbit", "")]
#[case::scale_offset("scale_offset", "shuffle+zlib")]
fn values_are_those_of_the_file(#[case] name: &str, #[case] codec: &str) {
    let (_, compared) = virtualized(name);
    assert_eq!(compared["differ"], Value::Array(vec![]), "{compared}");
    assert_eq!(compared["missing"], Value::Array(vec![]), "{compared}");
    assert!(
        names(&compared).iter().any(|name| *name == codec),
        "{compared}"
    );
}

/// Frames of one dimension have no layer that the plug-in reads.
#[rstest]
#[case("blosc2_zstd")]
#[case("blosc2_blosclz")]
fn blosc2_is_read_from_two_dimensions_on(#[case] name: &str) {
    let (_, compared) = virtualized(name);
    assert_eq!(compared["differ"], Value::Array(vec![]), "{compared}");
    assert_eq!(compared["missing"], Value::from(vec!["line"]), "{compared}");
    assert_eq!(names(&compared), ["imagecodecs_b2nd"]);
}

/// Chunks that left a filter out or are not allocated come out right, or their variable is named.
#[test]
fn odd_chunks_come_out_right() {
    let (findings, compared) = virtualized("odd_chunks");
    assert_eq!(compared["differ"], Value::Array(vec![]), "{compared}");
    let missing = Value::from(vec!["blosc2_masked", "blosc2_sparse"]);
    assert_eq!(compared["missing"], missing, "{compared}");
    let refused = findings
        .iter()
        .filter(|finding| finding["code"] == "unsupported");
    let refused: Vec<&Value> = refused.map(|finding| &finding["variable"]).collect();
    assert_eq!(refused, ["/blosc2_masked", "/blosc2_sparse"]);
}

#[test]
fn what_needs_the_plug_in_is_named() {
    let (findings, compared) = virtualized("lz4");
    let named = findings
        .iter()
        .filter(|finding| finding["code"] == "codec-needs-plugin");
    let named: Vec<&str> = named
        .filter_map(|finding| finding["variable"].as_str())
        .collect();
    let all = compared["codecs"]["imagecodecs_lz4h5"].as_array().unwrap();
    assert_eq!(named.len(), all.len());
    assert!(named.contains(&"/line"), "{named:?}");
}

/// A variable that no reader decodes is only taken while it is small; larger ones are refused by name.
#[test]
fn large_variables_without_a_codec_are_refused_by_name() {
    let (findings, compared) = virtualized("large");
    assert_eq!(compared["equal"], 0);
    for (name, filter) in [
        ("/bitshuffle", "bitshuffle (32008)"),
        ("/scaled", "scaleoffset (6)"),
    ] {
        let finding = findings
            .iter()
            .find(|finding| finding["variable"] == name)
            .unwrap();
        let message = finding["message"].as_str().unwrap();
        assert!(
            message.contains(filter) && message.contains("1048576"),
            "{message}"
        );
    }
}
