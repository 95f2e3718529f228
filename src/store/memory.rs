//! The in-memory store.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use foldhash::HashMap;

use super::{Loaded, StoreError, ThreadStore, Write, WriteOutcome};
use crate::id::ThreadKey;
use crate::thread::Thread;
use crate::time::Timestamp;

/// Stores threads in memory: for tests, and for hosts that may lose all state at a restart.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    threads: HashMap<ThreadKey, Kept>,
    /// The wake time of each thread that has one.
    wakes: BTreeSet<(Timestamp, ThreadKey)>,
    need_attention: BTreeSet<ThreadKey>,
}

#[derive(Debug)]
struct Kept {
    version: u64,
    thread: Arc<Thread>,
    wake: Option<Timestamp>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of stored threads.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().threads.len()
    }

    /// Whether no thread is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // Each change is complete before anything can panic, so a poisoned lock guards a consistent state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn compare_and_swap(&mut self, write: Write) -> WriteOutcome {
        let needs_attention = write.needs_attention();
        let Write { key, expected, version, thread, wake } = write;
        if self.threads.get(&key).map_or(0, |kept| kept.version) != expected {
            return WriteOutcome::Conflict;
        }
        let Some(thread) = thread else {
            self.remove(&key);
            return WriteOutcome::Written;
        };
        if needs_attention {
            self.need_attention.insert(key.clone());
        } else {
            self.need_attention.remove(&key);
        }
        let before = self.threads.insert(key.clone(), Kept { version, thread, wake });
        self.move_wake(key, before.and_then(|kept| kept.wake), wake);
        WriteOutcome::Written
    }

    fn move_wake(&mut self, key: ThreadKey, from: Option<Timestamp>, to: Option<Timestamp>) {
        if from == to {
            return;
        }
        if let Some(from) = from {
            self.wakes.remove(&(from, key.clone()));
        }
        if let Some(to) = to {
            self.wakes.insert((to, key));
        }
    }

    fn remove(&mut self, key: &ThreadKey) {
        if let Some(kept) = self.threads.remove(key) {
            self.move_wake(key.clone(), kept.wake, None);
            self.need_attention.remove(key);
        }
    }

    /// Leases the threads whose wake time has come, the longest overdue first: their wake time becomes `until`.
    fn lease(&mut self, now: Timestamp, until: Timestamp, limit: usize) -> Vec<ThreadKey> {
        let due = self.wakes.iter().take_while(|(wake, _)| *wake <= now).take(limit);
        let due: Vec<_> = due.cloned().collect();
        for (wake, key) in &due {
            self.move_wake(key.clone(), Some(*wake), Some(until));
            if let Some(kept) = self.threads.get_mut(key) {
                kept.wake = Some(until);
            }
        }
        due.into_iter().map(|(_, key)| key).collect()
    }
}

#[async_trait]
impl ThreadStore for MemoryStore {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        let state = self.state();
        let loaded = |kept: &Kept| Loaded::new(kept.version, Ok(Arc::clone(&kept.thread)));
        Ok(keys.iter().map(|key| state.threads.get(key).map_or_else(Loaded::fresh, loaded)).collect())
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        let mut state = self.state();
        Ok(writes.into_iter().map(|write| state.compare_and_swap(write)).collect())
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        Ok(self.state().lease(now, now.plus(lease), limit))
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.state().wakes.iter().map(|(wake, _)| *wake).find(|wake| *wake > after))
    }

    /// Ordered by key.
    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state();
        Ok(state
            .need_attention
            .range::<ThreadKey, _>((from, Bound::Unbounded))
            .take(limit)
            .cloned()
            .collect())
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        let mut state = self.state();
        for key in keys {
            state.remove(key);
        }
        Ok(())
    }
}
