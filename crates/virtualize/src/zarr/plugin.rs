//! Says which arrays need a package beside their reader.

use super::Codec;
use crate::dataset::{VirtualArray, VirtualGroup};
use crate::rules::{Finding, Grade};

/// A warning for each array that has chunks in a codec of the plug-in.
pub(crate) fn plugin_findings(root: &VirtualGroup) -> Vec<Finding> {
    let arrays = root.walk();
    let findings = arrays
        .iter()
        .filter_map(|(path, array)| finding(path, array));
    findings.collect()
}

fn finding(path: &str, array: &VirtualArray) -> Option<Finding> {
    let codec = array.codecs.iter().find(|codec| codec.needs_plugin())?;
    let message = format!(
        "its {} chunks are read with the package imagecodecs-numcodecs, which adds codecs to numcodecs",
        Codec::name(codec)
    );
    let code = "codec-needs-plugin";
    Some(Finding::graded(Grade::Warning, code, Some(path), message))
}
