//! Engage Digital itself: its webhooks, and the part of its REST API that a handover needs (facts §8.2 to
//! §8.4).
//!
//! Meta sends nobody a webhook when a thread is released, which is what ED does when an agent closes an
//! intervention. [`Endpoint`] hears of it from ED: a desk then releases control, a bot
//! looks who has it now. [`Api`] answers who an identity is and what else is open.

#[cfg(feature = "graph")]
mod api;
#[cfg(all(feature = "graph", feature = "webhook", feature = "service"))]
mod directory;
#[cfg(feature = "graph")]
mod domain;
#[cfg(all(feature = "webhook", feature = "service"))]
mod endpoint;
#[cfg(feature = "webhook")]
mod event;
mod json;
mod resource;

#[cfg(feature = "graph")]
pub use api::Api;
#[cfg(all(feature = "graph", feature = "webhook", feature = "service"))]
pub use directory::Directory;
#[cfg(feature = "graph")]
pub(crate) use domain::call_error;
#[cfg(feature = "graph")]
pub use domain::{Domain, DomainError};
#[cfg(all(feature = "webhook", feature = "service"))]
pub use endpoint::{Endpoint, InterventionHandler};
#[cfg(feature = "webhook")]
pub use event::{Event, EventKind, Notification, ParseError, SECRET_HEADER, SecretError, Verifier};
#[cfg(feature = "graph")]
pub use resource::Identity;
pub use resource::Intervention;
#[cfg(feature = "webhook")]
pub use resource::{Content, SynchronizationStatus};
