//! Meta's rules as a pure function of calls and time.
//!
//! Every method that is told `now` lets control lapse first, then acts, and leaves what Meta would
//! deliver in a list that [`Platform::take_outgoing`] empties. `now` must not run backwards.

mod about;
mod api;
mod config;
mod control;
mod error;
mod fanout;
mod inbox;
mod instagram;
mod messages;
mod meta;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use messenger_handover::id::{AppId, MessageId, PAGE_INBOX, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

pub use self::about::{DEFAULT_SCOPES, KNOWN_FIELDS};
pub(crate) use self::api::message_text;
pub use self::api::{ApiAnswer, ApiCall, InlineControl};
pub use self::config::{
    App, DEFAULT_FIELDS, Echoes, EntryPoint, Page, RequestUnderDefaultApp, Rules, ZeroConfig,
};
pub use self::error::{GraphError, REQUEST_REFUSED};
pub use self::fanout::{Channel, Delivery};
pub use self::meta::{AI_APP, LEAD_APP};

/// How long control lasts without activity (facts §1.1, §2.2), and how long the Page may answer a
/// customer (facts §2.8). The two are independent gates.
pub const DAY: Duration = Duration::from_hours(24);
/// The longest extension (facts §2.4), and the window of the `HUMAN_AGENT` tag (facts §2.8).
pub const WEEK: Duration = Duration::from_hours(168);

/// The Page inbox as an app.
pub(crate) fn inbox() -> AppId {
    AppId::from(PAGE_INBOX)
}

use self::instagram::is_inbox;

/// Who said something in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Speaker {
    /// The customer.
    Customer,
    /// An app, in the name of the Page.
    App(AppId),
}

/// One message of a conversation, as the customer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Said {
    /// Who said it.
    pub from: Speaker,
    /// The message object, as it was sent.
    pub message: Value,
    /// Its id.
    pub mid: MessageId,
    /// When.
    pub at: Timestamp,
}

impl Said {
    /// Its text, if it has one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.message["text"].as_str()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    app: AppId,
    expires: Timestamp,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Thread {
    lease: Option<Lease>,
    last_customer: Option<Timestamp>,
    said: Vec<Said>,
}

/// The platform: apps, Pages, conversations and the webhooks that wait to be delivered.
#[derive(Debug, Clone, Default)]
pub struct Platform {
    /// Shared by clones: a model checker makes millions of them.
    apps: Arc<BTreeMap<AppId, App>>,
    pages: Arc<BTreeMap<PageId, Page>>,
    threads: BTreeMap<ThreadKey, Thread>,
    outgoing: Vec<Delivery>,
    messages: u64,
    refusals: u64,
    request_under_default_app: RequestUnderDefaultApp,
    zero_config: ZeroConfig,
    echoes: Echoes,
}

/// Equal are platforms with the same conversations and the same webhooks to be delivered: what changes when
/// calls are made, and not how they are configured. For model checkers.
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

    /// Chooses what a request does where a default application is set.
    #[must_use]
    pub fn with_request_under_default_app(mut self, choice: RequestUnderDefaultApp) -> Self {
        self.request_under_default_app = choice;
        self
    }

    /// Chooses how Pages without a default application behave.
    #[must_use]
    pub fn with_zero_config(mut self, choice: ZeroConfig) -> Self {
        self.zero_config = choice;
        self
    }

    /// Chooses what becomes of the echoes of an app that gives control away.
    #[must_use]
    pub fn with_echoes(mut self, choice: Echoes) -> Self {
        self.echoes = choice;
        self
    }

    /// Sets or removes the callback of an app. Nothing happens if there is no such app.
    pub fn set_callback(&mut self, app: &AppId, url: Option<String>) {
        if let Some(app) = Arc::make_mut(&mut self.apps).get_mut(app) {
            app.callback = url;
        }
    }

    /// Sets an app's switch "take control of conversations". Nothing happens if there is no such app.
    pub fn set_may_take(&mut self, app: &AppId, may: bool) {
        if let Some(app) = Arc::make_mut(&mut self.apps).get_mut(app) {
            app.may_take = may;
        }
    }

    /// Sets whether Meta approved an app's Human Agent feature. Nothing happens if there is no such app.
    pub fn set_human_agent(&mut self, app: &AppId, approved: bool) {
        if let Some(app) = Arc::make_mut(&mut self.apps).get_mut(app) {
            app.human_agent = approved;
        }
    }

    /// Replaces the webhook fields of an app, on all its Pages. Nothing happens if there is no such app.
    pub fn set_fields(&mut self, app: &AppId, fields: BTreeSet<String>) {
        if let Some(known) = Arc::make_mut(&mut self.apps).get_mut(app) {
            known.fields = fields;
        }
        for page in Arc::make_mut(&mut self.pages).values_mut() {
            page.subscribed.remove(app);
        }
    }

    /// What no source tells, as it is chosen.
    #[must_use]
    pub fn switches(&self) -> (RequestUnderDefaultApp, ZeroConfig, Echoes) {
        (self.request_under_default_app, self.zero_config, self.echoes)
    }

    /// Chooses it anew.
    pub fn set_switches(&mut self, request: RequestUnderDefaultApp, zero_config: ZeroConfig, echoes: Echoes) {
        (self.request_under_default_app, self.zero_config, self.echoes) = (request, zero_config, echoes);
    }

    /// An admin of the Page changes its rules. Apps whose role changed are told with `app_roles`
    /// (facts §1.3); owners stay (INF). Nothing happens if there is no such Page.
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

    /// The app and Page a token belongs to.
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

    /// The app whose own access token this is, `id|secret`.
    pub(crate) fn authenticate_app(&self, token: &str) -> Option<AppId> {
        let (id, secret) = token.split_once('|')?;
        let app = self.apps.get(&AppId::new(id).ok()?)?;
        (app.secret.expose_secret() == secret).then(|| app.id.clone())
    }

    pub(crate) fn app(&self, app: &AppId) -> Option<&App> {
        self.apps.get(app)
    }

    pub(crate) fn echoes(&self) -> Echoes {
        self.echoes
    }

    /// Makes one call of the Graph API in the name of an app.
    ///
    /// # Errors
    /// [`GraphError`] as Graph would refuse.
    pub fn call(
        &mut self,
        app: &AppId,
        page: &PageId,
        call: &ApiCall,
        now: Timestamp,
    ) -> Result<ApiAnswer, GraphError> {
        let account = self.account_of(page, call.user());
        let answer = self.dispatch(app, page, &account, call, now);
        answer.map_err(|refusal| self.traced(self.in_the_words_of(&account, refusal)))
    }

    /// Gives a refusal its `fbtrace_id`.
    pub(crate) fn traced(&mut self, refusal: GraphError) -> GraphError {
        self.refusals += 1;
        GraphError { fbtrace_id: format!("Asim{:019}", self.refusals), ..refusal }
    }

    fn dispatch(
        &mut self,
        app: &AppId,
        page: &PageId,
        account: &PageId,
        call: &ApiCall,
        now: Timestamp,
    ) -> Result<ApiAnswer, GraphError> {
        let known = self
            .pages
            .get(page)
            .ok_or_else(|| GraphError::unsupported(method_of(call), &page.to_string()))?;
        if !known.apps.contains(app) {
            return Err(GraphError::no_role());
        }
        let needed = call.needs();
        let mut own = known.tokens.iter().filter(|token| token.app == *app).peekable();
        // The test may call in the name of an app that has no token.
        let has = |scope: &String| needed.contains(&scope.as_str());
        if own.peek().is_some() && !own.any(|token| token.scopes.iter().any(has)) {
            return Err(GraphError::scope_missing(needed[0]));
        }
        let Some(user) = call.user() else { return self.about_page(app, page, call) };
        let is_known = self.pages.get(account).is_some_and(|account| account.people.contains_key(user));
        if !is_known && !matches!(call, ApiCall::Conversation { .. }) {
            return Err(GraphError::no_such_person());
        }
        let key = ThreadKey::new(account.clone(), user.clone());
        self.lapse(&key, now);
        let reads = matches!(call, ApiCall::ThreadOwner { .. } | ApiCall::Conversation { .. });
        if !reads && self.is_asked_by_meta(&key) && !is_inbox(app) {
            return Err(GraphError::asked_by_meta());
        }
        match call {
            ApiCall::Pass { target, metadata, .. } => {
                self.pass(app, &key, target.as_ref(), metadata.as_deref(), now)
            }
            ApiCall::Take { metadata, .. } => self.take(app, &key, metadata.as_deref(), now),
            ApiCall::Request { metadata, .. } => self.request(app, &key, metadata.as_deref(), now),
            ApiCall::Release { .. } => self.release(app, &key),
            ApiCall::Extend { duration, .. } => self.extend(app, &key, *duration, now),
            ApiCall::ThreadOwner { .. } => Ok(self.thread_owner(app, &key)),
            ApiCall::Conversation { .. } => Ok(self.conversation_of(app, &key, now)),
            ApiCall::Send { message, messaging_type, tag, thread_control, .. } => {
                let tag = tag.as_deref().filter(|_| messaging_type.as_deref() == Some("MESSAGE_TAG"));
                self.send(app, &key, message, tag, thread_control.as_ref(), now)
            }
            ApiCall::SenderAction { .. } => self.act(app, &key, now),
            page_call => self.about_page(app, page, page_call),
        }
    }

    /// Who owns the thread at this moment.
    #[must_use]
    pub fn owner(&self, page: &PageId, user: &UserId, now: Timestamp) -> Option<AppId> {
        self.lease(page, user, now).map(|(owner, _)| owner)
    }

    /// Who owns the thread at this moment, and until when.
    #[must_use]
    pub fn lease(&self, page: &PageId, user: &UserId, now: Timestamp) -> Option<(AppId, Timestamp)> {
        let thread = self.threads.get(&ThreadKey::new(page.clone(), user.clone()))?;
        let lease = thread.lease.as_ref().filter(|lease| lease.expires > now)?;
        Some((lease.app.clone(), lease.expires))
    }

    /// When the standard messaging window of a conversation closes, if the customer ever wrote.
    #[must_use]
    pub fn window_closes(&self, page: &PageId, user: &UserId) -> Option<Timestamp> {
        let thread = self.threads.get(&ThreadKey::new(page.clone(), user.clone()))?;
        Some(thread.last_customer?.plus(DAY))
    }

    /// Everything that was said, as the customer sees it, in order.
    #[must_use]
    pub fn conversation(&self, page: &PageId, user: &UserId) -> &[Said] {
        self.threads.get(&ThreadKey::new(page.clone(), user.clone())).map_or(&[], |thread| &thread.said)
    }

    /// The conversations there are.
    pub fn threads(&self) -> impl Iterator<Item = &ThreadKey> {
        self.threads.keys()
    }

    /// Takes the webhooks that wait to be delivered, in order.
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

    /// Whoever writes is known to the Page from then on.
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

    /// Control that ran out makes the thread idle. Nobody is told (facts §1.3, INF).
    fn lapse(&mut self, key: &ThreadKey, now: Timestamp) {
        if let Some(thread) = self.threads.get_mut(key) {
            thread.lease.take_if(|lease| lease.expires <= now);
        }
    }

    /// Gives control with a full day ahead. That gaining control starts a new day is INF: Meta only
    /// forbids the owner to renew its own by passing to itself or taking (facts §2.4).
    fn give(&mut self, key: &ThreadKey, app: &AppId, now: Timestamp) {
        self.thread_mut(key).lease = Some(Lease { app: app.clone(), expires: now.plus(DAY) });
    }

    /// Activity moves the expiry, and never brings an extended one nearer (INF).
    fn renew(&mut self, key: &ThreadKey, now: Timestamp) {
        if let Some(lease) = &mut self.thread_mut(key).lease {
            lease.expires = lease.expires.max(now.plus(DAY));
        }
    }

    fn next_mid(&mut self) -> MessageId {
        self.messages += 1;
        #[expect(clippy::expect_used, reason = "a short text without control characters is an id")]
        MessageId::new(format!("m_{}", self.messages)).expect("m_<n> is an id")
    }
}

fn method_of(call: &ApiCall) -> &'static str {
    match call {
        ApiCall::ThreadOwner { .. }
        | ApiCall::SecondaryReceivers
        | ApiCall::FeatureStatus
        | ApiCall::Node
        | ApiCall::SubscribedApps
        | ApiCall::Conversation { .. } => "get",
        _ => "post",
    }
}
