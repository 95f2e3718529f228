//! A host's own store that fails in the worst way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::call::{AnswerKey, OutgoingMessage};
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::Handover;
use messenger_handover::id::ThreadKey;
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{Loaded, MemoryStore, StoreError, Swap, Swapped, ThreadStore};
use messenger_handover::thread::Timeouts;
use messenger_handover::time::Timestamp;

use crate::world::{Ear, desk, thread};

#[derive(Debug, Default)]
struct PanicsOnce {
    inner: MemoryStore,
    panicked: AtomicBool,
}

#[async_trait]
impl ThreadStore for PanicsOnce {
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        self.inner.load(keys).await
    }

    async fn swap(&self, swaps: Vec<Swap>) -> Result<Vec<Swapped>, StoreError> {
        self.inner.swap(swaps).await
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        assert!(self.panicked.swap(true, Ordering::SeqCst), "the first time, on purpose");
        self.inner.due(now, lease, limit).await
    }

    async fn open(&self, after: Option<&ThreadKey>, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        self.inner.open(after, limit).await
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        self.inner.forget(keys).await
    }
}

/// What must be woken is woken all the same: an answer to nowhere is tried again until it is too old.
#[tokio::test]
async fn a_store_that_panics_does_not_end_the_waker() {
    let graph = GraphClient::builder().base_url("http://127.0.0.1:1".parse().unwrap());
    let graph = Arc::new(graph.page(thread().page, "token".into()).build().unwrap());
    let (ear, store) = (Ear::default(), Arc::new(PanicsOnce::default()));
    let mut timeouts = Timeouts::default();
    timeouts.answer_age = Duration::from_millis(1500);
    let handover = Handover::builder(desk(), Role::Desk, ThreadControlPolicy::EdPrimary, graph, ear.clone());
    let handover = handover.store(store.clone()).timeouts(timeouts).start().unwrap();
    let (key, message) = (AnswerKey::new("a").unwrap(), OutgoingMessage::text("a").unwrap());
    handover.send(&thread(), key, message).await.unwrap();
    for _ in 0..1000 {
        if !ear.all().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.panicked.load(Ordering::SeqCst));
    assert!(!ear.all().is_empty(), "nobody is told that the answer expired");
}
