//! Meta's rules as a pure function of calls and time.
//!
//! Every method that takes `now` first lets control expire, then acts, and adds the webhooks to a list that
//! [`Platform::take_outgoing`] empties. `now` must not run backwards.

mod about;
mod access;
mod acts;
mod api;
mod config;
mod control;
mod conversation;
mod customer;
mod dispatch;
mod echo;
mod error;
mod fanout;
mod fields;
mod inbox;
mod instagram;
mod limits;
mod messages;
mod meta;
mod moderation;
mod nodes;
mod reactions;
mod standing;
mod subscriptions;
mod switches;
#[cfg(test)]
mod tests;
mod uploads;
mod utterance;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use messenger_handover::id::{AppId, MessageId, PAGE_INBOX, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

pub use self::about::DEFAULT_SCOPES;
pub(crate) use self::api::message_text;
pub use self::api::{ApiAnswer, ApiCall, InlineControl};
pub use self::config::{App, DEFAULT_FIELDS, EntryPoint, Page, Rules};
pub use self::conversation::{Said, Speaker};
pub use self::error::{GraphError, REQUEST_REFUSED};
pub use self::fanout::{Channel, Delivery};
pub use self::fields::Fields;
pub use self::instagram::INSTAGRAM_FIELDS;
pub use self::meta::{AI_APP, LEAD_APP};
pub use self::moderation::Moderation;
pub use self::standing::{Availability, PolicyAction, Restriction};
pub use self::subscriptions::KNOWN_FIELDS;
pub use self::switches::{
    DeletedFlag, EchoMetadata, Echoes, PolicyKey, RequestUnderDefaultApp, Switches, TakeByOwner, ZeroConfig,
};
pub use self::utterance::{Attachment, CustomerMessage, InvalidAct, OptIn, Referral, SharedPost, Story};

/// The duration of control without activity ([idle](messenger_handover::protocol#idle)), and the messaging
/// [window](messenger_handover::protocol#windows). The two are independent gates.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest [extension](messenger_handover::protocol#extend), and the window of the
/// [`HUMAN_AGENT`](messenger_handover::protocol#human-agent) tag.
pub const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The Page inbox's app.
pub(crate) fn page_inbox() -> AppId {
    AppId::from(PAGE_INBOX)
}

use self::instagram::is_inbox;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    app: AppId,
    expires: Timestamp,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Thread {
    lease: Option<Lease>,
    last_customer: Option<Timestamp>,
    /// Whether the customer's next message is the first after a click on an ad.
    clicked_ad: bool,
    /// The end of the longer window of an ad.
    ad_window: Option<Timestamp>,
    said: Vec<Said>,
}

/// The platform: apps, Pages, conversations and pending webhooks.
#[derive(Debug, Clone, Default)]
pub struct Platform {
    /// Shared by clones, because a model checker makes millions of them.
    apps: Arc<BTreeMap<AppId, App>>,
    pages: Arc<BTreeMap<PageId, Page>>,
    threads: BTreeMap<ThreadKey, Thread>,
    outgoing: Vec<Delivery>,
    messages: u64,
    refusals: u64,
    switches: Switches,
    uploads: uploads::Uploads,
    blocked: BTreeSet<ThreadKey>,
}

/// Compares conversations and pending webhooks, not the configuration: the state that calls change. For model checkers.
impl PartialEq for Platform {
    fn eq(&self, other: &Self) -> bool {
        (&self.threads, &self.outgoing, self.messages) == (&other.threads, &other.outgoing, other.messages)
    }
}

impl Eq for Platform {}

impl Platform {
    /// A platform without apps and Pages.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an app.
    #[must_use]
    pub fn with_app(mut self, app: App) -> Self {
        Arc::make_mut(&mut self.apps).insert(app.id.clone(), app);
        self
    }

    /// Adds a Page.
    #[must_use]
    pub fn with_page(mut self, page: Page) -> Self {
        Arc::make_mut(&mut self.pages).insert(page.id.clone(), page);
        self
    }

    /// Sets the effect of a request where a default application is set.
    #[must_use]
    pub fn with_request_under_default_app(mut self, choice: RequestUnderDefaultApp) -> Self {
        self.switches.request_under_default_app = choice;
        self
    }

    /// Sets how Pages without a default application behave.
    #[must_use]
    pub fn with_zero_config(mut self, choice: ZeroConfig) -> Self {
        self.switches.zero_config = choice;
        self
    }

    /// Sets the fate of echoes of an app that gives control away.
    #[must_use]
    pub fn with_echoes(mut self, choice: Echoes) -> Self {
        self.switches.echoes = choice;
        self
    }

    /// Sets or removes the callback of an app. Does nothing if there is no such app.
    pub fn set_callback(&mut self, app: &AppId, url: Option<String>) {
        if let Some(app) = Arc::make_mut(&mut self.apps).get_mut(app) {
            app.callback = url;
        }
    }

    /// Sets the callbacks that another platform's apps have.
    pub(crate) fn set_callbacks_of(&mut self, other: &Self) {
        for (id, app) in Arc::make_mut(&mut self.apps) {
            app.callback = other.apps.get(id).and_then(|app| app.callback.clone());
        }
    }

    /// Sets an app's switch *take control of conversations*. Does nothing if there is no such app.
    pub fn set_may_take(&mut self, app: &AppId, may: bool) {
        if let Some(app) = Arc::make_mut(&mut self.apps).get_mut(app) {
            app.may_take = may;
        }
    }

    /// Sets whether Meta approved an app's Human Agent feature. Does nothing if there is no such app.
    pub fn set_human_agent(&mut self, app: &AppId, approved: bool) {
        if let Some(app) = Arc::make_mut(&mut self.apps).get_mut(app) {
            app.human_agent = approved;
        }
    }

    /// Replaces the webhook fields of an app on all its Pages. Does nothing if there is no such app.
    pub fn set_fields(&mut self, app: &AppId, fields: BTreeSet<String>) {
        if let Some(known) = Arc::make_mut(&mut self.apps).get_mut(app) {
            known.fields = fields;
        }
        for page in Arc::make_mut(&mut self.pages).values_mut() {
            page.subscribed.remove(app);
        }
    }

    /// The choices where no source, or more than one, states the platform's behaviour.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.switches
    }

    /// Sets these choices.
    pub fn set_switches(&mut self, switches: Switches) {
        self.switches = switches;
    }

    /// Changes the rules of a Page, as its admin does. Apps whose role changed get
    /// [`app_roles`](messenger_handover::protocol#control-events); inferred: owners stay. Does nothing if there is no such Page.
    pub fn set_rules(&mut self, page: &PageId, rules: Rules, now: Timestamp) {
        let Some(known) = Arc::make_mut(&mut self.pages).get_mut(page) else { return };
        let old = std::mem::replace(&mut known.rules, rules);
        let rules = known.rules.clone();
        for app in known.apps.clone() {
            if let Some(role) = rules.role_of(&app)
                && old.role_of(&app) != Some(role)
            {
                self.tell_role(page, &app, role, now);
            }
        }
    }

    /// The app and the Page of a token.
    pub(crate) fn authenticate(&self, token: &str) -> Result<(AppId, PageId), GraphError> {
        let mut tokens =
            self.pages.values().flat_map(|page| page.tokens.iter().map(move |token| (page, token)));
        match tokens.find(|(_, known)| known.token.expose_secret() == token) {
            None => Err(GraphError::bad_token()),
            Some((page, token)) => match token.ended {
                Some(subcode) => Err(GraphError::token_ended(subcode)),
                None => Ok((token.app.clone(), page.id.clone())),
            },
        }
    }

    /// The app of an app access token, `id|secret`.
    pub(crate) fn authenticate_app(&self, token: &str) -> Option<AppId> {
        let (id, secret) = token.split_once('|')?;
        let app = self.apps.get(&AppId::new(id).ok()?)?;
        (app.secret.expose_secret() == secret).then(|| app.id.clone())
    }

    pub(crate) fn app(&self, app: &AppId) -> Option<&App> {
        self.apps.get(app)
    }

    /// The owner of the thread at this moment.
    #[must_use]
    pub fn owner(&self, page: &PageId, user: &UserId, now: Timestamp) -> Option<AppId> {
        self.lease(page, user, now).map(|(owner, _)| owner)
    }

    /// The owner of the thread at this moment, and the expiry of its control.
    #[must_use]
    pub fn lease(&self, page: &PageId, user: &UserId, now: Timestamp) -> Option<(AppId, Timestamp)> {
        let thread = self.threads.get(&ThreadKey::new(page.clone(), user.clone()))?;
        let lease = thread.lease.as_ref().filter(|lease| lease.expires > now)?;
        Some((lease.app.clone(), lease.expires))
    }

    /// The time at which the messaging window closes, if the customer ever wrote.
    #[must_use]
    pub fn window_closes(&self, page: &PageId, user: &UserId) -> Option<Timestamp> {
        let thread = self.threads.get(&ThreadKey::new(page.clone(), user.clone()))?;
        Some(thread.last_customer?.plus(DAY)).max(thread.ad_window)
    }

    /// All messages of a conversation in order, as the customer sees them.
    #[must_use]
    pub fn conversation(&self, page: &PageId, user: &UserId) -> &[Said] {
        self.threads.get(&ThreadKey::new(page.clone(), user.clone())).map_or(&[], |thread| &thread.said)
    }

    /// The keys of all conversations.
    pub fn threads(&self) -> impl Iterator<Item = &ThreadKey> {
        self.threads.keys()
    }

    /// Takes the pending webhooks, in order. The caller must deliver them.
    #[must_use = "what is taken is not delivered again"]
    pub fn take_outgoing(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.outgoing)
    }

    fn rules(&self, page: &PageId) -> Rules {
        self.pages.get(page).map_or_else(Rules::zero_config, |page| page.rules.clone())
    }

    fn holder(&self, key: &ThreadKey) -> Option<AppId> {
        Some(self.threads.get(key)?.lease.as_ref()?.app.clone())
    }

    /// Adds a person who writes to the people of the Page.
    fn meets(&mut self, key: &ThreadKey) {
        if self.pages.get(&key.page).is_some_and(|page| !page.people.contains_key(&key.user))
            && let Some(page) = Arc::make_mut(&mut self.pages).get_mut(&key.page)
        {
            page.people.entry(key.user.clone()).or_default();
        }
    }

    fn thread_mut(&mut self, key: &ThreadKey) -> &mut Thread {
        self.threads.entry(key.clone()).or_default()
    }

    /// Makes the thread idle if control has expired. Inferred: no webhook is sent ([idle](messenger_handover::protocol#idle)).
    fn lapse(&mut self, key: &ThreadKey, now: Timestamp) {
        if let Some(thread) = self.threads.get_mut(key) {
            thread.lease.take_if(|lease| lease.expires <= now);
        }
    }

    /// Gives control for a full day. Inferred: Meta only forbids the owner to renew its own control by passing to itself or by
    /// taking ([idle](messenger_handover::protocol#idle)).
    fn give(&mut self, key: &ThreadKey, app: &AppId, now: Timestamp) {
        self.thread_mut(key).lease = Some(Lease { app: app.clone(), expires: now.plus(DAY) });
    }

    /// Moves the expiry after activity. Inferred: activity never shortens an extension
    /// ([idle](messenger_handover::protocol#idle)).
    fn renew(&mut self, key: &ThreadKey, now: Timestamp) {
        if let Some(lease) = &mut self.thread_mut(key).lease {
            lease.expires = lease.expires.max(now.plus(DAY));
        }
    }

    fn said_mut(&mut self, key: &ThreadKey, mid: &MessageId) -> Option<&mut Said> {
        self.threads.get_mut(key)?.said.iter_mut().find(|said| said.mid == *mid)
    }

    fn next_mid(&mut self) -> MessageId {
        self.messages += 1;
        #[expect(clippy::expect_used, reason = "a short text without control characters is an id")]
        MessageId::new(format!("m_{}", self.messages)).expect("m_<n> is an id")
    }
}
