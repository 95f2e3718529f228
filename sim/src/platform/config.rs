//! The configuration of the simulated world: apps, Pages and the rules of each Page.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use messenger_handover::id::{AppId, INSTAGRAM_INBOX, PageId, UserId};
use messenger_handover::secret::{AppSecret, PageToken, VerifyToken};

/// The webhook fields that an app is subscribed to by default, spelled as
/// [`subscribed_apps`](messenger_handover::protocol#page-subscriptions) does.
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
    /// An app without a callback, subscribed to [`DEFAULT_FIELDS`], with the Human Agent feature and without permission to take
    /// control.
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

    /// Sets the URL for its webhooks. [`Server`](crate::Server) delivers to it; the platform only stores it.
    #[must_use]
    pub fn callback(mut self, url: impl Into<String>) -> Self {
        self.callback = Some(url.into());
        self
    }

    /// Replaces its webhook fields.
    #[must_use]
    pub fn fields<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.fields = fields.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the switch *take control of conversations*, which only counts where a default application is set
    /// ([take](messenger_handover::protocol#take)). Default: off.
    #[must_use]
    pub fn may_take(mut self, may: bool) -> Self {
        self.may_take = may;
        self
    }

    /// Sets whether Meta approved the [Human Agent](messenger_handover::protocol#human-agent) feature. Default: approved.
    #[must_use]
    pub fn human_agent(mut self, approved: bool) -> Self {
        self.human_agent = approved;
        self
    }
}

/// The rules of a Page: the [Handover Protocol](messenger_handover::protocol#handover-protocol) or
/// [Conversation Routing](messenger_handover::protocol#routing).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rules {
    /// The Handover Protocol, with or without a primary receiver.
    Handover {
        /// The primary receiver.
        primary: Option<AppId>,
    },
    /// Conversation Routing, with a default application or without one ([zero-config](messenger_handover::protocol#zero-config)).
    Routing {
        /// The default application.
        default_app: Option<AppId>,
    },
}

impl Rules {
    /// The Handover Protocol with this primary receiver.
    pub fn primary(app: impl Into<AppId>) -> Self {
        Self::Handover { primary: Some(app.into()) }
    }

    /// The Handover Protocol without a primary receiver.
    #[must_use]
    pub fn no_primary() -> Self {
        Self::Handover { primary: None }
    }

    /// Conversation Routing with this default application.
    pub fn default_app(app: impl Into<AppId>) -> Self {
        Self::Routing { default_app: Some(app.into()) }
    }

    /// Conversation Routing without a default application.
    #[must_use]
    pub fn zero_config() -> Self {
        Self::Routing { default_app: None }
    }

    /// The role that `app_roles` names; Conversation Routing has none. Without a primary receiver every app counts as a secondary
    /// receiver, which is inferred: roles are optional since 2021 ([timeline](messenger_handover::protocol#timeline)).
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
    /// The subcode of Graph's refusal, once the token has ended.
    pub(super) ended: Option<i64>,
}

/// A Page or Instagram account, with its connected apps and the people it can address. The inbox is always connected.
#[derive(Debug, Clone)]
pub struct Page {
    pub(super) id: PageId,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The Instagram account that is linked to the Page.
    pub(super) instagram: Option<PageId>,
    pub(super) rules: Rules,
    /// The app and the duration of control for each entry point.
    pub(super) routes: BTreeMap<EntryPoint, (AppId, Duration)>,
    pub(super) apps: BTreeSet<AppId>,
    pub(super) tokens: Vec<Access>,
    /// The fields that an app subscribed to by a call.
    pub(super) subscribed: BTreeMap<AppId, BTreeSet<String>>,
    pub(super) people: BTreeMap<UserId, Option<String>>,
}

/// The entry point by which a person came to write ([routing](messenger_handover::protocol#routing)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EntryPoint {
    /// A link such as m.me.
    Link,
    /// The Page or a search.
    Social,
    /// An ad.
    Campaign,
}

/// The kind of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Page,
    Instagram,
}

impl Page {
    /// A Page with these rules, connected to no app but the inbox.
    pub fn new(id: impl Into<PageId>, rules: Rules) -> Self {
        let (id, apps) = (id.into(), BTreeSet::from([super::page_inbox()]));
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

    /// Sets its name. Default: its id.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Links it to an Instagram account; add that too, see [`as_instagram`](Self::as_instagram).
    #[must_use]
    pub fn linked_to(mut self, account: impl Into<PageId>) -> Self {
        self.instagram = Some(account.into());
        self
    }

    /// The Instagram account of this Page, with the Page's rules and apps, its own people and no tokens: calls about its people
    /// use the Page's tokens. Tokens that are added to it are those of
    /// [Instagram Login](messenger_handover::protocol#instagram-login), with its errors and with webhooks as
    /// [`changes`](messenger_handover::protocol#webhook-envelope).
    #[must_use]
    pub fn as_instagram(&self, account: impl Into<PageId>) -> Self {
        let mut apps = self.apps.clone();
        apps.remove(&super::page_inbox());
        apps.insert(AppId::from(INSTAGRAM_INBOX));
        let page = Self::new(account, self.rules.clone()).named(&self.name);
        Self { kind: Kind::Instagram, apps, subscribed: self.subscribed.clone(), ..page }
    }

    /// Connects an app with its token for this Page.
    #[must_use]
    pub fn app(mut self, app: impl Into<AppId>, token: impl Into<PageToken>) -> Self {
        let app = app.into();
        let scopes = super::DEFAULT_SCOPES.map(str::to_owned).into();
        self.tokens.push(Access { token: token.into(), app: app.clone(), scopes, ended: None });
        self.apps.insert(app);
        self
    }

    /// Connects an app that can own threads and never reacts, as Meta's own apps do:
    /// [requests](messenger_handover::protocol#request) to them succeed without effect.
    #[must_use]
    pub fn silent_app(mut self, app: impl Into<AppId>) -> Self {
        self.apps.insert(app.into());
        self
    }

    /// Routes an entry point to an app for a number of days: 1 to 30; others count as 1
    /// ([ads](messenger_handover::protocol#ads); one of Meta's pages says 1 to 7). Counts under Conversation Routing only, and
    /// without a default application for campaigns only ([routing](messenger_handover::protocol#routing)).
    #[must_use]
    pub fn route(mut self, entry: EntryPoint, app: impl Into<AppId>, days: u32) -> Self {
        let days = if (1..=30).contains(&days) { days } else { 1 };
        self.routes.insert(entry, (app.into(), super::DAY * days));
        self
    }

    /// Adds a person that the Page may address. A person who writes is added by that.
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

/// The effect of `request_thread_control` where a default application is set. No source shows the response, so both are inferred
/// ([request](messenger_handover::protocol#request)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RequestUnderDefaultApp {
    /// The call is refused with [`REQUEST_REFUSED`](super::REQUEST_REFUSED).
    #[default]
    Refused,
    /// The call returns `{"success":true}` without effect.
    SilentSuccess,
}

/// The rights of apps that do not own a thread, on a Page without a default application
/// ([zero-config](messenger_handover::protocol#zero-config)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ZeroConfig {
    /// As observed in production: once an app owns the thread, the others read on standby and may not send.
    #[default]
    Observed,
    /// As Meta documents it: every app reads on `messaging` and may send.
    Documented,
}

/// The choices where no source, or more than one, states the platform's behaviour. Test both values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Switches {
    /// `refused` (the default) or `silent_success`.
    pub request_under_default_app: RequestUnderDefaultApp,
    /// `observed` (the default) or `documented`.
    pub zero_config: ZeroConfig,
    /// `always` (the default) or `lost_when_control_leaves`.
    pub echoes: Echoes,
    /// The most events that [share a delivery](messenger_handover::protocol#redelivery), up to 1,000; by default each has one
    /// of its own. With more than 1, an app gets one delivery at a time, with events of several people.
    pub events_per_delivery: u16,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            request_under_default_app: RequestUnderDefaultApp::default(),
            zero_config: ZeroConfig::default(),
            echoes: Echoes::default(),
            events_per_delivery: 1,
        }
    }
}

/// The fate of the [echo](messenger_handover::protocol#echoes) of a message whose sender gives control away at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Echoes {
    /// The echo arrives.
    #[default]
    Always,
    /// An echo that is still pending when its sender passes or releases the thread is not delivered to that sender, as was
    /// observed.
    LostWhenControlLeaves,
}
