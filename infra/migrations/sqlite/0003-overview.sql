-- What the status page asks for every few seconds, answered from indexes alone. SPEC §11.

-- How many files are in which state, and what was referenced lately.
CREATE INDEX landfall_source_file_state ON landfall_source_file (state, updated_at, size);

-- How far Releases are reviewed: their rows hold an item each, and are not read for it.
CREATE INDEX app_asset_releases_review ON app_asset_releases (release_id, approval_state, processing_status);
