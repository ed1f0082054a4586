//! Names of blobs and what is read from them: addresses, CMIP6 names, stems, slugs and ids.

use landfall::group;
use landfall::stores::blobs::BlobPath;
use virtualize::cmip6::{Cmip6Name, slug, stem_without_dates};

/// Takes the bytes for a name and for an address.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    file_name(&text);
    address(&text);
    address(&format!("abfs://bronze/{text}"));
    address(&format!("https://acct.blob.core.windows.net/bronze/{text}"));
}

fn file_name(name: &str) {
    let (stem, dates) = stem_without_dates(name);
    assert!(name.starts_with(stem), "a stem is the beginning of a name");
    assert!(dates.is_none_or(|dates| name.ends_with(dates)), "{name}");
    let slugged = slug(name);
    assert_eq!(slug(&slugged), slugged, "a slug is its own slug");
    if let Some(parsed) = Cmip6Name::parse(name) {
        let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
        assert!(file.starts_with(&parsed.dataset_id()), "{name}");
        let _ = (parsed.cmip6_fields(), parsed.member(), parsed.frequency());
    }
}

fn address(text: &str) {
    let Ok(path) = BlobPath::parse(text, "home") else {
        return;
    };
    let segment = |part: &str| part == "." || part == "..";
    let escapes = path.blob.split('/').any(segment) || path.blob.contains(['\0', '\\']);
    assert!(!escapes && !segment(&path.container), "{path} leads away");
    assert!(path.is_address(), "{path} reads as another");
    let series = group::series_of(&path);
    for id in [&series.dataset_id, &series.resource_id] {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        assert!(id.chars().all(fine), "{id}");
        assert!((1..=255).contains(&id.len()), "{id}");
    }
}
