//! Runs the stages in order; the one place where they meet.
