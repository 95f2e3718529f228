//! One HTTP exchange, as a trait on the types of the `http` crate.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};

/// Sends one request and reads its whole answer.
///
/// An implementation must not follow redirects (they would carry the token elsewhere), must not
/// retry a request that may have arrived, and must end by itself: nobody above it sets a timeout. The
/// request's `Authorization` header is marked sensitive; its body holds the customer's message, so
/// neither belongs into a log.
///
/// Dropping the returned future may leave the request sent or not sent.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Makes the exchange. Every HTTP status is an `Ok`.
    ///
    /// # Errors
    /// [`TransportError`] if there is no complete answer.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError>;
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for Arc<T> {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        (**self).send(request).await
    }
}

/// An exchange without a complete answer. Its text shows no URL; a source must not show one either.
#[derive(Debug)]
#[non_exhaustive]
pub struct TransportError {
    /// Whether the request may have reached the other side. `false` only if it certainly never left.
    pub may_have_sent: bool,
    /// Whether it took too long.
    pub timed_out: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl TransportError {
    /// The request certainly never left: no connection, or it could not be written down.
    #[must_use]
    pub fn not_sent(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { may_have_sent: false, timed_out: false, source: Some(source.into()) }
    }

    /// The request may have arrived, but its answer did not.
    #[must_use]
    pub fn lost(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { may_have_sent: true, timed_out: false, source: Some(source.into()) }
    }

    /// The request may have arrived, but its answer did not come in time.
    #[must_use]
    pub fn timeout() -> Self {
        Self { may_have_sent: true, timed_out: true, source: None }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.may_have_sent, self.timed_out) {
            (true, true) => "no answer in time; the request may have arrived",
            (true, false) => "no complete answer; the request may have arrived",
            (false, true) => "no connection in time; nothing was sent",
            (false, false) => "no connection; nothing was sent",
        })
    }
}

impl StdError for TransportError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
