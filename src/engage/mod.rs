//! Engage Digital (ED): its [webhooks](crate::protocol#ed-events) and the part of its
//! [REST API](crate::protocol#ed-api) that a handover needs.
//!
//! ED [releases control](crate::protocol#engage-digital) when an agent closes an intervention, and Meta sends no webhook
//! for a release. [`Endpoint`] receives ED's own webhook instead: a desk then releases control, and a bot reads the
//! thread's owner. [`Api`] looks up identities and open interventions.

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
