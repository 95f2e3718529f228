//! The [handshake](messenger_handover::protocol#webhook-handshake) by which Meta verifies a callback.

use url::Url;

use super::state::Shared;
use messenger_handover::id::AppId;

/// The reason why Meta would not accept a callback.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The app does not exist or has no callback.
    #[error("the app has no callback")]
    NoCallback,
    /// The callback is not a URL.
    #[error("the callback is no URL")]
    BadUrl(#[source] url::ParseError),
    /// The callback did not respond.
    #[error("the callback did not answer")]
    NoAnswer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The callback responded with another status than 200.
    #[error("the callback answered with status {0}")]
    Status(u16),
    /// The callback did not repeat the challenge.
    #[error("the callback did not repeat the challenge")]
    WrongChallenge,
}

/// Asks the callback of an app to repeat a challenge.
pub(super) async fn verify(shared: &Shared, app: &AppId) -> Result<(), HandshakeError> {
    let (url, challenge) = {
        let mut state = shared.lock();
        let challenge = state.tick().as_millis().to_string();
        let app = state.platform.app(app).ok_or(HandshakeError::NoCallback)?;
        let url = app.callback.as_deref().ok_or(HandshakeError::NoCallback)?;
        let mut url = Url::parse(url).map_err(HandshakeError::BadUrl)?;
        url.query_pairs_mut()
            .append_pair("hub.mode", "subscribe")
            .append_pair("hub.challenge", &challenge)
            .append_pair("hub.verify_token", app.verify_token.expose_secret());
        (url, challenge)
    };
    // The URL holds the verify token, so no error may repeat it.
    let no_answer = |error: reqwest::Error| HandshakeError::NoAnswer(error.without_url().into());
    let answer = shared.client.get(url).send().await.map_err(no_answer)?;
    if answer.status().as_u16() != 200 {
        return Err(HandshakeError::Status(answer.status().as_u16()));
    }
    let repeated = answer.text().await.map_err(no_answer)?;
    if repeated == challenge { Ok(()) } else { Err(HandshakeError::WrongChallenge) }
}
