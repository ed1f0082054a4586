//! The platform's tables where some are there already: adds what they lack, refuses what does not fit.
//!
//! What is wanted stands in the SQL alone: it is run among temporary tables, read back from the catalogue, undone,
//! and compared with what the schema `app` has.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use tokio_postgres::Row;

use super::MigrationError;
use crate::stores::ledger::LedgerError;
use crate::stores::ledger::postgres::database::rows;
use crate::stores::ledger::postgres::values::{flag, optional_text, text};

/// Tables with their columns, by name.
type Shape = BTreeMap<String, BTreeMap<String, Column>>;

/// Enums with their words, by name.
type Enums = BTreeMap<String, Vec<String>>;

/// A step in words, and in SQL.
type Addition = (String, String);

/// A column as the catalogue tells of it.
#[derive(Debug)]
struct Column {
    /// Its type as SQL writes it.
    kind: String,
    /// Name of the type alone.
    type_name: String,
    /// The words of its enum, if it is one.
    words: Option<Vec<String>>,
    is_required: bool,
    is_key: bool,
    /// Expression of its default.
    default: Option<String>,
    /// Whether the database itself gives it a value.
    is_given: bool,
}

/// Types between which values go to and fro unharmed.
#[derive(Debug, PartialEq, Eq)]
enum Family<'a> {
    Text,
    Int,
    Time,
    Json,
    Other(&'a str),
}

impl Column {
    fn family(&self) -> Family<'_> {
        match self.type_name.as_str() {
            _ if self.words.is_some() => Family::Text,
            "varchar" | "text" | "bpchar" => Family::Text,
            "int2" | "int4" | "int8" => Family::Int,
            "timestamp" | "timestamptz" => Family::Time,
            "json" | "jsonb" => Family::Json,
            other => Family::Other(other),
        }
    }
}

/// Makes the tables of the schema `app` what `files` want, beside whatever else they have; their names.
pub(super) async fn attach(
    tx: &mut Transaction<'_>,
    files: &[&str],
    steps: &mut Vec<String>,
) -> Result<BTreeSet<String>, MigrationError> {
    let wanted = wanted(tx, files).await?;
    tx.batch_execute("SET LOCAL search_path = app").await?;
    let found = shape(tx, "n.nspname = 'app'").await?;
    let (columns, misfits) = compare(&wanted, &found);
    if !misfits.is_empty() {
        return Err(MigrationError::Incompatible(misfits));
    }
    let mut additions = missing_enums(&wanted, &enums(tx).await?);
    additions.extend(columns);
    for (step, sql) in additions {
        tx.batch_execute(&sql).await?;
        steps.push(step);
    }
    for sql in files {
        tx.batch_execute(sql).await?;
    }
    tx.batch_execute("SET LOCAL search_path TO DEFAULT").await?;
    Ok(wanted.keys().map(|table| format!("app.{table}")).collect())
}

/// What the files make, read back from temporary tables that are gone afterwards.
async fn wanted(tx: &mut Transaction<'_>, files: &[&str]) -> Result<Shape, MigrationError> {
    let trial = tx.savepoint("wanted").await?;
    trial
        .batch_execute("SET LOCAL search_path = pg_temp")
        .await?;
    for sql in files {
        trial.batch_execute(sql).await?;
    }
    let wanted = shape(&trial, "n.oid = pg_my_temp_schema()").await?;
    trial.rollback().await?;
    Ok(wanted)
}

/// The tables of a schema, which is the search path as well: then names of types stand without it.
async fn shape(tx: &Transaction<'_>, schema: &str) -> Result<Shape, LedgerError> {
    let sql = format!(
        "SELECT c.relname::text AS \"table\", a.attname::text AS \"column\",
                format_type(a.atttypid, a.atttypmod) AS kind, t.typname::text AS type_name,
                (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e
                 WHERE e.enumtypid = t.oid) AS words,
                a.attnotnull AS is_required,
                EXISTS (SELECT 1 FROM pg_index i
                        WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey)) AS is_key,
                pg_get_expr(d.adbin, d.adrelid) AS \"default\",
                a.attidentity <> '' OR a.attgenerated <> '' AS is_given
         FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         JOIN pg_type t ON t.oid = a.atttypid
         LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE {schema} AND c.relkind IN ('r', 'p')"
    );
    let mut shape = Shape::new();
    for row in rows(tx, &sql, &[]).await? {
        let columns = shape.entry(text(&row, "table")?).or_default();
        columns.insert(text(&row, "column")?, column_from(&row)?);
    }
    Ok(shape)
}

/// The enums of the schema `app`.
async fn enums(tx: &Transaction<'_>) -> Result<Enums, LedgerError> {
    let sql = "SELECT t.typname::text AS name, e.enumlabel::text AS word FROM pg_type t
               JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_enum e ON e.enumtypid = t.oid
               WHERE n.nspname = 'app'";
    let mut enums = Enums::new();
    for row in rows(tx, sql, &[]).await? {
        let words = enums.entry(text(&row, "name")?).or_default();
        words.push(text(&row, "word")?);
    }
    Ok(enums)
}

fn column_from(row: &Row) -> Result<Column, LedgerError> {
    let words = optional_text(row, "words")?;
    Ok(Column {
        kind: text(row, "kind")?,
        type_name: text(row, "type_name")?,
        words: words.map(|words| words.split(',').map(str::to_owned).collect()),
        is_required: flag(row, "is_required")?,
        is_key: flag(row, "is_key")?,
        default: optional_text(row, "default")?,
        is_given: flag(row, "is_given")?,
    })
}

/// The enums that are not there, and the words that those which are lack.
fn missing_enums(wanted: &Shape, found: &Enums) -> Vec<Addition> {
    let columns = wanted.values().flat_map(BTreeMap::values);
    let wanted: BTreeMap<&str, &Vec<String>> = columns
        .filter_map(|column| Some((column.kind.as_str(), column.words.as_ref()?)))
        .collect();
    let missing = wanted
        .into_iter()
        .map(|(kind, words)| match found.get(kind) {
            Some(there) => missing_words(kind, words, there),
            None => {
                let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
                vec![(
                    format!("made the enum {kind}"),
                    format!("CREATE TYPE {kind} AS ENUM ({})", quoted.join(", ")),
                )]
            }
        });
    missing.flatten().collect()
}

/// What is to be added, and what does not fit.
fn compare(wanted: &Shape, found: &Shape) -> (Vec<Addition>, Vec<String>) {
    let (mut additions, mut misfits) = (Vec::new(), Vec::new());
    for (table, columns) in wanted {
        let Some(there) = found.get(table) else {
            continue;
        };
        for (name, column) in columns {
            match there.get(name) {
                Some(other) => {
                    misfits.extend(misfit(table, name, column, other));
                }
                None if column.is_key => {
                    misfits.push(format!("app.{table} has no column {name}, its key"));
                }
                None => additions.push(added(table, name, column)),
            }
        }
        let strange = there
            .iter()
            .filter(|(name, _)| !columns.contains_key(*name));
        misfits.extend(strange.filter_map(|(name, column)| unfillable(table, name, column)));
    }
    (additions, misfits)
}

fn misfit(table: &str, name: &str, wanted: &Column, found: &Column) -> Option<String> {
    (wanted.family() != found.family())
        .then(|| format!("app.{table}.{name} is {}, not {}", found.kind, wanted.kind))
}

/// A column that is not ours and has to have a value, which we do not know.
fn unfillable(table: &str, name: &str, column: &Column) -> Option<String> {
    (column.is_required && column.default.is_none() && !column.is_given).then(|| {
        format!("app.{table}.{name} has to have a value and no default, and Landfall knows none")
    })
}

fn added(table: &str, name: &str, column: &Column) -> Addition {
    let default = column.default.as_ref();
    // Rows that are there cannot be given a value that no default names.
    let required = if column.is_required && default.is_some() {
        " NOT NULL"
    } else {
        ""
    };
    let default = default.map_or_else(String::new, |default| format!(" DEFAULT {default}"));
    (
        format!("added app.{table}.{name} {}", column.kind),
        format!(
            "ALTER TABLE {table} ADD COLUMN {name} {}{default}{required}",
            column.kind
        ),
    )
}

/// The words that an enum lacks.
fn missing_words(kind: &str, wanted: &[String], found: &[String]) -> Vec<Addition> {
    let missing = wanted.iter().filter(|word| !found.contains(word));
    let add = |word: &String| {
        (
            format!("added '{word}' to the enum {kind}"),
            format!("ALTER TYPE {kind} ADD VALUE IF NOT EXISTS '{word}'"),
        )
    };
    missing.map(add).collect()
}
