//! Which files are announced.

use std::path::{Component, Path};

/// Endings of names under which programs write what is not finished.
const TEMPORARY: [&str; 3] = [".part", ".tmp", "~"];

/// The filter of a watch.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    suffixes: Vec<String>,
}

impl Filter {
    pub(super) fn new(suffixes: &[String]) -> Self {
        Self {
            suffixes: suffixes.iter().map(|s| s.to_ascii_lowercase()).collect(),
        }
    }

    /// The name as a blob of a file at a path below the root, if it is announced.
    pub(super) fn blob_name(&self, relative: &Path) -> Option<String> {
        let parts: Option<Vec<&str>> = relative.components().map(visible).collect();
        let name = parts?.join("/");
        let lower = name.to_ascii_lowercase();
        let wanted =
            self.suffixes.is_empty() || self.suffixes.iter().any(|s| lower.ends_with(s.as_str()));
        (wanted && !TEMPORARY.iter().any(|t| lower.ends_with(t))).then_some(name)
    }

    /// Whether files below a path may be announced at all.
    pub(super) fn enters(relative: &Path) -> bool {
        relative.components().all(|part| visible(part).is_some())
    }
}

/// A part of a path that is neither hidden nor outside of Unicode, as blob names must be.
fn visible(part: Component<'_>) -> Option<&str> {
    match part {
        Component::Normal(name) => name.to_str().filter(|name| !name.starts_with('.')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a.nc", Some("a.nc"))]
    #[case("d/b c/A.NC", Some("d/b c/A.NC"))]
    #[case("d/landfall.json", Some("d/landfall.json"))]
    #[case("a.nc.part", None)]
    #[case("a.tmp", None)]
    #[case("a.nc~", None)]
    #[case(".a.nc", None)]
    #[case(".git/a.nc", None)]
    #[case("a.txt", None)]
    #[case("../a.nc", None)]
    fn files_are_chosen_by_name(#[case] path: &str, #[case] blob: Option<&str>) {
        let filter = Filter::new(&[".nc".to_owned(), "landfall.json".to_owned()]);
        assert_eq!(filter.blob_name(Path::new(path)).as_deref(), blob);
    }
}
