//! Source files: what landed, what came of it, what is gone.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::database::{Client, Parameters, Session, execute, one, row, rows};
use super::groups;
use super::values::{
    At, Text, document, int, json, optional_json, optional_text, signed, text, time, unsigned,
    variant, word,
};
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::order::{is_older, newest};
use crate::stores::ledger::{
    Fault, FileId, FileOutcome, FileState, GroupId, Landing, LedgerError, Recorded, SourceFile,
};

/// The columns of a file, of the table alone.
pub(super) const COLUMNS: &str = "id, account, container, blob, etag, size, sequencer, state, reference_path, \
     findings, fault, span, landed_at, updated_at";

/// Files that satisfy a condition on the table's columns, by name.
pub(super) async fn select(
    client: &impl Session,
    condition: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<SourceFile>, LedgerError> {
    let sql =
        format!("SELECT {COLUMNS} FROM landfall.source_file WHERE {condition} ORDER BY blob, id");
    let found = rows(client, &sql, parameters).await?;
    found.iter().map(from_row).collect()
}

pub(super) fn from_row(row: &Row) -> Result<SourceFile, LedgerError> {
    Ok(SourceFile {
        id: FileId(int(row, "id")?),
        path: BlobPath::new(
            text(row, "account")?,
            text(row, "container")?,
            text(row, "blob")?,
        ),
        etag: text(row, "etag")?,
        size: unsigned(row, "size")?,
        sequencer: optional_text(row, "sequencer")?,
        state: variant(row, "state")?,
        reference_path: optional_text(row, "reference_path")?,
        findings: json(row, "findings")?,
        fault: optional_json(row, "fault")?,
        span: optional_json(row, "span")?,
        landed_at: time(row, "landed_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

pub(super) async fn at_path(
    client: &impl Session,
    path: &BlobPath,
) -> Result<Option<SourceFile>, LedgerError> {
    let condition = "account = $1 AND container = $2 AND blob = $3";
    let key: Parameters<'_> = &[&path.account, &path.container, &path.blob];
    Ok(select(client, condition, key).await?.pop())
}

/// The file at a path, which nobody else changes until the transaction ends.
async fn lock(tx: &Transaction<'_>, path: &BlobPath) -> Result<Option<SourceFile>, LedgerError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM landfall.source_file WHERE account = $1 AND container = $2 AND blob = $3
         FOR NO KEY UPDATE"
    );
    let found = row(tx, &sql, &[&path.account, &path.container, &path.blob]).await?;
    found.as_ref().map(from_row).transpose()
}

pub(super) async fn by_id(
    client: &impl Session,
    file: FileId,
) -> Result<Option<SourceFile>, LedgerError> {
    Ok(select(client, "id = $1", &[&file.0]).await?.pop())
}

pub(super) async fn below(
    client: &impl Session,
    prefix: &BlobPath,
) -> Result<Vec<SourceFile>, LedgerError> {
    // `0` is the character after `/`: the range holds the names below the folder, and an index finds it.
    let condition = "account = $1 AND container = $2 AND state <> 'gone'
                     AND ($3 = '' OR blob = $4 OR (blob > $3 || '/' AND blob < $3 || '0'))";
    let folder = prefix.blob.trim_end_matches('/');
    let key: Parameters<'_> = &[&prefix.account, &prefix.container, &folder, &prefix.blob];
    select(client, condition, key).await
}

pub(super) async fn stuck(
    client: &impl Session,
    before: Timestamp,
) -> Result<Vec<SourceFile>, LedgerError> {
    let condition = "state IN ('landed', 'reading') AND updated_at < $1";
    select(client, condition, &[&At(before)]).await
}

/// Records a file that was never seen: it is in no group, so one statement does. `None` if it has been seen.
pub(super) async fn insert(
    client: &Client,
    landing: &Landing,
) -> Result<Option<SourceFile>, LedgerError> {
    let sql = format!(
        "INSERT INTO landfall.source_file
             (account, container, blob, etag, size, sequencer, state, landed_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'landed', $7, $7)
         ON CONFLICT (account, container, blob) DO NOTHING RETURNING {COLUMNS}"
    );
    let path = &landing.path;
    let inserted = row(
        client,
        &sql,
        &[
            &path.account,
            &path.container,
            &path.blob,
            &landing.etag,
            &signed("size", landing.size)?,
            &landing.sequencer,
            &At(landing.at),
        ],
    )
    .await?;
    inserted.as_ref().map(from_row).transpose()
}

/// SPEC §2 rule 2: the sequencer decides which of two versions is newer, and a version is recorded once. For files
/// that have been seen.
pub(super) async fn record_landed(
    tx: &Transaction<'_>,
    landing: &Landing,
) -> Result<Recorded, LedgerError> {
    let known = lock(tx, &landing.path).await?;
    let known = known.ok_or_else(|| LedgerError::Unavailable("the file was deleted".into()))?;
    let is_same = known.etag == landing.etag;
    let is_gone = known.state == FileState::Gone;
    let (recorded, landed) = (known.sequencer.as_deref(), landing.sequencer.as_deref());
    if is_older(landed, recorded) && (is_gone || !is_same) {
        return Ok(Recorded::Older(known));
    }
    if is_same && !is_gone {
        let known = keep_newest_sequencer(tx, known, landed).await?;
        return Ok(Recorded::Known(known));
    }
    let file = replace(tx, known.id, landing, newest(recorded, landed)).await?;
    groups::start_next_generation(tx, file.id, landing.at, FileState::Landed).await?;
    Ok(Recorded::New(file))
}

async fn keep_newest_sequencer(
    tx: &Transaction<'_>,
    mut file: SourceFile,
    landed: Option<&str>,
) -> Result<SourceFile, LedgerError> {
    let sequencer = newest(file.sequencer.as_deref(), landed).map(str::to_owned);
    if sequencer != file.sequencer {
        let sql = "UPDATE landfall.source_file SET sequencer = $2 WHERE id = $1";
        execute(tx, sql, &[&file.id.0, &sequencer]).await?;
        file.sequencer = sequencer;
    }
    Ok(file)
}

async fn replace(
    tx: &Transaction<'_>,
    file: FileId,
    landing: &Landing,
    sequencer: Option<&str>,
) -> Result<SourceFile, LedgerError> {
    let sql = format!(
        "UPDATE landfall.source_file SET etag = $2, size = $3, sequencer = $4, state = 'landed', landed_at = $5,
             updated_at = $5, reference_path = NULL, findings = '[]', fault = NULL, span = NULL
         WHERE id = $1 RETURNING {COLUMNS}"
    );
    let size = signed("size", landing.size)?;
    let key: Parameters<'_> = &[&file.0, &landing.etag, &size, &sequencer, &At(landing.at)];
    from_row(&one(tx, &sql, key).await?)
}

pub(super) async fn record_gone(
    tx: &Transaction<'_>,
    path: &BlobPath,
    sequencer: Option<&str>,
    now: Timestamp,
) -> Result<Vec<GroupId>, LedgerError> {
    let Some(file) = lock(tx, path).await? else {
        return Ok(Vec::new());
    };
    let recorded = file.sequencer.as_deref();
    if is_older(sequencer, recorded) {
        return Ok(Vec::new());
    }
    if file.state != FileState::Gone {
        let sql = "UPDATE landfall.source_file SET state = 'gone', sequencer = $2, updated_at = $3 WHERE id = $1";
        let newest = newest(recorded, sequencer);
        execute(tx, sql, &[&file.id.0, &newest, &At(now)]).await?;
        groups::start_next_generation(tx, file.id, now, FileState::Gone).await?;
    }
    groups::of_file(tx, file.id).await
}

pub(super) async fn record_reading(
    client: &impl Session,
    file: FileId,
    etag: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "UPDATE landfall.source_file SET state = 'reading', updated_at = $3
               WHERE id = $1 AND etag = $2 AND state IN ('landed', 'failed')";
    execute(client, sql, &[&file.0, &etag, &At(now)]).await?;
    Ok(())
}

pub(super) async fn record_unread(
    client: &impl Session,
    file: FileId,
    etag: &str,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let sql = "UPDATE landfall.source_file SET state = 'landed', fault = NULL, updated_at = $3
               WHERE id = $1 AND etag = $2 AND state IN ('referenced', 'rejected', 'failed')";
    Ok(execute(client, sql, &[&file.0, &etag, &At(now)]).await? > 0)
}

/// One statement: it locks the row, looks whether the version is current, and sets the outcome or leaves one that
/// outweighs it.
pub(super) async fn record_outcome(
    client: &impl Session,
    file: FileId,
    etag: &str,
    outcome: &FileOutcome,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let is_current = "id = $1 AND etag = $2 AND state <> 'gone'";
    let now = At(now);
    let changed = match outcome {
        FileOutcome::Referenced {
            reference_path,
            findings,
            span,
        } => {
            let sql = format!(
                "UPDATE landfall.source_file SET state = 'referenced', reference_path = $3, findings = $4, span = $5,
                     fault = NULL, updated_at = $6 WHERE {is_current}"
            );
            let findings = document("findings", findings)?;
            let span = span.as_ref().map(|span| document("span", span));
            let span = span.transpose()?;
            let row: Parameters<'_> = &[&file.0, &etag, reference_path, &findings, &span, &now];
            execute(client, &sql, row).await?
        }
        FileOutcome::Rejected { fault, findings } => {
            let sql = format!(
                "UPDATE landfall.source_file SET state = 'rejected', reference_path = NULL, span = NULL, fault = $3,
                     findings = $4, updated_at = $5 WHERE {is_current}"
            );
            let (fault, findings) = (document("fault", fault)?, document("findings", findings)?);
            execute(client, &sql, &[&file.0, &etag, &fault, &findings, &now]).await?
        }
        FileOutcome::Failed(fault) => {
            set_fault(client, (file, etag), FileState::Failed, fault, now).await?
        }
        FileOutcome::Unfinished(fault) => {
            set_fault(client, (file, etag), FileState::Landed, fault, now).await?
        }
    };
    Ok(changed > 0)
}

/// Sets a state with its fault. A second reader that could not finish says nothing against what the first one
/// found.
async fn set_fault(
    client: &impl Session,
    (file, etag): (FileId, &str),
    state: FileState,
    fault: &Fault,
    At(now): At,
) -> Result<u64, LedgerError> {
    let sql = "UPDATE landfall.source_file SET
                   state = CASE WHEN state IN ('referenced', 'rejected') THEN state ELSE $3 END,
                   fault = CASE WHEN state IN ('referenced', 'rejected') THEN fault ELSE $4 END,
                   updated_at = CASE WHEN state IN ('referenced', 'rejected') THEN updated_at ELSE $5 END
               WHERE id = $1 AND etag = $2 AND state <> 'gone'";
    let fault: Json<_> = document("fault", fault)?;
    let state = Text(word("state", &state)?);
    execute(client, sql, &[&file.0, &etag, &state, &fault, &At(now)]).await
}
