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
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is the same declaration.
    Keep,
    /// Nothing is published yet: the declaration and its Release are replaced.
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
    use Origin::{Auto, File, Submit};
    let is_same_place = folder(old) == folder(new);
    let difference = first_difference(old, new);
    match (old.origin, new.origin, difference) {
        (Auto, Auto, _) if is_same_place && old.stem == new.stem => Ok(Step::Keep),
        (Auto, File | Submit, _) if !standing.was_combined => Ok(Step::Replace),
        (Submit, Submit, None) => Ok(Step::Keep),
        (File, File, None) => Ok(Step::Keep),
        (File, File, Some(_)) if is_same_place && !standing.was_combined => Ok(Step::Replace),
        (File, File, Some(difference)) if is_same_place => Err(other_options(new, difference)),
        (Submit, Submit, Some(_)) if old.version_id != new.version_id && is_closed(standing) => {
            Ok(Step::NextRelease)
        }
        (_, Submit, Some(_)) if new.options.overwrite => overwrite(new, standing),
        (Submit, Submit, Some(difference)) => Err(other_options(new, difference)),
        (Auto | File | Submit, _, _) => Err(Conflict::OwnedByOther {
            asset: asset(new),
            owner: owner(old),
        }),
    }
}

fn overwrite(new: &Declaration, standing: Standing<'_>) -> Result<Step, Conflict> {
    match standing {
        Standing {
            approval_state: "approved",
            ..
        } => Err(Conflict::Approved { asset: asset(new) }),
        Standing {
            was_combined: false,
            ..
        } => Ok(Step::Replace),
        Standing {
            was_combined: true, ..
        } => Ok(Step::Overwrite),
    }
}

fn is_closed(standing: Standing<'_>) -> bool {
    matches!(standing.approval_state, "approved" | "revoked")
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

/// The first field in which two declarations differ, with both values.
fn first_difference(old: &Declaration, new: &Declaration) -> Option<String> {
    if folder(old) != folder(new) {
        return Some(differing(
            "source_url",
            &old.prefix.short().into(),
            &new.prefix.short().into(),
        ));
    }
    let names = |declaration: &Declaration| {
        [
            ("version_id", Value::from(declaration.version_id.as_deref())),
            ("title", Value::from(declaration.title.as_deref())),
            (
                "description",
                Value::from(declaration.description.as_deref()),
            ),
        ]
    };
    let pairs = names(old).into_iter().zip(names(new));
    let named = pairs.map(|((name, old), (_, new))| (name.to_owned(), old, new));
    let mut all = named.chain(options(old, new));
    all.find(|(_, old, new)| old != new)
        .map(|(name, old, new)| differing(&name, &old, &new))
}

/// Both values of each option. A repetition that asks for no overwrite is the same as the one that did.
fn options(old: &Declaration, new: &Declaration) -> Vec<(String, Value, Value)> {
    let mut before = old.options.clone();
    before.overwrite &= new.options.overwrite;
    let (before, after) = (
        serde_json::to_value(before),
        serde_json::to_value(&new.options),
    );
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
