//! The types of a parsed webhook delivery.

use super::item::Item;

/// One parsed webhook delivery.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// The kind of account.
    pub object: Object,
    /// All items, in the order in which to handle them: the entries in their order, and in each entry the arrays
    /// `messaging`, `standby`, `messaging_handovers`, `changes`.
    pub items: Vec<Item>,
}

/// The kind of account that a delivery is about. Do not rely on it, because Meta's pages
/// [disagree about Instagram](crate::protocol#webhook-envelope): distinguish accounts by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Object {
    /// `page`
    Page,
    /// `instagram`
    Instagram,
    /// Any other object; empty if the delivery names none.
    Other(String),
}

impl Object {
    pub(super) fn is_whatsapp(&self) -> bool {
        matches!(self, Self::Other(name) if name.starts_with("whatsapp"))
    }
}

/// The reason why a body is not a webhook delivery: respond with 400. It shows none of the body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The body is not JSON: cut off, not UTF-8, nested too deep, or something else.
    #[error("the body is not JSON (line {}, column {})", .0.line(), .0.column())]
    NotJson(#[source] serde_json::Error),
    /// The body is JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// The body is an object without an array `entry`.
    #[error("the body has no array `entry`")]
    NoEntries,
}
