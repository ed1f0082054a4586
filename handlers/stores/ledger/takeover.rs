//! What a declaration means where a group is declared already. SPEC §6 and §8; pure, for every store.

use serde_json::Value;

use super::{Conflict, Declaration, Origin};

/// How far the group that is there has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    /// Whether a combine of it was ever published.
    pub(super) was_combined: bool,
    /// Approval state of its Release.
    pub(super) approval_state: &'a str,
    /// Versions of the Asset that are approved, newest first.
    pub(super) versions: &'a [String],
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is the same declaration.
    Keep,
    /// Nothing is published yet and nobody asked for what is there: the declaration and its Release are replaced.
    Replace,
    /// The Release keeps its row, its next revision is made by the new declaration.
    Overwrite,
    /// The next Release of the Asset is begun.
    NextRelease,
}

/// Decides what `new` means beside `old`.
///
/// # Errors
///
/// A [`Conflict`] where `new` may not replace `old`.
pub(super) fn decide(
    old: &Declaration,
    new: &Declaration,
    standing: Standing<'_>,
) -> Result<Step, Conflict> {
    let step = step(old, new, standing)?;
    if step != Step::Keep {
        check_versions(new, standing.versions)?;
    }
    Ok(step)
}

fn step(old: &Declaration, new: &Declaration, standing: Standing<'_>) -> Result<Step, Conflict> {
    use Origin::{Auto, File, Submit};
    let is_same_place = folder(old) == folder(new);
    let difference = difference(old, new);
    match (old.origin, new.origin, difference) {
        (Auto, Auto, _) if is_same_place && old.stem == new.stem => Ok(Step::Keep),
        (Auto, File | Submit, _) if !standing.was_combined => Ok(Step::Replace),
        (Submit, Submit, None) => Ok(Step::Keep),
        (File, File, None) => Ok(Step::Keep),
        (File, File, Some(_)) if is_same_place && !standing.was_combined => Ok(Step::Replace),
        (File, File, Some(difference)) if is_same_place => Err(other_options(new, difference)),
        (_, Submit, Some(_)) if new.options.overwrite => overwrite(new, standing),
        (Submit, Submit, Some(_)) if is_new_version(old, new) => next_release(new, standing),
        (Submit, Submit, Some(difference)) => Err(other_options(new, difference)),
        (Auto | File | Submit, _, _) => Err(Conflict::OwnedByOther {
            asset: asset(new),
            owner: owner(old),
        }),
    }
}

fn overwrite(new: &Declaration, standing: Standing<'_>) -> Result<Step, Conflict> {
    match standing.approval_state {
        "approved" => Err(Conflict::Approved { asset: asset(new) }),
        _ => Ok(Step::Overwrite),
    }
}

/// A version is asked for that the Release was not declared with.
fn is_new_version(old: &Declaration, new: &Declaration) -> bool {
    new.version_id.is_some() && old.version_id != new.version_id
}

/// The next Release begins where the one before is closed, by approval or by revocation.
fn next_release(new: &Declaration, standing: Standing<'_>) -> Result<Step, Conflict> {
    match standing.approval_state {
        "approved" | "revoked" => Ok(Step::NextRelease),
        state => Err(Conflict::StillOpen {
            asset: asset(new),
            state: state.to_owned(),
        }),
    }
}

/// Versions follow one another: one that is approved is not made again, and the one that is named as the previous
/// one has to be the newest. `versions` are the approved ones of the Asset, newest first.
///
/// # Errors
///
/// [`Conflict::Version`].
pub(super) fn check_versions(new: &Declaration, versions: &[String]) -> Result<(), Conflict> {
    let refuse = |problem: String| {
        Err(Conflict::Version {
            asset: asset(new),
            problem,
        })
    };
    if let Some(version) = &new.version_id
        && versions.contains(version)
    {
        return refuse(format!("version `{version}` is approved already"));
    }
    match (&new.extras.previous_version_id, versions.first()) {
        (Some(previous), None) => refuse(format!(
            "previous_version_id is `{previous}`, but no version is approved yet"
        )),
        (Some(previous), Some(newest)) if previous != newest => refuse(format!(
            "previous_version_id is `{previous}`, but the newest version is `{newest}`"
        )),
        _ => Ok(()),
    }
}

fn other_options(new: &Declaration, difference: String) -> Conflict {
    Conflict::OtherOptions {
        asset: asset(new),
        difference,
    }
}

fn asset(declaration: &Declaration) -> String {
    format!("{}/{}", declaration.dataset_id, declaration.resource_id)
}

fn owner(old: &Declaration) -> String {
    match old.origin {
        Origin::Submit => String::from("a submitted request"),
        Origin::File => format!("the landfall.json of {}", old.prefix.short()),
        Origin::Auto if old.stem.is_empty() => format!("the files of {}", old.prefix.short()),
        Origin::Auto => format!("the files `{}` of {}", old.stem, old.prefix.short()),
    }
}

/// The place that a declaration speaks for, however its trailing slash is written.
fn folder(declaration: &Declaration) -> (&str, &str, &str) {
    let prefix = &declaration.prefix;
    (
        &prefix.account,
        &prefix.container,
        prefix.blob.trim_end_matches('/'),
    )
}

/// The fields in which two declarations differ, with both values; `None` where they are the same.
fn difference(old: &Declaration, new: &Declaration) -> Option<String> {
    let place = (folder(old) != folder(new)).then(|| {
        let (old, new) = (old.prefix.short().into(), new.prefix.short().into());
        differing("source_url", &old, &new)
    });
    let pairs = names(old).into_iter().zip(names(new));
    let named = pairs.map(|((name, old), (_, new))| (name.to_owned(), old, new));
    let others = named
        .chain(options(old, new))
        .filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| differing(&name, &old, &new));
    let all: Vec<String> = place.into_iter().chain(others).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn names(declaration: &Declaration) -> [(&'static str, Value); 6] {
    let extras = &declaration.extras;
    let text = |text: &Option<String>| Value::from(text.as_deref());
    [
        ("version_id", text(&declaration.version_id)),
        ("previous_version_id", text(&extras.previous_version_id)),
        ("title", text(&declaration.title)),
        ("description", text(&declaration.description)),
        ("access_level", text(&extras.access_level)),
        ("tags", extras.tags.clone().into()),
    ]
}

/// Both values of each option. A repetition that asks for no overwrite is the same as the one that did, and what a
/// scan found was not asked for.
fn options(old: &Declaration, new: &Declaration) -> Vec<(String, Value, Value)> {
    let (mut before, mut after) = (old.options.clone(), new.options.clone());
    before.overwrite &= after.overwrite;
    for (options, declaration) in [(&mut before, old), (&mut after, new)] {
        if declaration.extras.is_scanned {
            options.expected = None;
        }
    }
    let (before, after) = (serde_json::to_value(before), serde_json::to_value(after));
    let (Ok(Value::Object(before)), Ok(Value::Object(mut after))) = (before, after) else {
        return Vec::new();
    };
    let pair = |(name, old): (String, Value)| {
        let new = after.remove(&name).unwrap_or_default();
        (name, old, new)
    };
    before.into_iter().map(pair).collect()
}

fn differing(name: &str, old: &Value, new: &Value) -> String {
    format!("`{name}` is {old}, not {new}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::group::Submission;
    use crate::stores::blobs::BlobPath;

    /// The declaration of a body with these fields beside the two that every one has.
    fn submitted(fields: Value) -> Declaration {
        let mut body = json!({"dataset_id": "era5", "resource_id": "daily"});
        body.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let submission: Submission = serde_json::from_value(body).unwrap();
        let home = BlobPath::new("local", "bronze", "era5");
        submission
            .into_declaration(Origin::Submit, &home, jiff::Timestamp::UNIX_EPOCH)
            .unwrap()
    }

    fn decided(old: Value, new: Value, state: &str, versions: &[&str]) -> String {
        let versions: Vec<String> = versions.iter().map(|v| (*v).to_owned()).collect();
        let standing = Standing {
            was_combined: true,
            approval_state: state,
            versions: &versions,
        };
        match decide(&submitted(old), &submitted(new), standing) {
            Ok(step) => format!("{step:?}"),
            Err(conflict) => conflict.to_string(),
        }
    }

    // SPEC §8 and the platform's own table: what a second submit of one Asset comes to.
    #[rstest]
    #[case::the_same(json!({}), json!({}), "pending_review", "Keep")]
    #[case::the_same_once_approved(json!({}), json!({}), "approved", "Keep")]
    #[case::other_option(json!({}), json!({"processing_options": {"missing": "fill"}}), "pending_review",
        "era5/daily is declared already with other options: `missing` is \"refuse\", not \"fill\"")]
    #[case::several_differences(json!({"title": "a"}), json!({"title": "b", "tags": ["x"]}), "pending_review",
        "era5/daily is declared already with other options: `title` is \"a\", not \"b\"; `tags` is [], not [\"x\"]")]
    #[case::overwrite_pending(json!({}), json!({"processing_options": {"overwrite": true}}), "pending_review", "Overwrite")]
    #[case::overwrite_rejected(json!({}), json!({"processing_options": {"overwrite": true}}), "rejected", "Overwrite")]
    #[case::overwrite_revoked(json!({}), json!({"processing_options": {"overwrite": true}}), "revoked", "Overwrite")]
    #[case::overwrite_approved(json!({}), json!({"processing_options": {"overwrite": true}}), "approved",
        "the Release of era5/daily is approved; revoke it before it is overwritten")]
    #[case::overwrite_repeated(json!({"processing_options": {"overwrite": true}}), json!({}), "approved", "Keep")]
    #[case::version_of_approved(json!({}), json!({"version_id": "v2"}), "approved", "NextRelease")]
    #[case::version_of_revoked(json!({}), json!({"version_id": "v2"}), "revoked", "NextRelease")]
    #[case::version_of_open(json!({}), json!({"version_id": "v2"}), "pending_review",
        "the Release of era5/daily is still pending_review; have it approved, or overwrite it")]
    #[case::version_of_rejected(json!({}), json!({"version_id": "v2"}), "rejected",
        "the Release of era5/daily is still rejected; have it approved, or overwrite it")]
    #[case::approved_version_again(json!({}), json!({"version_id": "v1"}), "approved",
        "era5/daily: version `v1` is approved already")]
    #[case::right_previous(json!({}), json!({"version_id": "v2", "previous_version_id": "v1"}), "approved", "NextRelease")]
    #[case::wrong_previous(json!({}), json!({"version_id": "v3", "previous_version_id": "v2"}), "approved",
        "era5/daily: previous_version_id is `v2`, but the newest version is `v1`")]
    fn a_second_submit(
        #[case] old: Value,
        #[case] new: Value,
        #[case] state: &str,
        #[case] outcome: &str,
    ) {
        assert_eq!(decided(old, new, state, &["v1"]), outcome);
    }

    #[test]
    fn a_previous_version_has_to_be_there() {
        let new = submitted(json!({"version_id": "v2", "previous_version_id": "v1"}));
        assert_eq!(
            check_versions(&new, &[]).unwrap_err().to_string(),
            "era5/daily: previous_version_id is `v1`, but no version is approved yet"
        );
    }

    // A submit of a folder into which files went on landing was refused as another one when it was repeated.
    #[test]
    fn what_a_scan_found_is_no_difference() {
        let scanned = |names: &[&str]| {
            let mut declaration =
                submitted(json!({"processing_options": {"expected": {"files": names}}}));
            declaration.extras.is_scanned = true;
            declaration
        };
        let (one, two) = (scanned(&["a.nc"]), scanned(&["a.nc", "b.nc"]));
        assert_eq!(difference(&one, &two), None);
        let asked = submitted(json!({"processing_options": {"expected": {"count": 2}}}));
        assert!(difference(&one, &asked).unwrap().contains("`expected`"));
    }
}
