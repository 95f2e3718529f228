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
                let secret = Self::new(deserializer.deserialize_any(Text)?);
                if secret.expose_secret().is_empty() {
                    return Err(serde::de::Error::custom("a secret must not be empty"));
                }
                Ok(secret)
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

/// Reads a secret. A token of digits is a number in some formats; an error must not repeat what it read.
struct Text;

impl serde::de::Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret as text")
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<String, E> {
        Err(E::custom("a secret must be text"))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<String, E> {
        Err(E::custom("a secret must be text, in quotes"))
    }
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
    fn secrets_are_read_from_text_and_digits_and_errors_do_not_show_them() {
        let read = |json: &str| serde_json::from_str::<AppSecret>(json);
        assert_eq!(read("\"s3cret\"").unwrap().expose_secret(), "s3cret");
        assert_eq!(read("123456789").unwrap().expose_secret(), "123456789");
        for wrong in
            ["-123456789", "12345.6789", "1234567890123456789012345", "[\"s3cret\"]", "true", "null", "\" \""]
        {
            let error = read(wrong).unwrap_err().to_string();
            assert!(!error.contains("12345") && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_repeated_token_is_taken_out() {
        assert_eq!(scrub("Malformed access token EAAB!", &["EAAB"]), "Malformed access token [redacted]!");
        assert_eq!(scrub("nothing here", &["", "EAAB"]), "nothing here");
    }
}
