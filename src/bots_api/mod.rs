//! Engage Digital's Bots API, `POST /1.0/bots/handover`, from both ends: how a bot asks the desk to
//! move control, and how a desk serves it (seed, "Using the endpoint"; facts §8.1).

#[cfg(feature = "graph")]
mod client;
#[cfg(all(feature = "service", feature = "webhook"))]
mod endpoint;
mod request;
#[cfg(feature = "graph")]
pub use client::Client;
#[cfg(all(feature = "service", feature = "webhook"))]
pub use endpoint::{Endpoint, IdentityLookup, Rejection};
pub use request::InvalidRequest;

/// The path of the endpoint below the host of an Engage Digital domain.
pub const PATH: &str = "/1.0/bots/handover";
