//! The configuration of the simulated world: apps, Pages and the rules of each Page.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::standing::{Availability, Restriction};
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
    /// The fields of the object `instagram`, if they are not `fields`.
    pub(super) instagram_fields: Option<BTreeSet<String>>,
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
            instagram_fields: None,
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

    /// Sets its webhook fields of the object `instagram`, by
    /// [Instagram's names](messenger_handover::protocol#page-subscriptions) such as `messaging_handover`. Default: those of
    /// [`fields`](Self::fields), where the Page's name of a field counts as Instagram's.
    #[must_use]
    pub fn instagram_fields<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.instagram_fields = Some(fields.into_iter().map(Into::into).collect());
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
    /// The people that the Page cannot reach.
    pub(super) unreachable: BTreeMap<UserId, Availability>,
    pub(super) restriction: Option<Restriction>,
    /// Whether `thread_owner` answers error 100.
    pub(super) hides_thread_owner: bool,
    /// The Business AI's app.
    pub(super) ai: AppId,
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
            unreachable: BTreeMap::new(),
            restriction: None,
            hides_thread_owner: false,
            ai: AppId::from(super::AI_APP),
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
        let (subscribed, hides_thread_owner) = (self.subscribed.clone(), self.hides_thread_owner);
        Self { kind: Kind::Instagram, apps, subscribed, hides_thread_owner, ai: self.ai.clone(), ..page }
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

    /// Sets the app of Meta's [Business AI](messenger_handover::protocol#meta-ai), which differs by Page, and connects it like a
    /// [silent app](Self::silent_app), so that control can be passed back to it. Default: [`AI_APP`](super::AI_APP), not
    /// connected.
    #[must_use]
    pub fn ai_app(mut self, app: impl Into<AppId>) -> Self {
        self.ai = app.into();
        self.apps.insert(self.ai.clone());
        self
    }

    /// Restricts the Page from the start.
    #[must_use]
    pub fn restricted(mut self, restriction: Restriction) -> Self {
        self.restriction = Some(restriction);
        self
    }

    /// Hides the owners of its threads: [`thread_owner`](messenger_handover::protocol#thread-owner) answers error 100.
    #[must_use]
    pub fn hides_thread_owner(mut self, hides: bool) -> Self {
        self.hides_thread_owner = hides;
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

    /// Adds a person whom the Page perhaps cannot reach.
    #[must_use]
    pub fn person_available(mut self, user: impl Into<UserId>, availability: Availability) -> Self {
        let user = user.into();
        self.people.entry(user.clone()).or_default();
        if availability != Availability::Available {
            self.unreachable.insert(user, availability);
        }
        self
    }

    /// Adds a person with a name.
    #[must_use]
    pub fn person_named(mut self, user: impl Into<UserId>, name: impl Into<String>) -> Self {
        self.people.insert(user.into(), Some(name.into()));
        self
    }
}
