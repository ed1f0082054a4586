//! Behaviour of the whole program: one module per behaviour, all against the real binary.

mod cli;
mod combine;
mod corpus;
mod event_to_item;
mod function_definitions;
mod http_api;
mod redelivery;
mod rejection;
mod storm;
mod support;
