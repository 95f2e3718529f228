//! The alarm of the waker: the earliest known wake time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::time::Timestamp;

use super::clock::Clock;

/// The earliest wake time that this process has written, or got from the store, since its last poll of the store.
#[derive(Debug)]
pub(super) struct Alarm {
    earliest: AtomicU64,
    earlier: Notify,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { earliest: AtomicU64::new(u64::MAX), earlier: Notify::new() }
    }
}

impl Alarm {
    pub(super) fn set(&self, wake: Timestamp) {
        if self.earliest.fetch_min(wake.as_millis(), Ordering::SeqCst) > wake.as_millis() {
            self.earlier.notify_one();
        }
    }

    /// Forgets the earliest wake time and returns it.
    pub(super) fn reset(&self) -> Option<Timestamp> {
        let earliest = self.earliest.swap(u64::MAX, Ordering::SeqCst);
        (earliest != u64::MAX).then(|| Timestamp::from_millis(earliest))
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
