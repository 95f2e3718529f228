//! The waker: the task that polls the store for due conversations and wakes them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::thread::Input;
use crate::time::Timestamp;

use super::Handover;
use super::alarm::Waker;
use super::batcher::answered_in_time;
use super::inner::Inner;
use super::mailbox::Order;

/// The interval of polls of the store when no earlier wake time is known, because other replicas and earlier processes leave
/// due threads too.
const POLL: Duration = Duration::from_secs(1);
/// The lease of a due thread.
const LEASE: Duration = Duration::from_secs(30);
const BATCH: usize = 64;
/// The longest wait for the conversations of one round. A conversation that takes longer goes on by itself, and holds up no
/// other timer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The result of one round.
enum Round {
    /// No more threads are due.
    Done,
    /// More threads may be due.
    Full,
    /// The store failed.
    Failed,
}

/// Wakes due threads until the service ends. A panic of the store ends only its round.
pub(super) async fn wake_due(inner: Weak<Inner>) {
    loop {
        let Some(inner) = inner.upgrade().filter(|inner| !inner.is_stopping()) else { return };
        let (alarm, clock) = (inner.alarm.clone(), inner.clock.clone());
        let round = inner.tasks.spawn(wake_round(Arc::clone(&inner)));
        let weak = Arc::downgrade(&inner);
        // Only rounds keep the service alive, so that it can end while this task waits.
        drop(inner);
        let round = round.await;
        if let Some(inner) = weak.upgrade() {
            inner.waker().is_at_work = false;
        }
        match round {
            Ok(Round::Full) => {}
            Ok(Round::Done) => alarm.ring(&*clock, POLL).await,
            Ok(Round::Failed) => tokio::time::sleep(POLL).await,
            Err(error) => {
                tracing::error!(%error, "a round of waking due threads panicked; the next one follows");
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

async fn wake_round(inner: Arc<Inner>) -> Round {
    inner.waker().is_at_work = true;
    if !std::mem::replace(&mut inner.waker().has_begun, true) {
        // Work of earlier processes.
        inner.note_next_due().await;
    }
    inner.alarm.poll();
    let due = answered_in_time(inner.store.due(inner.now(), LEASE, BATCH)).await;
    let lag = u64::try_from(inner.alarm.lag(inner.now()).as_millis()).unwrap_or(u64::MAX);
    inner.alarm.polled(due.is_ok());
    let due = match due {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(%error, "the store cannot say what is due");
            inner.waker().failure = Some(error);
            return Round::Failed;
        }
    };
    inner.counters.due_lag_ms.store(lag, Ordering::Relaxed);
    (inner.waker().last, inner.waker().failure) = (Instant::now(), None);
    inner.note_next_due().await;
    let round = if due.len() == BATCH { Round::Full } else { Round::Done };
    let orders = due.into_iter().map(|key| (key, Order::Step(Input::Wake))).collect();
    let woken = Handover { inner };
    let woken = tokio::time::timeout(PATIENCE, woken.submit(orders, None)).await.unwrap_or_default();
    if let Some(error) = woken.into_iter().find_map(Result::err) {
        tracing::warn!(%error, "due threads could not be woken; they are due again when their leases expire");
    }
    round
}

impl Inner {
    pub(super) fn waker(&self) -> MutexGuard<'_, Waker> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the alarm to the earliest wake time in the store, so that timers are on time, and one that is late is seen.
    async fn note_next_due(&self) {
        match answered_in_time(self.store.next_due(Timestamp::default())).await {
            Ok(next) => next.into_iter().for_each(|next| self.alarm.set(next)),
            Err(error) => tracing::debug!(%error, "the store cannot say what is due next"),
        }
    }
}

/// Reports the numbers once a second until the service ends, whatever its store does.
#[cfg(feature = "metrics")]
pub(super) async fn report_every_second(inner: Weak<Inner>) {
    while let Some(inner) = inner.upgrade() {
        super::numbers::report(&Handover { inner }.stats());
        tokio::time::sleep(POLL).await;
    }
}
