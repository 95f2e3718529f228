use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use lru::LruCache;

use crate::id::ThreadKey;
use crate::store::Loaded;
use crate::thread::Thread;

/// What this process wrote last of some conversations, so that it need not be loaded and read again.
///
/// Another process may have written them since. A write on top of an old copy is refused by its version; whoever would
/// write nothing because of a copy has to ask the store.
#[derive(Debug)]
pub(super) struct Recent {
    most: usize,
    /// Nothing if none are kept.
    cache: Option<Mutex<LruCache<ThreadKey, Copied, RandomState>>>,
}

/// The version, and the thread as it was written.
type Copied = (u64, Arc<Thread>);

impl Recent {
    pub(super) fn new(most: usize) -> Self {
        let cache = (most > 0).then(|| Mutex::new(LruCache::unbounded_with_hasher(RandomState::default())));
        Self { most, cache }
    }

    /// The copies that there are of these conversations, if any are kept at all. They are not kept here any more
    /// until they are written again: after a write of which the end is not known, nothing old is left. Whoever takes them must
    /// hold the conversations.
    pub(super) fn take(&self, keys: &[ThreadKey]) -> Option<Vec<Option<Loaded>>> {
        let mut cache = self.cache.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = |(version, thread)| Loaded { is_copy: true, ..Loaded::new(version, Ok(thread)) };
        let take = |key| cache.pop(key).map(copy);
        Some(keys.iter().map(take).collect())
    }

    /// What has much waiting in it is not kept: it would be in memory that a store was chosen for.
    pub(super) fn keep(&self, key: &ThreadKey, version: u64, thread: Arc<Thread>) {
        let Some(cache) = self.cache.as_ref().filter(|_| thread.is_small()) else { return };
        let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.put(key.clone(), (version, thread));
        if cache.len() > self.most {
            cache.pop_lru();
        }
    }
}
