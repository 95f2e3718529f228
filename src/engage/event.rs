//! Engage Digital's webhooks: is it ED, and what does it say (facts §8.4)?

use std::fmt;

use serde_json::Value;

use super::json::{moment, text};
use super::resource::{Content, Intervention};
use crate::secret::{EdWebhookSecret, same};
use crate::shown::Json;
use crate::time::Timestamp;
use crate::webhook::{DEFAULT_MAX_BODY, read_tolerantly};

/// The header with the webhook's secret, as it was entered in ED. It is no signature: whoever sees a
/// request can send others, so the endpoint must be reached over TLS only.
pub const SECRET_HEADER: &str = "X-Dimelo-Secret";

/// One POST of Engage Digital.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notification {
    /// Identifies the request, also when it is repeated.
    pub id: Option<String>,
    /// The domain.
    pub domain: Option<String>,
    /// What happened, in no particular order: see [`Event::at`].
    pub events: Vec<Event>,
}

/// One thing that happened in Engage Digital.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Identifies the event: the same if it is sent again.
    pub id: Option<String>,
    /// When it happened; none if the stamp is missing or cannot be read.
    pub at: Option<Timestamp>,
    /// The agent who did it, if one did.
    pub user: Option<String>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// `intervention.opened`: an agent engages with the customer.
    InterventionOpened(Intervention),
    /// `intervention.reopened`: by a new message, an agent or the API.
    InterventionReopened(Intervention),
    /// `intervention.closed`: ED releases control.
    InterventionClosed(Intervention),
    /// `intervention.canceled`: it ends without an answer.
    InterventionCanceled(Intervention),
    /// `content.exported`: a message was brought to its source, **or could not be**: see
    /// [`Content::synchronization`].
    ContentExported(Content),
    /// `content.imported`: a message came from its source. Not only customers' messages do.
    ContentImported(Content),
    /// Anything else, and what cannot be read. It can hold what customers wrote.
    Unknown {
        /// The `type`; empty if there is none.
        name: String,
        /// The event as it came.
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
            // It can hold what customers wrote.
            Self::Unknown { name, raw } => {
                return f.debug_struct("Unknown").field("name", name).field("raw", &Json(raw)).finish();
            }
        };
        f.debug_tuple(name).field(about).finish()
    }
}

/// Why a body is no notification. It shows none of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Not JSON.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON, but no object with an array `events`.
    #[error("the body has no array `events`")]
    NoEvents,
}

impl Notification {
    /// Reads a body. Whatever is not understood in it is kept as [`EventKind::Unknown`].
    ///
    /// # Errors
    /// [`ParseError`] if the body is no notification at all.
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        // As tolerant of what customers write as Meta's edge: one broken text must not hide a close.
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

    /// The intervention that it is about.
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

/// Tells whether a request is Engage Digital's.
#[derive(Debug, Clone)]
pub struct Verifier {
    secret: Option<EdWebhookSecret>,
    previous: Option<EdWebhookSecret>,
    max_body: usize,
}

impl Verifier {
    /// A verifier for the secret that is entered with the webhook in ED.
    #[must_use]
    pub fn new(secret: EdWebhookSecret) -> Self {
        Self { secret: Some(secret), previous: None, max_body: DEFAULT_MAX_BODY }
    }

    /// For a webhook without a secret: ED sends no header then. Anybody who knows the address can open
    /// and close interventions.
    #[must_use]
    pub fn dangerous_without_secret() -> Self {
        Self { secret: None, previous: None, max_body: DEFAULT_MAX_BODY }
    }

    /// Also accepts the secret before this one, while it is being replaced.
    #[must_use]
    pub fn with_previous(mut self, previous: EdWebhookSecret) -> Self {
        self.previous = Some(previous);
        self
    }

    /// The longest body that is accepted, in bytes.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Checks a request by its `X-Dimelo-Secret` header and the length of its body.
    ///
    /// # Errors
    /// [`SecretError`]; answer 401, or 413 for a body that is too long, and do nothing else.
    pub fn verify(&self, header: Option<&str>, body: &[u8]) -> Result<(), SecretError> {
        if body.len() > self.max_body {
            return Err(SecretError::TooLarge { limit: self.max_body });
        }
        let Some(secret) = &self.secret else { return Ok(()) };
        if secret.expose_secret().is_empty() {
            return Err(SecretError::NoSecret);
        }
        let given = header.ok_or(SecretError::Missing)?.trim();
        // An empty secret is none, and both are compared, so that the time tells nothing.
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

/// Why a request is not Engage Digital's, as far as we can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// There is no header: the webhook has no secret in ED, or somebody else calls.
    #[error("the header {SECRET_HEADER} is missing: enter the secret with the webhook in Engage Digital")]
    Missing,
    /// Another secret.
    #[error("the header {SECRET_HEADER} is not ours: compare it with the webhook in Engage Digital")]
    Mismatch,
    /// The body is too long.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// How many bytes are accepted.
        limit: usize,
    },
    /// Our own secret is empty: configure it.
    #[error("the webhook's secret is empty, so nobody can be verified: check the configuration")]
    NoSecret,
}

impl SecretError {
    /// The reason in fixed words, as the log names it.
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
