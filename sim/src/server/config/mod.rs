//! A simulated world as a file.

mod check;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::check::ConfigError;
pub(super) use self::check::MAX_SPEED;
use super::faults::Fault;
use crate::platform::{
    App, DEFAULT_FIELDS, Echoes, EntryPoint, Page, Platform, RequestUnderDefaultApp, Rules, ZeroConfig,
};
use messenger_handover::id::{AppId, PageId, UserId};

/// A world: its apps, Pages and people, and how the platform behaves. Everything has a default; the whole
/// default is a world with a bot, a desk, a Page and a person.
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
    /// What is too much.
    pub limits: Limits,
    /// What no source tells.
    pub switches: Switches,
    /// What goes wrong from the start.
    pub faults: Vec<Fault>,
    /// Makes what goes wrong by chance go wrong the same way again.
    pub seed: u64,
    /// Speaks TLS with this certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// An app.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AppConfig {
    /// Its id.
    pub id: AppId,
    /// Its name; its id if not set.
    #[serde(default)]
    pub name: Option<String>,
    /// The app secret, with which webhooks are signed.
    #[serde(default = "secret", skip_serializing)]
    pub secret: String,
    /// What it says in the webhook handshake.
    #[serde(default = "verify_token", skip_serializing)]
    pub verify_token: String,
    /// Where its webhooks go; nowhere if not set.
    #[serde(default)]
    pub callback_url: Option<String>,
    /// The webhook fields of its Pages.
    #[serde(default = "fields")]
    pub fields: Vec<String>,
    /// The switch "take control of conversations".
    #[serde(default)]
    pub may_take: bool,
    /// Whether Meta approved the Human Agent feature.
    #[serde(default = "yes")]
    pub human_agent: bool,
}

/// A Page.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PageConfig {
    /// Its id.
    pub id: PageId,
    /// Its name; its id if not set.
    #[serde(default)]
    pub name: Option<String>,
    /// `routing` or `handover`.
    #[serde(default)]
    pub rules: RuleSet,
    /// The default application, or under `handover` the primary receiver; none if not set.
    #[serde(default)]
    pub default_app: Option<AppId>,
    /// Where conversations go by their entry point.
    #[serde(default)]
    pub routes: BTreeMap<EntryPoint, RouteConfig>,
    /// The Instagram account that is linked to it.
    #[serde(default)]
    pub instagram: Option<InstagramConfig>,
    /// A token for each app that is connected to it.
    #[serde(default, skip_serializing)]
    pub tokens: BTreeMap<AppId, String>,
    /// The people that it knows.
    #[serde(default)]
    pub people: Vec<Person>,
}

/// Where conversations of one entry point go: to an app, or to an app for some days.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum RouteConfig {
    /// For a day.
    App(AppId),
    /// For so many days.
    Days {
        /// The app.
        app: AppId,
        /// 1 to 30.
        control_days: u32,
    },
}

impl RouteConfig {
    /// The app, and for how many days.
    fn target(&self) -> (&AppId, u32) {
        match self {
            Self::App(app) => (app, 1),
            Self::Days { app, control_days } => (app, *control_days),
        }
    }
}

/// An Instagram account: its id, or its id with people and, for Instagram Login, tokens of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum InstagramConfig {
    /// By Facebook Login, with the Page's tokens; it knows nobody yet.
    Id(PageId),
    /// With more.
    Account(InstagramAccount),
}

/// An Instagram account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct InstagramAccount {
    /// Its id.
    pub id: PageId,
    /// The people that it knows.
    #[serde(default)]
    pub people: Vec<Person>,
    /// Tokens of Instagram Login; its webhooks come as `changes` then.
    #[serde(default, skip_serializing)]
    pub tokens: BTreeMap<AppId, String>,
}

/// A person, as a Page knows them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Person {
    /// The PSID or IGSID.
    pub id: UserId,
    /// Their name.
    #[serde(default)]
    pub name: Option<String>,
}

/// Whose rules a Page follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleSet {
    /// Conversation Routing.
    #[default]
    Routing,
    /// The handover protocol.
    Handover,
}

/// The platform's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ClockConfig {
    /// How many times as fast as the real one.
    pub speed: f64,
}

/// What is too much.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// How many calls a Page takes in an hour; any number if not set. The usage headers tell how near it is.
    pub calls_per_hour: Option<u32>,
}

/// What no source tells: both ways, to be tested both.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Switches {
    /// `refused` or `silent_success`.
    pub request_under_default_app: RequestUnderDefaultApp,
    /// `observed` or `documented`.
    pub zero_config: ZeroConfig,
    /// `always` or `lost_when_control_leaves`.
    pub echoes: Echoes,
}

/// A certificate, and its key. Both are PEM, not paths of files.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tls {
    /// The chain, the server's own first.
    pub certificate: String,
    /// The key.
    #[serde(skip_serializing)]
    pub key: String,
}

/// A parser repeats a value that it cannot use, and that may be a token.
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
    /// Reads one from JSON.
    ///
    /// # Errors
    /// [`ConfigError`]: it is no JSON, has names that are not known, or makes no sense.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_str(text)
            .map_err(|error| ConfigError::one(without_values(&error.to_string())))?;
        config.check()?;
        Ok(config)
    }

    /// Reads one from TOML.
    ///
    /// # Errors
    /// As [`Self::from_json`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            // Its own words would show the line, with whatever secret stands there.
            let line = error.span().map(|span| text[..span.start].lines().count().max(1));
            let place = line.map(|line| format!(" at line {line}")).unwrap_or_default();
            ConfigError::one(format!("{}{place}", without_values(error.message())))
        })?;
        config.check()?;
        Ok(config)
    }

    /// The platform that it describes, without sockets.
    ///
    /// # Errors
    /// [`ConfigError`]: it makes no sense.
    pub fn platform(&self) -> Result<Platform, ConfigError> {
        self.check()?;
        let Switches { request_under_default_app, zero_config, echoes } = self.switches;
        let mut platform = Platform::new()
            .with_request_under_default_app(request_under_default_app)
            .with_zero_config(zero_config)
            .with_echoes(echoes);
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

    /// The Instagram account of the Page, an account of its own to the platform.
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
