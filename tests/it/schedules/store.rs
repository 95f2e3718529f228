//! A host's store, which survives its processes, and is unavailable, slow, or fails after a write.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::id::ThreadKey;
use messenger_handover::store::{Loaded, MemoryStore, StoreError, ThreadStore, Write, WriteOutcome};
use messenger_handover::time::Timestamp;

use super::ground::Ground;
use super::host::{Book, Life};

#[derive(Debug)]
pub struct Store {
    pub ground: Arc<Ground>,
    pub book: Arc<Book>,
    pub kept: Arc<MemoryStore>,
    pub life: Life,
}

impl Store {
    async fn reached(&self) -> Result<(), StoreError> {
        self.life.goes_on().await;
        let ms = if self.ground.unlucky(0.1) { self.ground.rng().u64(100..8_000) } else { 1 };
        tokio::time::sleep(Duration::from_millis(ms)).await;
        self.life.goes_on().await;
        self.may_fail("before")
    }

    fn may_fail(&self, when: &str) -> Result<(), StoreError> {
        if self.ground.unlucky(0.2) { Err(StoreError::new(format!("failed {when}"))) } else { Ok(()) }
    }

    async fn answers<T>(&self, answer: T) -> Result<T, StoreError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.life.goes_on().await;
        self.may_fail("after").map(|()| answer)
    }
}

#[async_trait]
impl ThreadStore for Store {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        self.reached().await?;
        let loaded = self.kept.load(keys).await?;
        self.answers(loaded).await
    }

    async fn compare_and_swap(&self, mut writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        self.reached().await?;
        // A batch may be interrupted in the middle.
        let cut = self.ground.unlucky(0.1) && writes.len() > 1;
        if cut {
            let left = self.ground.rng().usize(..writes.len());
            writes.truncate(left);
        }
        let written: Vec<_> = writes.iter().map(|write| (write.key.clone(), write.thread.clone())).collect();
        let swapped = self.kept.compare_and_swap(writes).await?;
        for ((key, thread), swapped) in written.iter().zip(&swapped) {
            if let (WriteOutcome::Written, Some(thread)) = (swapped, thread) {
                self.book.saved(key, thread);
            }
        }
        if cut {
            return Err(StoreError::new("cut off"));
        }
        self.answers(swapped).await
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        self.reached().await?;
        let due = self.kept.due(now, lease, limit).await?;
        self.answers(due).await
    }

    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        self.reached().await?;
        let open = self.kept.needing_attention(after, limit).await?;
        self.answers(open).await
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        self.reached().await?;
        self.kept.forget(keys).await?;
        self.answers(()).await
    }
}
