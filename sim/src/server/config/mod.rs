//! The configuration of a simulated world, as a value or a file.

mod check;
mod page;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::check::ConfigError;
pub(super) use self::check::MAX_SPEED;
pub use self::page::{InstagramAccount, InstagramConfig, PageConfig, Person, RouteConfig, RuleSet};
use super::faults::Fault;
use crate::platform::{App, Availability, DEFAULT_FIELDS, Platform, Switches};
use messenger_handover::id::{AppId, PageId, UserId};

/// A world: its apps, Pages and people, and the behaviour of the platform. Every field has a default; the default world has a
/// bot, a desk, a Page and a person.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// The apps of Meta's developer site.
    pub apps: Vec<AppConfig>,
    /// The Pages.
    pub pages: Vec<PageConfig>,
    /// The platform's clock.
    pub clock: ClockConfig,
    /// The rate limits. Default: none.
    pub limits: Limits,
    /// The choices where sources leave the behaviour open.
    pub switches: Switches,
    /// The faults that are active from the start.
    pub faults: Vec<Fault>,
    /// The seed of faults with a chance; the same seed repeats them. Default: 0.
    pub seed: u64,
    /// The certificate, to serve over TLS. Default: plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// An app.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AppConfig {
    /// The app's id.
    pub id: AppId,
    /// The app's name. Default: its id.
    #[serde(default)]
    pub name: Option<String>,
    /// The app secret, with which webhooks are signed.
    #[serde(default = "secret", skip_serializing)]
    pub secret: String,
    /// The verify token of the [webhook handshake](messenger_handover::protocol#webhook-handshake).
    #[serde(default = "verify_token", skip_serializing)]
    pub verify_token: String,
    /// The URL for the app's webhooks. Default: none, and no webhook is sent.
    #[serde(default)]
    pub callback_url: Option<String>,
    /// The webhook fields on all its Pages. Default: [`DEFAULT_FIELDS`](crate::platform::DEFAULT_FIELDS).
    #[serde(default = "fields")]
    pub fields: Vec<String>,
    /// The webhook fields on all its Instagram accounts, by Instagram's names. Default: those of `fields`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instagram_fields: Option<Vec<String>>,
    /// The switch *take control of conversations*. Default: off.
    #[serde(default)]
    pub may_take: bool,
    /// Whether Meta approved the Human Agent feature. Default: approved.
    #[serde(default = "yes")]
    pub human_agent: bool,
}

/// The platform's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ClockConfig {
    /// The speed relative to the real clock. Default: 1.
    pub speed: f64,
}

/// The rate limits.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// The calls that a Page accepts in an hour. Default: no limit. The usage headers report the share that is used.
    pub calls_per_hour: Option<u32>,
}

/// A certificate and its key, both as PEM text, not as paths.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tls {
    /// The certificate chain, the server's own certificate first.
    pub certificate: String,
    /// The private key.
    #[serde(skip_serializing)]
    pub key: String,
}

/// Removes quoted values from a parser's message, because such a value may be a token.
fn without_values(words: &str) -> String {
    match words.split_once("string \"") {
        Some((before, rest)) => {
            let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
            format!("{before}a string{after}")
        }
        None => words.to_owned(),
    }
}

fn secret() -> String {
    "APP_SECRET".to_owned()
}

fn verify_token() -> String {
    "V".to_owned()
}

fn fields() -> Vec<String> {
    DEFAULT_FIELDS.map(str::to_owned).into()
}

fn yes() -> bool {
    true
}

impl Default for ClockConfig {
    fn default() -> Self {
        Self { speed: 1.0 }
    }
}

impl Default for Config {
    fn default() -> Self {
        let app = |id: u64, name: &str, may_take| AppConfig {
            id: AppId::from(id),
            name: Some(name.to_owned()),
            secret: secret(),
            verify_token: verify_token(),
            callback_url: None,
            fields: fields(),
            instagram_fields: None,
            may_take,
            human_agent: true,
        };
        let page = PageConfig {
            id: PageId::from(987_654_321_098_765),
            name: Some("Shop".to_owned()),
            rules: RuleSet::Routing,
            default_app: Some(AppId::from(999)),
            routes: BTreeMap::new(),
            instagram: None,
            tokens: [
                (AppId::from(999), "PAGE_TOKEN".to_owned()),
                (AppId::from(888), "DESK_TOKEN".to_owned()),
            ]
            .into(),
            people: vec![Person {
                id: UserId::from(1_234_567_890_123_456),
                name: Some("Ana".to_owned()),
                availability: Availability::Available,
            }],
            restriction: None,
            hides_thread_owner: false,
            ai_app: None,
        };
        Self {
            apps: vec![app(999, "Bot", true), app(888, "Desk", true)],
            pages: vec![page],
            clock: ClockConfig::default(),
            limits: Limits::default(),
            switches: Switches::default(),
            faults: Vec::new(),
            seed: 0,
            tls: None,
        }
    }
}

impl Config {
    /// Reads a configuration from JSON.
    ///
    /// # Errors
    /// [`ConfigError`] if the text is not JSON, has unknown names, or describes an invalid world.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_str(text)
            .map_err(|error| ConfigError::one(without_values(&error.to_string())))?;
        config.check()?;
        Ok(config)
    }

    /// Reads a configuration from TOML.
    ///
    /// # Errors
    /// As [`Self::from_json`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            // The parser's own message would quote the line, which may hold a secret.
            let line = error.span().map(|span| text[..span.start].lines().count().max(1));
            let place = line.map(|line| format!(" at line {line}")).unwrap_or_default();
            ConfigError::one(format!("{}{place}", without_values(error.message())))
        })?;
        config.check()?;
        Ok(config)
    }

    /// Builds the platform that the configuration describes, without sockets.
    ///
    /// # Errors
    /// [`ConfigError`] if the configuration is invalid.
    pub fn platform(&self) -> Result<Platform, ConfigError> {
        self.check()?;
        let mut platform = Platform::new();
        platform.set_switches(self.switches);
        for app in &self.apps {
            let name = app.name.clone().unwrap_or_else(|| app.id.to_string());
            let mut made = App::new(app.id.clone(), name, app.secret.as_str(), app.verify_token.as_str())
                .fields(app.fields.clone())
                .may_take(app.may_take)
                .human_agent(app.human_agent);
            if let Some(fields) = &app.instagram_fields {
                made = made.instagram_fields(fields.clone());
            }
            if let Some(url) = &app.callback_url {
                made = made.callback(url);
            }
            platform = platform.with_app(made);
        }
        for page in &self.pages {
            platform = platform.with_page(page.made());
            if let Some(account) = page.account() {
                platform = platform.with_page(account);
            }
        }
        Ok(platform)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
