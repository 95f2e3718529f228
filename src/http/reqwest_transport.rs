//! The default transport, over reqwest and rustls.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};

use super::base_url::is_loopback;
use super::tls;
use super::transport::{Transport, TransportError};

/// The default timeout of a whole exchange: 10 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The default timeout of a connection attempt: 5 s.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The default number of idle connections that stay open to one host.
pub const DEFAULT_IDLE_CONNECTIONS: usize = 32;
/// The longest response body that is read, in bytes: 1 MiB.
pub const MAX_RESPONSE_BYTES: usize = 1024 * 1024;

/// A [`Transport`] over reqwest and rustls: HTTP/1.1, no redirects, no retries, a total timeout, and response bodies of at
/// most [`MAX_RESPONSE_BYTES`]. It uses the proxy that the environment names, except for this machine itself.
///
/// It uses the crypto provider that the host has installed for the process, else *ring* or AWS-LC, by the feature `ring` or
/// `aws-lc-rs`. It installs none, so that the host may do so before or after. A `reqwest::Client` of the host's own still needs a provider: with this crate in the build,
/// reqwest has rustls without one, unless the host enables one of reqwest's features.
#[derive(Debug, Clone)]
pub struct ReqwestTransport {
    client: reqwest::Client,
    /// Ignores the environment's proxy, so that calls to this machine stay on it.
    direct: reqwest::Client,
    max_body: usize,
}

impl ReqwestTransport {
    /// Creates a transport with the default timeouts.
    ///
    /// # Errors
    /// [`TransportError`] if TLS cannot be set up, as on a machine without root certificates.
    pub fn new() -> Result<Self, TransportError> {
        Self::with_timeouts(DEFAULT_TIMEOUT, DEFAULT_CONNECT_TIMEOUT)
    }

    /// Creates a transport that ends an exchange after `total` and a connection attempt after `connect`.
    ///
    /// # Errors
    /// As [`ReqwestTransport::new`].
    pub fn with_timeouts(total: Duration, connect: Duration) -> Result<Self, TransportError> {
        Self::with_limits(total, connect, DEFAULT_IDLE_CONNECTIONS)
    }

    /// Creates a transport with these timeouts that keeps at most `idle` unused connections open to one host.
    ///
    /// # Errors
    /// As [`ReqwestTransport::new`].
    pub fn with_limits(total: Duration, connect: Duration, idle: usize) -> Result<Self, TransportError> {
        Self::configured(|client| client.timeout(total).connect_timeout(connect).pool_max_idle_per_host(idle))
    }

    /// Creates a transport whose client the host configures: a proxy, a user agent, certificates
    /// (`tls_backend_preconfigured`), timeouts other than the defaults. Redirects and retries stay off, because they would carry
    /// the token elsewhere or double a message; calls to this machine use no proxy.
    ///
    /// ```
    /// use messenger_handover::http::ReqwestTransport;
    ///
    /// let transport = ReqwestTransport::configured(|client| client.user_agent("my-bot/1.0"))?;
    /// # Ok::<(), messenger_handover::http::TransportError>(())
    /// ```
    ///
    /// # Errors
    /// As [`ReqwestTransport::new`], or if a setting cannot be used.
    pub fn configured(
        configure: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Self, TransportError> {
        let tls = tls::client_config().map_err(TransportError::not_sent)?;
        let client = || {
            let client = reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .timeout(DEFAULT_TIMEOUT)
                .connect_timeout(DEFAULT_CONNECT_TIMEOUT)
                .pool_max_idle_per_host(DEFAULT_IDLE_CONNECTIONS);
            configure(client).redirect(reqwest::redirect::Policy::none()).retry(reqwest::retry::never())
        };
        let direct = client().no_proxy().build().map_err(TransportError::not_sent)?;
        let client = client().build().map_err(TransportError::not_sent)?;
        Ok(Self { client, direct, max_body: MAX_RESPONSE_BYTES })
    }
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let request = reqwest::Request::try_from(request).map_err(failed)?;
        let client = if is_loopback(request.url()) { &self.direct } else { &self.client };
        let mut answer = client.execute(request).await.map_err(failed)?;
        let within = |bytes: usize| {
            let limit = self.max_body;
            if bytes <= limit { Ok(()) } else { Err(TransportError::lost(BodyTooLarge { limit })) }
        };
        // Nearly all bodies are one chunk, which needs no copy.
        let mut body = answer.chunk().await.map_err(failed)?.unwrap_or_default();
        within(body.len())?;
        if let Some(second) = answer.chunk().await.map_err(failed)? {
            let (mut all, mut next) = (BytesMut::from(body), Some(second));
            while let Some(chunk) = next {
                within(all.len() + chunk.len())?;
                all.extend_from_slice(&chunk);
                next = answer.chunk().await.map_err(failed)?;
            }
            body = all.freeze();
        }
        let mut response = Response::new(body);
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

/// A response body over the limit. It is the source of a [`TransportError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("response body over {limit} bytes")]
#[non_exhaustive]
pub struct BodyTooLarge {
    /// The limit in bytes.
    pub limit: usize,
}

fn failed(error: reqwest::Error) -> TransportError {
    // There was no connection, or the request could not be built.
    let never_left = error.is_connect() || error.is_builder();
    let timed_out = error.is_timeout();
    // reqwest's errors show the URL, which has the customer's id in its query.
    let mut failed = TransportError::lost(error.without_url());
    failed.may_have_sent = !never_left;
    failed.timed_out = timed_out;
    failed
}
