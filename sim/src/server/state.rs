//! The platform behind a lock, with its clock, its observer and its transcript.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::clock::Clock;
use super::faults::{FaultAction, Faults};
use super::outgoing::{Line, Outgoing};
use super::transcript::Transcript;
use super::usage::Usage;
use super::wire::{Observer, Wire};
use crate::platform::{ApiAnswer, ApiCall, Delivery, Echoes, GraphError, Platform, message_text};
use messenger_handover::id::{AppId, PageId, ThreadKey};
use messenger_handover::time::Timestamp;

pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) client: reqwest::Client,
    pub(super) runtime: Handle,
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
    pub(super) outgoing: Outgoing,
    /// The number of resets. A webhook from before a reset is not delivered after it.
    pub(super) era: u64,
    pub(super) workers: JoinSet<()>,
    pub(super) closed: bool,
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
            if outcome.is_ok() {
                self.lose_echoes(&mut state, app, key, call);
            }
        }
        self.queue(&mut state);
        outcome
    }

    /// Queues the webhooks that the platform made, as the faults have it.
    fn queue(self: &Arc<Self>, state: &mut State) {
        for delivery in state.platform.take_outgoing() {
            if state.closed {
                return;
            }
            let app = delivery.app.clone();
            if state.platform.app(&app).is_none_or(|app| app.callback.is_none()) {
                state.write_unsent(&delivery, "webhook_unsent");
                continue;
            }
            let line = Line::of(&delivery, &state.platform, state.era);
            let Some(fault) = state.faults.strike("webhook", delivery.label, &app) else {
                state.outgoing.push(line, delivery);
                continue;
            };
            let wait = fault.wait(Duration::from_secs(1));
            match fault.action {
                FaultAction::Lose => state.write_unsent(&delivery, "webhook_lost"),
                FaultAction::Duplicate => {
                    state.outgoing.push(line.clone(), delivery.clone());
                    state.outgoing.push(line, delivery);
                }
                FaultAction::Reorder => {
                    state.outgoing.hold(line.clone(), delivery);
                    // Behind the next one, or after a while if none comes.
                    self.later(state, wait, move |state| state.outgoing.let_go(&line));
                }
                _ => {
                    state.outgoing.pending += 1;
                    self.later(state, wait, move |state| {
                        state.outgoing.pending -= 1;
                        state.outgoing.push(line, delivery);
                    });
                }
            }
        }
    }

    /// Drops echoes that the platform already handed over and that still wait here, as
    /// [`Echoes::LostWhenControlLeaves`] has it, if the call gives control away.
    pub(super) fn lose_echoes(&self, state: &mut State, app: &AppId, key: &ThreadKey, call: &ApiCall) {
        let gives = matches!(call, ApiCall::Pass { .. } | ApiCall::Release { .. });
        if !gives || state.platform.switches().echoes != Echoes::LostWhenControlLeaves {
            return;
        }
        let lost = state.outgoing.remove(app, |waiting| {
            waiting.label == "echo" && waiting.page == key.page && waiting.user.as_ref() == Some(&key.user)
        });
        self.finish(state, lost);
    }

    /// Runs an act after a while, unless there is a reset meanwhile.
    fn later(
        self: &Arc<Self>,
        state: &mut State,
        wait: Duration,
        act: impl FnOnce(&mut State) + Send + 'static,
    ) {
        let (shared, era) = (Arc::clone(self), state.era);
        let waiting = async move {
            tokio::time::sleep(wait).await;
            let mut state = shared.lock();
            if state.era == era {
                act(&mut state);
            }
        };
        self.spawn(state, waiting);
    }

    /// Spawns work that the next reset ends.
    pub(super) fn spawn(&self, state: &mut State, work: impl Future<Output = ()> + Send + 'static) {
        while state.workers.try_join_next().is_some() {}
        if !state.closed {
            state.workers.spawn_on(work, &self.runtime);
        }
    }

    pub(super) fn finish(&self, state: &mut State, count: usize) {
        state.outgoing.pending -= count;
        if state.outgoing.pending == 0 {
            self.quiet.notify_waiters();
        }
    }

    /// Waits until no webhook is queued or in flight.
    pub(super) async fn idle(&self) {
        loop {
            let quiet = self.quiet.notified();
            tokio::pin!(quiet);
            quiet.as_mut().enable();
            if self.lock().outgoing.pending == 0 {
                return;
            }
            quiet.await;
        }
    }

    /// Restores the state from the start, except the clock and the transcript, and the callbacks unless they are asked for.
    pub(super) fn reset(&self, callbacks: bool) {
        let mut state = self.lock();
        let now = state.tick();
        let mut fresh = state.fresh.clone();
        if !callbacks {
            fresh.set_callbacks_of(&state.platform);
        }
        state.platform.begin_anew(fresh);
        state.faults.reset();
        state.usage.clear();
        state.owners.clear();
        // Ends deliveries in flight, so that new webhooks do not wait behind them.
        state.workers.abort_all();
        state.outgoing.clear();
        state.era += 1;
        state.transcript.write(now, "reset", json!({}));
        self.quiet.notify_waiters();
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
        ready: mpsc::UnboundedSender<Line>,
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
            outgoing: Outgoing::new(ready),
            era: 0,
            workers: JoinSet::new(),
            closed: false,
        }
    }

    /// Writes a webhook to the transcript that no app gets.
    fn write_unsent(&mut self, delivery: &Delivery, kind: &str) {
        let Delivery { app, page, user, channel, label, item, at, .. } = delivery;
        let line = json!({"app": app, "page": page, "user": user, "label": label, "channel": channel.name(), "item": item});
        self.transcript.write(*at, kind, line);
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
