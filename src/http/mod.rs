//! Outgoing HTTP, for every client of this crate: the transport, where calls may go, and what an answer's headers and
//! statuses say.
//!
//! To speak through another HTTP stack, or to none in a test, implement [`Transport`].

mod answer;
mod base_url;
mod reqwest_transport;
mod tls;
mod transport;

pub(crate) use answer::{bearer, date, is_unclear, not_answered, one_line, retry_after};
pub use base_url::InvalidBaseUrl;
pub(crate) use base_url::check_base_url;
pub use reqwest_transport::{
    BodyTooLarge, DEFAULT_CONNECT_TIMEOUT, DEFAULT_IDLE_CONNECTIONS, DEFAULT_TIMEOUT, MAX_RESPONSE_BYTES,
    ReqwestTransport,
};
pub use transport::{Transport, TransportError};
