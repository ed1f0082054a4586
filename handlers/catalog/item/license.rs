//! The licence of the data, from what a file says of it in words.

use serde_json::Value;
use virtualize::VirtualGroup;

/// Versions of the Creative Commons licences.
const VERSIONS: [&str; 5] = ["1.0", "2.0", "2.5", "3.0", "4.0"];

/// The SPDX identifier of the licence that the global attribute `license` names; `other` where it names none that is
/// known, and nothing where there is no such attribute.
pub(super) fn of(root: &VirtualGroup) -> Option<String> {
    let text = root.attributes.get("license").and_then(Value::as_str)?;
    let text = text.trim();
    (!text.is_empty()).then(|| creative_commons(text).unwrap_or_else(|| String::from("other")))
}

/// A Creative Commons licence in a text, by its name, its short name or its address.
///
/// What counts stands between the name and its version: terms elsewhere in the text may be those of something else.
fn creative_commons(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '.';
    let words: Vec<&str> = text
        .split(|letter| !is_part(letter))
        .map(|word| word.trim_matches('.'))
        .filter(|word| !word.is_empty())
        .collect();
    let has = |words: &[&str], pair: [&str; 2]| words.windows(2).any(|found| found == pair);
    if words.contains(&"cc0") || has(&words, ["publicdomain", "zero"]) {
        return Some(String::from("CC0-1.0"));
    }
    let starts = |found: &[&str]| {
        matches!(
            found,
            ["cc" | "licenses", "by"] | ["commons", "attribution"]
        )
    };
    let start = words.windows(2).position(starts)?;
    let rest = words.get(start + 1..)?;
    let end = rest.iter().position(|word| VERSIONS.contains(word))?;
    let (terms, version) = (rest.get(..end)?, rest.get(end)?);
    let mut out = String::from("CC-BY");
    for (short, long, pair) in [
        ("nc", "noncommercial", ["non", "commercial"]),
        ("nd", "noderivatives", ["no", "derivatives"]),
        ("sa", "sharealike", ["share", "alike"]),
    ] {
        if terms.contains(&short) || terms.contains(&long) || has(terms, pair) {
            out.push('-');
            out.push_str(&short.to_uppercase());
        }
    }
    Some(format!("{out}-{version}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    // Identifiers are those of the SPDX License List; the first text is what CMIP6 prescribes for its files.
    #[rstest]
    #[case::cmip6(
        "CMIP6 model data produced by MOHC is licensed under a Creative Commons Attribution ShareAlike 4.0 International \
         License (https://creativecommons.org/licenses). Consult https://pcmdi.llnl.gov/CMIP6/TermsOfUse for terms of use",
        Some("CC-BY-SA-4.0")
    )]
    #[case::spdx("CC-BY-4.0", Some("CC-BY-4.0"))]
    #[case::short("Data: CC BY-NC-SA 3.0 IGO", Some("CC-BY-NC-SA-3.0"))]
    #[case::long(
        "Creative Commons Attribution-NonCommercial-NoDerivatives 4.0",
        Some("CC-BY-NC-ND-4.0")
    )]
    #[case::address(
        "see https://creativecommons.org/licenses/by-sa/4.0/",
        Some("CC-BY-SA-4.0")
    )]
    #[case::zero("CC0", Some("CC0-1.0"))]
    #[case::zero_address("http://creativecommons.org/publicdomain/zero/1.0/", Some("CC0-1.0"))]
    #[case::at_the_end("Licensed CC BY 4.0.", Some("CC-BY-4.0"))]
    #[case::terms_of_something_else(
        "CC BY 4.0; the nc files may be shared alike",
        Some("CC-BY-4.0")
    )]
    #[case::no_version("Creative Commons Attribution", Some("other"))]
    #[case::unknown("Free for research", Some("other"))]
    #[case::empty(" ", None)]
    fn a_licence_is_known_by_its_name(#[case] text: &str, #[case] expected: Option<&str>) {
        let mut root = VirtualGroup::default();
        root.attributes.insert(String::from("license"), json!(text));
        assert_eq!(of(&root).as_deref(), expected);
    }

    #[test]
    fn without_the_attribute_nothing_is_said() {
        assert_eq!(of(&VirtualGroup::default()), None);
    }
}
