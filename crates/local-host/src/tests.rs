//! The host at work, with an in-process server as its handler.
