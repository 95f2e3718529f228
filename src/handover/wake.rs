//! The waker: the task that polls the store for due conversations and wakes them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::thread::Input;

use super::Handover;
use super::batcher::answered_in_time;
use super::inner::Inner;
use super::mailbox::Order;

/// The interval of polls of the store when no earlier wake time is known, because other replicas and earlier processes leave
/// due threads too.
const POLL: Duration = Duration::from_secs(1);
/// The lease of a due thread.
const LEASE: Duration = Duration::from_secs(30);
const BATCH: usize = 64;

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
        // Only rounds keep the service alive, so that it can end while this task waits.
        drop(inner);
        match round.await {
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
    *inner.last_round.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    let now = inner.now();
    let lag = inner.alarm.reset().map_or(0, |due| now.since(due).as_millis());
    inner.counters.due_lag_ms.store(u64::try_from(lag).unwrap_or(u64::MAX), Ordering::Relaxed);
    let due = match answered_in_time(inner.store.due(now, LEASE, BATCH)).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(%error, "the store cannot say what is due");
            return Round::Failed;
        }
    };
    let round = if due.len() == BATCH { Round::Full } else { Round::Done };
    if matches!(round, Round::Done) {
        match answered_in_time(inner.store.next_due(now)).await {
            Ok(next) => next.into_iter().for_each(|next| inner.alarm.set(next)),
            Err(error) => tracing::debug!(%error, "the store cannot say what is due next"),
        }
    }
    let orders = due.into_iter().map(|key| (key, Order::Step(Input::Wake))).collect();
    let service = Handover { inner };
    if let Some(error) = service.submit(orders, None).await.into_iter().find_map(Result::err) {
        tracing::warn!(%error, "due threads could not be woken; they are due again when their leases expire");
    }
    #[cfg(feature = "metrics")]
    super::stats::report(&service.stats());
    round
}
