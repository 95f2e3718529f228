//! Meta's webhooks: is it Meta (facts §4.2, §4.3), and what does it say (facts §4.5 to §4.8)?
//!
//! ```
//! use messenger_handover::secret::AppSecret;
//! use messenger_handover::webhook::{Item, Verifier, parse, sign};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = AppSecret::new("the app's secret");
//! let verifier = Verifier::new(secret.clone());
//!
//! // What the web framework hands over: the raw body, and `X-Hub-Signature-256`.
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
//! Answer 200 within 5 seconds, also where an [`Item::Unknown`] is not understood: Meta repeats what is
//! not accepted and switches the webhook off after an hour (facts §4.4). [`Endpoint`] does all of it.

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
