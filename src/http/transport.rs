//! The trait of an HTTP exchange, on the types of the `http` crate.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};

/// Sends one request and reads the whole response.
///
/// An implementation must not follow redirects (because they would carry the token elsewhere), must not retry a request
/// that may have arrived, and must have its own timeout, because callers set none. It must not log the `Authorization`
/// header, which is marked sensitive, or the body, which holds the customer's message.
///
/// If the returned future is dropped, the request may or may not have been sent.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Makes the exchange. A response with any HTTP status is an `Ok`.
    ///
    /// # Errors
    /// [`TransportError`] if there is no complete response.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError>;
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for Arc<T> {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        (**self).send(request).await
    }
}

/// An exchange without a complete response. Its text shows no URL; a source must not show one either.
#[derive(Debug)]
#[non_exhaustive]
pub struct TransportError {
    /// Whether the request may have reached the other side; `false` only if it certainly did not.
    pub may_have_sent: bool,
    /// Whether the exchange timed out.
    pub timed_out: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl TransportError {
    /// The error of a request that was certainly not sent, because there was no connection or it could not be built.
    #[must_use]
    pub fn not_sent(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { may_have_sent: false, timed_out: false, source: Some(source.into()) }
    }

    /// The error of a request that may have arrived, without a complete response.
    #[must_use]
    pub fn lost(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { may_have_sent: true, timed_out: false, source: Some(source.into()) }
    }

    /// The error of a request that may have arrived, without a response before the timeout.
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
