//! `GET /api/status/overview?search=&section=`: what the status page shows, in one document. SPEC §11.
//!
//! `{success, version, files, throughput, sections: [{section, count, series}], files_at_fault}`, with an `ETag` that
//! changes when the document does. Time passes in the page: the document says since when, never how long.
//!
//! It takes a dozen statements of SQL. However many people look, and however large the ledger, no more than a tenth of
//! the time goes into them: what took long to find out is told again for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::series;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::zarr::etag_of;
use crate::stores::ledger::LedgerError;
use crate::stores::ledger::overview::{FilesOfState, Minute, Overview, OverviewQuery, Section};

/// Series that are told of each section, and of the only one that is asked for.
const FEW: u32 = 12;
const MANY: u32 = 100;

/// Longest text that is searched for.
const LONGEST: usize = 200;

/// Whole minutes before the current one of which the throughput is told.
const MINUTES: i64 = 59;

/// Documents that are kept, each for another question.
const KEPT: usize = 16;

/// So many times as long as a document took it is told again; nobody notices what is cheap, so that is always new.
const REST: u32 = 9;
const CHEAP: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_secs(20);

const PARAMETERS: [&str; 2] = ["search", "section"];

/// A rendered document.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) body: Bytes,
    pub(super) etag: String,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    search: String,
    section: Option<Section>,
}

impl Asked {
    /// Reads a query. `code` is the host's own, and let through.
    pub(super) fn read(query: &HashMap<String, String>) -> Result<Self, ApiError> {
        let mut names = query.keys().map(String::as_str);
        if let Some(name) = names.find(|name| *name != "code" && !PARAMETERS.contains(name)) {
            let error = ApiError::validation(format!("unknown parameter `{name}`"));
            return Err(error.with("valid_parameters", json!(PARAMETERS)));
        }
        let search = query.get("search").map_or("", |text| text.trim());
        if search.chars().count() > LONGEST {
            let message = format!("search is longer than {LONGEST} characters");
            return Err(ApiError::validation(message));
        }
        Ok(Self {
            search: search.to_owned(),
            section: query.get("section").map(|word| section(word)).transpose()?,
        })
    }

    fn query(&self, now: Timestamp) -> OverviewQuery {
        // Of whole minutes, so that the document is another once a minute at most because time passed.
        let since = Timestamp::from_second((now.as_second() / 60 - MINUTES) * 60);
        OverviewQuery {
            search: self.search.clone(),
            section: self.section,
            limit: if self.section.is_some() { MANY } else { FEW },
            since: since.unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

fn section(word: &str) -> Result<Section, ApiError> {
    let word: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
        word.into_deserializer();
    Section::deserialize(word).map_err(|_| {
        let error = ApiError::validation("section is none of those that there are");
        error.with("valid_values", json!(Section::ALL))
    })
}

/// Documents that were rendered lately.
#[derive(Debug, Default)]
pub(in crate::http) struct Overviews {
    kept: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    asked: Asked,
    document: Document,
    until: Instant,
}

impl Overviews {
    /// The document, a new one unless the last is good enough. Who asks meanwhile waits, and gets the same.
    pub(super) async fn get(&self, app: &App, asked: Asked) -> Result<Document, LedgerError> {
        let mut kept = self.kept.lock().await;
        kept.retain(|one| one.until > Instant::now());
        if let Some(found) = kept.iter().find(|one| one.asked == asked) {
            return Ok(found.document.clone());
        }
        let begun = Instant::now();
        let overview = app.ledger.overview(&asked.query(Timestamp::now())).await?;
        let document = render(app, &overview);
        let took = begun.elapsed();
        if took > CHEAP {
            kept.truncate(KEPT - 1);
            let rest = took.saturating_mul(REST).min(LONGEST_REST);
            kept.push(Kept {
                asked,
                document: document.clone(),
                until: Instant::now() + rest,
            });
        }
        Ok(document)
    }
}

fn render(app: &App, overview: &Overview) -> Document {
    let at_fault = overview.at_fault.iter().map(series::file);
    let document = json!({
        "success": true,
        "version": env!("CARGO_PKG_VERSION"),
        "files": files(&overview.files),
        "throughput": throughput(&overview.throughput),
        "sections": Section::ALL.map(|section| of_section(app, overview, section)),
        "files_at_fault": at_fault.collect::<Vec<_>>(),
    });
    let body = Bytes::from(document.to_string());
    Document {
        etag: etag_of(&body),
        body,
    }
}

fn of_section(app: &App, overview: &Overview, section: Section) -> Value {
    let series = overview.series.iter();
    let series = series.filter(|series| series.section == section);
    json!({
        "section": section,
        "count": overview.sections.get(&section).copied().unwrap_or_default(),
        "series": series.map(|series| series::told(app, series)).collect::<Vec<_>>(),
    })
}

fn files(files: &[FilesOfState]) -> Vec<Value> {
    let told = files.iter().map(|files| {
        json!({"state": files.state, "count": files.count, "bytes": files.bytes, "oldest": files.oldest})
    });
    told.collect()
}

fn throughput(minutes: &[Minute]) -> Value {
    json!({
        "minutes": minutes,
        "files": minutes.iter().map(|minute| minute.files).sum::<u64>(),
        "bytes": minutes.iter().map(|minute| minute.bytes).sum::<u64>(),
    })
}

/// The answer to a question, or that it is none.
pub(super) async fn answer(
    app: &Arc<App>,
    query: &HashMap<String, String>,
) -> Result<Document, ApiError> {
    let asked = Asked::read(query)?;
    Ok(app.overviews.get(app, asked).await?)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn query(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        pairs.collect()
    }

    #[rstest]
    #[case::nothing(&[], "", None, 12)]
    #[case::key_of_the_host(&[("code", "secret")], "", None, 12)]
    #[case::text(&[("search", " ERA5 ")], "ERA5", None, 12)]
    #[case::section(&[("section", "attention")], "", Some(Section::Attention), 100)]
    fn a_question_is_read(
        #[case] pairs: &[(&str, &str)],
        #[case] search: &str,
        #[case] section: Option<Section>,
        #[case] limit: u32,
    ) {
        let now = Timestamp::from_second(7201).unwrap();
        let query = Asked::read(&query(pairs)).unwrap().query(now);
        let expected = OverviewQuery {
            search: search.to_owned(),
            section,
            limit,
            since: Timestamp::from_second(3660).unwrap(),
        };
        assert_eq!(query, expected);
    }

    #[rstest]
    #[case::unknown(("state", "x"), "unknown parameter `state`")]
    #[case::no_section(("section", "all"), "section is none of those that there are")]
    fn what_is_no_question_is_refused(#[case] pair: (&str, &str), #[case] message: &str) {
        let refused = Asked::read(&query(&[pair])).unwrap_err();
        let told: Value = serde_json::from_slice(refused.into_answer().body()).unwrap();
        assert_eq!(told["error"], message);
        let long = "x".repeat(201);
        assert!(Asked::read(&query(&[("search", &long)])).is_err());
    }

    #[test]
    fn every_section_is_told_even_if_it_is_empty() {
        let words = json!(Section::ALL);
        let all = [
            "attention",
            "review",
            "combining",
            "collecting",
            "published",
            "withdrawn",
        ];
        assert_eq!(words, json!(all));
        for word in all {
            assert_eq!(json!(section(word).unwrap()), word);
        }
    }
}
