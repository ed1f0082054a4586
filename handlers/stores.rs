//! Everything outside the process: blobs, the ledger, queues. Only this module names a vendor.

pub mod azure;
pub mod blobs;
pub mod identity;
pub mod ledger;
pub mod queue;
pub mod retry;
