//! The endpoint of Engage Digital's webhooks.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, Method, Response, StatusCode};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::event::{Event, EventKind, Notification, SECRET_HEADER, SecretError, Verifier};
use super::resource::Intervention;
use crate::handover::{BoxError, Handover};
use crate::id::ThreadKey;
use crate::secret::VerifyToken;
use crate::throttle::Refusals;
use crate::webhook::endpoint::{answer_other, response, says_longer_than, text_of};

/// ED switches off an endpoint that is slow (facts §8.4); how slow is not documented.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many events of a request are dealt with at a time.
const AT_ONCE: usize = 8;
/// So many finished events are remembered, for when the request that they came in is sent again.
const REMEMBERED: usize = 4096;

/// The ids of events that this process is done with. Only to spare work: whoever forgets does it again.
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

/// What a host knows of Engage Digital's interventions. [`Directory`](super::Directory) asks ED's API.
#[async_trait]
pub trait InterventionHandler: Send + Sync + 'static {
    /// The conversation of an intervention. None passes it over: it is about another source, or nobody
    /// that is known.
    ///
    /// # Errors
    /// Any error means: not now, tell me again. Answers 503, and ED sends the events again.
    async fn conversation(&self, about: &Intervention) -> Result<Option<ThreadKey>, BoxError>;

    /// Whether the customer is engaged by another intervention than the one that was just closed: then
    /// control is kept. [`Thread`](crate::thread::Thread) counts none.
    ///
    /// # Errors
    /// As [`Self::conversation`].
    async fn still_engaged(&self, closed: &Intervention) -> Result<bool, BoxError>;

    /// Every event, after the service has dealt with it, with its conversation if it is about an
    /// intervention of one. It may come more than once ([`Event::id`]) and in any order ([`Event::at`]).
    ///
    /// # Errors
    /// As [`Self::conversation`].
    async fn told(&self, thread: Option<&ThreadKey>, event: &Event) -> Result<(), BoxError>;
}

/// Serves the webhook of Engage Digital for a [`Handover`], in any HTTP framework. A desk claims control when
/// an intervention is opened or reopened and releases it when it is closed or canceled; a bot looks who has
/// control when one is closed, because Meta tells nobody (facts §8.1b).
///
/// Register it for `intervention.opened`, `.reopened`, `.closed`, `.canceled`, and `content.exported`.
///
/// | what comes | answer |
/// |---|---|
/// | events whose changes are saved | 200 |
/// | the handshake with the right token | 200 and the challenge |
/// | the handshake with a wrong token | 403 |
/// | a wrong or no `X-Dimelo-Secret` | 401 |
/// | a body over the verifier's limit | 413 |
/// | a body that is no notification | 400 |
/// | events that cannot be dealt with now | 503: ED sends them again, for some hours |
/// | another method | 405 |
///
/// A refused request is logged at `warn` with its reason, one line a minute for each reason with the number of those
/// before it that had no line. The secret and the body are never logged.
///
/// The body should not be read for just anybody: ask [`check_head`](Self::check_head) first.
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
    /// An endpoint with this secret and this verify token, as entered with the webhook in ED.
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

    /// Refuses a request by its head, before its body is read: 401 for a wrong or no `X-Dimelo-Secret`, 413 for a
    /// body that says that it is too long.
    ///
    /// # Errors
    /// The response to send back. Do not read the body then.
    #[expect(clippy::result_large_err, reason = "it is the response to send back")]
    pub fn check_head(&self, method: &Method, headers: &HeaderMap) -> Result<(), Response<String>> {
        if method != Method::POST {
            return Ok(());
        }
        let limit = self.verifier.longest();
        let checked = self.verifier.verify(text_of(headers, SECRET_HEADER), &[]);
        match checked {
            Ok(()) if says_longer_than(headers, limit) => Err(self.refuse(SecretError::TooLarge { limit })),
            Ok(()) => Ok(()),
            Err(error) => Err(self.refuse(error)),
        }
    }

    /// How long the events of one request may take before ED is told to send them again. 10 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Serves one request.
    ///
    /// Dropping the returned future loses nothing: ED sends again what was not answered, and events are
    /// recognised by their stamps when they come twice.
    pub async fn handle(
        &self,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<String> {
        match *method {
            Method::POST => self.deliver(headers, body).await,
            // The secret comes with a handshake too, but the token is what proves it.
            _ => answer_other(&self.verify_token, method, query, &self.refusals),
        }
    }

    fn refuse(&self, error: SecretError) -> Response<String> {
        self.refusals.note(error.reason(), &error, Instant::now().into_std());
        let status = match error {
            SecretError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::UNAUTHORIZED,
        };
        response(status, error.to_string())
    }

    async fn deliver(&self, headers: &HeaderMap, body: &[u8]) -> Response<String> {
        if let Err(error) = self.verifier.verify(text_of(headers, SECRET_HEADER), body) {
            return self.refuse(error);
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

    /// Deals with each event, some at a time: their stamps, not their order, say what holds. One that
    /// cannot be dealt with holds up no other, and when they are sent again only those are done that were
    /// not.
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
        self.host.told(thread.as_ref(), &event).await?;
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
                    tracing::debug!(%thread, "closed, but another intervention is open");
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
