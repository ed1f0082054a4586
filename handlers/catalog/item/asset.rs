//! Assets and links of an item, and the storage that they lie in.

use serde_json::{Map, Value, json};

use super::ItemInput;

const KERCHUNK: &str = "application/vnd.zarr+kerchunk";
const ZARR_V2: &str = "application/vnd.zarr; version=2";

/// A SHA-256 as a multihash in hexadecimal, which is what `file:checksum` holds.
fn multihash(sha256: &[u8]) -> String {
    let digits: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("1220{digits}")
}

/// STAC asks for the link to the collection where the item names one.
pub(super) fn links(input: &ItemInput<'_>) -> Value {
    let collection = format!(
        "{}/api/stac/collections/{}",
        input.public_url,
        input.collection_id()
    );
    json!([
        {"rel": "collection", "href": collection, "type": "application/json"},
        {"rel": "store", "href": input.zarr_url(), "type": ZARR_V2, "title": "Zarr store"},
        {"rel": "alternate", "href": input.reference_url(), "type": KERCHUNK, "title": "Kerchunk references over HTTP"},
    ])
}

pub(super) fn assets(input: &ItemInput<'_>) -> Value {
    let account = input.declaration.prefix.account.as_str();
    let silver = input.reference.account.as_str();
    let mut assets = json!({
        "zarr-store": {
            "href": input.zarr_url(),
            "type": ZARR_V2,
            "title": "Zarr store",
            "roles": ["data", "virtual"],
            "zarr:zarr_format": 2,
            "zarr:node_type": "group",
            "zarr:consolidated": true,
            "xarray:open_kwargs": {"engine": "zarr", "consolidated": true, "chunks": {}},
        },
        "reference": {
            "href": input.reference.short(),
            "type": KERCHUNK,
            "title": "Kerchunk references",
            "roles": ["data", "virtual"],
            "zarr:zarr_format": 2,
            "zarr:node_type": "group",
            "zarr:consolidated": false,
            "storage:refs": [silver],
            "file:size": input.ref_size_bytes,
            "file:checksum": multihash(input.ref_sha256),
            "xarray:open_kwargs": {"engine": "kerchunk", "chunks": {}},
            "xarray:storage_options": storage_options(account, silver),
        },
        "netcdf_source": {
            "href": input.source_url(),
            "type": "application/netcdf",
            "title": "NetCDF source files",
            "roles": ["source"],
            "storage:refs": [account],
        },
    });
    if let (Some(found), Some(assets)) = (input.quicklook, assets.as_object_mut()) {
        let thumbnail = json!({
            "href": input.thumbnail_url(),
            "type": "image/png",
            "title": format!("First map of {}", found.variable),
            "roles": ["thumbnail"],
        });
        assets.insert(String::from("thumbnail"), thumbnail);
    }
    assets
}

/// What fsspec needs to reach the references in silver and the files that they name.
fn storage_options(account: &str, silver: &str) -> Value {
    if account == "local" {
        return json!({"remote_protocol": "file"});
    }
    let options = |account| json!({"account_name": account});
    json!({
        "remote_protocol": "az", "remote_options": options(account),
        "target_protocol": "abfs", "target_options": options(silver),
    })
}

/// The storage accounts of bronze and silver, by their names.
pub(super) fn schemes(input: &ItemInput<'_>) -> Value {
    let accounts = [&input.declaration.prefix.account, &input.reference.account];
    let scheme = |account: &String| match account.as_str() {
        "local" => json!({"type": "local", "platform": "file:///"}),
        name => {
            json!({"type": "ms-azure", "platform": "https://{account}.blob.core.windows.net", "account": name})
        }
    };
    let schemes = accounts.map(|account| (account.clone(), scheme(account)));
    Value::Object(Map::from_iter(schemes))
}
