//! The settings that both example hosts read from their environment, and their HTTP server.

pub mod serve;

use std::error::Error;

use messenger_handover::id::{AppId, PageId};
use messenger_handover::policy::ThreadControlPolicy;
use messenger_handover::secret::{AppSecret, EdToken, PageToken, VerifyToken};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use url::Url;

use serve::Limits;

/// The settings of one host: its app, its Page, and its access to Graph. Secrets are never printed.
#[derive(Debug, Clone)]
pub struct Settings {
    pub graph_url: Url,
    pub page: PageId,
    pub page_token: PageToken,
    pub app: AppId,
    pub app_secret: AppSecret,
    pub verify_token: VerifyToken,
    pub ed_token: EdToken,
    pub policy: ThreadControlPolicy,
    /// Limits for unauthenticated clients.
    pub limits: Limits,
}

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// A variable is missing or invalid: the error names it.
    pub fn from_env() -> Result<Self, Box<dyn Error>> {
        let settings = messenger_handover::settings::Settings::from_env()?;
        Ok(Self {
            graph_url: settings.graph_url.ok_or("GRAPH_URL: missing (where Graph is)")?,
            page: settings.page_id,
            page_token: settings.page_token,
            app: settings.app_id,
            app_secret: settings.app_secret,
            verify_token: settings.verify_token,
            ed_token: settings.ed_token.ok_or("ED_TOKEN: missing (the token of Engage Digital's API)")?,
            policy: settings.policy,
            limits: Limits::default(),
        })
    }
}

/// Logs as `RUST_LOG` says, by default warnings, so that refused deliveries are visible.
pub fn log() {
    let filter = std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse::<Targets>().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    tracing_subscriber::registry().with(fmt::layer()).with(filter).init();
}

/// Reads one variable.
///
/// # Errors
/// The variable is missing.
pub fn env(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("the environment variable {name} is missing"))
}
