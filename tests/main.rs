//! Behaviour of the whole program: one module per behaviour, all against the real binary.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops where something is not as it should be"
)]

mod approval;
mod azure;
mod backfill;
mod bad_input;
mod calendars;
mod chaos;
mod cli;
mod codecs;
mod combine;
mod combine_serve;
mod contract;
mod corpus;
mod doctor;
mod economy;
mod end_to_end;
mod event_to_item;
mod faults;
mod files;
mod fill_values;
mod function_definitions;
mod hostile;
mod http_api;
mod hypercube;
mod inspect;
mod inventory;
mod items;
mod lifecycle;
mod load;
mod logs;
mod matrix;
mod mismatch;
mod postgres;
mod readers;
mod redelivery;
mod rejection;
mod round_trips;
mod scale;
mod semantics;
mod series;
mod served;
mod staged;
mod status_page;
mod storm;
mod support;
mod titiler;
mod verify;
