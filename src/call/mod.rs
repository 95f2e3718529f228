//! Calls to the platform and their outcomes.

mod failure;
mod handover_request;
mod message;

pub use failure::{Advice, Failure, FailureKind, TokenProblem};
pub use handover_request::{ChannelType, HandoverRequest};
pub use message::{
    InlineControl, InvalidMessage, MAX_QUICK_REPLIES, MAX_TEXT_CHARS, Media, MediaKind, MessagingType,
    OutgoingMessage, QuickReply, SenderAction,
};

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{AppId, MessageId};
use crate::time::Timestamp;

/// The longest idempotency key, in bytes: enough for an id of the platform and a few words. The key travels in the
/// message's `metadata`.
pub const MAX_KEY_BYTES: usize = 300;

const METADATA_PREFIX: &str = "mho:";

/// The idempotency key of a message, chosen by the host: sending the same key twice sends one message.
///
/// It travels in the message's `metadata`, which the platform repeats in the [echo](crate::protocol#echoes), so it
/// must hold no personal data.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageKey(String);

impl MessageKey {
    /// A key from a text of 1 to [`MAX_KEY_BYTES`] bytes.
    ///
    /// # Errors
    /// [`InvalidMessage::Key`] if it is empty, longer than [`MAX_KEY_BYTES`] or has control characters: choose
    /// another key.
    pub fn new(key: impl Into<String>) -> Result<Self, InvalidMessage> {
        let key = key.into();
        if key.is_empty() || key.len() > MAX_KEY_BYTES || key.chars().any(char::is_control) {
            return Err(InvalidMessage::Key);
        }
        Ok(Self(key))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The `metadata` of a message that `app` sends. It names the app, because other apps on the Page read the echo
    /// and may use the same keys.
    #[must_use]
    pub fn to_metadata(&self, app: &AppId) -> String {
        format!("{METADATA_PREFIX}{app}:{}", self.0)
    }

    /// The key in an echo's `metadata`, if `app` put it there.
    #[must_use]
    pub fn from_metadata(metadata: &str, app: &AppId) -> Option<Self> {
        let rest = metadata.strip_prefix(METADATA_PREFIX)?.strip_prefix(&app.to_string())?;
        Self::new(rest.strip_prefix(':')?).ok()
    }
}

impl TryFrom<String> for MessageKey {
    type Error = InvalidMessage;

    fn try_from(key: String) -> Result<Self, InvalidMessage> {
        Self::new(key)
    }
}

impl From<MessageKey> for String {
    fn from(key: MessageKey) -> Self {
        key.0
    }
}

impl fmt::Display for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The direction in which Engage Digital's [endpoint](crate::protocol#ed-bots-endpoint) moves control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// `from=bot&to=agent`
    BotToAgent,
    /// `from=agent&to=bot`
    AgentToBot,
}

/// The number of a call, unique within its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u64);

/// One call that a thread asks the host to make.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Call {
    /// Sends a message, with the key in its `metadata`.
    SendMessage {
        /// The message's idempotency key.
        key: MessageKey,
        /// The message.
        message: OutgoingMessage,
    },
    /// `pass_thread_control`
    PassThreadControl {
        /// The new owner; our own app, to claim an idle thread without a default application.
        to: AppId,
    },
    /// `take_thread_control`
    TakeThreadControl,
    /// `request_thread_control`
    RequestThreadControl,
    /// `release_thread_control`
    ReleaseThreadControl,
    /// `GET thread_owner`
    ThreadOwner,
    /// Engage Digital's `POST /1.0/bots/handover`
    AskDesk(Direction),
}

/// The owner of a thread as [`thread_owner`](crate::protocol#thread-owner) shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreadOwner {
    /// The platform shows the owner.
    App {
        /// The owning app.
        app: AppId,
        /// The end of its control.
        expires: Option<Timestamp>,
    },
    /// An app owns the thread, but the platform hides which one.
    Hidden {
        /// The end of its control.
        expires: Option<Timestamp>,
    },
    /// No app owns the thread.
    Idle,
}

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallOutcome {
    /// The platform did it. From Engage Digital's endpoint: it accepted, and control may follow.
    Done,
    /// A request was forwarded, which [is not control](crate::protocol#request).
    Forwarded,
    /// The message was sent, with the platform's id if it returned one.
    Sent(Option<MessageId>),
    /// The owner that `thread_owner` returned.
    Owner(ThreadOwner),
    /// The platform refused and certainly did nothing.
    Refused(Failure),
    /// The platform may have acted, or not.
    Unknown(Failure),
    /// The call was not made, because too many calls fail at this moment. Ask for it again after this wait.
    HeldBack(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_metadata_and_foreign_metadata_is_no_key() {
        let key = MessageKey::new("ticket-7/3").unwrap();
        let (us, other) = (AppId::from(9), AppId::from(99));
        let metadata = key.to_metadata(&us);
        assert_eq!(MessageKey::from_metadata(&metadata, &us), Some(key.clone()));
        assert_eq!(MessageKey::from_metadata(&metadata, &other), None);
        assert_eq!(MessageKey::from_metadata(&key.to_metadata(&other), &us), None);
        for foreign in ["{\"source\":\"axon\"}", "mho:", "mho:9", "mho:9:", ""] {
            assert_eq!(MessageKey::from_metadata(foreign, &us), None, "{foreign}");
        }
        assert!(MessageKey::new("").is_err() && MessageKey::new("x".repeat(MAX_KEY_BYTES + 1)).is_err());
    }
}
