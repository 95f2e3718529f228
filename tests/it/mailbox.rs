//! The task of a conversation in trouble: a store that hangs or has one connection, a runtime that ends, a deletion in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{Handler, HandlerError, Handover, HandoverError, Notification};
use messenger_handover::id::ThreadKey;
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{Loaded, MemoryStore, StoreError, ThreadStore, Write, WriteOutcome};
use messenger_handover::thread::Actions;
use messenger_handover::time::Timestamp;
use tokio::runtime;
use tokio::sync::Semaphore;

use crate::forwarding::{Forward, Forwarding};
use crate::store::{Moody, message, messages_told};
use crate::world::{Ear, desk, thread};

/// A desk that makes no call to Graph.
fn a_desk(store: impl ThreadStore, handler: impl Handler) -> Handover {
    let graph = GraphClient::builder().base_url("http://127.0.0.1:1".parse().unwrap());
    let graph = graph.page(thread().page, "token".into()).build().unwrap();
    let desk = Handover::builder(desk(), Role::Desk, ThreadControlPolicy::EdPrimary, graph, handler);
    desk.store(store).start().unwrap()
}

/// A store of which one call of one kind never ends.
#[derive(Debug)]
struct HangsOnce {
    inner: MemoryStore,
    call: &'static str,
    left: AtomicUsize,
    polls: AtomicUsize,
}

impl HangsOnce {
    async fn hang(&self, call: &str) {
        let left = |left: usize| left.checked_sub(1);
        if call == self.call && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Forward for HangsOnce {
    fn inner(&self) -> &dyn ThreadStore {
        &self.inner
    }

    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        self.hang("load").await;
        self.inner.load(keys).await
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        self.hang("compare_and_swap").await;
        self.inner.compare_and_swap(writes).await
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        self.hang("due").await;
        self.inner.due(now, lease, limit).await
    }

    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError> {
        self.hang("forget").await;
        self.inner.forget(keys).await
    }
}

#[tokio::test(start_paused = true)]
async fn mailbox_store_call_that_hangs_stops_nothing_for_good() {
    for call in ["load", "compare_and_swap", "due", "forget"] {
        let (ear, inner, left) = (Ear::default(), MemoryStore::new(), AtomicUsize::new(1));
        let store = Arc::new(Forwarding(HangsOnce { inner, call, left, polls: AtomicUsize::new(0) }));
        let desk = a_desk(Arc::clone(&store), ear.clone());
        if call == "forget" {
            assert!(matches!(desk.forget(&thread()).await, Err(HandoverError::Store(_))));
        }
        let mut refused = 0;
        while let Err(error) = desk.events(vec![message("m1")]).await {
            assert!(matches!(error, HandoverError::TooSlow | HandoverError::Store(_)), "{call}: {error:?}");
            refused += 1;
            assert!(refused < 20, "{call}: the conversation stopped");
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        assert!(desk.settled(Duration::from_mins(1)).await);
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(store.polls.load(Ordering::SeqCst) > 10, "{call}: due conversations are not woken");
        assert_eq!((messages_told(&ear), store.left.load(Ordering::SeqCst)), (1, 0), "{call}");
    }
}

/// An event behind a deletion belongs to the conversation that begins then.
#[tokio::test(start_paused = true)]
async fn mailbox_event_behind_a_deletion_is_saved() {
    let (store, ear) = (Arc::new(Moody::default()), Ear::default());
    let desk = a_desk(Arc::clone(&store), ear.clone());
    store.slow_ms.store(50, Ordering::SeqCst);
    let forget = thread();
    let results = tokio::join!(
        desk.events(vec![message("m1")]),
        desk.forget(&forget),
        desk.events(vec![message("m2")]),
        desk.forget(&forget),
        desk.events(vec![message("m3")]),
    );
    results.0.and(results.1).and(results.2).and(results.3).and(results.4).unwrap();
    assert!(desk.settled(Duration::from_secs(10)).await);
    // It still knows the last message, and none from before the deletion.
    desk.events(vec![message("m3")]).await.unwrap();
    assert!(desk.settled(Duration::from_secs(10)).await);
    assert_eq!(messages_told(&ear), 3);
    desk.events(vec![message("m1")]).await.unwrap();
    assert!(desk.settled(Duration::from_secs(10)).await);
    assert_eq!((messages_told(&ear), store.inner.len()), (4, 1));
}

/// A database with one connection, which the host's handler uses too.
#[derive(Debug)]
struct OneConnection {
    inner: MemoryStore,
    connection: Arc<Semaphore>,
}

#[async_trait]
impl Forward for OneConnection {
    fn inner(&self) -> &dyn ThreadStore {
        &self.inner
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        let _connection = self.connection.acquire().await.unwrap();
        self.inner.compare_and_swap(writes).await
    }
}

struct UsesConnection(Arc<Semaphore>, Ear);

#[async_trait]
impl Handler for UsesConnection {
    async fn notify(&self, handover: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
        let connection = self.0.acquire().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(connection);
        self.1.notify(handover, told).await
    }
}

#[tokio::test(start_paused = true)]
async fn mailbox_handler_and_store_may_share_one_connection() {
    let (connection, ear) = (Arc::new(Semaphore::new(1)), Ear::default());
    let store = OneConnection { inner: MemoryStore::new(), connection: Arc::clone(&connection) };
    let desk = a_desk(Forwarding(store), UsesConnection(connection, ear.clone()));
    for mid in ["m1", "m2", "m3"] {
        desk.events(vec![message(mid)]).await.unwrap();
    }
    assert!(desk.settled(Duration::from_secs(5)).await, "they wait for each other");
    assert_eq!(messages_told(&ear), 3);
}

/// A conversation whose task ended with its runtime is continued on another one.
#[test]
fn mailbox_of_a_task_that_ended_with_its_runtime_is_opened_again() {
    let (here, there) = (runtime::Runtime::new().unwrap(), runtime::Runtime::new().unwrap());
    let (store, ear) = (Arc::new(Moody::default()), Ear::default());
    let desk = here.block_on(async { a_desk(Arc::clone(&store), ear.clone()) });
    store.slow_ms.store(60_000, Ordering::SeqCst);
    let other = desk.clone();
    let first = there.spawn(async move { other.events(vec![message("m1")]).await });
    there.block_on(async { tokio::time::sleep(Duration::from_millis(50)).await });
    there.shutdown_timeout(Duration::from_secs(5));
    assert!(here.block_on(first).is_err_and(|error| error.is_cancelled()));
    store.slow_ms.store(0, Ordering::SeqCst);
    here.block_on(async {
        desk.events(vec![message("m1")]).await.unwrap();
        assert!(desk.settled(Duration::from_secs(5)).await);
    });
    assert_eq!(messages_told(&ear), 1);
}
