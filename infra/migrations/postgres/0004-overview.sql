-- What the status page asks for every few seconds, answered from an index alone: how many files are in which state, and
-- what was referenced lately. SPEC §11.
CREATE INDEX source_file_state ON landfall.source_file (state, updated_at) INCLUDE (size);
