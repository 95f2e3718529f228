//! The objects in Engage Digital's webhooks and API responses.

use serde_json::Value;

use super::json::{moment, text, texts};
use crate::time::Timestamp;

/// An agent's engagement with a customer. It has no `status`, because that is text in the
/// [domain's language](crate::protocol#ed-api): use [`is_open`](Self::is_open).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Intervention {
    /// The intervention's id.
    pub id: String,
    /// The id of the customer's identity.
    pub identity: Option<String>,
    /// The id of the source: a Page, a mailbox, a telephone number, …
    pub source: Option<String>,
    /// The id of ED's thread, which is not Meta's.
    pub thread: Option<String>,
    /// The agent's user id.
    pub agent: Option<String>,
    /// The ids of the categories.
    pub categories: Vec<String>,
    /// The time of closing. It may stay set when the intervention is reopened: use [`Self::is_open`].
    pub closed_at: Option<Timestamp>,
    /// Whether the intervention is closed. Only API responses have it, webhooks do not.
    pub closed: Option<bool>,
    /// The end of a deferral. A deferred intervention stays open.
    pub deferred_at: Option<Timestamp>,
}

impl Intervention {
    /// Whether the intervention is open. The `closed` flag counts if there is one, because ED's own sample has
    /// `"closed": false` together with a `closed_at`.
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

/// A person at one source.
#[cfg(feature = "graph")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Identity {
    /// ED's id of the identity.
    pub id: String,
    /// The source's id of the person, on Messenger the PSID ([inferred](crate::protocol#ed-bots-endpoint)).
    pub foreign_id: Option<String>,
    /// The id of the source's community.
    pub community: Option<String>,
    /// The id of the group of identities that were merged into one person.
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
    /// ED's id of the message.
    pub id: String,
    /// The source's id of the message, on Messenger the `mid`; `None` before it is sent.
    pub foreign_id: Option<String>,
    /// The id of the author's identity.
    pub author: Option<String>,
    /// The id of the user who wrote the message in ED.
    pub creator: Option<String>,
    /// The origin of the message: `interface`, `API`, …
    pub created_from: Option<String>,
    /// The id of the message's intervention.
    pub intervention: Option<String>,
    /// The id of the message that this one replies to.
    pub in_reply_to: Option<String>,
    /// The id of the source.
    pub source: Option<String>,
    /// The id of ED's thread.
    pub thread: Option<String>,
    /// The status of the export to the source.
    pub synchronization: Option<SynchronizationStatus>,
    /// The error of a failed export, as in `hard_bounce - …`.
    pub synchronization_error: Option<String>,
}

/// The [`synchronization_status`](crate::protocol#ed-api) of a message.
#[cfg(feature = "webhook")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SynchronizationStatus {
    /// `success`: the source has the message.
    Success,
    /// `export_pending`: the export has not finished.
    ExportPending,
    /// `export_failure`: the source refused the message, for example because another app controls the thread.
    ExportFailure,
    /// `export_aborted`: ED gave the export up.
    ExportAborted,
    /// Another status: `like_aborted`, `author_block_aborted`, `delete_aborted` and `unpublish_aborted`, which are not about
    /// sending, or an undocumented one.
    Other(String),
}

#[cfg(feature = "webhook")]
impl SynchronizationStatus {
    /// Whether the customer has not received the message and will not receive it.
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
