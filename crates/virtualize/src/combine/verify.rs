//! Proves a join against fresh decodes of its sources.
