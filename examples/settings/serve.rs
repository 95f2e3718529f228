//! An HTTP server for untrusted clients, with limits on time, connections and unverified bytes.
//!
//! `axum::serve` has none of these limits. TLS and limits per address belong in a proxy in front; see
//! `docs/operations.md`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use messenger_handover::handover::{Handover, Stopped};
use messenger_handover::webhook;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

/// The read buffer of a connection in bytes, which also limits the head of a request.
const READ_BUFFER: usize = 16 * 1024;
/// Time that requests under way have to finish on shutdown.
const GRACE: Duration = Duration::from_secs(10);

/// Limits for unauthenticated clients.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Number of concurrent connections. Further ones wait to be accepted.
    pub connections: usize,
    /// Timeout for the head of a request, and for an idle connection.
    pub head: Duration,
    /// Timeout for the body of a request.
    pub body: Duration,
    /// The longest body in bytes.
    pub max_body: usize,
    /// Bytes of all bodies in memory. Beyond it, the oldest body that is still being read is dropped.
    pub held: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            max_body: webhook::DEFAULT_MAX_BODY,
            held: 4 * webhook::DEFAULT_MAX_BODY,
        }
    }
}

/// Serves a host at `LISTEN` until the process receives a termination signal, then finishes the requests under way.
///
/// # Errors
/// `LISTEN` is missing, or is not a free address of this machine.
pub async fn run(
    name: &str,
    router: Router,
    limits: Limits,
    handover: &Handover,
) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(super::env("LISTEN")?).await?;
    let stopped = stopped()?;
    println!("{name}: the webhook is http://{}/webhook", listener.local_addr()?);
    serve(listener, router, limits, stopped).await;
    if let Stopped::Unfinished(tasks) = handover.stop(GRACE).await {
        tracing::warn!(tasks, "stopped with calls or handlers under way: the next process goes on with them");
    }
    Ok(())
}

/// Serves until `stop`, then finishes the requests under way.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: impl Future<Output = ()>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(READ_BUFFER);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accept = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, stream) = tokio::select! {
            (slot, accepted) = accept => match accepted {
                Ok((stream, _)) => (slot, stream),
                Err(error) => {
                    // Usually the process is out of file descriptors, which passes when connections close.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(slot);
        });
    }
    drop(listener);
    // Later requests are cut off, and their clients repeat them.
    let _ = timeout(GRACE, graceful.shutdown()).await;
}

/// Resolves at ctrl-c or SIGTERM. After the call, neither signal ends the process by itself.
#[cfg(unix)]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}

/// Resolves at ctrl-c.
#[cfg(not(unix))]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}

/// Reads request bodies within a time limit and within a shared memory limit.
#[derive(Debug, Clone)]
pub struct Bodies {
    limits: Limits,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of all bodies in memory.
    held: usize,
    next: u64,
    /// The bodies that are being read, oldest first.
    reading: BTreeMap<u64, Reading>,
}

#[derive(Debug)]
struct Reading {
    bytes: usize,
    evict: oneshot::Sender<()>,
}

/// A body in memory. It counts towards the limit until it is dropped.
#[derive(Debug)]
pub struct Held {
    bodies: Bodies,
    id: u64,
    bytes: Vec<u8>,
    complete: bool,
}

impl Bodies {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: Arc::default() }
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// The response to send: the body is too long, too slow, broken, or was dropped to make room.
    pub async fn read(&self, body: Body) -> Result<Held, Response<String>> {
        let (evict, evicted) = oneshot::channel();
        let id = {
            let mut state = self.state();
            let id = state.next;
            state.next += 1;
            state.reading.insert(id, Reading { bytes: 0, evict });
            id
        };
        let mut held = Held { bodies: self.clone(), id, bytes: Vec::new(), complete: false };
        let read = tokio::select! {
            read = self.fill(&mut held, body) => read,
            _ = evicted => Err(StatusCode::SERVICE_UNAVAILABLE),
            () = sleep(self.limits.body) => Err(StatusCode::REQUEST_TIMEOUT),
        };
        read.map(|()| held).map_err(refused)
    }

    async fn fill(&self, held: &mut Held, mut body: Body) -> Result<(), StatusCode> {
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else { continue };
            if held.bytes.len() + data.len() > self.limits.max_body {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            if !self.make_room(held.id, data.len()) {
                return Err(StatusCode::SERVICE_UNAVAILABLE);
            }
            held.bytes.extend_from_slice(&data);
        }
        // A complete body is verified at once, so it is no longer dropped to make room.
        held.complete = self.state().reading.remove(&held.id).is_some();
        if held.complete { Ok(()) } else { Err(StatusCode::SERVICE_UNAVAILABLE) }
    }

    /// Counts more bytes of a body; returns false if this body must be dropped. The platform sends a delivery at once, so
    /// the body that has been read for longest is the least likely to be a delivery.
    fn make_room(&self, id: u64, more: usize) -> bool {
        let mut state = self.state();
        let Some(own) = state.reading.get_mut(&id) else { return false };
        own.bytes += more;
        state.held += more;
        while state.held > self.limits.held
            && let Some((_, oldest)) = state.reading.pop_first()
        {
            state.held -= oldest.bytes;
            // Its reader may have finished meanwhile.
            let _ = oldest.evict.send(());
        }
        state.reading.contains_key(&id)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.bodies.state();
        let bytes = match state.reading.remove(&self.id) {
            Some(reading) => reading.bytes,
            None if self.complete => self.bytes.len(),
            None => 0,
        };
        state.held -= bytes;
    }
}

/// A response that closes the connection, because the rest of the body is not read.
fn refused(status: StatusCode) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = status;
    response
}
