//! Who may answer a Messenger customer right now, a bot or a human agent, and how to change it without
//! losing or doubling a message.
//!
//! Meta lets exactly one app speak in a thread, its *thread owner*; everybody else gets `(#10) another
//! app is controlling this thread`. This crate is the part of a host service that claims control as the
//! Page's configuration allows, gives it back, and gets a waiting answer out once.
//!
//! ```
//! use messenger_handover::policy::{
//!     Believed, ClaimStep, Refused, Role, Situation, ThreadControlPolicy, plan,
//! };
//!
//! // An agent wants to answer while the bot, which is primary, has control: ask first.
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
//! A host embeds `handover::Handover` (feature `service`) over `graph::GraphClient` (feature `graph`) and
//! feeds it from `webhook::Endpoint` (feature `webhook`); see `examples/bot.rs` and
//! `examples/agent_desk`. Its tests run against the
//! package `messenger-sim`, the simulated platform.

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
#[doc = include_str!("../docs/protocol.md")]
pub mod protocol {}
pub mod retry;
pub mod secret;
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

/// The examples of the README compile.
#[cfg(all(doctest, feature = "graph", feature = "service"))]
#[doc = include_str!("../README.md")]
struct Readme;
