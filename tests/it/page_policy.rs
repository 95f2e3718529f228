//! One service for several Pages, each with its own policy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::event::{Channel, ControlChange, Event, EventKind};
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::Handover;
use messenger_handover::http::{Transport, TransportError};
use messenger_handover::id::{PageId, ThreadKey, UserId};
use messenger_handover::policy::Role;
use messenger_handover::policy::ThreadControlPolicy::{BotPrimary, EdPrimary};
use messenger_handover::time::Span;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::world::{Ear, Virtual, bot, desk};

/// A mock of Graph on which every call succeeds; records the calls per Page.
#[derive(Debug, Default)]
struct Graph(Mutex<BTreeMap<String, Vec<String>>>);

#[async_trait]
impl Transport for Graph {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let mut path = request.uri().path().rsplit('/');
        let (edge, page) = (path.next().unwrap(), path.next().unwrap());
        self.0.lock().unwrap().entry(page.to_owned()).or_default().push(edge.to_owned());
        let body = match edge {
            "messages" => json!({"recipient_id": "77", "message_id": "m"}),
            _ => json!({"success": true}),
        };
        Ok(Response::new(Bytes::from(body.to_string())))
    }
}

#[tokio::test(start_paused = true)]
async fn page_policy_is_that_of_the_conversations_page() {
    let graph = Arc::<Graph>::default();
    let client = GraphClient::builder().address_pages_by_id().transport(Arc::clone(&graph) as _);
    let client =
        [10, 11, 12].into_iter().fold(client, |client, page| client.page(PageId::from(page), "t".into()));
    let client = Arc::new(client.build().unwrap());
    let builder = Handover::builder(desk(), Role::Desk, BotPrimary, client, Ear::default());
    let builder = builder.page_policy(11.into(), EdPrimary).page_policy(12.into(), BotPrimary);
    let handover = builder.clock(Virtual(Instant::now())).start().unwrap();
    let key = |page: u64, user: u64| ThreadKey::new(PageId::from(page), UserId::from(user));
    let at = Span::from_platform(1_790_000_000_000);
    let change = || ControlChange::new(None, Some(bot()));
    let passed = || Event::new(Channel::Messaging, at, EventKind::PassThreadControl(change()));
    // Events of several Pages, mixed in one delivery.
    let keys = [key(10, 1), key(11, 1), key(10, 2), key(11, 2), key(12, 1)];
    handover.events(keys.iter().map(|key| (key.clone(), passed())).collect()).await.unwrap();
    for key in &keys {
        let message = OutgoingMessage::text("hello").unwrap();
        handover.send(key, MessageKey::new("a").unwrap(), message).await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    let calls = graph.0.lock().unwrap().clone();
    let (asks, takes) = ("request_thread_control", "take_thread_control");
    let mut of_11 = calls["11"].clone();
    of_11.sort_unstable();
    assert_eq!(calls["10"], [asks, asks]);
    assert_eq!(of_11, ["messages", "messages", takes, takes]);
    assert_eq!(calls["12"], [asks]);
}
