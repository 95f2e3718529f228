//! Meta's webhooks: verifies [handshakes](crate::protocol#webhook-handshake) and [signatures](crate::protocol#signatures)
//! and parses [deliveries](crate::protocol#webhook-envelope).
//!
//! ```
//! use messenger_handover::secret::AppSecret;
//! use messenger_handover::webhook::{Item, Verifier, parse, sign};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = AppSecret::new("the app's secret");
//! let verifier = Verifier::new(secret.clone());
//!
//! // From the web framework: the raw body, and the header `X-Hub-Signature-256`.
//! let body = br#"{"object":"page","entry":[{"id":"10","messaging":[{"sender":{"id":"20"},
//!     "recipient":{"id":"10"},"timestamp":1700000000000,"message":{"mid":"m1","text":"hi"}}]}]}"#;
//! let header = sign(&secret, body);
//!
//! let delivery = parse(&verifier.verify(Some(&header), body)?)?;
//! assert!(matches!(delivery.items[..], [Item::Event { .. }]));
//! # Ok(())
//! # }
//! ```
//!
//! Respond with 200 within 5 s, even to a delivery with an [`Item::Unknown`], because Meta
//! [redelivers](crate::protocol#redelivery) refused deliveries and switches the webhook off after an hour.
//! [`Endpoint`] does all of this.

mod body;
mod delivery;
#[cfg(feature = "service")]
pub(crate) mod endpoint;
mod handshake;
mod item;
mod json;
mod parse;
mod signature;
mod tolerant;
mod typed;

#[cfg(test)]
mod tests;

pub use delivery::{Delivery, Object, ParseError};
#[cfg(feature = "service")]
pub use endpoint::Endpoint;
pub use handshake::{HandshakeError, handshake};
pub use item::Item;
pub(crate) use json::read as read_tolerantly;
pub use parse::{dangerous_parse_unverified, parse};
pub use signature::{DEFAULT_MAX_BODY, SIGNATURE_HEADER, SignatureError, VerifiedBody, Verifier, sign};
