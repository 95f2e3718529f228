//! The HTTP endpoint of Meta's webhooks, for any HTTP framework.

use std::fmt;
use std::sync::Arc;

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use tokio::time::Instant;

use super::{Delivery, Item, SIGNATURE_HEADER, SignatureError, Verifier, handshake, parse};
use crate::handover::{Handover, HandoverError};
use crate::plain::{self, PlainResponse};
use crate::secret::VerifyToken;
use crate::throttle::Refusals;

/// Serves Meta's webhook of one app for a [`Handover`]: the subscription handshake on `GET`, deliveries on `POST`. Pass it
/// the parts of each request and send back the response. Call [`check_head`](Self::check_head) before you read a body. Each has
/// a form in [plain types](crate::plain).
///
/// | request | response |
/// |---|---|
/// | delivery whose changes are saved | 200 |
/// | handshake with the right token | 200 and the challenge |
/// | handshake with a wrong token | 403 |
/// | body without a valid signature | 401 |
/// | body over the verifier's limit | 413 |
/// | signed body that is not a delivery | 400 |
/// | delivery that cannot be saved now | 503: the platform [redelivers](crate::protocol#redelivery) it |
/// | another method | 405 |
///
/// A refused delivery or handshake is logged at `warn` with its reason: one line a minute for each reason, with the number
/// of suppressed lines. The signature and the body are never logged.
#[derive(Clone)]
pub struct Endpoint {
    verifier: Verifier,
    verify_token: VerifyToken,
    handover: Handover,
    refusals: Arc<Refusals>,
}

impl Endpoint {
    /// Creates an endpoint for the app with this verifier and verify token.
    #[must_use]
    pub fn new(verifier: Verifier, verify_token: VerifyToken, handover: Handover) -> Self {
        let refusals = Arc::new(Refusals::of("webhook"));
        Self { verifier, verify_token, handover, refusals }
    }

    /// Checks a request's head before the body is read. Refuses a missing or malformed signature with 401 and a
    /// `Content-Length` over the limit with 413. [`handle`](Self::handle) still verifies the body.
    ///
    /// # Errors
    /// The response to send back. Do not read the body then.
    #[expect(clippy::result_large_err, reason = "it is the response to send back")]
    pub fn check_head(&self, method: &Method, headers: &HeaderMap) -> Result<(), Response<String>> {
        let length = text_of(headers, CONTENT_LENGTH.as_str());
        let checked = self.check(method.as_str(), text_of(headers, SIGNATURE_HEADER), length);
        checked.map_err(|error| self.refuse(&error))
    }

    /// [`check_head`](Self::check_head) in plain types. Pass all headers, with names in any case.
    ///
    /// ```
    /// # use messenger_handover::webhook::Endpoint;
    /// # fn check(endpoint: &Endpoint) {
    /// let refused = endpoint.check_head_plain("POST", &[("Content-Length", b"2")]).unwrap_err();
    /// assert_eq!((refused.status, refused.content_type.as_str()), (401, "text/plain; charset=utf-8"));
    /// # }
    /// ```
    ///
    /// # Errors
    /// The response to send back. Do not read the body then.
    pub fn check_head_plain(&self, method: &str, headers: &[(&str, &[u8])]) -> Result<(), PlainResponse> {
        let length = plain::values(headers, CONTENT_LENGTH.as_str()).next();
        let checked = self.check(method, plain::values(headers, SIGNATURE_HEADER).next(), length);
        checked.map_err(|error| PlainResponse::of(self.refuse(&error)))
    }

    /// Serves one request and returns the response to send back. For a delivery it returns once the changes are saved,
    /// before they are acted on, so that the response stays well inside [Meta's 5 s](crate::protocol#redelivery).
    ///
    /// Dropping the returned future loses nothing, because the platform redelivers a request without a response, and the
    /// service recognises duplicate events.
    pub async fn handle(
        &self,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<String> {
        self.serve(method.as_str(), query, text_of(headers, SIGNATURE_HEADER), body).await
    }

    /// [`handle`](Self::handle) in plain types. Pass all headers, with names in any case. If the returned future is dropped, the
    /// effect is the same as there.
    ///
    /// ```
    /// # use messenger_handover::webhook::Endpoint;
    /// # async fn handshake(endpoint: Endpoint) {
    /// let query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=the+verify+token";
    /// let response = endpoint.handle_plain("GET", Some(query), &[], b"").await;
    /// assert_eq!((response.status, response.body.as_str()), (200, "1158201444"));
    /// # }
    /// ```
    pub async fn handle_plain(
        &self,
        method: &str,
        query: Option<&str>,
        headers: &[(&str, &[u8])],
        body: &[u8],
    ) -> PlainResponse {
        let signature = plain::values(headers, SIGNATURE_HEADER).next();
        PlainResponse::of(self.serve(method, query, signature, body).await)
    }

    fn check(
        &self,
        method: &str,
        signature: Option<&str>,
        length: Option<&str>,
    ) -> Result<(), SignatureError> {
        if method != Method::POST.as_str() {
            return Ok(());
        }
        self.verifier.check_header(signature)?;
        let limit = self.verifier.longest();
        if says_longer_than(length, limit) { Err(SignatureError::TooLarge { limit }) } else { Ok(()) }
    }

    async fn serve(
        &self,
        method: &str,
        query: Option<&str>,
        signature: Option<&str>,
        body: &[u8],
    ) -> Response<String> {
        if method == Method::POST.as_str() {
            self.deliver(signature, body).await
        } else {
            answer_other(&self.verify_token, method, query, &self.refusals)
        }
    }

    fn refuse(&self, error: &SignatureError) -> Response<String> {
        let is_too_large = matches!(error, SignatureError::TooLarge { .. });
        refuse(&self.refusals, error.reason(), error, is_too_large)
    }

    async fn deliver(&self, signature: Option<&str>, body: &[u8]) -> Response<String> {
        let verified = match self.verifier.verify(signature, body) {
            Ok(verified) => verified,
            Err(error) => return self.refuse(&error),
        };
        let delivery = match parse(&verified) {
            Ok(delivery) => delivery,
            Err(error) => {
                self.refusals.note("not_a_delivery", &error, Instant::now().into_std());
                return response(StatusCode::BAD_REQUEST, error.to_string());
            }
        };
        match self.handover.receive(delivery).await {
            Ok(()) => response(StatusCode::OK, String::new()),
            Err(error) => {
                if let Some(suppressed) = self.refusals.admit("not_saved", Instant::now().into_std()) {
                    tracing::warn!(%error, suppressed, "a webhook delivery could not be saved; it comes again");
                }
                response(StatusCode::SERVICE_UNAVAILABLE, "not saved; deliver again".to_owned())
            }
        }
    }
}

impl Handover {
    /// Saves the events of a webhook delivery. `app_roles` make the service drop its cache of calls that the Page refused.
    /// Policy enforcements are logged at `warn` each time, unknown items at `warn` once a minute for each reason. The JSON
    /// is never logged.
    ///
    /// # Errors
    /// As [`Handover::events`].
    pub async fn receive(&self, delivery: Delivery) -> Result<(), HandoverError> {
        let event = |item| match item {
            Item::Event { thread, event } => Some((thread, event)),
            Item::AppRoles { page, .. } => {
                self.roles_changed(&page);
                None
            }
            Item::PolicyEnforcement { page, action, .. } => {
                tracing::warn!(%page, action, "the platform enforces a policy on the Page");
                None
            }
            Item::Unknown { page, why, .. } => {
                let page = page.map(tracing::field::display);
                if let Some(suppressed) = self.not_understood().admit(why, Instant::now().into_std()) {
                    tracing::warn!(
                        page,
                        reason = why,
                        suppressed,
                        "a webhook item is not understood and was passed over"
                    );
                }
                None
            }
        };
        self.take_in(delivery.items.into_iter().filter_map(event)).await
    }
}

/// A header's value, or an empty text if it is not text, which is refused as malformed.
pub(crate) fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|header| header.to_str().unwrap_or_default())
}

/// Whether a request's `Content-Length` is over the limit.
pub(crate) fn says_longer_than(length: Option<&str>, bytes: usize) -> bool {
    let length = length.and_then(|length| length.trim().parse::<u64>().ok());
    length.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > bytes))
}

/// Logs a request that does not prove where it comes from, and returns its response: 401, or 413 for a body that is too large.
pub(crate) fn refuse(
    refusals: &Refusals,
    reason: &'static str,
    error: &dyn fmt::Display,
    is_too_large: bool,
) -> Response<String> {
    refusals.note(reason, error, Instant::now().into_std());
    let status = if is_too_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::UNAUTHORIZED };
    response(status, error.to_string())
}

/// Serves a request that is not a delivery: the handshake, or a wrong method.
pub(crate) fn answer_other(
    token: &VerifyToken,
    method: &str,
    query: Option<&str>,
    refusals: &Refusals,
) -> Response<String> {
    if method != Method::GET.as_str() {
        let mut response = response(StatusCode::METHOD_NOT_ALLOWED, String::new());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
        return response;
    }
    match handshake(token, query.unwrap_or_default()) {
        Ok(challenge) => response(StatusCode::OK, challenge),
        Err(error) => {
            refusals.note(error.reason(), &error, Instant::now().into_std());
            response(StatusCode::FORBIDDEN, error.to_string())
        }
    }
}

pub(crate) fn response(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    // The challenge is remote text, which a browser must not read as HTML.
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("handover", &self.handover).finish_non_exhaustive()
    }
}
