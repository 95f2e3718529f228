use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::thread::Input;
use crate::time::Timestamp;

use super::Handover;
use super::drive::{Inner, now};

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

    async fn ring(&self) {
        loop {
            let earliest = Timestamp::from_millis(self.earliest.load(Ordering::SeqCst));
            let sleep = tokio::time::sleep(earliest.since(now()).min(POLL));
            tokio::select! {
                () = sleep => return,
                () = self.earlier.notified() => {}
            }
        }
    }
}

/// The one waker for all due threads. It ends with the service.
pub(super) async fn wake_due(inner: Weak<Inner>) {
    loop {
        let Some(inner) = inner.upgrade() else { return };
        inner.alarm.reset();
        let due = inner.store.due(now(), LEASE, BATCH).await;
        let full = due.as_ref().is_ok_and(|due| due.len() == BATCH);
        let failed = due.is_err();
        let woken = match due {
            Ok(due) if due.is_empty() => Ok(()),
            Ok(due) => {
                let inputs = due.into_iter().map(|key| (key, Input::Wake)).collect();
                Handover { inner: inner.clone() }.drive(inputs).await.map(drop)
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = woken {
            tracing::warn!(%error, "due threads could not be woken; they come again");
        }
        if failed {
            tokio::time::sleep(POLL).await;
        } else if !full {
            let alarm = inner.alarm.clone();
            // The service may end while nothing is due.
            drop(inner);
            alarm.ring().await;
        }
    }
}
