//! What a webhook delivery says.

use super::item::Item;

/// What one webhook delivery says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// What it is about.
    pub object: Object,
    /// Everything in it, in the order to be handled: the entries as they came, and in each the arrays
    /// `messaging`, `standby`, `messaging_handovers`, `changes`.
    pub items: Vec<Item>,
}

/// The kind of account that a delivery is about. For information: Meta's pages disagree on what
/// Instagram threads come with (facts §4.5), so tell accounts apart by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Object {
    /// `page`
    Page,
    /// `instagram`
    Instagram,
    /// Anything else; empty if the delivery has none.
    Other(String),
}

impl Object {
    pub(super) fn is_whatsapp(&self) -> bool {
        matches!(self, Self::Other(name) if name.starts_with("whatsapp"))
    }
}

/// Why a body is not a webhook delivery. It shows none of the body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Not JSON: cut off, not UTF-8, nested too deep, or something else altogether.
    #[error("the body is not JSON (line {}, column {})", .0.line(), .0.column())]
    NotJson(#[source] serde_json::Error),
    /// JSON, but no object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// An object without an array `entry`.
    #[error("the body has no array `entry`")]
    NoEntries,
}
