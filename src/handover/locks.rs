use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedMutexGuard};

use crate::id::ThreadKey;

/// One lock for each conversation that is being changed in this process; the store's versions guard
/// against other processes.
#[derive(Debug, Default)]
pub(super) struct Locks {
    map: Arc<Mutex<HashMap<ThreadKey, Arc<Inside>>>>,
}

#[derive(Debug, Default)]
struct Inside {
    lock: Arc<tokio::sync::Mutex<()>>,
    changed: Notify,
}

/// A conversation that somebody in this process is busy with.
#[derive(Debug)]
pub(super) struct Entry {
    key: ThreadKey,
    /// Nothing only while it is dropped.
    inside: Option<Arc<Inside>>,
    map: Arc<Mutex<HashMap<ThreadKey, Arc<Inside>>>>,
}

impl Locks {
    pub(super) fn entry(&self, key: &ThreadKey) -> Entry {
        let inside = Arc::clone(lock(&self.map).entry(key.clone()).or_default());
        Entry { key: key.clone(), inside: Some(inside), map: Arc::clone(&self.map) }
    }
}

impl Entry {
    pub(super) async fn lock(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.inside().lock).lock_owned().await
    }

    /// The next change after this call.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.inside().changed.notified()
    }

    pub(super) fn tell_changed(&self) {
        self.inside().changed.notify_waiters();
    }

    #[expect(clippy::expect_used, reason = "it is there until the entry is dropped")]
    fn inside(&self) -> &Inside {
        self.inside.as_ref().expect("the entry is not dropped")
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut map = lock(&self.map);
        // Under the lock, so that of two that are dropped at once the second sees that it is the last.
        drop(self.inside.take());
        if map.get(&self.key).is_some_and(|inside| Arc::strong_count(inside) == 1) {
            map.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PageId, UserId};

    #[tokio::test]
    async fn a_conversation_nobody_is_busy_with_costs_nothing() {
        let locks = Locks::default();
        let key = ThreadKey::new(PageId::from(1), UserId::from(2));
        let (first, second) = (locks.entry(&key), locks.entry(&key));
        let guard = first.lock().await;
        assert!(tokio::time::timeout(std::time::Duration::from_millis(5), second.lock()).await.is_err());
        drop(guard);
        let guard = second.lock().await;
        drop((first, guard));
        assert_eq!(lock(&locks.map).len(), 1);
        drop(second);
        assert_eq!(lock(&locks.map).len(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nothing_is_left_of_those_that_end_at_the_same_time() {
        let locks = Arc::new(Locks::default());
        let mut busy = tokio::task::JoinSet::new();
        for turn in 0..20_000_u64 {
            let locks = Arc::clone(&locks);
            busy.spawn(async move {
                let entry = locks.entry(&ThreadKey::new(PageId::from(1), UserId::from(turn / 4)));
                drop(entry.lock().await);
            });
        }
        while busy.join_next().await.is_some() {}
        assert_eq!(lock(&locks.map).len(), 0);
    }
}
