//! One axum router for all endpoints of a host, with limits on the bodies of clients that have not proved who they are.
//!
//! ```no_run
//! use messenger_handover::prelude::*;
//!
//! # async fn serve(handover: Handover) -> Result<(), BoxError> {
//! let verifier = Verifier::new(std::env::var("APP_SECRET")?.into());
//! let endpoint = webhook::Endpoint::new(verifier, std::env::var("VERIFY_TOKEN")?.into(), handover);
//! let router = Routes::new().webhook(endpoint).into_router();
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, router).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Limit connections and the time for a request's head as well: `axum::serve` does neither, a proxy or a server of your own can.
//!
//! The router is a `tower::Service` of requests of `http` 1, so layers of tower wrap it, and other servers than `axum::serve` serve
//! it. With hyper, the time for a head has a limit:
//!
//! ```
//! use axum::Router;
//! use hyper::server::conn::http1;
//! use hyper_util::rt::{TokioIo, TokioTimer};
//! use hyper_util::service::TowerToHyperService;
//! use std::time::Duration;
//! use tokio::net::TcpListener;
//!
//! async fn serve(listener: TcpListener, router: Router) -> std::io::Result<()> {
//!     let mut http = http1::Builder::new();
//!     http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
//!     loop {
//!         let (stream, _) = listener.accept().await?;
//!         let service = TowerToHyperService::new(router.clone());
//!         tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
//!     }
//! }
//! ```

mod bodies;

pub use bodies::{Bodies, BodyLimits, Held};

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::routing::any;
use http::{HeaderMap, Method, Response};

use crate::bots_api;
use crate::engage;
use crate::webhook;

/// The path of Meta's webhook.
pub const WEBHOOK: &str = "/webhook";
/// The path of Engage Digital's webhook.
pub const ENGAGE: &str = "/engage";

/// Collects the endpoints of a host.
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is served until `into_router`"]
pub struct Routes {
    webhook: Option<webhook::Endpoint>,
    bots_api: Option<bots_api::Endpoint>,
    engage: Option<engage::Endpoint>,
    bodies: Option<Bodies>,
}

impl Routes {
    /// No routes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves Meta's webhook at [`WEBHOOK`].
    pub fn webhook(mut self, endpoint: webhook::Endpoint) -> Self {
        self.webhook = Some(endpoint);
        self
    }

    /// Serves Engage Digital's Bots API at [`bots_api::PATH`], for a desk.
    pub fn bots_api(mut self, endpoint: bots_api::Endpoint) -> Self {
        self.bots_api = Some(endpoint);
        self
    }

    /// Serves Engage Digital's webhook at [`ENGAGE`].
    pub fn engage(mut self, endpoint: engage::Endpoint) -> Self {
        self.engage = Some(endpoint);
        self
    }

    /// Reads bodies within these limits, which the host's own routes can share. [`BodyLimits::default`] if not set.
    pub fn bodies(mut self, bodies: Bodies) -> Self {
        self.bodies = Some(bodies);
        self
    }

    /// The router. Merge it into that of the host.
    pub fn into_router(self) -> Router {
        let bodies = self.bodies.unwrap_or_else(|| Bodies::new(BodyLimits::default()));
        let mut router = Router::new();
        if let Some(endpoint) = self.webhook {
            let state = (endpoint, bodies.clone());
            router = router.merge(Router::new().route(WEBHOOK, any(webhook)).with_state(state));
        }
        if let Some(endpoint) = self.engage {
            let state = (endpoint, bodies);
            router = router.merge(Router::new().route(ENGAGE, any(engage)).with_state(state));
        }
        if let Some(endpoint) = self.bots_api {
            router = router.merge(Router::new().route(bots_api::PATH, any(bots_api)).with_state(endpoint));
        }
        router
    }
}

/// Most requests of strangers are refused before their body is read.
async fn webhook(
    State((endpoint, bodies)): State<(webhook::Endpoint, Bodies)>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<String>, Response<String>> {
    endpoint.check_head(&method, &headers)?;
    let body = bodies.read(body).await?;
    Ok(endpoint.handle(&method, query.as_deref(), &headers, &body).await)
}

async fn engage(
    State((endpoint, bodies)): State<(engage::Endpoint, Bodies)>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<String>, Response<String>> {
    endpoint.check_head(&method, &headers)?;
    let body = bodies.read(body).await?;
    Ok(endpoint.handle(&method, query.as_deref(), &headers, &body).await)
}

/// The parameters are in the query; the body is not read.
async fn bots_api(
    State(endpoint): State<bots_api::Endpoint>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<String> {
    endpoint.handle(&method, query.as_deref(), &headers).await
}
