use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

use super::io::{Notice, NoticeId, Output};
use super::is_default;

/// What the host has yet to be told, in order: one at a time, until its handler returned `Ok`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Notices {
    #[serde(skip_serializing_if = "is_default")]
    queue: VecDeque<Notice>,
    /// The number of the first in the queue.
    #[serde(skip_serializing_if = "is_default")]
    first: u64,
    /// The first is with a handler, or its handler failed: not again before then.
    #[serde(skip_serializing_if = "is_default")]
    not_before: Timestamp,
    /// How often the handler failed on the first.
    #[serde(skip_serializing_if = "is_default")]
    faults: u8,
}

impl Notices {
    pub(super) fn number_from(&mut self, first: u64) {
        self.first = first;
    }

    pub(super) fn push(&mut self, notice: Notice) {
        if self.queue.is_empty() {
            // Seldom are there more.
            self.queue.reserve_exact(1);
        }
        self.queue.push_back(notice);
    }

    pub(super) fn extend(&mut self, notices: impl IntoIterator<Item = Notice>) {
        self.queue.extend(notices);
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        (!self.queue.is_empty()).then_some(self.not_before)
    }

    /// Puts out the first, if nobody is busy with it, and leases it.
    pub(super) fn emit(&mut self, now: Timestamp, lease: Duration, out: &mut Vec<Output>) {
        if self.not_before > now {
            return;
        }
        if let Some(notice) = self.queue.front() {
            if out.is_empty() {
                out.reserve_exact(1);
            }
            out.push(Output::Notice { id: NoticeId(self.first), notice: notice.clone() });
            self.not_before = now.plus(lease);
        }
    }

    /// A handler ended. Answers whether this was the notice at hand.
    pub(super) fn done(
        &mut self,
        id: NoticeId,
        ok: bool,
        now: Timestamp,
        pause: impl FnOnce(u8) -> Duration,
    ) -> bool {
        if id != NoticeId(self.first) || self.queue.is_empty() {
            return false;
        }
        if ok {
            self.queue.pop_front();
            if self.queue.is_empty() {
                // Its memory, too: hardly any conversation has something to tell at a time.
                self.queue = VecDeque::new();
            }
            self.first = self.first.wrapping_add(1);
            self.faults = 0;
            self.not_before = Timestamp::default();
        } else {
            self.not_before = now.plus(pause(self.faults));
            self.faults = self.faults.saturating_add(1);
        }
        true
    }
}
