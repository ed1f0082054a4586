-- The ledger in one SQLite file. Prefixes stand for the schemas `landfall` and `app` of the PostgreSQL dialect.
-- Enums are text, JSON is text, timestamps are RFC 3339 text in UTC with nine decimals, so that they sort.

CREATE TABLE landfall_source_file (
    id             INTEGER PRIMARY KEY,
    account        TEXT    NOT NULL,
    container      TEXT    NOT NULL,
    blob           TEXT    NOT NULL,
    etag           TEXT    NOT NULL,
    size           INTEGER NOT NULL CHECK (size >= 0),
    sequencer      TEXT,
    state          TEXT    NOT NULL
        CHECK (state IN ('landed', 'reading', 'referenced', 'rejected', 'failed', 'gone')),
    reference_path TEXT,
    findings       TEXT    NOT NULL DEFAULT '[]',
    fault          TEXT,
    span           TEXT,
    landed_at      TEXT    NOT NULL,
    updated_at     TEXT    NOT NULL,
    UNIQUE (account, container, blob)
);
CREATE INDEX landfall_source_file_open ON landfall_source_file (updated_at) WHERE state IN ('landed', 'reading');

-- Platform tables, with the platform's own names.

CREATE TABLE app_platforms (
    platform_id     TEXT    PRIMARY KEY,
    display_name    TEXT    NOT NULL,
    description     TEXT,
    required_refs   TEXT    NOT NULL DEFAULT '[]',
    optional_refs   TEXT    NOT NULL DEFAULT '[]',
    nominal_refs    TEXT    NOT NULL DEFAULT '[]',
    version_ref     TEXT,
    uses_versioning INTEGER NOT NULL DEFAULT 1,
    is_active       INTEGER NOT NULL DEFAULT 1,
    created_at      TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at      TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
INSERT INTO app_platforms (platform_id, display_name, required_refs, nominal_refs, version_ref)
VALUES ('ddh', 'Data Distribution Hub', '["dataset_id", "resource_id"]', '["dataset_id", "resource_id"]', 'version_id');

CREATE TABLE app_assets (
    asset_id      TEXT    PRIMARY KEY,
    platform_id   TEXT    NOT NULL DEFAULT 'ddh',
    dataset_id    TEXT    NOT NULL,
    resource_id   TEXT    NOT NULL,
    platform_refs TEXT    NOT NULL,
    data_type     TEXT    NOT NULL DEFAULT 'zarr',
    release_count INTEGER NOT NULL DEFAULT 0,
    created_at    TEXT    NOT NULL,
    updated_at    TEXT    NOT NULL,
    deleted_at    TEXT,
    deleted_by    TEXT,
    UNIQUE (platform_id, dataset_id, resource_id)
);

CREATE TABLE app_jobs (
    job_id        TEXT    PRIMARY KEY,
    job_type      TEXT    NOT NULL,
    parameters    TEXT    NOT NULL,
    status        TEXT    NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'processing', 'completed', 'failed', 'completed_with_errors')),
    stage         INTEGER NOT NULL DEFAULT 1,
    total_stages  INTEGER NOT NULL DEFAULT 5,
    asset_id      TEXT,
    platform_id   TEXT,
    request_id    TEXT,
    etl_version   TEXT,
    stage_results TEXT    NOT NULL DEFAULT '{}',
    metadata      TEXT    NOT NULL DEFAULT '{}',
    result_data   TEXT,
    error_details TEXT,
    created_at    TEXT    NOT NULL,
    updated_at    TEXT    NOT NULL
);
CREATE INDEX app_jobs_status ON app_jobs (status);

CREATE TABLE app_tasks (
    task_id               TEXT    PRIMARY KEY,
    parent_job_id         TEXT    NOT NULL REFERENCES app_jobs (job_id) ON DELETE CASCADE,
    job_type              TEXT    NOT NULL,
    task_type             TEXT    NOT NULL,
    stage                 INTEGER NOT NULL,
    task_index            TEXT    NOT NULL DEFAULT '0',
    parameters            TEXT    NOT NULL DEFAULT '{}',
    status                TEXT    NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'ready', 'processing', 'completed', 'failed', 'pending_retry', 'skipped',
                          'cancelled')),
    result_data           TEXT,
    metadata              TEXT    NOT NULL DEFAULT '{}',
    error_details         TEXT,
    retry_count           INTEGER NOT NULL DEFAULT 0,
    last_pulse            TEXT,
    next_stage_params     TEXT,
    checkpoint_phase      INTEGER,
    checkpoint_data       TEXT,
    checkpoint_updated_at TEXT,
    claimed_by            TEXT,
    execute_after         TEXT,
    executed_by_app       TEXT,
    execution_started_at  TEXT,
    created_at            TEXT    NOT NULL,
    updated_at            TEXT    NOT NULL
);
CREATE INDEX app_tasks_job ON app_tasks (parent_job_id, stage);

CREATE TABLE app_asset_releases (
    release_id              TEXT    PRIMARY KEY,
    asset_id                TEXT    NOT NULL REFERENCES app_assets (asset_id),
    version_id              TEXT,
    suggested_version_id    TEXT,
    version_ordinal         INTEGER NOT NULL DEFAULT 0,
    revision                INTEGER NOT NULL DEFAULT 1,
    previous_release_id     TEXT,
    is_served               INTEGER NOT NULL DEFAULT 0,
    request_id              TEXT,
    blob_path               TEXT,
    stac_item_id            TEXT,
    stac_collection_id      TEXT,
    stac_item_json          TEXT,
    content_hash            TEXT,
    source_file_hash        TEXT,
    output_file_hash        TEXT,
    output_mode             TEXT,
    tile_count              INTEGER,
    search_id               TEXT,
    job_id                  TEXT    REFERENCES app_jobs (job_id),
    processing_status       TEXT    NOT NULL DEFAULT 'pending'
        CHECK (processing_status IN ('pending', 'processing', 'completed', 'failed')),
    processing_started_at   TEXT,
    processing_completed_at TEXT,
    last_error              TEXT,
    workflow_id             TEXT,
    node_summary            TEXT,
    approval_state          TEXT    NOT NULL DEFAULT 'pending_review'
        CHECK (approval_state IN ('pending_review', 'approved', 'rejected', 'revoked')),
    reviewer                TEXT,
    reviewed_at             TEXT,
    rejection_reason        TEXT,
    approval_notes          TEXT,
    clearance_state         TEXT    NOT NULL DEFAULT 'uncleared'
        CHECK (clearance_state IN ('uncleared', 'ouo', 'public')),
    adf_run_id              TEXT,
    cleared_at              TEXT,
    cleared_by              TEXT,
    made_public_at          TEXT,
    made_public_by          TEXT,
    revoked_at              TEXT,
    revoked_by              TEXT,
    revocation_reason       TEXT,
    created_at              TEXT    NOT NULL,
    updated_at              TEXT    NOT NULL,
    priority                INTEGER NOT NULL DEFAULT 5,
    UNIQUE (asset_id, version_ordinal)
);
CREATE UNIQUE INDEX idx_releases_version_conflict ON app_asset_releases (asset_id, version_id)
    WHERE approval_state = 'approved' AND version_id IS NOT NULL;
CREATE INDEX app_asset_releases_job ON app_asset_releases (job_id);
CREATE INDEX app_asset_releases_request ON app_asset_releases (request_id);
CREATE INDEX app_asset_releases_created ON app_asset_releases (created_at);

CREATE TABLE app_api_requests (
    request_id  TEXT    PRIMARY KEY,
    dataset_id  TEXT    NOT NULL,
    resource_id TEXT    NOT NULL,
    version_id  TEXT    NOT NULL DEFAULT '',
    job_id      TEXT    NOT NULL,
    data_type   TEXT    NOT NULL DEFAULT 'zarr',
    asset_id    TEXT,
    platform_id TEXT,
    retry_count INTEGER NOT NULL DEFAULT 0,
    created_at  TEXT    NOT NULL,
    updated_at  TEXT    NOT NULL
);

CREATE TABLE app_release_audit (
    audit_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    release_id      TEXT    NOT NULL,
    asset_id        TEXT    NOT NULL,
    version_ordinal INTEGER NOT NULL,
    revision        INTEGER NOT NULL,
    event_type      TEXT    NOT NULL
        CHECK (event_type IN ('created', 'processing_started', 'processing_completed', 'processing_failed',
                              'approved', 'rejected', 'revoked', 'overwritten')),
    actor           TEXT,
    reason          TEXT,
    snapshot        TEXT,
    metadata        TEXT    NOT NULL DEFAULT '{}',
    created_at      TEXT    NOT NULL
);
CREATE INDEX app_release_audit_release ON app_release_audit (release_id);

-- Series of files, and the runs that combine them.

CREATE TABLE landfall_source_group (
    id          TEXT    PRIMARY KEY,
    asset_id    TEXT    NOT NULL REFERENCES app_assets (asset_id),
    release_id  TEXT    NOT NULL REFERENCES app_asset_releases (release_id) DEFERRABLE INITIALLY DEFERRED,
    job_id      TEXT    NOT NULL REFERENCES app_jobs (job_id) DEFERRABLE INITIALLY DEFERRED,
    origin      TEXT    NOT NULL CHECK (origin IN ('submit', 'file', 'auto')),
    account     TEXT    NOT NULL,
    container   TEXT    NOT NULL,
    prefix      TEXT    NOT NULL,
    declaration TEXT    NOT NULL,
    state       TEXT    NOT NULL
        CHECK (state IN ('collecting', 'due', 'combining', 'combined', 'blocked', 'stale', 'failed')),
    -- Whether it is the combine that refused the input; else a member is at fault.
    is_refused  INTEGER NOT NULL DEFAULT 0,
    generation  INTEGER NOT NULL,
    quiet_until TEXT,
    fault       TEXT,
    findings    TEXT    NOT NULL DEFAULT '[]',
    created_at  TEXT    NOT NULL,
    updated_at  TEXT    NOT NULL
);
CREATE UNIQUE INDEX landfall_source_group_asset ON landfall_source_group (asset_id);
CREATE INDEX landfall_source_group_state ON landfall_source_group (state);
CREATE INDEX landfall_source_group_place ON landfall_source_group (account, container);

CREATE TABLE landfall_group_member (
    group_id TEXT    NOT NULL REFERENCES landfall_source_group (id) ON DELETE CASCADE,
    file_id  INTEGER NOT NULL REFERENCES landfall_source_file (id) ON DELETE CASCADE,
    -- The version that counts in the current generation, once it has a reference.
    etag     TEXT,
    PRIMARY KEY (group_id, file_id)
) WITHOUT ROWID;
CREATE INDEX landfall_group_member_file ON landfall_group_member (file_id);

CREATE TABLE landfall_combine_run (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id    TEXT    NOT NULL REFERENCES landfall_source_group (id) ON DELETE CASCADE,
    release_id  TEXT    NOT NULL,
    generation  INTEGER NOT NULL,
    runner      TEXT    NOT NULL,
    -- lost: its lease ran out and another runner took over; discarded: the generation moved on.
    state       TEXT    NOT NULL
        CHECK (state IN ('running', 'published', 'blocked', 'failed', 'lost', 'discarded')),
    revision    INTEGER NOT NULL,
    lease_until TEXT    NOT NULL,
    blob_path   TEXT,
    started_at  TEXT    NOT NULL,
    finished_at TEXT,
    fault       TEXT,
    result      TEXT
);
CREATE UNIQUE INDEX landfall_combine_run_running ON landfall_combine_run (group_id) WHERE state = 'running';
CREATE UNIQUE INDEX landfall_combine_run_published ON landfall_combine_run (release_id, revision)
    WHERE state = 'published';
CREATE INDEX landfall_combine_run_release ON landfall_combine_run (release_id, state);
CREATE INDEX landfall_combine_run_group ON landfall_combine_run (group_id, state);

CREATE TABLE landfall_secret (
    name       TEXT PRIMARY KEY,
    value      BLOB NOT NULL,
    created_at TEXT NOT NULL
);

-- The embedded queue.

CREATE TABLE landfall_queue_message (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    queue         TEXT    NOT NULL,
    text          TEXT    NOT NULL,
    inserted_at   TEXT    NOT NULL,
    visible_at    TEXT    NOT NULL,
    dequeue_count INTEGER NOT NULL DEFAULT 0,
    pop_receipt   TEXT
);
CREATE INDEX landfall_queue_message_next ON landfall_queue_message (queue, visible_at);
