//! Everything outside the process: blobs, the ledger, queues. Only this module names a vendor.

pub mod blobs;
pub mod ledger;
pub mod queue;
