//! Overload: events beyond the limits are refused before they take memory, and are accepted once there is capacity.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method};
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{Handler, HandlerError, Handover, Notification};
use messenger_handover::id::ThreadKey;
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::secret::AppSecret;
use messenger_handover::store::{Loaded, MemoryStore, StoreError, ThreadStore};
use messenger_handover::thread::Actions;
use messenger_handover::webhook::{Endpoint, SIGNATURE_HEADER, Verifier, sign};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::forwarding::{Forward, Forwarding};
use crate::world::{BOT_SECRET, VERIFY_TOKEN, bot};

const AT_ONCE: usize = 50;
const CUSTOMERS: u64 = 300;

/// Blocks callers while it is closed.
#[derive(Debug, Clone)]
struct Gate(watch::Sender<bool>);

impl Gate {
    fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    async fn pass(&self) {
        self.0.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

/// A store that blocks, and counts its calls.
#[derive(Debug)]
struct Stuck {
    inner: MemoryStore,
    gate: Gate,
    asked: AtomicUsize,
}

#[async_trait]
impl Forward for Stuck {
    fn inner(&self) -> &dyn ThreadStore {
        &self.inner
    }

    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError> {
        self.asked.fetch_add(keys.len(), Ordering::SeqCst);
        self.gate.pass().await;
        self.inner.load(keys).await
    }
}

/// A handler that counts its notifications per conversation.
#[derive(Clone)]
struct Slow {
    gate: Gate,
    begun: Arc<AtomicUsize>,
    told: Arc<Mutex<BTreeMap<ThreadKey, usize>>>,
}

#[async_trait]
impl Handler for Slow {
    async fn notify(&self, _: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.gate.pass().await;
        *self.told.lock().unwrap().entry(told.thread.clone()).or_default() += 1;
        Ok(Actions::none())
    }
}

struct Host {
    server: Endpoint,
    store: Arc<Forwarding<Stuck>>,
    handler: Slow,
}

fn host(store_gate: Gate, handler_gate: Gate) -> Host {
    let store = Arc::new(Forwarding(Stuck {
        inner: MemoryStore::new(),
        gate: store_gate,
        asked: AtomicUsize::new(0),
    }));
    let handler = Slow { gate: handler_gate, begun: Arc::default(), told: Arc::default() };
    let graph = GraphClient::builder().base_url("http://127.0.0.1:9".parse().unwrap()).build().unwrap();
    let handover = Handover::builder(
        bot(),
        Role::Bot,
        ThreadControlPolicy::BotPrimary,
        Arc::new(graph),
        handler.clone(),
    );
    let handover = handover.store(Arc::clone(&store) as Arc<dyn ThreadStore>).events_at_once(AT_ONCE);
    let handover = handover.events_within(Duration::from_millis(200)).start().unwrap();
    let server = Endpoint::new(Verifier::new(BOT_SECRET.into()), VERIFY_TOKEN.into(), handover);
    Host { server, store, handler }
}

impl Host {
    /// Posts the one message of this customer, always the same.
    async fn deliver(&self, customer: u64) -> u16 {
        let body = json!({"object": "page", "entry": [{"id": "10", "time": 1, "messaging": [{
            "sender": {"id": customer.to_string()}, "recipient": {"id": "10"},
            "timestamp": 1_790_000_000_000_u64 + customer, "message": {"mid": format!("m{customer}"), "text": "hello"},
        }]}]})
        .to_string();
        let signature = sign(&AppSecret::new(BOT_SECRET), body.as_bytes());
        let headers = HeaderMap::from_iter([(
            SIGNATURE_HEADER.parse().unwrap(),
            HeaderValue::from_str(&signature).unwrap(),
        )]);
        self.server.handle(&Method::POST, None, &headers, body.as_bytes()).await.status().as_u16()
    }

    async fn deliver_all(&self) -> Vec<u16> {
        let mut answers = tokio::task::JoinSet::new();
        for customer in 0..CUSTOMERS {
            let host = Self {
                server: self.server.clone(),
                store: Arc::clone(&self.store),
                handler: self.handler.clone(),
            };
            answers.spawn(async move { host.deliver(customer).await });
        }
        answers.join_all().await
    }

    /// Redelivers refused deliveries until all are accepted, as the platform does.
    async fn deliver_until_all_is_accepted(&self) {
        let begun = Instant::now();
        while self.deliver_all().await.iter().any(|answer| *answer != 200) {
            assert!(begun.elapsed() < Duration::from_secs(20), "it never recovers");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        while self.handler.told.lock().unwrap().len() < usize::try_from(CUSTOMERS).unwrap() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it never tells all");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(self.handler.told.lock().unwrap().values().all(|times| *times == 1));
    }
}

fn count(answers: &[u16], status: u16) -> usize {
    answers.iter().filter(|answer| **answer == status).count()
}

#[tokio::test(start_paused = true)]
async fn overload_with_a_stuck_store_bounds_accepted_events() {
    let (gate, open) = (Gate::closed(), Gate::closed());
    open.0.send_replace(true);
    let host = host(gate.clone(), open);
    for _ in 0..3 {
        let answers = host.deliver_all().await;
        assert_eq!(count(&answers, 503), answers.len());
    }
    // Work that was begun continues; no work was begun for the refused deliveries.
    let asked = host.store.asked.load(Ordering::SeqCst);
    assert!((1..=AT_ONCE).contains(&asked), "{asked}");
    let begun = Instant::now();
    assert_eq!(host.deliver(7).await, 503);
    assert_eq!(begun.elapsed(), Duration::ZERO, "it is refused at once");
    gate.0.send_replace(true);
    host.deliver_until_all_is_accepted().await;
}

#[tokio::test(start_paused = true)]
async fn overload_with_a_stuck_handler_bounds_accepted_events() {
    let (gate, open) = (Gate::closed(), Gate::closed());
    open.0.send_replace(true);
    let host = host(open, gate.clone());
    let accepted = count(&host.deliver_all().await, 200);
    assert!((1..=AT_ONCE).contains(&accepted), "{accepted}");
    for _ in 0..3 {
        // Duplicates of accepted events may be acknowledged.
        let again = count(&host.deliver_all().await, 503);
        assert!(again >= usize::try_from(CUSTOMERS).unwrap() - AT_ONCE, "{again}");
    }
    let begun = host.handler.begun.load(Ordering::SeqCst);
    assert!((accepted..=AT_ONCE).contains(&begun), "{begun} of {accepted}");
    gate.0.send_replace(true);
    host.deliver_until_all_is_accepted().await;
}
