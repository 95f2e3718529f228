//! A bot: it answers while it has control, and hands over to people when the customer asks for them.
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
use messenger_handover::call::{AnswerKey, OutgoingMessage};
use messenger_handover::event::Inbound;
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{BoxError, Handler, Handover, Told};
use messenger_handover::id::{AppId, ThreadKey};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::thread::{Notice, Target};
use messenger_handover::webhook::{self, Verifier};
use url::Url;

use settings::serve::{Bodies, run};
use settings::{Settings, env};

struct Bot {
    policy: ThreadControlPolicy,
}

#[async_trait]
impl Handler for Bot {
    async fn told(&self, handover: &Handover, told: &Told) -> Result<(), BoxError> {
        match &told.notice {
            // Where the desk is primary the bot asks it for control, and is refused while an agent is engaged.
            Notice::Message { inbound, ours, .. }
                if *ours || self.policy == ThreadControlPolicy::EdPrimary =>
            {
                answer(handover, &told.thread, inbound).await?;
            }
            Notice::ControlGained { unanswered, .. } => {
                for inbound in unanswered {
                    answer(handover, &told.thread, inbound).await?;
                }
            }
            // What else it is told is not for the log as a whole: it can hold what the customer wrote.
            Notice::AnswerFailed { key, reason } => {
                tracing::warn!(thread = %told.thread, %key, %reason, "not sent");
            }
            _ => tracing::debug!(thread = %told.thread, id = ?told.id, "told"),
        }
        Ok(())
    }
}

/// A message can be told twice, so its answer is known by the message's id.
async fn answer(handover: &Handover, thread: &ThreadKey, inbound: &Inbound) -> Result<(), BoxError> {
    let Some(mid) = &inbound.mid else { return Ok(()) };
    let text = inbound.text.as_deref().unwrap_or_default();
    let wants_a_person = text.to_lowercase().contains("person");
    // The platform takes no more than 2,000 characters.
    let quoted: String = text.chars().take(100).collect();
    let reply = if wants_a_person {
        "I am a bot. A colleague will be with you in a moment.".to_owned()
    } else {
        format!("I am a bot. You wrote {quoted:?}. Ask for a person to get one.")
    };
    handover.send(thread, AnswerKey::new(format!("answer-to-{mid}"))?, OutgoingMessage::text(reply)?).await?;
    if wants_a_person {
        handover.hand_over(thread, Target::Desk).await?;
    }
    Ok(())
}

/// The bot's HTTP server.
///
/// # Errors
/// The settings make no sense.
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
    let (app, policy) = (settings.app, settings.policy);
    let handover = Handover::builder(app, Role::Bot, policy, Arc::new(graph), Bot { policy })
        .desk_app(desk_app)
        .desk_endpoint(Arc::new(desk))
        .start()?;
    let verifier = Verifier::new(settings.app_secret);
    let server = webhook::Server::new(verifier, settings.verify_token, handover.clone());
    let bodies = Bodies::new(settings.limits);
    Ok((Router::new().route("/webhook", any(webhook)).with_state((server, bodies)), handover))
}

async fn webhook(
    State((server, bodies)): State<(webhook::Server, Bodies)>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<String>, Response<String>> {
    // Most of what is not Meta's is refused before its body is read.
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
