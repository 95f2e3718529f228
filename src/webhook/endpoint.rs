//! A whole webhook endpoint, for any HTTP framework.

use std::fmt;
use std::sync::Arc;

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use tokio::time::Instant;

use super::{Delivery, Item, SIGNATURE_HEADER, SignatureError, Verifier, handshake, parse};
use crate::handover::{Handover, HandoverError};
use crate::secret::VerifyToken;
use crate::throttle::Refusals;

/// Serves Meta's webhook of one app for a [`Handover`]: the subscription handshake on `GET`, deliveries
/// on `POST`. Give it the parts of a request, send back the response.
///
/// | what comes | answer |
/// |---|---|
/// | a delivery whose changes are saved | 200 |
/// | the handshake with the right token | 200 and the challenge |
/// | the handshake with a wrong token | 403 |
/// | a body without a valid signature | 401 |
/// | a body over the verifier's limit | 413 |
/// | a signed body that is no delivery | 400 |
/// | a delivery that cannot be saved now | 503: the platform delivers it again |
/// | another method | 405 |
///
/// A refused delivery or handshake is logged at `warn` with its reason, one line a minute for each reason with the
/// number of those before it that had no line. The signature and the body are never logged.
///
/// The body should not be read for just anybody: ask [`check_head`](Self::check_head) first.
#[derive(Clone)]
pub struct Endpoint {
    verifier: Verifier,
    verify_token: VerifyToken,
    handover: Handover,
    refusals: Arc<Refusals>,
}

impl Endpoint {
    /// An endpoint for the app with this verifier and verify token.
    #[must_use]
    pub fn new(verifier: Verifier, verify_token: VerifyToken, handover: Handover) -> Self {
        let refusals = Arc::new(Refusals::of("webhook"));
        Self { verifier, verify_token, handover, refusals }
    }

    /// Refuses a request by its head, before its body is read: 401 for a delivery without a signature, or with one
    /// of another form; 413 for one that says that it is too long. What passes is verified by
    /// [`handle`](Self::handle) all the same.
    ///
    /// # Errors
    /// The response to send back. Do not read the body then.
    #[expect(clippy::result_large_err, reason = "it is the response to send back")]
    pub fn check_head(&self, method: &Method, headers: &HeaderMap) -> Result<(), Response<String>> {
        if method != Method::POST {
            return Ok(());
        }
        let checked = self.verifier.check_header(text_of(headers, SIGNATURE_HEADER));
        let limit = self.verifier.longest();
        match checked {
            Ok(()) if says_longer_than(headers, limit) => {
                Err(self.refuse(SignatureError::TooLarge { limit }))
            }
            Ok(()) => Ok(()),
            Err(error) => Err(self.refuse(error)),
        }
    }

    /// Serves one request. For a delivery the response is there once its changes are saved, not once
    /// they are acted on, so well inside the five seconds that Meta waits (facts §4.4).
    ///
    /// Dropping the returned future loses nothing: the platform delivers again what was not answered,
    /// and events are recognised when they come twice.
    pub async fn handle(
        &self,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<String> {
        match *method {
            Method::POST => self.deliver(headers, body).await,
            _ => answer_other(&self.verify_token, method, query, &self.refusals),
        }
    }

    fn refuse(&self, error: SignatureError) -> Response<String> {
        self.refusals.note(error.reason(), &error, Instant::now().into_std());
        let status = match error {
            SignatureError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::UNAUTHORIZED,
        };
        response(status, error.to_string())
    }

    async fn deliver(&self, headers: &HeaderMap, body: &[u8]) -> Response<String> {
        let verified = match self.verifier.verify(text_of(headers, SIGNATURE_HEADER), body) {
            Ok(verified) => verified,
            Err(error) => return self.refuse(error),
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
    /// Takes in a whole webhook delivery. Of its items that are no event of a conversation, `app_roles` let the service
    /// forget what the Page refused. The others are for the operator, and logged at `warn`: the enforcement of a policy
    /// each time, and what is not understood once a minute for each reason. The JSON is never logged.
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

/// A header's value. One that is no text is as good as a malformed one.
pub(crate) fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|header| header.to_str().unwrap_or_default())
}

/// Whether a request announces a body of more than so many bytes.
pub(crate) fn says_longer_than(headers: &HeaderMap, bytes: usize) -> bool {
    let length =
        text_of(headers, CONTENT_LENGTH.as_str()).and_then(|length| length.trim().parse::<u64>().ok());
    length.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > bytes))
}

/// What is no delivery: the handshake, or a method that no webhook has.
pub(crate) fn answer_other(
    token: &VerifyToken,
    method: &Method,
    query: Option<&str>,
    refusals: &Refusals,
) -> Response<String> {
    if *method != Method::GET {
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
    // The challenge is repeated as it came: never to be read as HTML.
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("handover", &self.handover).finish_non_exhaustive()
    }
}
