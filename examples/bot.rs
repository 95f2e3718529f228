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

use axum::Router;
use messenger_handover::prelude::*;
use messenger_handover::routes::Bodies;
use url::Url;

use settings::serve::run;
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
    let endpoint = webhook::Endpoint::new(verifier, settings.verify_token, handover.clone());
    Ok((Routes::new().webhook(endpoint).bodies(Bodies::new(settings.limits.bodies)).into_router(), handover))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    settings::log();
    let settings = Settings::from_env()?;
    let limits = settings.limits;
    let (router, handover) = router(settings, &env("ED_URL")?.parse()?, env("DESK_APP_ID")?.parse()?)?;
    run("bot", router, limits, &handover).await
}
