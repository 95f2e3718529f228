//! The store of a host: in memory, behind a virtual latency, with its conflicts counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::id::ThreadKey;
use messenger_handover::store::{Loaded, MemoryStore, StoreError, ThreadStore, Write, WriteOutcome};
use messenger_handover::time::Timestamp;
use tokio::time::sleep;

#[derive(Debug, Default)]
pub struct Counts {
    pub loads: AtomicU64,
    pub writes: AtomicU64,
    pub conflicts: AtomicU64,
}

#[derive(Debug, Clone)]
pub struct Store {
    pub kept: Arc<MemoryStore>,
    pub counts: Arc<Counts>,
    pub latency: Duration,
}

fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(u64::try_from(number).unwrap_or_default(), Ordering::Relaxed);
}

impl Store {
    /// The way to the store and back. A store that answers at once needs no timer.
    async fn way(&self) {
        if !self.latency.is_zero() {
            sleep(self.latency).await;
        }
    }
}

#[async_trait]
impl ThreadStore for Store {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        add(&self.counts.loads, keys.len());
        let loaded = self.kept.load(keys).await;
        self.way().await;
        loaded
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        add(&self.counts.writes, writes.len());
        self.way().await;
        let outcomes = self.kept.compare_and_swap(writes).await?;
        add(
            &self.counts.conflicts,
            outcomes.iter().filter(|outcome| **outcome == WriteOutcome::Conflict).count(),
        );
        Ok(outcomes)
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        self.kept.due(now, lease, limit).await
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.kept.next_due(after).await
    }

    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        self.kept.needing_attention(after, limit).await
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        self.kept.forget(keys).await
    }
}
