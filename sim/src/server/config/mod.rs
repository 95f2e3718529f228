//! The configuration of a simulated world, as a value or a file.

mod check;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::check::ConfigError;
pub(super) use self::check::MAX_SPEED;
use super::faults::Fault;
use crate::platform::{App, DEFAULT_FIELDS, EntryPoint, Page, Platform, Rules, Switches};
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
    /// The switch *take control of conversations*. Default: off.
    #[serde(default)]
    pub may_take: bool,
    /// Whether Meta approved the Human Agent feature. Default: approved.
    #[serde(default = "yes")]
    pub human_agent: bool,
}

/// A Page.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PageConfig {
    /// The Page's id.
    pub id: PageId,
    /// The Page's name. Default: its id.
    #[serde(default)]
    pub name: Option<String>,
    /// `routing` (the default) or `handover`.
    #[serde(default)]
    pub rules: RuleSet,
    /// The default application, or the primary receiver under `handover`. Default: none.
    #[serde(default)]
    pub default_app: Option<AppId>,
    /// The routes of conversations by their entry point.
    #[serde(default)]
    pub routes: BTreeMap<EntryPoint, RouteConfig>,
    /// The Instagram account that is linked to the Page.
    #[serde(default)]
    pub instagram: Option<InstagramConfig>,
    /// A token for each app that is connected to the Page.
    #[serde(default, skip_serializing)]
    pub tokens: BTreeMap<AppId, String>,
    /// The people that the Page can address.
    #[serde(default)]
    pub people: Vec<Person>,
}

/// The route of an entry point: an app, or an app and a number of days.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum RouteConfig {
    /// The app keeps control for a day.
    App(AppId),
    /// The app keeps control for a number of days.
    Days {
        /// The app.
        app: AppId,
        /// The days, 1 to 30.
        control_days: u32,
    },
}

impl RouteConfig {
    /// The app, and the days of its control.
    fn target(&self) -> (&AppId, u32) {
        match self {
            Self::App(app) => (app, 1),
            Self::Days { app, control_days } => (app, *control_days),
        }
    }
}

/// An Instagram account: its id, or its id with people and, for
/// [Instagram Login](messenger_handover::protocol#instagram-login), tokens of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum InstagramConfig {
    /// An account by Facebook Login, called with the Page's tokens, without people.
    Id(PageId),
    /// An account with people, and perhaps tokens.
    Account(InstagramAccount),
}

/// An Instagram account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct InstagramAccount {
    /// The account's id.
    pub id: PageId,
    /// The people that the account can address.
    #[serde(default)]
    pub people: Vec<Person>,
    /// Tokens of Instagram Login. With any, the account's webhooks come as `changes`.
    #[serde(default, skip_serializing)]
    pub tokens: BTreeMap<AppId, String>,
}

/// A person.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Person {
    /// The PSID or IGSID.
    pub id: UserId,
    /// The person's name.
    #[serde(default)]
    pub name: Option<String>,
}

/// The rules of a Page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleSet {
    /// Conversation Routing.
    #[default]
    Routing,
    /// The Handover Protocol.
    Handover,
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
            people: vec![Person { id: UserId::from(1_234_567_890_123_456), name: Some("Ana".to_owned()) }],
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

impl PageConfig {
    fn made(&self) -> Page {
        let rules = match self.rules {
            RuleSet::Routing => Rules::Routing { default_app: self.default_app.clone() },
            RuleSet::Handover => Rules::Handover { primary: self.default_app.clone() },
        };
        let mut page = Page::new(self.id.clone(), rules);
        if let Some(name) = &self.name {
            page = page.named(name);
        }
        for (app, token) in &self.tokens {
            page = page.app(app.clone(), token.as_str());
        }
        for (entry, route) in &self.routes {
            let (app, days) = route.target();
            page = page.route(*entry, app.clone(), days);
        }
        let page = self.people.iter().fold(page, with_person);
        match &self.instagram {
            None => page,
            Some(InstagramConfig::Id(id) | InstagramConfig::Account(InstagramAccount { id, .. })) => {
                page.linked_to(id.clone())
            }
        }
    }

    /// The Instagram account of the Page, which is a separate account to the platform.
    fn account(&self) -> Option<Page> {
        let (id, people, tokens) = match self.instagram.as_ref()? {
            InstagramConfig::Id(id) => (id, &[][..], None),
            InstagramConfig::Account(InstagramAccount { id, people, tokens }) => {
                (id, people.as_slice(), Some(tokens))
            }
        };
        let mut account = self.made().as_instagram(id.clone());
        for (app, token) in tokens.into_iter().flatten() {
            account = account.app(app.clone(), token.as_str());
        }
        Some(people.iter().fold(account, with_person))
    }
}

fn with_person(page: Page, person: &Person) -> Page {
    match &person.name {
        Some(name) => page.person_named(person.id.clone(), name),
        None => page.person(person.id.clone()),
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
