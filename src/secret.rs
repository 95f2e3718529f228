//! Secrets as newtypes that cannot be printed, serialised or compared by accident.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(SecretString);

        impl $name {
            /// Wraps a secret. Removes surrounding white space, which files and environment variables often have.
            pub fn new(secret: impl AsRef<str>) -> Self {
                Self(SecretString::from(secret.as_ref().trim()))
            }

            /// The secret itself, for a request that carries it. Keep it out of logs, errors and URLs.
            #[must_use]
            pub fn expose_secret(&self) -> &str {
                self.0.expose_secret()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::new)
            }
        }

        impl From<String> for $name {
            fn from(secret: String) -> Self {
                Self::new(secret)
            }
        }

        impl From<&str> for $name {
            fn from(secret: &str) -> Self {
                Self::new(secret)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(redacted)"))
            }
        }
    };
}

secret! {
    /// A Page access [token](crate::protocol#tokens) of our own app. It goes into the `Authorization` header, never into a
    /// URL.
    PageToken
}
secret! {
    /// A Meta app's secret, the key of [`X-Hub-Signature-256`](crate::protocol#signatures). Each app has its own.
    AppSecret
}
secret! {
    /// The token that Meta repeats in the [webhook handshake](crate::protocol#webhook-handshake).
    VerifyToken
}
secret! {
    /// An access token of [Engage Digital's API](crate::protocol#ed-bots-endpoint).
    EdToken
}

secret! {
    /// The URL of a database server, with the user's password in it.
    DatabaseUrl
}
secret! {
    /// The secret that Engage Digital repeats in a header of [its webhooks](crate::protocol#ed-events).
    EdWebhookSecret
}

/// HMAC-SHA256 keyed by an app's secret, which is Meta's webhook signature and `appsecret_proof`.
#[cfg(any(feature = "graph", feature = "webhook"))]
pub(crate) fn mac(secret: &AppSecret, text: &[u8]) -> hmac::Hmac<sha2::Sha256> {
    use hmac::{KeyInit, Mac};
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = hmac::Hmac::new_from_slice(secret.expose_secret().as_bytes()).expect("any key");
    mac.update(text);
    mac
}

/// Compares a given value with a secret, by digests of equal length, so that the time taken does not reveal the secret's
/// length.
#[cfg(feature = "webhook")]
pub(crate) fn same(given: &str, secret: &str) -> subtle::Choice {
    use sha2::{Digest, Sha256};
    use subtle::ConstantTimeEq;
    Sha256::digest(given).ct_eq(&Sha256::digest(secret))
}

/// Removes the given secrets from a remote text, because Graph repeats a malformed token in its error message.
#[cfg(any(feature = "graph", test))]
pub(crate) fn scrub(text: &str, secrets: &[&str]) -> String {
    let mut clean = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
        if clean.contains(secret) {
            clean = clean.replace(secret, "[redacted]");
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_a_secret() {
        let shown = format!("{:?} {:?}", PageToken::new("EAABtoken"), AppSecret::new("s3cret"));
        assert_eq!(shown, "PageToken(redacted) AppSecret(redacted)");
        assert_eq!(PageToken::new(" EAAB\n").expose_secret(), "EAAB");
    }

    #[test]
    fn a_repeated_token_is_taken_out() {
        assert_eq!(scrub("Malformed access token EAAB!", &["EAAB"]), "Malformed access token [redacted]!");
        assert_eq!(scrub("nothing here", &["", "EAAB"]), "nothing here");
    }
}
