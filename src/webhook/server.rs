//! A whole webhook endpoint, for any HTTP framework.

use std::fmt;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::{Delivery, Item, SIGNATURE_HEADER, SignatureError, Verifier, handshake, parse};
use crate::handover::{Handover, HandoverError};
use crate::secret::VerifyToken;

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
#[derive(Clone)]
pub struct Server {
    verifier: Verifier,
    verify_token: VerifyToken,
    handover: Handover,
}

impl Server {
    /// An endpoint for the app with this verifier and verify token.
    #[must_use]
    pub fn new(verifier: Verifier, verify_token: VerifyToken, handover: Handover) -> Self {
        Self { verifier, verify_token, handover }
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
            _ => answer_other(&self.verify_token, method, query),
        }
    }

    async fn deliver(&self, headers: &HeaderMap, body: &[u8]) -> Response<String> {
        // A header that is no text is as good as a malformed one.
        let header = headers.get(SIGNATURE_HEADER).map(|header| header.to_str().unwrap_or_default());
        let verified = match self.verifier.verify(header, body) {
            Ok(verified) => verified,
            Err(error @ SignatureError::TooLarge { .. }) => {
                return response(StatusCode::PAYLOAD_TOO_LARGE, error.to_string());
            }
            Err(error) => return response(StatusCode::UNAUTHORIZED, error.to_string()),
        };
        let delivery = match parse(&verified) {
            Ok(delivery) => delivery,
            Err(error) => return response(StatusCode::BAD_REQUEST, error.to_string()),
        };
        match self.handover.receive(delivery).await {
            Ok(()) => response(StatusCode::OK, String::new()),
            Err(error) => {
                tracing::warn!(%error, "a webhook delivery could not be saved; it comes again");
                response(StatusCode::SERVICE_UNAVAILABLE, "not saved; deliver again".to_owned())
            }
        }
    }
}

impl Handover {
    /// Takes in a whole webhook delivery. Its items that are no event of a conversation are passed
    /// over, but for `app_roles`, on which the service forgets what the Page refused.
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
            Item::Unknown { page, why, .. } => {
                tracing::debug!(page = page.map(tracing::field::display), %why, "webhook item passed over");
                None
            }
        };
        self.take_in(delivery.items.into_iter().filter_map(event)).await
    }
}

/// What is no delivery: the handshake, or a method that no webhook has.
pub(crate) fn answer_other(token: &VerifyToken, method: &Method, query: Option<&str>) -> Response<String> {
    if *method != Method::GET {
        let mut response = response(StatusCode::METHOD_NOT_ALLOWED, String::new());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
        return response;
    }
    match handshake(token, query.unwrap_or_default()) {
        Ok(challenge) => response(StatusCode::OK, challenge),
        Err(error) => response(StatusCode::FORBIDDEN, error.to_string()),
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

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("handover", &self.handover).finish_non_exhaustive()
    }
}
