use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;
use url::Url;

use super::request::HandoverRequest;
use super::{DeskEndpoint, PATH};
use crate::call::{Refusal, RefusalKind};
use crate::control::CallError;
use crate::graph::{DEFAULT_CONNECT_TIMEOUT, ReqwestTransport, Transport, TransportError, is_loopback};
use crate::id::{AppId, UserId};
use crate::secret::{EdToken, scrub};

/// ED may itself wait for Graph before it answers.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Over 500 calls a minute ED answers 429 without saying how long to wait (facts §8.3).
const RATE_LIMIT_WINDOW: Duration = Duration::from_mins(1);
const MAX_MESSAGE_CHARS: usize = 500;

/// A bot's client of Engage Digital's endpoint. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    endpoint: Url,
    token: EdToken,
    token_in_query: bool,
    transport: Arc<dyn Transport>,
}

/// A base URL that cannot be one, or that would send the token in the clear.
#[derive(Debug)]
#[non_exhaustive]
pub enum InvalidBaseUrl {
    /// It takes no path, or has a query, a fragment or a user.
    Shape,
    /// Plain HTTP to another machine: the token would travel in the clear.
    PlainHttp,
    /// The HTTP client could not be set up.
    Transport(TransportError),
}

impl Client {
    /// A client of one ED domain, such as `https://domain-test.api.engagement.dimelo.com`. The token
    /// goes into the `Authorization` header.
    ///
    /// # Errors
    /// [`InvalidBaseUrl`]. Plain HTTP is for loopback only.
    pub fn new(base_url: &Url, token: EdToken) -> Result<Self, InvalidBaseUrl> {
        let transport = ReqwestTransport::with_timeouts(TIMEOUT, DEFAULT_CONNECT_TIMEOUT);
        Self::with_transport(base_url, token, Arc::new(transport.map_err(InvalidBaseUrl::Transport)?))
    }

    /// A client over another transport, which has its own timeout.
    ///
    /// # Errors
    /// [`InvalidBaseUrl`].
    pub fn with_transport(
        base_url: &Url,
        token: EdToken,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidBaseUrl> {
        if !base_url.username().is_empty() || base_url.query().is_some() || base_url.fragment().is_some() {
            return Err(InvalidBaseUrl::Shape);
        }
        if !base_url.has_host() {
            return Err(InvalidBaseUrl::Shape);
        }
        match base_url.scheme() {
            "https" => {}
            "http" if is_loopback(base_url) => {}
            "http" => return Err(InvalidBaseUrl::PlainHttp),
            _ => return Err(InvalidBaseUrl::Shape),
        }
        let mut endpoint = base_url.clone();
        endpoint
            .path_segments_mut()
            .map_err(|()| InvalidBaseUrl::Shape)?
            .pop_if_empty()
            .extend(PATH.split('/').skip(1));
        Ok(Self { endpoint, token, token_in_query: false, transport })
    }

    /// Sends the token as the query parameter `access_token`, as the seed's samples do, for a domain
    /// that takes no header. URLs end up in logs on the way: prefer the header.
    #[must_use]
    pub fn token_in_query(mut self) -> Self {
        self.token_in_query = true;
        self
    }

    /// Asks for a person. Accepted means that the desk asks for control: the bot must then pass it
    /// (seed, "Handover from bot to agent").
    ///
    /// # Errors
    /// As [`DeskEndpoint::handover`].
    pub async fn bot_to_agent(&self, identity: &UserId) -> Result<(), CallError> {
        self.handover(&HandoverRequest::bot_to_agent(identity.clone())).await
    }

    /// Asks for control for the bot's app. Only while no intervention is engaged (seed, "Handover from
    /// agent to bot").
    ///
    /// # Errors
    /// As [`DeskEndpoint::handover`].
    pub async fn agent_to_bot(&self, identity: &UserId, app: &AppId) -> Result<(), CallError> {
        self.handover(&HandoverRequest::agent_to_bot(identity.clone(), app.clone())).await
    }
}

#[async_trait]
impl DeskEndpoint for Client {
    /// Dropping the returned future may leave the call made or not made; calling again is harmless.
    async fn handover(&self, request: &HandoverRequest) -> Result<(), CallError> {
        let mut url = self.endpoint.clone();
        {
            let mut query = url.query_pairs_mut();
            request.write_query(&mut query);
            if self.token_in_query {
                query.append_pair("access_token", self.token.expose());
            }
        }
        let mut http =
            Request::builder().method(Method::POST).uri(url.as_str()).header(ACCEPT, "application/json");
        if !self.token_in_query {
            let header = HeaderValue::from_str(&format!("Bearer {}", self.token.expose()));
            let mut header =
                header.map_err(|_| refused(RefusalKind::Token, "the token fits into no header"))?;
            header.set_sensitive(true);
            http = http.header(AUTHORIZATION, header);
        }
        let http = http
            .body(Bytes::new())
            .map_err(|_| refused(RefusalKind::Invalid, "the call cannot be written as HTTP"))?;
        let result = match self.transport.send(http).await {
            Ok(answer) => read(&answer, self.token.expose()),
            Err(error) => {
                let refusal = Refusal::new(RefusalKind::Transport, error.to_string());
                let failed = if error.may_have_sent { CallError::unknown } else { CallError::refused };
                Err(failed(refusal).with_source(error))
            }
        };
        tracing::debug!(direction = ?request.direction, error = result.as_ref().err().map(tracing::field::display),
            "bots/handover");
        result
    }
}

/// Lenient: the status is an integer or a string, and the documented sample has a trailing comma.
fn read(answer: &Response<Bytes>, token: &str) -> Result<(), CallError> {
    let json = json(answer.body());
    let field = |name| json.as_ref().and_then(|json| json.get(name));
    let in_body =
        field("status").and_then(|status| status.as_u64().or_else(|| status.as_str()?.trim().parse().ok()));
    let http = answer.status();
    let status = if http.is_success() {
        match (&json, in_body) {
            (None, _) => {
                let refusal = Refusal::new(RefusalKind::Protocol, "the desk's answer is not JSON");
                return Err(CallError::unknown(refusal));
            }
            (Some(_), None) if field("error").is_none() => return Ok(()),
            (Some(_), None) => StatusCode::UNPROCESSABLE_ENTITY,
            (Some(_), Some(status)) => u16::try_from(status)
                .ok()
                .and_then(|status| StatusCode::from_u16(status).ok())
                .unwrap_or(http),
        }
    } else {
        http
    };
    if status.is_success() {
        return Ok(());
    }
    let text = |name| field(name).and_then(Value::as_str).unwrap_or_default();
    let words = match (text("error"), text("message")) {
        ("", "") => format!("HTTP {} from the desk", status.as_u16()),
        (error, message) => format!("{error}: {message}"),
    };
    let words: String =
        scrub(&words, &[token]).chars().filter(|c| !c.is_control()).take(MAX_MESSAGE_CHARS).collect();
    let mut refusal = Refusal::new(kind(status), words);
    if refusal.kind == RefusalKind::RateLimited {
        let told =
            answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.trim().parse().ok());
        refusal.retry_after = Some(told.map_or(RATE_LIMIT_WINDOW, Duration::from_secs));
    }
    Err(if status.is_server_error() { CallError::unknown(refusal) } else { CallError::refused(refusal) })
}

fn json(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().or_else(|| {
        // Only the very comma of the documented sample: before the closing brace.
        let text = std::str::from_utf8(body).ok()?.trim_end().strip_suffix('}')?.trim_end();
        serde_json::from_str(&format!("{}}}", text.strip_suffix(',')?)).ok()
    })
}

/// No error of this route is documented; these are ED's statuses in general (facts §8.3).
fn kind(status: StatusCode) -> RefusalKind {
    match status.as_u16() {
        401 => RefusalKind::Token,
        403 => RefusalKind::Permission,
        409 | 422 => RefusalKind::Conflict,
        429 => RefusalKind::RateLimited,
        408 | 500..=599 => RefusalKind::Transient,
        400..=499 => RefusalKind::Invalid,
        _ => RefusalKind::Protocol,
    }
}

fn refused(kind: RefusalKind, words: &str) -> CallError {
    CallError::refused(Refusal::new(kind, words))
}

impl fmt::Display for InvalidBaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => {
                "the desk's base URL must be http(s) with a host, and without user, query and fragment"
            }
            Self::PlainHttp => "plain http is for loopback only: the token would travel in the clear",
            Self::Transport(_) => "the HTTP client could not be set up",
        })
    }
}

impl std::error::Error for InvalidBaseUrl {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint.as_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<(), CallError> {
        read(&Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap(), "s3cret")
    }

    #[test]
    fn success_in_every_documented_shape() {
        for body in [
            r#"{"status":200,"message":"Success"}"#,
            r#"{"status":"200","message":"Success"}"#,
            "{\n  \"status\": 200,\n  \"message\": \"Success\",\n}\n",
            r#"{"message":"Success"}"#,
        ] {
            assert!(answer(200, body).is_ok(), "{body}");
        }
    }

    #[test]
    fn refusals_say_what_to_do_and_hide_the_token() {
        for (status, body, kind, acted) in [
            (
                409,
                r#"{"error":"intervention_engaged","message":"no","status":409}"#,
                RefusalKind::Conflict,
                false,
            ),
            (200, r#"{"error":"x","message":"no","status":"422"}"#, RefusalKind::Conflict, false),
            (200, r#"{"error":"x","message":"no"}"#, RefusalKind::Conflict, false),
            (401, "", RefusalKind::Token, false),
            (404, "<html>", RefusalKind::Invalid, false),
            (429, r#"{"error":"rate_limit_exceeded"}"#, RefusalKind::RateLimited, false),
            (503, "", RefusalKind::Transient, true),
            (200, "<html>ok</html>", RefusalKind::Protocol, true),
            (302, "", RefusalKind::Protocol, false),
        ] {
            let error = answer(status, body).unwrap_err();
            assert_eq!((error.kind(), error.may_have_acted()), (kind, acted), "{status} {body}");
        }
        let error = answer(400, r#"{"error":"bad","message":"token s3cret is odd"}"#).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"));
        assert_eq!(answer(429, "").unwrap_err().refusal().retry_after, Some(Duration::from_mins(1)));
    }

    #[test]
    fn base_urls_that_would_leak_the_token_are_refused() {
        let client = |url: &str| Client::new(&Url::parse(url).unwrap(), EdToken::new("s3cret"));
        assert!(matches!(client("http://ed.example"), Err(InvalidBaseUrl::PlainHttp)));
        for odd in ["https://u@ed.example", "https://ed.example/?a=b", "mailto:a@b", "ftp://localhost"] {
            assert!(matches!(client(odd), Err(InvalidBaseUrl::Shape)), "{odd}");
        }
        let client = client("http://127.0.0.1:9/base").unwrap();
        assert_eq!(client.endpoint.path(), "/base/1.0/bots/handover");
        assert!(!format!("{client:?}").contains("s3cret"));
    }
}
