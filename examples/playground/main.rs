//! A page in the browser on which one person plays a customer and an agent, and sees how a bot, a desk and Meta hand the
//! conversation over: the simulated platform, both hosts and the page in one process, on this machine only.
//!
//! ```text
//! cargo run --example playground
//! cargo run --example playground -- --port 8090
//! ```

mod stage;
mod traffic;

use std::process::ExitCode;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use messenger_handover::prelude::*;
use messenger_sim::page::{DIAGRAM_CSS, DIAGRAM_JS};
use pico_args::Arguments;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::RwLock;

use stage::{Deed, RuleSet, Stage};

const HELP: &str = "\
A page in the browser that plays a handover between a simulated Messenger platform, a bot and an agent desk.

  --port N   the port on 127.0.0.1, a free one if not given
";

/// The stage that is on, and its number.
#[derive(Clone)]
struct Playground(Arc<RwLock<(u64, Stage)>>);

#[derive(Deserialize)]
struct Seen {
    #[serde(default)]
    stage: u64,
    #[serde(default)]
    after: usize,
}

/// The setting of a new stage.
#[derive(Deserialize)]
struct Setting {
    policy: ThreadControlPolicy,
    rules: RuleSet,
}

struct Refused(BoxError);

impl<E: Into<BoxError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, self.0.to_string()).into_response()
    }
}

async fn state(playground: State<Playground>, Query(seen): Query<Seen>) -> Result<Json<Value>, Refused> {
    let (number, stage) = &*playground.0.0.read().await;
    let after = if seen.stage == *number { seen.after } else { 0 };
    let mut shown = stage.shown(after).await?;
    shown["stage"] = json!(number);
    Ok(Json(shown))
}

/// Only JSON is accepted, because a browser lets other sites send that with our consent only.
async fn act(playground: State<Playground>, Json(deed): Json<Deed>) -> Result<(), Refused> {
    playground.0.0.read().await.1.act(deed).await?;
    Ok(())
}

/// Starts over with a fresh platform and fresh hosts.
async fn start_over(playground: State<Playground>, Json(new): Json<Setting>) -> Result<(), Refused> {
    let fresh = Stage::start(new.policy, new.rules).await?;
    let old = {
        let mut on = playground.0.0.write().await;
        let number = on.0 + 1;
        std::mem::replace(&mut *on, (number, fresh))
    };
    old.1.stop().await;
    Ok(())
}

async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript")], [DIAGRAM_JS, include_str!("page.js")].concat())
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css")], [DIAGRAM_CSS, include_str!("page.css")].concat())
}

/// Serves the page until the future is dropped or `stop` resolves.
///
/// # Errors
/// The platform or a host cannot start, for example because no port is free.
pub async fn serve(listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), BoxError> {
    let stage = Stage::start(ThreadControlPolicy::BotPrimary, RuleSet::Routing).await?;
    let playground = Playground(Arc::new(RwLock::new((1, stage))));
    let router = Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/page.js", get(script))
        .route("/page.css", get(style))
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .route("/api/state", get(state))
        .route("/api/act", post(act))
        .route("/api/start-over", post(start_over))
        .with_state(playground.clone());
    println!("playground: http://{}/", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, router) => served?,
        () = stop => {}
    }
    playground.0.read().await.1.stop().await;
    Ok(())
}

async fn run(mut arguments: Arguments) -> Result<(), BoxError> {
    let port = arguments.opt_value_from_str("--port")?.unwrap_or(0);
    let rest = arguments.finish();
    if !rest.is_empty() {
        return Err(format!("unknown arguments {rest:?}\n\n{HELP}").into());
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    serve(listener, async { drop(tokio::signal::ctrl_c().await) }).await
}

#[tokio::main]
async fn main() -> ExitCode {
    messenger_sim::program::log_to_stderr();
    let mut arguments = Arguments::from_env();
    if arguments.contains(["-h", "--help"]) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
