//! The TLS settings of outgoing calls.

use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;

use crate::crypto;

/// HTTP/1.1 over TLS 1.2 or 1.3, with the certificates that this machine trusts.
///
/// # Errors
/// `rustls::Error` on a machine without root certificates.
pub(super) fn client_config() -> Result<ClientConfig, rustls::Error> {
    let config =
        ClientConfig::builder_with_provider(crypto::provider()?).with_safe_default_protocol_versions()?;
    let mut config = config.with_platform_verifier()?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
