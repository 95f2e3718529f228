use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Loaded, StoreError, Swap, Swapped, ThreadStore};
use crate::id::ThreadKey;
use crate::thread::Thread;
use crate::time::Timestamp;

/// Keeps threads in memory: for tests, and for hosts that may forget everything at a restart.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    threads: HashMap<ThreadKey, Kept>,
    wakes: BTreeSet<(Timestamp, ThreadKey)>,
}

#[derive(Debug)]
struct Kept {
    version: u64,
    thread: Thread,
    wake: Option<Timestamp>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many threads are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().threads.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // Each change is complete before anything can panic, so a poisoned lock guards a sound state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set_wake(&mut self, key: &ThreadKey, wake: Option<Timestamp>) {
        let Some(kept) = self.threads.get_mut(key) else { return };
        if let Some(old) = std::mem::replace(&mut kept.wake, wake) {
            self.wakes.remove(&(old, key.clone()));
        }
        if let Some(wake) = wake {
            self.wakes.insert((wake, key.clone()));
        }
    }
}

#[async_trait]
impl ThreadStore for MemoryStore {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        let state = self.state();
        let load = |key| {
            state.threads.get(key).map_or_else(
                || Loaded::new(0, Thread::new()),
                |kept| Loaded::new(kept.version, kept.thread.clone()),
            )
        };
        Ok(keys.iter().map(load).collect())
    }

    async fn swap(&self, swaps: Vec<Swap>) -> Result<Vec<Swapped>, StoreError> {
        let mut state = self.state();
        let mut swapped = Vec::with_capacity(swaps.len());
        for Swap { key, expected, thread, wake } in swaps {
            let kept = state.threads.get_mut(&key);
            if kept.as_ref().map_or(0, |kept| kept.version) != expected {
                swapped.push(Swapped::Conflict);
                continue;
            }
            let version = expected + 1;
            match kept {
                Some(kept) => (kept.version, kept.thread) = (version, thread),
                None => {
                    state.threads.insert(key.clone(), Kept { version, thread, wake: None });
                }
            }
            state.set_wake(&key, wake);
            swapped.push(Swapped::Written);
        }
        Ok(swapped)
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        let mut state = self.state();
        let due: Vec<_> =
            state.wakes.iter().take_while(|(wake, _)| *wake <= now).take(limit).cloned().collect();
        let keys: Vec<_> = due.into_iter().map(|(_, key)| key).collect();
        for key in &keys {
            state.set_wake(key, Some(now.plus(lease)));
        }
        Ok(keys)
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        let mut state = self.state();
        for key in keys {
            state.set_wake(key, None);
            state.threads.remove(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PageId, UserId};

    fn key(user: u64) -> ThreadKey {
        ThreadKey::new(PageId::from(1), UserId::from(user))
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[tokio::test]
    async fn only_the_expected_version_is_overwritten() {
        let store = MemoryStore::new();
        let write = |expected| vec![Swap::new(key(1), expected, Thread::new(), None)];
        assert_eq!(store.swap(write(0)).await.unwrap(), [Swapped::Written]);
        assert_eq!(store.swap(write(0)).await.unwrap(), [Swapped::Conflict]);
        assert_eq!(store.swap(write(1)).await.unwrap(), [Swapped::Written]);
        let loaded = store.load(&[key(2), key(1)]).await.unwrap();
        assert_eq!(loaded.iter().map(|loaded| loaded.version).collect::<Vec<_>>(), [0, 2]);
        store.forget(&[key(1), key(9)]).await.unwrap();
        assert!(store.is_empty());
    }

    #[tokio::test]
    async fn what_is_due_is_leased() {
        let store = MemoryStore::new();
        let swap = |user, wake| Swap::new(key(user), 0, Thread::new(), wake);
        let swaps = vec![swap(1, Some(at(20))), swap(2, Some(at(10))), swap(3, Some(at(99))), swap(4, None)];
        store.swap(swaps).await.unwrap();
        let lease = Duration::from_millis(30);
        assert_eq!(store.due(at(50), lease, 1).await.unwrap(), [key(2)]);
        assert_eq!(store.due(at(50), lease, 9).await.unwrap(), [key(1)]);
        assert_eq!(store.due(at(79), lease, 9).await.unwrap(), []);
        assert_eq!(store.due(at(80), lease, 9).await.unwrap(), [key(1), key(2)]);
    }
}
