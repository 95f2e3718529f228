//! Meta's Graph API behind [`HandoverClient`](crate::control::HandoverClient): the thread-control edges and the
//! Send API.
//!
//! ```no_run
//! use messenger_handover::graph::GraphClient;
//! use messenger_handover::id::PageId;
//!
//! # fn main() -> Result<(), messenger_handover::graph::BuildError> {
//! let token = std::env::var("PAGE_TOKEN").unwrap_or_default();
//! let graph = GraphClient::builder().page(PageId::from(1_234_567), token.into()).build()?;
//! # Ok(())
//! # }
//! ```
//!
//! Every call is `/{version}/me/{edge}`: `me` resolves through the Page's token, so that nobody has to
//! know whether a Page id or an Instagram id belongs there (facts §3.1). The token travels in the
//! `Authorization` header only. Nothing is retried here, but for a call whose token was refused and
//! replaced meanwhile: whether a call may be made again depends on what it may have done, which
//! [`CallError::may_have_acted`](crate::control::CallError::may_have_acted) tells and the state machine
//! decides. Near a limit that the platform's usage headers tell, calls wait up to 3 s for their turn; whoever
//! would wait longer gets [`RateLimited`](crate::call::RefusalKind::RateLimited) with the time to come back,
//! and nothing was sent.
//!
//! To speak through another HTTP stack, or to none in a test, implement [`Transport`].

mod body;
mod builder;
mod client;
mod codes;
mod pace;
mod page;
mod place;
mod reqwest_transport;
mod response;
mod tokens;
mod transport;

#[cfg(test)]
mod tests;

pub use builder::{BuildError, DEFAULT_VERSION, GraphClientBuilder};
pub use client::GraphClient;
pub use page::{
    Conversation, FeatureStatus, INSTAGRAM_FIELDS, MESSENGER_FIELDS, Platform, SubscribedApp, TokenInfo,
};
pub use reqwest_transport::{
    BodyTooLarge, DEFAULT_CONNECT_TIMEOUT, DEFAULT_TIMEOUT, MAX_RESPONSE_BYTES, ReqwestTransport,
};
pub use tokens::{TokenError, TokenProvider};
pub(crate) use transport::is_loopback;
pub use transport::{Transport, TransportError};
