//! What we ask of the platform, and how it can end.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
pub struct AnswerKey(String);

impl AnswerKey {
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

impl TryFrom<String> for AnswerKey {
    type Error = InvalidMessage;

    fn try_from(key: String) -> Result<Self, InvalidMessage> {
        Self::new(key)
    }
}

impl From<AnswerKey> for String {
    fn from(key: AnswerKey) -> Self {
        key.0
    }
}

impl fmt::Display for AnswerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a message cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// The idempotency key is empty, too long or has control characters.
    #[error("an idempotency key has 1 to {MAX_KEY_BYTES} bytes and no control characters")]
    Key,
    /// The text is empty.
    #[error("a text message needs a text")]
    EmptyText,
    /// A raw body that is not a JSON object.
    #[error("a raw message is a JSON object, as in the Send API's `message` field")]
    NotAnObject,
    /// A raw body with its own `metadata`: the crate needs that field to recognise the echo.
    #[error("`metadata` carries the idempotency key and cannot be set")]
    MetadataReserved,
}

/// The Send API's `messaging_type` (facts §2.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum MessagingType {
    /// An answer inside the standard messaging window of 24 hours.
    #[default]
    Response,
    /// Not an answer, but inside the window.
    Update,
    /// A person's answer up to 7 days later: `MESSAGE_TAG` with `HUMAN_AGENT`, which needs App Review.
    HumanAgent,
}

/// The content of a message: the Send API's `message` object, without `metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OutgoingMessage {
    body: Map<String, Value>,
    messaging_type: MessagingType,
}

impl OutgoingMessage {
    /// A text message.
    ///
    /// # Errors
    /// [`InvalidMessage::EmptyText`] if the text is empty.
    pub fn text(text: impl Into<String>) -> Result<Self, InvalidMessage> {
        let text = text.into();
        if text.is_empty() {
            return Err(InvalidMessage::EmptyText);
        }
        let body = Map::from_iter([("text".to_owned(), Value::String(text))]);
        Ok(Self { body, messaging_type: MessagingType::default() })
    }

    /// Any `message` object that the Send API takes: attachments, templates, quick replies.
    ///
    /// # Errors
    /// [`InvalidMessage::NotAnObject`] or [`InvalidMessage::MetadataReserved`].
    pub fn raw(body: Value) -> Result<Self, InvalidMessage> {
        match body {
            Value::Object(body) if body.contains_key("metadata") => Err(InvalidMessage::MetadataReserved),
            Value::Object(body) => Ok(Self { body, messaging_type: MessagingType::default() }),
            _ => Err(InvalidMessage::NotAnObject),
        }
    }

    /// Sets the `messaging_type`.
    #[must_use]
    pub fn messaging_type(mut self, messaging_type: MessagingType) -> Self {
        self.messaging_type = messaging_type;
        self
    }

    /// Which `messaging_type` it is sent with.
    #[must_use]
    pub fn is(&self) -> MessagingType {
        self.messaging_type
    }

    /// The `message` object.
    #[must_use]
    pub fn body(&self) -> &Map<String, Value> {
        &self.body
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
        key: AnswerKey,
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
pub enum CallResult {
    /// The platform did it. For ED's endpoint: it accepted, which is not yet control.
    Done,
    /// A request was forwarded. That is not control (facts §3.4).
    Forwarded,
    /// The message was sent.
    Sent(Option<MessageId>),
    /// The answer of `thread_owner`.
    Owner(ThreadOwner),
    /// The platform refused, and certainly did nothing.
    Refused(Refusal),
    /// It is not known whether the platform acted.
    Unknown(Refusal),
}

/// Why a call did not succeed, in a form that can be stored. It never carries a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refusal {
    /// What kind of refusal it is.
    pub kind: RefusalKind,
    /// Graph's `code`. May be negative (facts §5.1).
    pub code: Option<i64>,
    /// Graph's `error_subcode`.
    pub subcode: Option<i64>,
    /// The platform's words. They are localised: for people, never to be matched on.
    pub message: String,
    /// How long the platform asks us to wait.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal of a kind, in words.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, code: None, subcode: None, message: message.into(), retry_after: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        match (self.code, self.subcode) {
            (Some(code), Some(subcode)) => write!(f, " [{code}/{subcode}]")?,
            (Some(code), None) => write!(f, " [{code}]")?,
            _ => {}
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

/// The kinds of refusal, by what the caller can do about them (facts §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalKind {
    /// Another app controls the thread (10/2018300, 100/2534037).
    NotThreadOwner,
    /// The platform's own flow holds the thread and will end by itself (2018321).
    PlatformFlow,
    /// The call does not exist in this Page's configuration (27, 2018171).
    NotAvailable,
    /// The messaging window is closed until the customer writes again (10/2018278, 10/2534022).
    OutsideWindow,
    /// This person cannot be reached (551, 100/2018001, 10/2018108).
    RecipientUnavailable,
    /// The access token is no longer good (190, 102).
    Token,
    /// The app lacks a permission (10, 200–299, 3).
    Permission,
    /// The request itself is wrong (100 and others).
    Invalid,
    /// Too many calls (4, 17, 32, 341, 613, 80001, …, HTTP 429).
    RateLimited,
    /// The Page or app is restricted for a while (10/1893063, 368).
    Restricted,
    /// A passing fault on the other side (-1, 1, 2, 1200, HTTP 5xx).
    Transient,
    /// The other side could not be reached.
    Transport,
    /// The answer could not be understood.
    Protocol,
    /// The desk refuses: people are busy with this customer, or another app is (ED, HTTP 409).
    Conflict,
}

/// What to do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// Nothing is wrong with the call: make it again later.
    RetryLater,
    /// Get control of the thread first.
    AskForControl,
    /// Replace the access token.
    FixToken,
    /// Only an admin of the Page (or of the app) can change what stands in the way.
    AskPageAdmin,
    /// This call will not succeed as it is.
    GiveUp,
}

impl RefusalKind {
    /// What the caller should do.
    #[must_use]
    pub fn advice(self) -> Advice {
        match self {
            Self::PlatformFlow | Self::RateLimited | Self::Restricted | Self::Transient | Self::Transport => {
                Advice::RetryLater
            }
            Self::NotThreadOwner => Advice::AskForControl,
            Self::Token => Advice::FixToken,
            Self::NotAvailable | Self::Permission => Advice::AskPageAdmin,
            Self::OutsideWindow
            | Self::RecipientUnavailable
            | Self::Invalid
            | Self::Protocol
            | Self::Conflict => Advice::GiveUp,
        }
    }

    /// Whether a refused `request` or `take` means that this Page's configuration does not have the
    /// call. Meta documents no code for it, so it is recognised by exclusion: not about rate, a
    /// passing fault, the token, the window, the recipient or ownership (design §3.2).
    #[must_use]
    pub fn means_not_available(self) -> bool {
        matches!(self, Self::NotAvailable | Self::Permission | Self::Invalid)
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotThreadOwner => "another app controls the thread",
            Self::PlatformFlow => "the platform's own flow holds the thread",
            Self::NotAvailable => "not available in this Page's configuration",
            Self::OutsideWindow => "outside the messaging window",
            Self::RecipientUnavailable => "the person cannot be reached",
            Self::Token => "the access token is not valid",
            Self::Permission => "permission missing",
            Self::Invalid => "invalid request",
            Self::RateLimited => "rate limited",
            Self::Restricted => "temporarily restricted",
            Self::Transient => "passing fault",
            Self::Transport => "not reached",
            Self::Protocol => "answer not understood",
            Self::Conflict => "the desk refuses",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_survive_the_metadata_and_foreign_metadata_is_no_key() {
        let key = AnswerKey::new("ticket-7/3").unwrap();
        let (us, other) = (AppId::from(9), AppId::from(99));
        let metadata = key.to_metadata(&us);
        assert_eq!(AnswerKey::from_metadata(&metadata, &us), Some(key.clone()));
        assert_eq!(AnswerKey::from_metadata(&metadata, &other), None);
        assert_eq!(AnswerKey::from_metadata(&key.to_metadata(&other), &us), None);
        for foreign in ["{\"source\":\"axon\"}", "mho:", "mho:9", "mho:9:", ""] {
            assert_eq!(AnswerKey::from_metadata(foreign, &us), None, "{foreign}");
        }
        assert!(AnswerKey::new("").is_err() && AnswerKey::new("x".repeat(MAX_KEY_BYTES + 1)).is_err());
    }

    #[test]
    fn messages_that_cannot_be_sent_are_refused_early() {
        assert_eq!(OutgoingMessage::text("").unwrap_err(), InvalidMessage::EmptyText);
        assert_eq!(OutgoingMessage::raw(json!("hi")).unwrap_err(), InvalidMessage::NotAnObject);
        let reserved = OutgoingMessage::raw(json!({"text": "hi", "metadata": "mine"}));
        assert_eq!(reserved.unwrap_err(), InvalidMessage::MetadataReserved);
    }

    #[test]
    fn not_available_is_recognised_by_exclusion() {
        use RefusalKind::*;
        for kind in [NotAvailable, Permission, Invalid] {
            assert!(kind.means_not_available(), "{kind}");
        }
        for kind in [
            NotThreadOwner,
            PlatformFlow,
            OutsideWindow,
            RecipientUnavailable,
            Token,
            RateLimited,
            Restricted,
            Transient,
            Transport,
            Protocol,
            Conflict,
        ] {
            assert!(!kind.means_not_available(), "{kind}");
        }
    }
}
