use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use foldhash::HashMap;
use smallvec::SmallVec;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::control::DeskEndpoint;
use crate::control::HandoverClient;
use crate::id::{PageId, ThreadKey};
use crate::policy::ThreadControlPolicy;
use crate::retry::{Backoff, Budget, Jitter};
use crate::skew::ClockCheck;
use crate::store::{Loaded, StoreError, ThreadStore, WriteOutcome};
use crate::thread::{Config, Context, Input, Output, PageMemory, PageRefusals};
#[cfg(feature = "webhook")]
use crate::throttle::Refusals;
use crate::time::Timestamp;

use super::batch::{Batch, Done, Keys, Places, Saved, Step};
use super::calls::Calls;
use super::effects::Asked;
use super::locks::{Locks, Turn};
use super::recent::Recent;
use super::wake::Alarm;
use super::{Clock, Handler, Handover, HandoverError, Notification};

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
    /// Pages with a policy of their own.
    pub(super) page_policies: HashMap<PageId, ThreadControlPolicy>,
    pub(super) client: Arc<dyn HandoverClient>,
    pub(super) desk: Option<Arc<dyn DeskEndpoint>>,
    pub(super) store: Arc<dyn ThreadStore>,
    pub(super) recent: Recent,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) locks: Locks,
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

/// Who tells the host what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    /// Whoever drives, as far as the handlers end at once.
    Here,
    /// A task: whoever drives may hold what a handler waits for.
    InATask,
}

/// Whether conversations were taken as they are at hand: then what could not be saved is tried again at once, as it is in
/// the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copies {
    None,
    Some,
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

impl Handover {
    /// Steps each conversation with its inputs and answers for each input. What cannot be done at once goes on in a task
    /// of its own: dropping this future loses nothing, and not polling it keeps nobody waiting. For deliveries, which have
    /// room, that is waited for as long as the platform does.
    pub(super) async fn drive(
        &self,
        inputs: Vec<(ThreadKey, Input)>,
        tells: Tells,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Done, HandoverError> {
        let service = self.clone();
        let within = room.as_ref().map(|_| self.inner.events_within);
        let driving = async move {
            let mut done = Vec::new();
            let saved = service.save(inputs, tells, &mut done).await;
            if !done.is_empty() {
                let concluding = service.clone();
                drop(service.at_once(async move { concluding.conclude(done).await }).await);
            }
            drop(room);
            saved
        };
        let rest = match self.at_once(driving).await {
            Ok(done) => return done,
            Err(rest) => rest,
        };
        let driven = match within {
            Some(within) => tokio::time::timeout(within, rest).await.map_err(|_| HandoverError::TooSlow)?,
            None => rest.await,
        };
        match driven {
            Ok(done) => done,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(HandoverError::ShuttingDown),
        }
    }

    /// Does what can be done at once, and leaves the rest to a task.
    pub(super) async fn at_once<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinHandle<T>> {
        let mut work = Box::pin(work);
        let token = self.inner.tasks.token();
        match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
            Poll::Ready(done) => Ok(done),
            Poll::Pending => {
                let rest = self.inner.tasks.spawn(work);
                drop(token);
                Err(rest)
            }
        }
    }

    /// Steps and saves each conversation when it is free, and then tells the host what follows. Collects what is to be saved
    /// of that.
    pub(super) async fn save(
        &self,
        inputs: Vec<(ThreadKey, Input)>,
        tells: Tells,
        done: &mut Vec<(ThreadKey, Input)>,
    ) -> Result<Done, HandoverError> {
        let inner = &self.inner;
        let mut batch = Batch::new(inputs);
        let mut turns = inner.locks.ask(batch.keys());
        let (mut failed, mut telling_since) = (None, None);
        while let Some(Turn { places, held }) = turns.next().await {
            let mut telling = Vec::new();
            // The others are tried all the same.
            if let Err(error) = self.save_these(&mut batch, &places, &held.keys, &mut telling).await {
                failed.get_or_insert(error);
            }
            inner.locks.tell_changed(&held.keys);
            drop(held);
            match tells {
                Tells::Here => self.tell(telling, &mut telling_since, done).await,
                Tells::InATask => self.begin_telling(telling),
            }
            if turns.are_left() && !done.is_empty() {
                self.begin_concluding(std::mem::take(done));
            }
        }
        match failed {
            Some(error) => Err(error),
            None if batch.is_done() => {
                let done = batch.done();
                let damaged = done.unreadable.iter().filter(|error| error.is_permanent()).count();
                inner.counters.damaged.fetch_add(damaged as u64, Ordering::Relaxed);
                Ok(done)
            }
            None => Err(HandoverError::Busy),
        }
    }

    /// Steps and saves the conversations at these places, which nobody else works on.
    async fn save_these(
        &self,
        batch: &mut Batch,
        places: &[usize],
        keys: &[ThreadKey],
        telling: &mut Vec<(Notification, Timestamp)>,
    ) -> Result<(), HandoverError> {
        let (mut faults, mut again) = (0, None::<(Places, Keys)>);
        for attempt in 0..MAX_TRIES {
            let (left, their_keys) =
                again.as_ref().map_or((places, keys), |(places, keys)| (&places[..], &keys[..]));
            let stepped = self.step_all(batch, left, their_keys, telling).await;
            if batch.are_done(places) {
                return Ok(());
            }
            again = Some(batch.waiting(places));
            match stepped {
                Ok(Copies::Some) => {}
                Ok(Copies::None) => tokio::time::sleep(Duration::from_millis(5) * attempt.clamp(1, 10)).await,
                Err(error) => {
                    faults += 1;
                    if faults == FAULTS.attempts {
                        return Err(error.into());
                    }
                    tracing::debug!(%error, "the store is asked again");
                    tokio::time::sleep(FAULTS.wait(faults, None, jitter())).await;
                }
            }
        }
        Err(HandoverError::Busy)
    }

    /// Loads, steps and saves what waits, and begins what follows from what was saved. Conflicts remain.
    async fn step_all(
        &self,
        batch: &mut Batch,
        places: &[usize],
        keys: &[ThreadKey],
        telling: &mut Vec<(Notification, Timestamp)>,
    ) -> Result<Copies, StoreError> {
        let inner = &self.inner;
        let (found, copies) = self.find(keys).await?;
        let now = inner.now();
        let mut pages = Pages::new(inner);
        let mut written: SmallVec<[_; 1]> = SmallVec::with_capacity(keys.len());
        let mut writes = Vec::with_capacity(keys.len());
        telling.reserve(keys.len());
        for (place, found) in places.iter().copied().zip(found) {
            let cx = pages.context(&batch.key(place).page, now);
            match batch.step(place, found, &cx, now, fastrand::u64(1..=i64::MAX.unsigned_abs())) {
                Step::Nothing => {}
                Step::Write(write) => {
                    written.push((place, write.version));
                    writes.push(write);
                }
                Step::Saved(saved) => self.act(batch.key(place), saved, telling),
            }
        }
        let swapped =
            if writes.is_empty() { Ok(Vec::new()) } else { inner.store.compare_and_swap(writes).await };
        for ((place, version), swapped) in written.into_iter().zip(swapped.as_deref().unwrap_or_default()) {
            if *swapped == WriteOutcome::Written
                && let Some(mut saved) = batch.written(place, version)
            {
                let key = batch.key(place);
                if let Some(thread) = saved.thread.take() {
                    inner.recent.keep(key, version, thread);
                }
                self.act(key, saved, telling);
            }
        }
        swapped.map(|_| copies)
    }

    /// Each of these as it is at hand, or else as it is loaded. Whoever asks holds them.
    async fn find(&self, keys: &[ThreadKey]) -> Result<(Vec<Loaded>, Copies), StoreError> {
        let Some(copies) = self.inner.recent.take(keys) else {
            return Ok((self.inner.store.load(keys).await?, Copies::None));
        };
        let missing = keys.iter().zip(&copies).filter(|(_, copy)| copy.is_none());
        let missing: Vec<_> = missing.map(|(key, _)| key.clone()).collect();
        let loaded = if missing.is_empty() { Vec::new() } else { self.inner.store.load(&missing).await? };
        if loaded.len() != missing.len() {
            return Err(StoreError::new("the store did not answer for each conversation"));
        }
        let mut loaded = loaded.into_iter();
        let found = copies.into_iter().filter_map(|copy| copy.or_else(|| loaded.next())).collect();
        Ok((found, if missing.len() < keys.len() { Copies::Some } else { Copies::None }))
    }

    /// Begins what was put out; the thread that asks for it is saved. What the host is to be told is collected.
    fn act(&self, key: &ThreadKey, saved: Saved, telling: &mut Vec<(Notification, Timestamp)>) {
        if let Some(wake) = saved.wake {
            self.inner.alarm.set(wake);
        }
        for output in saved.out {
            match output {
                Output::Call { id, call, retry, note } => {
                    let asked = Asked { id, call, note, retry, at: saved.at };
                    self.begin_call(key, asked);
                }
                Output::Notice { id, attempt, notice } => {
                    telling.push((Notification::new(key.clone(), id, attempt, notice), saved.at));
                }
                Output::SetAside { id, attempts, dropped } => {
                    self.inner.counters.set_aside.fetch_add(1, Ordering::Relaxed);
                    let dropped = dropped.map(|id| id.0);
                    tracing::error!(
                        thread = %key, id = id.0, attempts, dropped,
                        "the handler failed too often: the notice is set aside, and the next one is told"
                    );
                }
                Output::PageRefuses { call, failure, certain } => {
                    let mut pages = self.inner.pages();
                    let page = pages.entry(key.page.clone()).or_default();
                    page.refusals.refused(call, &key.user, &failure, certain, saved.at);
                }
            }
        }
    }
}

/// What is known of the Page of one conversation after the other; most deliveries are about one Page.
struct Pages<'a> {
    inner: &'a Inner,
    last: Option<(PageId, PageMemory, ThreadControlPolicy)>,
}

impl<'a> Pages<'a> {
    fn new(inner: &'a Inner) -> Self {
        Self { inner, last: None }
    }

    fn context(&mut self, page: &PageId, now: Timestamp) -> Context<'a> {
        let inner = self.inner;
        let (memory, policy) = match &self.last {
            Some((last, memory, policy)) if last == page => (*memory, *policy),
            _ => {
                let memory = inner.pages().get(page).map(|state| state.refusals.memory());
                (memory.unwrap_or_default(), inner.policy(page))
            }
        };
        self.last = Some((page.clone(), memory, policy));
        Context {
            config: &inner.config,
            policy,
            page: memory,
            jitter: jitter(),
            // A thousand numbers a millisecond are more than any conversation uses.
            ids_from: now.as_millis().saturating_mul(1000),
            begins: !inner.is_stopping(),
            has_room: false,
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

    /// Who is primary on a Page.
    pub(super) fn policy(&self, page: &PageId) -> ThreadControlPolicy {
        self.page_policies.get(page).copied().unwrap_or(self.config.policy)
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
