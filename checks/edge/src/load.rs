//! The load generator: deliveries over persistent connections, each sent after the previous response.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use messenger_handover::handover::BoxError;
use messenger_handover::webhook::SIGNATURE_HEADER;
use sha1::Sha1;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::child::Server;
use crate::common::deliveries::{Deliveries, SECRET};

const CONNECTIONS: usize = 16;
/// Time for work that a server starts after its response.
const SETTLES: Duration = Duration::from_millis(200);

/// Meta sends the signature with SHA-1 too, which Botkit reads.
const OLD_SIGNATURE_HEADER: &str = "x-hub-signature";

fn old_signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(body);
    format!("sha1={}", hex::encode(mac.finalize().into_bytes()))
}

/// Sends deliveries of `events` events each. Returns the server's CPU time per delivery, in nanoseconds.
pub async fn cpu_per_request(
    server: &Server,
    deliveries: &mut Deliveries,
    requests: usize,
    events: usize,
) -> Result<f64, BoxError> {
    let waiting = (0..requests).map(|_| {
        let (signature, body) = deliveries.signed(events);
        Request::post("/")
            .header("host", "127.0.0.1")
            .header("content-type", "application/json")
            .header(SIGNATURE_HEADER, signature)
            .header(OLD_SIGNATURE_HEADER, old_signature(&body))
            .body(Full::new(Bytes::from(body)))
    });
    let waiting: Vec<_> = waiting.collect::<Result<_, _>>()?;
    let waiting = Arc::new(Mutex::new(waiting));
    let before = server.cpu()?;
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        senders.spawn(send_all(server.port, Arc::clone(&waiting)));
    }
    let awake = tokio::spawn(stay_awake());
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    awake.abort();
    tokio::time::sleep(SETTLES).await;
    #[expect(clippy::cast_precision_loss, reason = "some seconds, and some thousand requests")]
    Ok((server.cpu()? - before) as f64 / requests as f64)
}

/// The load generator busy-polls: if it slept, the kernel would charge each wake-up to the server under test, which would
/// add half of the server's own cost. Wake-ups also depend on the response time, so the comparison would be unfair.
async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

async fn send_all(port: u16, waiting: Arc<Mutex<Vec<Request<Full<Bytes>>>>>) -> Result<(), BoxError> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(request) = next else { break };
        let answer = sender.send_request(request).await?;
        if answer.status() != 200 {
            return Err(format!("a delivery was answered with {}", answer.status()).into());
        }
        answer.into_body().collect().await?;
    }
    drop(sender);
    Ok(connection.await??)
}
