//! Two stores over the same data, used in turn as two processes would.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::id::ThreadKey;
use messenger_handover::store::{Loaded, StoreError, ThreadStore, Write, WriteOutcome};
use messenger_handover::time::Timestamp;

/// Calls one store and then the other.
#[derive(Debug)]
pub struct InTurn {
    stores: [Arc<dyn ThreadStore>; 2],
    turn: AtomicUsize,
}

impl InTurn {
    pub fn new(stores: [Arc<dyn ThreadStore>; 2]) -> Arc<Self> {
        Arc::new(Self { stores, turn: AtomicUsize::new(0) })
    }

    fn next(&self) -> &dyn ThreadStore {
        &*self.stores[self.turn.fetch_add(1, Ordering::SeqCst) % 2]
    }
}

#[async_trait]
impl ThreadStore for InTurn {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        self.next().load(keys).await
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        self.next().compare_and_swap(writes).await
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        self.next().due(now, lease, limit).await
    }

    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        self.next().needing_attention(after, limit).await
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        self.next().forget(keys).await
    }
}
