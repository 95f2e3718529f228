//! Verifies and makes `X-Hub-Signature-256`, the HMAC-SHA256 of the raw body, keyed by the app's secret
//! (docs/protocol.md#signatures).

use std::fmt;

use hmac::Mac;

use crate::secret::{AppSecret, mac};

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "x-hub-signature-256";

/// The default limit of a body, in bytes: 4 MiB. A [batch of 1,000 updates](crate::protocol#redelivery) is far below it.
pub const DEFAULT_MAX_BODY: usize = 4 * 1024 * 1024;

const PREFIX: &str = "sha256=";

/// Checks that a webhook's body comes from Meta. Create one for each app, because each app has its own
/// [secret](crate::protocol#signatures). For an app that only uses Instagram Login, use the Instagram app's secret.
#[derive(Debug, Clone)]
pub struct Verifier {
    current: AppSecret,
    previous: Option<AppSecret>,
    max_body: usize,
}

impl Verifier {
    /// Creates a verifier for bodies of at most [`DEFAULT_MAX_BODY`] bytes.
    #[must_use]
    pub fn new(secret: AppSecret) -> Self {
        Self { current: secret, previous: None, max_body: DEFAULT_MAX_BODY }
    }

    /// Also accepts signatures with the previous secret. Use it while a secret is being replaced, because deliveries signed
    /// with either arrive.
    #[must_use]
    pub fn with_previous(mut self, previous: AppSecret) -> Self {
        self.previous = Some(previous);
        self
    }

    /// Sets the longest accepted body, in bytes, by default [`DEFAULT_MAX_BODY`]. Set a limit in the web framework too,
    /// because here the body is already in memory.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Checks a body against its `X-Hub-Signature-256` header. Pass the bytes exactly as they were received.
    ///
    /// # Errors
    /// [`SignatureError`]. Respond with 413 to [`SignatureError::TooLarge`], with 401 to the others, and ignore the request.
    pub fn verify<'a>(
        &self,
        header: Option<&str>,
        body: &'a [u8],
    ) -> Result<VerifiedBody<'a>, SignatureError> {
        if body.len() > self.max_body {
            return Err(SignatureError::TooLarge { limit: self.max_body });
        }
        let signature = self.signature(header)?;
        let secrets = [Some(&self.current), self.previous.as_ref()];
        // Anybody can sign with an empty key.
        let mut secrets = secrets.into_iter().flatten().filter(|secret| !is_empty(secret));
        if secrets.any(|secret| mac(secret, body).verify_slice(&signature).is_ok()) {
            Ok(VerifiedBody(body))
        } else {
            Err(SignatureError::Mismatch)
        }
    }

    /// Checks the form of the `X-Hub-Signature-256` header before the body is read. Still call [`verify`](Self::verify) with
    /// the body.
    ///
    /// # Errors
    /// [`SignatureError::Missing`], [`SignatureError::Malformed`] or [`SignatureError::NoSecret`]. Respond with 401 and do
    /// not read the body.
    pub fn check_header(&self, header: Option<&str>) -> Result<(), SignatureError> {
        self.signature(header).map(drop)
    }

    #[cfg(feature = "service")]
    pub(crate) fn longest(&self) -> usize {
        self.max_body
    }

    fn signature(&self, header: Option<&str>) -> Result<[u8; 32], SignatureError> {
        if is_empty(&self.current) {
            return Err(SignatureError::NoSecret);
        }
        let hex = header.ok_or(SignatureError::Missing)?.trim().strip_prefix(PREFIX);
        let mut signature = [0; 32];
        hex::decode_to_slice(hex.ok_or(SignatureError::Malformed)?, &mut signature)
            .map_err(|_| SignatureError::Malformed)?;
        Ok(signature)
    }
}

/// A body whose signature is verified. Only [`Verifier::verify`] creates it.
#[derive(Clone, Copy)]
pub struct VerifiedBody<'a>(&'a [u8]);

impl<'a> VerifiedBody<'a> {
    /// The raw bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for VerifiedBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedBody({} bytes)", self.0.len())
    }
}

/// The reason why a body is refused. It never shows a signature, because a reader of the error could forge with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The header is missing, so the request is not Meta's: Meta always sends it.
    #[error("the header {SIGNATURE_HEADER} is missing")]
    Missing,
    /// The header is not `sha256=` and 64 hexadecimal digits, so the request is not Meta's.
    #[error("the header {SIGNATURE_HEADER} is not `sha256=` and 64 hexadecimal digits")]
    Malformed,
    /// Another secret signed the body, or something changed the body on the way. Compare the secret with the app's settings,
    /// and verify the bytes as they were received, before any decoding.
    #[error("the signature does not fit: another app's secret, or not the raw body")]
    Mismatch,
    /// The body is over the limit: raise [`Verifier::max_body`] if Meta sent it.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The app secret is empty: configure it.
    #[error("the app secret is empty, so nothing can be verified: check the configuration")]
    NoSecret,
}

impl SignatureError {
    /// The reason's name in the log.
    #[cfg(feature = "service")]
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "signature_missing",
            Self::Malformed => "signature_malformed",
            Self::Mismatch => "signature_mismatch",
            Self::TooLarge { .. } => "too_large",
            Self::NoSecret => "no_app_secret",
        }
    }
}

/// Makes the `X-Hub-Signature-256` that Meta would send for a body. Use it to test a webhook handler.
#[must_use]
pub fn sign(secret: &AppSecret, body: &[u8]) -> String {
    format!("{PREFIX}{}", hex::encode(mac(secret, body).finalize().into_bytes()))
}

fn is_empty(secret: &AppSecret) -> bool {
    secret.expose_secret().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> AppSecret {
        AppSecret::new(text)
    }

    #[test]
    fn a_known_code() {
        // The expected value was computed with another implementation.
        let header = sign(&secret("key"), b"The quick brown fox jumps over the lazy dog");
        assert_eq!(header, "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");
    }

    #[test]
    fn only_the_raw_bytes_count() {
        let verifier = Verifier::new(secret("s3cret"));
        // Meta escapes the body and signs it in that form.
        let escaped = br#"{"text":"\u00e4\u00f6\u00e5"}"#;
        let header = sign(&secret("s3cret"), escaped);
        assert_eq!(verifier.verify(Some(&header), escaped).unwrap().bytes(), escaped);
        let decoded = r#"{"text":"äöå"}"#.as_bytes();
        assert_eq!(verifier.verify(Some(&header), decoded).unwrap_err(), SignatureError::Mismatch);
        let upper = header.to_uppercase().replace("SHA256", "sha256");
        assert!(verifier.verify(Some(&upper), escaped).is_ok());
    }

    #[test]
    fn the_previous_secret_counts_and_no_other() {
        let verifier = Verifier::new(secret("new")).with_previous(secret("old"));
        for (signer, right) in [("new", true), ("old", true), ("another app", false), ("", false)] {
            let header = sign(&secret(signer), b"body");
            assert_eq!(verifier.verify(Some(&header), b"body").is_ok(), right, "{signer}");
        }
        let alone = Verifier::new(secret("new"));
        assert!(alone.verify(Some(&sign(&secret("old"), b"body")), b"body").is_err());
    }

    #[test]
    fn an_empty_secret_verifies_nothing() {
        let forged = sign(&secret(""), b"body");
        let result = Verifier::new(secret("")).verify(Some(&forged), b"body");
        assert_eq!(result.unwrap_err(), SignatureError::NoSecret);
        let verifier = Verifier::new(secret("new")).with_previous(secret(" "));
        assert_eq!(verifier.verify(Some(&forged), b"body").unwrap_err(), SignatureError::Mismatch);
    }

    #[test]
    fn what_is_no_signature() {
        let verifier = Verifier::new(secret("s"));
        assert_eq!(verifier.verify(None, b"x").unwrap_err(), SignatureError::Missing);
        assert_eq!(verifier.check_header(None).unwrap_err(), SignatureError::Missing);
        let good = sign(&secret("s"), b"x");
        let short = &good[..good.len() - 2];
        let long = format!("{good}00");
        for header in ["", "sha256=", "sha1=00", "SHA256=00", "=", short, &long, &good[7..], "sha256=é"] {
            let error = verifier.verify(Some(header), b"x").unwrap_err();
            assert_eq!(error, SignatureError::Malformed, "{header}");
            assert_eq!(verifier.check_header(Some(header)).unwrap_err(), error);
            assert!(!format!("{error} {error:?} {verifier:?}").contains(&good[7..]));
        }
        // A well-formed header of another app passes, because only the body shows the difference.
        assert_eq!(verifier.check_header(Some(&sign(&secret("another"), b"x"))), Ok(()));
        assert_eq!(Verifier::new(secret("")).check_header(Some(&good)), Err(SignatureError::NoSecret));
    }

    #[test]
    fn ten_megabytes_are_refused_before_anything_else() {
        let body = vec![b' '; 10 * 1024 * 1024];
        let header = sign(&secret("s"), &body);
        let error = Verifier::new(secret("s")).verify(Some(&header), &body).unwrap_err();
        assert_eq!(error, SignatureError::TooLarge { limit: DEFAULT_MAX_BODY });
        let wide = Verifier::new(secret("s")).max_body(body.len());
        assert_eq!(
            format!("{:?}", wide.verify(Some(&header), &body).unwrap()),
            "VerifiedBody(10485760 bytes)"
        );
    }
}
