//! Refused requests are logged once a minute per reason, with a count and without their content.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use messenger_handover::bots_api::{self, Rejection};
use messenger_handover::engage::{self, Event, Intervention, InterventionHandler};
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{BoxError, Handover, HandoverError};
use messenger_handover::id::ThreadKey;
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::secret::AppSecret;
use messenger_handover::store::{MemoryStore, RecordError, StoreError, ThreadStore};
use messenger_handover::thread::CommandRefused;
use messenger_handover::webhook::{self, SIGNATURE_HEADER, Verifier, sign};
use serde_json::Value;

use crate::capture::Log;
use crate::store::Moody;
use crate::world::{CUSTOMER, DESK_SECRET, ED_TOKEN, Ear, Known, VERIFY_TOKEN, desk, thread};

pub fn handover(store: Arc<dyn ThreadStore>) -> Handover {
    let graph = GraphClient::builder().base_url("http://127.0.0.1:1".parse().unwrap());
    let graph = Arc::new(graph.page(thread().page, "SECRET-token".into()).build().unwrap());
    let builder =
        Handover::builder(desk(), Role::Desk, ThreadControlPolicy::BotPrimary, graph, Ear::default());
    builder.store(store).start().unwrap()
}

/// One request and the name of its reason for refusal.
struct Asked {
    reason: &'static str,
    method: Method,
    query: &'static str,
    headers: HeaderMap,
    body: Vec<u8>,
    status: StatusCode,
}

fn asked(reason: &'static str, status: u16, header: Option<(&'static str, String)>, body: &[u8]) -> Asked {
    let mut headers = HeaderMap::new();
    if let Some((name, value)) = header {
        headers.insert(name, HeaderValue::from_str(&value).unwrap());
    }
    let (status, body) = (StatusCode::from_u16(status).unwrap(), body.to_vec());
    Asked { reason, method: Method::POST, query: "", headers, body, status }
}

fn handshake(reason: &'static str, query: &'static str) -> Asked {
    Asked { method: Method::GET, query, ..asked(reason, 403, None, b"") }
}

/// Makes each request 1,000 times, and once more a minute later.
macro_rules! refuse {
    ($endpoint:literal, $all:expr, $ask:expr) => {{
        let log = Log::default();
        let _guard = tracing::subscriber::set_default(log.subscriber());
        let all: Vec<Asked> = $all;
        for times in [1000, 1] {
            for asked in &all {
                for _ in 0..times {
                    assert_eq!($ask(asked).await, asked.status, "{}", asked.reason);
                }
            }
            tokio::time::advance(Duration::from_secs(61)).await;
        }
        let lines: Vec<_> =
            log.lines_with(" WARN ").into_iter().filter(|line| line.contains("was refused")).collect();
        for asked in &all {
            let part = format!("endpoint=\"{}\" reason=\"{}\" why=", $endpoint, asked.reason);
            let of_it: Vec<_> = lines.iter().filter(|line| line.contains(&part)).collect();
            assert_eq!(of_it.len(), 2, "{part}: {lines:#?}");
            assert!(of_it[0].ends_with("suppressed=0") && of_it[1].ends_with("suppressed=999"), "{of_it:#?}");
        }
        assert_eq!(lines.len(), 2 * all.len(), "{lines:#?}");
        let text = log.text();
        for secret in ["SECRET", "PRIVATE", "deadbeef"] {
            assert!(!text.contains(secret), "{secret} is logged");
        }
    }};
}

/// Log entries for items of a signed delivery that belong to no conversation.
#[tokio::test(start_paused = true)]
async fn refused_webhook_items_are_logged_once_a_minute_and_enforcement_each_time() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.subscriber());
    let handover = handover(Arc::new(MemoryStore::new()));
    let body = br#"{"object":"instagram","entry":[{"id":"10","messaging":[
        {"timestamp":1790000000123,"message_edit":{"mid":"PRIVATE","num_edit":0}},
        {"recipient":{"id":"10"},"timestamp":1790000000123,"policy_enforcement":{"action":"block","reason":"PRIVATE"}},
        {"PRIVATE":1}]}]}"#;
    for times in [10, 1] {
        for _ in 0..times {
            handover.receive(webhook::dangerous_parse_unverified(body).unwrap()).await.unwrap();
        }
        tokio::time::advance(Duration::from_secs(61)).await;
    }
    for reason in ["a message edit that names nobody", "an element of no known kind"] {
        let lines = log.lines_with(&format!("reason=\"{reason}\""));
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines.iter().all(|line| line.contains(" WARN ") && line.contains("page=10")), "{lines:#?}");
        assert!(lines[0].contains("suppressed=0") && lines[1].contains("suppressed=9"), "{lines:#?}");
    }
    let enforced = log.lines_with("enforces a policy");
    assert_eq!(enforced.len(), 11);
    assert!(enforced.iter().all(|line| line.contains(" WARN ") && line.contains("action=\"block\"")));
    assert!(!log.text().contains("PRIVATE"));
}

#[tokio::test(start_paused = true)]
async fn refused_webhooks_are_logged_with_their_reason() {
    let verifier = Verifier::new(DESK_SECRET.into()).max_body(1000);
    let server =
        webhook::Endpoint::new(verifier, VERIFY_TOKEN.into(), handover(Arc::new(MemoryStore::new())));
    let signed = |body: &[u8]| Some((SIGNATURE_HEADER, sign(&AppSecret::new(DESK_SECRET), body)));
    let other = Some((SIGNATURE_HEADER, format!("sha256={}", "deadbeef".repeat(8))));
    let mut too_large = asked("too_large", 413, signed(b""), &[b'P'; 1001]);
    too_large.headers.insert("content-length", HeaderValue::from_static("1001"));
    let no_head = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=SECRET-guess";
    let all = vec![
        asked("signature_missing", 401, None, b"PRIVATE"),
        asked("signature_malformed", 401, Some((SIGNATURE_HEADER, "sha1=deadbeef".to_owned())), b"PRIVATE"),
        asked("signature_mismatch", 401, other, b"PRIVATE"),
        asked("not_a_delivery", 400, signed(b"{\"text\":\"PRIVATE"), b"{\"text\":\"PRIVATE"),
        too_large,
        handshake("verify_token_mismatch", no_head),
        handshake("not_a_handshake", "x=PRIVATE"),
    ];
    refuse!("webhook", all, async |asked: &Asked| {
        // As a host does: if the head is refused, the body is not read.
        match server.check_head(&asked.method, &asked.headers) {
            Ok(()) => {
                server.handle(&asked.method, Some(asked.query), &asked.headers, &asked.body).await.status()
            }
            Err(refused) => refused.status(),
        }
    });
}

pub struct Nobody;

#[async_trait]
impl InterventionHandler for Nobody {
    async fn conversation(&self, _: &Intervention) -> Result<Option<ThreadKey>, BoxError> {
        Ok(None)
    }

    async fn still_engaged(&self, _: &Intervention) -> Result<bool, BoxError> {
        Ok(false)
    }

    async fn notify(&self, _: Option<&ThreadKey>, _: &Event) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn refused_events_of_engage_digital_are_logged_with_their_reason() {
    let verifier = engage::Verifier::new("SECRET-of-the-webhook".into()).max_body(1000);
    let handover = handover(Arc::new(MemoryStore::new()));
    let server = engage::Endpoint::new(verifier, VERIFY_TOKEN.into(), handover, Nobody);
    let secret = |secret: &str| Some(("x-dimelo-secret", secret.to_owned()));
    let right = || secret("SECRET-of-the-webhook");
    let all = vec![
        asked("secret_missing", 401, None, b"PRIVATE"),
        asked("secret_mismatch", 401, secret("SECRET-guess"), b"PRIVATE"),
        asked("not_a_notification", 400, right(), b"[\"PRIVATE\"]"),
        asked("too_large", 413, right(), &[b'P'; 1001]),
        handshake(
            "verify_token_mismatch",
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=SECRET-guess",
        ),
    ];
    let heads = std::cell::Cell::new(0);
    refuse!("engage", all, async |asked: &Asked| {
        match server.check_head(&asked.method, &asked.headers) {
            Ok(()) => {
                server.handle(&asked.method, Some(asked.query), &asked.headers, &asked.body).await.status()
            }
            Err(refused) => {
                heads.set(heads.get() + 1);
                refused.status()
            }
        }
    });
    // The secret is in a header, so the host need not read the body of an unauthenticated request.
    assert_eq!(heads.get(), 2 * 1001);
}

#[tokio::test(start_paused = true)]
async fn refused_calls_of_the_bots_api_are_logged_with_their_reason() {
    let server = bots_api::Endpoint::new(ED_TOKEN.into(), handover(Arc::new(MemoryStore::new())), Known);
    let bearer = |token: &str| Some(("authorization", format!("Bearer {token}")));
    let basic = Some(("authorization", "Basic SECRET".to_owned()));
    let all = vec![
        asked("token_missing", 401, None, b""),
        asked("token_mismatch", 401, bearer("SECRET-guess"), b""),
        asked("not_a_bearer_token", 401, basic, b""),
        Asked { query: "from=PRIVATE&to=agent", ..asked("invalid_parameter", 400, bearer(ED_TOKEN), b"") },
        Asked { method: Method::PUT, ..asked("method_not_allowed", 405, None, b"") },
    ];
    refuse!("bots_api", all, async |asked: &Asked| {
        server.handle(&asked.method, Some(asked.query), &asked.headers).await.status()
    });
}

async fn call(server: &bots_api::Endpoint) -> (StatusCode, String, String) {
    let query =
        format!("identity_foreign_id={CUSTOMER}&from=bot&to=agent&type=messenger&access_token={ED_TOKEN}");
    let answer = server.handle(&Method::POST, Some(&query), &HeaderMap::new()).await;
    let body: Value = serde_json::from_str(answer.body()).unwrap();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (answer.status(), text("error"), text("message"))
}

/// The response tells store failures from platform failures, and the log contains the store's error text.
#[tokio::test]
async fn refused_calls_of_the_bots_api_separate_store_and_platform_failures() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.subscriber());
    let store = Arc::new(Moody::default());
    store.refuses.store(usize::MAX, std::sync::atomic::Ordering::SeqCst);
    let server = bots_api::Endpoint::new(ED_TOKEN.into(), handover(store), Known);
    let (status, error, words) = call(&server).await;
    assert_eq!((status, error.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"));
    assert_eq!(words, "this desk could not save it now: its own store failed; call again");
    let lines = log.lines_with("reason=\"store_failed\"");
    assert!(lines.len() == 1 && lines[0].contains(" WARN ") && lines[0].contains("not written"), "{lines:?}");

    let words_of = |error: HandoverError| {
        let rejection = Rejection::from(error);
        (rejection.status.as_u16(), rejection.error, rejection.message)
    };
    let database = "server at db.internal says: disk full";
    for (error, status, code, part) in [
        (
            HandoverError::Store(StoreError::new(database)),
            503,
            "temporarily_unavailable",
            "its own store failed",
        ),
        (HandoverError::Busy, 503, "temporarily_unavailable", "too busy"),
        (HandoverError::Overloaded, 503, "temporarily_unavailable", "too many events are under way"),
        (HandoverError::TooSlow, 503, "temporarily_unavailable", "in time"),
        (HandoverError::ShuttingDown, 503, "temporarily_unavailable", "shutting down"),
        (HandoverError::Record(RecordError::Newer(9)), 503, "temporarily_unavailable", "replica is older"),
        (HandoverError::Record(RecordError::Sealed(None)), 500, "internal_error", "cannot read"),
        (HandoverError::Record(RecordError::Damaged("no head".into())), 500, "internal_error", "cannot read"),
        (CommandRefused::QueueFull.into(), 503, "temporarily_unavailable", "too many answers"),
        (CommandRefused::NoticesFull.into(), 503, "temporarily_unavailable", "too many notices"),
        (CommandRefused::InterventionOpen.into(), 409, "intervention_engaged", "intervention"),
        (CommandRefused::AnotherAppOwns.into(), 409, "another_app_owns_the_thread", "another app"),
        (CommandRefused::NoDesk.into(), 422, "handover_failed", "no desk"),
    ] {
        let shown = error.to_string();
        let (is, error, message) = words_of(error);
        assert_eq!((is, error), (status, code), "{shown}");
        assert!(message.contains(part) && !message.contains("platform"), "{shown}: {message}");
        assert!(!message.contains("db.internal"), "{message}");
        assert_eq!(message.contains("call again"), is == 503, "{message}");
    }
}
