//! Thread control for Messenger and Instagram: decides whether a bot or a human agent may answer a customer now, and hands a
//! conversation over between them without losing or doubling a message.
//!
//! Meta lets exactly one app send in a thread, its *thread owner*; all other sends are [refused](crate::protocol#refusals) with
//! `(#10) another app is controlling this thread`. Embed this crate in a bot or an agent desk: it claims control as the
//! Page's configuration allows, sends each pending message once, and gives control back.
//!
//! ```
//! use messenger_handover::policy::{
//!     Believed, ClaimStep, Refused, Role, Situation, ThreadControlPolicy, plan,
//! };
//!
//! // An agent wants to write while the bot, which is primary, has control: the first step is a request.
//! let steps = plan(Situation {
//!     role: Role::Desk,
//!     policy: ThreadControlPolicy::BotPrimary,
//!     owner: Believed::Other,
//!     refused: Refused::default(),
//!     take_from_desk: false,
//! });
//! assert_eq!(steps[0].step, ClaimStep::Request);
//! ```
//!
//! A host starts `handover::Handover` (feature `service`) with a `graph::GraphClient` (feature `graph`) and feeds it from
//! `webhook::Endpoint` (feature `webhook`); `examples/bot.rs` and `examples/agent_desk` are complete hosts. Test yours against
//! the simulated platform, the package `messenger-sim`.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

pub mod bots_api;
pub mod call;
pub mod control;
#[cfg(feature = "graph")]
pub mod doctor;
#[cfg(any(feature = "graph", feature = "webhook"))]
pub mod engage;
pub mod event;
#[cfg(feature = "graph")]
pub mod graph;
#[cfg(feature = "service")]
pub mod handover;
#[cfg(feature = "graph")]
pub mod http;
pub mod id;
pub mod policy;
pub mod prelude;
#[expect(clippy::doc_markdown, reason = "the names of companies")]
#[doc = include_str!("../docs/protocol.md")]
pub mod protocol {}
pub mod retry;
#[cfg(feature = "axum")]
pub mod routes;
pub mod secret;
#[cfg(all(feature = "graph", feature = "service", feature = "webhook"))]
pub mod settings;
mod shown;
#[cfg(any(feature = "graph", feature = "service"))]
mod skew;
#[cfg(feature = "service")]
pub mod store;
pub mod thread;
#[cfg(all(feature = "service", feature = "webhook"))]
mod throttle;
pub mod time;
#[cfg(feature = "webhook")]
pub mod webhook;

/// Compiles the examples of the README.
#[cfg(all(doctest, feature = "graph", feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
