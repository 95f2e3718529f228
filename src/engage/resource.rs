//! What Engage Digital tells of, in its webhooks and in its API's answers.

use serde_json::Value;

use super::json::{moment, text, texts};
use crate::time::Timestamp;

/// An agent's engagement with a customer. Its `status` is not here: it is text in the domain's language
/// (facts §8.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Intervention {
    /// Its id.
    pub id: String,
    /// The identity that wrote.
    pub identity: Option<String>,
    /// The source: a Page, a mailbox, a telephone number, …
    pub source: Option<String>,
    /// ED's thread, which is not Meta's.
    pub thread: Option<String>,
    /// The agent's user id.
    pub agent: Option<String>,
    /// Categories.
    pub categories: Vec<String>,
    /// When it was closed. It may stay when the intervention is opened again: see [`Self::is_open`].
    pub closed_at: Option<Timestamp>,
    /// Whether it is closed, as the API says; a webhook does not.
    pub closed: Option<bool>,
    /// Until when it is put off. It stays engaged meanwhile.
    pub deferred_at: Option<Timestamp>,
}

impl Intervention {
    /// Whether the customer is engaged by it. ED's own sample of an answer has `"closed": false` together
    /// with a `closed_at`, so the flag counts where there is one.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.closed.unwrap_or(self.closed_at.is_some())
    }

    pub(super) fn read(id: String, body: &Value) -> Self {
        Self {
            id,
            identity: text(body, "identity_id"),
            source: text(body, "source_id"),
            thread: text(body, "thread_id"),
            agent: text(body, "user_id"),
            categories: texts(body, "category_ids"),
            closed_at: moment(body, "closed_at"),
            closed: body.get("closed").and_then(Value::as_bool),
            deferred_at: moment(body, "deferred_at"),
        }
    }
}

/// A person as one source knows them.
#[cfg(feature = "graph")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Identity {
    /// ED's id.
    pub id: String,
    /// The source's own id: on Messenger the PSID (INF, facts §8.1).
    pub foreign_id: Option<String>,
    /// The community of the source.
    pub community: Option<String>,
    /// The group of identities that are one person, if they were merged.
    pub group: Option<String>,
}

#[cfg(feature = "graph")]
impl Identity {
    pub(super) fn read(id: String, body: &Value) -> Self {
        Self {
            id,
            foreign_id: text(body, "foreign_id"),
            community: text(body, "community_id"),
            group: text(body, "identity_group_id"),
        }
    }
}

/// A message in Engage Digital.
#[cfg(feature = "webhook")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Content {
    /// ED's id.
    pub id: String,
    /// The source's id: on Messenger the `mid`. None before it is sent.
    pub foreign_id: Option<String>,
    /// The identity that wrote it.
    pub author: Option<String>,
    /// The user that wrote it, for what was written in ED.
    pub creator: Option<String>,
    /// `interface`, `API`, …
    pub created_from: Option<String>,
    /// The intervention that it belongs to.
    pub intervention: Option<String>,
    /// What it answers.
    pub in_reply_to: Option<String>,
    /// The source.
    pub source: Option<String>,
    /// ED's thread.
    pub thread: Option<String>,
    /// Whether ED could bring it to the source.
    pub synchronization: Option<SynchronizationStatus>,
    /// Why not, as in `hard_bounce - …`.
    pub synchronization_error: Option<String>,
}

/// `synchronization_status` of a content (facts §8.2).
#[cfg(feature = "webhook")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SynchronizationStatus {
    /// `success`: the source has it.
    Success,
    /// `export_pending`: not yet.
    ExportPending,
    /// `export_failure`: the source refused it, as where another app controls the thread.
    ExportFailure,
    /// `export_aborted`: given up.
    ExportAborted,
    /// Another one, about something else than sending: `like_aborted`, `author_block_aborted`,
    /// `delete_aborted`, `unpublish_aborted`, or one that is not documented.
    Other(String),
}

#[cfg(feature = "webhook")]
impl SynchronizationStatus {
    /// Whether the customer does not have it and will not get it.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::ExportFailure | Self::ExportAborted)
    }
}

#[cfg(feature = "webhook")]
impl Content {
    pub(super) fn read(id: String, body: &Value) -> Self {
        let status = |status: String| match status.as_str() {
            "success" => SynchronizationStatus::Success,
            "export_pending" => SynchronizationStatus::ExportPending,
            "export_failure" => SynchronizationStatus::ExportFailure,
            "export_aborted" => SynchronizationStatus::ExportAborted,
            _ => SynchronizationStatus::Other(status),
        };
        Self {
            id,
            foreign_id: text(body, "foreign_id"),
            author: text(body, "author_id"),
            creator: text(body, "creator_id"),
            created_from: text(body, "created_from"),
            intervention: text(body, "intervention_id"),
            in_reply_to: text(body, "in_reply_to_id"),
            source: text(body, "source_id"),
            thread: text(body, "thread_id"),
            synchronization: text(body, "synchronization_status").map(status),
            synchronization_error: text(body, "synchronization_error"),
        }
    }
}
