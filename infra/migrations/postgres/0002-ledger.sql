-- The ledger: what has landed, which series it belongs to, and the runs that combine them. SPEC §2, §6.
--
-- Names compare bytewise (`C`), as blob storage and the SQLite dialect order them. No foreign key leads into `app`:
-- a platform that owns those tables deletes rows as it likes.

CREATE TABLE landfall.source_file (
    id             BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account        TEXT        COLLATE "C" NOT NULL,
    container      TEXT        COLLATE "C" NOT NULL,
    blob           TEXT        COLLATE "C" NOT NULL,
    etag           TEXT        NOT NULL,
    size           BIGINT      NOT NULL CHECK (size >= 0),
    sequencer      TEXT,
    state          TEXT        NOT NULL
        CHECK (state IN ('landed', 'reading', 'referenced', 'rejected', 'failed', 'gone')),
    reference_path TEXT,
    findings       JSONB       NOT NULL DEFAULT '[]',
    fault          JSONB,
    span           JSONB,
    landed_at      TIMESTAMPTZ NOT NULL,
    updated_at     TIMESTAMPTZ NOT NULL,
    UNIQUE (account, container, blob)
);
CREATE INDEX source_file_open ON landfall.source_file (updated_at) WHERE state IN ('landed', 'reading');

CREATE TABLE landfall.source_group (
    id          TEXT        COLLATE "C" PRIMARY KEY,
    asset_id    TEXT        NOT NULL UNIQUE,
    release_id  TEXT        NOT NULL,
    job_id      TEXT        NOT NULL,
    origin      TEXT        NOT NULL CHECK (origin IN ('submit', 'file', 'auto')),
    account     TEXT        COLLATE "C" NOT NULL,
    container   TEXT        COLLATE "C" NOT NULL,
    prefix      TEXT        COLLATE "C" NOT NULL,
    declaration JSONB       NOT NULL,
    state       TEXT        NOT NULL
        CHECK (state IN ('collecting', 'due', 'combining', 'combined', 'blocked', 'stale', 'failed')),
    -- Whether it is the combine that refused the input; else a member is at fault.
    is_refused  BOOLEAN     NOT NULL DEFAULT false,
    generation  BIGINT      NOT NULL,
    quiet_until TIMESTAMPTZ,
    fault       JSONB,
    findings    JSONB       NOT NULL DEFAULT '[]',
    created_at  TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX source_group_state ON landfall.source_group (state);
CREATE INDEX source_group_place ON landfall.source_group (account, container);

CREATE TABLE landfall.group_member (
    group_id TEXT   COLLATE "C" NOT NULL REFERENCES landfall.source_group (id) ON DELETE CASCADE,
    file_id  BIGINT NOT NULL REFERENCES landfall.source_file (id) ON DELETE CASCADE,
    -- The version that counts in the current generation, once it has a reference.
    etag     TEXT,
    PRIMARY KEY (group_id, file_id)
);
CREATE INDEX group_member_file ON landfall.group_member (file_id);

CREATE TABLE landfall.combine_run (
    id          BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_id    TEXT        COLLATE "C" NOT NULL REFERENCES landfall.source_group (id) ON DELETE CASCADE,
    release_id  TEXT        NOT NULL,
    generation  BIGINT      NOT NULL,
    runner      TEXT        NOT NULL,
    -- lost: its lease ran out and another runner took over; discarded: the generation moved on.
    state       TEXT        NOT NULL
        CHECK (state IN ('running', 'published', 'blocked', 'failed', 'lost', 'discarded')),
    revision    BIGINT      NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL,
    blob_path   TEXT,
    started_at  TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ,
    fault       JSONB,
    result      JSONB
);
CREATE UNIQUE INDEX combine_run_running ON landfall.combine_run (group_id) WHERE state = 'running';
CREATE UNIQUE INDEX combine_run_published ON landfall.combine_run (release_id, revision) WHERE state = 'published';
CREATE INDEX combine_run_release ON landfall.combine_run (release_id, state);
CREATE INDEX combine_run_group ON landfall.combine_run (group_id, state);

CREATE TABLE landfall.secret (
    name       TEXT        PRIMARY KEY,
    value      BYTEA       NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
