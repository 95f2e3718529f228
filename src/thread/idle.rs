use std::time::Duration;

use crate::time::Timestamp;

use super::Thread;
use super::config::Context;

/// A thread at rest is written again for what happens in it only after this part of its retention.
const PARTS: u32 = 8;

impl Thread {
    /// Whether nothing is under way: no answer, call, claim, hand-over or notice. Answers that were
    /// reported as unknown and held may remain.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.in_flight.is_none()
            && self.claim.is_none()
            && self.transfer.is_none()
            && self.notices.len() == 0
            && self.outbox.is_settled()
            && !self.belief.in_doubt
    }

    /// Whether somebody still has to do something: the service, or the host with an answer of unknown outcome,
    /// a notice that was set aside, a request for control or an open intervention.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        !self.is_at_rest()
            || self.intervention.is_open()
            || self.outbox.is_held()
            || self.notices.set_aside().next().is_some()
            || self.requests.waiting().next().is_some()
    }

    /// Whether little waits in it.
    #[cfg(feature = "service")]
    pub(crate) fn is_small(&self) -> bool {
        const FEW: usize = 8;
        self.notices.len() <= FEW && self.outbox.len() <= FEW && self.inbox.len() <= FEW
    }

    /// Whether nothing is known that a thread nobody has heard of would not know: it need not be kept.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        // Numbers go on with time, wherever they start from.
        let fresh = Self {
            last_id: self.last_id,
            notices: self.notices.none_left(),
            at_rest_since: self.at_rest_since,
            ..Self::default()
        };
        *self == fresh
    }

    /// Notes that the thread is at rest, or forgets what it knows when it has been for long.
    pub(super) fn note_rest(&mut self, cx: &Context<'_>, now: Timestamp, is_news: bool) {
        let retention = cx.config.timeouts.retention;
        if retention == Duration::MAX || !self.is_at_rest() || self.intervention.is_open() || self.is_fresh()
        {
            self.at_rest_since = None;
        } else if !is_news && self.forgotten_at(cx).is_some_and(|at| at <= now) {
            *self = Self::new();
        } else if self.at_rest_since.is_none_or(|since| is_news && now.since(since) > retention / PARTS) {
            self.at_rest_since = Some(now);
        }
    }

    /// When nothing of it need be known any more.
    pub(super) fn forgotten_at(&self, cx: &Context<'_>) -> Option<Timestamp> {
        let retention = cx.config.timeouts.retention;
        Some(self.at_rest_since?.plus(retention.saturating_add(retention / PARTS)))
    }
}
