//! Whether files are still what a reference recorded of them: version, length and time of the last change. SPEC §5.

use futures_util::{FutureExt as _, StreamExt as _, stream};
use virtualize::Source;

use super::{FILES_AT_ONCE, JoinError, file_name};
use crate::read::IoCount;
use crate::stores::blobs::{BlobError, Sources};

/// What a store says of a file that a reference names.
#[derive(Debug)]
pub enum SourceState {
    /// It is the version that was recorded.
    Same,
    /// It is there, and nothing was recorded that would tell versions apart.
    Unpinned,
    /// It is another version: what differs.
    Changed(String),
    /// It is gone.
    Missing,
    /// The store cannot say.
    Unreachable(BlobError),
}

/// Asks the store about each file; the answers are in the order of the files.
pub async fn states(
    sources: &dyn Sources,
    recorded: &[&Source],
    io: &mut IoCount,
) -> Vec<SourceState> {
    let mut asked = Vec::with_capacity(recorded.len());
    for source in recorded {
        asked.push(state(sources, source).boxed());
    }
    let answers: Vec<SourceState> = stream::iter(asked)
        .buffered(FILES_AT_ONCE * 2)
        .collect()
        .await;
    io.requests += u64::try_from(answers.len()).unwrap_or(u64::MAX);
    io.rounds += u32::from(!answers.is_empty());
    answers
}

async fn state(sources: &dyn Sources, recorded: &Source) -> SourceState {
    match sources.current(recorded).await {
        Ok(now) => compare(recorded, &now),
        Err(error) if error.is_missing() => SourceState::Missing,
        Err(error) => SourceState::Unreachable(error),
    }
}

/// What of a file differs from what was recorded. An `ETag` says it all where both sides have one; the time of the
/// last change counts only where they do not.
fn compare(recorded: &Source, now: &Source) -> SourceState {
    let mut differences = Vec::new();
    let is_recorded = recorded.length != 0 || recorded.etag.is_some();
    if is_recorded && recorded.length != now.length {
        differences.push(format!("has {} bytes, had {}", now.length, recorded.length));
    }
    match (&recorded.etag, &now.etag) {
        (Some(was), Some(is)) if was != is => differences.push(format!("has ETag {is}, had {was}")),
        (Some(_), Some(_)) => {}
        _ => {
            let (was, is) = (&recorded.last_modified, &now.last_modified);
            if let (Some(was), Some(is)) = (was, is)
                && was != is
            {
                differences.push(format!("was changed at {is}, before at {was}"));
            }
        }
    }
    let is_pinned = recorded.etag.is_some() || recorded.last_modified.is_some();
    match (differences.is_empty(), is_pinned) {
        (false, _) => SourceState::Changed(differences.join("; ")),
        (true, true) => SourceState::Same,
        (true, false) => SourceState::Unpinned,
    }
}

/// Refuses files that are not, or no longer, what was recorded of them: `source_changed`, each file named. Combine and
/// approval ask this.
///
/// # Errors
///
/// [`JoinError::SourceChanged`] with every file that has changed or is gone, [`JoinError::Source`] where a store cannot
/// say.
pub async fn ensure_unchanged(
    sources: &dyn Sources,
    recorded: &[&Source],
    io: &mut IoCount,
) -> Result<(), JoinError> {
    let mut changed = Vec::new();
    for (source, state) in recorded.iter().zip(states(sources, recorded, io).await) {
        let file = file_name(&source.url).to_owned();
        match state {
            SourceState::Same | SourceState::Unpinned => {}
            // Whoever reads it will say that it cannot be had from here.
            SourceState::Unreachable(BlobError::Elsewhere(_)) => {}
            SourceState::Changed(what) => changed.push(format!("{file} {what}")),
            SourceState::Missing => changed.push(format!("{file} is gone")),
            SourceState::Unreachable(source) => return Err(JoinError::Source { file, source }),
        }
    }
    match changed.is_empty() {
        true => Ok(()),
        false => Err(JoinError::SourceChanged { files: changed }),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn source(etag: Option<&str>, length: u64, modified: Option<&str>) -> Source {
        Source {
            url: String::from("file:///a.nc"),
            etag: etag.map(str::to_owned),
            length,
            last_modified: modified.map(str::to_owned),
        }
    }

    /// `=` the same, `?` not told apart, `!` changed.
    #[rstest]
    #[case::same(source(Some("1"), 5, Some("x")), source(Some("1"), 5, Some("y")), '=')]
    #[case::another_etag(source(Some("1"), 5, None), source(Some("2"), 5, None), '!')]
    #[case::another_length(source(None, 5, None), source(None, 6, None), '!')]
    #[case::another_time(source(None, 5, Some("x")), source(Some("1"), 5, Some("y")), '!')]
    #[case::same_time(source(None, 5, Some("x")), source(None, 5, Some("x")), '=')]
    #[case::of_others(source(None, 0, None), source(Some("1"), 5, Some("y")), '?')]
    fn versions_are_told_apart(#[case] was: Source, #[case] now: Source, #[case] verdict: char) {
        let found = match compare(&was, &now) {
            SourceState::Same => '=',
            SourceState::Unpinned => '?',
            _ => '!',
        };
        assert_eq!(found, verdict);
    }
}
