//! The function app as the Functions host reads it: `host.json` and the functions that this program was built with.

/// `host.json`.
pub(crate) const HOST: &str = include_str!("../host.json");

/// Every folder of `function-definitions/`; a test checks that none is missing.
pub(crate) const FUNCTIONS: [(&str, &str); 12] = [
    (
        "Api",
        include_str!("../function-definitions/Api/function.json"),
    ),
    (
        "BlobEvent",
        include_str!("../function-definitions/BlobEvent/function.json"),
    ),
    (
        "CombineDue",
        include_str!("../function-definitions/CombineDue/function.json"),
    ),
    (
        "CombinePoison",
        include_str!("../function-definitions/CombinePoison/function.json"),
    ),
    (
        "Health",
        include_str!("../function-definitions/Health/function.json"),
    ),
    (
        "Livez",
        include_str!("../function-definitions/Livez/function.json"),
    ),
    (
        "Readyz",
        include_str!("../function-definitions/Readyz/function.json"),
    ),
    (
        "ReferenceDue",
        include_str!("../function-definitions/ReferenceDue/function.json"),
    ),
    (
        "ReferencePoison",
        include_str!("../function-definitions/ReferencePoison/function.json"),
    ),
    (
        "Status",
        include_str!("../function-definitions/Status/function.json"),
    ),
    (
        "Sweep",
        include_str!("../function-definitions/Sweep/function.json"),
    ),
    (
        "Zarr",
        include_str!("../function-definitions/Zarr/function.json"),
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn no_function_is_missing() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("function-definitions");
        let on_disk: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let built_in: BTreeSet<String> = FUNCTIONS
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        assert_eq!(built_in, on_disk);
    }
}
