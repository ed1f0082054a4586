//! The host at work, mostly with an in-process server as its handler.

mod events;
mod folder;
mod http;
mod process;
mod queues;
mod support;
mod timers;
