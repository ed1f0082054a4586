//! Real series of others, where the corpus is present (CI has it).

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Dev, name_of, read_with_xarray, repository};

pub(crate) fn corpus() -> Option<PathBuf> {
    let named = std::env::var_os("LANDFALL_CORPUS").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| repository().join("../shared/corpus"));
    let there = folder.join("MANIFEST.json").exists();
    assert!(
        there || std::env::var_os("CI").is_none(),
        "no corpus at {}",
        folder.display()
    );
    there.then_some(folder)
}

/// The files of the series whose first file's name starts so.
pub(crate) fn series(corpus: &Path, start: &str) -> Vec<PathBuf> {
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(corpus.join("MANIFEST.json")).unwrap()).unwrap();
    let groups = manifest["groups"].as_array().unwrap();
    let files = groups.iter().map(|group| -> Vec<PathBuf> {
        group["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| corpus.join(file.as_str().unwrap()))
            .collect()
    });
    files
        .into_iter()
        .find(|files| name_of(&files[0]).starts_with(start))
        .unwrap()
}

/// Drops the files out of order and one of them twice, and reads the result with xarray.
fn lands_and_reads(files: &[PathBuf]) {
    let dev = Dev::start();
    dev.submit("series", files.len());
    let mut order = files.to_vec();
    order.rotate_left(1);
    order.push(files[0].clone());
    dev.land_all(&order, "series");
    let (release, _) = dev.wait_combined(1);
    let landed: Vec<PathBuf> = files
        .iter()
        .map(|file| dev.bronze().join("series").join(name_of(file)))
        .collect();
    let store = dev.url(&format!("/api/zarr/{release}/r1"));
    read_with_xarray("served", &store, &landed);
    read_with_xarray("kerchunk", &format!("{store}/combined.json"), &landed);
}

macro_rules! series_tests {
    ($($name:ident: $start:literal,)*) => {$(
        #[test]
        fn $name() {
            let Some(corpus) = corpus() else { return eprintln!("the corpus is not here") };
            lands_and_reads(&series(&corpus, $start));
        }
    )*};
}

series_tests! {
    miroc6_days_contiguous: "ta_day_MIROC6",
    sea_ice_on_a_curvilinear_grid: "siconc_SImon_MPI-ESM1-2-HR",
    dcpp_names_with_sub_experiments: "pr_Amon_HadGEM3-GC31-MM_dcppA-hindcast",
    cordex_whose_time_chunks_do_not_fit: "tas_AFR-22",
}

#[test]
fn a_classic_model_file() {
    let Some(corpus) = corpus() else {
        return eprintln!("the corpus is not here");
    };
    lands_and_reads(&[
        corpus.join("roocs__mini-esgf-data/tas_Amon_inmcm4_historical_r1i1p1_185001-200512.nc")
    ]);
}
