//! Landfall: NetCDF files readable as Zarr, without copying them, the moment they land.
//!
//! A file arrives and six stages run in order; [`pipeline`] is the one place where they meet.
//!
//! | stage | module | what it does |
//! | --- | --- | --- |
//! | 1 event | [`event`] | host payloads become typed events |
//! | 2 read | [`read`] | drives the decoder with ranged GETs |
//! | 3 validate | [`validate`] | findings and the verdict |
//! | 4 reference | [`mod@reference`] | publishes one file's reference |
//! | 5 combine | [`group`], [`combine`] | when a series is complete; joins, verifies and publishes it |
//! | 6 catalog | [`catalog`] | builds the STAC item and caches it on the Release |
//!
//! [`inventory`] tells what series lie in a container, [`doctor`] what keeps an installation from working. [`stores`] reaches the world outside, [`http`] and [`cli`] translate and delegate, [`config`] alone reads the
//! environment. Dependencies point one way: `http, cli → pipeline → stages → stores → virtualize`.

pub mod catalog;
pub mod cli;
pub mod combine;
pub mod config;
pub mod doctor;
pub mod event;
pub(crate) mod function_app;
pub mod group;
pub mod http;
pub mod inventory;
pub mod pipeline;
pub mod read;
pub mod reference;
mod self_test;
pub mod stores;
pub mod telemetry;
pub mod validate;
