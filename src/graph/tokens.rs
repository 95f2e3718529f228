//! Where the tokens of Pages come from, and what is sent with them.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use hmac::Mac;
use http::HeaderValue;

use super::error::BuildError;
use crate::http::bearer;
use crate::id::{AppId, PageId};
use crate::secret::{AppSecret, PageToken, mac};

/// Gives the client the tokens of its Pages: a vault, a database, an OAuth service. Asked before each
/// call, so it should remember what it gave.
#[async_trait]
pub trait TokenProvider: fmt::Debug + Send + Sync + 'static {
    /// The token of a Page.
    ///
    /// It must end by itself: nobody sets a timeout above it. Dropping the future must do no harm.
    ///
    /// # Errors
    /// [`TokenError`]. Nothing is sent to the platform then.
    async fn page_token(&self, page: &PageId) -> Result<PageToken, TokenError>;

    /// The platform refused this token (190, 102): whatever is remembered is out of date. The client
    /// asks for the Page's token once more, and makes the call again if it is another one.
    async fn refused(&self, _page: &PageId, _token: &PageToken) {}
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The Page is not known: connect it.
    #[error("no token for this Page")]
    UnknownPage,
    /// The place where tokens are kept did not answer: try again later. The source must hold no secret.
    #[error("the token could not be fetched")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
}

/// A token, ready to be sent.
pub(super) struct Auth {
    pub(super) token: PageToken,
    pub(super) header: HeaderValue,
    /// `appsecret_proof`: lower-case hex HMAC-SHA256 of the token, keyed by the app's secret (facts §3.3).
    pub(super) proof: Option<String>,
}

impl Auth {
    pub(super) fn new(token: PageToken, app: Option<&App>) -> Option<Self> {
        if token.expose_secret().is_empty()
            || !token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic())
        {
            return None;
        }
        let header = bearer(token.expose_secret())?;
        let proof = app.map(|app| app.proof(&token));
        Some(Self { token, header, proof })
    }

    /// Refuses a Page's token that cannot be sent at all.
    pub(super) fn of_page(
        page: &PageId,
        token: PageToken,
        app: Option<&App>,
    ) -> Result<Arc<Self>, BuildError> {
        Self::new(token, app).map(Arc::new).ok_or_else(|| BuildError::Token { page: page.clone() })
    }

    /// What must not appear in the platform's words.
    pub(super) fn secrets(&self) -> [&str; 2] {
        [self.token.expose_secret(), self.proof.as_deref().unwrap_or_default()]
    }
}

/// Our app, where the client knows its secret.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) id: AppId,
    pub(super) secret: AppSecret,
}

impl App {
    fn proof(&self, token: &PageToken) -> String {
        hex::encode(mac(&self.secret, token.expose_secret().as_bytes()).finalize().into_bytes())
    }

    /// The app access token, as Graph takes it without a call for one.
    pub(super) fn token(&self) -> PageToken {
        PageToken::new(format!("{}|{}", self.id, self.secret.expose_secret()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_proof() {
        // Computed with another implementation.
        let app = App { id: AppId::from(1), secret: AppSecret::new("key") };
        let auth = Auth::new(PageToken::new("token"), Some(&app)).unwrap();
        let expected = "646b8eac0c4ae4178299c9bd924e2bf073dfb07e024901a8c864f65b9462bf0d";
        assert_eq!(auth.proof.as_deref(), Some(expected));
        assert!(Auth::new(PageToken::new("to ken"), None).is_none());
    }
}
