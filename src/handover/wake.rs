use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::thread::Input;
use crate::time::Timestamp;

use super::drive::{Inner, Tells};
use super::{Clock, Handover};

/// How often the store is asked for due threads when nothing is known to be due: other replicas and
/// earlier processes leave threads behind too.
const POLL: Duration = Duration::from_secs(1);
/// How long a due thread is ours alone.
const LEASE: Duration = Duration::from_secs(30);
const BATCH: usize = 64;

/// The earliest wake time that this process has written since the store was last asked.
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

    fn reset(&self) {
        self.earliest.store(u64::MAX, Ordering::SeqCst);
    }

    async fn ring(&self, clock: &dyn Clock) {
        loop {
            let earliest = Timestamp::from_millis(self.earliest.load(Ordering::SeqCst));
            let sleep = tokio::time::sleep(earliest.since(clock.now()).min(POLL));
            tokio::select! {
                // In a fixed order, so that a schedule in virtual time can be played again.
                biased;
                () = sleep => return,
                () = self.earlier.notified() => {}
            }
        }
    }
}

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
            Ok(Round::Done) => alarm.ring(&*clock).await,
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
    if !due.is_empty() {
        let inputs = due.into_iter().map(|key| (key, Input::Wake)).collect();
        if let Err(error) = (Handover { inner }).drive(inputs, Tells::InATask, None).await {
            tracing::warn!(%error, "due threads could not be woken; they come again");
        }
    }
    round
}
