//! pgSTAC in the tests' own PostgreSQL: a database with `PostGIS` and pgSTAC, made once and then copied.
//!
//! The SQL is that of the wheel `pypgstac` in `.venv/stac` (`tests/support/setup.sh stac`), which has every version's.
//! `LANDFALL_TEST_PGSTAC` names another version than the newest, such as `0.9.8`.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::cluster;

/// The version that is tested unless another is named.
const NEWEST: &str = "0.10.0";

/// The folder of the catalogue's Python environment.
fn environment() -> PathBuf {
    let folder = std::env::var_os("LANDFALL_TEST_STAC_FOLDER").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/stac"));
    assert!(
        folder.join("bin/python").exists(),
        "no Python with pgSTAC in {}: run `./just setup`",
        folder.display()
    );
    folder
}

/// The Python that has pgSTAC, a STAC API and a client.
pub(crate) fn stac_python() -> PathBuf {
    environment().join("bin/python")
}

/// A new database with `PostGIS` and pgSTAC; its name.
pub(crate) fn with_pgstac() -> String {
    static TEMPLATE: OnceLock<String> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| {
        let name = cluster().create(None);
        let extensions = ["postgis", "btree_gist", "unaccent"];
        for extension in extensions {
            cluster().sql(&name, &format!("CREATE EXTENSION {extension}"));
        }
        cluster().run_file(&name, &schema());
        name
    });
    cluster().create(Some(template))
}

/// The SQL that makes the wanted version from nothing.
fn schema() -> PathBuf {
    let version = std::env::var("LANDFALL_TEST_PGSTAC");
    let version = version.unwrap_or_else(|_| NEWEST.to_owned());
    let library = environment().join("lib");
    let pythons = std::fs::read_dir(library).unwrap().flatten();
    let file = format!("site-packages/pypgstac/migrations/pgstac.{version}.sql");
    let files = pythons.map(|python| python.path().join(&file));
    let mut files = files.into_iter();
    let found = files.find(|file| file.exists());
    found.expect("pypgstac has SQL for this version of pgSTAC")
}
