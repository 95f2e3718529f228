//! The alarm of the waker, which is the earliest known wake time, and the waker's state.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::store::StoreError;
use crate::time::Timestamp;

use super::clock::Clock;

/// The earliest wake time that this process has written, or got from the store, since its last poll of the store.
#[derive(Debug)]
pub(super) struct Alarm {
    earliest: AtomicU64,
    /// The wake time for which the store is being polled.
    polled: AtomicU64,
    earlier: Notify,
}

/// No wake time is known.
const NONE: u64 = u64::MAX;

impl Default for Alarm {
    fn default() -> Self {
        Self { earliest: AtomicU64::new(NONE), polled: AtomicU64::new(NONE), earlier: Notify::new() }
    }
}

impl Alarm {
    pub(super) fn set(&self, wake: Timestamp) {
        if self.earliest.fetch_min(wake.as_millis(), Ordering::SeqCst) > wake.as_millis() {
            self.earlier.notify_one();
        }
    }

    /// Begins a poll of the store: later wake times are new ones.
    pub(super) fn poll(&self) {
        self.polled.store(self.earliest.swap(NONE, Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Ends a poll. If it failed, its wake time is still the earliest.
    pub(super) fn polled(&self, served: bool) {
        let polled = self.polled.swap(NONE, Ordering::SeqCst);
        if !served && polled != NONE {
            self.set(Timestamp::from_millis(polled));
        }
    }

    /// The time since the earliest wake time passed.
    pub(super) fn lag(&self, now: Timestamp) -> Duration {
        let earliest = self.earliest.load(Ordering::SeqCst).min(self.polled.load(Ordering::SeqCst));
        now.since(Timestamp::from_millis(earliest))
    }

    /// Waits until the earliest wake time, at most for `longest`.
    pub(super) async fn ring(&self, clock: &dyn Clock, longest: Duration) {
        loop {
            let earliest = Timestamp::from_millis(self.earliest.load(Ordering::SeqCst));
            let sleep = tokio::time::sleep(earliest.since(clock.now()).min(longest));
            tokio::select! {
                // A fixed order, so that schedules in virtual time can be replayed.
                biased;
                () = sleep => return,
                () = self.earlier.notified() => {}
            }
        }
    }
}

/// The state of the waker, for `Handover::healthy`.
#[derive(Debug)]
pub(super) struct Waker {
    /// The last time the store said what is due.
    pub(super) last: Instant,
    /// The failure of a poll after that.
    pub(super) failure: Option<StoreError>,
    /// Whether a round runs.
    pub(super) is_at_work: bool,
    /// Whether the first round has begun.
    pub(super) has_begun: bool,
}

impl Default for Waker {
    fn default() -> Self {
        Self { last: Instant::now(), failure: None, is_at_work: false, has_begun: false }
    }
}
