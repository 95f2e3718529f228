//! The builder of a [`GraphClient`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use url::Url;

use super::client::{GraphClient, Shared};
use super::clock::Clock;
use super::error::BuildError;
use super::info::DEFAULT_VERSION;
use super::pace::Pace;
use super::request::Root;
use super::tokens::{App, Auth, TokenProvider};
use crate::http::{
    DEFAULT_CONNECT_TIMEOUT, DEFAULT_IDLE_CONNECTIONS, DEFAULT_TIMEOUT, InvalidBaseUrl, ReqwestTransport,
    Transport, check_base_url,
};
use crate::id::{AppId, PageId};
use crate::secret::{AppSecret, PageToken};

const DEFAULT_BASE_URL: &str = "https://graph.facebook.com";
const INSTAGRAM_BASE_URL: &str = "https://graph.instagram.com";

/// Builds a [`GraphClient`]. Start with [`GraphClient::builder`], add Pages or a token provider, and call
/// [`build`](Self::build).
#[derive(Debug, Default)]
#[must_use = "nothing is built until `build`"]
pub struct GraphClientBuilder {
    base_url: Option<Url>,
    allow_http: bool,
    version: Option<String>,
    by_id: bool,
    app: Option<App>,
    pages: Vec<(PageId, PageToken)>,
    /// The first Page whose id is invalid.
    invalid: Option<BuildError>,
    provider: Option<Arc<dyn TokenProvider>>,
    unpaced: bool,
    timeout: Option<Duration>,
    idle_connections: Option<usize>,
    transport: Option<Arc<dyn Transport>>,
}

impl GraphClient {
    /// Creates a builder with the default settings.
    pub fn builder() -> GraphClientBuilder {
        GraphClientBuilder::default()
    }
}

impl GraphClientBuilder {
    /// Sets the base URL of Graph, by default `https://graph.facebook.com`. A path in it becomes a prefix of all paths.
    /// Plain `http` is accepted for this machine only; see [`dangerous_allow_http`](Self::dangerous_allow_http).
    pub fn base_url(mut self, base_url: Url) -> Self {
        self.base_url = Some(base_url);
        self
    }

    /// Accepts a base URL of another machine without TLS. Use it only for a simulator in a closed network, because every
    /// call sends a Page token that anybody on the way can read.
    pub fn dangerous_allow_http(mut self) -> Self {
        self.allow_http = true;
        self
    }

    /// Sets the [Graph version](crate::protocol#versions), as in `v27.0`. Default: [`DEFAULT_VERSION`].
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Adds a Page (or Instagram account) with its token. Call it once for each Page; the last token of a Page counts. To
    /// add a Page to a running client, use [`GraphClient::set_page`].
    pub fn page(mut self, page: impl TryInto<PageId, Error: fmt::Display>, token: PageToken) -> Self {
        match page.try_into() {
            Ok(page) => self.pages.push((page, token)),
            Err(why) => drop(self.invalid.get_or_insert(BuildError::PageId(why.to_string()))),
        }
        self
    }

    /// Calls `graph.instagram.com`, for Instagram accounts without a Facebook Page
    /// ([Instagram Login](crate::protocol#instagram-login)). Add each account with its own token. Only vendors describe
    /// thread control there, and they say that take and request are refused.
    pub fn instagram_login(mut self) -> Self {
        self.base_url = Url::parse(INSTAGRAM_BASE_URL).ok();
        self
    }

    /// Puts the Page's id into paths instead of `me`. The default `me` resolves through the token, so that you need not
    /// know whether a Page id or an Instagram id belongs there ([paths](crate::protocol#graph-paths)).
    pub fn address_pages_by_id(mut self) -> Self {
        self.by_id = true;
        self
    }

    /// Sets our app and its secret. Every call then carries [`appsecret_proof`](crate::protocol#tokens), which an app can
    /// be set to require, and [`GraphClient::debug_token`] uses the app's own token.
    pub fn app(mut self, id: AppId, secret: AppSecret) -> Self {
        self.app = Some(App { id, secret });
        self
    }

    /// Sets the provider of tokens for Pages that were not added with [`page`](Self::page).
    pub fn tokens(mut self, provider: Arc<dyn TokenProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Turns off the client's [rate limiting](crate::graph#rate-limits-and-restrictions). Use it only if something else
    /// keeps the platform's limits.
    pub fn unpaced(mut self) -> Self {
        self.unpaced = true;
        self
    }

    /// Sets the timeout of one call, by default [`DEFAULT_TIMEOUT`] (10 s). For the built-in transport only: your own transport
    /// needs its own timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how many idle connections to Graph stay open, by default [`DEFAULT_IDLE_CONNECTIONS`] (32); 0 closes each after its
    /// call. The total number of connections is the number of concurrent calls, which `handover::Builder::calls_at_once`
    /// limits. For the built-in transport only.
    pub fn idle_connections(mut self, connections: usize) -> Self {
        self.idle_connections = Some(connections);
        self
    }

    /// Sets a transport to use instead of [`ReqwestTransport`].
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Builds the client, without making a call.
    ///
    /// # Errors
    /// [`BuildError`] names the invalid setting.
    pub fn build(self) -> Result<GraphClient, BuildError> {
        if let Some(invalid) = self.invalid {
            return Err(invalid);
        }
        let base_url = match self.base_url {
            Some(url) => url,
            None => Url::parse(DEFAULT_BASE_URL).map_err(|_| InvalidBaseUrl::Shape)?,
        };
        check_base_url(&base_url, self.allow_http)?;
        let version = self.version.unwrap_or_else(|| DEFAULT_VERSION.to_owned());
        if !is_version(&version) {
            return Err(BuildError::Version);
        }
        let mut pages = HashMap::with_capacity(self.pages.len());
        for (page, token) in self.pages {
            let auth = Auth::of_page(&page, token, self.app.as_ref())?;
            pages.insert(page, auth);
        }
        let transport = match self.transport {
            Some(_) if self.timeout.is_some() => return Err(BuildError::TimeoutOfOwnTransport),
            Some(_) if self.idle_connections.is_some() => {
                return Err(BuildError::IdleConnectionsOfOwnTransport);
            }
            Some(transport) => transport,
            None => {
                let total = self.timeout.unwrap_or(DEFAULT_TIMEOUT);
                if total.is_zero() {
                    return Err(BuildError::ZeroTimeout);
                }
                let connect = DEFAULT_CONNECT_TIMEOUT.min(total);
                let idle = self.idle_connections.unwrap_or(DEFAULT_IDLE_CONNECTIONS);
                Arc::new(ReqwestTransport::with_limits(total, connect, idle)?)
            }
        };
        if self.app.as_ref().is_some_and(|app| app.secret.expose_secret().is_empty()) {
            return Err(BuildError::EmptyAppSecret);
        }
        Ok(GraphClient::assemble(Shared {
            root: Root { base_url, version, by_id: self.by_id },
            app: self.app,
            pages: RwLock::new(pages),
            provider: self.provider,
            pace: (!self.unpaced).then(Pace::default),
            transport,
            clock: Clock::default(),
        }))
    }
}

fn is_version(version: &str) -> bool {
    let number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    version
        .strip_prefix('v')
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(major, minor)| number(major) && number(minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn nonsense_cannot_be_built() {
        let build = |text| GraphClient::builder().base_url(url(text)).build();
        assert!(matches!(build("https://a/?x=1"), Err(BuildError::BaseUrl(InvalidBaseUrl::Shape))));
        assert!(matches!(
            build("http://graph.facebook.com"),
            Err(BuildError::BaseUrl(InvalidBaseUrl::PlainHttp))
        ));
        let open = GraphClient::builder().base_url(url("http://sim:8080")).dangerous_allow_http().build();
        assert!(open.is_ok());
        for bad in ["22.0", "v22", "v22.", "v.0", "v22.0/me", "v2x.0", "", "LATEST"] {
            let client = GraphClient::builder().version(bad).build();
            assert!(matches!(client, Err(BuildError::Version)), "{bad}");
        }
        assert!(GraphClient::builder().version("v22.0").build().is_ok());
        for bad in ["", " ", "EAAB\nX: y", "EA AB", "EAÄB"] {
            let client = GraphClient::builder().page(PageId::from(1), bad.into()).build();
            let error = client.unwrap_err();
            assert!(matches!(error, BuildError::Token { .. }), "{bad:?}");
            assert!(!error.to_string().contains("EA"), "{error}");
        }
        let zero = GraphClient::builder().timeout(Duration::ZERO).build();
        assert!(matches!(zero, Err(BuildError::ZeroTimeout)));
    }
}
