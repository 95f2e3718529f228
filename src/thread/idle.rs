//! Threads at rest: when nothing is under way, and when the state of a conversation is dropped.

use std::time::Duration;

use crate::time::Timestamp;

use super::Thread;
use super::config::Context;

/// While a thread is at rest, its time of rest is rewritten at most once in this fraction of its retention.
const PARTS: u32 = 8;

impl Thread {
    /// Whether nothing is under way: no message, call, claim, transfer or notice. Held messages with an unknown
    /// outcome may remain.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.in_flight.is_none()
            && self.claim.is_none()
            && self.transfer.is_none()
            && self.notices.len() == 0
            && self.outbox.is_settled()
            && !self.belief.in_doubt
    }

    /// Whether work is left for the service, or for the host: a held message, a notice that was set aside, a request
    /// for control or an open intervention.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        !self.is_at_rest()
            || self.intervention.is_open()
            || self.outbox.is_held()
            || self.notices.set_aside().next().is_some()
            || self.requests.waiting().next().is_some()
    }

    /// Whether at most 8 items wait in each queue.
    #[cfg(feature = "service")]
    pub(crate) fn is_small(&self) -> bool {
        const FEW: usize = 8;
        self.notices.len() <= FEW && self.outbox.len() <= FEW && self.inbox.len() <= FEW
    }

    /// Whether the thread equals a new one, so that it need not be stored.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        // Numbers differ between fresh threads, because they grow with time ([`Context::ids_from`]).
        let fresh = Self {
            last_id: self.last_id,
            notices: self.notices.none_left(),
            at_rest_since: self.at_rest_since,
            ..Self::default()
        };
        *self == fresh
    }

    /// Notes when the thread came to rest, and resets it when its retention has passed.
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

    /// The time at which the thread is reset.
    pub(super) fn forgotten_at(&self, cx: &Context<'_>) -> Option<Timestamp> {
        let retention = cx.config.timeouts.retention;
        Some(self.at_rest_since?.plus(retention.saturating_add(retention / PARTS)))
    }
}
