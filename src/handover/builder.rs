//! The builder of the service: its settings with their defaults, and its start.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foldhash::HashMap;
use tokio::sync::{Semaphore, broadcast};
use tokio_util::task::TaskTracker;

use crate::control::{DeskEndpoint, HandoverClient};
use crate::id::{AppId, PageId};
use crate::policy::{Role, ThreadControlPolicy};
use crate::store::{MemoryStore, ThreadStore};
use crate::thread::{Config, Limits, OnUnknown, Timeouts, Unanswered};

use super::batcher::Batcher;
use super::cache::Cache;
use super::calls::Calls;
use super::check::{BuildError, check};
use super::clock::{Clock, SystemClock};
use super::inner::Inner;
use super::mailbox::Mailboxes;
use super::stats::Counters;
use super::story::Names;
use super::{Handler, Handover, wake};

/// The capacity of the channel of changes. A receiver that lags behind it loads the conversation anyway.
const CHANGES: usize = 64;

/// Configures and starts a [`Handover`]. Create it with [`Handover::builder`].
#[must_use]
pub struct Builder {
    /// The first setting that is not an id.
    invalid: Option<BuildError>,
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
    cache: usize,
    names: Names,
}

impl Handover {
    /// Starts a configuration from our app's id, our role, the policy of the Pages, the client that makes the calls, and the
    /// handler that is notified. For a Page with another policy call [`page_policy`](Builder::page_policy).
    pub fn builder(
        app: impl TryInto<AppId, Error: fmt::Display>,
        role: Role,
        policy: ThreadControlPolicy,
        client: impl HandoverClient,
        handler: impl Handler,
    ) -> Builder {
        let mut invalid = None;
        let app = id_of("app", app, &mut invalid);
        Builder {
            config: Config::new(app, role, policy),
            invalid,
            client: Arc::new(client),
            handler: Arc::new(handler),
            page_policies: HashMap::default(),
            desk: None,
            without_desk_endpoint: false,
            store: None,
            clock: Arc::new(SystemClock),
            events_within: Duration::from_secs(4),
            events_at_once: 10_000,
            calls_at_once: 200,
            cache: 10_000,
            names: Names::default(),
        }
    }
}

impl Builder {
    /// For a bot: sets the desk's app, whose requests for control are granted at once. Engage Digital does not publish its
    /// app id: read it from `requested_owner_app_id` of its [first request](crate::protocol#engage-digital).
    pub fn desk_app(mut self, desk: impl TryInto<AppId, Error: fmt::Display>) -> Self {
        let desk = id_of("desk_app", desk, &mut self.invalid);
        self.config = self.config.with_desk(desk);
        self
    }

    /// Sets the policy of one Page, if it differs from the others. The last call for a Page counts.
    pub fn page_policy(mut self, page: PageId, policy: ThreadControlPolicy) -> Self {
        self.page_policies.insert(page, policy);
        self
    }

    /// For a bot: sets the [desk's endpoint](crate::protocol#ed-bots-endpoint), through which it asks for people and for
    /// control. Required under [`ThreadControlPolicy::EdPrimary`], because there is no other way to ask there; or call
    /// [`without_desk_endpoint`](Self::without_desk_endpoint).
    pub fn desk_endpoint(mut self, endpoint: impl DeskEndpoint) -> Self {
        self.config.desk_endpoint = true;
        self.desk = Some(Arc::new(endpoint));
        self
    }

    /// For a bot under [`ThreadControlPolicy::EdPrimary`] without a desk's endpoint: it can send only after control was passed
    /// to it. A message sent before that fails as not granted.
    pub fn without_desk_endpoint(mut self) -> Self {
        self.without_desk_endpoint = true;
        self
    }

    /// Trusts an app: its requests for control are granted without asking the host. A bot trusts the desk's app and the
    /// inboxes by default.
    pub fn trust(mut self, app: impl TryInto<AppId, Error: fmt::Display>) -> Self {
        let app = id_of("trust", app, &mut self.invalid);
        self.config.trusted.insert(app);
        self
    }

    /// Names an app that [never answers a request](crate::protocol#request) for control. Meta's inboxes, its lead ads app and
    /// the known ids of its AI are silent by default.
    pub fn silent(mut self, app: impl TryInto<AppId, Error: fmt::Display>) -> Self {
        let app = id_of("silent", app, &mut self.invalid);
        self.config.silent.insert(app);
        self
    }

    /// Names an app that answers requests for control although it is silent by default.
    pub fn not_silent(mut self, app: &AppId) -> Self {
        self.config.silent.remove(app);
        self
    }

    /// Trusts no app: the host decides on every request with [`Handover::grant`] or [`Handover::refuse`].
    pub fn trust_nobody(mut self) -> Self {
        self.config.trusted.clear();
        self
    }

    /// For a bot under [`ThreadControlPolicy::BotPrimary`]: lets it take control from the desk, even while people are busy.
    /// Needs [`desk_app`](Self::desk_app) or [`desk_endpoint`](Self::desk_endpoint).
    pub fn dangerously_take_from_desk(mut self) -> Self {
        self.config.take_from_desk = true;
        self
    }

    /// For a desk: sends a message that the [messaging window](crate::protocol#windows) refused once more with the
    /// [`HUMAN_AGENT`](crate::protocol#human-agent) tag, which people may use for 7 days after the customer wrote. Default:
    /// off, because Meta must approve the app for it in App Review. Without the approval the message fails as
    /// [`FailReason::OutsideWindow`](crate::thread::FailReason::OutsideWindow), and its text names both refusals.
    pub fn human_agent(mut self, human_agent: bool) -> Self {
        self.config.human_agent = human_agent;
        self
    }

    /// For an app that is not subscribed to `message_echoes`: reports a message with an unknown outcome at once, because no
    /// [echo](crate::protocol#echoes) would settle it.
    pub fn without_echoes(mut self) -> Self {
        self.config.echoes = false;
        self
    }

    /// Chooses what happens to a message with an unknown outcome whose echo did not come. Default: [`OnUnknown::Hold`] for a desk,
    /// [`OnUnknown::Continue`] for a bot.
    pub fn on_unknown(mut self, on_unknown: OnUnknown) -> Self {
        self.config.on_unknown = on_unknown;
        self
    }

    /// Notifies the handler of the platform's [receipts](crate::protocol#receipts) ([`Notice::Delivered`], [`Notice::Read`]).
    /// Default: off, because each receipt costs a write.
    ///
    /// [`Notice::Delivered`]: crate::thread::Notice::Delivered
    /// [`Notice::Read`]: crate::thread::Notice::Read
    pub fn receipts(mut self) -> Self {
        self.config.receipts = true;
        self
    }

    /// Chooses what a claim does when its request is not answered. Default: a desk takes control, a bot does not.
    pub fn when_unanswered(mut self, unanswered: Unanswered) -> Self {
        self.config.when_unanswered = unanswered;
        self
    }

    /// Sets the timeouts. Default: [`Timeouts::default`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.config.timeouts = timeouts;
        self
    }

    /// Sets the bounds on the state of one conversation. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Sets the store of the conversations. Default: [`MemoryStore`], with which a restart loses them and all pending work.
    pub fn store(mut self, store: impl ThreadStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Sets the clock, for tests in virtual time with tokio's paused time. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the timeout of [`Handover::events`]. After it the events are refused with
    /// [`HandoverError::TooSlow`](super::HandoverError::TooSlow), so that the platform redelivers them, and work under way
    /// continues. Default: 4 s, because [Meta waits 5 s](crate::protocol#redelivery).
    pub fn events_within(mut self, within: Duration) -> Self {
        self.events_within = within;
        self
    }

    /// Sets the most events that are being saved at once. A delivery beyond it is refused as a whole with
    /// [`HandoverError::Overloaded`](super::HandoverError::Overloaded), and the platform redelivers it. So is every delivery
    /// while as many tasks run: active conversations (being saved, or with a handler at work) and calls under way.
    /// Saved notices that wait for the handler do not count, because [`Limits::notices`] bounds them; nor do calls that wait
    /// for a place ([`calls_at_once`](Self::calls_at_once)). A larger delivery is accepted when no other event is being
    /// saved. Default: 10,000; at least 1.
    pub fn events_at_once(mut self, events: usize) -> Self {
        self.events_at_once = events.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Sets the most concurrent calls to Graph and to the desk's endpoint, and so the number of their sockets. Keep it well
    /// below the limit of open files (`ulimit -n`), which webhooks need as well. Default: 200; at least 1.
    ///
    /// One Page gets at most half of these places, and so does the desk's endpoint, so that one whose calls hang does not
    /// block the others. If two or more hang, they can use all places.
    ///
    /// A call without a place waits, first come first served, for at most half of [`Timeouts::call_lease`]; then its
    /// conversation asks for it again. At most [`events_at_once`](Self::events_at_once) calls wait; more are put off for 10 to
    /// 20 s. Calls that wait are saved, so a restart loses none, and webhooks are accepted meanwhile. [`Handover::stop`] does
    /// not wait for them: another replica or the next process makes them.
    pub fn calls_at_once(mut self, calls: usize) -> Self {
        self.calls_at_once = calls.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Sets the most conversations in the cache, which saves loading them before each write. An entry has some kilobytes at
    /// most, because conversations with long queues are not cached. If another replica wrote a conversation meanwhile, its
    /// cached copy costs one refused write: behind a balancer that picks one of several replicas at random the cache saves
    /// little (`docs/performance.md`). Default: 10,000; 0 turns the cache off.
    pub fn cache_size(mut self, conversations: usize) -> Self {
        self.cache = conversations;
        self
    }

    /// Hides people's ids in the log: each is replaced by a digest of it and this salt. Processes with one salt write one digest
    /// for one person. Keep the salt secret, because ids are numbers that can be tried out.
    pub fn hash_user_ids(mut self, salt: impl Into<String>) -> Self {
        self.names = Names::hashed(salt.into());
        self
    }

    /// Starts the service on the current tokio runtime.
    ///
    /// # Errors
    /// [`BuildError`] if the settings contradict each other or no runtime is running: its text names the call to change.
    pub fn start(self) -> Result<Handover, BuildError> {
        let Self { config, invalid, page_policies, without_desk_endpoint, .. } = self;
        let Self { client, handler, desk, store, clock, .. } = self;
        let Self { events_within, events_at_once, calls_at_once, cache, names, .. } = self;
        if let Some(invalid) = invalid {
            return Err(invalid);
        }
        check(&config, &page_policies, without_desk_endpoint)?;
        if config.role == Role::Bot && config.desk.is_none() && !config.desk_endpoint {
            tracing::warn!(
                "this bot knows no desk (`desk_app`, `desk_endpoint`): it cannot hand over to `Target::Desk`"
            );
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let tasks = TaskTracker::new();
        // Lets `wait` end whenever no task runs; tasks can still be spawned.
        tasks.close();
        let store = store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let inner = Arc::new(Inner {
            config,
            page_policies,
            client,
            desk,
            cache: Cache::new(cache),
            store,
            handler,
            clock,
            mailboxes: Mailboxes::default(),
            loads: Batcher::default(),
            writes: Batcher::default(),
            changed: broadcast::channel(CHANGES).0,
            alarm: Arc::default(),
            pages: Mutex::default(),
            waker: Mutex::default(),
            tasks,
            stopping: AtomicBool::new(false),
            counters: Counters::default(),
            names,
            events_within,
            events_at_once,
            room: Arc::new(Semaphore::new(events_at_once)),
            calls: Calls::new(calls_at_once, events_at_once),
            clock_check: Mutex::default(),
            #[cfg(feature = "webhook")]
            not_understood: crate::throttle::Refusals::of("webhook"),
        });
        runtime.spawn(wake::wake_due(Arc::downgrade(&inner)));
        #[cfg(feature = "metrics")]
        runtime.spawn(wake::report_every_second(Arc::downgrade(&inner)));
        Ok(Handover { inner })
    }
}

/// The id that a host gives. An invalid one is reported at [`Builder::start`], by the name of its setting.
fn id_of(
    setting: &'static str,
    id: impl TryInto<AppId, Error: fmt::Display>,
    invalid: &mut Option<BuildError>,
) -> AppId {
    id.try_into().unwrap_or_else(|why| {
        invalid.get_or_insert(BuildError::InvalidId { setting, why: why.to_string() });
        AppId::from(0)
    })
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("page_policies", &self.page_policies)
            .finish_non_exhaustive()
    }
}
