//! Copies of what this process wrote last, so that a conversation need not be loaded again.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use lru::LruCache;

use crate::id::ThreadKey;
use crate::store::Loaded;
use crate::thread::Thread;

/// The last conversations that were written here, with their versions.
///
/// Another replica may have written them since. A write over an old copy is refused by its version; before a step that would
/// write nothing is believed, the store is asked.
pub(super) struct Copies {
    most: usize,
    cache: Mutex<LruCache<ThreadKey, (u64, Arc<Thread>), RandomState>>,
}

impl Copies {
    pub(super) fn new(most: usize) -> Self {
        Self { most, cache: Mutex::new(LruCache::unbounded_with_hasher(RandomState::default())) }
    }

    /// Takes the copy of a conversation out, so that after a write of unknown outcome nothing old is left. Only the
    /// conversation's task may take it.
    pub(super) fn take(&self, key: &ThreadKey) -> Option<Loaded> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.pop(key).map(|(version, thread)| Loaded::new(version, Ok(thread)))
    }

    /// Keeps what was written, unless much waits in it: that would fill the memory that a store was chosen to spare.
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
