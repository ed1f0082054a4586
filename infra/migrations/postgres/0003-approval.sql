-- What approval needs to know: which versions of which files a Release is made of, and which of its revisions were
-- taken back. SPEC §6, §8.

-- The files of the published revision of a Release, as it was combined; whether they are still what they were is asked
-- by comparing them with `source_file`.
CREATE TABLE landfall.release_source (
    release_id VARCHAR(64) NOT NULL,
    file_id    BIGINT      NOT NULL REFERENCES landfall.source_file (id) ON DELETE CASCADE,
    etag       TEXT        NOT NULL,
    size       BIGINT      NOT NULL CHECK (size >= 0),
    PRIMARY KEY (release_id, file_id)
);
CREATE INDEX release_source_file ON landfall.release_source (file_id);

INSERT INTO landfall.release_source (release_id, file_id, etag, size)
SELECT g.release_id, m.file_id, m.etag, f.size
FROM landfall.source_group g
JOIN landfall.group_member m ON m.group_id = g.id
JOIN landfall.source_file f ON f.id = m.file_id AND f.etag = m.etag
WHERE g.state = 'combined';

-- When a published revision was rejected, revoked or unpublished: it is not served again, whatever becomes of its
-- Release.
ALTER TABLE landfall.combine_run ADD COLUMN withdrawn_at TIMESTAMPTZ;
