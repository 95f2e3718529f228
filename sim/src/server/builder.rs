//! Configures and starts a [`Server`].

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Html;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::config::{Config, ConfigError, Limits, Tls};
use super::faults::{Fault, Faults};
use super::state::{Shared, State};
use super::tls::TlsListener;
use super::transcript::{Transcript, TranscriptSink};
use super::usage::Usage;
use super::wire::Observer;
use super::{MAX_BODY, Server, StartError, client, graph, steer};
use crate::platform::Platform;

/// Configures and starts a [`Server`].
#[must_use]
pub struct Builder {
    platform: Platform,
    port: u16,
    observer: Option<Observer>,
    sink: Option<TranscriptSink>,
    faults: Vec<Fault>,
    seed: u64,
    limits: Limits,
    speed: f64,
    tls: Option<Tls>,
    page: Option<String>,
}

impl Builder {
    pub(super) fn new(platform: Platform) -> Self {
        Self {
            platform,
            port: 0,
            observer: None,
            sink: None,
            faults: Vec::new(),
            seed: 0,
            limits: Limits::default(),
            speed: 1.0,
            tls: None,
            page: None,
        }
    }

    /// Builds a server from a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] if the configuration is invalid.
    pub fn from_config(config: &Config) -> Result<Self, ConfigError> {
        let built = Server::builder(config.platform()?);
        let Config { faults, seed, limits, clock, tls, .. } = config.clone();
        Ok(Self { faults, seed, limits, speed: clock.speed, tls, ..built })
    }

    /// Sets the port on 127.0.0.1. Default: a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Calls `observer` with everything on the wire.
    pub fn observer(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Calls `sink` with each line of the transcript: JSON without a line break.
    pub fn transcript(mut self, sink: TranscriptSink) -> Self {
        self.sink = Some(sink);
        self
    }

    /// Sets the faults that are active from the start.
    pub fn faults(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }

    /// Sets the seed of faults with a chance; the same seed repeats them. Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Serves this HTML at the root, for browsers.
    pub fn page(mut self, html: impl Into<String>) -> Self {
        self.page = Some(html.into());
        self
    }

    /// Binds a port of 127.0.0.1 and serves until the [`Server`] is dropped. Call it in a Tokio runtime. If the returned future
    /// is dropped, nothing is started.
    ///
    /// # Errors
    /// [`StartError`], each kind with its cause.
    pub async fn start(self) -> Result<Server, StartError> {
        let client = client().map_err(|source| StartError::Client(source.into()))?;
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.map_err(StartError::Bind)?;
        let address = listener.local_addr().map_err(StartError::Bind)?;
        let secrets = self.platform.secrets();
        let mut state = State::new(
            self.platform,
            self.observer,
            Transcript::new(self.sink, secrets),
            Faults::new(self.faults, self.seed),
            Usage::new(self.limits),
        );
        state.clock.set_speed(self.speed);
        let shared = Shared::new(state, client);
        let mut router = Router::new().fallback(graph::answer);
        if let Some(page) = self.page {
            router = router
                .route("/", get(move || async { Html(page) }).fallback(graph::answer))
                .route("/favicon.ico", get(|| async { axum::http::StatusCode::NO_CONTENT }));
        }
        let router = router.with_state(Arc::clone(&shared)).merge(steer::router(Arc::clone(&shared)));
        let router = router.layer(DefaultBodyLimit::max(MAX_BODY));
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            // Ends when the sender is dropped with the server.
            let _ = stopped.await;
        };
        let encrypted = self.tls.is_some();
        let serving = match self.tls {
            None => tokio::spawn(axum::serve(listener, router).with_graceful_shutdown(stopped).into_future()),
            Some(tls) => {
                let listener = TlsListener::new(listener, &tls).map_err(StartError::Tls)?;
                tokio::spawn(axum::serve(listener, router).with_graceful_shutdown(stopped).into_future())
            }
        };
        tokio::spawn(async move {
            if let Ok(Err(error)) = serving.await {
                tracing::error!(%error, "the simulated platform stopped");
            }
        });
        Ok(Server { shared, address, encrypted, _stop: stop })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("platform", &self.platform).finish_non_exhaustive()
    }
}
