//! CMIP6 names. SPEC §10.
