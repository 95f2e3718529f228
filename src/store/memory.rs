use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
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
    open: BTreeSet<ThreadKey>,
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
    fn swap(&mut self, swap: Swap) -> Swapped {
        let is_open = swap.is_open();
        let Swap { key, expected, version, thread, wake } = swap;
        if self.threads.get(&key).map_or(0, |kept| kept.version) != expected {
            return Swapped::Conflict;
        }
        let Some(thread) = thread else {
            self.remove(&key);
            return Swapped::Written;
        };
        match self.threads.get_mut(&key) {
            Some(kept) => (kept.version, kept.thread) = (version, thread),
            None => {
                self.threads.insert(key.clone(), Kept { version, thread, wake: None });
            }
        }
        self.set_wake(&key, wake);
        if is_open {
            self.open.insert(key);
        } else {
            self.open.remove(&key);
        }
        Swapped::Written
    }

    fn remove(&mut self, key: &ThreadKey) {
        self.set_wake(key, None);
        self.threads.remove(key);
        self.open.remove(key);
    }

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
            let kept = state.threads.get(key);
            kept.map_or_else(Loaded::fresh, |kept| Loaded::new(kept.version, Ok(kept.thread.clone())))
        };
        Ok(keys.iter().map(load).collect())
    }

    async fn swap(&self, swaps: Vec<Swap>) -> Result<Vec<Swapped>, StoreError> {
        let mut state = self.state();
        Ok(swaps.into_iter().map(|swap| state.swap(swap)).collect())
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

    async fn open(&self, after: Option<&ThreadKey>, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self.state().open.range((from, Bound::Unbounded)).take(limit).cloned().collect())
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        let mut state = self.state();
        for key in keys {
            state.remove(key);
        }
        Ok(())
    }
}
