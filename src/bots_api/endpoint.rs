//! The HTTP endpoint of the Bots API, for a desk.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::json;
use tokio::time::Instant;

use crate::call::{ChannelType, Direction, FailureKind, HandoverRequest};
use crate::handover::{Handover, HandoverError, Transfer};
use crate::id::ThreadKey;
use crate::plain::{self, PlainResponse};
use crate::secret::{EdToken, same};
use crate::store::RecordError;
use crate::thread::{ClaimOrigin, ClaimProgress, CommandRefused, NotGranted, Target, TransferProgress};
use crate::throttle::Refusals;

/// Looks up identities in the desk's own data. The desk's host implements it.
#[async_trait]
pub trait IdentityLookup: Send + Sync + 'static {
    /// Returns the conversation of an identity, by its `foreign_id`. The endpoint repeats a lookup that returns `None` for
    /// one second, because the bot's call may arrive before the desk's own webhook, and then responds with 404. A call has
    /// [no parameter for the Page](crate::protocol#ed-bots-endpoint).
    async fn conversation(&self, request: &HandoverRequest) -> Option<ThreadKey>;

    /// Called after a call succeeded. The host may now recategorise ED's thread by the request's other parameters.
    async fn accepted(&self, _thread: &ThreadKey, _request: &HandoverRequest) {}

    /// Handles a call of the type `engage_virtual_agent`, which moves no thread control. The default refuses it with 422.
    ///
    /// # Errors
    /// The [`Rejection`] to send to the caller.
    async fn engage_virtual_agent(&self, _request: &HandoverRequest) -> Result<(), Rejection> {
        let words = "this desk has no virtual agent";
        Err(Rejection::new(StatusCode::UNPROCESSABLE_ENTITY, "virtual_agent_not_supported", words))
    }
}

/// Serves `POST /1.0/bots/handover` in any HTTP framework. Pass it the parts of each request and send back the response. There
/// is a form in [plain types](crate::plain).
///
/// | call | response |
/// |---|---|
/// | the platform accepted its first step | 200 |
/// | missing or wrong token | 401 |
/// | missing or invalid parameter | 400 |
/// | unknown identity | 404 |
/// | an open intervention or another app prevents the handover, or it fails | 409, 422 |
/// | the platform has not responded yet | 503 `temporarily_unavailable` |
/// | the desk's own fault: its store, overload, a shutdown | 503 `temporarily_unavailable` |
/// | the desk cannot read its stored conversation | 500 `internal_error` |
/// | another method | 405 |
///
/// A fault that the caller or this desk must fix is logged at `warn` with its reason: one line a minute for each reason,
/// with the number of suppressed lines. The token is never logged.
#[derive(Clone)]
pub struct Endpoint {
    token: EdToken,
    handover: Handover,
    desk: Arc<dyn IdentityLookup>,
    wait: Duration,
    refusals: Arc<Refusals>,
}

/// A refused call, as ED's [error envelope](crate::protocol#ed-errors): `{"error":…,"message":…,"status":…}`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The HTTP status.
    pub status: StatusCode,
    /// The error's identifier, for programs.
    pub error: &'static str,
    /// The error's text, for people. It must hold no secret.
    pub message: String,
}

impl Rejection {
    /// Creates a rejection.
    pub fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self { status, error, message: message.into() }
    }
}

impl Endpoint {
    /// Creates an endpoint that accepts calls with this token. With an empty token it refuses all calls.
    #[must_use]
    pub fn new(token: EdToken, handover: Handover, desk: impl IdentityLookup) -> Self {
        let refusals = Arc::new(Refusals::of("bots_api"));
        Self { token, handover, desk: Arc::new(desk), wait: Duration::from_secs(8), refusals }
    }

    /// Sets how long a call waits for the platform to accept the first step or a pass, by default 8 s. The handover
    /// continues after that time.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Serves one call and returns the response to send back. The body is ignored.
    ///
    /// If the returned future is dropped, the call may or may not have been carried out, as with a broken connection.
    pub async fn handle(
        &self,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Response<String> {
        let authorizations = headers.get_all(AUTHORIZATION).iter();
        let authorizations: Vec<_> =
            authorizations.map(|header| header.to_str().unwrap_or_default()).collect();
        self.respond(method.as_str(), query, &authorizations).await
    }

    /// [`handle`](Self::handle) in plain types. Pass all headers, with names in any case. If the returned future is dropped, the
    /// effect is the same as there.
    ///
    /// ```
    /// # use messenger_handover::bots_api::Endpoint;
    /// # async fn call(endpoint: Endpoint) {
    /// let query = "identity_foreign_id=7000000000000077&from=bot&to=agent&type=messenger";
    /// let headers: [(&str, &[u8]); 1] = [("Authorization", b"Bearer a guess")];
    /// let response = endpoint.handle_plain("POST", Some(query), &headers).await;
    /// assert_eq!(response.status, 401);
    /// assert_eq!(response.headers, [("www-authenticate".to_owned(), "Bearer".to_owned())]);
    /// # }
    /// ```
    pub async fn handle_plain(
        &self,
        method: &str,
        query: Option<&str>,
        headers: &[(&str, &[u8])],
    ) -> PlainResponse {
        let authorizations: Vec<_> = plain::values(headers, AUTHORIZATION.as_str()).collect();
        PlainResponse::of(self.respond(method, query, &authorizations).await)
    }

    async fn respond(&self, method: &str, query: Option<&str>, authorizations: &[&str]) -> Response<String> {
        match self.serve(method, query.unwrap_or_default(), authorizations).await {
            Ok(()) => response(StatusCode::OK, &json!({"status": 200, "message": "Success"})),
            Err(Rejection { status, error, message }) => {
                tracing::debug!(%status, error, why = message, "a call of the Bots API was refused");
                let body = json!({"error": error, "message": message, "status": status.as_u16()});
                let mut response = response(status, &body);
                let header = match status {
                    StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, "POST")),
                    StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
                    _ => None,
                };
                if let Some((name, value)) = header {
                    response.headers_mut().insert(name, HeaderValue::from_static(value));
                }
                response
            }
        }
    }

    async fn serve(&self, method: &str, query: &str, authorizations: &[&str]) -> Result<(), Rejection> {
        if method != Method::POST.as_str() {
            let words = "this endpoint is called with POST";
            self.note("method_not_allowed", &words);
            return Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", words));
        }
        self.authenticate(query, authorizations)?;
        let request =
            HandoverRequest::from_query(query).map_err(|invalid| self.invalid(invalid.to_string()))?;
        if request.channel == ChannelType::EngageVirtualAgent {
            return self.desk.engage_virtual_agent(&request).await;
        }
        let thread = self.conversation(&request).await?;
        match (request.direction, &request.app) {
            (Direction::BotToAgent, _) => self.bot_to_agent(&thread).await?,
            (Direction::AgentToBot, Some(app)) if *app == *self.handover.app() => {
                return Err(self.invalid("parameter app_id names the desk itself".to_owned()));
            }
            (Direction::AgentToBot, Some(app)) => {
                self.agent_to_bot(&thread, Target::App(app.clone())).await?;
            }
            (Direction::AgentToBot, None) => {
                return Err(self.invalid("parameter app_id is missing".to_owned()));
            }
        }
        self.desk.accepted(&thread, &request).await;
        Ok(())
    }

    /// Repeats the lookup of an unknown identity for one second, because a bot may call before the desk's own webhook for
    /// the customer's message arrives.
    async fn conversation(&self, request: &HandoverRequest) -> Result<ThreadKey, Rejection> {
        const LOOK_AGAIN: [u64; 4] = [50, 150, 300, 500];
        for pause in LOOK_AGAIN {
            if let Some(thread) = self.desk.conversation(request).await {
                return Ok(thread);
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        self.desk.conversation(request).await.ok_or_else(|| {
            let words = "no identity with this foreign_id is known";
            Rejection::new(StatusCode::NOT_FOUND, "identity_not_found", words)
        })
    }

    fn note(&self, reason: &'static str, why: &dyn fmt::Display) {
        self.refusals.note(reason, why, Instant::now().into_std());
    }

    fn invalid(&self, words: String) -> Rejection {
        self.note("invalid_parameter", &words);
        Rejection::new(StatusCode::BAD_REQUEST, "invalid_parameter", words)
    }

    /// Logs the error in full. The caller gets a text without the store's own message.
    fn own_fault(&self, error: HandoverError) -> Rejection {
        if let Some(reason) = fault(&error) {
            self.note(reason, &error);
        }
        Rejection::from(error)
    }

    /// Checks the token, in the query or as `Bearer`. If several are given, all must be right.
    fn authenticate(&self, query: &str, authorizations: &[&str]) -> Result<(), Rejection> {
        let unauthorized = |reason, words: &'static str| {
            self.note(reason, &words);
            Err(Rejection::new(StatusCode::UNAUTHORIZED, "unauthorized", words))
        };
        let mut tokens: Vec<String> = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| name == "access_token")
            .map(|(_, token)| token.into_owned())
            .collect();
        for header in authorizations {
            match header.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                    tokens.push(token.trim().to_owned());
                }
                _ => {
                    return unauthorized(
                        "not_a_bearer_token",
                        "the authorization header must be a Bearer token",
                    );
                }
            }
        }
        if tokens.is_empty() {
            return unauthorized("token_missing", "access_token is missing");
        }
        let expected = self.token.expose_secret();
        if expected.is_empty() {
            let why = "the desk's own token is empty, so every call is refused: check the configuration";
            self.note("no_token_configured", &why);
            let words = "access_token is not valid";
            return Err(Rejection::new(StatusCode::UNAUTHORIZED, "unauthorized", words));
        }
        // All tokens are compared, so that the time taken reveals nothing.
        let good = tokens.iter().fold(subtle::Choice::from(1), |good, token| good & same(token, expected));
        if bool::from(good) { Ok(()) } else { unauthorized("token_mismatch", "access_token is not valid") }
    }

    /// Returns as soon as the platform accepted the first step. To wait for the grant could deadlock, because the bot may
    /// wait for this response before it passes control.
    async fn bot_to_agent(&self, thread: &ThreadKey) -> Result<(), Rejection> {
        let claimed = self.handover.claim(thread, ClaimOrigin::BotAsked, self.wait).await;
        match claimed.map_err(|error| self.own_fault(error))? {
            ClaimProgress::Accepted | ClaimProgress::Granted => Ok(()),
            ClaimProgress::NotGranted(report) => Err(not_granted(&report)),
            ClaimProgress::Gone => {
                let words = "the desk gave the claim up";
                Err(Rejection::new(StatusCode::CONFLICT, "given_up", words))
            }
            ClaimProgress::Trying => Err(not_yet()),
        }
    }

    async fn agent_to_bot(&self, thread: &ThreadKey, target: Target) -> Result<(), Rejection> {
        let begun = self.handover.hand_over(thread, target).await;
        let id = match begun.map_err(|error| self.own_fault(error))? {
            // A message of an agent goes out first; the bot's pass event then reports the end.
            Transfer::AlreadyThere | Transfer::Started { waits: true, .. } => return Ok(()),
            Transfer::Started { id, waits: false } => id,
        };
        let progress = self.handover.transfer_progress(thread, id, self.wait).await;
        match progress.map_err(|error| self.own_fault(error))? {
            TransferProgress::Done => Ok(()),
            TransferProgress::Waiting => Err(not_yet()),
            TransferProgress::Gone => {
                Err(Rejection::new(StatusCode::CONFLICT, "given_up", "the desk gave the handover up"))
            }
            TransferProgress::Failed(failure) => Err(match failure.kind {
                FailureKind::Conflict | FailureKind::NotThreadOwner => {
                    Rejection::new(StatusCode::CONFLICT, "another_app_owns_the_thread", failure.to_string())
                }
                _ => Rejection::new(StatusCode::UNPROCESSABLE_ENTITY, "handover_failed", failure.to_string()),
            }),
        }
    }
}

impl From<HandoverError> for Rejection {
    /// Maps an error to a response. The store's own error message is not sent to the caller.
    fn from(error: HandoverError) -> Self {
        let ours = |words: &str| {
            let words = format!("this desk could not save it now: {words}; call again");
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", words)
        };
        match error {
            HandoverError::Refused(CommandRefused::InterventionOpen) => {
                Self::new(StatusCode::CONFLICT, "intervention_engaged", error.to_string())
            }
            HandoverError::Refused(CommandRefused::AnotherAppOwns) => {
                Self::new(StatusCode::CONFLICT, "another_app_owns_the_thread", error.to_string())
            }
            HandoverError::Store(_) => ours("its own store failed"),
            HandoverError::Record(RecordError::Newer(_)) => {
                ours("this replica is older than the one that wrote the conversation")
            }
            HandoverError::Record(_) => {
                let words = "this desk cannot read what it stored of the conversation: calling again does not help, \
                             its operator must look";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", words)
            }
            HandoverError::Refused(CommandRefused::QueueFull | CommandRefused::NoticesFull)
            | HandoverError::Busy
            | HandoverError::Overloaded
            | HandoverError::TooSlow
            | HandoverError::ShuttingDown => ours(&error.to_string()),
            HandoverError::Refused(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "handover_failed", error.to_string())
            }
        }
    }
}

/// The reason's name in the log, if this desk is at fault.
fn fault(error: &HandoverError) -> Option<&'static str> {
    Some(match error {
        HandoverError::Store(_) => "store_failed",
        HandoverError::Record(_) => "record_unreadable",
        HandoverError::Busy => "conversation_busy",
        HandoverError::Overloaded => "overloaded",
        HandoverError::TooSlow => "too_slow",
        HandoverError::ShuttingDown => "shutting_down",
        HandoverError::Refused(CommandRefused::QueueFull) => "queue_full",
        HandoverError::Refused(CommandRefused::NoticesFull) => "notices_full",
        HandoverError::Refused(_) => return None,
    })
}

fn not_granted(report: &NotGranted) -> Rejection {
    Rejection::new(StatusCode::UNPROCESSABLE_ENTITY, "not_granted", report.to_string())
}

fn not_yet() -> Rejection {
    let words = "the platform has not answered yet; call again";
    Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", words)
}

fn response(status: StatusCode, body: &serde_json::Value) -> Response<String> {
    let mut response = Response::new(body.to_string());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("handover", &self.handover)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}
