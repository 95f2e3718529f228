//! The webhooks that wait for their delivery: in order within a conversation, in parallel across conversations.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use crate::platform::{Delivery, Platform};
use messenger_handover::id::{AppId, PageId, UserId};
use messenger_handover::time::Timestamp;

/// The most webhooks of one app that are sent at the same time.
const AT_ONCE: usize = 32;

/// Webhooks of the same line are sent one after the other: those of one app about one conversation. Where several events share a
/// delivery, an app has one line for all of its conversations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    /// The number of resets before it. Tasks from before a reset find no webhook of after it.
    pub(super) era: u64,
    pub(super) app: AppId,
    conversation: Option<(PageId, Option<UserId>)>,
}

pub(super) struct Outgoing {
    lines: BTreeMap<Line, Queue>,
    /// Starts a task for a line with waiting webhooks.
    ready: mpsc::UnboundedSender<Line>,
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
    pub(super) fn new(ready: mpsc::UnboundedSender<Line>) -> Self {
        let (lines, places, failing) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { lines, ready, places, failing, pending: 0, dropped: 0 }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.ready.clone());
    }

    pub(super) fn push(&mut self, line: Line, delivery: Delivery) {
        let queue = self.lines.entry(line.clone()).or_default();
        queue.waiting.push_back(delivery);
        queue.waiting.extend(queue.held.drain(..));
        self.pending += 1;
        if !std::mem::replace(&mut queue.running, true) {
            // The server may have ended.
            let _ = self.ready.send(line);
        }
    }

    /// Keeps a webhook until the next of its line was pushed.
    pub(super) fn hold(&mut self, line: Line, delivery: Delivery) {
        self.lines.entry(line).or_default().held.push(delivery);
        self.pending += 1;
    }

    /// Pushes the webhooks of a line that are still held.
    pub(super) fn let_go(&mut self, line: &Line) {
        let held = self.lines.get_mut(line).map(|queue| std::mem::take(&mut queue.held));
        for held in held.unwrap_or_default() {
            self.pending -= 1;
            self.push(line.clone(), held);
        }
    }

    /// Takes the next webhooks of a line, those of one delivery; `None` ends the line's task.
    pub(super) fn next(&mut self, line: &Line, platform: &Platform) -> Option<Vec<Delivery>> {
        let most = platform.switches().events_per_delivery.clamp(1, 1_000);
        let queue = self.lines.get_mut(line)?;
        // A delivery is about Pages or about Instagram accounts.
        let object = queue.waiting.front().map(|first| platform.is_instagram(&first.page));
        let alike = |event: &&Delivery| Some(platform.is_instagram(&event.page)) == object;
        let count = queue.waiting.iter().take(most.into()).take_while(alike).count();
        if count > 0 {
            return Some(queue.waiting.drain(..count).collect());
        }
        queue.running = false;
        if queue.held.is_empty() {
            self.lines.remove(line);
        }
        None
    }

    /// Removes waiting webhooks of an app, and returns their number.
    pub(super) fn remove(&mut self, app: &AppId, which: impl Fn(&Delivery) -> bool) -> usize {
        let mut removed = 0;
        for (_, queue) in self.lines.iter_mut().filter(|(line, _)| line.app == *app) {
            let before = queue.waiting.len() + queue.held.len();
            queue.waiting.retain(|waiting| !which(waiting));
            queue.held.retain(|held| !which(held));
            removed += before - queue.waiting.len() - queue.held.len();
        }
        removed
    }

    /// The places of an app for webhooks that are being sent.
    pub(super) fn places_of(&mut self, app: &AppId) -> Arc<Semaphore> {
        let places = self.places.entry(app.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE)));
        Arc::clone(places)
    }

    /// Notes whether an app accepted a webhook of a Page, and returns since when it has accepted none.
    pub(super) fn note_acceptance(
        &mut self,
        app: &AppId,
        page: &PageId,
        now: Timestamp,
        accepted: bool,
    ) -> Timestamp {
        let key = (app.clone(), page.clone());
        if accepted {
            self.failing.remove(&key);
            return now;
        }
        *self.failing.entry(key).or_insert(now)
    }
}

impl Line {
    pub(super) fn of(delivery: &Delivery, platform: &Platform, era: u64) -> Self {
        let alone = platform.switches().events_per_delivery <= 1;
        let conversation = alone.then(|| (delivery.page.clone(), delivery.user.clone()));
        Self { era, app: delivery.app.clone(), conversation }
    }
}
