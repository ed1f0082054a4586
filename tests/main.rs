//! Behaviour of the whole program: one module per behaviour, all against the real binary.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops where something is not as it should be"
)]

mod cli;
mod combine;
mod corpus;
mod event_to_item;
mod function_definitions;
mod http_api;
mod inspect;
mod mismatch;
mod redelivery;
mod rejection;
mod storm;
mod support;
