//! Senders with one connection each, which send the next delivery after the previous response.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use messenger_handover::handover::BoxError;
use messenger_handover::webhook::SIGNATURE_HEADER;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::traffic::{Delivery, Next, Traffic};

/// The platform's timeout for a response.
const PATIENCE: Duration = Duration::from_secs(5);
const NOTHING_DUE: Duration = Duration::from_millis(5);

/// Deliveries that were accepted with 200 so far, by all senders.
#[derive(Default)]
pub struct Counters {
    deliveries: AtomicU64,
    events: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Number of 503 responses.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Response times in microseconds.
#[derive(Default)]
pub struct Times {
    pub accepted: Vec<u32>,
    /// Response times of batches.
    pub batches: Vec<u32>,
    pub refused: Vec<u32>,
    /// Number of responses other than 200 and 503, and of timeouts.
    pub failed: u64,
}

impl Times {
    pub fn add(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.batches.extend(other.batches);
        self.refused.extend(other.refused);
        self.failed += other.failed;
    }
}

pub struct Senders {
    port: u16,
    traffic: Arc<Traffic>,
    counters: Arc<Counters>,
    /// Earlier responses do not count.
    warm: Instant,
}

impl Senders {
    pub fn start(
        port: u16,
        in_flight: usize,
        traffic: &Arc<Traffic>,
        counters: &Arc<Counters>,
        warm: Instant,
    ) -> JoinSet<Result<Times, BoxError>> {
        let mut senders = JoinSet::new();
        for _ in 0..in_flight {
            let (traffic, counters) = (Arc::clone(traffic), Arc::clone(counters));
            senders.spawn(Self { port, traffic, counters, warm }.send_all());
        }
        senders
    }

    async fn send_all(self) -> Result<Times, BoxError> {
        let mut times = Times::default();
        let mut connection = None;
        loop {
            let delivery = match self.traffic.next() {
                Next::Send(delivery) => delivery,
                Next::Wait => {
                    tokio::time::sleep(NOTHING_DUE).await;
                    continue;
                }
                Next::End => return Ok(times),
            };
            let mut sender = match connection.take() {
                Some(sender) => sender,
                None => connect(self.port).await?,
            };
            let begun = Instant::now();
            let answer = tokio::time::timeout(PATIENCE, send(&mut sender, &delivery)).await;
            let took = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
            let status = match answer {
                Ok(Ok(status)) => {
                    connection = Some(sender);
                    status
                }
                // The connection is in an unknown state and is closed.
                Ok(Err(_)) | Err(_) => 0,
            };
            self.count(status, took, begun, &delivery, &mut times);
            if status != 200 {
                self.traffic.refuse(delivery);
            }
        }
    }

    fn count(&self, status: u16, took: u32, begun: Instant, delivery: &Delivery, times: &mut Times) {
        let counters = &self.counters;
        match status {
            200 => {
                counters.deliveries.fetch_add(1, Ordering::Relaxed);
                counters.events.fetch_add(delivery.events, Ordering::Relaxed);
            }
            503 => drop(counters.refused.fetch_add(1, Ordering::Relaxed)),
            _ => times.failed += 1,
        }
        match status {
            _ if begun < self.warm => {}
            200 => {
                times.accepted.push(took);
                times.batches.extend((delivery.events > 1).then_some(took));
            }
            503 => times.refused.push(took),
            _ => {}
        }
    }
}

async fn connect(port: u16) -> Result<SendRequest<Full<Bytes>>, BoxError> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(sender: &mut SendRequest<Full<Bytes>>, delivery: &Delivery) -> Result<u16, BoxError> {
    sender.ready().await?;
    let request = Request::post("/")
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .header(SIGNATURE_HEADER, &delivery.signature)
        .body(Full::new(delivery.body.clone()))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await?;
    Ok(status)
}
