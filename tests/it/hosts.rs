//! The example hosts against slow heads, slow bodies and more connections than their limit.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use messenger_handover::id::AppId;
use messenger_handover::policy::ThreadControlPolicy::{self, BotPrimary};
use messenger_handover::routes::BodyLimits;
use messenger_handover::settings::Settings;
use messenger_handover::store::MemoryStore;
use messenger_handover::webhook::{SIGNATURE_HEADER, sign};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use url::Url;

use crate::examples::{Running, example};
use crate::world::{
    BOT_SECRET, BOT_TOKEN, CUSTOMER, DESK_SECRET, DESK_TOKEN, ED_TOKEN, PAGE, VERIFY_TOKEN, desk,
};

#[path = "../../examples/agent_desk/main.rs"]
#[allow(dead_code, reason = "its main is for running it alone")]
#[allow(clippy::duplicate_mod, reason = "the quickstart has hosts of its own")]
pub mod agent_desk;
#[path = "../../examples/bot.rs"]
#[allow(dead_code, reason = "its main is for running it alone")]
#[allow(clippy::duplicate_mod, reason = "each host is also an example of its own, with its own settings")]
pub mod bot;

use agent_desk::settings::serve::{Limits, serve};

const STRANGERS: usize = 300;
const MIB: usize = 1024 * 1024;

/// The settings of a host, as its environment would hold them. A bot also needs its desk's URL.
pub fn settings(app: &AppId, policy: ThreadControlPolicy, graph: &Url, desk_url: Option<&Url>) -> Settings {
    let is_desk = *app == desk();
    let of = |for_desk: &str, for_bot: &str| if is_desk { for_desk } else { for_bot }.to_owned();
    let read = Settings::from_variables(|name| {
        Some(match name {
            "APP_ID" => app.to_string(),
            "APP_SECRET" => of(DESK_SECRET, BOT_SECRET),
            "VERIFY_TOKEN" => VERIFY_TOKEN.to_owned(),
            "PAGE_ID" => PAGE.to_string(),
            "PAGE_TOKEN" => of(DESK_TOKEN, BOT_TOKEN),
            "POLICY" => policy.to_string(),
            "GRAPH_URL" => graph.to_string(),
            "ED_TOKEN" => ED_TOKEN.to_owned(),
            "ED_URL" => desk_url?.to_string(),
            "DESK_APP_ID" => desk_url.map(|_| desk().to_string())?,
            _ => return None,
        })
    });
    read.unwrap()
}

pub fn a_store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new())
}

/// A desk in this process with its own limits.
struct Host {
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Host {
    async fn start(limits: Limits) -> Self {
        let settings = settings(&desk(), BotPrimary, &"http://127.0.0.1:1".parse().unwrap(), None);
        let (router, _) = agent_desk::router(&settings, a_store(), limits.bodies).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        Self { port, stop: Some(stop), serving: tokio::spawn(serve(listener, router, limits, stopped)) }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The head of a delivery, with a well-formed signature if any.
fn head(length: usize, signature: Option<&str>) -> String {
    let signature = signature.map(|value| format!("{SIGNATURE_HEADER}: {value}\r\n")).unwrap_or_default();
    format!("POST /webhook HTTP/1.1\r\nhost: desk\r\ncontent-length: {length}\r\n{signature}\r\n")
}

fn forged() -> String {
    format!("sha256={}", "0".repeat(64))
}

/// Opens a request with a 1 MiB body and stalls after `sent` bytes.
async fn stalls(port: u16, sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(head(MIB, Some(&forged())).as_bytes()).await.unwrap();
    // The host may have closed the connection already.
    let _ = stream.write_all(&vec![b'x'; sent]).await;
    stream
}

/// Reads until the host closes the connection.
async fn rest_of(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        all.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8(all).unwrap()
}

/// Posts a signed delivery of the platform. Returns the response's status.
async fn delivers(port: u16, mid: &str) -> u16 {
    let body = json!({"object": "page", "entry": [{"id": PAGE.to_string(), "messaging": [{
        "sender": {"id": CUSTOMER.to_string()}, "recipient": {"id": PAGE.to_string()},
        "timestamp": 1_700_000_000_000_u64, "message": {"mid": mid, "text": "hello"},
    }]}]})
    .to_string();
    let signature = sign(&DESK_SECRET.into(), body.as_bytes());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("{}{body}", head(body.len(), Some(&signature)));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
}

/// The value of one line of `/proc/PID/status`, in KiB.
fn memory(process: u32, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs an example host. Returns the process, its output and its port.
fn run(name: &str) -> (Running, BufReader<ChildStdout>, u16) {
    let mut command = example(name);
    command.envs([
        ("GRAPH_URL", "http://127.0.0.1:1/"),
        ("PAGE_ID", "10"),
        ("PAGE_TOKEN", DESK_TOKEN),
        ("APP_ID", "2002"),
        ("APP_SECRET", DESK_SECRET),
        ("VERIFY_TOKEN", VERIFY_TOKEN),
        ("ED_TOKEN", ED_TOKEN),
        ("POLICY", "bot_primary"),
        ("LISTEN", "127.0.0.1:0"),
        ("ED_URL", "http://127.0.0.1:1/"),
        ("DESK_APP_ID", "3003"),
    ]);
    let mut host = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut out = BufReader::new(host.0.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let url: Url = line.split_whitespace().last().unwrap().parse().unwrap();
    (host, out, url.port().unwrap())
}

/// Without `RUST_LOG`, as an operator with a wrong app secret would run it.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn hosts_show_refused_deliveries_and_end_at_sigterm() {
    for name in ["agent_desk", "bot"] {
        let (mut host, mut out, port) = run(name);
        for _ in 0..100 {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let request = format!("{}private", head(7, Some(&forged())));
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 401");
        }
        let ended = Command::new("kill").args(["-TERM", &host.0.id().to_string()]).status().unwrap();
        assert!(ended.success());
        let mut log = String::new();
        out.read_to_string(&mut log).unwrap();
        assert_eq!(host.0.wait().unwrap().code(), Some(0), "{name}: {log}");
        assert!(log.lines().count() == 1 && log.contains("signature_mismatch"), "{name}: {log}");
        assert!(!log.contains("private") && !log.contains(&forged()), "{log}");
    }
}

/// With the example's default limits.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn hosts_300_slow_bodies_cost_little_and_hold_up_nobody() {
    let (host, _out, port) = run("agent_desk");
    let process = host.0.id();
    assert_eq!(delivers(port, "m_before").await, 200);
    let before = memory(process, "VmRSS");

    let begun = Instant::now();
    let mut strangers = JoinSet::new();
    for _ in 0..STRANGERS {
        let mut stream = stalls(port, MIB / 2).await;
        strangers.spawn(async move { rest_of(&mut stream).await });
    }
    for index in 0..20 {
        assert_eq!(timeout(Duration::from_secs(5), delivers(port, &format!("m_{index}"))).await, Ok(200));
    }
    let peak = memory(process, "VmHWM");
    println!("{} MiB before, {} MiB at most under {STRANGERS} half bodies", before / 1024, peak / 1024);
    assert!(peak - before < 80 * 1024, "{before} KiB before, {peak} KiB then");
    // 10 s for a body, and a margin for a loaded machine.
    let all = timeout(Duration::from_secs(20), strangers.join_all()).await;
    let all = all.unwrap_or_else(|_| panic!("open after {:?}", begun.elapsed()));
    assert_eq!(all.len(), STRANGERS);
    assert!(all.iter().all(|said| !said.starts_with("HTTP/1.1 200")));
}

fn short() -> Limits {
    let bodies = BodyLimits::default().within(Duration::from_millis(800));
    Limits { head: Duration::from_millis(400), bodies, ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_close_slow_heads_slow_bodies_and_idle_connections() {
    let host = Host::start(short()).await;
    let handshake = format!(
        "GET /webhook?hub.mode=subscribe&hub.challenge=1&hub.verify_token={VERIFY_TOKEN} HTTP/1.1\r\nhost: x\r\n\r\n"
    );
    let half_a_head = &head(100, Some(&forged()))[..40];
    for (sent, answer) in [
        ("", ""),
        (half_a_head, ""),
        (&head(100, Some(&forged())), "HTTP/1.1 408"),
        // A chunked body without an end.
        (
            &head(0, Some(&forged())).replace("content-length: 0", "transfer-encoding: chunked"),
            "HTTP/1.1 408",
        ),
        // A served connection that is idle afterwards.
        (&handshake, "HTTP/1.1 200"),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", host.port)).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let said = timeout(Duration::from_secs(5), rest_of(&mut stream)).await;
        let said = said.unwrap_or_else(|_| panic!("still open: {sent}"));
        assert!(said.starts_with(answer) && said.is_empty() == answer.is_empty(), "{sent}: {said}");
    }
    // A body that arrives byte by byte gets no extra time.
    let mut stream = stalls(host.port, 0).await;
    let begun = Instant::now();
    while stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "a drip keeps it open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_refuse_by_the_head_without_signature_or_too_long() {
    let host = Host::start(Limits::default()).await;
    for (head, answer) in [
        (head(MIB, None), "HTTP/1.1 401"),
        (head(MIB, Some("sha256=00")), "HTTP/1.1 401"),
        (head(100 * MIB, Some(&forged())), "HTTP/1.1 413"),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", host.port)).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // The client has sent none of the body.
        let said =
            timeout(Duration::from_secs(5), rest_of(&mut stream)).await.expect("it waits for the body");
        assert!(said.starts_with(answer), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_let_the_oldest_slow_body_make_room() {
    let slow = Duration::from_secs(30);
    let bodies = BodyLimits::default().within(slow).in_memory(MIB);
    let host = Host::start(Limits { head: slow, bodies, ..Limits::default() }).await;
    let mut first = stalls(host.port, MIB / 5 * 2).await;
    // Time for the host to read it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut second = stalls(host.port, MIB / 5 * 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut third = stalls(host.port, MIB / 5 * 2).await;
    let said = timeout(Duration::from_secs(5), rest_of(&mut first)).await.expect("the first is kept");
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    assert_eq!(delivers(host.port, "m_1").await, 200);
    for kept in [&mut second, &mut third] {
        assert!(timeout(Duration::from_millis(100), rest_of(kept)).await.is_err(), "it need not make room");
    }
    // Closed connections return their share of the budget.
    drop((second, third));
    for index in 0..20 {
        let mut gone = stalls(host.port, MIB / 5).await;
        drop(gone.shutdown().await);
        drop(gone);
        assert_eq!(delivers(host.port, &format!("m_again_{index}")).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_limit_connections_and_stop_on_request() {
    let mut host = Host::start(Limits { connections: 2, ..short() }).await;
    let connect = async || TcpStream::connect(("127.0.0.1", host.port)).await.unwrap();
    let (_first, _second) = (connect().await, connect().await);
    let begun = Instant::now();
    // The delivery is accepted once the idle connections are closed.
    assert_eq!(timeout(Duration::from_secs(5), delivers(host.port, "m_1")).await, Ok(200));
    assert!(begun.elapsed() > Duration::from_millis(200), "nobody had to wait");

    let _idle = connect().await;
    host.stop.take().unwrap().send(()).unwrap();
    timeout(Duration::from_secs(5), &mut host.serving).await.expect("it serves on").unwrap();
    assert!(TcpStream::connect(("127.0.0.1", host.port)).await.is_err());
}
