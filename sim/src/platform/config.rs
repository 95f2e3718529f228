//! What a test says about the world: the apps, the Pages and the rules of each Page.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use messenger_handover::id::{AppId, INSTAGRAM_INBOX, PageId, UserId};
use messenger_handover::secret::{AppSecret, PageToken, VerifyToken};

/// The webhook fields an app is subscribed to unless it says otherwise. The spelling is the one of
/// `subscribed_apps` (facts §4.1).
pub const DEFAULT_FIELDS: [&str; 5] =
    ["messages", "messaging_postbacks", "messaging_handovers", "standby", "message_echoes"];

/// An app of Meta's developer site: a bot or an agent desk.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) id: AppId,
    pub(crate) name: String,
    pub(crate) secret: AppSecret,
    pub(crate) verify_token: VerifyToken,
    pub(crate) callback: Option<String>,
    pub(crate) fields: BTreeSet<String>,
    pub(crate) may_take: bool,
    pub(crate) human_agent: bool,
}

impl App {
    /// An app without a callback, subscribed to [`DEFAULT_FIELDS`], which may not take control of
    /// conversations and has the Human Agent feature.
    pub fn new(
        id: impl Into<AppId>,
        name: impl Into<String>,
        secret: impl Into<AppSecret>,
        verify_token: impl Into<VerifyToken>,
    ) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            secret: secret.into(),
            verify_token: verify_token.into(),
            callback: None,
            fields: DEFAULT_FIELDS.map(str::to_owned).into(),
            may_take: false,
            human_agent: true,
        }
    }

    /// Where its webhooks go. The sans-IO platform only keeps it.
    #[must_use]
    pub fn callback(mut self, url: impl Into<String>) -> Self {
        self.callback = Some(url.into());
        self
    }

    /// Replaces the webhook fields it is subscribed to.
    #[must_use]
    pub fn fields<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.fields = fields.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the switch "take control of conversations" (facts §2.1), which only counts where a default
    /// application is set.
    #[must_use]
    pub fn may_take(mut self, may: bool) -> Self {
        self.may_take = may;
        self
    }

    /// Sets whether Meta approved the Human Agent feature (facts §2.8).
    #[must_use]
    pub fn human_agent(mut self, approved: bool) -> Self {
        self.human_agent = approved;
        self
    }
}

/// Whose rules a Page follows (facts §1, §2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rules {
    /// The handover protocol: a primary receiver, or none.
    Handover {
        /// The primary receiver.
        primary: Option<AppId>,
    },
    /// Conversation routing: with a default application, or without one ("zero-config").
    Routing {
        /// The default application.
        default_app: Option<AppId>,
    },
}

impl Rules {
    /// The handover protocol with this primary receiver.
    pub fn primary(app: impl Into<AppId>) -> Self {
        Self::Handover { primary: Some(app.into()) }
    }

    /// The handover protocol without a primary receiver.
    #[must_use]
    pub fn no_primary() -> Self {
        Self::Handover { primary: None }
    }

    /// Conversation routing with this default application.
    pub fn default_app(app: impl Into<AppId>) -> Self {
        Self::Routing { default_app: Some(app.into()) }
    }

    /// Conversation routing without a default application.
    #[must_use]
    pub fn zero_config() -> Self {
        Self::Routing { default_app: None }
    }

    /// The role that `app_roles` would name. Routing knows no roles. Where there is no primary every
    /// app counts as a secondary receiver (INF from facts §1.1: roles are optional since 2021).
    pub(super) fn role_of(&self, app: &AppId) -> Option<&'static str> {
        match self {
            Self::Handover { primary } if primary.as_ref() == Some(app) => Some("primary_receiver"),
            Self::Handover { .. } => Some("secondary_receiver"),
            Self::Routing { .. } => None,
        }
    }
}

/// A Page access token of an app.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) token: PageToken,
    pub(super) app: AppId,
    pub(super) scopes: Vec<String>,
    /// Graph's subcode, where it is no good any more.
    pub(super) ended: Option<i64>,
}

/// A Page with the apps that are connected to it and the people it knows. The Page inbox is always
/// connected.
#[derive(Debug, Clone)]
pub struct Page {
    pub(super) id: PageId,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The Instagram account that is linked to it.
    pub(super) instagram: Option<PageId>,
    pub(super) rules: Rules,
    /// Where a conversation goes by its entry point, and for how long.
    pub(super) routes: BTreeMap<EntryPoint, (AppId, Duration)>,
    pub(super) apps: BTreeSet<AppId>,
    pub(super) tokens: Vec<Access>,
    /// What an app subscribed itself to.
    pub(super) subscribed: BTreeMap<AppId, BTreeSet<String>>,
    pub(super) people: BTreeMap<UserId, Option<String>>,
}

/// How somebody came to write (facts §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EntryPoint {
    /// By a link such as m.me.
    Link,
    /// By the Page or a search.
    Social,
    /// By an ad.
    Campaign,
}

/// What an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Page,
    /// An Instagram account.
    Instagram,
}

impl Page {
    /// A Page with these rules and no app but the inbox.
    pub fn new(id: impl Into<PageId>, rules: Rules) -> Self {
        let (id, apps) = (id.into(), BTreeSet::from([super::inbox()]));
        Self {
            name: id.to_string(),
            id,
            kind: Kind::Page,
            instagram: None,
            rules,
            routes: BTreeMap::new(),
            apps,
            tokens: Vec::new(),
            subscribed: BTreeMap::new(),
            people: BTreeMap::new(),
        }
    }

    /// Gives it a name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Links it to an Instagram account, which is to be added too: see [`as_instagram`](Self::as_instagram).
    #[must_use]
    pub fn linked_to(mut self, account: impl Into<PageId>) -> Self {
        self.instagram = Some(account.into());
        self
    }

    /// The Instagram account of this Page: with its rules and apps, people of its own, and no tokens. Calls
    /// about its people are made with the Page's tokens; tokens that are added are those of Instagram Login,
    /// with its errors and its `changes` (facts §3.6, §4.5).
    #[must_use]
    pub fn as_instagram(&self, account: impl Into<PageId>) -> Self {
        let mut apps = self.apps.clone();
        apps.remove(&super::inbox());
        apps.insert(AppId::from(INSTAGRAM_INBOX));
        let page = Self::new(account, self.rules.clone()).named(&self.name);
        Self { kind: Kind::Instagram, apps, subscribed: self.subscribed.clone(), ..page }
    }

    /// Connects an app, which calls with this token.
    #[must_use]
    pub fn app(mut self, app: impl Into<AppId>, token: impl Into<PageToken>) -> Self {
        let app = app.into();
        let scopes = super::DEFAULT_SCOPES.map(str::to_owned).into();
        self.tokens.push(Access { token: token.into(), app: app.clone(), scopes, ended: None });
        self.apps.insert(app);
        self
    }

    /// Connects an app that can own threads and never does anything, as Meta's own apps are (facts
    /// §2.7: requests to them succeed, and nothing happens).
    #[must_use]
    pub fn silent_app(mut self, app: impl Into<AppId>) -> Self {
        self.apps.insert(app.into());
        self
    }

    /// Routes what comes in by an entry point to an app, for so many days: 1 to 30, others count as 1 (facts
    /// §2.5; one page says 1 to 7). Under Conversation Routing only, and without a default application only
    /// for campaigns (facts §2.1).
    #[must_use]
    pub fn route(mut self, entry: EntryPoint, app: impl Into<AppId>, days: u32) -> Self {
        let days = if (1..=30).contains(&days) { days } else { 1 };
        self.routes.insert(entry, (app.into(), super::DAY * days));
        self
    }

    /// Adds a person the Page may address. Whoever writes becomes known anyway.
    #[must_use]
    pub fn person(mut self, user: impl Into<UserId>) -> Self {
        self.people.entry(user.into()).or_default();
        self
    }

    /// Adds a person with a name.
    #[must_use]
    pub fn person_named(mut self, user: impl Into<UserId>, name: impl Into<String>) -> Self {
        self.people.insert(user.into(), Some(name.into()));
        self
    }
}

/// What `request_thread_control` does where a default application is set. No source shows the answer
/// (facts §5.2), so both are INF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RequestUnderDefaultApp {
    /// Refused, with [`REQUEST_REFUSED`](super::REQUEST_REFUSED).
    #[default]
    Refused,
    /// `{"success":true}`, and nothing happens.
    SilentSuccess,
}

/// How a Page without a default application treats the apps that do not own a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ZeroConfig {
    /// As production saw it (facts §2.6 and open question 3): once an app owns the thread, the others
    /// read on standby and may not send.
    #[default]
    Observed,
    /// As Meta's page has it (facts §2.1): every app reads on `messaging` and may send.
    Documented,
}

/// What becomes of the echo of a message whose sender gives control away at once (facts §4.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Echoes {
    /// It arrives.
    #[default]
    Always,
    /// An echo that still waits to be delivered when its sender passes or releases the thread is not
    /// delivered to that sender (OBS).
    LostWhenControlLeaves,
}
