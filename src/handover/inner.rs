//! What all clones of a service share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::task::TaskTracker;

use crate::call::Failure;
use crate::control::{DeskEndpoint, HandoverClient};
use crate::id::{PageId, ThreadKey};
use crate::policy::ThreadControlPolicy;
use crate::retry::{Budget, Jitter};
use crate::skew::ClockCheck;
use crate::store::{Loaded, RecordError, ThreadStore, Write, WriteOutcome};
use crate::thread::{Config, Context, PageCall, PageRefusals};
#[cfg(feature = "webhook")]
use crate::throttle::Refusals;
use crate::time::Timestamp;

use super::alarm::Alarm;
use super::calls::Calls;
use super::clock::Clock;
use super::copies::Copies;
use super::mailbox::Mailboxes;
use super::together::Together;
use super::{Handler, HandoverError};

/// How many calls of one Page are made again at once after a fault, and how many a second from then on:
/// few enough that an outage is not made worse, and enough that thousands of threads recover in minutes.
const RETRIES_AT_ONCE: u32 = 50;
const RETRIES_A_SECOND: u32 = 5;

pub(super) struct Inner {
    pub(super) config: Config,
    /// Pages with a policy of their own.
    pub(super) page_policies: HashMap<PageId, ThreadControlPolicy>,
    pub(super) client: Arc<dyn HandoverClient>,
    pub(super) desk: Option<Arc<dyn DeskEndpoint>>,
    pub(super) store: Arc<dyn ThreadStore>,
    pub(super) copies: Copies,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) mailboxes: Mailboxes,
    pub(super) loads: Together<ThreadKey, Loaded>,
    pub(super) writes: Together<Write, WriteOutcome>,
    /// Conversations that changed, for those who wait for that.
    pub(super) changed: broadcast::Sender<ThreadKey>,
    pub(super) alarm: Arc<Alarm>,
    pub(super) pages: Mutex<HashMap<PageId, PageState>>,
    /// All that this service has begun.
    pub(super) tasks: TaskTracker,
    pub(super) stopping: AtomicBool,
    pub(super) counters: Counters,
    /// How long the platform waits for the answer to a delivery.
    pub(super) events_within: Duration,
    /// How many events may be under way, and room for as many.
    pub(super) events_at_once: usize,
    pub(super) room: Arc<Semaphore>,
    /// How many calls may be under way.
    pub(super) calls: Calls,
    pub(super) clock_check: Mutex<ClockCheck>,
    /// Webhook items that were not understood.
    #[cfg(feature = "webhook")]
    pub(super) not_understood: Refusals,
}

/// What the host may want to raise an alarm for.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) damaged: AtomicU64,
    pub(super) set_aside: AtomicU64,
}

/// What the service knows of a Page beyond its threads.
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

    /// Who is primary on a Page.
    pub(super) fn policy(&self, page: &PageId) -> ThreadControlPolicy {
        self.page_policies.get(page).copied().unwrap_or(self.config.policy)
    }

    /// What a step is to know of a conversation's Page.
    pub(super) fn context(&self, page: &PageId, now: Timestamp) -> Context<'_> {
        let memory = self.pages().get(page).map(|state| state.refusals.memory());
        Context {
            config: &self.config,
            policy: self.policy(page),
            page: memory.unwrap_or_default(),
            jitter: jitter(),
            // A thousand numbers a millisecond are more than any conversation uses.
            ids_from: now.as_millis().saturating_mul(1000),
            begins: !self.is_stopping(),
            has_room: false,
        }
    }

    /// A Page refused a call of one of its conversations.
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

    /// Warns once when an event comes from the future: then our clock is behind, or the platform's ahead. That one is old
    /// says nothing, since what was not accepted is delivered again.
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

    /// Tells those who wait for it that a conversation changed.
    pub(super) fn tell_changed(&self, key: &ThreadKey) {
        if self.changed.receiver_count() > 0 {
            // The last of them may have gone.
            let _ = self.changed.send(key.clone());
        }
    }

    /// Logs and counts a record that cannot be read.
    pub(super) fn unreadable(&self, key: &ThreadKey, error: RecordError) -> HandoverError {
        tracing::error!(thread = %key, %error, "a conversation cannot be read");
        if error.is_permanent() {
            self.counters.damaged.fetch_add(1, Ordering::Relaxed);
        }
        error.into()
    }

    fn pages(&self) -> MutexGuard<'_, HashMap<PageId, PageState>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for so many events; nothing where too much is under way already: events that are being saved, or tasks, which
    /// are what the host is being told, and calls. Calls that wait for a place do not count: they are saved and bounded, and
    /// a slow platform must not keep its webhooks out.
    pub(super) fn room_for(&self, events: usize) -> Result<OwnedSemaphorePermit, HandoverError> {
        let places = u32::try_from(events.min(self.events_at_once)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(places);
        let busy = self.tasks.len().saturating_sub(self.calls.waiting());
        room.ok().filter(|_| busy < self.events_at_once).ok_or(HandoverError::Overloaded)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// May a call be made again now? Else after so long.
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
