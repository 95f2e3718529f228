//! The cache of conversations that this process wrote last, which saves loading them.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use lru::LruCache;

use crate::id::ThreadKey;
use crate::store::Loaded;
use crate::thread::Thread;

/// An LRU cache of conversations with their versions.
///
/// An entry may be outdated, because another replica may have written the conversation since. The store then refuses the write
/// by its version; a step from the cache that would write nothing is repeated on a loaded conversation.
pub(super) struct Cache {
    most: usize,
    cache: Mutex<LruCache<ThreadKey, (u64, Arc<Thread>), RandomState>>,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self { most, cache: Mutex::new(LruCache::unbounded_with_hasher(RandomState::default())) }
    }

    /// Removes the entry, so that no outdated one is left after a write with an unknown outcome. Only the conversation's task
    /// may call this.
    pub(super) fn take(&self, key: &ThreadKey) -> Option<Loaded> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.pop(key).map(|(version, thread)| Loaded::new(version, Ok(thread)))
    }

    /// Stores an entry, unless its queues are long: a cache of those would need as much memory as a store in memory.
    pub(super) fn keep(&self, key: &ThreadKey, version: u64, thread: Arc<Thread>) {
        if self.most == 0 || !thread.is_small() {
            return;
        }
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.put(key.clone(), (version, thread));
        if cache.len() > self.most {
            cache.pop_lru();
        }
    }
}
