//! The configuration of a Page, with its Instagram account and its people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::platform::{Availability, EntryPoint, Page, Restriction, Rules};
use messenger_handover::id::{AppId, PageId, UserId};

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
    /// The restriction of the Page: `policy_block`, `temporary` or `messaging`. Default: none.
    #[serde(default)]
    pub restriction: Option<Restriction>,
    /// Whether `thread_owner` answers error 100. Default: no.
    #[serde(default)]
    pub hides_thread_owner: bool,
    /// The app of Meta's Business AI, which is connected by it. Default: an observed id, not connected.
    #[serde(default)]
    pub ai_app: Option<AppId>,
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
    pub(super) fn target(&self) -> (&AppId, u32) {
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
    /// Whether the Page can reach the person. Default: `available`.
    #[serde(default)]
    pub availability: Availability,
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

impl PageConfig {
    pub(super) fn made(&self) -> Page {
        let rules = match self.rules {
            RuleSet::Routing => Rules::Routing { default_app: self.default_app.clone() },
            RuleSet::Handover => Rules::Handover { primary: self.default_app.clone() },
        };
        let mut page = Page::new(self.id.clone(), rules).hides_thread_owner(self.hides_thread_owner);
        if let Some(restriction) = self.restriction {
            page = page.restricted(restriction);
        }
        if let Some(app) = &self.ai_app {
            page = page.ai_app(app.clone());
        }
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
    pub(super) fn account(&self) -> Option<Page> {
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
    let page = page.person_available(person.id.clone(), person.availability);
    match &person.name {
        Some(name) => page.person_named(person.id.clone(), name),
        None => page,
    }
}
