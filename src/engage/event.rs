//! Verifies and reads Engage Digital's webhooks (docs/protocol.md#ed-events).

use std::fmt;

use serde_json::Value;

use super::json::{moment, text};
use super::resource::{Content, Intervention};
use crate::secret::{EdWebhookSecret, same};
use crate::shown::Json;
use crate::time::Timestamp;
use crate::webhook::{DEFAULT_MAX_BODY, read_tolerantly};

/// The header with the webhook's secret, as it is configured in ED. Serve the endpoint over TLS only, because the secret is
/// not a signature: anybody who sees one request can send others.
pub const SECRET_HEADER: &str = "X-Dimelo-Secret";

/// The content of one webhook request of Engage Digital.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notification {
    /// The request's id. It stays the same on redelivery.
    pub id: Option<String>,
    /// The id of the domain.
    pub domain: Option<String>,
    /// The events, unordered: sort them by [`Event::at`].
    pub events: Vec<Event>,
}

/// One event of Engage Digital.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The event's id, which stays the same on redelivery: deduplicate by it.
    pub id: Option<String>,
    /// The moment of the event, or `None` if the stamp is missing or unreadable.
    pub at: Option<Timestamp>,
    /// The user id of the agent who caused the event, if an agent did.
    pub user: Option<String>,
    /// The type of the event, with its data.
    pub kind: EventKind,
}

/// The type of an event, with its data.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// `intervention.opened`: an agent engages with the customer.
    InterventionOpened(Intervention),
    /// `intervention.reopened`: a new message, an agent or the API reopened the intervention.
    InterventionReopened(Intervention),
    /// `intervention.closed`: an intervention is closed and ED releases control.
    InterventionClosed(Intervention),
    /// `intervention.canceled`: an intervention ends without an agent's message.
    InterventionCanceled(Intervention),
    /// `content.exported`: ED exported a message to its source, **or failed to**. Check [`Content::synchronization`].
    ContentExported(Content),
    /// `content.imported`: ED imported a message from its source. Not only customers' messages are imported.
    ContentImported(Content),
    /// An event of another type, or an unreadable one. It can hold customers' text: do not log it.
    Unknown {
        /// The `type`, or an empty string if it is missing.
        name: String,
        /// The unparsed event.
        raw: Value,
    },
}

impl fmt::Debug for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, about): (_, &dyn fmt::Debug) = match self {
            Self::InterventionOpened(about) => ("InterventionOpened", about),
            Self::InterventionReopened(about) => ("InterventionReopened", about),
            Self::InterventionClosed(about) => ("InterventionClosed", about),
            Self::InterventionCanceled(about) => ("InterventionCanceled", about),
            Self::ContentExported(content) => ("ContentExported", content),
            Self::ContentImported(content) => ("ContentImported", content),
            // The event can hold customers' text.
            Self::Unknown { name, raw } => {
                return f.debug_struct("Unknown").field("name", name).field("raw", &Json(raw)).finish();
            }
        };
        f.debug_tuple(name).field(about).finish()
    }
}

/// The reason why a body is not a notification. It shows none of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The body is not JSON: respond with 400.
    #[error("the body is not JSON")]
    NotJson,
    /// The body is JSON, but not an object with an array `events`: respond with 400.
    #[error("the body has no array `events`")]
    NoEvents,
}

impl Notification {
    /// Parses a body. Unknown and unreadable events become [`EventKind::Unknown`]. Verify the request first with
    /// [`Verifier::verify`].
    ///
    /// # Errors
    /// [`ParseError`] if the body is not a notification: respond with 400.
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        // Tolerates broken surrogate pairs, so that one broken text does not hide a close.
        let mut body = read_tolerantly(body).map_err(|_| ParseError::NotJson)?;
        let Some(Value::Array(events)) = body.get_mut("events").map(Value::take) else {
            return Err(ParseError::NoEvents);
        };
        let events = events.into_iter().map(Event::read).collect();
        Ok(Self { id: text(&body, "id"), domain: text(&body, "domain_id"), events })
    }
}

impl Event {
    fn read(raw: Value) -> Self {
        let (id, at, user) = (text(&raw, "id"), moment(&raw, "issued_at"), text(&raw, "user_id"));
        let name = text(&raw, "type").unwrap_or_default();
        let kind = known(&name, &raw).unwrap_or(EventKind::Unknown { name, raw });
        Self { id, at, user, kind }
    }

    /// The intervention that the event is about, if it is about one.
    #[must_use]
    pub fn intervention(&self) -> Option<&Intervention> {
        match &self.kind {
            EventKind::InterventionOpened(about)
            | EventKind::InterventionReopened(about)
            | EventKind::InterventionClosed(about)
            | EventKind::InterventionCanceled(about) => Some(about),
            _ => None,
        }
    }
}

fn known(name: &str, raw: &Value) -> Option<EventKind> {
    let resource = raw.get("resource")?;
    let body = resource.get("metadata")?;
    let id = || text(resource, "id").or_else(|| text(body, "id"));
    let intervention = || Some(Intervention::read(id()?, body));
    let content = || Some(Content::read(id()?, body));
    match name {
        "intervention.opened" => intervention().map(EventKind::InterventionOpened),
        "intervention.reopened" => intervention().map(EventKind::InterventionReopened),
        "intervention.closed" => intervention().map(EventKind::InterventionClosed),
        "intervention.canceled" => intervention().map(EventKind::InterventionCanceled),
        "content.exported" => content().map(EventKind::ContentExported),
        "content.imported" => content().map(EventKind::ContentImported),
        _ => None,
    }
}

/// Checks that a request comes from Engage Digital, by the webhook's secret.
#[derive(Debug, Clone)]
pub struct Verifier {
    secret: Option<EdWebhookSecret>,
    previous: Option<EdWebhookSecret>,
    max_body: usize,
}

impl Verifier {
    /// Creates a verifier for the secret that is configured with the webhook in ED.
    #[must_use]
    pub fn new(secret: EdWebhookSecret) -> Self {
        Self { secret: Some(secret), previous: None, max_body: DEFAULT_MAX_BODY }
    }

    /// Creates a verifier that accepts every request, for a webhook without a secret. Anybody who knows the URL can then
    /// send events that open and close interventions.
    #[must_use]
    pub fn dangerous_without_secret() -> Self {
        Self { secret: None, previous: None, max_body: DEFAULT_MAX_BODY }
    }

    /// Also accepts the previous secret. Use it while a secret is being replaced.
    #[must_use]
    pub fn with_previous(mut self, previous: EdWebhookSecret) -> Self {
        self.previous = Some(previous);
        self
    }

    /// Sets the longest accepted body, in bytes. Default: [`DEFAULT_MAX_BODY`].
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Checks a request's `X-Dimelo-Secret` header and the length of its body.
    ///
    /// # Errors
    /// [`SecretError`]. Respond with 413 to [`SecretError::TooLarge`], with 401 to the others, and ignore the request.
    pub fn verify(&self, header: Option<&str>, body: &[u8]) -> Result<(), SecretError> {
        if body.len() > self.max_body {
            return Err(SecretError::TooLarge { limit: self.max_body });
        }
        let Some(secret) = &self.secret else { return Ok(()) };
        if secret.expose_secret().is_empty() {
            return Err(SecretError::NoSecret);
        }
        let given = header.ok_or(SecretError::Missing)?.trim();
        // Both secrets are compared, so that the time taken reveals nothing. An empty one counts as missing.
        let secrets = [Some(secret), self.previous.as_ref()].into_iter().flatten();
        let secrets = secrets.filter(|secret| !secret.expose_secret().is_empty());
        let good =
            secrets.fold(subtle::Choice::from(0), |good, secret| good | same(given, secret.expose_secret()));
        if bool::from(good) { Ok(()) } else { Err(SecretError::Mismatch) }
    }

    #[cfg(feature = "service")]
    pub(crate) fn longest(&self) -> usize {
        self.max_body
    }
}

/// The reason why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The header is missing: configure the secret in ED, unless somebody else made the request.
    #[error("the header {SECRET_HEADER} is missing: enter the secret with the webhook in Engage Digital")]
    Missing,
    /// The header holds another secret: compare it with the webhook's settings in ED.
    #[error("the header {SECRET_HEADER} is not ours: compare it with the webhook in Engage Digital")]
    Mismatch,
    /// The body is over the limit: raise [`Verifier::max_body`] if ED sent it.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Our own secret is empty: configure it.
    #[error("the webhook's secret is empty, so nobody can be verified: check the configuration")]
    NoSecret,
}

impl SecretError {
    /// The reason's name in the log.
    #[cfg(feature = "service")]
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "secret_missing",
            Self::Mismatch => "secret_mismatch",
            Self::TooLarge { .. } => "too_large",
            Self::NoSecret => "no_secret",
        }
    }
}
