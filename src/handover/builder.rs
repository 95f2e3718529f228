use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::bots_api::DeskEndpoint;
use crate::control::HandoverClient;
use crate::id::AppId;
use crate::policy::{Role, ThreadControlPolicy};
use crate::store::{MemoryStore, ThreadStore};
use crate::thread::{Config, Limits, OnUnknown, Timeouts};

use super::calls::Calls;
use super::drive::{Counters, Inner};
use super::recent::Recent;
use super::{Clock, Handler, Handover, SystemClock, wake};

/// Puts a [`Handover`] together.
#[must_use]
pub struct Builder {
    config: Config,
    client: Arc<dyn HandoverClient>,
    handler: Arc<dyn Handler>,
    desk: Option<Arc<dyn DeskEndpoint>>,
    store: Option<Arc<dyn ThreadStore>>,
    clock: Arc<dyn Clock>,
    events_within: Duration,
    events_at_once: usize,
    calls_at_once: usize,
    copies: usize,
}

/// Why a configuration makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The desk's app and our own are the same.
    #[error("the desk's app id is our own: a handover has two sides")]
    DeskIsUs,
    /// A desk has no other desk, and takes from no desk.
    #[error("only a bot has a desk to hand over to")]
    DeskHasNoDesk,
    /// One of the [`Timeouts`] makes no sense.
    #[error("timeout {setting} {problem}")]
    Timeout {
        /// Its name.
        setting: &'static str,
        /// What it must be.
        problem: &'static str,
    },
    /// One of the [`Limits`] is 0: a thread that may remember nothing cannot work.
    #[error("limit {0} must be at least 1")]
    Limit(&'static str),
    /// The service runs its tasks on tokio.
    #[error("no tokio runtime is running here")]
    NoRuntime,
}

impl Handover {
    /// Starts a configuration: our app, which side we are, who is primary on the Page, the client that
    /// makes the calls, and the handler that is told what happens.
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
            desk: None,
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

    /// For a bot: ED's endpoint, through which it asks for people and for control.
    pub fn desk_endpoint(mut self, endpoint: Arc<dyn DeskEndpoint>) -> Self {
        self.config.desk_endpoint = true;
        self.desk = Some(endpoint);
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

    /// For a bot under [`ThreadControlPolicy::BotPrimary`]: takes control even from people.
    pub fn dangerously_take_from_desk(mut self) -> Self {
        self.config.take_from_desk = true;
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
    /// not ask the store for them again; 10,000 if nothing is set. There are none of conversations in which much waits, and
    /// none of a store in memory. Where other replicas write the same conversations, an old copy costs one write that is
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
        let Self { config, client, handler, desk, store, clock, .. } = self;
        let Self { events_within, events_at_once, calls_at_once, copies, .. } = self;
        check(&config)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let store = store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let inner = Arc::new(Inner {
            config,
            client,
            desk,
            recent: Recent::new(if store.is_in_memory() { 0 } else { copies }),
            store,
            handler,
            clock,
            locks: super::locks::Locks::default(),
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
        });
        runtime.spawn(wake::wake_due(Arc::downgrade(&inner)));
        Ok(Handover { inner, deals_with: None })
    }
}

fn check(config: &Config) -> Result<(), BuildError> {
    if config.desk.as_ref() == Some(&config.app) {
        return Err(BuildError::DeskIsUs);
    }
    if config.role == Role::Desk && (config.desk.is_some() || config.desk_endpoint || config.take_from_desk) {
        return Err(BuildError::DeskHasNoDesk);
    }
    check_timeouts(&config.timeouts)?;
    let Limits { answers, notices, unanswered, seen, finished, attempts, set_aside, requests } =
        config.limits;
    for (setting, is_none) in [
        ("answers", answers == 0),
        ("notices", notices == 0),
        ("unanswered", unanswered == 0),
        ("seen", seen == 0),
        ("finished", finished == 0),
        ("attempts", attempts == 0),
        ("set_aside", set_aside == 0),
        ("requests", requests == 0),
    ] {
        if is_none {
            return Err(BuildError::Limit(setting));
        }
    }
    Ok(())
}

fn check_timeouts(timeouts: &Timeouts) -> Result<(), BuildError> {
    let Timeouts {
        grant,
        call_lease,
        echo_grace: _,
        answer_age,
        refusal_memory: _,
        clock_tolerance,
        notice_lease,
        backoff,
        backoff_max,
        redelivery,
        retention,
    } = *timeouts;
    // Without a pause a call that fails would be made again at once, for ever; without a lease it would count as lost
    // while it is being made.
    for (setting, value) in [
        ("grant", grant),
        ("call_lease", call_lease),
        ("answer_age", answer_age),
        ("notice_lease", notice_lease),
        ("backoff", backoff),
        ("retention", retention),
    ] {
        if value < Duration::from_millis(1) {
            return Err(BuildError::Timeout { setting, problem: "must be at least a millisecond" });
        }
    }
    for (setting, is_wrong, problem) in [
        ("backoff_max", backoff_max < backoff, "must not be shorter than backoff"),
        ("clock_tolerance", clock_tolerance > Duration::from_hours(24), "must be at most a day"),
        ("retention", retention < redelivery, "must not be shorter than redelivery"),
    ] {
        if is_wrong {
            return Err(BuildError::Timeout { setting, problem });
        }
    }
    Ok(())
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}
