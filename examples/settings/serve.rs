//! An HTTP server for untrusted clients, with limits on time, connections and unverified bytes.
//!
//! `axum::serve` has none of these limits. TLS and limits per address belong in a proxy in front; see
//! `docs/operations.md`.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use messenger_handover::handover::{BoxError, Handover, Stopped};
use messenger_handover::routes::BodyLimits;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
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
    /// Limits on the bodies of requests.
    pub bodies: BodyLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 512, head: Duration::from_secs(10), bodies: BodyLimits::default() }
    }
}

/// Serves a host at `LISTEN` until the process receives a termination signal, then finishes the requests under way.
///
/// # Errors
/// `LISTEN` is missing, or is not a free address of this machine.
pub async fn run(name: &str, router: Router, limits: Limits, handover: &Handover) -> Result<(), BoxError> {
    let listen = std::env::var("LISTEN")
        .map_err(|_| "LISTEN: missing (the address to listen at, as 127.0.0.1:3000)")?;
    let listener = TcpListener::bind(listen).await?;
    let router = router.merge(operation(handover.clone()));
    let stopped = stopped()?;
    println!("{name}: the webhook is http://{}/webhook", listener.local_addr()?);
    serve(listener, router, limits, stopped).await;
    if let Stopped::Unfinished(tasks) = handover.stop(GRACE).await {
        tracing::warn!(tasks, "stopped with calls or handlers under way: the next process goes on with them");
    }
    Ok(())
}

/// `/healthz` for a load balancer, and `/metrics` in the format of Prometheus. Keep both from the public in the proxy.
fn operation(handover: Handover) -> Router {
    let service = handover.clone();
    let healthz = async move || match service.healthy(Duration::from_secs(2)).await {
        Ok(()) => (StatusCode::OK, "ok".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why.to_string()),
    };
    Router::new().route("/healthz", get(healthz)).route("/metrics", get(async move || metrics(&handover)))
}

fn metrics(handover: &Handover) -> String {
    let mut text = String::new();
    let mut last = "";
    for number in handover.stats().numbers() {
        if number.name != last {
            let kind = if number.is_counter { "counter" } else { "gauge" };
            let _ = writeln!(text, "# TYPE {} {kind}", number.name);
        }
        last = number.name;
        let _ = writeln!(text, "{number}");
    }
    text
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
