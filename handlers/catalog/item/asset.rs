//! Assets and links of an item, and the storage that they lie in.

use serde_json::{Map, Value, json};

use super::ItemInput;

const KERCHUNK: &str = "application/vnd.zarr+kerchunk";
const ZARR_V2: &str = "application/vnd.zarr; version=2";

/// A SHA-256 as a multihash in hexadecimal, which is what `file:checksum` holds.
pub fn multihash(sha256: [u8; 32]) -> String {
    let digits: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("1220{digits}")
}

pub(super) fn links(input: &ItemInput<'_>) -> Value {
    json!([
        {"rel": "store", "href": input.zarr_url(), "type": ZARR_V2, "title": "Zarr store"},
        {"rel": "alternate", "href": input.reference_url(), "type": KERCHUNK, "title": "Kerchunk references over HTTP"},
    ])
}

pub(super) fn assets(input: &ItemInput<'_>) -> Value {
    let silver = input.silver_account;
    json!({
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
            "href": format!("abfs://silver/{}", input.blob_path),
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
            "xarray:storage_options": storage_options(input),
        },
        "netcdf_source": {
            "href": input.source_url,
            "type": "application/netcdf",
            "title": "NetCDF source files",
            "roles": ["source"],
            "storage:refs": [input.declaration.prefix.account],
        },
    })
}

/// What fsspec needs to reach the references and the files that they name.
fn storage_options(input: &ItemInput<'_>) -> Value {
    let bronze = input.declaration.prefix.account.as_str();
    if bronze == "local" {
        return json!({"remote_protocol": "file"});
    }
    json!({
        "remote_protocol": "az",
        "remote_options": {"account_name": bronze},
        "target_protocol": "abfs",
        "target_options": {"account_name": input.silver_account},
    })
}

/// The accounts, by name.
pub(super) fn schemes(input: &ItemInput<'_>) -> Value {
    let accounts = [input.silver_account, input.declaration.prefix.account.as_str()];
    let schemes: Map<String, Value> = accounts.into_iter().map(|name| (name.to_owned(), scheme(name))).collect();
    Value::Object(schemes)
}

fn scheme(account: &str) -> Value {
    if account == "local" {
        return json!({"type": "local", "platform": "file:///"});
    }
    json!({"type": "ms-azure", "platform": "https://{account}.blob.core.windows.net", "account": account})
}
