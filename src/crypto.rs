//! The crypto provider of TLS connections. None is installed for the process, because the host may choose it later.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The provider that the host installed for its process, else that of the feature `ring` or `aws-lc-rs`.
///
/// # Errors
/// There is none.
pub(crate) fn provider() -> Result<Arc<CryptoProvider>, rustls::Error> {
    let installed = CryptoProvider::get_default().cloned();
    #[cfg(feature = "ring")]
    let built_in = Some(rustls::crypto::ring::default_provider());
    #[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
    let built_in = Some(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    let built_in = None;
    let none = "no crypto provider: enable the feature `ring` or `aws-lc-rs`, or install one for the process";
    installed.or_else(|| built_in.map(Arc::new)).ok_or_else(|| rustls::Error::General(none.to_owned()))
}
