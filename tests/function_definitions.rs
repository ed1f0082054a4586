//! Every function folder has a route, and every trigger route a folder.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Dev, repository};

fn definitions() -> Vec<(String, Value)> {
    let folder = repository().join("function-definitions");
    let folders = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    folders
        .map(|folder| {
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            (
                name,
                serde_json::from_slice(&std::fs::read(folder.join("function.json")).unwrap())
                    .unwrap(),
            )
        })
        .collect()
}

#[test]
fn every_function_without_http_is_a_route_of_the_handler() {
    let dev = Dev::start();
    for (name, definition) in definitions() {
        if definition["bindings"][0]["type"] == "httpTrigger" {
            continue;
        }
        let (status, reply) =
            dev.post(&format!("/admin/functions/{name}"), &json!({"input": "{}"}));
        assert_ne!(status, 404, "{name}: {reply}");
    }
    assert!(dev.json("/api/livez").is_object());
}

#[test]
fn the_functions_are_those_of_the_specification() {
    let names: BTreeSet<String> = definitions().into_iter().map(|(name, _)| name).collect();
    let wanted = [
        "Api",
        "BlobEvent",
        "CombineDue",
        "CombinePoison",
        "Health",
        "Livez",
        "Readyz",
        "ReferenceDue",
        "ReferencePoison",
        "Status",
        "Sweep",
        "Zarr",
    ];
    assert_eq!(
        names,
        wanted.iter().map(|name| (*name).to_owned()).collect()
    );
}
