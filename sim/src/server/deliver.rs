//! Delivers webhooks: in order for each app, signed, and repeated until the app answers 200.

use std::fmt::Write as _;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha1::Sha1;
use sha2::Sha256;
use tokio::sync::mpsc;

use super::state::{Shared, State};
use super::wire::Wire;
use crate::platform::Delivery;
use messenger_handover::id::AppId;
use messenger_handover::secret::AppSecret;
use messenger_handover::time::Timestamp;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The time by the platform's clock after which a failing endpoint's app is
/// [unsubscribed](messenger_handover::protocol#redelivery).
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// The fewest attempts, however far the clock jumps.
const FEWEST_TRIES: u32 = 3;

/// Starts a worker for each app with pending webhooks, until the server is gone.
pub(super) async fn run(shared: Weak<Shared>, mut ready: mpsc::UnboundedReceiver<AppId>) {
    while let Some(app) = ready.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        shared.spawn(work(Arc::clone(&shared), app));
    }
}

/// Delivers the pending webhooks of one app, in order.
async fn work(shared: Arc<Shared>, app: AppId) {
    while let Some((era, delivery)) = shared.next(&app) {
        let delivered = deliver(&shared, era, &delivery).await;
        shared.done(era, delivered);
    }
}

/// Repeats a webhook until the app answers 200 or is unsubscribed; returns whether it was delivered.
async fn deliver(shared: &Shared, era: u64, delivery: &Delivery) -> bool {
    let mut pause = FIRST_PAUSE;
    let mut first = None;
    for attempt in 1.. {
        // Made for each attempt, because the app's callback may have changed.
        let Some(letter) = depart(&mut shared.lock(), era, delivery, attempt) else { return false };
        let first = *first.get_or_insert(letter.at);
        let post = shared.client.post(letter.url).header("content-type", "application/json");
        let post = post.header("x-hub-signature-256", letter.sha256).header("x-hub-signature", letter.sha1);
        let answer = post.body(letter.body).send().await;
        let status = answer.ok().map(|answer| answer.status().as_u16());
        let now = {
            let mut state = shared.lock();
            let now = state.tick();
            let line =
                json!({"of": letter.seq, "app": delivery.app, "label": delivery.label, "status": status});
            state.transcript.write(now, "webhook_answer", line);
            now
        };
        if status == Some(200) {
            return true;
        }
        if attempt >= FEWEST_TRIES && now.since(first) >= PATIENCE {
            break;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    tracing::warn!(app = %delivery.app, page = %delivery.page, "an hour without a 200: the app is unsubscribed");
    shared.unsubscribe(era, &delivery.app, &delivery.page);
    false
}

struct Letter {
    seq: u64,
    at: Timestamp,
    url: String,
    body: String,
    sha256: String,
    sha1: String,
}

/// Addresses and signs a webhook, and notifies the observer just before it is sent.
fn depart(state: &mut State, era: u64, delivery: &Delivery, attempt: u32) -> Option<Letter> {
    // The app may have been unsubscribed since the webhook was made.
    let subscribed = state.era == era && state.platform.is_subscribed(&delivery.page, &delivery.app);
    let app = state.platform.app(&delivery.app).filter(|_| subscribed)?;
    let url = app.callback.clone()?;
    let body = escape(&envelope(state, delivery));
    let sha256 = format!("sha256={}", sign(&app.secret, body.as_bytes()));
    let sha1 = format!("sha1={}", sign_as_before(&app.secret, body.as_bytes()));
    state.observe(Some(Wire::Webhook {
        app: delivery.app.clone(),
        label: delivery.label,
        channel: delivery.channel,
        item: delivery.item.clone(),
        attempt,
    }));
    let at = state.tick();
    let shown: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let line = json!({"app": delivery.app, "page": delivery.page, "user": delivery.user, "label": delivery.label,
        "channel": delivery.channel.name(), "attempt": attempt, "body": shown});
    let seq = state.transcript.write(at, "webhook", line);
    Some(Letter { seq, at, url, body, sha256, sha1 })
}

/// The [body](messenger_handover::protocol#webhook-envelope). Standby replaces messaging in the same shape of entry. Instagram
/// has its own `object`; under Instagram Login events come as `changes`, each with its field (inferred).
fn envelope(state: &State, delivery: &Delivery) -> String {
    let account = &delivery.page;
    let mut entry = json!({"id": account, "time": delivery.at.as_millis()});
    if state.platform.is_instagram_login(account) {
        let field = match delivery.channel.name() {
            "standby" => "standby",
            _ => state.platform.field_of(account, delivery.label),
        };
        entry["changes"] = json!([{"field": field, "value": delivery.item}]);
    } else {
        entry[delivery.channel.name()] = json!([delivery.item]);
    }
    if let Some(context) = &delivery.hop_context {
        entry["hop_context"] = context.clone();
    }
    let object = if state.platform.is_instagram(account) { "instagram" } else { "page" };
    json!({"object": object, "entry": [entry]}).to_string()
}

/// Writes all characters beyond ASCII as `\uXXXX` with lower-case digits, as [Meta](messenger_handover::protocol#signatures)
/// does. JSON has such characters in strings only, so the meaning stays.
pub(super) fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String never fails.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

/// HMAC-SHA256 in lower-case hex, as in [`X-Hub-Signature-256`](messenger_handover::protocol#signatures) and
/// [`appsecret_proof`](messenger_handover::protocol#tokens).
pub(super) fn sign(secret: &AppSecret, body: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("any key");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// HMAC-SHA1 in lower-case hex, as in the older [`X-Hub-Signature`](messenger_handover::protocol#signatures).
fn sign_as_before(secret: &AppSecret, body: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.expose_secret().as_bytes()).expect("any key");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}
