//! Thousands of messages at once in a process with few file descriptors: calls are bounded, and webhooks are accepted meanwhile.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method};
use axum::routing::any;
use bytes::Bytes;
use messenger_handover::call::OutgoingMessage;
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{Handler, HandlerError, Handover, Notification};
use messenger_handover::id::PageId;
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::secret::AppSecret;
use messenger_handover::thread::Actions;
use messenger_handover::webhook::{self, SIGNATURE_HEADER, Verifier, sign};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::world::{BOT_SECRET, PAGE, VERIFY_TOKEN, bot, http};

const SINGLES: u64 = 20;
/// Number of customers in one delivery, limit of open files, and limit of concurrent calls. Override them to measure.
const CUSTOMERS: (&str, &str) = ("FLOOD_CUSTOMERS", "3000");
const FILES: (&str, &str) = ("FLOOD_FILES", "256");
const CALLS: (&str, &str) = ("FLOOD_CALLS", "200");
const GRAPH: &str = "FLOOD_GRAPH_URL";
const A_CALL: Duration = Duration::from_millis(200);

fn setting((name, default): (&str, &str)) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// A handler that sends a reply to each message.
struct Answers;

#[async_trait]
impl Handler for Answers {
    async fn notify(&self, _: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
        let hello = OutgoingMessage::text("hello")?;
        Ok(if told.to_answer().is_empty() { Actions::none() } else { hello.into() })
    }
}

/// The host, started as a child process by another test. It exits with its parent.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that another test starts"]
async fn flood_host_with_few_files() {
    let Ok(graph) = std::env::var(GRAPH) else { return };
    let graph = GraphClient::builder().base_url(graph.parse().unwrap());
    let graph = Arc::new(graph.page(PageId::from(PAGE), "token".into()).build().unwrap());
    let handover = Handover::builder(bot(), Role::Bot, ThreadControlPolicy::BotPrimary, graph, Answers);
    let handover = handover.calls_at_once(setting(CALLS).parse().unwrap()).start().unwrap();
    let server = webhook::Endpoint::new(Verifier::new(BOT_SECRET.into()), VERIFY_TOKEN.into(), handover);
    let router = Router::new().route(
        "/webhook",
        any(|method: Method, headers: HeaderMap, body: Bytes| async move {
            server.handle(&method, None, &headers, &body).await
        }),
    );
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    println!("\nLISTENING {}", listener.local_addr().unwrap().port());
    let serving = axum::serve(listener, router.layer(DefaultBodyLimit::disable())).into_future();
    let mut until_parent_ends = Vec::new();
    let mut parent = tokio::io::stdin();
    tokio::select! {
        ended = serving => ended.unwrap(),
        _ = parent.read_to_end(&mut until_parent_ends) => {}
    }
}

async fn start_host(graph: &str) -> (Child, String) {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n \"$1\"; shift; exec \"$@\"", "sh", &setting(FILES)]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["flood::flood_host_with_few_files", "--exact", "--ignored", "--nocapture"]);
    command.env(GRAPH, graph).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(port) = line.strip_prefix("LISTENING ") {
            let url = format!("http://127.0.0.1:{port}/webhook");
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (child, url);
        }
    }
    panic!("the host does not start");
}

/// The number of sends that Graph received, per customer.
type Got = Arc<Mutex<BTreeMap<String, u64>>>;

async fn slow_graph(got: Got, peak: Arc<AtomicUsize>) -> String {
    let at_once = Arc::new(AtomicUsize::new(0));
    let send = any(move |body: Bytes| async move {
        peak.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(A_CALL).await;
        at_once.fetch_sub(1, Ordering::SeqCst);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let user = body["recipient"]["id"].as_str().unwrap().to_owned();
        *got.lock().unwrap().entry(user.clone()).or_default() += 1;
        axum::Json(json!({"recipient_id": user, "message_id": format!("m_{user}")}))
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(send)).await.unwrap() });
    url
}

async fn deliver(
    client: &reqwest::Client,
    url: &str,
    customers: std::ops::Range<u64>,
) -> Result<u16, reqwest::Error> {
    let message = |customer| {
        json!({"sender": {"id": format!("{customer}")}, "recipient": {"id": format!("{PAGE}")},
            "timestamp": 1_790_000_000_000_u64 + customer, "message": {"mid": format!("m{customer}"), "text": "hello"}})
    };
    let messages: Vec<_> = customers.map(message).collect();
    let entry = json!([{"id": format!("{PAGE}"), "time": 1, "messaging": messages}]);
    let body = json!({"object": "page", "entry": entry}).to_string();
    let signature = sign(&AppSecret::new(BOT_SECRET), body.as_bytes());
    let answer = client.post(url).header(SIGNATURE_HEADER, signature).body(body).send().await?;
    Ok(answer.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn flood_of_messages_leaves_files_for_webhooks_and_all_are_sent_once() {
    let (got, at_once) = (Got::default(), Arc::new(AtomicUsize::new(0)));
    let graph = slow_graph(Arc::clone(&got), Arc::clone(&at_once)).await;
    let (host, url) = start_host(&graph).await;
    let open_files = Arc::new(AtomicUsize::new(0));
    let counting = {
        let (open_files, dir) = (Arc::clone(&open_files), format!("/proc/{}/fd", host.id().unwrap()));
        tokio::spawn(async move {
            while let Ok(files) = std::fs::read_dir(&dir) {
                open_files.fetch_max(files.count(), Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    };

    // A new connection for each delivery, because the platform delivers from many machines.
    let client = http().pool_max_idle_per_host(0).timeout(Duration::from_secs(20)).build().unwrap();
    let customers: u64 = setting(CUSTOMERS).parse().unwrap();
    let begun = Instant::now();
    let mut redelivered = 0;
    while deliver(&client, &url, 0..customers).await.is_ok_and(|status| status != 200) {
        redelivered += 1;
        assert!(redelivered < 10, "the delivery is never accepted");
    }
    let accepted = begun.elapsed();
    let (mut slowest, mut late) = (Duration::ZERO, 0);
    for single in 0..SINGLES {
        let begun = Instant::now();
        let answer = deliver(&client, &url, customers + single..customers + single + 1).await;
        slowest = slowest.max(begun.elapsed());
        late += u64::from(begun.elapsed() > Duration::from_secs(1) || !matches!(answer, Ok(200)));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let waiting = customers + SINGLES - got.lock().unwrap().len() as u64;
    while (got.lock().unwrap().len() as u64) < customers + SINGLES - late {
        assert!(begun.elapsed() < Duration::from_secs(50), "{} are sent", got.lock().unwrap().len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "accepted in {accepted:?} after {redelivered} repeats, slowest single {slowest:?}, {late} late of {SINGLES}, \
         {waiting} waited then, all sent in {:?}, at most {} files open, {} calls at once",
        begun.elapsed(),
        open_files.load(Ordering::SeqCst),
        at_once.load(Ordering::SeqCst),
    );
    counting.abort();
    assert_eq!(late, 0, "webhooks were late or refused; the slowest took {slowest:?}");
    assert!(waiting > 0, "the flood was over before it could be in the way");
    assert!(got.lock().unwrap().values().all(|times| *times == 1), "doubled");
    assert!(at_once.load(Ordering::SeqCst) <= 100, "one Page has half of the places");
}
