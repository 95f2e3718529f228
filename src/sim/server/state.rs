//! The platform behind a lock, with its clock, its observer and the queues of webhooks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::deliver;
use super::wire::{Observer, Wire};
use crate::id::{AppId, PageId, ThreadKey};
use crate::sim::platform::{ApiAnswer, ApiCall, Delivery, Echoes, GraphError, Platform, message_text};
use crate::time::Timestamp;

pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) client: reqwest::Client,
    runtime: Handle,
    /// Woken when the last webhook is done.
    pub(super) quiet: Notify,
}

pub(super) struct State {
    pub(super) platform: Platform,
    observer: Option<Observer>,
    offset: Duration,
    last: Timestamp,
    owners: BTreeMap<ThreadKey, AppId>,
    queues: BTreeMap<AppId, Queue>,
    /// Webhooks queued or in flight.
    pub(super) pending: usize,
    /// Webhooks given up.
    pub(super) dropped: u64,
    workers: JoinSet<()>,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Delivery>,
    running: bool,
}

/// What an act shows: before and after the change of owner that it brought.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) before: Option<Wire>,
    pub(super) after: Option<Wire>,
}

impl Shared {
    pub(super) fn new(platform: Platform, observer: Option<Observer>, client: reqwest::Client) -> Arc<Self> {
        let state = State {
            platform,
            observer,
            offset: Duration::ZERO,
            last: Timestamp::default(),
            owners: BTreeMap::new(),
            queues: BTreeMap::new(),
            pending: 0,
            dropped: 0,
            workers: JoinSet::new(),
            closed: false,
        };
        let (state, runtime, quiet) = (Mutex::new(state), Handle::current(), Notify::new());
        Arc::new(Self { state, client, runtime, quiet })
    }

    /// A test that panicked inside the lock shall see its own panic, not ours.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets something happen in one thread, or, with `None`, anywhere.
    pub(super) fn act<R>(
        self: &Arc<Self>,
        touched: Option<&ThreadKey>,
        act: impl FnOnce(&mut Platform, Timestamp) -> R,
        seen: impl FnOnce(&R) -> Seen,
    ) -> R {
        let mut state = self.lock();
        let now = state.tick();
        state.note_owners(touched, now);
        let outcome = act(&mut state.platform, now);
        let Seen { before, after } = seen(&outcome);
        state.observe(before);
        state.note_owners(touched, now);
        state.observe(after);
        self.queue(&mut state);
        outcome
    }

    /// Makes a call of the Graph API.
    pub(super) fn call(
        self: &Arc<Self>,
        app: &AppId,
        page: &PageId,
        method: &'static str,
        call: &ApiCall,
    ) -> Result<ApiAnswer, GraphError> {
        let key = call.user().map(|user| ThreadKey::new(page.clone(), user.clone()));
        let mut state = self.lock();
        let now = state.tick();
        if let Some(key) = &key {
            state.note_owners(Some(key), now);
        }
        let outcome = state.platform.call(app, page, call, now);
        state.observe(Some(Wire::Call {
            app: app.clone(),
            page: page.clone(),
            user: call.user().cloned(),
            edge: call.edge().to_owned(),
            method,
            detail: call.detail(),
            outcome: outcome.as_ref().map(|_| ()).map_err(Clone::clone),
            status: outcome.as_ref().map_or_else(|refusal| refusal.status, |_| 200),
        }));
        if let (ApiCall::Send { user, message, .. }, Ok(_)) = (call, &outcome) {
            let (page, user, text, app) = (page.clone(), user.clone(), message_text(message), app.clone());
            state.observe(Some(Wire::Reached { page, user, text, app }));
        }
        if let Some(key) = &key {
            state.note_owners(Some(key), now);
            if outcome.is_ok() && matches!(call, ApiCall::Pass { .. } | ApiCall::Release { .. }) {
                self.lose_echoes(&mut state, app, key);
            }
        }
        self.queue(&mut state);
        outcome
    }

    /// The part of [`Echoes::LostWhenControlLeaves`] that the platform cannot do: what it handed over
    /// already, and still waits here.
    fn lose_echoes(&self, state: &mut State, app: &AppId, key: &ThreadKey) {
        if state.platform.echoes() != Echoes::LostWhenControlLeaves {
            return;
        }
        let Some(queue) = state.queues.get_mut(app) else { return };
        let before = queue.waiting.len();
        queue.waiting.retain(|waiting| {
            waiting.label != "echo" || waiting.page != key.page || waiting.user.as_ref() != Some(&key.user)
        });
        let lost = before - queue.waiting.len();
        self.finish(state, lost);
    }

    fn queue(self: &Arc<Self>, state: &mut State) {
        for delivery in state.platform.take_outgoing() {
            let app = delivery.app.clone();
            if state.closed || state.platform.app(&app).is_none_or(|app| app.callback.is_none()) {
                continue;
            }
            state.pending += 1;
            let queue = state.queues.entry(app.clone()).or_default();
            queue.waiting.push_back(delivery);
            if !queue.running {
                queue.running = true;
                while state.workers.try_join_next().is_some() {}
                state.workers.spawn_on(deliver::work(Arc::clone(self), app), &self.runtime);
            }
        }
    }

    /// The next webhook of an app; its worker ends where there is none.
    pub(super) fn next(&self, app: &AppId) -> Option<Delivery> {
        let mut state = self.lock();
        let queue = state.queues.get_mut(app)?;
        let next = queue.waiting.pop_front();
        queue.running = next.is_some();
        next
    }

    /// One webhook is done: delivered or given up.
    pub(super) fn done(&self, delivered: bool) {
        let mut state = self.lock();
        state.dropped += u64::from(!delivered);
        self.finish(&mut state, 1);
    }

    fn finish(&self, state: &mut State, count: usize) {
        state.pending -= count;
        if state.pending == 0 {
            self.quiet.notify_waiters();
        }
    }

    pub(super) fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.offset = state.offset.saturating_add(by);
        // The virtual time may be ahead of the real one: it moves by no less than was asked.
        state.last = state.last.plus(by);
        let now = state.tick();
        state.note_owners(None, now);
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.workers.abort_all();
    }
}

impl State {
    /// The virtual time. It moves with every act, as acts on the real platform are never in the same
    /// millisecond.
    #[allow(clippy::disallowed_methods, reason = "the simulator's own shell reads the clock here")]
    pub(super) fn tick(&mut self) -> Timestamp {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::default().plus(real).plus(self.offset);
        self.last = now.max(self.last.plus(Duration::from_millis(1)));
        self.last
    }

    pub(super) fn observe(&self, wire: Option<Wire>) {
        if let (Some(observer), Some(wire)) = (&self.observer, wire) {
            observer(wire);
        }
    }

    fn note_owners(&mut self, touched: Option<&ThreadKey>, now: Timestamp) {
        let all: Vec<ThreadKey> = match touched {
            Some(key) => vec![key.clone()],
            None => self.platform.threads().cloned().collect(),
        };
        for key in all {
            let owner = self.platform.owner(&key.page, &key.user, now);
            if self.owners.get(&key) == owner.as_ref() {
                continue;
            }
            let (page, user) = (key.page.clone(), key.user.clone());
            match &owner {
                Some(owner) => self.owners.insert(key, owner.clone()),
                None => self.owners.remove(&key),
            };
            self.observe(Some(Wire::OwnerChanged { page, user, owner }));
        }
    }
}
