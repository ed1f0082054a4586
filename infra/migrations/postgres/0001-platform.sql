-- The platform's tables with the platform's own names, columns and types, in the schema `app`.
--
-- `landfall migrate` runs this file with `app` as its search path, hence no schema is named. Where a platform has some
-- of the tables already, migrate adds the columns and enum values that they lack and touches nothing else.
-- As there: timestamps have no time zone and are UTC, foreign keys cascade, unique constraints are not partial.
-- Wider than there (no length) are the names made of two names of up to 255 characters.

DO $$
DECLARE
    kind record;
BEGIN
    FOR kind IN SELECT * FROM (VALUES
        ('job_status', '{queued,processing,completed,failed,completed_with_errors}'::text[]),
        ('task_status', '{pending,ready,processing,completed,failed,pending_retry,skipped,cancelled}'),
        ('approval_state', '{pending_review,approved,rejected,revoked}'),
        ('clearance_state', '{uncleared,ouo,public}'),
        ('processing_status', '{pending,processing,completed,failed}'),
        ('release_audit_event_type', '{created,processing_started,processing_completed,processing_failed,approved,'
            'rejected,revoked,overwritten}')) AS kinds (name, words)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
                       WHERE t.typname = kind.name AND n.nspname = current_schema()) THEN
            EXECUTE format('CREATE TYPE %I AS ENUM (%s)', kind.name,
                           (SELECT string_agg(quote_literal(word), ', ' ORDER BY place)
                            FROM unnest(kind.words) WITH ORDINALITY AS words (word, place)));
        END IF;
    END LOOP;
END
$$;

CREATE TABLE IF NOT EXISTS platforms (
    platform_id     VARCHAR(50)  PRIMARY KEY,
    display_name    VARCHAR(100) NOT NULL,
    description     VARCHAR,
    required_refs   JSONB        NOT NULL DEFAULT '[]',
    optional_refs   JSONB        NOT NULL DEFAULT '[]',
    nominal_refs    JSONB        NOT NULL DEFAULT '[]',
    version_ref     VARCHAR(50),
    uses_versioning BOOLEAN      NOT NULL DEFAULT true,
    is_active       BOOLEAN      NOT NULL DEFAULT true,
    created_at      TIMESTAMP    NOT NULL DEFAULT now(),
    updated_at      TIMESTAMP    NOT NULL DEFAULT now()
);
INSERT INTO platforms (platform_id, display_name, required_refs, nominal_refs, version_ref)
VALUES ('ddh', 'Data Distribution Hub', '["dataset_id", "resource_id"]', '["dataset_id", "resource_id"]', 'version_id')
ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS assets (
    asset_id      VARCHAR(64)  PRIMARY KEY,
    platform_id   VARCHAR(50)  NOT NULL DEFAULT 'ddh',
    dataset_id    VARCHAR(255) NOT NULL,
    resource_id   VARCHAR(255) NOT NULL,
    platform_refs JSONB        NOT NULL,
    data_type     VARCHAR(20)  NOT NULL DEFAULT 'zarr',
    release_count INTEGER      NOT NULL DEFAULT 0,
    created_at    TIMESTAMP    NOT NULL DEFAULT now(),
    updated_at    TIMESTAMP    NOT NULL DEFAULT now(),
    deleted_at    TIMESTAMP,
    deleted_by    VARCHAR(200),
    CONSTRAINT uq_assets_identity UNIQUE (platform_id, dataset_id, resource_id)
);

CREATE TABLE IF NOT EXISTS jobs (
    job_id        VARCHAR(64)  PRIMARY KEY,
    job_type      VARCHAR(100) NOT NULL,
    parameters    JSONB        NOT NULL,
    status        job_status   NOT NULL DEFAULT 'queued',
    stage         INTEGER      NOT NULL DEFAULT 1,
    total_stages  INTEGER      NOT NULL DEFAULT 5,
    asset_id      VARCHAR(64),
    platform_id   VARCHAR(50),
    request_id    VARCHAR(64),
    etl_version   VARCHAR(20),
    stage_results JSONB        NOT NULL DEFAULT '{}',
    metadata      JSONB        NOT NULL DEFAULT '{}',
    result_data   JSONB,
    error_details VARCHAR,
    created_at    TIMESTAMP    NOT NULL DEFAULT now(),
    updated_at    TIMESTAMP    NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS idx_jobs_status ON jobs (status);
CREATE INDEX IF NOT EXISTS idx_jobs_asset ON jobs (asset_id);

CREATE TABLE IF NOT EXISTS tasks (
    task_id               VARCHAR(100) PRIMARY KEY,
    parent_job_id         VARCHAR(64)  NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    job_type              VARCHAR(100) NOT NULL,
    task_type             VARCHAR(100) NOT NULL,
    stage                 INTEGER      NOT NULL,
    task_index            VARCHAR(50)  NOT NULL DEFAULT '0',
    parameters            JSONB        NOT NULL DEFAULT '{}',
    status                task_status  NOT NULL DEFAULT 'ready',
    result_data           JSONB,
    metadata              JSONB        NOT NULL DEFAULT '{}',
    error_details         VARCHAR,
    retry_count           INTEGER      NOT NULL DEFAULT 0,
    last_pulse            TIMESTAMP,
    next_stage_params     JSONB,
    checkpoint_phase      INTEGER,
    checkpoint_data       JSONB,
    checkpoint_updated_at TIMESTAMP,
    claimed_by            VARCHAR(200),
    execute_after         TIMESTAMP,
    executed_by_app       VARCHAR,
    execution_started_at  TIMESTAMP,
    created_at            TIMESTAMP    NOT NULL DEFAULT now(),
    updated_at            TIMESTAMP    NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS idx_tasks_parent_job_stage ON tasks (parent_job_id, stage);

CREATE TABLE IF NOT EXISTS asset_releases (
    release_id              VARCHAR(64)       PRIMARY KEY,
    asset_id                VARCHAR(64)       NOT NULL REFERENCES assets (asset_id) ON DELETE CASCADE,
    version_id              VARCHAR(100),
    suggested_version_id    VARCHAR(100),
    version_ordinal         INTEGER           NOT NULL DEFAULT 0,
    revision                INTEGER           NOT NULL DEFAULT 1,
    previous_release_id     VARCHAR(64),
    is_served               BOOLEAN           NOT NULL DEFAULT false,
    request_id              VARCHAR(64),
    blob_path               VARCHAR,
    stac_item_id            VARCHAR,
    stac_collection_id      VARCHAR,
    stac_item_json          JSONB,
    content_hash            VARCHAR(128),
    source_file_hash        VARCHAR(64),
    output_file_hash        VARCHAR(64),
    output_mode             VARCHAR(20),
    tile_count              INTEGER,
    search_id               VARCHAR(64),
    job_id                  VARCHAR(64)       REFERENCES jobs (job_id) ON DELETE CASCADE,
    processing_status       processing_status NOT NULL DEFAULT 'pending',
    processing_started_at   TIMESTAMP,
    processing_completed_at TIMESTAMP,
    last_error              VARCHAR(2000),
    workflow_id             VARCHAR(64),
    node_summary            JSONB,
    approval_state          approval_state    NOT NULL DEFAULT 'pending_review',
    reviewer                VARCHAR(200),
    reviewed_at             TIMESTAMP,
    rejection_reason        VARCHAR,
    approval_notes          VARCHAR,
    clearance_state         clearance_state   NOT NULL DEFAULT 'uncleared',
    adf_run_id              VARCHAR(100),
    cleared_at              TIMESTAMP,
    cleared_by              VARCHAR(200),
    made_public_at          TIMESTAMP,
    made_public_by          VARCHAR(200),
    revoked_at              TIMESTAMP,
    revoked_by              VARCHAR(200),
    revocation_reason       VARCHAR,
    created_at              TIMESTAMP         NOT NULL DEFAULT now(),
    updated_at              TIMESTAMP         NOT NULL DEFAULT now(),
    priority                INTEGER           NOT NULL DEFAULT 5,
    CONSTRAINT uq_release_asset_ordinal UNIQUE (asset_id, version_ordinal)
);
CREATE UNIQUE INDEX IF NOT EXISTS idx_releases_version_conflict ON asset_releases (asset_id, version_id)
    WHERE approval_state = 'approved' AND version_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_releases_job ON asset_releases (job_id);
CREATE INDEX IF NOT EXISTS idx_releases_request ON asset_releases (request_id);
CREATE INDEX IF NOT EXISTS idx_releases_stac_item ON asset_releases (stac_item_id);
CREATE INDEX IF NOT EXISTS idx_releases_approval ON asset_releases (approval_state);
CREATE INDEX IF NOT EXISTS idx_releases_processing ON asset_releases (processing_status);
CREATE INDEX IF NOT EXISTS idx_releases_created ON asset_releases (created_at);

CREATE TABLE IF NOT EXISTS api_requests (
    request_id  VARCHAR(32)  PRIMARY KEY,
    dataset_id  VARCHAR(255) NOT NULL,
    resource_id VARCHAR(255) NOT NULL,
    version_id  VARCHAR(50)  NOT NULL DEFAULT '',
    job_id      VARCHAR(64)  NOT NULL,
    data_type   VARCHAR(50)  NOT NULL DEFAULT 'zarr',
    asset_id    VARCHAR(64),
    platform_id VARCHAR(50),
    retry_count INTEGER      NOT NULL DEFAULT 0,
    created_at  TIMESTAMP    NOT NULL DEFAULT now(),
    updated_at  TIMESTAMP    NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS release_audit (
    audit_id        SERIAL                   PRIMARY KEY,
    release_id      VARCHAR(64)              NOT NULL,
    asset_id        VARCHAR(64)              NOT NULL,
    version_ordinal INTEGER                  NOT NULL,
    revision        INTEGER                  NOT NULL,
    event_type      release_audit_event_type NOT NULL,
    actor           VARCHAR(200),
    reason          VARCHAR,
    snapshot        JSONB,
    metadata        JSONB                    NOT NULL DEFAULT '{}',
    created_at      TIMESTAMP                NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS idx_release_audit_release ON release_audit (release_id);
