//! Dropped calls of clients and stores: each call is made once or not at all, and the client stays usable.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{Method, Request, Response};
use messenger_handover::call::{OutgoingMessage, SenderAction};
use messenger_handover::control::{CallError, HandoverClient};
use messenger_handover::engage::{Api, Domain};
use messenger_handover::graph::{GraphClient, Platform};
use messenger_handover::http::{Transport, TransportError};
use messenger_handover::id::{AppId, PageId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{MemoryStore, ThreadStore, Write};
use messenger_handover::thread::{Command, Config, Context, Input, Thread};
use messenger_handover::time::Timestamp;
use serde_json::{Map, json};

use super::{Drop, customer, poll_and_drop};
use crate::schedules::in_virtual_time;

/// A transport with latency in both directions that counts calls.
#[derive(Debug, Default)]
struct Line {
    sent: AtomicUsize,
    acted: AtomicUsize,
}

#[async_trait]
impl Transport for Line {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(3)).await;
        self.acted.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(3)).await;
        let tail = request.uri().path().rsplit('/').next().unwrap();
        let body = match tail {
            "messages" => json!({"recipient_id": "77", "message_id": "m1"}),
            "debug_token" => json!({"data": {"is_valid": true, "app_id": "1"}}),
            "identities" | "interventions" => json!({"count": 0, "offset": 0, "limit": 150, "records": []}),
            "me" | "i1" | "close" => json!({"id": "i1", "messaging_feature_status": {}}),
            _ if request.method() == Method::GET => json!({"data": []}),
            _ => json!({"success": true}),
        };
        Ok(Response::new(Bytes::from(body.to_string())))
    }
}

struct Clients {
    line: Arc<Line>,
    graph: GraphClient,
    api: Api,
}

impl Clients {
    fn new() -> Self {
        let line = Arc::<Line>::default();
        let transport = || Arc::clone(&line) as Arc<dyn Transport>;
        let graph = GraphClient::builder().page(page(), "t".into()).transport(transport()).build().unwrap();
        let url = "http://127.0.0.1/".parse().unwrap();
        let api = Domain::with_transport(&url, "t".into(), transport()).unwrap().into();
        Self { line, graph, api }
    }

    fn counts(&self) -> (usize, usize) {
        (self.line.sent.load(Ordering::SeqCst), self.line.acted.load(Ordering::SeqCst))
    }
}

fn page() -> PageId {
    customer().page
}

fn text() -> OutgoingMessage {
    OutgoingMessage::text("a").unwrap()
}

type Call = for<'a> fn(&'a Clients) -> Pin<Box<dyn Future<Output = Result<(), CallError>> + 'a>>;

macro_rules! calls {
    ($($source:literal { $($name:ident($clients:ident) $call:expr,)* })*) => {
        [$($(($source, stringify!($name), |$clients| Box::pin(async move { $call.await.map(drop) })),)*)*]
    };
}

const CALLS: [(&str, &str, Call); 21] = calls! {
    "src/control.rs" {
        pass_thread_control(c) c.graph.pass_thread_control(&customer(), Some(&1.into()), None),
        take_thread_control(c) c.graph.take_thread_control(&customer(), None),
        request_thread_control(c) c.graph.request_thread_control(&customer(), None),
        release_thread_control(c) c.graph.release_thread_control(&customer()),
        thread_owner(c) c.graph.thread_owner(&customer()),
        send_message(c) c.graph.send_message(&customer(), &text(), None),
        sender_action(c) c.graph.sender_action(&customer(), SenderAction::TypingOn),
    }
    "src/graph/client.rs" {
        platform_time(c) c.graph.platform_time(&page()),
    }
    "src/graph/page.rs" {
        extend_thread_control(c) c.graph.extend_thread_control(&customer(), Duration::from_hours(30)),
        secondary_receivers(c) c.graph.secondary_receivers(&page()),
        messaging_feature_status(c) c.graph.messaging_feature_status(&page()),
        subscribed_apps(c) c.graph.subscribed_apps(&page()),
        subscribe(c) c.graph.subscribe(&page(), &["messages"]),
        conversation(c) c.graph.conversation(&customer(), Platform::Messenger),
        debug_token(c) c.graph.debug_token(&page()),
        send_raw(c) c.graph.send_raw(&customer(), Map::new()),
    }
    "src/engage/api.rs" {
        identities(c) c.api.identities(&customer().user, None),
        identity(c) c.api.identity("i1"),
        intervention(c) c.api.intervention("i1"),
        open_interventions(c) c.api.open_interventions("i1"),
        close_intervention(c) c.api.close_intervention("i1"),
    }
};

const STORE: [&str; 8] =
    ["load", "compare_and_swap", "due", "next_due", "forget", "needing_attention", "open", "ping"];

/// The functions of a source file that have a case here.
pub fn names(source: &str) -> impl Iterator<Item = &'static str> {
    let store = if source == "src/store/mod.rs" { &STORE[..] } else { &[] };
    let calls: Vec<_> = CALLS.iter().filter(|(of, ..)| *of == source).map(|(_, name, _)| *name).collect();
    store.iter().copied().chain(calls)
}

#[test]
fn cancel_client_call_is_made_or_not_and_the_client_stays_usable() {
    for (_, name, call) in CALLS {
        in_virtual_time(1, async {
            let clients = Clients::new();
            let begun = tokio::time::Instant::now();
            let (polls, result) = poll_and_drop(call(&clients), Drop::Never).await;
            result.unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(clients.counts(), (1, 1), "{name}");
            let millis = u64::try_from(begun.elapsed().as_millis()).unwrap();
            assert!(polls > 2 && millis > 3, "{name}");
            for at in (0..polls).map(Drop::Polls).chain((0..millis).map(Drop::Millis)) {
                let clients = Clients::new();
                let (_, result) = poll_and_drop(call(&clients), at).await;
                assert!(result.is_none(), "{name} ended before {at:?}");
                // No background task continues the call.
                tokio::time::sleep(Duration::from_mins(5)).await;
                let (sent, acted) = clients.counts();
                assert!(sent <= 1 && acted <= sent, "{name}, dropped at {at:?}: {sent} {acted}");
                assert!(sent == 1 || matches!(at, Drop::Polls(0)), "{name}, dropped at {at:?}");
                call(&clients).await.unwrap();
                assert_eq!(clients.counts(), (sent + 1, acted + 1), "{name}, dropped at {at:?}");
            }
        });
    }
}

/// The in-memory store does all its work in the first poll, so a drop cannot interrupt it.
#[test]
fn cancel_memory_store_is_never_interrupted() {
    in_virtual_time(1, async {
        let (store, keys, now) = (MemoryStore::new(), [customer()], Timestamp::from_millis(9));
        let mut thread = Thread::new();
        let config = Config::new(AppId::from(1), Role::Desk, ThreadControlPolicy::BotPrimary);
        let _ =
            thread.step(&Context::new(&config), Input::Command(Command::OpenIntervention), now, &mut vec![]);
        let write = || vec![Write::new(customer(), 0, 1, thread.clone(), Some(now))];
        let once = Drop::Polls(1);
        // A future that was never polled has done nothing.
        assert!(
            poll_and_drop(store.compare_and_swap(write()), Drop::Polls(0)).await.1.is_none()
                && store.is_empty()
        );
        assert!(poll_and_drop(store.compare_and_swap(write()), once).await.1.is_some() && store.len() == 1);
        assert!(poll_and_drop(store.load(&keys), once).await.1.is_some());
        let lease = Duration::from_secs(1);
        assert_eq!(poll_and_drop(store.due(now, lease, 1), once).await.1.unwrap().unwrap(), keys);
        assert_eq!(poll_and_drop(store.next_due(now), once).await.1.unwrap().unwrap(), Some(now.plus(lease)));
        assert_eq!(poll_and_drop(store.needing_attention(None, 1), once).await.1.unwrap().unwrap(), keys);
        assert!(poll_and_drop(store.ping(), once).await.1.unwrap().is_ok());
        assert!(
            poll_and_drop(Box::pin(messenger_handover::store::open("memory:")), once)
                .await
                .1
                .unwrap()
                .is_ok()
        );
        assert!(poll_and_drop(store.forget(&keys), once).await.1.is_some() && store.is_empty());
    });
}
