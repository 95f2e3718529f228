//! A bot that replies while it has control, and hands over to people when the customer asks for them.
//!
//! It runs against the real Graph API and Engage Digital, or against the simulator, by changing one URL:
//!
//! ```text
//! GRAPH_URL=https://graph.facebook.com PAGE_ID=… PAGE_TOKEN=… APP_ID=… APP_SECRET=… VERIFY_TOKEN=… \
//! ED_URL=https://my-domain.api.engagement.dimelo.com ED_TOKEN=… DESK_APP_ID=… \
//! POLICY=bot_primary LISTEN=127.0.0.1:3000 cargo run --example bot
//! ```
//!
//! `STORE` names where conversations are stored: `sqlite:bot.db`, `postgres://…`, `redis://…` (with `--features` of the same name).

pub mod settings;

use std::sync::Arc;

use axum::Router;
use messenger_handover::prelude::*;

use settings::serve::{Limits, run};

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
    settings: &Settings,
    store: Arc<dyn ThreadStore>,
    bodies: BodyLimits,
) -> Result<(Router, Handover), BoxError> {
    let handover = settings.bot(Bot)?.store(store).start()?;
    let routes = Routes::new().webhook(settings.webhook(handover.clone())).bodies(Bodies::new(bodies));
    Ok((routes.into_router(), handover))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    settings::log();
    let settings = Settings::from_env()?;
    let limits = Limits::default();
    let (router, handover) = router(&settings, settings.open_store().await?, limits.bodies)?;
    run("bot", router, limits, &handover).await
}
