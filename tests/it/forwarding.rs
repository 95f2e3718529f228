//! A store around another one, for tests that change or count a few of its calls.

use std::fmt::Debug;
use std::ops::Deref;
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::id::ThreadKey;
use messenger_handover::store::{Loaded, StoreError, ThreadStore, Write, WriteOutcome};
use messenger_handover::time::Timestamp;

/// The calls of a [`Forwarding`] store. Each goes to the inner store unless it is overridden.
#[async_trait]
pub trait Forward: Debug + Send + Sync + 'static {
    fn inner(&self) -> &dyn ThreadStore;

    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        self.inner().load(keys).await
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        self.inner().compare_and_swap(writes).await
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        self.inner().due(now, lease, limit).await
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        self.inner().forget(keys).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner().ping().await
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.inner().next_due(after).await
    }
}

/// A [`ThreadStore`] that makes the calls of `F`.
#[derive(Debug, Default)]
pub struct Forwarding<F>(pub F);

impl<F> Deref for Forwarding<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.0
    }
}

#[async_trait]
impl<F: Forward> ThreadStore for Forwarding<F> {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        self.0.load(keys).await
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        self.0.compare_and_swap(writes).await
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        self.0.due(now, lease, limit).await
    }

    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError> {
        self.0.inner().needing_attention(after, limit).await
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        self.0.forget(keys).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.0.next_due(after).await
    }
}
