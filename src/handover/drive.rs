use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::bots_api::DeskEndpoint;
use crate::control::HandoverClient;
use crate::id::{PageId, ThreadKey};
use crate::retry::{Budget, Jitter};
use crate::store::{Swap, Swapped, ThreadStore};
use crate::thread::{Config, Context, Input, Output, PageCall, PageMemory, Reply, Thread};
use crate::time::Timestamp;

use super::locks::Locks;
use super::wake::Alarm;
use super::{Clock, Handler, Handover, HandoverError};

/// How often a conversation that others write too is tried before the caller is told.
const MAX_TRIES: u32 = 20;

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
        match tokio::spawn(async move { service.drive_to_the_end(inputs).await }).await {
            Ok(replies) => replies,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(HandoverError::ShuttingDown),
        }
    }

    async fn drive_to_the_end(&self, inputs: Vec<(ThreadKey, Input)>) -> Result<Vec<Reply>, HandoverError> {
        let mut replies = vec![Reply::Ignored; inputs.len()];
        let mut waiting: BTreeMap<ThreadKey, Vec<(usize, Input)>> = BTreeMap::new();
        for (index, (key, input)) in inputs.into_iter().enumerate() {
            waiting.entry(key).or_default().push((index, input));
        }
        // In the order of their keys, so that two batches never wait for each other.
        let entries: Vec<_> = waiting.keys().map(|key| self.inner.locks.entry(key)).collect();
        let mut guards = Vec::with_capacity(entries.len());
        for entry in &entries {
            guards.push(entry.lock().await);
        }
        for attempt in 0..MAX_TRIES {
            tokio::time::sleep(Duration::from_millis(5) * attempt.min(10)).await;
            self.step_all(&mut waiting, &mut replies).await?;
            if waiting.is_empty() {
                entries.iter().for_each(super::locks::Entry::tell_changed);
                return Ok(replies);
            }
        }
        Err(HandoverError::Busy)
    }

    /// Loads, steps and saves what waits, and begins what follows from what was saved. Conflicts remain.
    async fn step_all(
        &self,
        waiting: &mut BTreeMap<ThreadKey, Vec<(usize, Input)>>,
        replies: &mut [Reply],
    ) -> Result<(), HandoverError> {
        let inner = &self.inner;
        let keys: Vec<_> = waiting.keys().cloned().collect();
        let loaded = inner.store.load(&keys).await?;
        let now = inner.now();
        let mut swaps = Vec::new();
        let mut outputs = Vec::new();
        for (key, loaded) in keys.into_iter().zip(loaded) {
            let (config, page) = (&inner.config, inner.page(&key.page));
            let cx = Context { config, page, jitter: Jitter::from_random(fastrand::u64(..)) };
            let Some(inputs) = waiting.get(&key) else { continue };
            let mut thread: Thread = loaded.thread.clone();
            let mut out = Vec::new();
            for (index, input) in inputs {
                replies[*index] = thread.step(&cx, input.clone(), now, &mut out);
            }
            let wake = thread.next_wake(&cx);
            // A woken thread is always written: its lease must become a wake time again.
            let woken = inputs.iter().any(|(_, input)| *input == Input::Wake);
            if thread == loaded.thread && out.is_empty() && !woken {
                waiting.remove(&key);
                continue;
            }
            swaps.push(Swap::new(key, loaded.version, thread, wake));
            outputs.push(out);
        }
        if swaps.is_empty() {
            return Ok(());
        }
        let written: Vec<_> = swaps.iter().map(|swap| (swap.key.clone(), swap.wake)).collect();
        let swapped = inner.store.swap(swaps).await?;
        for (((key, wake), swapped), out) in written.into_iter().zip(swapped).zip(outputs) {
            if swapped != Swapped::Written {
                continue;
            }
            waiting.remove(&key);
            if let Some(wake) = wake {
                inner.alarm.set(wake);
            }
            self.act(&key, out, now);
        }
        Ok(())
    }

    /// Begins what was put out; the thread that asks for it is saved.
    fn act(&self, key: &ThreadKey, out: Vec<Output>, now: Timestamp) {
        for output in out {
            match output {
                Output::Call { id, call, retry } => self.begin_call(key, id, call, retry),
                Output::Notice { id, notice } => self.begin_telling(key, id, notice),
                Output::PageRefuses(call) => self.inner.remember_refusal(&key.page, call, now),
            }
        }
    }
}

impl Inner {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn pages(&self) -> MutexGuard<'_, HashMap<PageId, PageState>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn page(&self, page: &PageId) -> PageMemory {
        self.pages().get(page).map(|state| state.memory).unwrap_or_default()
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
