use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use foldhash::HashMap;

use super::{Loaded, StoreError, Swap, Swapped, ThreadStore};
use crate::id::ThreadKey;
use crate::thread::Thread;
use crate::time::Timestamp;

/// Keeps threads in memory: for tests, and for hosts that may forget everything at a restart.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// Which part a thread is in is decided by a hash of its key.
    parts: [Mutex<State>; PARTS],
    hashes: foldhash::fast::FixedState,
}

/// So many, each with a lock of its own: the threads of a runtime are seldom in each other's way.
const PARTS: usize = 32;

#[derive(Debug, Default)]
struct State {
    threads: HashMap<ThreadKey, Kept>,
    /// When each thread that has a wake time is looked at: then, or before.
    looks: BTreeSet<(Timestamp, ThreadKey)>,
    open: BTreeSet<ThreadKey>,
}

#[derive(Debug)]
struct Kept {
    version: u64,
    thread: Arc<Thread>,
    wake: Option<Timestamp>,
    /// Its entry among the looks. It stays where the wake time is moved to later, as most are that come with a delivery:
    /// so that not each of them costs two changes of an ordered set.
    look: Option<Timestamp>,
    is_open: bool,
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
        self.parts.iter().map(|part| state(part).threads.len()).sum()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn place(&self, key: &ThreadKey) -> usize {
        usize::try_from(self.hashes.hash_one(key) % PARTS as u64).unwrap_or_default()
    }

    fn of(&self, key: &ThreadKey) -> MutexGuard<'_, State> {
        state(&self.parts[self.place(key)])
    }
}

// Each change is complete before anything can panic, so a poisoned lock guards a sound state.
fn state(part: &Mutex<State>) -> MutexGuard<'_, State> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn swap(&mut self, swap: Swap) -> Swapped {
        let is_open = swap.is_open();
        let Swap { key, expected, version, thread, wake } = swap;
        let kept = self.threads.get_mut(&key);
        if kept.as_ref().map_or(0, |kept| kept.version) != expected {
            return Swapped::Conflict;
        }
        let Some(thread) = thread else {
            self.remove(&key);
            return Swapped::Written;
        };
        let was_open = if let Some(kept) = kept {
            (kept.version, kept.thread) = (version, thread);
            std::mem::replace(&mut kept.is_open, is_open)
        } else {
            self.threads.insert(key.clone(), Kept { version, thread, wake: None, look: None, is_open });
            false
        };
        self.set_wake(&key, wake);
        match (was_open, is_open) {
            (false, true) => drop(self.open.insert(key)),
            (true, false) => drop(self.open.remove(&key)),
            _ => {}
        }
        Swapped::Written
    }

    fn remove(&mut self, key: &ThreadKey) {
        let Some(kept) = self.threads.remove(key) else { return };
        if let Some(look) = kept.look {
            self.looks.remove(&(look, key.clone()));
        }
        self.open.remove(key);
    }

    fn set_wake(&mut self, key: &ThreadKey, wake: Option<Timestamp>) {
        let Some(kept) = self.threads.get_mut(key) else { return };
        kept.wake = wake;
        let Some(wake) = wake else { return };
        match kept.look.replace(wake) {
            Some(look) if look <= wake => kept.look = Some(look),
            Some(later) => {
                self.looks.remove(&(later, key.clone()));
                self.looks.insert((wake, key.clone()));
            }
            None => drop(self.looks.insert((wake, key.clone()))),
        }
    }

    /// The threads whose wake time has come, the longest overdue first.
    fn due(&mut self, now: Timestamp, limit: usize) -> Vec<(Timestamp, ThreadKey)> {
        let is_early = |(look, key): &&(Timestamp, ThreadKey)| {
            self.threads.get(key).is_none_or(|kept| kept.wake != Some(*look))
        };
        let looked_at = self.looks.iter().take_while(|(look, _)| *look <= now);
        for (look, key) in looked_at.filter(is_early).cloned().collect::<Vec<_>>() {
            let Some(kept) = self.threads.get_mut(&key) else { continue };
            kept.look = None;
            let wake = kept.wake;
            self.looks.remove(&(look, key.clone()));
            self.set_wake(&key, wake);
        }
        self.looks.iter().take_while(|(wake, _)| *wake <= now).take(limit).cloned().collect()
    }

    /// Leases a thread that was due, unless it was written meanwhile.
    fn lease(&mut self, key: &ThreadKey, wake: Timestamp, until: Timestamp) -> bool {
        let is_due = self.threads.get(key).is_some_and(|kept| kept.wake == Some(wake));
        if is_due {
            self.set_wake(key, Some(until));
        }
        is_due
    }
}

#[async_trait]
impl ThreadStore for MemoryStore {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        let load = |key| {
            let state = self.of(key);
            let kept = state.threads.get(key);
            kept.map_or_else(Loaded::fresh, |kept| Loaded::new(kept.version, Ok(Arc::clone(&kept.thread))))
        };
        Ok(keys.iter().map(load).collect())
    }

    async fn swap(&self, swaps: Vec<Swap>) -> Result<Vec<Swapped>, StoreError> {
        let swap = |swap: Swap| self.of(&swap.key).swap(swap);
        Ok(swaps.into_iter().map(swap).collect())
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        let mut due: Vec<_> = self.parts.iter().flat_map(|part| state(part).due(now, limit)).collect();
        due.sort_unstable();
        due.truncate(limit);
        due.retain(|(wake, key)| self.of(key).lease(key, *wake, now.plus(lease)));
        Ok(due.into_iter().map(|(_, key)| key).collect())
    }

    /// Part by part, and in each by their keys.
    async fn open(&self, after: Option<&ThreadKey>, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        let (first, mut from) =
            after.map_or((0, Bound::Unbounded), |key| (self.place(key), Bound::Excluded(key.clone())));
        let mut open = Vec::new();
        for part in &self.parts[first..] {
            let state = state(part);
            let range = (std::mem::replace(&mut from, Bound::Unbounded), Bound::Unbounded);
            open.extend(state.open.range(range).take(limit - open.len()).cloned());
        }
        Ok(open)
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        for key in keys {
            self.of(key).remove(key);
        }
        Ok(())
    }

    fn is_in_memory(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PageId, UserId};

    #[test]
    fn a_thread_that_is_written_between_being_due_and_leased_keeps_its_new_wake_time() {
        let (key, at) = (ThreadKey::new(PageId::from(1), UserId::from(2)), Timestamp::from_millis);
        let mut state = State::default();
        let write = |state: &mut State, expected, wake| {
            let swap = Swap::write(key.clone(), expected, expected + 1, Thread::new(), Some(at(wake)));
            assert_eq!(state.swap(swap), Swapped::Written);
        };
        write(&mut state, 0, 10);
        let due = state.due(at(10), 5);
        assert_eq!(due, [(at(10), key.clone())]);
        write(&mut state, 1, 12);
        assert!(!state.lease(&key, at(10), at(40)));
        assert!(state.due(at(11), 5).is_empty());
        assert_eq!(state.due(at(12), 5), [(at(12), key.clone())]);
        assert!(state.lease(&key, at(12), at(40)));
        assert!(state.due(at(39), 5).is_empty());
        assert_eq!(state.due(at(40), 5), [(at(40), key)]);
    }
}
