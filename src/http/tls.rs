//! The TLS settings of outgoing calls. Installs no process-wide crypto provider.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls_platform_verifier::BuilderVerifierExt;

/// The crypto provider that the host installed for its process, else *ring*. It is not installed here, because the host
/// may choose the process's default later.
fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()))
}

/// HTTP/1.1 over TLS 1.2 or 1.3, with the certificates that this machine trusts.
///
/// # Errors
/// `rustls::Error` on a machine without root certificates.
pub(super) fn client_config() -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = config.with_platform_verifier()?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
