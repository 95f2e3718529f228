//! The handshake with which Meta checks a webhook's URL (docs/protocol.md#webhook-handshake).

use crate::secret::{VerifyToken, same};

/// Checks a [handshake](crate::protocol#webhook-handshake) and returns its challenge. Respond with 200 and the unchanged
/// challenge as plain text.
///
/// `query` is the URL's raw query. Its names may have underscores for dots, as in PHP.
///
/// # Errors
/// [`HandshakeError`]: respond with 403.
pub fn handshake(token: &VerifyToken, query: &str) -> Result<String, HandshakeError> {
    if token.expose_secret().is_empty() {
        return Err(HandshakeError::NoToken);
    }
    let query = query.strip_prefix('?').unwrap_or(query);
    let (mut mode, mut given, mut challenge) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let slot = match name.as_ref() {
            "hub.mode" | "hub_mode" => &mut mode,
            "hub.verify_token" | "hub_verify_token" => &mut given,
            "hub.challenge" | "hub_challenge" => &mut challenge,
            _ => continue,
        };
        slot.get_or_insert(value);
    }
    if mode.ok_or(HandshakeError::Missing("hub.mode"))? != "subscribe" {
        return Err(HandshakeError::Mode);
    }
    let given = given.ok_or(HandshakeError::Missing("hub.verify_token"))?;
    if !bool::from(same(&given, token.expose_secret())) {
        return Err(HandshakeError::Token);
    }
    let challenge = challenge.filter(|challenge| !challenge.is_empty());
    challenge.map(Into::into).ok_or(HandshakeError::Missing("hub.challenge"))
}

/// The reason why a handshake is refused. It never shows a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A parameter is missing, so the request is not Meta's handshake.
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    /// The mode is not `subscribe`, so the request is not Meta's handshake.
    #[error("hub.mode is not `subscribe`")]
    Mode,
    /// The token is another one: compare it with the app's webhook settings.
    #[error("hub.verify_token is not ours: compare it with the app's webhook settings")]
    Token,
    /// Our own token is empty: configure it.
    #[error("the verify token is empty, so nobody can be verified: check the configuration")]
    NoToken,
}

impl HandshakeError {
    /// The reason's name in the log.
    #[cfg(feature = "service")]
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing(_) | Self::Mode => "not_a_handshake",
            Self::Token => "verify_token_mismatch",
            Self::NoToken => "no_verify_token",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_comes_back_raw() {
        let token = VerifyToken::new("my tokén");
        for query in [
            "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=my+tok%C3%A9n",
            "?hub_mode=subscribe&hub_verify_token=my%20tok%c3%a9n&hub_challenge=1158201444&x=1",
        ] {
            assert_eq!(handshake(&token, query).unwrap(), "1158201444");
        }
        let odd = "hub.mode=subscribe&hub.verify_token=my+tok%C3%A9n&hub.challenge=a%2Bb%26c";
        assert_eq!(handshake(&token, odd).unwrap(), "a+b&c");
    }

    #[test]
    fn everything_else_is_refused() {
        use HandshakeError::*;
        let token = VerifyToken::new("right");
        for (query, expected) in [
            ("", Missing("hub.mode")),
            ("%ff%00&&==", Missing("hub.mode")),
            ("hub.mode=unsubscribe&hub.verify_token=right&hub.challenge=1", Mode),
            ("hub.mode=subscribe&hub.challenge=1", Missing("hub.verify_token")),
            ("hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1", Token),
            ("hub.mode=subscribe&hub.verify_token=&hub.challenge=1", Token),
            ("hub.mode=subscribe&hub.verify_token=wrong&hub.verify_token=right&hub.challenge=1", Token),
            ("hub.mode=subscribe&hub.verify_token=right", Missing("hub.challenge")),
            ("hub.mode=subscribe&hub.verify_token=right&hub.challenge=", Missing("hub.challenge")),
        ] {
            assert_eq!(handshake(&token, query).unwrap_err(), expected, "{query}");
        }
        let open = handshake(&VerifyToken::new(""), "hub.mode=subscribe&hub.verify_token=&hub.challenge=1");
        assert_eq!(open.unwrap_err(), NoToken);
    }
}
