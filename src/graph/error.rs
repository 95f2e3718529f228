//! Why a client cannot be built.

use super::info::DEFAULT_VERSION;
use crate::http::{InvalidBaseUrl, TransportError};
use crate::id::PageId;

/// Why a client cannot be built. It never shows a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Calls may not go to the base URL. [`GraphClientBuilder::dangerous_allow_http`](super::GraphClientBuilder::dangerous_allow_http)
    /// accepts plain HTTP in a closed network.
    #[error(transparent)]
    BaseUrl(#[from] InvalidBaseUrl),
    /// The version is not of Graph's form.
    #[error("the Graph version must look like `{DEFAULT_VERSION}`")]
    Version,
    /// The token of a Page is empty or has characters that no header can carry.
    #[error("the token of Page {page} is empty or has characters that a token cannot have")]
    Token {
        /// Whose token it is.
        page: PageId,
    },
    /// The app's secret is empty, so its proofs would prove nothing.
    #[error("the app's secret is empty")]
    EmptyAppSecret,
    /// A timeout of zero would fail every call.
    #[error("the timeout must be longer than zero")]
    ZeroTimeout,
    /// A timeout was set beside a transport of the host's own, where it would have no effect.
    #[error("`timeout` is for the built-in transport: set it in your own transport instead")]
    TimeoutOfOwnTransport,
    /// A number of idle connections was set beside a transport of the host's own, where it would have no effect.
    #[error("`idle_connections` is for the built-in transport: set it in your own transport instead")]
    IdleConnectionsOfOwnTransport,
    /// The built-in transport cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Transport(#[from] TransportError),
}
