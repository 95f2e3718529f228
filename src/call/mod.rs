//! What we ask of the platform, and how it can end.

mod failure;
mod handover_request;
mod message;

pub use failure::{Advice, Failure, FailureKind, TokenProblem};
pub use handover_request::{ChannelType, HandoverRequest};
pub use message::{
    InlineControl, InvalidMessage, MAX_QUICK_REPLIES, Media, MediaKind, MessagingType, OutgoingMessage,
    QuickReply, SenderAction,
};

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{AppId, MessageId};
use crate::time::Timestamp;

/// The longest idempotency key, in bytes: room for an id of the platform's and a few words. It travels in
/// the message's `metadata`.
pub const MAX_KEY_BYTES: usize = 300;

const METADATA_PREFIX: &str = "mho:";

/// The host's own id of one answer: the same key sent twice is one message.
///
/// It is put into the message's `metadata`, which the platform repeats in the echo (facts §4.8), so
/// it should not contain personal data.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageKey(String);

impl MessageKey {
    /// Checks a key.
    ///
    /// # Errors
    /// [`InvalidMessage::Key`] if it is empty, longer than [`MAX_KEY_BYTES`] or has control characters.
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

    /// The `metadata` of a message that `app` sends: other apps on the Page see its echo too, and may
    /// use the same keys.
    #[must_use]
    pub fn to_metadata(&self, app: &AppId) -> String {
        format!("{METADATA_PREFIX}{app}:{}", self.0)
    }

    /// The key in the `metadata` of an echo, if `app` put it there.
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

/// Which way ED's endpoint is asked to move control (seed, "Using the endpoint").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// `from=bot&to=agent`
    BotToAgent,
    /// `from=agent&to=bot`
    AgentToBot,
}

/// The number of one call of one thread; never used twice within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u64);

/// One call that a thread wants to have made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Call {
    /// Send a message; the key goes into its `metadata`.
    SendMessage {
        /// The answer's key.
        key: MessageKey,
        /// Its content.
        message: OutgoingMessage,
    },
    /// `pass_thread_control`
    PassThreadControl {
        /// The target app; ourselves to claim an idle thread under zero-config.
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
    /// ED's `POST /1.0/bots/handover`
    AskDesk(Direction),
}

/// What `thread_owner` tells (facts §2.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreadOwner {
    /// The owner is visible to us.
    App {
        /// The owning app.
        app: AppId,
        /// When its control lapses.
        expires: Option<Timestamp>,
    },
    /// Somebody owns the thread, but we may not see who.
    Hidden {
        /// When their control lapses.
        expires: Option<Timestamp>,
    },
    /// Nobody owns the thread.
    Idle,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallOutcome {
    /// The platform did it. For ED's endpoint: it accepted, which is not yet control.
    Done,
    /// A request was forwarded. That is not control (facts §3.4).
    Forwarded,
    /// The message was sent.
    Sent(Option<MessageId>),
    /// The answer of `thread_owner`.
    Owner(ThreadOwner),
    /// The platform refused, and certainly did nothing.
    Refused(Failure),
    /// It is not known whether the platform acted.
    Unknown(Failure),
    /// It was not made: too many calls fail at this moment. To be asked for again after so long.
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
