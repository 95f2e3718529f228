//! One bot behind three web frameworks, over real HTTP on this machine: axum by `Routes`, actix-web by plain types, and
//! hyper by the types of `http` 1. Each host passes the same checks.

mod actix_web;
mod axum;
mod hyper;

use std::net::SocketAddr;
use std::time::Duration;

use messenger_handover::prelude::*;
use messenger_handover::webhook::{SIGNATURE_HEADER, sign};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// The longest body in bytes, small so that a test can exceed it.
const MAX_BODY: usize = 64 * 1024;
/// The time for a request's head, and for its body: longer than [`PATIENCE`], so that no test passes by a timeout.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// The time for a response.
const PATIENCE: Duration = Duration::from_secs(10);

const APP: u64 = 1001;
const PAGE: u64 = 10;
const SECRET: &str = "the app's secret";
const VERIFY_TOKEN: &str = "the-verify-token";

/// Reports the texts of the messages that it should answer.
struct Bot(UnboundedSender<String>);

#[async_trait]
impl Handler for Bot {
    async fn notify(&self, _: &Handover, notification: &Notification) -> Result<Actions, HandlerError> {
        for message in notification.to_answer() {
            self.0.send(message.text.as_deref().unwrap_or_default().to_owned())?;
        }
        Ok(Actions::none())
    }
}

/// A bot's endpoint, and the texts that its handler is notified of.
fn bot() -> Result<(webhook::Endpoint, UnboundedReceiver<String>), BoxError> {
    let (sender, texts) = unbounded_channel();
    // Nothing listens there: the bot sends nothing.
    let graph = GraphClient::builder().base_url("http://127.0.0.1:9".parse()?).page(PAGE, "a-token".into());
    let policy = ThreadControlPolicy::BotPrimary;
    let handover = Handover::builder(APP, Role::Bot, policy, graph.build()?, Bot(sender)).start()?;
    let verifier = Verifier::new(SECRET.into()).max_body(MAX_BODY);
    Ok((webhook::Endpoint::new(verifier, VERIFY_TOKEN.into(), handover), texts))
}

fn message(text: &str) -> String {
    format!(
        r#"{{"object":"page","entry":[{{"id":"{PAGE}","time":1790000000000,"messaging":[{{"sender":{{"id":"77"}},
        "recipient":{{"id":"{PAGE}"}},"timestamp":1790000000000,"message":{{"mid":"{text}","text":"{text}"}}}}]}}]}}"#
    )
}

struct Response {
    status: u16,
    head: String,
    body: String,
}

/// Sends the bytes of a request, or of its beginning, and reads the response.
async fn send(to: SocketAddr, request: &str) -> Response {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let head = head.to_lowercase();
                let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                    return Response { status, body: body.to_owned(), head };
                }
            }
            let more = stream.read_buf(&mut read).await.unwrap();
            assert!(more > 0, "closed without a response: {}", String::from_utf8_lossy(&read));
        }
    };
    timeout(PATIENCE, exchange).await.expect("a response in time")
}

fn head(line: &str, headers: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

fn signature(secret: &str, body: &str) -> String {
    format!("{SIGNATURE_HEADER}: {}\r\n", sign(&secret.into(), body.as_bytes()))
}

async fn post(to: SocketAddr, headers: &str, body: &str) -> Response {
    let length = format!("Content-Length: {}\r\n", body.len());
    send(to, &(head("POST /webhook", &(headers.to_owned() + &length)) + body)).await
}

async fn check_host(host: SocketAddr, mut texts: UnboundedReceiver<String>) {
    let handshake = async |token: &str| {
        let query = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}");
        send(host, &head(&format!("GET /webhook?{query}"), "")).await
    };
    let response = handshake(VERIFY_TOKEN).await;
    assert_eq!((response.status, response.body.as_str()), (200, "1158201444"));
    assert!(response.head.contains("content-type: text/plain"), "{}", response.head);
    assert_eq!(handshake("a-guess").await.status, 403);

    let forged = message("forged");
    assert_eq!(post(host, &signature("another secret", &forged), &forged).await.status, 401);
    assert_eq!(post(host, "", &forged).await.status, 401);
    // The handler is notified of the first message that is signed.
    let hello = message("hello");
    let response = post(host, &signature(SECRET, &hello), &hello).await;
    assert_eq!((response.status, response.body.as_str()), (200, ""));
    let told = timeout(PATIENCE, texts.recv()).await.expect("a notification in time");
    assert_eq!(told.as_deref(), Some("hello"));

    let response = send(host, &head("PUT /webhook", "")).await;
    assert_eq!(response.status, 405);
    assert!(response.head.contains("allow: get, post"), "{}", response.head);
    assert_eq!(send(host, &head("GET /", "")).await.status, 404);

    // The responses come although the bodies never do.
    let unsigned = send(host, &head("POST /webhook", "Content-Length: 100\r\n")).await;
    assert_eq!(unsigned.status, 401);
    let signed = signature(SECRET, "");
    let long = send(host, &head("POST /webhook", &format!("{signed}Content-Length: 1000000000\r\n"))).await;
    assert_eq!(long.status, 413);
    // A body of unknown length ends for the host where the limit is.
    let chunked = head("POST /webhook", &format!("{signed}Transfer-Encoding: chunked\r\n"));
    let first = format!("{:x}\r\n{}\r\n", MAX_BODY + 1, " ".repeat(MAX_BODY + 1));
    assert_eq!(send(host, &(chunked + &first)).await.status, 413);
    assert!(texts.try_recv().is_err(), "nothing else was accepted");
}

#[tokio::test]
async fn frameworks_axum_hosts_the_bot() {
    let (endpoint, texts) = bot().unwrap();
    check_host(axum::serve(endpoint).await.unwrap(), texts).await;
}

#[tokio::test]
async fn frameworks_actix_web_hosts_the_bot() {
    let (endpoint, texts) = bot().unwrap();
    check_host(actix_web::serve(endpoint).unwrap(), texts).await;
}

#[tokio::test]
async fn frameworks_hyper_hosts_the_bot() {
    let (endpoint, texts) = bot().unwrap();
    check_host(hyper::serve(endpoint).await.unwrap(), texts).await;
}
