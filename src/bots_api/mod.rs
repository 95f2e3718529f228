//! Engage Digital's Bots API, `POST /1.0/bots/handover`, from both ends: how a bot asks the desk to
//! move control, and how a desk serves it (seed, "Using the endpoint"; facts §8.1).

#[cfg(feature = "graph")]
mod client;
mod request;
#[cfg(all(feature = "service", feature = "webhook"))]
mod server;
#[cfg(feature = "graph")]
pub use client::Client;
pub use request::{ChannelType, HandoverRequest, InvalidRequest};
#[cfg(all(feature = "service", feature = "webhook"))]
pub use server::{Desk, Rejection, Server};

use std::fmt;

use async_trait::async_trait;

use crate::control::CallError;

/// The path of the endpoint below the host of an Engage Digital domain.
pub const PATH: &str = "/1.0/bots/handover";

/// The desk's endpoint as a bot sees it. A success means that the desk accepted, not that control has
/// moved.
#[async_trait]
pub trait DeskEndpoint: fmt::Debug + Send + Sync + 'static {
    /// Asks the desk to move control.
    ///
    /// # Errors
    /// [`CallError`]: [`Conflict`](crate::call::RefusalKind::Conflict) if the desk refuses because people
    /// are busy with the customer or another app owns the thread. Whoever needs control moved all the
    /// same passes it straight to the desk's app.
    async fn handover(&self, request: &HandoverRequest) -> Result<(), CallError>;
}
