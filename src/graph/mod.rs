//! A client of Meta's Graph API: the thread-control edges and the Send API behind
//! [`HandoverClient`](crate::control::HandoverClient).
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
//! Calls go to `/{version}/me/{edge}`: `me` resolves through the Page's token, so that a caller need not know whether a
//! Page id or an Instagram id belongs there ([paths](crate::protocol#graph-paths)). The token travels in the
//! `Authorization` header only. The client itself repeats a call only if its token was refused and replaced meanwhile.
//! Before you retry any other call, check [`CallError::may_have_acted`](crate::control::CallError::may_have_acted).
//!
//! # Rate limits and restrictions
//!
//! The client spaces out calls from 90 % of a [limit](crate::protocol#rate-limits) on, as the platform's usage headers
//! show it. A call waits up to 3 s for its turn; one that would wait longer is refused with
//! [`RateLimited`](crate::call::FailureKind::RateLimited) and the time to retry after, and nothing is sent. At the limit no
//! calls are made until the platform's estimate has passed (1 min if it names none). Then one call probes, and the others
//! follow once its response shows that the limit no longer holds.
//!
//! A Page that the platform *restricts* ([`Restricted`](crate::call::FailureKind::Restricted): 368, 10/1893063 and others)
//! is paused in the same way, for the time that the platform names, else for 1 min, doubling up to 15 min each time the
//! probe is refused again. Other calls are refused with `Restricted` and the time to retry after. A success ends the
//! restriction. Messages, other writes and reads are restricted separately, because the platform does not document whether
//! a Page that may not send may still pass control. The start of a restriction is logged at `warn`, its end at `info`.
//!
//! # Clock
//!
//! The client compares this machine's clock with the `Date` of Graph's responses, at most once a minute. A difference of
//! more than 5 min is logged at `warn` once, and again after an hour or when it changes by more than 5 min.
//!
//! # Other HTTP stacks
//!
//! Implement [`Transport`](crate::http::Transport) to use another HTTP stack, or none in a test.

mod account;
mod body;
mod builder;
mod client;
mod clock;
mod codes;
mod error;
mod hold;
mod info;
mod pace;
mod page;
mod request;
mod response;
mod tokens;
mod usage;

#[cfg(test)]
mod tests;

pub use account::TokenOwner;
pub use builder::GraphClientBuilder;
pub use client::GraphClient;
pub use error::BuildError;
pub use info::{
    Conversation, DEFAULT_VERSION, FeatureStatus, INSTAGRAM_FIELDS, MESSENGER_FIELDS, Platform, Receiver,
    SubscribedApp, TokenInfo,
};
pub use tokens::{TokenError, TokenProvider};
