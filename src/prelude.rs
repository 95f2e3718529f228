//! The names that a host needs, for one `use messenger_handover::prelude::*`.
//!
//! The modules [`bots_api`], [`engage`] and [`webhook`] come as modules, because each has an `Endpoint`.

pub use async_trait::async_trait;

pub use crate::call::{
    HandoverRequest, InlineControl, InvalidMessage, MessageKey, OutgoingMessage, SenderAction,
};
pub use crate::control::{CallError, DeskEndpoint, HandoverClient};
pub use crate::event::{Inbound, PrivateText};
pub use crate::id::{AppId, MessageId, PageId, ThreadKey, UserId};
pub use crate::policy::{Role, ThreadControlPolicy};
pub use crate::secret::{AppSecret, EdToken, PageToken, VerifyToken};
pub use crate::thread::{
    Actions, ClaimOrigin, CommandRefused, FailReason, Limits, MessageStatus, Note, Notice, Owner, Target,
    Timeouts,
};

pub use crate::bots_api;
#[cfg(any(feature = "graph", feature = "webhook"))]
pub use crate::engage;
#[cfg(feature = "graph")]
pub use crate::graph::GraphClient;
#[cfg(feature = "service")]
pub use crate::handover::{Accepted, BoxError, Handler, HandlerError, Handover, HandoverError, Notification};
#[cfg(all(feature = "service", feature = "webhook"))]
pub use crate::plain::PlainResponse;
#[cfg(feature = "axum")]
pub use crate::routes::{Bodies, BodyLimits, Routes};
#[cfg(all(feature = "graph", feature = "service", feature = "webhook"))]
pub use crate::settings::Settings;
#[cfg(feature = "service")]
pub use crate::store::{MemoryStore, ThreadStore};
#[cfg(feature = "webhook")]
pub use crate::webhook::{self, Verifier};
