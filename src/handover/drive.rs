use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::bots_api::DeskEndpoint;
use crate::control::HandoverClient;
use crate::id::{PageId, ThreadKey};
use crate::retry::{Backoff, Budget, Jitter};
use crate::store::{StoreError, Swapped, ThreadStore};
use crate::thread::{Config, Context, Input, Output, PageCall, PageMemory, Reply};
use crate::time::Timestamp;

use super::batch::{Batch, Saved, Step};
use super::locks::Locks;
use super::wake::Alarm;
use super::{Clock, Handler, Handover, HandoverError};

/// How often a conversation that others write too is tried before the caller is told.
const MAX_TRIES: u32 = 20;

/// How often the store is asked before the caller hears of its fault, and the pauses between.
const FAULTS: Backoff =
    Backoff { first: Duration::from_millis(50), longest: Duration::from_millis(400), attempts: 5 };

/// How many calls of one Page are made again at once after a fault, and how many a second from then on:
/// few enough that an outage is not made worse, and enough that thousands of threads recover in minutes.
const RETRIES_AT_ONCE: u32 = 50;
const RETRIES_A_SECOND: u32 = 5;

pub(super) struct Inner {
    pub(super) config: Config,
    pub(super) client: Arc<dyn HandoverClient>,
    pub(super) desk: Option<Arc<dyn DeskEndpoint>>,
    pub(super) store: Arc<dyn ThreadStore>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) locks: Locks,
    pub(super) alarm: Arc<Alarm>,
    pub(super) pages: Mutex<HashMap<PageId, PageState>>,
    /// All that this service has begun.
    pub(super) tasks: TaskTracker,
    pub(super) stopping: AtomicBool,
    /// How long the platform waits for the answer to a delivery.
    pub(super) events_within: Duration,
}

/// What the service knows of a Page beyond its threads.
#[derive(Debug)]
pub(super) struct PageState {
    memory: PageMemory,
    retries: Budget,
}

impl Default for PageState {
    fn default() -> Self {
        Self { memory: PageMemory::default(), retries: Budget::new(RETRIES_AT_ONCE, RETRIES_A_SECOND) }
    }
}

impl Handover {
    /// Steps each conversation with its inputs and answers for each input. Goes on in a task of its
    /// own, so that dropping this future loses nothing.
    pub(super) async fn drive(&self, inputs: Vec<(ThreadKey, Input)>) -> Result<Vec<Reply>, HandoverError> {
        let service = self.clone();
        match self.inner.tasks.spawn(async move { service.drive_to_the_end(inputs).await }).await {
            Ok(replies) => replies,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(HandoverError::ShuttingDown),
        }
    }

    async fn drive_to_the_end(&self, inputs: Vec<(ThreadKey, Input)>) -> Result<Vec<Reply>, HandoverError> {
        let mut batch = Batch::new(inputs);
        // In the order of their keys, so that two batches never wait for each other.
        let entries: Vec<_> = batch.keys().iter().map(|key| self.inner.locks.entry(key)).collect();
        let mut guards = Vec::with_capacity(entries.len());
        for entry in &entries {
            guards.push(entry.lock().await);
        }
        let mut faults = 0;
        for attempt in 0..MAX_TRIES {
            tokio::time::sleep(Duration::from_millis(5) * attempt.min(10)).await;
            if let Err(error) = self.step_all(&mut batch).await {
                faults += 1;
                if faults == FAULTS.attempts {
                    return Err(error.into());
                }
                tracing::debug!(%error, "the store is asked again");
                tokio::time::sleep(FAULTS.wait(faults, None, jitter())).await;
            }
            if batch.is_done() {
                entries.iter().for_each(super::locks::Entry::tell_changed);
                return Ok(batch.replies()?);
            }
        }
        Err(HandoverError::Busy)
    }

    /// Loads, steps and saves what waits, and begins what follows from what was saved. Conflicts remain.
    async fn step_all(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let inner = &self.inner;
        let keys = batch.keys();
        let loaded = inner.store.load(&keys).await?;
        let now = inner.now();
        let mut swaps = Vec::new();
        for (key, loaded) in keys.iter().zip(loaded) {
            let cx = inner.context(&key.page, now);
            match batch.step(key, loaded, &cx, now, fastrand::u64(1..=i64::MAX.unsigned_abs())) {
                Step::Nothing => {}
                Step::Write(swap) => swaps.push(*swap),
                Step::Saved(saved) => self.act(key, saved),
            }
        }
        if swaps.is_empty() {
            return Ok(());
        }
        let written: Vec<_> = swaps.iter().map(|swap| (swap.key.clone(), swap.version)).collect();
        let swapped = inner.store.swap(swaps).await?;
        for ((key, version), swapped) in written.into_iter().zip(swapped) {
            if swapped == Swapped::Written
                && let Some(saved) = batch.written(&key, version)
            {
                self.act(&key, saved);
            }
        }
        Ok(())
    }

    /// Begins what was put out; the thread that asks for it is saved.
    fn act(&self, key: &ThreadKey, saved: Saved) {
        if let Some(wake) = saved.wake {
            self.inner.alarm.set(wake);
        }
        for output in saved.out {
            match output {
                Output::Call { id, call, retry } => self.begin_call(key, id, call, retry, saved.at),
                Output::Notice { id, notice } => self.begin_telling(key, id, notice, saved.at),
                Output::PageRefuses(call) => self.inner.remember_refusal(&key.page, call, saved.at),
            }
        }
    }
}

pub(super) fn jitter() -> Jitter {
    Jitter::from_random(fastrand::u64(..))
}

impl Inner {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn pages(&self) -> MutexGuard<'_, HashMap<PageId, PageState>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn context(&self, page: &PageId, now: Timestamp) -> Context<'_> {
        Context {
            config: &self.config,
            page: self.pages().get(page).map(|state| state.memory).unwrap_or_default(),
            jitter: jitter(),
            // A thousand numbers a millisecond are more than any conversation uses.
            ids_from: now.as_millis().saturating_mul(1000),
            begins: !self.is_stopping(),
        }
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

    fn remember_refusal(&self, page: &PageId, call: PageCall, now: Timestamp) {
        let mut pages = self.pages();
        pages.entry(page.clone()).or_default().memory.refuses(call, now);
    }

    pub(super) fn forget_refusals(&self, page: &PageId) {
        let now = self.now();
        self.pages().entry(page.clone()).or_default().memory.forgotten = Some(now);
    }
}
