//! An agent desk: it sends agents' messages, takes, requests and releases control according to its policy, and
//! serves `POST /1.0/bots/handover` for bots. Agents use it with curl:
//!
//! ```text
//! GRAPH_URL=https://graph.facebook.com PAGE_ID=… PAGE_TOKEN=… APP_ID=… APP_SECRET=… VERIFY_TOKEN=… \
//! ED_TOKEN=… POLICY=bot_primary LISTEN=127.0.0.1:3001 cargo run --example agent_desk
//!
//! curl -X POST 127.0.0.1:3001/agent/$PSID/open
//! curl -X POST 127.0.0.1:3001/agent/$PSID/answer/ticket-7 -d 'How can I help you?'
//! curl -X POST 127.0.0.1:3001/agent/$PSID/close
//! curl 127.0.0.1:3001/agent/$PSID
//! ```
//!
//! `STORE` names where conversations are stored: `sqlite:desk.db`, `postgres://…`, `redis://…` (with `--features` of the same name).

mod customers;
#[path = "../settings/mod.rs"]
pub mod settings;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use messenger_handover::prelude::*;

use customers::Customers;
use settings::serve::{Limits, run};

#[derive(Clone)]
struct App {
    page: PageId,
    handover: Handover,
    customers: Customers,
    bodies: Bodies,
}

/// Builds the desk's HTTP routes and its service.
///
/// # Errors
/// The settings are invalid: the error names the setting to correct.
pub fn router(
    settings: &Settings,
    store: Arc<dyn ThreadStore>,
    bodies: BodyLimits,
) -> Result<(Router, Handover), BoxError> {
    let page = settings.page_id.clone();
    let customers = Customers::default();
    let handover = settings.desk(customers.clone())?.store(store).start()?;
    let webhook = settings.webhook(handover.clone());
    let ed_token = settings.ed_token.clone().ok_or("ED_TOKEN: missing (the token that bots have to send)")?;
    let bots = bots_api::Endpoint::new(ed_token, handover.clone(), customers.clone());
    let bodies = Bodies::new(bodies);
    let app = App { page, handover: handover.clone(), customers, bodies: bodies.clone() };
    let agents = Router::new()
        .route("/agent/{user}", get(shown))
        .route("/agent/{user}/{*action}", post(agent))
        .with_state(app);
    let routes = Routes::new().webhook(webhook).bots_api(bots).bodies(bodies);
    Ok((routes.into_router().merge(agents), handover))
}

/// An agent's action: `open`, `answer/KEY` with the text as body, or `close`.
async fn agent(
    app: State<App>,
    Path((user, action)): Path<(String, String)>,
    body: Body,
) -> Result<(StatusCode, String), Response<String>> {
    let text = app.bodies.read(body).await?;
    Ok(match act(&app, &user, &action, &String::from_utf8_lossy(&text)).await {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
    })
}

/// The agent's view of a customer.
async fn shown(app: State<App>, Path(user): Path<String>) -> (StatusCode, String) {
    let Ok(user) = UserId::new(user) else { return (StatusCode::BAD_REQUEST, "no such customer".to_owned()) };
    let thread = ThreadKey::new(app.page.clone(), user);
    match app.customers.shown(&app.handover, &thread).await {
        Ok(shown) => (StatusCode::OK, shown.to_string()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

async fn act(app: &App, user: &str, action: &str, text: &str) -> Result<(), BoxError> {
    let thread = ThreadKey::new(app.page.clone(), UserId::new(user)?);
    match action.split_once('/').unwrap_or((action, "")) {
        ("open", "") => app.handover.open_intervention(&thread).await?,
        ("close", "") => app.handover.close_intervention(&thread).await?,
        ("answer", key) => {
            app.customers.sends(&thread.user, key);
            app.handover.send(&thread, MessageKey::new(key)?, OutgoingMessage::text(text)?).await?;
        }
        _ => return Err("an agent can open, answer/KEY and close".into()),
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    settings::log();
    let settings = Settings::from_env()?;
    let limits = Limits::default();
    let (router, handover) = router(&settings, settings.open_store().await?, limits.bodies)?;
    run("agent desk", router, limits, &handover).await
}
