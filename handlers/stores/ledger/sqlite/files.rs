//! Source files: what landed, what came of it, what is gone.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Params, Row, Transaction, named_params};

use super::groups;
use super::values::{
    json, json_text, optional_json, signed, time, time_text, unsigned, variant, word,
};
use crate::stores::blobs::BlobPath;
use crate::stores::ledger::order::{is_older, newest};
use crate::stores::ledger::{
    Fault, FileId, FileOutcome, FileState, GroupId, Landing, LedgerError, Recorded, SourceFile,
};

const COLUMNS: &str = "id, account, container, blob, etag, size, sequencer, state, reference_path, findings, fault, \
                       span, landed_at, updated_at";

/// Files that satisfy a condition on the table's columns, by name.
pub(super) fn select(
    tx: &Transaction<'_>,
    condition: &str,
    params: impl Params,
) -> Result<Vec<SourceFile>, LedgerError> {
    let sql =
        format!("SELECT {COLUMNS} FROM landfall_source_file WHERE {condition} ORDER BY blob, id");
    let mut statement = tx.prepare_cached(&sql)?;
    statement.query_and_then(params, from_row)?.collect()
}

fn from_row(row: &Row<'_>) -> Result<SourceFile, LedgerError> {
    let (account, container, blob): (String, String, String) =
        (row.get("account")?, row.get("container")?, row.get("blob")?);
    Ok(SourceFile {
        id: FileId(row.get("id")?),
        path: BlobPath::new(account, container, blob),
        etag: row.get("etag")?,
        size: unsigned("size", row.get("size")?)?,
        sequencer: row.get("sequencer")?,
        state: variant("state of a file", row.get("state")?)?,
        reference_path: row.get("reference_path")?,
        findings: json("findings", &row.get::<_, String>("findings")?)?,
        fault: optional_json("fault", row.get("fault")?)?,
        span: optional_json("span", row.get("span")?)?,
        landed_at: time("landed_at", &row.get::<_, String>("landed_at")?)?,
        updated_at: time("updated_at", &row.get::<_, String>("updated_at")?)?,
    })
}

pub(super) fn at_path(
    tx: &Transaction<'_>,
    path: &BlobPath,
) -> Result<Option<SourceFile>, LedgerError> {
    let key = (&path.account, &path.container, &path.blob);
    Ok(select(tx, "account = ?1 AND container = ?2 AND blob = ?3", key)?.pop())
}

pub(super) fn by_id(tx: &Transaction<'_>, file: FileId) -> Result<Option<SourceFile>, LedgerError> {
    Ok(select(tx, "id = ?1", [file.0])?.pop())
}

pub(super) fn below(
    tx: &Transaction<'_>,
    prefix: &BlobPath,
) -> Result<Vec<SourceFile>, LedgerError> {
    // `0` is the character after `/`: the range holds the names below the folder, and an index finds it.
    let condition = "account = ?1 AND container = ?2 AND state <> 'gone'
                     AND (?3 = '' OR blob = ?4 OR (blob > ?3 || '/' AND blob < ?3 || '0'))";
    let folder = prefix.blob.trim_end_matches('/');
    select(
        tx,
        condition,
        (&prefix.account, &prefix.container, folder, &prefix.blob),
    )
}

pub(super) fn stuck(
    tx: &Transaction<'_>,
    before: Timestamp,
) -> Result<Vec<SourceFile>, LedgerError> {
    select(
        tx,
        "state IN ('landed', 'reading') AND updated_at < ?1",
        [time_text(before)],
    )
}

/// SPEC §2 rule 2: the sequencer decides which of two versions is newer, and a version is recorded once.
pub(super) fn record_landed(
    tx: &Transaction<'_>,
    landing: &Landing,
) -> Result<Recorded, LedgerError> {
    let Some(known) = at_path(tx, &landing.path)? else {
        return write_landing(tx, landing, landing.sequencer.as_deref()).map(Recorded::New);
    };
    let is_same = known.etag == landing.etag;
    let is_gone = known.state == FileState::Gone;
    let (recorded, landed) = (known.sequencer.as_deref(), landing.sequencer.as_deref());
    if is_older(landed, recorded) && (is_gone || !is_same) {
        return Ok(Recorded::Older(known));
    }
    if is_same && !is_gone {
        return keep_newest_sequencer(tx, known, landed).map(Recorded::Known);
    }
    let file = write_landing(tx, landing, newest(recorded, landed))?;
    groups::start_next_generation(tx, file.id, landing.at, FileState::Landed)?;
    Ok(Recorded::New(file))
}

fn keep_newest_sequencer(
    tx: &Transaction<'_>,
    mut file: SourceFile,
    landed: Option<&str>,
) -> Result<SourceFile, LedgerError> {
    let sequencer = newest(file.sequencer.as_deref(), landed).map(str::to_owned);
    if sequencer != file.sequencer {
        tx.execute(
            "UPDATE landfall_source_file SET sequencer = ?2 WHERE id = ?1",
            (file.id.0, &sequencer),
        )?;
        file.sequencer = sequencer;
    }
    Ok(file)
}

fn write_landing(
    tx: &Transaction<'_>,
    landing: &Landing,
    sequencer: Option<&str>,
) -> Result<SourceFile, LedgerError> {
    let sql = format!(
        "INSERT INTO landfall_source_file
             (account, container, blob, etag, size, sequencer, state, landed_at, updated_at)
         VALUES (:account, :container, :blob, :etag, :size, :sequencer, 'landed', :at, :at)
         ON CONFLICT (account, container, blob) DO UPDATE SET
             etag = excluded.etag, size = excluded.size, sequencer = excluded.sequencer, state = excluded.state,
             landed_at = excluded.landed_at, updated_at = excluded.updated_at,
             reference_path = NULL, findings = '[]', fault = NULL, span = NULL
         RETURNING {COLUMNS}"
    );
    let params = named_params! {
        ":account": landing.path.account, ":container": landing.path.container, ":blob": landing.path.blob,
        ":etag": landing.etag, ":size": signed("size", landing.size)?, ":sequencer": sequencer,
        ":at": time_text(landing.at),
    };
    let mut statement = tx.prepare_cached(&sql)?;
    let mut rows = statement.query_and_then(params, from_row)?;
    rows.next()
        .unwrap_or_else(|| Err(rusqlite::Error::QueryReturnedNoRows.into()))
}

pub(super) fn record_gone(
    tx: &Transaction<'_>,
    path: &BlobPath,
    sequencer: Option<&str>,
    now: Timestamp,
) -> Result<Vec<GroupId>, LedgerError> {
    let Some(file) = at_path(tx, path)? else {
        return Ok(Vec::new());
    };
    let recorded = file.sequencer.as_deref();
    if is_older(sequencer, recorded) {
        return Ok(Vec::new());
    }
    if file.state != FileState::Gone {
        let sql = "UPDATE landfall_source_file SET state = 'gone', sequencer = ?2, updated_at = ?3 WHERE id = ?1";
        tx.execute(
            sql,
            (file.id.0, newest(recorded, sequencer), time_text(now)),
        )?;
        groups::start_next_generation(tx, file.id, now, FileState::Gone)?;
    }
    groups::of_file(tx, file.id)
}

pub(super) fn record_reading(
    tx: &Transaction<'_>,
    file: FileId,
    etag: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "UPDATE landfall_source_file SET state = 'reading', updated_at = ?3
               WHERE id = ?1 AND etag = ?2 AND state IN ('landed', 'failed')";
    tx.execute(sql, (file.0, etag, time_text(now)))?;
    Ok(())
}

pub(super) fn record_unread(
    tx: &Transaction<'_>,
    file: FileId,
    etag: &str,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let sql = "UPDATE landfall_source_file SET state = 'landed', fault = NULL, updated_at = ?3
               WHERE id = ?1 AND etag = ?2 AND state IN ('referenced', 'rejected', 'failed')";
    Ok(tx.execute(sql, (file.0, etag, time_text(now)))? > 0)
}

pub(super) fn record_outcome(
    tx: &Transaction<'_>,
    file: FileId,
    etag: &str,
    outcome: &FileOutcome,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let sql =
        "SELECT state FROM landfall_source_file WHERE id = ?1 AND etag = ?2 AND state <> 'gone'";
    let state: Option<String> = tx
        .query_row(sql, (file.0, etag), |row| row.get(0))
        .optional()?;
    let Some(state) = state else { return Ok(false) };
    let is_settled = matches!(
        variant("state of a file", state)?,
        FileState::Referenced | FileState::Rejected
    );
    match outcome {
        FileOutcome::Referenced {
            reference_path,
            findings,
            span,
        } => {
            let span = span
                .as_ref()
                .map(|span| json_text("span", span))
                .transpose()?;
            let findings = json_text("findings", findings)?;
            let sql = "UPDATE landfall_source_file SET state = 'referenced', reference_path = ?2, findings = ?3,
                       span = ?4, fault = NULL, updated_at = ?5 WHERE id = ?1";
            tx.execute(
                sql,
                (file.0, reference_path, findings, span, time_text(now)),
            )?;
        }
        FileOutcome::Rejected { fault, findings } => {
            let (fault, findings) = (json_text("fault", fault)?, json_text("findings", findings)?);
            let sql = "UPDATE landfall_source_file SET state = 'rejected', reference_path = NULL, span = NULL,
                       fault = ?2, findings = ?3, updated_at = ?4 WHERE id = ?1";
            tx.execute(sql, (file.0, fault, findings, time_text(now)))?;
        }
        // A second reader that could not finish says nothing against what the first one found.
        FileOutcome::Failed(_) | FileOutcome::Unfinished(_) if is_settled => {}
        FileOutcome::Failed(fault) => set_fault(tx, file, FileState::Failed, fault, now)?,
        FileOutcome::Unfinished(fault) => set_fault(tx, file, FileState::Landed, fault, now)?,
    }
    Ok(true)
}

fn set_fault(
    tx: &Transaction<'_>,
    file: FileId,
    state: FileState,
    fault: &Fault,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql =
        "UPDATE landfall_source_file SET state = ?2, fault = ?3, updated_at = ?4 WHERE id = ?1";
    tx.execute(
        sql,
        (
            file.0,
            word("state", &state)?,
            json_text("fault", fault)?,
            time_text(now),
        ),
    )?;
    Ok(())
}
