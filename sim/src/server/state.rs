//! The platform behind a lock, with its clock, its observer and the queues of webhooks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::clock::Clock;
use super::faults::{FaultAction, Faults};
use super::transcript::Transcript;
use super::usage::Usage;
use super::wire::{Observer, Wire};
use crate::platform::{ApiAnswer, ApiCall, Delivery, Echoes, GraphError, Platform, message_text};
use messenger_handover::id::{AppId, PageId, ThreadKey};
use messenger_handover::time::Timestamp;

pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) client: reqwest::Client,
    runtime: Handle,
    /// Notified when the last pending webhook is done.
    pub(super) quiet: Notify,
}

pub(super) struct State {
    pub(super) platform: Platform,
    /// The platform from the start, for resets.
    fresh: Platform,
    observer: Option<Observer>,
    pub(super) clock: Clock,
    pub(super) transcript: Transcript,
    pub(super) faults: Faults,
    pub(super) usage: Usage,
    owners: BTreeMap<ThreadKey, AppId>,
    queues: BTreeMap<AppId, Queue>,
    /// The number of webhooks that are queued or in flight.
    pub(super) pending: usize,
    /// The number of webhooks given up.
    pub(super) dropped: u64,
    /// The number of resets. A webhook from before a reset is not delivered after it.
    pub(super) era: u64,
    /// Starts a worker for an app with pending webhooks.
    ready: mpsc::UnboundedSender<AppId>,
    workers: JoinSet<()>,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Delivery>,
    /// Webhooks to put behind the next one.
    held: Vec<Delivery>,
    running: bool,
}

/// The events that an act shows to the observer, before and after the change of owner it causes.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) before: Option<Wire>,
    pub(super) after: Option<Wire>,
}

/// A call of the Graph API as it arrived.
pub(super) struct Request<'a> {
    pub(super) app: &'a AppId,
    pub(super) page: &'a PageId,
    pub(super) method: &'static str,
    pub(super) call: &'a ApiCall,
    /// Its parameters without secrets.
    pub(super) shown: Value,
}

impl Shared {
    pub(super) fn new(state: State, client: reqwest::Client) -> Arc<Self> {
        let (state, runtime, quiet) = (Mutex::new(state), Handle::current(), Notify::new());
        Arc::new(Self { state, client, runtime, quiet })
    }

    /// Locks the state. A panic inside the lock is ignored here, so that a test sees its own panic.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an act on one thread, or on any with `None`.
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
    pub(super) fn call(self: &Arc<Self>, request: Request<'_>) -> Result<ApiAnswer, GraphError> {
        let Request { app, page, method, call, shown } = request;
        let mut state = self.lock();
        // The person may belong to the Page's Instagram account.
        let account = state.platform.account_of(page, call.user());
        let key = call.user().map(|user| ThreadKey::new(account.clone(), user.clone()));
        let now = state.tick();
        if let Some(key) = &key {
            state.note_owners(Some(key), now);
        }
        let outcome = state.platform.call(app, page, call, now);
        let status = outcome.as_ref().map_or_else(|refusal| refusal.status, |_| 200);
        let edge = if call.edge().is_empty() { "node" } else { call.edge() };
        let body = outcome.as_ref().map_or_else(GraphError::body, ApiAnswer::body);
        let line = json!({"app": app, "page": page, "user": call.user(), "method": method, "edge": edge,
            "request": shown, "status": status, "response": body});
        state.transcript.write(now, "call", line);
        state.observe(Some(Wire::Call {
            app: app.clone(),
            page: page.clone(),
            user: call.user().cloned(),
            edge: call.edge().to_owned(),
            method,
            detail: call.detail(),
            outcome: outcome.as_ref().map(|_| ()).map_err(Clone::clone),
            status,
        }));
        if let (ApiCall::Send { user, message, .. }, Ok(_)) = (call, &outcome) {
            let (page, user, text, app) = (account, user.clone(), message_text(message), app.clone());
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

    /// Drops the echoes of [`Echoes::LostWhenControlLeaves`] that the platform already handed over and that are still queued
    /// here.
    fn lose_echoes(&self, state: &mut State, app: &AppId, key: &ThreadKey) {
        if state.platform.switches().echoes != Echoes::LostWhenControlLeaves {
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
            let fault = state.faults.strike("webhook", delivery.label, &app);
            let Some(fault) = fault else {
                Self::enqueue(state, delivery);
                continue;
            };
            match fault.action {
                FaultAction::Lose => {
                    let line = json!({"app": app, "label": delivery.label, "item": delivery.item});
                    state.transcript.write(delivery.at, "webhook_lost", line);
                }
                FaultAction::Duplicate => {
                    Self::enqueue(state, delivery.clone());
                    Self::enqueue(state, delivery);
                }
                FaultAction::Reorder => {
                    state.pending += 1;
                    state.queues.entry(app.clone()).or_default().held.push(delivery);
                    // Behind the next one, or after a while if none comes.
                    self.later(state, fault.wait(Duration::from_secs(1)), move |state| {
                        let queue = state.queues.entry(app).or_default();
                        let held = std::mem::take(&mut queue.held);
                        state.pending -= held.len();
                        for held in held {
                            Self::enqueue(state, held);
                        }
                    });
                }
                _ => {
                    state.pending += 1;
                    self.later(state, fault.wait(Duration::from_secs(1)), move |state| {
                        state.pending -= 1;
                        Self::enqueue(state, delivery);
                    });
                }
            }
        }
    }

    /// Runs an act after a while, unless there is a reset meanwhile.
    fn later(
        self: &Arc<Self>,
        state: &mut State,
        wait: Duration,
        act: impl FnOnce(&mut State) + Send + 'static,
    ) {
        let (shared, era) = (Arc::clone(self), state.era);
        let wait = async move {
            tokio::time::sleep(wait).await;
            let mut state = shared.lock();
            if state.era == era {
                act(&mut state);
            }
        };
        state.workers.spawn_on(wait, &self.runtime);
    }

    fn enqueue(state: &mut State, delivery: Delivery) {
        let app = delivery.app.clone();
        let queue = state.queues.entry(app.clone()).or_default();
        queue.waiting.push_back(delivery);
        state.pending += 1;
        queue.waiting.extend(queue.held.drain(..));
        if !queue.running {
            queue.running = true;
            // The server may have ended.
            let _ = state.ready.send(app);
        }
    }

    /// The next webhook of an app with its era; `None` ends the worker.
    pub(super) fn next(&self, app: &AppId) -> Option<(u64, Delivery)> {
        let mut state = self.lock();
        let era = state.era;
        let queue = state.queues.get_mut(app)?;
        let next = queue.waiting.pop_front();
        queue.running = next.is_some();
        next.map(|next| (era, next))
    }

    /// Counts one webhook as delivered or given up.
    pub(super) fn done(&self, era: u64, delivered: bool) {
        let mut state = self.lock();
        if state.era == era {
            state.dropped += u64::from(!delivered);
            self.finish(&mut state, 1);
        }
    }

    /// Unsubscribes an app whose endpoint failed for 1 h, as [Meta](messenger_handover::protocol#redelivery) does. Its pending
    /// webhooks from that Page are given up.
    pub(super) fn unsubscribe(&self, era: u64, app: &AppId, page: &PageId) {
        let mut state = self.lock();
        if state.era != era {
            return;
        }
        let now = state.tick();
        state.platform.unsubscribe(page, app);
        state.transcript.write(now, "unsubscribed", json!({"app": app, "page": page}));
        let Some(queue) = state.queues.get_mut(app) else { return };
        let before = queue.waiting.len() + queue.held.len();
        queue.waiting.retain(|waiting| waiting.page != *page);
        queue.held.retain(|waiting| waiting.page != *page);
        let lost = before - queue.waiting.len() - queue.held.len();
        state.dropped += lost as u64;
        self.finish(&mut state, lost);
    }

    /// Restores the state from the start, except the clock and the transcript.
    pub(super) fn reset(&self) {
        let mut state = self.lock();
        let now = state.tick();
        let fresh = state.fresh.clone();
        state.platform.begin_anew(fresh);
        state.faults.reset();
        state.usage.clear();
        state.owners.clear();
        // Ends deliveries in flight, so that new webhooks do not wait behind them.
        state.workers.abort_all();
        state.queues.clear();
        state.era += 1;
        (state.pending, state.dropped) = (0, 0);
        state.transcript.write(now, "reset", json!({}));
        self.quiet.notify_waiters();
    }

    /// Spawns work that the next reset ends.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.lock();
        while state.workers.try_join_next().is_some() {}
        if !state.closed {
            state.workers.spawn_on(work, &self.runtime);
        }
    }

    fn finish(&self, state: &mut State, count: usize) {
        state.pending -= count;
        if state.pending == 0 {
            self.quiet.notify_waiters();
        }
    }

    /// Waits until no webhook is queued or in flight.
    pub(super) async fn idle(&self) {
        loop {
            let quiet = self.quiet.notified();
            tokio::pin!(quiet);
            quiet.as_mut().enable();
            if self.lock().pending == 0 {
                return;
            }
            quiet.await;
        }
    }

    pub(super) fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.clock.advance(by);
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
    pub(super) fn new(
        platform: Platform,
        observer: Option<Observer>,
        transcript: Transcript,
        faults: Faults,
        usage: Usage,
        ready: mpsc::UnboundedSender<AppId>,
    ) -> Self {
        Self {
            fresh: platform.clone(),
            platform,
            observer,
            clock: Clock::new(),
            transcript,
            faults,
            usage,
            owners: BTreeMap::new(),
            queues: BTreeMap::new(),
            pending: 0,
            dropped: 0,
            era: 0,
            ready,
            workers: JoinSet::new(),
            closed: false,
        }
    }

    pub(super) fn tick(&mut self) -> Timestamp {
        self.clock.tick()
    }

    /// Notifies the observer, and writes acts of people and changes of owner to the transcript.
    pub(super) fn observe(&mut self, wire: Option<Wire>) {
        let Some(wire) = wire else { return };
        let line = match &wire {
            Wire::CustomerWrote { page, user, text } => {
                Some(("customer", json!({"page": page, "user": user, "text": text})))
            }
            Wire::CustomerActed { page, user, mid, act } => {
                Some(("customer_act", json!({"page": page, "user": user, "mid": mid, "act": act})))
            }
            Wire::CustomerCame { page, user, act, detail } => {
                Some(("customer_act", json!({"page": page, "user": user, "act": act, "detail": detail})))
            }
            Wire::PolicyEnforced { page, action, reason } => {
                Some(("policy", json!({"page": page, "action": action, "reason": reason})))
            }
            Wire::OwnerChanged { page, user, owner } => {
                Some(("owner", json!({"page": page, "user": user, "owner": owner})))
            }
            Wire::Reached { page, user, text, app } => {
                Some(("reached", json!({"page": page, "user": user, "app": app, "text": text})))
            }
            // Written where more details are available.
            Wire::Call { .. } | Wire::Webhook { .. } => None,
        };
        if let Some((kind, line)) = line {
            let at = self.tick();
            self.transcript.write(at, kind, line);
        }
        if let Some(observer) = &self.observer {
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
