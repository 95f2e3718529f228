//! Thread control for Messenger and Instagram: decides whether a bot or a human agent may answer a customer now, and hands a
//! conversation over between them without losing or doubling a message.
//!
//! Once an app is the *owner* of a thread, Meta [refuses](crate::protocol#refusals) the sends of all others with
//! `(#10) another app is controlling this thread`. Embed this crate in a bot or an agent desk: it claims control as the
//! Page's configuration allows, sends each pending message once, and gives control back.
//!
//! A whole bot, with the feature `axum`:
//!
//! ```no_run
//! use messenger_handover::prelude::*;
//!
//! struct Bot;
//!
//! #[async_trait]
//! impl Handler for Bot {
//!     async fn notify(&self, _: &Handover, notification: &Notification) -> Result<Actions, HandlerError> {
//!         let mut actions = Actions::none();
//!         // Only the messages that the bot may answer now: none while people are busy with the customer.
//!         for message in notification.to_answer() {
//!             let wants_a_person = message.text.as_deref().is_some_and(|text| text.contains("person"));
//!             let reply = if wants_a_person { "I will ask a colleague to join." } else { "Ask for a person to get one." };
//!             actions = actions.and_reply_to(message, OutgoingMessage::text(reply)?);
//!             if wants_a_person {
//!                 actions = actions.and_hand_over(Target::Desk);
//!             }
//!         }
//!         Ok(actions)
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let settings = Settings::from_env()?;
//!     let handover = settings.bot(Bot)?.start()?;
//!     let router = Routes::new().webhook(settings.webhook(handover)).into_router();
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     Ok(axum::serve(listener, router).await?)
//! }
//! ```
//!
//! | to | see |
//! |---|---|
//! | import what a host needs | [`prelude`] |
//! | react to customers, and send as an agent | [`Handler`](handover::Handler), [`Handover`](handover::Handover) |
//! | choose who is primary | [`ThreadControlPolicy`](policy::ThreadControlPolicy), and the table at [`policy::plan`] |
//! | serve the webhooks | [`routes::Routes`], [`webhook::Endpoint`], [`engage::Endpoint`], [`bots_api::Endpoint`] |
//! | configure a host | [`settings::Settings`], or [`Handover::builder`](handover::Handover::builder) and [`graph::GraphClient`] |
//! | keep conversations over restarts | [`store`] |
//! | test a host | [`testing::FakeClient`], or the package `messenger-sim`, a platform over HTTP |
//! | find out why a Page does not hand over | [`doctor::Doctor`] |
//! | run it without our service | [`thread::Thread`], the state machine: no async, no socket, no clock |
//! | know the platform's rules, with their sources | [`protocol`] |
//!
//! The package has more in its folder `docs`: `guide.md` from a first bot to production, `setup.md` for the Page and the app,
//! `stores.md`, `operations.md`, `sizing.md`.
//!
//! # Features
//!
//! On by default: `graph` (calls to Meta and to Engage Digital), `webhook` (what they call), `service` ([`handover`]) and `ring` (the crypto
//! of TLS). Without them only [`thread`], [`policy`] and the types that they need are left, for a service of your own.
//!
//! Off by default: `axum` ([`routes`]); `sqlite`, `postgres` and `redis` ([`store`]); `metrics` (numbers through the facade of that name);
//! `aws-lc-rs` (the other crypto); `records` and `conformance`, for a store of your own.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

pub mod bots_api;
pub mod call;
pub mod control;
#[cfg(any(feature = "graph", feature = "redis"))]
mod crypto;
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
#[cfg(all(feature = "service", feature = "webhook"))]
pub mod plain;
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
#[cfg(feature = "service")]
pub mod testing;
pub mod thread;
#[cfg(all(feature = "service", feature = "webhook"))]
mod throttle;
pub mod time;
#[cfg(feature = "webhook")]
pub mod webhook;

/// Compiles the examples of the guide.
#[cfg(all(doctest, feature = "graph", feature = "axum"))]
#[doc = include_str!("../docs/guide.md")]
struct Guide;

/// Compiles the examples of the README.
#[cfg(all(doctest, feature = "graph", feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
