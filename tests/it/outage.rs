//! A platform outage while many conversations have messages waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::Handover;
use messenger_handover::id::{PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::thread::{MessageStatus, Timeouts};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::world::{Ear, PAGE, bot};

const CONVERSATIONS: u64 = 70;
/// The retry budget of a Page: this many retries at once, and this many per second.
const AT_ONCE: u64 = 50;
const A_SECOND: u64 = 5;

fn thread(index: u64) -> ThreadKey {
    ThreadKey::new(PageId::from(PAGE), UserId::from(1000 + index))
}

fn key() -> MessageKey {
    MessageKey::new("a").unwrap()
}

/// Backoff per thread is not enough with thousands of threads, so the Page has one retry budget. After the outage every
/// message is sent once.
#[tokio::test(flavor = "multi_thread")]
async fn outage_calls_are_bounded_and_no_message_is_lost() {
    let graph = MockServer::start().await;
    // A refusal that proves that nothing was sent; after any other failure no message would be sent again.
    let down = json!({"error": {"message": "(#4) Application request limit reached", "code": 4}});
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(400).set_body_json(down))
        .mount(&graph)
        .await;
    let client = GraphClient::builder().base_url(graph.uri().parse().unwrap());
    // Unpaced: the client's own pacing would stop at the first failure of this kind, but this test is about the service.
    let client = client.page(PageId::from(PAGE), "token".into()).unpaced();
    let client = Arc::new(client.build().unwrap());
    let mut timeouts = Timeouts::default();
    timeouts.backoff = Duration::from_millis(20);
    timeouts.backoff_max = Duration::from_millis(100);
    let handover =
        Handover::builder(bot(), Role::Bot, ThreadControlPolicy::BotPrimary, client, Ear::default());
    let handover = handover.timeouts(timeouts).start().unwrap();

    let begun = Instant::now();
    for index in 0..CONVERSATIONS {
        let message = OutgoingMessage::text("hello").unwrap();
        handover.send(&thread(index), key(), message).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let made = graph.received_requests().await.unwrap().len() as u64;
    let seconds = begun.elapsed().as_secs() + 1;
    assert!(made >= CONVERSATIONS + AT_ONCE, "{made}: it does try again");
    // Without a budget there would be about 20 calls per conversation.
    assert!(made <= CONVERSATIONS + AT_ONCE + A_SECOND * seconds, "{made} calls in {seconds} s");

    graph.reset().await;
    Mock::given(method("POST"))
        .and(path("/v27.0/me/messages"))
        .respond_with(|request: &Request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let user = &body["recipient"]["id"];
            ResponseTemplate::new(200).set_body_json(json!({"recipient_id": user, "message_id": user}))
        })
        .mount(&graph)
        .await;
    let begun = Instant::now();
    for index in 0..CONVERSATIONS {
        loop {
            match handover.message_status(&thread(index), &key()).await.unwrap() {
                Some(MessageStatus::Sent { .. }) => break,
                Some(MessageStatus::Waiting) => {}
                other => panic!("{index}: {other:?}"),
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "{index} never gets out");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let mut times = BTreeMap::<String, u64>::new();
    for request in graph.received_requests().await.unwrap() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        *times.entry(body["recipient"]["id"].to_string()).or_default() += 1;
    }
    assert_eq!(times.len() as u64, CONVERSATIONS);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}
