//! Outgoing HTTP for all clients of this crate.
//!
//! [`ReqwestTransport`] is the default. Implement [`Transport`] to use another HTTP stack, or none in a test.

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
