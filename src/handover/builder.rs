//! How a service is configured and started.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foldhash::HashMap;
use tokio::sync::{Semaphore, broadcast};
use tokio_util::task::TaskTracker;

use crate::control::DeskEndpoint;
use crate::control::HandoverClient;
use crate::id::{AppId, PageId};
use crate::policy::{Role, ThreadControlPolicy};
use crate::store::{MemoryStore, ThreadStore};
use crate::thread::{Config, Limits, OnUnknown, Timeouts, Unanswered};

use super::calls::Calls;
use super::check::{BuildError, check};
use super::clock::{Clock, SystemClock};
use super::copies::Copies;
use super::inner::{Counters, Inner};
use super::mailbox::Mailboxes;
use super::together::Together;
use super::{Handler, Handover, wake};

/// How many changes one who waits for them may lag behind before it looks anyway.
const CHANGES: usize = 64;

/// Puts a [`Handover`] together.
#[must_use]
pub struct Builder {
    config: Config,
    client: Arc<dyn HandoverClient>,
    handler: Arc<dyn Handler>,
    page_policies: HashMap<PageId, ThreadControlPolicy>,
    desk: Option<Arc<dyn DeskEndpoint>>,
    without_desk_endpoint: bool,
    store: Option<Arc<dyn ThreadStore>>,
    clock: Arc<dyn Clock>,
    events_within: Duration,
    events_at_once: usize,
    calls_at_once: usize,
    copies: usize,
}

impl Handover {
    /// Starts a configuration: our app, which side we are, who is primary on the Pages, the client that
    /// makes the calls, and the handler that is told what happens. Where Pages differ,
    /// [`page_policy`](Builder::page_policy) says how.
    pub fn builder(
        app: AppId,
        role: Role,
        policy: ThreadControlPolicy,
        client: Arc<dyn HandoverClient>,
        handler: impl Handler,
    ) -> Builder {
        let config = Config::new(app, role, policy);
        Builder {
            config,
            client,
            handler: Arc::new(handler),
            page_policies: HashMap::default(),
            desk: None,
            without_desk_endpoint: false,
            store: None,
            clock: Arc::new(SystemClock),
            events_within: Duration::from_secs(4),
            events_at_once: 10_000,
            calls_at_once: 200,
            copies: 10_000,
        }
    }
}

impl Builder {
    /// For a bot: the desk's app, whose requests for control are granted at once. ED does not publish
    /// its own: it is the `requested_owner_app_id` of its first request (facts §8.1).
    pub fn desk_app(mut self, desk: AppId) -> Self {
        self.config = self.config.with_desk(desk);
        self
    }

    /// Who is primary on this Page, where that is not the policy that the others have. Set again, the last one counts.
    pub fn page_policy(mut self, page: PageId, policy: ThreadControlPolicy) -> Self {
        self.page_policies.insert(page, policy);
        self
    }

    /// For a bot: ED's endpoint, through which it asks for people and for control. Under
    /// [`ThreadControlPolicy::EdPrimary`] there is no other way to ask for control, so that it must be set there, or
    /// [`without_desk_endpoint`](Self::without_desk_endpoint).
    pub fn desk_endpoint(mut self, endpoint: Arc<dyn DeskEndpoint>) -> Self {
        self.config.desk_endpoint = true;
        self.desk = Some(endpoint);
        self
    }

    /// For a bot under [`ThreadControlPolicy::EdPrimary`] that has no endpoint to ask: it speaks only when control is
    /// passed to it, and what it sends before that fails as not granted.
    pub fn without_desk_endpoint(mut self) -> Self {
        self.without_desk_endpoint = true;
        self
    }

    /// An app whose requests for control are granted without asking the host. For a bot, the desk's
    /// app and the inboxes are trusted already.
    pub fn trust(mut self, app: AppId) -> Self {
        self.config.trusted.insert(app);
        self
    }

    /// An app that never answers a request for control. Meta's inboxes, its lead ads and the ids that its
    /// AI was seen with are known to be so.
    pub fn silent(mut self, app: AppId) -> Self {
        self.config.silent.insert(app);
        self
    }

    /// An app that does answer requests, though it is one of Meta's own.
    pub fn not_silent(mut self, app: &AppId) -> Self {
        self.config.silent.remove(app);
        self
    }

    /// Trusts nobody: the host grants every request itself.
    pub fn trust_nobody(mut self) -> Self {
        self.config.trusted.clear();
        self
    }

    /// For a bot under [`ThreadControlPolicy::BotPrimary`]: takes control even from people. They are known by
    /// [`desk_app`](Self::desk_app) or [`desk_endpoint`](Self::desk_endpoint).
    pub fn dangerously_take_from_desk(mut self) -> Self {
        self.config.take_from_desk = true;
        self
    }

    /// For a desk: a message that the messaging window refused for certain is sent once more with the `HUMAN_AGENT` tag, in its
    /// place and with its key, which people may use for 7 days after the customer wrote. Off if nothing is set: Meta
    /// has to approve the app for it in App Review. Where it did not, the message fails as
    /// [`FailReason::OutsideWindow`](crate::thread::FailReason::OutsideWindow), and the words name both refusals.
    pub fn human_agent(mut self, human_agent: bool) -> Self {
        self.config.human_agent = human_agent;
        self
    }

    /// The app is not subscribed to `message_echoes`: an answer whose outcome is unknown is reported so at
    /// once, since nothing would settle it.
    pub fn without_echoes(mut self) -> Self {
        self.config.echoes = false;
        self
    }

    /// What to do with an answer that may or may not have arrived.
    pub fn on_unknown(mut self, on_unknown: OnUnknown) -> Self {
        self.config.on_unknown = on_unknown;
        self
    }

    /// Tells the host which of its messages the platform reports as delivered and read ([`Notice::Delivered`],
    /// [`Notice::Read`]). Off if nothing is set: each costs a write.
    ///
    /// [`Notice::Delivered`]: crate::thread::Notice::Delivered
    /// [`Notice::Read`]: crate::thread::Notice::Read
    pub fn receipts(mut self) -> Self {
        self.config.receipts = true;
        self
    }

    /// What a claim does when the app that was asked for control says nothing. A desk takes control then, a bot does not.
    pub fn when_unanswered(mut self, unanswered: Unanswered) -> Self {
        self.config.when_unanswered = unanswered;
        self
    }

    /// How long things may take.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.config.timeouts = timeouts;
        self
    }

    /// How much one conversation may remember.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Where conversations are kept. In memory if nothing is set: then a restart forgets them.
    pub fn store(mut self, store: Arc<dyn ThreadStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// What time it is; the machine's clock if nothing is set. For tests in virtual time, together with
    /// tokio's paused time.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long [`Handover::events`] may take; after that it is refused, so that the platform delivers again, and
    /// what was begun goes on. 4 s if nothing is set: Meta waits for five.
    pub fn events_within(mut self, within: Duration) -> Self {
        self.events_within = within;
        self
    }

    /// How many events may be under way: being saved, or being told to the handler. More are refused at once
    /// ([`HandoverError::Overloaded`](super::HandoverError::Overloaded)), nothing of them is kept, and the platform
    /// delivers them again. What is saved, and waits until the handler has dealt with what came before it in its
    /// conversation, does not count: [`Limits::notices`] bounds that. Nor does a call that waits for a place
    /// ([`calls_at_once`](Self::calls_at_once)). A delivery that has more than so many alone is taken in
    /// when nothing else is. 10,000 if nothing is set; at least 1.
    pub fn events_at_once(mut self, events: usize) -> Self {
        self.events_at_once = events.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// How many calls to Graph and to the desk's endpoint are made at once, and so how many sockets they take: 200 if
    /// nothing is set; at least 1. One Page has at most half of these places, and so has the desk's endpoint, so that one
    /// whose calls hang does not keep the others waiting. Where two or more hang they share what there is.
    ///
    /// A call that finds no place waits, first come first served, for at most half of
    /// [`Timeouts::call_lease`]; then its conversation asks for it again. At most as many wait as
    /// [`events_at_once`](Self::events_at_once) allows events; more are put off for 10 to 20 s. What waits is saved, nothing of
    /// it is lost by a restart, and it does not count as events under way: webhooks are accepted while the platform is slow.
    /// [`Handover::stop`] does not wait for it: whoever goes on makes these calls.
    ///
    /// Keep it well below the limit of open files (`ulimit -n`), which webhooks need as well.
    pub fn calls_at_once(mut self, calls: usize) -> Self {
        self.calls_at_once = calls.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Of how many conversations the service keeps a copy of what it wrote last, some kilobytes each at most, so that it need
    /// not ask the store for them again; 10,000 if nothing is set. There are none of conversations in which much waits. Where other replicas write the same conversations, an old copy costs one write that is
    /// refused.
    pub fn copies(mut self, conversations: usize) -> Self {
        self.copies = conversations;
        self
    }

    /// Starts the service on the tokio runtime that runs here.
    ///
    /// # Errors
    /// [`BuildError`] says what makes no sense.
    pub fn start(self) -> Result<Handover, BuildError> {
        let Self { config, page_policies, without_desk_endpoint, .. } = self;
        let Self { client, handler, desk, store, clock, .. } = self;
        let Self { events_within, events_at_once, calls_at_once, copies, .. } = self;
        check(&config, &page_policies, without_desk_endpoint)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let store = store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let inner = Arc::new(Inner {
            config,
            page_policies,
            client,
            desk,
            copies: Copies::new(copies),
            store,
            handler,
            clock,
            mailboxes: Mailboxes::default(),
            loads: Together::default(),
            writes: Together::default(),
            changed: broadcast::channel(CHANGES).0,
            alarm: Arc::default(),
            pages: Mutex::default(),
            tasks: TaskTracker::new(),
            stopping: AtomicBool::new(false),
            counters: Counters::default(),
            events_within,
            events_at_once,
            room: Arc::new(Semaphore::new(events_at_once)),
            calls: Calls::new(calls_at_once, events_at_once),
            clock_check: Mutex::default(),
            #[cfg(feature = "webhook")]
            not_understood: crate::throttle::Refusals::of("webhook"),
        });
        runtime.spawn(wake::wake_due(Arc::downgrade(&inner)));
        Ok(Handover { inner })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("page_policies", &self.page_policies)
            .finish_non_exhaustive()
    }
}
