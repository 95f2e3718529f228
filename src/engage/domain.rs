//! HTTP calls of Engage Digital's API: base URL, token and errors.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::Value;
use url::Url;

use crate::call::{Failure, FailureKind};
use crate::control::CallError;
use crate::http::{
    DEFAULT_CONNECT_TIMEOUT, InvalidBaseUrl, ReqwestTransport, Transport, TransportError, bearer,
    check_base_url, not_answered, one_line, retry_after,
};
use crate::secret::EdToken;

/// The timeout of a call. It is long because ED may itself wait for Graph.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The retry time after a 429, which ED sends over 500 calls a minute without a `Retry-After` (docs/protocol.md#ed-errors).
const RATE_LIMIT_WINDOW: Duration = Duration::from_secs(60);

/// One domain of Engage Digital, with an access token of its API. Cheap to clone: clones share connections.
#[derive(Clone)]
pub struct Domain {
    base: Url,
    token: EdToken,
    token_in_query: bool,
    transport: Arc<dyn Transport>,
}

/// The reason why a domain cannot be set up. It never shows the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// The base URL is malformed or has no TLS: correct it.
    #[error(transparent)]
    BaseUrl(#[from] InvalidBaseUrl),
    /// The HTTP client cannot be set up, as on a machine without root certificates.
    #[error("the HTTP client cannot be set up")]
    Transport(#[from] TransportError),
}

/// A response with a successful status and a JSON body.
pub(crate) struct Answer {
    pub(crate) json: Value,
    pub(crate) headers: HeaderMap,
}

impl Domain {
    /// Creates a domain from a URL such as `https://domain-test.api.engagement.dimelo.com`. The token goes into the
    /// `Authorization` header.
    ///
    /// # Errors
    /// [`DomainError`] names the invalid setting. Plain HTTP is accepted for this machine only.
    pub fn new(base_url: &Url, token: EdToken) -> Result<Self, DomainError> {
        let transport = ReqwestTransport::with_timeouts(TIMEOUT, DEFAULT_CONNECT_TIMEOUT);
        Self::with_transport(base_url, token, Arc::new(transport?))
    }

    /// Creates a domain that uses another transport, which must have its own timeout.
    ///
    /// # Errors
    /// As [`Domain::new`].
    pub fn with_transport(
        base_url: &Url,
        token: EdToken,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, DomainError> {
        check_base_url(base_url, false)?;
        Ok(Self { base: base_url.clone(), token, token_in_query: false, transport })
    }

    /// Sends the token as the query parameter `access_token`, as in the [documented samples](crate::protocol#ed-bots-endpoint)
    /// do. Use it only for a domain that does not accept the header, because URLs get logged.
    #[must_use]
    pub fn token_in_query(mut self) -> Self {
        self.token_in_query = true;
        self
    }

    /// The token, plain and URL-encoded, for removal from remote texts.
    pub(crate) fn secrets(&self) -> [String; 2] {
        let token = self.token.expose_secret();
        [token.to_owned(), form_urlencoded::byte_serialize(token.as_bytes()).collect()]
    }

    /// Makes one call below `/1.0`, with its parameters in the query.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&'static str, String)],
    ) -> Result<Answer, CallError> {
        let acts = method != Method::GET;
        let request = self.request(method, path, query)?;
        read(self.exchange(request, acts).await?, acts, &self.secrets())
    }

    /// Reads one object. Returns `None` on ED's own 404: the object does not exist or the token's user may not read it.
    pub(crate) async fn find(&self, path: &[&str]) -> Result<Option<Answer>, CallError> {
        let answer = self.exchange(self.request(Method::GET, path, &[])?, false).await?;
        // A 404 without ED's envelope comes from a proxy or a wrong base URL.
        let is_eds = || json(answer.body()).is_some_and(|body| body.get("error").is_some());
        if answer.status() == StatusCode::NOT_FOUND && is_eds() {
            return Ok(None);
        }
        read(answer, false, &self.secrets()).map(Some)
    }

    async fn exchange(&self, request: Request<Bytes>, acts: bool) -> Result<Response<Bytes>, CallError> {
        self.transport.send(request).await.map_err(|error| not_answered(error, acts))
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&'static str, String)],
    ) -> Result<Request<Bytes>, CallError> {
        let refused = |kind, words: &str| CallError::refused(Failure::new(kind, words));
        let unwritable = || refused(FailureKind::Invalid, "the call cannot be written as HTTP");
        let mut url = self.base.clone();
        url.path_segments_mut().map_err(|()| unwritable())?.pop_if_empty().push("1.0").extend(path);
        let token = self.token_in_query.then(|| ("access_token", self.token.expose_secret()));
        let query = query.iter().map(|(name, value)| (*name, value.as_str())).chain(token);
        if query.size_hint().0 > 0 {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request =
            Request::builder().method(method).uri(url.as_str()).header(ACCEPT, "application/json");
        if !self.token_in_query {
            let header = bearer(self.token.expose_secret());
            let header =
                header.ok_or_else(|| refused(FailureKind::Token, "the token fits into no header"))?;
            request = request.header(AUTHORIZATION, header);
        }
        request.body(Bytes::new()).map_err(|_| unwritable())
    }
}

fn read(answer: Response<Bytes>, acts: bool, secrets: &[String]) -> Result<Answer, CallError> {
    let (parts, body) = answer.into_parts();
    let json = json(&body);
    if !parts.status.is_success() {
        return Err(call_error(parts.status, json.as_ref(), &parts.headers, acts, secrets));
    }
    let headers = parts.headers;
    json.map(|json| Answer { json, headers }).ok_or_else(|| {
        let failure = Failure::new(FailureKind::Protocol, "the desk's answer is not JSON");
        if acts { CallError::unknown(failure) } else { CallError::refused(failure) }
    })
}

/// Reads ED's error, which is mostly `{"error":…,"message":…,"status":…}` (docs/protocol.md#ed-errors).
pub(crate) fn call_error(
    status: StatusCode,
    body: Option<&Value>,
    headers: &HeaderMap,
    acts: bool,
    secrets: &[String],
) -> CallError {
    let text = |name| body.and_then(|body| body.get(name)).and_then(Value::as_str).unwrap_or_default();
    let words = match (text("error"), text("message")) {
        ("", "") => format!("HTTP {} from the desk", status.as_u16()),
        (error, message) => format!("{error}: {message}"),
    };
    let secrets: Vec<_> = secrets.iter().map(String::as_str).collect();
    let mut failure = Failure::new(kind(status), one_line(&words, &secrets));
    failure.retry_after = retry_after(headers);
    if failure.kind == FailureKind::RateLimited {
        failure.retry_after.get_or_insert(RATE_LIMIT_WINDOW);
    }
    let unknown = acts && status.is_server_error();
    if unknown { CallError::unknown(failure) } else { CallError::refused(failure) }
}

fn json(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().or_else(|| {
        // The documented sample has a comma before the closing brace (docs/protocol.md#ed-bots-endpoint).
        let text = std::str::from_utf8(body).ok()?.trim_end().strip_suffix('}')?.trim_end();
        serde_json::from_str(&format!("{}}}", text.strip_suffix(',')?)).ok()
    })
}

/// Classifies ED's statuses (docs/protocol.md#ed-errors). A token that may not read the source also gets a 404.
fn kind(status: StatusCode) -> FailureKind {
    match status.as_u16() {
        401 => FailureKind::Token,
        403 => FailureKind::Permission,
        409 | 422 => FailureKind::Conflict,
        429 => FailureKind::RateLimited,
        408 | 500..=599 => FailureKind::Transient,
        400..=499 => FailureKind::Invalid,
        _ => FailureKind::Protocol,
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str, acts: bool) -> Result<Answer, CallError> {
        let response = Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap();
        read(response, acts, &["s3cr/t".to_owned(), "s3cr%2Ft".to_owned()])
    }

    #[test]
    fn refusals_say_what_to_do_and_hide_the_token() {
        for (status, body, kind, may_have_acted) in [
            (409, r#"{"error":"engaged","message":"no","status":409}"#, FailureKind::Conflict, false),
            (401, "", FailureKind::Token, false),
            (403, r#"{"error":"cant_reply_to_closed_thread"}"#, FailureKind::Permission, false),
            (404, "<html>", FailureKind::Invalid, false),
            (429, r#"{"error":"rate_limit_exceeded"}"#, FailureKind::RateLimited, false),
            (503, "", FailureKind::Transient, true),
            (200, "<html>ok</html>", FailureKind::Protocol, true),
            (302, "", FailureKind::Protocol, false),
        ] {
            let error = answer(status, body, true).err().unwrap();
            assert_eq!((error.kind(), error.may_have_acted()), (kind, may_have_acted), "{status} {body}");
            let read = answer(status, body, false).err().unwrap();
            assert!(read.kind() == kind && !read.may_have_acted(), "to read changes nothing");
        }
        let error = answer(
            400,
            r#"{"error":"bad","message":"token s3cr/t is odd, in access_token=s3cr%2Ft too"}"#,
            true,
        )
        .err()
        .unwrap();
        assert!(!format!("{error} {error:?}").contains("s3cr"));
        let limited = answer(429, "", true).err().unwrap();
        assert_eq!(limited.failure().retry_after, Some(Duration::from_mins(1)));
    }

    #[test]
    fn the_token_is_in_the_header_or_in_the_query() {
        let domain = |url: &str| Domain::new(&Url::parse(url).unwrap(), EdToken::new("s3cret"));
        let refused = domain("http://ed.example").unwrap_err();
        assert!(matches!(refused, DomainError::BaseUrl(InvalidBaseUrl::PlainHttp)));
        domain("https://ed.example").unwrap();
        let domain = domain("http://127.0.0.1:9/base/").unwrap();
        assert!(!format!("{domain:?}").contains("s3cret"));
        let request = domain.request(Method::GET, &["a b", "c/d"], &[]).unwrap();
        assert_eq!(request.uri(), "http://127.0.0.1:9/base/1.0/a%20b/c%2Fd");
        let request = domain.token_in_query().request(Method::GET, &["x"], &[("a", "b&c".to_owned())]);
        let request = request.unwrap();
        assert_eq!(request.uri(), "http://127.0.0.1:9/base/1.0/x?a=b%26c&access_token=s3cret");
        assert!(request.headers().get(AUTHORIZATION).is_none());
    }

    /// A transport that always fails: with `true` after sending, with `false` before.
    #[derive(Debug)]
    struct Broken(bool);

    #[async_trait::async_trait]
    impl Transport for Broken {
        async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
            Err(if self.0 { TransportError::timeout() } else { TransportError::not_sent("no connection") })
        }
    }

    #[tokio::test]
    async fn without_an_answer_only_what_was_sent_and_changes_something_may_have_acted() {
        for sent in [true, false] {
            let url = Url::parse("https://ed.example").unwrap();
            let domain = Domain::with_transport(&url, EdToken::new("t"), Arc::new(Broken(sent))).unwrap();
            for (method, acts) in [(Method::GET, false), (Method::PUT, true)] {
                let error = domain.call(method, &["x"], &[]).await.err().unwrap();
                assert_eq!(error.may_have_acted(), sent && acts);
                assert_eq!(error.kind(), FailureKind::Transport);
            }
        }
    }
}
