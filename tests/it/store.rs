//! Stores that fail in the worst ways, and a service's shutdown and deletion of threads.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::call::{Advice, MessageKey, OutgoingMessage};
use messenger_handover::event::Event;
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{Accepted, Builder, Handler, Handover, HandoverError, Stopped};
use messenger_handover::id::ThreadKey;
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{
    Loaded, MemoryStore, RecordError, StoreError, ThreadStore, Write, WriteOutcome,
};
use messenger_handover::thread::{MessageStatus, Notice, Timeouts};
use messenger_handover::time::Timestamp;
use messenger_handover::webhook::{Item, dangerous_parse_unverified};
use serde_json::json;
use wiremock::matchers::path_regex;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::forwarding::{Forward, Forwarding};
use crate::world::{Ear, desk, thread};

#[derive(Debug, Default)]
struct PanicsOnce {
    inner: MemoryStore,
    panicked: AtomicBool,
    panicked_at_next_due: AtomicBool,
}

#[async_trait]
impl Forward for PanicsOnce {
    fn inner(&self) -> &dyn ThreadStore {
        &self.inner
    }

    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError> {
        assert!(self.panicked.swap(true, Ordering::SeqCst), "the first time, on purpose");
        self.inner.due(now, lease, limit).await
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        assert!(self.panicked_at_next_due.swap(true, Ordering::SeqCst), "the first time, on purpose");
        self.inner.next_due(after).await
    }
}

/// Due threads are still woken: a message that cannot be sent is retried until it expires.
#[tokio::test]
async fn store_that_panics_does_not_end_the_waker() {
    let graph = GraphClient::builder().base_url("http://127.0.0.1:1".parse().unwrap());
    let graph = Arc::new(graph.page(thread().page, "token".into()).build().unwrap());
    let (ear, store) = (Ear::default(), Arc::new(Forwarding(PanicsOnce::default())));
    let mut timeouts = Timeouts::default();
    timeouts.message_age = Duration::from_millis(1500);
    let handover = Handover::builder(desk(), Role::Desk, ThreadControlPolicy::EdPrimary, graph, ear.clone());
    let handover = handover.store(store.clone()).timeouts(timeouts).start().unwrap();
    let (key, message) = (MessageKey::new("a").unwrap(), OutgoingMessage::text("a").unwrap());
    handover.send(&thread(), key, message).await.unwrap();
    for _ in 0..1000 {
        if !ear.all().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.panicked.load(Ordering::SeqCst) && store.panicked_at_next_due.load(Ordering::SeqCst));
    assert!(!ear.all().is_empty(), "nobody is told that the answer expired");
}

/// A store with faults that a test switches on.
#[derive(Debug, Default)]
pub struct Moods {
    pub inner: MemoryStore,
    /// Number of writes that succeed but return an error.
    pub hides: AtomicUsize,
    /// Number of writes that fail.
    pub refuses: AtomicUsize,
    /// Duration of a write in milliseconds.
    pub slow_ms: AtomicU64,
    /// Duration of a ping in milliseconds.
    pub pings_ms: AtomicU64,
    /// The thread whose record cannot be read, and the error.
    unreadable: Mutex<Option<(ThreadKey, RecordError)>>,
    loads: AtomicUsize,
    /// Number of conversations that were written.
    pub writes: AtomicUsize,
}

pub type Moody = Forwarding<Moods>;

#[async_trait]
impl Forward for Moods {
    fn inner(&self) -> &dyn ThreadStore {
        &self.inner
    }

    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let mut loaded = self.inner.load(keys).await?;
        for (key, loaded) in keys.iter().zip(&mut loaded) {
            if let Some((_, error)) =
                self.unreadable.lock().unwrap().as_ref().filter(|(unreadable, _)| unreadable == key)
            {
                loaded.thread = Err(error.clone());
            }
        }
        Ok(loaded)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        tokio::time::sleep(Duration::from_millis(self.pings_ms.load(Ordering::SeqCst))).await;
        self.inner.ping().await
    }

    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
        tokio::time::sleep(Duration::from_millis(self.slow_ms.load(Ordering::SeqCst))).await;
        let left = |left: usize| left.checked_sub(1);
        if self.refuses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
            return Err(StoreError::new("not written"));
        }
        self.writes.fetch_add(writes.len(), Ordering::SeqCst);
        let swapped = self.inner.compare_and_swap(writes).await?;
        let hides = self.hides.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left);
        if hides.is_ok() { Err(StoreError::new("written, and not said")) } else { Ok(swapped) }
    }
}

/// A desk that is the primary receiver of its Page, with a mock of Graph that responds after `call_ms`.
async fn a_desk(store: Arc<Moody>, call_ms: u64) -> (MockServer, Ear, Handover) {
    a_desk_with(store, call_ms, |desk| desk).await
}

async fn a_desk_with(
    store: Arc<Moody>,
    call_ms: u64,
    with: impl FnOnce(Builder) -> Builder,
) -> (MockServer, Ear, Handover) {
    let (graph, ear) = (a_graph(call_ms).await, Ear::default());
    let desk =
        desk_at(&graph, store, ear.clone(), |desk| with(desk.events_within(Duration::from_millis(300))));
    (graph, ear, desk)
}

pub async fn a_graph(call_ms: u64) -> MockServer {
    let graph = MockServer::start().await;
    let sent = json!({"recipient_id": "1", "message_id": "m1"});
    let answer = ResponseTemplate::new(200).set_body_json(sent).set_delay(Duration::from_millis(call_ms));
    Mock::given(path_regex("/messages$")).respond_with(answer).mount(&graph).await;
    let done = ResponseTemplate::new(200).set_body_json(json!({"success": true}));
    Mock::given(path_regex("_thread_control$")).respond_with(done).mount(&graph).await;
    graph
}

pub fn desk_at(
    graph: &MockServer,
    store: Arc<Moody>,
    handler: impl Handler,
    with: impl FnOnce(Builder) -> Builder,
) -> Handover {
    let client = GraphClient::builder().base_url(graph.uri().parse().unwrap());
    let client = Arc::new(client.page(thread().page, "token".into()).build().unwrap());
    let desk = Handover::builder(desk(), Role::Desk, ThreadControlPolicy::EdPrimary, client, handler);
    with(desk.store(store)).start().unwrap()
}

fn key(name: &str) -> MessageKey {
    MessageKey::new(name).unwrap()
}

fn text(name: &str) -> OutgoingMessage {
    OutgoingMessage::text(name).unwrap()
}

/// A customer's message to the thread's owner.
pub fn message(mid: &str) -> (ThreadKey, Event) {
    let body = json!({"object": "page", "entry": [{"id": thread().page, "time": 1, "messaging": [{
        "sender": {"id": thread().user}, "recipient": {"id": thread().page}, "timestamp": 1_790_000_000_500_u64,
        "message": {"mid": mid, "text": "hello"}}]}]});
    let parsed = dangerous_parse_unverified(body.to_string().as_bytes()).unwrap();
    match parsed.items.into_iter().next() {
        Some(Item::Event { thread, event }) => (thread, event),
        other => panic!("{other:?}"),
    }
}

async fn messages(graph: &MockServer) -> usize {
    let requests = graph.received_requests().await.unwrap();
    requests.iter().filter(|request| request.url.path().ends_with("/messages")).count()
}

async fn delivered(desk: &Handover, name: &str) {
    for _ in 0..500 {
        if matches!(
            desk.message_status(&thread(), &key(name)).await.unwrap(),
            Some(MessageStatus::Sent { .. })
        ) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{name} was not delivered");
}

/// The write is recognized by its version: the service waits for no lease and repeats nothing.
#[tokio::test]
async fn store_write_that_returned_an_error_is_recognised() {
    let store = Arc::new(Moody::default());
    store.hides.store(2, Ordering::SeqCst);
    let (graph, _, desk) = a_desk(Arc::clone(&store), 0).await;
    assert_eq!(desk.send(&thread(), key("a"), text("a")).await.unwrap(), Accepted::New);
    delivered(&desk, "a").await;
    assert_eq!((messages(&graph).await, store.hides.load(Ordering::SeqCst)), (1, 0));
    assert!(matches!(desk.send(&thread(), key("a"), text("a")).await.unwrap(), Accepted::Duplicate(_)));
}

/// The delivery is refused before the platform's own timeout; the work continues, and its redelivery is a duplicate.
#[tokio::test]
async fn store_that_is_too_slow_refuses_deliveries() {
    let store = Arc::new(Moody::default());
    store.slow_ms.store(1500, Ordering::SeqCst);
    let (_graph, ear, desk) = a_desk(Arc::clone(&store), 0).await;
    let refused = desk.events(vec![message("m1")]).await.unwrap_err();
    assert!(matches!(refused, HandoverError::TooSlow) && refused.advice() == Advice::RetryLater);
    store.slow_ms.store(0, Ordering::SeqCst);
    // The work still holds the conversation's lock.
    desk.events(vec![message("m1")]).await.unwrap_err();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if desk.events(vec![message("m1")]).await.is_ok() {
            break;
        }
    }
    let told = ear.all().into_iter().filter(|notice| matches!(notice, Notice::Message { .. })).count();
    assert_eq!(told, 1);
}

/// The call's lease may expire before the call is made, and another replica could make it: it is stored again first.
#[tokio::test]
async fn store_write_that_is_too_slow_delays_the_call() {
    let store = Arc::new(Moody::default());
    let mut timeouts = Timeouts::default();
    timeouts.call_lease = Duration::from_millis(400);
    let (graph, _, desk) = a_desk_with(Arc::clone(&store), 0, |desk| desk.timeouts(timeouts)).await;
    store.slow_ms.store(300, Ordering::SeqCst);
    desk.send(&thread(), key("a"), text("a")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(messages(&graph).await, 0);
    store.slow_ms.store(0, Ordering::SeqCst);
    delivered(&desk, "a").await;
    assert_eq!(messages(&graph).await, 1);
}

/// The service deletes a thread in which nothing happens any more.
#[tokio::test]
async fn store_deletes_a_thread_at_rest_after_retention() {
    let store = Arc::new(Moody::default());
    let mut timeouts = Timeouts::default();
    (timeouts.retention, timeouts.redelivery) = (Duration::from_millis(500), Duration::from_millis(500));
    let (_graph, ear, desk) = a_desk_with(Arc::clone(&store), 0, |desk| desk.timeouts(timeouts)).await;
    desk.events(vec![message("m1")]).await.unwrap();
    assert_eq!(store.inner.len(), 1);
    for _ in 0..100 {
        if store.inner.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(store.inner.is_empty());
    assert_eq!(ear.all().len(), 1, "it is told, and told once");
}

/// A record that cannot be read blocks no other conversation and is not modified. Its events are redelivered only if
/// another process might read the record; with a damaged record, redelivery would make the platform stop all deliveries.
#[tokio::test]
async fn store_record_that_cannot_be_read_stops_only_its_own_conversation() {
    let key = ThreadKey::new(thread().page, 666.into());
    for (why, again) in [(RecordError::Newer(2), true), (RecordError::Damaged("no head".into()), false)] {
        let unreadable = Mutex::new(Some((key.clone(), why)));
        let store = Arc::new(Forwarding(Moods { unreadable, ..Moods::default() }));
        let (_graph, ear, desk) = a_desk(Arc::clone(&store), 0).await;
        let (_, event) = message("m1");
        let events = vec![(key.clone(), event.clone()), (thread(), event)];
        let begun = std::time::Instant::now();
        match desk.events(events).await {
            Err(refused) if again => {
                assert!(matches!(refused, HandoverError::Record(RecordError::Newer(2))), "{refused:?}");
                assert_eq!(refused.advice(), Advice::RetryLater);
            }
            ended => assert!(ended.is_ok() && !again, "{ended:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "it is not tried for long");
        assert_eq!(desk.stats().damaged_records, u64::from(!again));
        assert!(desk.thread(&key).await.is_err() && desk.thread(&thread()).await.is_ok());
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(ear.all().len(), 1, "{:?}", ear.all());
        assert_eq!(store.inner.len(), 1);
        let refused = desk.close_intervention(&key).await.unwrap_err();
        let advice = if again { Advice::RetryLater } else { Advice::GiveUp };
        assert_eq!(refused.advice(), advice, "{refused:?}");
    }
}

/// If the record is damaged meanwhile, saving a call's outcome is not retried for minutes.
#[tokio::test]
async fn store_outcome_that_can_never_be_saved_is_not_retried_for_long() {
    let store = Arc::new(Moody::default());
    let (graph, _, desk) = a_desk_with(Arc::clone(&store), 300, |desk| desk.cache_size(0)).await;
    desk.send(&thread(), key("a"), text("a")).await.unwrap();
    while graph.received_requests().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    *store.unreadable.lock().unwrap() = Some((thread(), RecordError::Damaged("no head".into())));
    assert_eq!(desk.stop(Duration::from_secs(5)).await, Stopped::Finished);
    assert!(desk.stats().damaged_records > 0);
}

/// Shutdown completes and saves the call under way; it starts no waiting work, which another process continues at once.
#[tokio::test]
async fn store_stop_leaves_waiting_work_to_the_next_process() {
    let store = Arc::new(Moody::default());
    let (graph, _, first) = a_desk(Arc::clone(&store), 300).await;
    first.send(&thread(), key("a"), text("a")).await.unwrap();
    first.send(&thread(), key("b"), text("b")).await.unwrap();
    while messages(&graph).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(first.stop(Duration::from_millis(1)).await, Stopped::Unfinished(1..)));
    assert_eq!(first.stop(Duration::from_secs(10)).await, Stopped::Finished);
    assert_eq!(messages(&graph).await, 1);
    for refused in [
        first.send(&thread(), key("c"), text("c")).await.unwrap_err(),
        first.events(vec![message("m1")]).await.unwrap_err(),
        first.forget(&thread()).await.unwrap_err(),
    ] {
        assert!(matches!(refused, HandoverError::ShuttingDown) && refused.advice() == Advice::RetryLater);
    }
    assert_eq!(first.threads_needing_attention(None, 9).await.unwrap(), [thread()]);
    let status = async |name| first.message_status(&thread(), &key(name)).await.unwrap();
    assert!(matches!(status("a").await, Some(MessageStatus::Sent { .. })));
    assert_eq!(status("b").await, Some(MessageStatus::Waiting));

    let begun = std::time::Instant::now();
    let (other, ear, second) = a_desk(store, 0).await;
    delivered(&second, "b").await;
    assert!(begun.elapsed() < Duration::from_secs(5), "it waited for a lease");
    assert_eq!((messages(&graph).await, messages(&other).await), (1, 1));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ends = ear.all().into_iter().filter(|notice| matches!(notice, Notice::MessageSent { .. })).count();
    assert_eq!(ends, 2, "the next one tells what the first has not");
    assert_eq!(second.threads_needing_attention(None, 9).await.unwrap(), []);
}

/// A deleted thread stays deleted, and pending work reaches nobody.
#[tokio::test]
async fn store_forgets_a_conversation_on_request() {
    let store = Arc::new(Moody::default());
    let (graph, ear, desk) = a_desk(Arc::clone(&store), 200).await;
    desk.send(&thread(), key("a"), text("a")).await.unwrap();
    while messages(&graph).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    desk.forget(&thread()).await.unwrap();
    assert!(store.inner.is_empty());
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(store.inner.is_empty(), "the late answer to a call brought it back");
    assert_eq!(desk.message_status(&thread(), &key("a")).await.unwrap(), None);
    assert!(!ear.all().iter().any(|notice| matches!(notice, Notice::MessageSent { .. })));
}

/// Delivers a message and waits until the handler was notified of it.
async fn told(desk: &Handover, mid: &str) {
    desk.events(vec![message(mid)]).await.unwrap();
    assert!(desk.settled(Duration::from_secs(5)).await);
}

pub fn messages_told(ear: &Ear) -> usize {
    ear.all().iter().filter(|notice| matches!(notice, Notice::Message { .. })).count()
}

/// The service caches the threads that it wrote. It loads again only for an event that would change nothing, and after
/// a write with an unknown outcome.
#[tokio::test]
async fn store_is_not_read_again_after_a_recent_write() {
    let store = Arc::new(Moody::default());
    let (_graph, ear, desk) = a_desk(Arc::clone(&store), 0).await;
    let loads = || store.loads.swap(0, Ordering::SeqCst);
    for mid in ["m1", "m2", "m3"] {
        told(&desk, mid).await;
    }
    assert_eq!((messages_told(&ear), loads()), (3, 1));
    told(&desk, "m3").await;
    assert_eq!((messages_told(&ear), loads()), (3, 1));
    store.hides.store(1, Ordering::SeqCst);
    told(&desk, "m4").await;
    assert_eq!((messages_told(&ear), store.hides.load(Ordering::SeqCst)), (4, 0));
    assert!(loads() > 0);
}

/// A cached thread that another process has changed is never used for a decision.
#[tokio::test]
async fn store_write_of_another_process_outdates_the_cache() {
    let store = Arc::new(Moody::default());
    let (_, first_ear, first) = a_desk(Arc::clone(&store), 0).await;
    let (_, second_ear, second) = a_desk(Arc::clone(&store), 0).await;
    let count = || (messages_told(&first_ear), messages_told(&second_ear));
    told(&first, "m1").await;
    told(&second, "m1").await;
    assert_eq!(count(), (1, 0));
    told(&second, "m2").await;
    told(&first, "m2").await;
    told(&first, "m3").await;
    assert_eq!(count(), (2, 1));
    // Only the first process has it, in its cache.
    second.forget(&thread()).await.unwrap();
    told(&first, "m3").await;
    assert_eq!((count(), store.inner.len()), ((3, 1), 1));
}
