//! Supplies the Pages' tokens and the header and proof that each call carries.

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

/// Supplies the tokens of Pages, from a vault, a database or an OAuth service. The client asks before each call, so an
/// implementation should cache tokens.
#[async_trait]
pub trait TokenProvider: fmt::Debug + Send + Sync + 'static {
    /// Returns the token of a Page.
    ///
    /// An implementation must have its own timeout, because callers set none. Dropping the future must do no harm.
    ///
    /// # Errors
    /// [`TokenError`], if there is no token. The client makes no call then.
    async fn page_token(&self, page: &PageId) -> Result<PageToken, TokenError>;

    /// Called when the platform refused this token (190, 102): drop it from the cache. The client then asks for the
    /// Page's token once more and, if it is another one, repeats the call.
    async fn refused(&self, _page: &PageId, _token: &PageToken) {}
}

/// The reason why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The provider does not know the Page: connect it.
    #[error("no token for this Page")]
    UnknownPage,
    /// The place that holds the tokens did not respond: retry later. The source must hold no secret.
    #[error("the token could not be fetched")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
}

/// A token with its header and proof.
pub(super) struct Auth {
    pub(super) token: PageToken,
    pub(super) header: HeaderValue,
    /// `appsecret_proof`: HMAC-SHA256 of the token, keyed by the app's secret, in lower-case hex
    /// (docs/protocol.md#tokens).
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

    /// Likewise for a Page's token, with an error that names the Page.
    pub(super) fn of_page(
        page: &PageId,
        token: PageToken,
        app: Option<&App>,
    ) -> Result<Arc<Self>, BuildError> {
        Self::new(token, app).map(Arc::new).ok_or_else(|| BuildError::Token { page: page.clone() })
    }

    /// The secrets to remove from the platform's error messages.
    pub(super) fn secrets(&self) -> [&str; 2] {
        [self.token.expose_secret(), self.proof.as_deref().unwrap_or_default()]
    }
}

/// Our app's id and secret.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) id: AppId,
    pub(super) secret: AppSecret,
}

impl App {
    fn proof(&self, token: &PageToken) -> String {
        hex::encode(mac(&self.secret, token.expose_secret().as_bytes()).finalize().into_bytes())
    }

    /// The app access token in the form `id|secret`, which needs no call.
    pub(super) fn token(&self) -> PageToken {
        PageToken::new(format!("{}|{}", self.id, self.secret.expose_secret()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_proof() {
        // The expected value was computed with another implementation.
        let app = App { id: AppId::from(1), secret: AppSecret::new("key") };
        let auth = Auth::new(PageToken::new("token"), Some(&app)).unwrap();
        let expected = "646b8eac0c4ae4178299c9bd924e2bf073dfb07e024901a8c864f65b9462bf0d";
        assert_eq!(auth.proof.as_deref(), Some(expected));
        assert!(Auth::new(PageToken::new("to ken"), None).is_none());
    }
}
