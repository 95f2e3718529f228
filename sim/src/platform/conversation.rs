//! The messages of a conversation, as the customer sees them.

use serde_json::Value;

use messenger_handover::id::{AppId, MessageId};
use messenger_handover::time::Timestamp;

/// The author of a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Speaker {
    /// The customer.
    Customer,
    /// An app, in the name of the Page.
    App(AppId),
}

/// One message of a conversation, as the customer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Said {
    /// The author.
    pub from: Speaker,
    /// The message object as it was sent.
    pub message: Value,
    /// The message's id.
    pub mid: MessageId,
    /// The time at which it was sent.
    pub at: Timestamp,
    /// Whether the customer has unsent it.
    pub unsent: bool,
    /// The number of times that the customer has edited it. `message` has the text of the last edit.
    pub edits: u32,
    /// The customer's reaction to it, such as `love`.
    pub reaction: Option<String>,
}

impl Said {
    pub(super) fn new(from: Speaker, message: Value, mid: MessageId, at: Timestamp) -> Self {
        Self { from, message, mid, at, unsent: false, edits: 0, reaction: None }
    }

    /// The text, if it has one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.message["text"].as_str()
    }
}
