//! The measured servers, each a separate process that prints its port and exits when its standard input closes.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::routing::any;
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{BoxError, Handler, HandlerError, Handover, Notification};
use messenger_handover::id::{AppId, ThreadKey};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::secret::{AppSecret, VerifyToken};
use messenger_handover::store::{MemoryStore, RedisStore, SqliteStore, ThreadStore};
use messenger_handover::thread::{Actions, Notice};
use messenger_handover::webhook::{self, Verifier};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::common::deliveries::SECRET;

/// A handler that does nothing about any notification.
struct Deaf {
    /// Whether it decides about messages before they are saved.
    decides: bool,
}

#[async_trait]
impl Handler for Deaf {
    async fn notify(&self, _: &Handover, _: &Notification) -> Result<Actions, HandlerError> {
        Ok(Actions::none())
    }

    fn decide(&self, _: &ThreadKey, _: &Notice) -> Option<Actions> {
        self.decides.then(Actions::none)
    }
}

async fn webhook(
    server: State<webhook::Endpoint>,
    method: Method,
    query: RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response<String> {
    server.handle(&method, query.0.as_deref(), &headers, &body).await
}

/// A complete host over this store.
fn ours(store: impl ThreadStore, decides: bool) -> Result<Router, BoxError> {
    // No measured work calls Graph.
    let graph = GraphClient::builder().base_url("http://127.0.0.1:9".parse()?).build()?;
    let (app, policy) = (AppId::from(1001), ThreadControlPolicy::BotPrimary);
    let handover = Handover::builder(app, Role::Bot, policy, Arc::new(graph), Deaf { decides });
    let handover = handover.store(store).start()?;
    let verifier = Verifier::new(AppSecret::new(SECRET));
    let server = webhook::Endpoint::new(verifier, VerifyToken::new("a verify token"), handover);
    Ok(Router::new().route("/", any(webhook)).with_state(server))
}

/// A server that reads the body and responds with 200.
fn noop() -> Router {
    async fn read(_: HeaderMap, _: Bytes) -> StatusCode {
        StatusCode::OK
    }
    Router::new().route("/", any(read))
}

/// A mock of Graph that accepts messages.
fn graph() -> Router {
    async fn sent(_: Bytes) -> ([(&'static str, &'static str); 1], &'static str) {
        let json = r#"{"recipient_id":"7000000000000077","message_id":"m_AG5Hz2Uq7tuwNEhXfYYKj8mJEM_QPpz5jdCK48PnKAjSdjfipqx"}"#;
        ([("content-type", "application/json")], json)
    }
    Router::new().route("/{*any}", any(sent))
}

pub async fn serve(what: &str) -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let router = match what {
        "ours" => ours(MemoryStore::new(), true)?,
        "notified" => ours(MemoryStore::new(), false)?,
        "sqlite" => ours(SqliteStore::open(folder.path().join("ours.db"))?, true)?,
        "redis" => {
            let url = std::env::var("TEST_REDIS_URL")?;
            ours(RedisStore::builder(url).prefix("handover_edge").connect().await?, true)?
        }
        "noop" => noop(),
        "graph" => graph(),
        _ => return Err("there are: ours, notified, sqlite, redis, noop, graph".into()),
    };
    let router = router.layer(DefaultBodyLimit::max(webhook::DEFAULT_MAX_BODY));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let ended = async { drop(tokio::io::stdin().read_to_end(&mut Vec::new()).await) };
    Ok(axum::serve(listener, router).with_graceful_shutdown(ended).await?)
}
