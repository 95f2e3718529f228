//! A Page that the platform restricts while forty messages wait, in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::Handover;
use messenger_handover::http::{Transport, TransportError};
use messenger_handover::id::{PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::thread::MessageStatus;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::world::{Ear, PAGE, Virtual, bot};

const MESSAGES: u64 = 40;

/// A mock of Graph that restricts the Page until a given time.
#[derive(Debug, Clone)]
struct Graph {
    until: Instant,
    failure: &'static str,
    refused: Arc<Mutex<Vec<Instant>>>,
    sent: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Transport for Graph {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        sleep(Duration::from_millis(100)).await;
        if Instant::now() < self.until {
            self.refused.lock().unwrap().push(Instant::now());
            return Ok(Response::builder()
                .status(400)
                .body(Bytes::from_static(self.failure.as_bytes()))
                .unwrap());
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let user = body["recipient"]["id"].as_str().unwrap().to_owned();
        self.sent.lock().unwrap().push(user.clone());
        Ok(Response::new(Bytes::from(json!({"recipient_id": user, "message_id": user}).to_string())))
    }
}

struct Outcome {
    /// Number of calls in the first 40 s.
    early: usize,
    /// Number of refused calls in total.
    refused: usize,
    /// Time from the end of the restriction until all messages were sent.
    sent_after: Duration,
}

/// Sends a first message and, after `others_after`, the others, while the Page is restricted for `lasts`.
async fn run(failure: &'static str, lasts: Duration, others_after: Duration, paced: bool) -> Outcome {
    let begun = Instant::now();
    let graph = Graph { until: begun + lasts, failure, refused: Arc::default(), sent: Arc::default() };
    let client = GraphClient::builder().page(PageId::from(PAGE), "token".into());
    let client = client.transport(Arc::new(graph.clone()));
    let client = Arc::new(if paced { client } else { client.unpaced() }.build().unwrap());
    let handover =
        Handover::builder(bot(), Role::Bot, ThreadControlPolicy::BotPrimary, client, Ear::default());
    let handover = handover.clock(Virtual(begun)).start().unwrap();
    let thread = |user| ThreadKey::new(PageId::from(PAGE), UserId::from(1000 + user));
    let key = || MessageKey::new("a").unwrap();
    for user in 0..MESSAGES {
        handover.send(&thread(user), key(), OutgoingMessage::text("hello").unwrap()).await.unwrap();
        if user == 0 {
            sleep(others_after).await;
        }
    }
    sleep((begun + Duration::from_secs(40)).saturating_duration_since(Instant::now())).await;
    let early = graph.refused.lock().unwrap().len();
    while graph.sent.lock().unwrap().len() < usize::try_from(MESSAGES).unwrap() {
        assert!(begun.elapsed() < Duration::from_hours(2), "{} are sent", graph.sent.lock().unwrap().len());
        sleep(Duration::from_millis(100)).await;
    }
    let sent_after = begun.elapsed().saturating_sub(lasts);
    sleep(Duration::from_secs(5)).await;
    for user in 0..MESSAGES {
        let status = handover.message_status(&thread(user), &key()).await.unwrap();
        assert!(matches!(status, Some(MessageStatus::Sent { .. })), "{user}: {status:?}");
    }
    let mut sent = graph.sent.lock().unwrap().clone();
    sent.sort_unstable();
    sent.dedup();
    assert_eq!((sent.len(), graph.sent.lock().unwrap().len()), (40, 40), "each once");
    let refused = graph.refused.lock().unwrap().len();
    Outcome { early, refused, sent_after }
}

#[tokio::test(start_paused = true)]
async fn restricted_page_with_forty_waiting_messages_gets_few_calls() {
    const PAUSED: &str = r#"{"error":{"message":"x","code":10,"error_subcode":1893063}}"#;
    const BLOCKED: &str = r#"{"error":{"message":"x","code":368}}"#;
    const INSTAGRAM: &str = r#"{"error":{"message":"x","code":10,"error_subcode":2534029}}"#;
    for failure in [PAUSED, BLOCKED, INSTAGRAM] {
        for (others_after, at_most) in [(Duration::ZERO, 40), (Duration::from_secs(1), 1)] {
            for minutes in [1, 10, 60] {
                let lasts = Duration::from_mins(minutes);
                let Outcome { early, refused, sent_after } = run(failure, lasts, others_after, true).await;
                println!(
                    "{minutes} min: {early} calls in 40 s, {refused} in all, sent {sent_after:?} after its end"
                );
                assert!(early <= at_most, "{early} calls in 40 s");
                // Retries after 1, 2, 4 and 8 minutes, then every 15 minutes.
                assert!(refused <= at_most + 8, "{refused} calls in {minutes} min");
                // The next retry is at most 15 minutes away, and all messages follow within a minute.
                assert!(sent_after < Duration::from_mins(16), "sent only {sent_after:?} after it was over");
            }
        }
    }
}

/// For comparison: the cost of a restriction if another component enforces the limits.
#[tokio::test(start_paused = true)]
#[ignore = "measures what it was"]
async fn restricted_page_unpaced() {
    let failure = r#"{"error":{"message":"x","code":368}}"#;
    let outcome = run(failure, Duration::from_mins(1), Duration::ZERO, false).await;
    println!("{} calls in 40 s, {} in all", outcome.early, outcome.refused);
}
