//! The STAC catalogue of pgSTAC (0.9.8 or newer), where it stands in the same database: what is in it, and the
//! extents of its collections.
//!
//! Items are read through pgSTAC's own functions, which put together what it keeps apart.

use deadpool_postgres::Transaction;
use serde_json::{Value, json as object};
use tokio_postgres::Row;

use super::database::{Parameters, Session, execute, one, row, rows};
use super::values::{At, Int, Text, document, flag, int, json, number, optional_text, text};
use crate::stores::ledger::{
    Extent, LedgerError, MANAGED_BY, MANAGER, StacFilter, StacPage, StacWindow,
};

/// What stands in pgSTAC for the geometry of an item of which nobody knows where it is: pgSTAC takes no `null`.
fn nowhere() -> Value {
    object!({"type": "MultiPoint", "coordinates": []})
}

/// An item in the form that pgSTAC takes.
pub(super) fn storable(item: &Value) -> Value {
    let mut item = item.clone();
    if let Some(geometry) = item.get_mut("geometry").filter(|found| found.is_null()) {
        *geometry = nowhere();
    }
    item
}

/// An item as it was before it was stored.
fn restored(mut item: Value) -> Value {
    let unknown = nowhere();
    if let Some(geometry) = item.get_mut("geometry").filter(|found| **found == unknown) {
        *geometry = Value::Null;
    }
    item
}

/// Whether pgSTAC is installed in this database.
pub(super) async fn is_present(session: &impl Session) -> Result<bool, LedgerError> {
    let sql = "SELECT to_regclass('pgstac.items') IS NOT NULL AS found";
    flag(&one(session, sql, &[]).await?, "found")
}

/// Collections by id.
pub(super) async fn collections(
    session: &impl Session,
    window: &StacWindow,
) -> Result<StacPage, LedgerError> {
    let sql = "SELECT id, content FROM pgstac.collections
               WHERE $1::text IS NULL OR id COLLATE \"C\" > $1 ORDER BY id COLLATE \"C\" LIMIT $2";
    let after = window.after.as_deref();
    let found = rows(session, sql, &[&after, &Int(window.beyond())]).await?;
    page(&found, window)
}

/// The collection with an id.
pub(super) async fn collection(session: &impl Session, id: &str) -> Result<StacPage, LedgerError> {
    let sql = "SELECT content FROM pgstac.collections WHERE id = $1";
    only(row(session, sql, &[&Text(id)]).await?)
}

/// Items of a collection by id. The envelope of a box without width or height is a line or a point, which a geometry can
/// meet as well; `PostGIS` is where pgSTAC looks for it.
pub(super) async fn items(
    session: &impl Session,
    collection: &str,
    filter: &StacFilter,
    window: &StacWindow,
) -> Result<StacPage, LedgerError> {
    let sql = "SELECT id, pgstac.get_item(id, collection) AS content FROM (
                   SELECT id, collection FROM pgstac.items
                   WHERE collection = $1 AND ($2::text IS NULL OR id COLLATE \"C\" > $2)
                       AND ($4::timestamptz IS NULL OR end_datetime >= $4)
                       AND ($5::timestamptz IS NULL OR datetime <= $5)
                       AND (cardinality($6::float8[]) = 0 OR EXISTS (
                           SELECT FROM unnest($6::float8[], $7::float8[], $8::float8[], $9::float8[])
                               AS box(west, south, east, north)
                           WHERE public.ST_Intersects(geometry, public.ST_SetSRID(public.ST_Envelope(
                               public.ST_MakeLine(public.ST_Point(west, south), public.ST_Point(east, north))), 4326))))
                   ORDER BY id COLLATE \"C\" LIMIT $3) AS wanted
               ORDER BY id COLLATE \"C\"";
    let after = window.after.as_deref();
    let boxes = filter.boxes();
    let side = |index: usize| -> Vec<f64> {
        let numbers = boxes.iter().filter_map(|bbox| bbox.get(index));
        numbers.copied().collect()
    };
    let parameters: Parameters<'_> = &[
        &Text(collection),
        &after,
        &Int(window.beyond()),
        &filter.from.map(At),
        &filter.until.map(At),
        &side(0),
        &side(1),
        &side(2),
        &side(3),
    ];
    page(&rows(session, sql, parameters).await?, window)
}

/// The item with an id.
pub(super) async fn item(
    session: &impl Session,
    collection: &str,
    id: &str,
) -> Result<StacPage, LedgerError> {
    let sql = "SELECT pgstac.get_item(id, collection) AS content FROM pgstac.items
               WHERE collection = $1 AND id = $2";
    only(row(session, sql, &[&Text(collection), &Text(id)]).await?)
}

/// The document of a row, if there is one.
fn only(found: Option<Row>) -> Result<StacPage, LedgerError> {
    let documents = found.iter().map(|row| json(row, "content").map(restored));
    Ok(StacPage {
        documents: documents.collect::<Result<_, _>>()?,
        next: None,
    })
}

/// A page of what was found, one row beyond which shows that there is more.
fn page(found: &[Row], window: &StacWindow) -> Result<StacPage, LedgerError> {
    let limit = usize::try_from(window.limit).unwrap_or(usize::MAX);
    let shown = found.get(..limit).unwrap_or(found);
    let documents = shown.iter().map(|row| json(row, "content").map(restored));
    let last = shown.last().filter(|_| found.len() > shown.len());
    Ok(StacPage {
        documents: documents.collect::<Result<_, _>>()?,
        next: last.map(|row| text(row, "id")).transpose()?,
    })
}

/// What is left in a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remaining {
    /// There is no such collection.
    Nothing,
    /// It has no item; whether it is one of ours.
    Empty {
        /// Whether approval has made it.
        is_ours: bool,
    },
    /// It has items; if it is one of ours, its extent is theirs now.
    Items,
}

/// Makes the extent of a collection of ours that of its items, and tells what is left in it. What somebody else says of
/// theirs stays.
///
/// To be called after the items were changed, in the same transaction. It locks the collection first, so that of two
/// transactions that change its items the later one counts those of the earlier.
pub(super) async fn refresh_extent(
    tx: &Transaction<'_>,
    collection: &str,
) -> Result<Remaining, LedgerError> {
    let sql = "SELECT content ->> $2::text IS NOT DISTINCT FROM $3 AS is_ours FROM pgstac.collections WHERE id = $1 FOR UPDATE";
    let named: Parameters<'_> = &[&Text(collection), &Text(MANAGED_BY), &Text(MANAGER)];
    let Some(locked) = row(tx, sql, named).await? else {
        return Ok(Remaining::Nothing);
    };
    // Boxes of six numbers have heights; one across the antimeridian goes round the Earth with any that does not.
    let sql = r#"
        WITH item AS (
            SELECT datetime, end_datetime, NOT content -> 'properties' ? 'landfall:temporal_source' AS is_dated,
                CASE WHEN jsonb_typeof(content -> 'bbox') = 'array' THEN content -> 'bbox' END AS bbox,
                jsonb_array_length(CASE WHEN jsonb_typeof(content -> 'bbox') = 'array' THEN content -> 'bbox' END) / 2
                    AS axes
            FROM pgstac.items WHERE collection = $1),
        placed AS (
            SELECT *, (bbox ->> 0)::float8 AS west, (bbox ->> 1)::float8 AS south,
                (bbox ->> axes)::float8 AS east, (bbox ->> (axes + 1))::float8 AS north FROM item)
        SELECT count(*) AS items, count(bbox) AS boxes,
            CASE WHEN bool_and(west > east) OR NOT bool_or(west > east) THEN min(west) ELSE -180 END AS west,
            min(south) AS south,
            CASE WHEN bool_and(west > east) OR NOT bool_or(west > east) THEN max(east) ELSE 180 END AS east,
            max(north) AS north,
            to_char(min(datetime) FILTER (WHERE is_dated AND isfinite(datetime)) AT TIME ZONE 'UTC',
                'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS starts,
            CASE WHEN bool_and(isfinite(end_datetime)) FILTER (WHERE is_dated) THEN
                to_char(max(end_datetime) FILTER (WHERE is_dated) AT TIME ZONE 'UTC',
                    'YYYY-MM-DD"T"HH24:MI:SS"Z"') END AS ends
        FROM placed"#;
    let counted = one(tx, sql, &[&Text(collection)]).await?;
    let is_ours = flag(&locked, "is_ours")?;
    if int(&counted, "items")? == 0 {
        return Ok(Remaining::Empty { is_ours });
    }
    if !is_ours {
        return Ok(Remaining::Items);
    }
    let extent = document("extent", &extent_of(&counted)?.to_json())?;
    let sql =
        "UPDATE pgstac.collections SET content = jsonb_set(content, '{extent}', $2) WHERE id = $1";
    execute(tx, sql, &[&Text(collection), &extent]).await?;
    Ok(Remaining::Items)
}

fn extent_of(counted: &Row) -> Result<Extent, LedgerError> {
    let bbox = match int(counted, "boxes")? {
        0 => None,
        _ => Some([
            number(counted, "west")?,
            number(counted, "south")?,
            number(counted, "east")?,
            number(counted, "north")?,
        ]),
    };
    Ok(Extent {
        bbox,
        start: optional_text(counted, "starts")?,
        end: optional_text(counted, "ends")?,
    })
}
