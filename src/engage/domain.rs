//! The HTTP of Engage Digital's API: where it is, whose token, and what its refusals mean.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;
use url::form_urlencoded::Serializer;
use url::{Url, UrlQuery};

use crate::call::{Refusal, RefusalKind};
use crate::control::CallError;
use crate::graph::{DEFAULT_CONNECT_TIMEOUT, ReqwestTransport, Transport, TransportError, is_loopback};
use crate::secret::{EdToken, scrub};

/// ED may itself wait for Graph before it answers.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Over 500 calls a minute ED answers 429 without saying how long to wait (facts §8.3).
const RATE_LIMIT_WINDOW: Duration = Duration::from_mins(1);
const MAX_MESSAGE_CHARS: usize = 500;

/// One domain of Engage Digital, with an access token of its API. Cheap to clone; clones share their
/// connections.
#[derive(Clone)]
pub struct Domain {
    base: Url,
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

/// A successful answer: its status line said so, and it is JSON.
pub(crate) struct Answer {
    pub(crate) json: Value,
    pub(crate) headers: HeaderMap,
}

impl Domain {
    /// The domain at such a URL as `https://domain-test.api.engagement.dimelo.com`. The token goes into the
    /// `Authorization` header.
    ///
    /// # Errors
    /// [`InvalidBaseUrl`]. Plain HTTP is for loopback only.
    pub fn new(base_url: &Url, token: EdToken) -> Result<Self, InvalidBaseUrl> {
        let transport = ReqwestTransport::with_timeouts(TIMEOUT, DEFAULT_CONNECT_TIMEOUT);
        Self::with_transport(base_url, token, Arc::new(transport.map_err(InvalidBaseUrl::Transport)?))
    }

    /// A domain over another transport, which has its own timeout.
    ///
    /// # Errors
    /// [`InvalidBaseUrl`].
    pub fn with_transport(
        base_url: &Url,
        token: EdToken,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidBaseUrl> {
        let odd = !base_url.username().is_empty() || base_url.query().is_some();
        if odd || base_url.fragment().is_some() || !base_url.has_host() {
            return Err(InvalidBaseUrl::Shape);
        }
        match base_url.scheme() {
            "https" => {}
            "http" if is_loopback(base_url) => {}
            "http" => return Err(InvalidBaseUrl::PlainHttp),
            _ => return Err(InvalidBaseUrl::Shape),
        }
        Ok(Self { base: base_url.clone(), token, token_in_query: false, transport })
    }

    /// Sends the token as the query parameter `access_token`, as the seed's samples do, for a domain
    /// that takes no header. URLs end up in logs on the way: prefer the header.
    #[must_use]
    pub fn token_in_query(mut self) -> Self {
        self.token_in_query = true;
        self
    }

    /// The token, as it is and as a URL has it, to be taken out of what the other side wrote.
    pub(crate) fn secrets(&self) -> [String; 2] {
        let token = self.token.expose_secret();
        [token.to_owned(), url::form_urlencoded::byte_serialize(token.as_bytes()).collect()]
    }

    /// Makes one call below `/1.0`. Its parameters are in the query, as ED has them.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &[&str],
        parameters: impl FnOnce(&mut Serializer<'_, UrlQuery<'_>>),
    ) -> Result<Answer, CallError> {
        let acts = method != Method::GET;
        let request = self.request(method, path, parameters)?;
        read(self.exchange(request, acts).await?, acts, &self.secrets())
    }

    /// Reads one thing. None if ED has no such thing, or the token's user may not see it: both are 404.
    pub(crate) async fn find(&self, path: &[&str]) -> Result<Option<Answer>, CallError> {
        let answer = self.exchange(self.request(Method::GET, path, |_| {})?, false).await?;
        // ED's own 404 has its envelope; that of a proxy, or of a wrong base URL, says nothing.
        let is_eds = || json(answer.body()).is_some_and(|body| body.get("error").is_some());
        if answer.status() == StatusCode::NOT_FOUND && is_eds() {
            return Ok(None);
        }
        read(answer, false, &self.secrets()).map(Some)
    }

    async fn exchange(&self, request: Request<Bytes>, acts: bool) -> Result<Response<Bytes>, CallError> {
        self.transport.send(request).await.map_err(|error| {
            let refusal = Refusal::new(RefusalKind::Transport, error.to_string());
            let unknown = acts && error.may_have_sent;
            let failed = if unknown { CallError::unknown } else { CallError::refused };
            failed(refusal).with_source(error)
        })
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        parameters: impl FnOnce(&mut Serializer<'_, UrlQuery<'_>>),
    ) -> Result<Request<Bytes>, CallError> {
        let refused = |kind, words: &str| CallError::refused(Refusal::new(kind, words));
        let unwritable = || refused(RefusalKind::Invalid, "the call cannot be written as HTTP");
        let mut url = self.base.clone();
        url.path_segments_mut().map_err(|()| unwritable())?.pop_if_empty().push("1.0").extend(path);
        parameters(&mut url.query_pairs_mut());
        if self.token_in_query {
            url.query_pairs_mut().append_pair("access_token", self.token.expose_secret());
        }
        if url.query() == Some("") {
            url.set_query(None);
        }
        let mut request =
            Request::builder().method(method).uri(url.as_str()).header(ACCEPT, "application/json");
        if !self.token_in_query {
            let header = HeaderValue::from_str(&format!("Bearer {}", self.token.expose_secret()));
            let mut header =
                header.map_err(|_| refused(RefusalKind::Token, "the token fits into no header"))?;
            header.set_sensitive(true);
            request = request.header(AUTHORIZATION, header);
        }
        request.body(Bytes::new()).map_err(|_| unwritable())
    }
}

fn read(answer: Response<Bytes>, acts: bool, secrets: &[String]) -> Result<Answer, CallError> {
    let (parts, body) = answer.into_parts();
    let json = json(&body);
    if !parts.status.is_success() {
        return Err(refusal(parts.status, json.as_ref(), &parts.headers, acts, secrets));
    }
    let headers = parts.headers;
    json.map(|json| Answer { json, headers }).ok_or_else(|| {
        let refusal = Refusal::new(RefusalKind::Protocol, "the desk's answer is not JSON");
        if acts { CallError::unknown(refusal) } else { CallError::refused(refusal) }
    })
}

/// What ED refused: `{"error":…,"message":…,"status":…}`, mostly (facts §8.3).
pub(crate) fn refusal(
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
    let words: String =
        scrub(&words, &secrets).chars().filter(|c| !c.is_control()).take(MAX_MESSAGE_CHARS).collect();
    let mut refusal = Refusal::new(kind(status), words);
    if refusal.kind == RefusalKind::RateLimited {
        let told = headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.trim().parse().ok());
        refusal.retry_after = Some(told.map_or(RATE_LIMIT_WINDOW, Duration::from_secs));
    }
    let unknown = acts && status.is_server_error();
    if unknown { CallError::unknown(refusal) } else { CallError::refused(refusal) }
}

fn json(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().or_else(|| {
        // Only the very comma of the documented sample: before the closing brace.
        let text = std::str::from_utf8(body).ok()?.trim_end().strip_suffix('}')?.trim_end();
        serde_json::from_str(&format!("{}}}", text.strip_suffix(',')?)).ok()
    })
}

/// What ED's statuses mean in general (facts §8.3). 404 is also what a token without permission to read
/// the source gets.
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
            (409, r#"{"error":"engaged","message":"no","status":409}"#, RefusalKind::Conflict, false),
            (401, "", RefusalKind::Token, false),
            (403, r#"{"error":"cant_reply_to_closed_thread"}"#, RefusalKind::Permission, false),
            (404, "<html>", RefusalKind::Invalid, false),
            (429, r#"{"error":"rate_limit_exceeded"}"#, RefusalKind::RateLimited, false),
            (503, "", RefusalKind::Transient, true),
            (200, "<html>ok</html>", RefusalKind::Protocol, true),
            (302, "", RefusalKind::Protocol, false),
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
        assert_eq!(limited.refusal().retry_after, Some(Duration::from_mins(1)));
    }

    #[test]
    fn base_urls_that_would_leak_the_token_are_refused() {
        let domain = |url: &str| Domain::new(&Url::parse(url).unwrap(), EdToken::new("s3cret"));
        assert!(matches!(domain("http://ed.example"), Err(InvalidBaseUrl::PlainHttp)));
        let odd = ["https://u@ed.example", "https://ed.example/?a=b", "https://ed.example/#a", "mailto:a@b"];
        for odd in odd.into_iter().chain(["ftp://localhost"]) {
            assert!(matches!(domain(odd), Err(InvalidBaseUrl::Shape)), "{odd}");
        }
        domain("https://ed.example").unwrap();
        let domain = domain("http://127.0.0.1:9/base/").unwrap();
        assert!(!format!("{domain:?}").contains("s3cret"));
        let request = domain.request(Method::GET, &["a b", "c/d"], |_| {}).unwrap();
        assert_eq!(request.uri(), "http://127.0.0.1:9/base/1.0/a%20b/c%2Fd");
        let request = domain.token_in_query().request(Method::GET, &["x"], |query| {
            query.append_pair("a", "b&c");
        });
        let request = request.unwrap();
        assert_eq!(request.uri(), "http://127.0.0.1:9/base/1.0/x?a=b%26c&access_token=s3cret");
        assert!(request.headers().get(AUTHORIZATION).is_none());
    }

    /// Fails so every time.
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
                let error = domain.call(method, &["x"], |_| {}).await.err().unwrap();
                assert_eq!(error.may_have_acted(), sent && acts);
                assert_eq!(error.kind(), RefusalKind::Transport);
            }
        }
    }
}
