use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::json;
use url::form_urlencoded;

use super::request::{ChannelType, HandoverRequest};
use crate::call::{Direction, RefusalKind};
use crate::handover::{HandOver, Handover, HandoverError};
use crate::id::ThreadKey;
use crate::secret::{EdToken, same};
use crate::thread::{ClaimOrigin, ClaimProgress, CommandRefused, HandoffProgress, NotGranted, Target};

/// What the desk's host knows that this crate does not.
#[async_trait]
pub trait Desk: Send + Sync + 'static {
    /// The conversation of an identity, by its `foreign_id`. `None` answers the call with 404, after it
    /// was asked again for a second: the bot may be faster than the desk's own webhook. The endpoint has
    /// no parameter that names the Page (facts, open question 14).
    async fn conversation(&self, request: &HandoverRequest) -> Option<ThreadKey>;

    /// The call was accepted: the host may recategorise ED's thread by what else the request holds.
    async fn accepted(&self, _thread: &ThreadKey, _request: &HandoverRequest) {}

    /// A call with the type `engage_virtual_agent`, which moves no thread control. Not supported
    /// unless the host does something about it.
    ///
    /// # Errors
    /// The answer that the caller gets instead of success.
    async fn engage_virtual_agent(&self, _request: &HandoverRequest) -> Result<(), Rejection> {
        let words = "this desk has no virtual agent";
        Err(Rejection::new(StatusCode::UNPROCESSABLE_ENTITY, "virtual_agent_not_supported", words))
    }
}

/// The server of `POST /1.0/bots/handover`, for any HTTP framework: give it the parts of a request,
/// send back the response.
#[derive(Clone)]
pub struct Server {
    token: EdToken,
    handover: Handover,
    desk: Arc<dyn Desk>,
    wait: Duration,
}

/// A refused call, in ED's error envelope: `{"error":…,"message":…,"status":…}` (facts §8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The HTTP status.
    pub status: StatusCode,
    /// What programs match on.
    pub error: &'static str,
    /// What people read. It holds no secret.
    pub message: String,
}

impl Rejection {
    /// A refusal.
    pub fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self { status, error, message: message.into() }
    }
}

impl Server {
    /// A server that accepts calls with this token; with an empty one it refuses them all.
    #[must_use]
    pub fn new(token: EdToken, handover: Handover, desk: impl Desk) -> Self {
        Self { token, handover, desk: Arc::new(desk), wait: Duration::from_secs(8) }
    }

    /// How long a call may wait for the platform to accept the first step, or for a pass. 8 s. What
    /// was begun goes on afterwards.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Serves one call: its method, its query and its headers. The body is not looked at.
    ///
    /// Dropping the returned future leaves the call done or not done, as a broken connection would.
    pub async fn handle(
        &self,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Response<String> {
        match self.serve(method, query.unwrap_or_default(), headers).await {
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

    async fn serve(&self, method: &Method, query: &str, headers: &HeaderMap) -> Result<(), Rejection> {
        if method != Method::POST {
            let words = "this endpoint is called with POST";
            return Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", words));
        }
        self.authenticate(query, headers)?;
        let request = HandoverRequest::from_query(query).map_err(|invalid| {
            Rejection::new(StatusCode::BAD_REQUEST, "invalid_parameter", invalid.to_string())
        })?;
        if request.channel == ChannelType::EngageVirtualAgent {
            return self.desk.engage_virtual_agent(&request).await;
        }
        let thread = self.conversation(&request).await?;
        match (request.direction, &request.app) {
            (Direction::BotToAgent, _) => self.bot_to_agent(&thread).await?,
            (Direction::AgentToBot, Some(app)) if *app == *self.handover.app() => {
                let words = "parameter app_id names the desk itself";
                return Err(Rejection::new(StatusCode::BAD_REQUEST, "invalid_parameter", words));
            }
            (Direction::AgentToBot, Some(app)) => {
                self.agent_to_bot(&thread, Target::App(app.clone())).await?;
            }
            (Direction::AgentToBot, None) => {
                let words = "parameter app_id is missing";
                return Err(Rejection::new(StatusCode::BAD_REQUEST, "invalid_parameter", words));
            }
        }
        self.desk.accepted(&thread, &request).await;
        Ok(())
    }

    /// A bot calls as soon as the customer has written, while the desk's own copy of that webhook may
    /// still be on its way: what is not known yet is looked up again, for a second.
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

    /// The token comes in the query or as Bearer; both and different is no token at all.
    fn authenticate(&self, query: &str, headers: &HeaderMap) -> Result<(), Rejection> {
        let unauthorized = |words| Err(Rejection::new(StatusCode::UNAUTHORIZED, "unauthorized", words));
        let mut tokens: Vec<String> = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| name == "access_token")
            .map(|(_, token)| token.into_owned())
            .collect();
        for header in headers.get_all(http::header::AUTHORIZATION) {
            let bearer = header.to_str().ok().and_then(|header| header.split_once(' '));
            match bearer {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                    tokens.push(token.trim().to_owned());
                }
                _ => return unauthorized("the authorization header must be a Bearer token"),
            }
        }
        if tokens.is_empty() {
            return unauthorized("access_token is missing");
        }
        let expected = self.token.expose();
        if expected.is_empty() {
            tracing::error!(
                "the desk's own token is empty, so every call is refused: check the configuration"
            );
            return unauthorized("access_token is not valid");
        }
        // All are compared, so that the time tells nothing.
        let good = tokens.iter().fold(subtle::Choice::from(1), |good, token| good & same(token, expected));
        if bool::from(good) { Ok(()) } else { unauthorized("access_token is not valid") }
    }

    /// Answers as soon as the platform accepted the first step: waiting for the grant could deadlock
    /// with the bot, which has to pass (design §6).
    async fn bot_to_agent(&self, thread: &ThreadKey) -> Result<(), Rejection> {
        match self.handover.claim(thread, ClaimOrigin::BotAsked, self.wait).await? {
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
        let id = match self.handover.hand_over(thread, target).await? {
            // An agent's answer goes out first; the bot learns from its pass event when it is over.
            HandOver::AlreadyThere | HandOver::Started { waits: true, .. } => return Ok(()),
            HandOver::Started { id, waits: false } => id,
        };
        match self.handover.handoff_progress(thread, id, self.wait).await? {
            HandoffProgress::Done => Ok(()),
            HandoffProgress::Waiting => Err(not_yet()),
            HandoffProgress::Gone => {
                Err(Rejection::new(StatusCode::CONFLICT, "given_up", "the desk gave the handover up"))
            }
            HandoffProgress::Failed(refusal) => Err(match refusal.kind {
                RefusalKind::Conflict | RefusalKind::NotThreadOwner => {
                    Rejection::new(StatusCode::CONFLICT, "another_app_owns_the_thread", refusal.to_string())
                }
                _ => Rejection::new(StatusCode::UNPROCESSABLE_ENTITY, "handover_failed", refusal.to_string()),
            }),
        }
    }
}

impl From<HandoverError> for Rejection {
    fn from(error: HandoverError) -> Self {
        let message = error.to_string();
        match error {
            HandoverError::Refused(CommandRefused::InterventionOpen) => {
                Self::new(StatusCode::CONFLICT, "intervention_engaged", message)
            }
            HandoverError::Refused(CommandRefused::AnotherAppOwns) => {
                Self::new(StatusCode::CONFLICT, "another_app_owns_the_thread", message)
            }
            _ => not_yet(),
        }
    }
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

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("handover", &self.handover)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}
