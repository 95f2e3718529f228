//! A bot that replies while it has control, and hands over to people when the customer asks for them.
//!
//! It runs against the real Graph API and Engage Digital, or against the simulator, by changing one URL:
//!
//! ```text
//! GRAPH_URL=https://graph.facebook.com PAGE_ID=… PAGE_TOKEN=… APP_ID=… APP_SECRET=… VERIFY_TOKEN=… \
//! ED_URL=https://my-domain.api.engagement.dimelo.com ED_TOKEN=… DESK_APP_ID=… \
//! POLICY=bot_primary LISTEN=127.0.0.1:3000 cargo run --example bot
//! ```

pub mod settings;

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, Response};
use axum::routing::any;
use messenger_handover::bots_api;
use messenger_handover::call::OutgoingMessage;
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{Handler, HandlerError, Handover, Notification};
use messenger_handover::id::AppId;
use messenger_handover::policy::Role;
use messenger_handover::thread::{Actions, Notice, Target};
use messenger_handover::webhook::{self, Verifier};
use url::Url;

use settings::serve::{Bodies, run};
use settings::{Settings, env};

struct Bot;

#[async_trait]
impl Handler for Bot {
    async fn notify(&self, _: &Handover, notification: &Notification) -> Result<Actions, HandlerError> {
        let mut actions = Actions::none();
        for message in notification.to_answer() {
            let text = message.text.as_deref().unwrap_or_default();
            let wants_a_person = text.to_lowercase().contains("person");
            // The platform accepts at most 2,000 characters.
            let quoted: String = text.chars().take(100).collect();
            let reply = if wants_a_person {
                "I am a bot. A colleague will be with you in a moment.".to_owned()
            } else {
                format!("I am a bot. You wrote {quoted:?}. Ask for a person to get one.")
            };
            actions = actions.and_reply_to(message, OutgoingMessage::text(reply)?);
            if wants_a_person {
                actions = actions.and_hand_over(Target::Desk).with_note("the customer asked for a person");
            }
        }
        // Other notices are not logged, because they can contain the customer's text.
        if let Notice::MessageFailed { key, reason } = &notification.notice {
            tracing::warn!(thread = %notification.thread, %key, %reason, "not sent");
        } else {
            tracing::debug!(thread = %notification.thread, id = ?notification.id, "told");
        }
        Ok(actions)
    }
}

/// Builds the bot's HTTP routes and its service.
///
/// # Errors
/// The settings are invalid: the error names the setting to correct.
pub fn router(
    settings: Settings,
    ed_url: &Url,
    desk_app: AppId,
) -> Result<(Router, Handover), Box<dyn Error>> {
    let graph = GraphClient::builder()
        .base_url(settings.graph_url)
        .page(settings.page, settings.page_token)
        .build()?;
    let desk = bots_api::Client::new(ed_url, settings.ed_token)?;
    let handover = Handover::builder(settings.app, Role::Bot, settings.policy, Arc::new(graph), Bot)
        .desk_app(desk_app)
        .desk_endpoint(Arc::new(desk))
        .start()?;
    let verifier = Verifier::new(settings.app_secret);
    let server = webhook::Endpoint::new(verifier, settings.verify_token, handover.clone());
    let bodies = Bodies::new(settings.limits);
    Ok((Router::new().route("/webhook", any(webhook)).with_state((server, bodies)), handover))
}

async fn webhook(
    State((server, bodies)): State<(webhook::Endpoint, Bodies)>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<String>, Response<String>> {
    // Most requests that are not from Meta are refused before their body is read.
    server.check_head(&method, &headers)?;
    let body = bodies.read(body).await?;
    Ok(server.handle(&method, query.as_deref(), &headers, &body).await)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    settings::log();
    let settings = Settings::from_env()?;
    let limits = settings.limits;
    let (router, handover) = router(settings, &env("ED_URL")?.parse()?, env("DESK_APP_ID")?.parse()?)?;
    run("bot", router, limits, &handover).await
}
