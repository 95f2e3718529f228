//! The HTTP endpoint of Engage Digital's webhooks.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Response, StatusCode};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::event::{Event, EventKind, Notification, SECRET_HEADER, SecretError, Verifier};
use super::resource::Intervention;
use crate::handover::{BoxError, Handover};
use crate::id::ThreadKey;
use crate::plain::{self, PlainResponse};
use crate::secret::VerifyToken;
use crate::throttle::Refusals;
use crate::webhook::endpoint::{answer_other, refuse, response, says_longer_than, text_of};

/// The default timeout of a request. ED disconnects an endpoint that responds too slowly, but does not document the limit
/// (docs/protocol.md#ed-events).
const PATIENCE: Duration = Duration::from_secs(10);

/// The number of a request's events that are handled concurrently.
const AT_ONCE: usize = 8;
/// The number of handled events whose ids are kept, so that a redelivered request skips them.
const REMEMBERED: usize = 4096;

/// The ids of handled events. They only save work: an event that is no longer here is handled again, without harm.
#[derive(Debug, Default)]
struct Recent(Mutex<VecDeque<String>>);

impl Recent {
    fn ids(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, event: &Event) -> bool {
        event.id.as_ref().is_some_and(|id| self.ids().contains(id))
    }

    fn note(&self, event: &Event) {
        let Some(id) = &event.id else { return };
        let mut ids = self.ids();
        ids.push_back(id.clone());
        if ids.len() > REMEMBERED {
            ids.pop_front();
        }
    }
}

/// The host's knowledge of Engage Digital's interventions. [`Directory`](super::Directory) implements it over ED's API.
#[async_trait]
pub trait InterventionHandler: Send + Sync + 'static {
    /// Returns the conversation of an intervention, or `None` to ignore the event, because it is about another source or an
    /// unknown person.
    ///
    /// # Errors
    /// Return any error to have the event redelivered: the endpoint responds with 503.
    async fn conversation(&self, about: &Intervention) -> Result<Option<ThreadKey>, BoxError>;

    /// Whether the customer still has another open intervention than the one that was just closed. If so, control is kept.
    /// The host must find this out, because [`Thread`](crate::thread::Thread) does not count interventions.
    ///
    /// # Errors
    /// As [`Self::conversation`].
    async fn still_engaged(&self, closed: &Intervention) -> Result<bool, BoxError>;

    /// Called for every event after the service has handled it, with the conversation if the event is about an
    /// intervention of one. Events may be duplicates (compare [`Event::id`]) and out of order (compare [`Event::at`]).
    ///
    /// # Errors
    /// As [`Self::conversation`].
    async fn notify(&self, thread: Option<&ThreadKey>, event: &Event) -> Result<(), BoxError>;
}

/// Serves the webhook of Engage Digital for a [`Handover`], in any HTTP framework. Pass it the parts of each request and
/// send back the response. Call [`check_head`](Self::check_head) before you read a body. Each has a form in
/// [plain types](crate::plain).
///
/// A desk claims control when an intervention is opened or reopened, and releases it when the intervention is closed or
/// canceled. A bot reads the thread's owner when an intervention is closed or canceled, because
/// [Meta sends no webhook](crate::protocol#engage-digital) for the release.
///
/// Register the webhook for `intervention.opened`, `.reopened`, `.closed`, `.canceled`, and `content.exported`.
///
/// | request | response |
/// |---|---|
/// | events whose changes are saved | 200 |
/// | handshake with the right token | 200 and the challenge |
/// | handshake with a wrong token | 403 |
/// | wrong or missing `X-Dimelo-Secret` | 401 |
/// | body over the verifier's limit | 413 |
/// | body that is not a notification | 400 |
/// | events that cannot be handled now | 503: ED redelivers them, for some hours |
/// | another method | 405 |
///
/// A refused request is logged at `warn` with its reason: one line a minute for each reason, with the number of suppressed
/// lines. The secret and the body are never logged.
#[derive(Clone)]
pub struct Endpoint {
    verifier: Verifier,
    verify_token: VerifyToken,
    handover: Handover,
    host: Arc<dyn InterventionHandler>,
    patience: Duration,
    recent: Arc<Recent>,
    refusals: Arc<Refusals>,
}

impl Endpoint {
    /// Creates an endpoint with this secret and verify token, as configured with the webhook in ED.
    #[must_use]
    pub fn new(
        verifier: Verifier,
        verify_token: VerifyToken,
        handover: Handover,
        host: impl InterventionHandler,
    ) -> Self {
        let (host, recent) = (Arc::new(host), Arc::default());
        let refusals = Arc::new(Refusals::of("engage"));
        Self { verifier, verify_token, handover, host, patience: PATIENCE, recent, refusals }
    }

    /// Checks a request's head before the body is read. Refuses a wrong or missing `X-Dimelo-Secret` with 401 and a
    /// `Content-Length` over the limit with 413.
    ///
    /// # Errors
    /// The response to send back. Do not read the body then.
    #[expect(clippy::result_large_err, reason = "it is the response to send back")]
    pub fn check_head(&self, method: &Method, headers: &HeaderMap) -> Result<(), Response<String>> {
        let length = text_of(headers, CONTENT_LENGTH.as_str());
        let checked = self.check(method.as_str(), text_of(headers, SECRET_HEADER), length);
        checked.map_err(|error| self.refuse(&error))
    }

    /// [`check_head`](Self::check_head) in plain types. Pass all headers, with names in any case.
    ///
    /// ```
    /// # use messenger_handover::engage::Endpoint;
    /// # fn check(endpoint: &Endpoint) {
    /// let refused = endpoint.check_head_plain("POST", &[("X-Dimelo-Secret", b"a guess")]).unwrap_err();
    /// assert_eq!((refused.status, refused.content_type.as_str()), (401, "text/plain; charset=utf-8"));
    /// # }
    /// ```
    ///
    /// # Errors
    /// The response to send back. Do not read the body then.
    pub fn check_head_plain(&self, method: &str, headers: &[(&str, &[u8])]) -> Result<(), PlainResponse> {
        let length = plain::values(headers, CONTENT_LENGTH.as_str()).next();
        let checked = self.check(method, plain::values(headers, SECRET_HEADER).next(), length);
        checked.map_err(|error| PlainResponse::of(self.refuse(&error)))
    }

    /// Sets the timeout for the events of one request, by default 10 s. After it the endpoint responds with 503 and ED
    /// redelivers the events.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Serves one request and returns the response to send back.
    ///
    /// Dropping the returned future loses nothing, because ED redelivers a request without a response, and the service
    /// recognises duplicate events by their stamps.
    pub async fn handle(
        &self,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<String> {
        self.serve(method.as_str(), query, text_of(headers, SECRET_HEADER), body).await
    }

    /// [`handle`](Self::handle) in plain types. Pass all headers, with names in any case. If the returned future is dropped, the
    /// effect is the same as there.
    ///
    /// ```
    /// # use messenger_handover::engage::Endpoint;
    /// # async fn events(endpoint: Endpoint) {
    /// let headers: [(&str, &[u8]); 1] = [("X-Dimelo-Secret", b"the secret")];
    /// let response = endpoint.handle_plain("POST", None, &headers, br#"{"events":[]}"#).await;
    /// assert_eq!((response.status, response.body.as_str()), (200, ""));
    /// # }
    /// ```
    pub async fn handle_plain(
        &self,
        method: &str,
        query: Option<&str>,
        headers: &[(&str, &[u8])],
        body: &[u8],
    ) -> PlainResponse {
        let secret = plain::values(headers, SECRET_HEADER).next();
        PlainResponse::of(self.serve(method, query, secret, body).await)
    }

    fn check(&self, method: &str, secret: Option<&str>, length: Option<&str>) -> Result<(), SecretError> {
        if method != Method::POST.as_str() {
            return Ok(());
        }
        self.verifier.verify(secret, &[])?;
        let limit = self.verifier.longest();
        if says_longer_than(length, limit) { Err(SecretError::TooLarge { limit }) } else { Ok(()) }
    }

    async fn serve(
        &self,
        method: &str,
        query: Option<&str>,
        secret: Option<&str>,
        body: &[u8],
    ) -> Response<String> {
        if method == Method::POST.as_str() {
            self.deliver(secret, body).await
        } else {
            // A handshake carries the secret too, but its token proves it.
            answer_other(&self.verify_token, method, query, &self.refusals)
        }
    }

    fn refuse(&self, error: &SecretError) -> Response<String> {
        let is_too_large = matches!(error, SecretError::TooLarge { .. });
        refuse(&self.refusals, error.reason(), error, is_too_large)
    }

    async fn deliver(&self, secret: Option<&str>, body: &[u8]) -> Response<String> {
        if let Err(error) = self.verifier.verify(secret, body) {
            return self.refuse(&error);
        }
        let notification = match Notification::parse(body) {
            Ok(notification) => notification,
            Err(error) => {
                self.refusals.note("not_a_notification", &error, Instant::now().into_std());
                return response(StatusCode::BAD_REQUEST, error.to_string());
            }
        };
        let again = || response(StatusCode::SERVICE_UNAVAILABLE, "not now; send again".to_owned());
        match timeout(self.patience, self.receive(notification.events)).await {
            Ok(Ok(())) => response(StatusCode::OK, String::new()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "an event of Engage Digital could not be dealt with; it comes again");
                again()
            }
            Err(_) => {
                tracing::warn!("events of Engage Digital took too long; they come again");
                again()
            }
        }
    }

    /// Handles the events, some concurrently, because their stamps and not their order decide. A failed event does not hold
    /// up the others, and on redelivery only the failed ones are handled again.
    async fn receive(&self, events: Vec<Event>) -> Result<(), BoxError> {
        let mut waiting = events.into_iter().filter(|event| !self.recent.has(event));
        let (mut working, mut first) = (JoinSet::new(), None);
        loop {
            while working.len() < AT_ONCE
                && let Some(event) = waiting.next()
            {
                let server = self.clone();
                working.spawn(async move { server.deal_with(event).await });
            }
            match working.join_next().await {
                None => break,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => first = first.or(Some(error)),
                Some(Err(error)) => first = first.or(Some(error.into())),
            }
        }
        first.map_or(Ok(()), Err)
    }

    async fn deal_with(&self, event: Event) -> Result<(), BoxError> {
        let thread = match event.intervention() {
            Some(about) => self.host.conversation(about).await?,
            None => None,
        };
        if let Some(thread) = &thread {
            self.intervene(thread, &event).await?;
        }
        self.host.notify(thread.as_ref(), &event).await?;
        self.recent.note(&event);
        Ok(())
    }

    async fn intervene(&self, thread: &ThreadKey, event: &Event) -> Result<(), BoxError> {
        match &event.kind {
            EventKind::InterventionOpened(_) | EventKind::InterventionReopened(_) => {
                self.handover.intervention_opened(thread, event.at).await?;
            }
            EventKind::InterventionClosed(about) | EventKind::InterventionCanceled(about) => {
                if self.host.still_engaged(about).await? {
                    tracing::debug!(thread = %self.handover.named_in_log(thread), "closed, but another intervention is open");
                    return Ok(());
                }
                self.handover.intervention_closed(thread, event.at).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("handover", &self.handover).finish_non_exhaustive()
    }
}
