//! Engage Digital's [Bots API](crate::protocol#ed-bots-endpoint), `POST /1.0/bots/handover`, from both ends: the client
//! of a bot that asks the desk to move control, and the endpoint of a desk.

#[cfg(feature = "graph")]
mod client;
#[cfg(all(feature = "service", feature = "webhook"))]
mod endpoint;
#[cfg(all(feature = "service", feature = "webhook"))]
mod one_page;
mod request;
#[cfg(feature = "graph")]
pub use client::Client;
#[cfg(all(feature = "service", feature = "webhook"))]
pub use endpoint::{Endpoint, IdentityLookup, Rejection};
#[cfg(all(feature = "service", feature = "webhook"))]
pub use one_page::OnePage;
pub use request::InvalidRequest;

/// The path of the endpoint below the host of an Engage Digital domain.
pub const PATH: &str = "/1.0/bots/handover";
