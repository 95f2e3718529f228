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
    inside: Arc<Inside>,
    map: Arc<Mutex<HashMap<ThreadKey, Arc<Inside>>>>,
}

impl Locks {
    pub(super) fn entry(&self, key: &ThreadKey) -> Entry {
        let inside = Arc::clone(lock(&self.map).entry(key.clone()).or_default());
        Entry { key: key.clone(), inside, map: Arc::clone(&self.map) }
    }
}

impl Entry {
    pub(super) async fn lock(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.inside.lock).lock_owned().await
    }

    /// The next change after this call.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.inside.changed.notified()
    }

    pub(super) fn tell_changed(&self) {
        self.inside.changed.notify_waiters();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut map = lock(&self.map);
        // Only the map and this entry still know it.
        if Arc::strong_count(&self.inside) == 2 {
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
}
