//! Throughput of the simulated platform: without HTTP, because long schedules run on it, and over HTTP, because a test suite does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion};
use messenger_handover::id::{AppId, PageId, UserId};
use messenger_handover::time::Timestamp;
use messenger_sim::{ApiCall, App, Page, Platform, Rules, Server};
use serde_json::json;

use crate::common::deliveries::BEGIN;
use crate::common::table::{self, Target, median};
use crate::in_turn;

const BOT: u64 = 1001;
const DESK: u64 = 2002;
const PAGE: u64 = 10;
const CUSTOMERS: u64 = 100;
/// The steps of one customer; a step is a call or a message of the customer.
const STEPS: u64 = 5;

/// Each customer writes; the desk takes control, replies, and releases control.
fn play(platform: &mut Platform, mut now: Timestamp) {
    let (desk, page) = (AppId::from(DESK), PageId::from(PAGE));
    for customer in 0..CUSTOMERS {
        let user = UserId::from(7_000 + customer);
        now = now.plus(Duration::from_millis(10));
        platform.customer_writes(&page, &user, "hello", now);
        let calls = [
            ApiCall::Take { user: user.clone(), metadata: None },
            ApiCall::Send {
                user: user.clone(),
                message: json!({"text": "How can I help you?"}),
                messaging_type: Some("RESPONSE".into()),
                tag: None,
                thread_control: None,
            },
            ApiCall::Pass { user: user.clone(), target: Some(AppId::from(BOT)), metadata: None },
            ApiCall::ThreadOwner { user },
        ];
        for call in calls {
            platform.call(&desk, &page, &call, now).expect("the desk may");
        }
        assert!(!platform.take_outgoing().is_empty());
    }
}

fn platform() -> Platform {
    Platform::new()
        .with_app(App::new(BOT, "Bot", "secret", "verify"))
        .with_app(App::new(DESK, "Desk", "secret", "verify").may_take(true))
        .with_page(Page::new(PAGE, Rules::primary(DESK)).app(BOT, "bot").app(DESK, "desk"))
}

/// Sends of several conversations at once, client and server in this process. Returns calls a second.
async fn calls_over_http() -> f64 {
    const CLIENTS: u64 = 32;
    const CALLS: u32 = 300;
    let server = Server::start(platform()).await.expect("a free port");
    let client = Arc::new(reqwest::Client::builder().no_proxy().build().expect("a client"));
    let url = format!("{}/v22.0/me/messages", server.url());
    let begun = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for user in 0..CLIENTS {
        server.customer_writes(&PageId::from(PAGE), &UserId::from(user + 1), "hello");
        let (client, url) = (Arc::clone(&client), url.clone());
        clients.spawn(async move {
            for _ in 0..CALLS {
                let body = format!(r#"{{"recipient":{{"id":"{}"}},"message":{{"text":"hi"}}}}"#, user + 1);
                let call = client.post(&url).bearer_auth("desk").header("content-type", "application/json");
                let answer = call.body(body).send().await.expect("an answer");
                assert_eq!(answer.status(), 200);
            }
        });
    }
    clients.join_all().await;
    #[expect(clippy::cast_precision_loss, reason = "some thousand")]
    let calls = (CLIENTS * u64::from(CALLS)) as f64;
    calls / begun.elapsed().as_secs_f64()
}

pub fn run(criterion: &mut Criterion) {
    let rounds = in_turn(
        criterion,
        "simulator",
        &mut [("steps", &mut |bencher| {
            bencher.iter_batched(
                platform,
                |mut platform| {
                    play(&mut platform, Timestamp::from_millis(BEGIN));
                    platform
                },
                BatchSize::SmallInput,
            );
        })],
    );
    if rounds.is_empty() {
        return;
    }
    let nanos = median(rounds.iter().map(|round| round[0]).collect());
    #[expect(clippy::cast_precision_loss, reason = "some hundred")]
    let a_second = (CUSTOMERS * STEPS) as f64 * 1e9 / nanos;
    table::alone("simulator, pure core", (a_second, "steps/s"), Target::AtLeast(200_000.0));
    // reqwest asks for the process's TLS provider, even for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let rounds = (0..5).map(|_| runtime.block_on(calls_over_http())).collect();
    table::alone("simulator, over HTTP, 32 at once", (median(rounds), "calls/s"), Target::AtLeast(3_000.0));
}
