//! Deliveries over some connections that are kept, each sent when the one before was answered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use messenger_handover::handover::BoxError;
use messenger_handover::webhook::SIGNATURE_HEADER;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::child::Server;
use crate::common::deliveries::Deliveries;

const CONNECTIONS: usize = 16;
/// What a server begins to do after it has answered is done then.
const SETTLES: Duration = Duration::from_millis(200);

/// Sends so many deliveries of so many events. Answers the CPU time of the server for each delivery, in nanoseconds.
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

/// To wake whoever waits for an answer costs the server that sends it half as much as all it does otherwise; who is kept
/// waiting for less sleeps less. So nobody sleeps here, as the processor does not that serves a network card under load.
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
