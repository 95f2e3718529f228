//! The one task that wakes due threads.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::thread::Input;

use super::Handover;
use super::inner::Inner;
use super::mailbox::Order;

/// How often the store is asked for due threads when nothing is known to be due: other replicas and
/// earlier processes leave threads behind too.
const POLL: Duration = Duration::from_secs(1);
/// How long a due thread is ours alone.
const LEASE: Duration = Duration::from_secs(30);
const BATCH: usize = 64;

/// What a round of waking leaves to do.
enum Round {
    /// Nothing more is due.
    Done,
    /// More may be due.
    Full,
    /// The store could not say what is due.
    Failed,
}

/// The one waker for all due threads. It ends with the service, and not by a store that panics.
pub(super) async fn wake_due(inner: Weak<Inner>) {
    loop {
        let Some(inner) = inner.upgrade().filter(|inner| !inner.is_stopping()) else { return };
        let (alarm, clock) = (inner.alarm.clone(), inner.clock.clone());
        let round = inner.tasks.spawn(wake_round(Arc::clone(&inner)));
        // The service may end while nothing is due: the round holds it, this task does not.
        drop(inner);
        match round.await {
            Ok(Round::Full) => {}
            Ok(Round::Done) => alarm.ring(&*clock, POLL).await,
            Ok(Round::Failed) => tokio::time::sleep(POLL).await,
            Err(error) => {
                tracing::error!(%error, "waking due threads ended in a panic; it is tried again");
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

async fn wake_round(inner: Arc<Inner>) -> Round {
    inner.alarm.reset();
    let now = inner.now();
    let due = match inner.store.due(now, LEASE, BATCH).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(%error, "the store cannot say what is due");
            return Round::Failed;
        }
    };
    let round = if due.len() == BATCH { Round::Full } else { Round::Done };
    if matches!(round, Round::Done) {
        match inner.store.next_due(now).await {
            Ok(next) => next.into_iter().for_each(|next| inner.alarm.set(next)),
            Err(error) => tracing::debug!(%error, "the store cannot say what is due next"),
        }
    }
    let orders = due.into_iter().map(|key| (key, Order::Step(Input::Wake))).collect();
    if let Some(error) = (Handover { inner }).submit(orders, None).await.into_iter().find_map(Result::err) {
        tracing::warn!(%error, "due threads could not be woken; they come again");
    }
    round
}
