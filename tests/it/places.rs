//! The limit of concurrent calls: a waiting call is made once, other Pages are not blocked, and shutdown does not wait for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{Builder, Handover, Stopped};
use messenger_handover::http::{Transport, TransportError};
use messenger_handover::id::{PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{MemoryStore, ThreadStore};
use messenger_handover::thread::MessageStatus;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::world::{Ear, Virtual, bot};

const SLOW_PAGE: u64 = 10;
const QUICK_PAGE: u64 = 11;

/// A mock of Graph that is slow for one Page and counts calls.
#[derive(Debug, Clone)]
struct Graph {
    slow: Duration,
    at_once: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
    sent: Arc<Mutex<Vec<String>>>,
}

impl Graph {
    fn new(slow: Duration) -> Self {
        Self { slow, at_once: Arc::default(), peak: Arc::default(), sent: Arc::default() }
    }

    fn sent(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// Number of distinct messages that were sent.
    fn different(&self) -> usize {
        let mut sent = self.sent.lock().unwrap().clone();
        sent.sort_unstable();
        sent.dedup();
        sent.len()
    }
}

#[async_trait]
impl Transport for Graph {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        self.peak.fetch_max(self.at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let is_slow = request.uri().path().contains(&format!("/{SLOW_PAGE}/"));
        sleep(if is_slow { self.slow } else { Duration::from_millis(100) }).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let user = body["recipient"]["id"].as_str().unwrap().to_owned();
        self.sent.lock().unwrap().push(format!("{}{user}", request.uri()));
        Ok(Response::new(Bytes::from(json!({"recipient_id": user, "message_id": user}).to_string())))
    }
}

fn service(graph: &Graph, store: &Arc<MemoryStore>, begun: Instant) -> Builder {
    let client = GraphClient::builder().address_pages_by_id().transport(Arc::new(graph.clone()));
    let client = client.page(PageId::from(SLOW_PAGE), "token".into());
    let client = Arc::new(client.page(PageId::from(QUICK_PAGE), "token".into()).build().unwrap());
    let builder =
        Handover::builder(bot(), Role::Bot, ThreadControlPolicy::BotPrimary, client, Ear::default());
    builder.clock(Virtual(begun)).store(Arc::clone(store) as Arc<dyn ThreadStore>)
}

fn thread(page: u64, user: u64) -> ThreadKey {
    ThreadKey::new(PageId::from(page), UserId::from(1000 + user))
}

async fn send(handover: &Handover, page: u64, users: u64) {
    for user in 0..users {
        let key = MessageKey::new("a").unwrap();
        handover.send(&thread(page, user), key, OutgoingMessage::text("hello").unwrap()).await.unwrap();
    }
}

async fn all_are_delivered(handover: &Handover, page: u64, users: u64) {
    let begun = Instant::now();
    for user in 0..users {
        loop {
            match handover.message_status(&thread(page, user), &MessageKey::new("a").unwrap()).await.unwrap()
            {
                Some(MessageStatus::Sent { maybe_doubled: false, .. }) => break,
                Some(MessageStatus::Waiting) => {}
                other => panic!("{user}: {other:?}"),
            }
            assert!(begun.elapsed() < Duration::from_hours(3), "{user} never gets out");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Calls that wait much longer than a call's lease do not count as lost.
#[tokio::test(start_paused = true)]
async fn calls_that_wait_long_for_a_place_are_each_made_once() {
    let (graph, store, begun) = (Graph::new(Duration::from_secs(10)), Arc::default(), Instant::now());
    let handover = service(&graph, &store, begun).calls_at_once(8).start().unwrap();
    send(&handover, SLOW_PAGE, 200).await;
    all_are_delivered(&handover, SLOW_PAGE, 200).await;
    assert_eq!((graph.sent(), graph.different()), (200, 200));
    assert_eq!(graph.peak.load(Ordering::SeqCst), 4, "half of the places");
    // 200 messages, 4 at once, 10 s each: 500 s at least.
    let took = begun.elapsed();
    assert!(took < Duration::from_mins(10), "{took:?}, and no place may stay empty");
}

/// Calls beyond the limit of waiting calls are postponed and made later.
#[tokio::test(start_paused = true)]
async fn calls_that_find_no_room_to_wait_are_put_off() {
    let (graph, store, begun) = (Graph::new(Duration::from_secs(1)), Arc::default(), Instant::now());
    let builder = service(&graph, &store, begun).calls_at_once(20).events_at_once(30);
    let handover = builder.start().unwrap();
    send(&handover, SLOW_PAGE, 200).await;
    all_are_delivered(&handover, SLOW_PAGE, 200).await;
    assert_eq!((graph.sent(), graph.different()), (200, 200));
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_page_that_hangs_do_not_keep_another_page_waiting() {
    let (graph, store, begun) = (Graph::new(Duration::from_secs(10)), Arc::default(), Instant::now());
    let handover = service(&graph, &store, begun).calls_at_once(20).start().unwrap();
    send(&handover, SLOW_PAGE, 500).await;
    sleep(Duration::from_secs(1)).await;
    let asked = Instant::now();
    send(&handover, QUICK_PAGE, 50).await;
    all_are_delivered(&handover, QUICK_PAGE, 50).await;
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?} for 50 quick calls", asked.elapsed());
    assert_eq!(graph.sent(), 50, "all others still hang or wait");
    all_are_delivered(&handover, SLOW_PAGE, 500).await;
    assert_eq!((graph.sent(), graph.different()), (550, 550));
}

#[tokio::test(start_paused = true)]
async fn stop_does_not_wait_for_calls_without_a_place() {
    let (graph, store, begun) = (Graph::new(Duration::from_secs(2)), Arc::default(), Instant::now());
    let first = service(&graph, &store, begun).calls_at_once(10).start().unwrap();
    send(&first, SLOW_PAGE, 100).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(first.stop(Duration::from_secs(20)).await, Stopped::Finished);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(graph.sent(), 5, "those under way were finished");
    let second = service(&graph, &store, begun).start().unwrap();
    all_are_delivered(&second, SLOW_PAGE, 100).await;
    assert_eq!((graph.sent(), graph.different()), (100, 100));
}
