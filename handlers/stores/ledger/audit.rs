//! What the audit records of a Release, the same for every store.

use serde_json::{Value, json};

/// Why the Release of a series that nobody asked for is taken back.
pub(super) const LEFT: &str = "all of its files have joined declared series";

/// What happens to a Release.
#[derive(Debug)]
pub(super) struct Event<'a> {
    /// The platform's word for it.
    pub(super) kind: &'static str,
    /// Who does it.
    pub(super) actor: Option<&'a str>,
    /// Why.
    pub(super) reason: Option<&'a str>,
    /// Further facts.
    pub(super) metadata: Value,
}

impl<'a> Event<'a> {
    /// Something that happens of itself.
    pub(super) fn of(kind: &'static str) -> Self {
        Self {
            kind,
            actor: None,
            reason: None,
            metadata: json!({}),
        }
    }

    /// The same, done by somebody.
    pub(super) fn by(self, actor: Option<&'a str>) -> Self {
        Self { actor, ..self }
    }

    /// The same, with its reason.
    pub(super) fn because(self, reason: Option<&'a str>) -> Self {
        Self { reason, ..self }
    }

    /// The same, with further facts.
    pub(super) fn with(self, metadata: Value) -> Self {
        Self { metadata, ..self }
    }
}
