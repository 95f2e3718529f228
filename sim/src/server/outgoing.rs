//! The webhooks that wait for their delivery: in order within a conversation, in parallel across conversations.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;

use super::deliver;
use super::faults::FaultAction;
use super::state::{Shared, State};
use crate::platform::{ApiCall, Delivery, Echoes};
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

/// The most webhooks of one app that are sent at the same time.
const AT_ONCE: usize = 32;

/// Webhooks of the same line are sent one after the other: those of one app about one conversation. Where several events share a
/// delivery, an app has one line for all of its conversations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    app: AppId,
    conversation: Option<(PageId, Option<UserId>)>,
}

#[derive(Default)]
pub(super) struct Outgoing {
    lines: BTreeMap<Line, Queue>,
    /// The places of each app for webhooks that are being sent.
    places: BTreeMap<AppId, Arc<Semaphore>>,
    /// Since when an app has accepted nothing of a Page.
    failing: BTreeMap<(AppId, PageId), Timestamp>,
    /// The number of webhooks that are queued or in flight.
    pub(super) pending: usize,
    /// The number of webhooks given up.
    pub(super) dropped: u64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Delivery>,
    /// Webhooks to put behind the next one.
    held: Vec<Delivery>,
    /// Whether a task sends this line.
    running: bool,
}

impl Outgoing {
    fn place_of(&mut self, app: &AppId) -> Arc<Semaphore> {
        let places = self.places.entry(app.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE)));
        Arc::clone(places)
    }

    /// Removes waiting webhooks of an app, and returns their number.
    fn remove(&mut self, app: &AppId, which: impl Fn(&Delivery) -> bool) -> usize {
        let mut removed = 0;
        for (_, queue) in self.lines.iter_mut().filter(|(line, _)| line.app == *app) {
            let before = queue.waiting.len() + queue.held.len();
            queue.waiting.retain(|waiting| !which(waiting));
            queue.held.retain(|held| !which(held));
            removed += before - queue.waiting.len() - queue.held.len();
        }
        removed
    }
}

impl State {
    fn line_of(&self, delivery: &Delivery) -> Line {
        let alone = self.platform.switches().events_per_delivery <= 1;
        let conversation = alone.then(|| (delivery.page.clone(), delivery.user.clone()));
        Line { app: delivery.app.clone(), conversation }
    }
}

impl Shared {
    /// Queues the webhooks that the platform made, as the faults have it.
    pub(super) fn queue(self: &Arc<Self>, state: &mut State) {
        for delivery in state.platform.take_outgoing() {
            if state.closed {
                return;
            }
            let app = delivery.app.clone();
            if state.platform.app(&app).is_none_or(|app| app.callback.is_none()) {
                not_sent(state, &delivery, "webhook_unsent");
                continue;
            }
            let Some(fault) = state.faults.strike("webhook", delivery.label, &app) else {
                self.enqueue(state, delivery);
                continue;
            };
            let wait = fault.wait(Duration::from_secs(1));
            match fault.action {
                FaultAction::Lose => not_sent(state, &delivery, "webhook_lost"),
                FaultAction::Duplicate => {
                    self.enqueue(state, delivery.clone());
                    self.enqueue(state, delivery);
                }
                FaultAction::Reorder => {
                    state.outgoing.pending += 1;
                    let line = state.line_of(&delivery);
                    state.outgoing.lines.entry(line.clone()).or_default().held.push(delivery);
                    // Behind the next one, or after a while if none comes.
                    self.later(state, wait, move |shared, state| {
                        let queue = state.outgoing.lines.get_mut(&line);
                        let held = queue.map(|queue| std::mem::take(&mut queue.held)).unwrap_or_default();
                        state.outgoing.pending -= held.len();
                        for held in held {
                            shared.enqueue(state, held);
                        }
                    });
                }
                _ => {
                    state.outgoing.pending += 1;
                    self.later(state, wait, move |shared, state| {
                        state.outgoing.pending -= 1;
                        shared.enqueue(state, delivery);
                    });
                }
            }
        }
    }

    fn enqueue(self: &Arc<Self>, state: &mut State, delivery: Delivery) {
        let line = state.line_of(&delivery);
        let queue = state.outgoing.lines.entry(line.clone()).or_default();
        queue.waiting.push_back(delivery);
        queue.waiting.extend(queue.held.drain(..));
        let idle = !std::mem::replace(&mut queue.running, true);
        state.outgoing.pending += 1;
        if idle {
            let places = state.outgoing.place_of(&line.app);
            self.spawn(state, deliver::work(Arc::clone(self), line, places));
        }
    }

    /// Takes the next webhooks of a line, those of one delivery, with their era; `None` ends the line's task.
    pub(super) fn next(&self, line: &Line) -> Option<(u64, Vec<Delivery>)> {
        let mut state = self.lock();
        let (era, most) = (state.era, state.platform.switches().events_per_delivery.clamp(1, 1_000));
        let State { platform, outgoing, .. } = &mut *state;
        let queue = outgoing.lines.get_mut(line)?;
        // A delivery is about Pages or about Instagram accounts.
        let object = queue.waiting.front().map(|first| platform.is_instagram(&first.page));
        let alike = |event: &&Delivery| Some(platform.is_instagram(&event.page)) == object;
        let count = queue.waiting.iter().take(most.into()).take_while(alike).count();
        let next: Vec<_> = queue.waiting.drain(..count).collect();
        if !next.is_empty() {
            return Some((era, next));
        }
        queue.running = false;
        if queue.held.is_empty() {
            outgoing.lines.remove(line);
        }
        None
    }

    /// Counts webhooks as delivered or given up.
    pub(super) fn done(&self, era: u64, count: usize, delivered: bool) {
        let mut state = self.lock();
        if state.era == era {
            state.outgoing.dropped += if delivered { 0 } else { count as u64 };
            self.finish(&mut state, count);
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

    /// Notes whether an app accepted a webhook of a Page, and returns since when it has accepted none.
    pub(super) fn note_acceptance(
        &self,
        app: &AppId,
        page: &PageId,
        now: Timestamp,
        accepted: bool,
    ) -> Timestamp {
        let failing = &mut self.lock().outgoing.failing;
        let key = (app.clone(), page.clone());
        if accepted {
            failing.remove(&key);
            return now;
        }
        *failing.entry(key).or_insert(now)
    }

    /// Unsubscribes an app whose endpoint failed for 1 h, as [Meta](messenger_handover::protocol#redelivery) does. Its waiting
    /// webhooks from that Page are given up.
    pub(super) fn unsubscribe(&self, era: u64, app: &AppId, page: &PageId) {
        let mut state = self.lock();
        if state.era != era {
            return;
        }
        let now = state.tick();
        state.platform.unsubscribe(page, app);
        state.transcript.write(now, "unsubscribed", json!({"app": app, "page": page}));
        let lost = state.outgoing.remove(app, |waiting| waiting.page == *page);
        state.outgoing.dropped += lost as u64;
        self.finish(&mut state, lost);
    }

    /// Runs an act after a while, unless there is a reset meanwhile.
    fn later(
        self: &Arc<Self>,
        state: &mut State,
        wait: Duration,
        act: impl FnOnce(&Arc<Self>, &mut State) + Send + 'static,
    ) {
        let (shared, era) = (Arc::clone(self), state.era);
        let waiting = async move {
            tokio::time::sleep(wait).await;
            let mut state = shared.lock();
            if state.era == era {
                act(&shared, &mut state);
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

    fn finish(&self, state: &mut State, count: usize) {
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
}

/// Writes a webhook to the transcript that no app gets.
fn not_sent(state: &mut State, delivery: &Delivery, kind: &str) {
    let Delivery { app, page, user, channel, label, item, at, .. } = delivery;
    let line = json!({"app": app, "page": page, "user": user, "label": label, "channel": channel.name(), "item": item});
    state.transcript.write(*at, kind, line);
}
