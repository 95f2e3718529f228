use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use foldhash::HashMap;

use super::{Loaded, StoreError, ThreadStore, Write, WriteOutcome};
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
    /// When each thread whose wake time is near is looked at: then, or before.
    looks: Looks,
    open: BTreeSet<ThreadKey>,
}

#[derive(Debug)]
struct Kept {
    version: u64,
    thread: Arc<Thread>,
    wake: Timestamp,
    /// Its entry among the looks. It stays where the wake time is moved to later, as most are that come with a delivery:
    /// so that not each of them costs two changes of an ordered set.
    look: Timestamp,
}

/// A wake time, or an entry among the looks, that is none.
const NEVER: Timestamp = Timestamp::from_millis(u64::MAX);

#[derive(Debug, Default)]
struct Looks {
    ordered: BTreeSet<(Timestamp, ThreadKey)>,
    /// What is due from then on has no entry: most threads are at rest, and due in days. They are gone through when it is
    /// time.
    near: Timestamp,
}

/// How far wake times are seen ahead.
const AHEAD: Duration = Duration::from_hours(1);

impl Looks {
    fn set(&mut self, key: &ThreadKey, kept: &mut Kept, wake: Timestamp) {
        kept.wake = wake;
        if wake < self.near && wake < kept.look {
            if kept.look != NEVER {
                self.ordered.remove(&(kept.look, key.clone()));
            }
            self.ordered.insert((wake, key.clone()));
            kept.look = wake;
        }
    }
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
    fn compare_and_swap(&mut self, write: Write) -> WriteOutcome {
        let is_open = write.needs_attention();
        let Write { key, expected, version, thread, wake } = write;
        let wake = wake.unwrap_or(NEVER);
        let was_open = match self.threads.entry(key.clone()) {
            Entry::Occupied(kept) if kept.get().version != expected => return WriteOutcome::Conflict,
            Entry::Vacant(_) if expected != 0 => return WriteOutcome::Conflict,
            Entry::Occupied(mut kept) => {
                let Some(thread) = thread else {
                    self.remove(&key);
                    return WriteOutcome::Written;
                };
                let kept = kept.get_mut();
                kept.version = version;
                self.looks.set(&key, kept, wake);
                std::mem::replace(&mut kept.thread, thread).needs_attention()
            }
            Entry::Vacant(place) => {
                let Some(thread) = thread else { return WriteOutcome::Written };
                let kept = place.insert(Kept { version, thread, wake: NEVER, look: NEVER });
                self.looks.set(&key, kept, wake);
                false
            }
        };
        match (was_open, is_open) {
            (false, true) => drop(self.open.insert(key)),
            (true, false) => drop(self.open.remove(&key)),
            _ => {}
        }
        WriteOutcome::Written
    }

    fn remove(&mut self, key: &ThreadKey) {
        let Some(kept) = self.threads.remove(key) else { return };
        if kept.look != NEVER {
            self.looks.ordered.remove(&(kept.look, key.clone()));
        }
        self.open.remove(key);
    }

    /// Entries that have come and are too early are moved to the wake times of their threads.
    fn move_early_looks(&mut self, now: Timestamp) {
        let Self { threads, looks, .. } = self;
        let is_early =
            |(look, key): &&(Timestamp, ThreadKey)| threads.get(key).is_none_or(|kept| kept.wake != *look);
        let looked_at = looks.ordered.iter().take_while(|(look, _)| *look <= now);
        for (look, key) in looked_at.filter(is_early).cloned().collect::<Vec<_>>() {
            let Some(kept) = threads.get_mut(&key) else { continue };
            kept.look = NEVER;
            looks.set(&key, kept, kept.wake);
            looks.ordered.remove(&(look, key));
        }
    }

    /// The threads whose wake time has come, the longest overdue first.
    fn due(&mut self, now: Timestamp, limit: usize) -> Vec<(Timestamp, ThreadKey)> {
        let Self { threads, looks, .. } = self;
        if now >= looks.near {
            looks.near = now.plus(AHEAD);
            for (key, kept) in threads.iter_mut() {
                looks.set(key, kept, kept.wake);
            }
        }
        self.move_early_looks(now);
        let Self { looks, .. } = self;
        looks.ordered.iter().take_while(|(wake, _)| *wake <= now).take(limit).cloned().collect()
    }

    /// The earliest wake time after this moment. Entries that are too early are passed over, as many as are quickly done: a
    /// time that is too early costs one more look.
    fn next_due(&mut self, after: Timestamp) -> Option<Timestamp> {
        const PASSED_OVER: usize = 64;
        self.move_early_looks(after);
        let mut later = self.looks.ordered.iter().skip_while(|(look, _)| *look <= after).take(PASSED_OVER);
        let is_wake = |look: &Timestamp, key| self.threads.get(key).is_some_and(|kept| kept.wake == *look);
        let mut last = None;
        later.find(|(look, key)| {
            last = Some(*look);
            is_wake(look, key)
        });
        last
    }

    /// Leases a thread that was due, unless it was written meanwhile.
    fn lease(&mut self, key: &ThreadKey, wake: Timestamp, until: Timestamp) -> bool {
        let due = self.threads.get_mut(key).filter(|kept| kept.wake == wake);
        let is_due = due.is_some();
        if let Some(kept) = due {
            self.looks.set(key, kept, until);
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

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        let write = |write: Write| self.of(&write.key).compare_and_swap(write);
        Ok(writes.into_iter().map(write).collect())
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        let mut due: Vec<_> = self.parts.iter().flat_map(|part| state(part).due(now, limit)).collect();
        due.sort_unstable();
        due.truncate(limit);
        due.retain(|(wake, key)| self.of(key).lease(key, *wake, now.plus(lease)));
        Ok(due.into_iter().map(|(_, key)| key).collect())
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.parts.iter().filter_map(|part| state(part).next_due(after)).min())
    }

    /// Part by part, and in each by their keys.
    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        let (first, mut from) =
            after.map_or((0, Bound::Unbounded), |key| (self.place(key), Bound::Excluded(key.clone())));
        let mut open = Vec::new();
        for part in &self.parts[first..] {
            let state = state(part);
            // What it is to be behind is in the first part only.
            let range = (std::mem::replace(&mut from, Bound::Unbounded), Bound::Unbounded);
            if state.open.is_empty() {
                continue;
            }
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
    use crate::id::{AppId, PageId, UserId};
    use crate::policy::{Role, ThreadControlPolicy};
    use crate::thread::{Command, Config, Context, Input};

    /// Whatever part each of them is in.
    #[tokio::test]
    async fn open_threads_are_listed_behind_one_that_is_gone() {
        let key = |user: u64| ThreadKey::new(PageId::from(1), UserId::from(user));
        let config = Config::new(AppId::from(2), Role::Desk, ThreadControlPolicy::EdPrimary);
        let mut thread = Thread::new();
        let open = Input::Command(Command::OpenIntervention);
        let _ = thread.step(&Context::new(&config), open, Timestamp::from_millis(1), &mut Vec::new());
        for users in 1..100 {
            let store = MemoryStore::new();
            let writes = [1, 1 + users].map(|user| Write::new(key(user), 0, 1, thread.clone(), None));
            store.compare_and_swap(writes.to_vec()).await.unwrap();
            let all = store.needing_attention(None, 9).await.unwrap();
            assert_eq!(all.len(), 2);
            store.forget(&all[..1]).await.unwrap();
            assert_eq!(store.needing_attention(Some(&all[0]), 9).await.unwrap(), all[1..]);
        }
    }

    #[test]
    fn a_thread_that_is_written_between_being_due_and_leased_keeps_its_new_wake_time() {
        let (key, at) = (ThreadKey::new(PageId::from(1), UserId::from(2)), Timestamp::from_millis);
        let mut state = State::default();
        let write = |state: &mut State, expected, wake| {
            let write = Write::new(key.clone(), expected, expected + 1, Thread::new(), Some(at(wake)));
            assert_eq!(state.compare_and_swap(write), WriteOutcome::Written);
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
