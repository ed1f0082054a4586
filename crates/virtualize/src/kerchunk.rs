//! Kerchunk references: JSON version 1 with Zarr v2 metadata. SPEC §5.
