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
//! decides.
//!
//! # Pace
//!
//! Near a limit that the platform's usage headers show, calls wait up to 3 s for their turn; a call that would wait longer
//! is refused with [`RateLimited`](crate::call::FailureKind::RateLimited) and the time to come back, and nothing was
//! sent. Once a limit is reached nothing is called until the platform's time is over (1 min if it names none). Then one call
//! tries, and the others follow when it was answered.
//!
//! A Page that the platform *restricts* ([`Restricted`](crate::call::FailureKind::Restricted): 368, 10/1893063 and kin) is
//! left alone in the same way, for the time that the platform names, else for 1 min, doubling up to 15 min each time that
//! the one call that tries is refused again. The others are refused with `Restricted` and the time to come back. A success
//! ends it. Messages, other writes and reads are restricted apart from each other, each once the platform has refused one of
//! them: it does not document whether a Page that may not send may still pass control, so that is tried. The start of a
//! restriction is logged at `warn`, its end at `info`.
//!
//! # Clock
//!
//! A clock of this machine that is more than 5 min off the `Date` of Graph's answers is logged once at `warn`, and again
//! after an hour or when the difference changes by more than 5 min. It is looked at once a minute at most.
//!
//! To speak through another HTTP stack, or to none in a test, implement [`Transport`](crate::http::Transport).

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
