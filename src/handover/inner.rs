//! The state that all clones of a service share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::call::Failure;
use crate::control::{DeskEndpoint, HandoverClient};
use crate::id::{PageId, ThreadKey};
use crate::policy::ThreadControlPolicy;
use crate::retry::{Budget, Jitter};
use crate::skew::ClockCheck;
use crate::store::{Loaded, RecordError, StoreError, ThreadStore, Write, WriteOutcome};
use crate::thread::{Config, Context, PageCall, PageRefusals};
#[cfg(feature = "webhook")]
use crate::throttle::Refusals;
use crate::time::Timestamp;

use super::alarm::{Alarm, Waker};
use super::batcher::Batcher;
use super::cache::Cache;
use super::calls::Calls;
use super::clock::Clock;
use super::mailbox::Mailboxes;
use super::stats::{Counters, StoreCall, add};
use super::story::{Named, Names};
use super::{Handler, HandoverError};

/// The retry budget of one Page: a burst, and retries a second after it. Low enough not to make an outage worse, high enough
/// that thousands of threads recover in minutes.
const RETRIES_AT_ONCE: u32 = 50;
const RETRIES_A_SECOND: u32 = 5;

pub(super) struct Inner {
    pub(super) config: Config,
    /// The policies set with `Builder::page_policy`.
    pub(super) page_policies: HashMap<PageId, ThreadControlPolicy>,
    pub(super) client: Arc<dyn HandoverClient>,
    pub(super) desk: Option<Arc<dyn DeskEndpoint>>,
    pub(super) store: Arc<dyn ThreadStore>,
    pub(super) cache: Cache,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) mailboxes: Mailboxes,
    pub(super) loads: Batcher<ThreadKey, Loaded>,
    pub(super) writes: Batcher<Write, WriteOutcome>,
    /// The keys of changed conversations, for `Handover::wait_until`.
    pub(super) changed: broadcast::Sender<ThreadKey>,
    pub(super) alarm: Arc<Alarm>,
    pub(super) pages: Mutex<HashMap<PageId, PageState>>,
    pub(super) waker: Mutex<Waker>,
    /// All tasks of this service: conversations, calls, rounds of the waker.
    pub(super) tasks: TaskTracker,
    pub(super) stopping: AtomicBool,
    pub(super) counters: Counters,
    pub(super) names: Names,
    /// The timeout of `Handover::events`.
    pub(super) events_within: Duration,
    /// The most events being saved at once, and their permits.
    pub(super) events_at_once: usize,
    pub(super) room: Arc<Semaphore>,
    /// The limits on concurrent calls.
    pub(super) calls: Calls,
    pub(super) clock_check: Mutex<ClockCheck>,
    /// Limits the log of unknown webhook items.
    #[cfg(feature = "webhook")]
    pub(super) not_understood: Refusals,
}

/// The state of a Page: its cached refusals and its retry budget.
#[derive(Debug)]
pub(super) struct PageState {
    refusals: PageRefusals,
    retries: Budget,
}

impl Default for PageState {
    fn default() -> Self {
        Self { refusals: PageRefusals::default(), retries: Budget::new(RETRIES_AT_ONCE, RETRIES_A_SECOND) }
    }
}

pub(super) fn jitter() -> Jitter {
    Jitter::from_random(fastrand::u64(..))
}

impl Inner {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn policy(&self, page: &PageId) -> ThreadControlPolicy {
        self.page_policies.get(page).copied().unwrap_or(self.config.policy)
    }

    /// The context of a step for a conversation of this Page.
    pub(super) fn context(&self, page: &PageId, now: Timestamp) -> Context<'_> {
        let memory = self.pages().get(page).map(|state| state.refusals.memory());
        Context {
            config: &self.config,
            policy: self.policy(page),
            page: memory.unwrap_or_default(),
            jitter: jitter(),
            // A conversation never uses a thousand numbers in a millisecond, so numbers are not reused after it was deleted.
            ids_from: now.as_millis().saturating_mul(1000),
            begins: !self.is_stopping(),
            has_room: false,
        }
    }

    /// Caches a Page's refusal of a call.
    pub(super) fn page_refuses(
        &self,
        key: &ThreadKey,
        call: PageCall,
        failure: &Failure,
        certain: bool,
        at: Timestamp,
    ) {
        self.pages()
            .entry(key.page.clone())
            .or_default()
            .refusals
            .refused(call, &key.user, failure, certain, at);
    }

    /// Warns once when an event's stamp is in the future, because then our clock is behind the platform's. An old stamp says
    /// nothing, because refused deliveries come later.
    pub(super) fn check_clock(&self, stamp: Timestamp) {
        let now = self.now();
        if stamp <= now {
            return;
        }
        let mut check = self.clock_check.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(difference) = check.compare(now, stamp, "the platform's, by the stamp of an event") {
            tracing::warn!("{difference}: set it, for example by NTP");
        }
    }

    /// The conversation's name in the log.
    pub(super) fn named<'a>(&'a self, key: &'a ThreadKey) -> Named<'a> {
        self.names.of(key)
    }

    /// Makes a call of the store, and counts it. One that hangs or panics is dropped, which counts as a failure.
    pub(super) async fn counted<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut counting = StoreCall { counters: &self.counters, begun: Instant::now(), failed: true };
        let result = call.await;
        counting.failed = result.is_err();
        result
    }

    /// Wakes `Handover::wait_until` after a change of the conversation.
    pub(super) fn notify_changed(&self, key: &ThreadKey) {
        if self.changed.receiver_count() > 0 {
            // Fails if the last receiver was dropped meanwhile.
            let _ = self.changed.send(key.clone());
        }
    }

    /// Logs and counts a record that cannot be read.
    pub(super) fn unreadable(&self, key: &ThreadKey, error: RecordError) -> HandoverError {
        tracing::error!(thread = %self.named(key), %error, "a conversation cannot be read");
        if error.is_permanent() {
            add(&self.counters.damaged_records, 1);
        }
        error.into()
    }

    fn pages(&self) -> MutexGuard<'_, HashMap<PageId, PageState>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves room for a delivery's events, or refuses it if too many events are being saved or too many tasks run
    /// (conversations, calls). Calls that wait for a place do not count, because they are bounded and a slow platform must not
    /// block its own webhooks.
    pub(super) fn room_for(&self, events: usize) -> Result<OwnedSemaphorePermit, HandoverError> {
        let places = u32::try_from(events.min(self.events_at_once)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(places);
        let busy = self.busy_tasks().saturating_sub(self.calls.waiting());
        room.ok().filter(|_| busy < self.events_at_once).ok_or(HandoverError::Overloaded)
    }

    /// The number of active conversations and calls.
    pub(super) fn busy_tasks(&self) -> usize {
        self.tasks.len().saturating_sub(usize::from(self.waker().is_at_work))
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Takes a retry from the Page's budget. `Err` is the time until the next one is free.
    pub(super) fn may_retry(&self, page: &PageId) -> Result<(), Duration> {
        let now = self.now();
        self.pages().entry(page.clone()).or_default().retries.take(now)
    }

    pub(super) fn call_succeeded(&self, page: &PageId) {
        if let Some(state) = self.pages().get_mut(page) {
            state.retries.succeeded();
        }
    }

    pub(super) fn forget_refusals(&self, page: &PageId) {
        let now = self.now();
        self.pages().entry(page.clone()).or_default().refusals.forget(now);
    }
}
