//! The errors of building a Graph client.

use super::info::DEFAULT_VERSION;
use crate::http::{InvalidBaseUrl, TransportError};
use crate::id::PageId;

/// The setting that keeps a client from being built. It never shows a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The base URL is malformed or has no TLS. Correct it, or accept plain HTTP in a closed network with
    /// [`GraphClientBuilder::dangerous_allow_http`](super::GraphClientBuilder::dangerous_allow_http).
    #[error(transparent)]
    BaseUrl(#[from] InvalidBaseUrl),
    /// The id of a Page is invalid. Correct it.
    #[error("page: {0}")]
    PageId(String),
    /// The version does not have Graph's form: write it like [`DEFAULT_VERSION`].
    #[error("invalid Graph version: expected a form like `{DEFAULT_VERSION}`")]
    Version,
    /// The token of a Page is empty or has characters that no header can carry: correct the token.
    #[error("invalid token of Page {page}: empty, or with characters that a token cannot have")]
    Token {
        /// The Page of the token.
        page: PageId,
    },
    /// The app's secret is empty, so its proofs would prove nothing: configure it.
    #[error("the app's secret is empty")]
    EmptyAppSecret,
    /// The timeout is zero, so every call would fail: set a longer one.
    #[error("invalid timeout: zero")]
    ZeroTimeout,
    /// A timeout was set together with the host's own transport, where it has no effect: set it in that transport.
    #[error("`timeout` is for the built-in transport: set it in your own transport instead")]
    TimeoutOfOwnTransport,
    /// A number of idle connections was set together with the host's own transport, where it has no effect: set it in that
    /// transport.
    #[error("`idle_connections` is for the built-in transport: set it in your own transport instead")]
    IdleConnectionsOfOwnTransport,
    /// The built-in transport cannot be set up, as on a machine without root certificates.
    #[error("the HTTP client cannot be set up")]
    Transport(#[from] TransportError),
}
