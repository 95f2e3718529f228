//! The notice queue: notices that the host has not acknowledged, and notices that were set aside.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::Inbound;
use crate::time::Timestamp;

use super::config::Limits;
use super::is_default;
use super::notice::Notice;
use super::output::Output;
use super::terms::NoticeId;

/// A queue that delivers one notice at a time, in order, until the handler returns `Ok` or has failed too often.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Notices {
    #[serde(skip_serializing_if = "is_default")]
    queue: VecDeque<Notice>,
    /// The number of the first notice in the queue.
    #[serde(skip_serializing_if = "is_default")]
    first: u64,
    /// The end of the first notice's lease or pause: it is not put out again before.
    #[serde(skip_serializing_if = "is_default")]
    not_before: Timestamp,
    /// The number of times the first notice was put out.
    #[serde(skip_serializing_if = "is_default")]
    attempts: u32,
    /// Oldest first.
    #[serde(skip_serializing_if = "is_default")]
    set_aside: Vec<SetAside>,
}

/// A notice that the handler failed on [`Limits::attempts`] times. The handler got the next one instead, so that one
/// notice never blocks its conversation.
///
/// A conversation keeps the last [`Limits::set_aside`] of them, until the host dismisses them
/// ([`Command::DismissSetAside`](super::Command::DismissSetAside)).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SetAside {
    /// The notice's number within its conversation.
    pub id: NoticeId,
    /// The number of attempts.
    pub attempts: u32,
    /// The time at which it was set aside.
    pub at: Timestamp,
    /// The notice.
    pub notice: Notice,
}

impl Notices {
    pub(super) fn number_from(&mut self, first: u64) {
        self.first = first;
    }

    /// An empty queue that goes on with the same numbers.
    pub(super) fn none_left(&self) -> Self {
        Self { first: self.first, ..Self::default() }
    }

    pub(super) fn push(&mut self, notice: Notice) {
        if self.queue.is_empty() {
            // The queue seldom holds more than one.
            self.queue.reserve_exact(1);
        }
        self.queue.push_back(notice);
    }

    pub(super) fn extend(&mut self, notices: impl IntoIterator<Item = Notice>) {
        self.queue.extend(notices);
    }

    /// Changes the messages in notices that no handler has begun, and drops notices that become empty.
    pub(super) fn change(&mut self, change: impl Fn(Inbound) -> Option<Inbound>) {
        let begun = usize::from(self.attempts > 0).min(self.queue.len());
        let later = self.queue.split_off(begun);
        self.queue.extend(later.into_iter().filter_map(|notice| changed(notice, &change)));
        let aside = std::mem::take(&mut self.set_aside).into_iter();
        let one = |SetAside { id, attempts, at, notice }| {
            Some(SetAside { id, attempts, at, notice: changed(notice, &change)? })
        };
        self.set_aside = aside.filter_map(one).collect();
    }

    /// The number of times the first notice was put out.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn set_aside(&self) -> impl Iterator<Item = &SetAside> {
        self.set_aside.iter()
    }

    /// Drops a notice that was set aside. Returns whether it existed.
    pub(super) fn dismiss(&mut self, id: NoticeId) -> bool {
        let before = self.set_aside.len();
        self.set_aside.retain(|one| one.id != id);
        self.set_aside.len() < before
    }

    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        (!self.queue.is_empty()).then_some(self.not_before)
    }

    /// Puts out the first notice and leases it, unless a lease or a pause is running.
    pub(super) fn emit(&mut self, now: Timestamp, lease: Duration, limits: Limits, out: &mut Vec<Output>) {
        if self.not_before > now {
            return;
        }
        // A handler that was notified this often ended each time without a result.
        while self.attempts >= limits.attempts && self.set_first_aside(now, limits, out) {}
        if let Some(notice) = self.queue.front() {
            if out.is_empty() {
                out.reserve_exact(1);
            }
            self.attempts += 1;
            let (id, attempt) = (NoticeId(self.first), self.attempts);
            out.push(Output::Notice { id, attempt, notice: notice.clone() });
            self.not_before = now.plus(lease);
        }
    }

    /// Whether this is the first notice and was put out at least once.
    pub(super) fn is_at_hand(&self, id: NoticeId) -> bool {
        id == NoticeId(self.first) && !self.queue.is_empty() && self.attempts > 0
    }

    /// The handler failed on the first notice: it is retried after `pause`, or set aside at the limit.
    pub(super) fn retry(
        &mut self,
        now: Timestamp,
        limits: Limits,
        pause: impl FnOnce(u32) -> Duration,
        out: &mut Vec<Output>,
    ) {
        if self.attempts >= limits.attempts {
            self.set_first_aside(now, limits, out);
        } else {
            self.not_before = now.plus(pause(self.attempts));
        }
    }

    /// Removes the first notice.
    pub(super) fn next(&mut self) -> Option<Notice> {
        let first = self.queue.pop_front();
        if self.queue.is_empty() {
            // Frees the memory, because few conversations have a notice waiting at a time.
            self.queue = VecDeque::new();
        }
        self.first = self.first.wrapping_add(1);
        self.attempts = 0;
        self.not_before = Timestamp::default();
        first
    }

    /// Sets the first notice aside. Returns whether there was one.
    pub(super) fn set_first_aside(&mut self, now: Timestamp, limits: Limits, out: &mut Vec<Output>) -> bool {
        let (id, attempts) = (NoticeId(self.first), self.attempts);
        let Some(notice) = self.next() else { return false };
        self.keep_aside(SetAside { id, attempts, at: now, notice }, limits, out);
        true
    }

    /// Stores a notice for the host to look into, and drops the oldest one above the limit.
    pub(super) fn keep_aside(&mut self, aside: SetAside, limits: Limits, out: &mut Vec<Output>) {
        let is_full = self.set_aside.len() >= limits.set_aside.max(1);
        let dropped = is_full.then(|| self.set_aside.remove(0).id);
        out.push(Output::SetAside { id: aside.id, attempts: aside.attempts, dropped });
        self.set_aside.push(aside);
    }
}

/// The notice with its messages changed, or `None` if a message notice lost its message.
fn changed(notice: Notice, change: impl Fn(Inbound) -> Option<Inbound>) -> Option<Notice> {
    Some(match notice {
        Notice::Message { inbound, channel, to_answer } => {
            Notice::Message { inbound: change(inbound)?, channel, to_answer }
        }
        Notice::ControlGained { from, note, unanswered, more } => {
            let unanswered = unanswered.into_iter().filter_map(change).collect();
            Notice::ControlGained { from, note, unanswered, more }
        }
        notice => notice,
    })
}
