//! Webhooks on their way: one after the other per app, signed, and again until the app answers 200.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::state::Shared;
use super::wire::Wire;
use crate::id::AppId;
use crate::secret::AppSecret;
use crate::sim::platform::Delivery;

/// How often a webhook is sent before it is given up. Meta's own schedule is longer (facts §4.4).
pub(super) const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Delivers what waits for one app, in order.
pub(super) async fn work(shared: Arc<Shared>, app: AppId) {
    while let Some(delivery) = shared.next(&app) {
        let delivered = deliver(&shared, &delivery).await;
        shared.done(delivered);
    }
}

async fn deliver(shared: &Shared, delivery: &Delivery) -> bool {
    let body = escape(&envelope(delivery));
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=TRIES {
        // Read anew each time: a host may have moved in between.
        let Some((url, signature)) = depart(shared, delivery, &body, attempt) else { return false };
        let post = shared.client.post(url).header("content-type", "application/json");
        let post = post.header("x-hub-signature-256", signature).body(body.clone());
        if let Ok(answer) = post.send().await
            && answer.status().as_u16() == 200
        {
            return true;
        }
        if attempt < TRIES {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
    tracing::warn!(app = %delivery.app, label = delivery.label, "a webhook was given up");
    false
}

/// Where it goes and how it is signed; it is observed here, just before it is sent.
fn depart(shared: &Shared, delivery: &Delivery, body: &str, attempt: u32) -> Option<(String, String)> {
    let state = shared.lock();
    let app = state.platform.app(&delivery.app)?;
    let url = app.callback.clone()?;
    let signature = format!("sha256={}", sign(&app.secret, body.as_bytes()));
    state.observe(Some(Wire::Webhook {
        app: delivery.app.clone(),
        label: delivery.label,
        channel: delivery.channel,
        item: delivery.item.clone(),
        attempt,
    }));
    Some((url, signature))
}

/// Facts §4.5: standby replaces messaging in the same shape of entry.
fn envelope(delivery: &Delivery) -> String {
    let mut entry = json!({"id": delivery.page, "time": delivery.at.as_millis()});
    entry[delivery.channel.name()] = json!([delivery.item]);
    json!({"object": "page", "entry": [entry]}).to_string()
}

/// Facts §4.3: Meta writes everything beyond ASCII as `\uXXXX` with lower-case digits. Outside of
/// strings JSON has no such characters, so this changes no meaning.
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

/// HMAC-SHA256 in lower-case hex, as in `X-Hub-Signature-256` and `appsecret_proof` (facts §3.3, §4.3).
pub(super) fn sign(secret: &AppSecret, body: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("any key");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}
