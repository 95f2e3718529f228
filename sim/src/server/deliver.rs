//! Delivers webhooks: signed, in order within a conversation, and repeated until the app answers 200.

use std::fmt::Write as _;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;
use tokio::sync::{Semaphore, mpsc};

use super::outgoing::Line;
use super::state::{Shared, State};
use super::wire::Wire;
use crate::platform::Delivery;
use messenger_handover::id::{AppId, PageId};
use messenger_handover::secret::AppSecret;
use messenger_handover::time::Timestamp;

/// The pauses between the first attempts, for which the line of a webhook waits.
const SHORT_PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(100)];
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The time by the platform's clock after which a webhook is given up, and an endpoint that accepted none meanwhile is
/// [unsubscribed](messenger_handover::protocol#redelivery).
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// The fewest attempts, however far the clock jumps.
const FEWEST_TRIES: u32 = 3;

/// Starts a task for each line with waiting webhooks, until the server is gone.
pub(super) async fn run(shared: Weak<Shared>, mut ready: mpsc::UnboundedReceiver<Line>) {
    while let Some(line) = ready.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        let state = &mut shared.lock();
        let places = state.outgoing.places_of(&line.app);
        shared.spawn(state, work(Arc::clone(&shared), line, places));
    }
}

/// Sends the webhooks of a line, in order. One that is not accepted after the first attempts leaves the line, and is
/// [repeated](messenger_handover::protocol#redelivery) beside it.
async fn work(shared: Arc<Shared>, line: Line, places: Arc<Semaphore>) {
    let era = line.era;
    while let Some(events) = shared.next(&line) {
        let mut post = Post {
            shared: Arc::clone(&shared),
            places: Arc::clone(&places),
            era,
            events,
            tries: 0,
            first: None,
        };
        let mut outcome = post.attempt().await;
        for pause in SHORT_PAUSES {
            if matches!(outcome, Outcome::Again) {
                tokio::time::sleep(pause).await;
                outcome = post.attempt().await;
            }
        }
        match outcome {
            Outcome::Again => {
                let state = &mut shared.lock();
                if state.era == era {
                    shared.spawn(state, post.repeat());
                }
            }
            ended => post.end(&ended),
        }
    }
}

impl Shared {
    /// Takes the next webhooks of a line; `None` ends the line's task.
    fn next(&self, line: &Line) -> Option<Vec<Delivery>> {
        let state = &mut *self.lock();
        state.outgoing.next(line, &state.platform)
    }

    /// Counts webhooks as delivered or given up.
    fn done(&self, era: u64, count: usize, delivered: bool) {
        let mut state = self.lock();
        if state.era == era {
            state.outgoing.dropped += if delivered { 0 } else { count as u64 };
            self.finish(&mut state, count);
        }
    }

    /// Unsubscribes an app whose endpoint failed for 1 h, as [Meta](messenger_handover::protocol#redelivery) does. Its waiting
    /// webhooks from that Page are given up.
    fn unsubscribe(&self, era: u64, app: &AppId, page: &PageId) {
        let mut state = self.lock();
        if state.era != era {
            return;
        }
        let now = state.tick();
        state.platform.unsubscribe(page, app);
        state.transcript.write(now, "unsubscribed", json!({"app": app, "page": page}));
        let lost = state.outgoing.remove(app, |waiting| waiting.page == *page);
        state.outgoing.dropped += lost as u64;
        self.finish(&mut state, lost);
    }
}

/// A delivery: one or more events for one app.
struct Post {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    era: u64,
    events: Vec<Delivery>,
    tries: u32,
    /// The time of the first attempt, by the platform's clock.
    first: Option<Timestamp>,
}

enum Outcome {
    Delivered,
    Again,
    /// Not accepted in time, or not wanted any more.
    GivenUp,
}

impl Post {
    /// Repeats the delivery with growing pauses.
    async fn repeat(mut self) {
        let mut pause = SHORT_PAUSES[1];
        loop {
            pause = (pause * 2).min(LONGEST_PAUSE);
            tokio::time::sleep(pause).await;
            match self.attempt().await {
                Outcome::Again => {}
                ended => return self.end(&ended),
            }
        }
    }

    fn end(&self, outcome: &Outcome) {
        self.shared.done(self.era, self.events.len(), matches!(outcome, Outcome::Delivered));
    }

    /// Gives up events whose app was unsubscribed since they were made, and all after a reset.
    fn drop_unwanted(&mut self) {
        let before = self.events.len();
        let state = self.shared.lock();
        let (era, platform) = (state.era, &state.platform);
        self.events.retain(|event| era == self.era && platform.is_subscribed(&event.page, &event.app));
        drop(state);
        self.shared.done(self.era, before - self.events.len(), false);
    }

    async fn attempt(&mut self) -> Outcome {
        let places = Arc::clone(&self.places);
        let Ok(_place) = places.acquire().await else { return Outcome::GivenUp };
        self.tries += 1;
        self.drop_unwanted();
        // Made for each attempt, because the app's callback may have changed.
        let letter = depart(&mut self.shared.lock(), &self.events, self.tries);
        let Some(letter) = letter else { return Outcome::GivenUp };
        let first = *self.first.get_or_insert(letter.at);
        let post = self.shared.client.post(letter.url).header("content-type", "application/json");
        let post = post.header("x-hub-signature-256", letter.sha256).header("x-hub-signature", letter.sha1);
        let answer = post.body(letter.body).send().await;
        let status = answer.ok().map(|answer| answer.status().as_u16());
        let mut since = Timestamp::default();
        let now = {
            let mut state = self.shared.lock();
            let now = state.tick();
            for (event, seq) in self.events.iter().zip(letter.seqs) {
                let line = json!({"of": seq, "app": event.app, "label": event.label, "status": status});
                state.transcript.write(now, "webhook_answer", line);
                since = state.outgoing.note_acceptance(&event.app, &event.page, now, status == Some(200));
            }
            now
        };
        if status == Some(200) {
            return Outcome::Delivered;
        }
        if self.tries < FEWEST_TRIES || now.since(first) < PATIENCE {
            return Outcome::Again;
        }
        for Delivery { app, page, .. } in self.events.iter().filter(|_| now.since(since) >= PATIENCE) {
            tracing::warn!(%app, %page, "an hour without a 200: the app is unsubscribed");
            self.shared.unsubscribe(self.era, app, page);
        }
        Outcome::GivenUp
    }
}

struct Letter {
    /// The numbers of the events' lines in the transcript.
    seqs: Vec<u64>,
    at: Timestamp,
    url: String,
    body: String,
    sha256: String,
    sha1: String,
}

/// Addresses and signs a delivery, and notifies the observer just before it is sent.
fn depart(state: &mut State, events: &[Delivery], attempt: u32) -> Option<Letter> {
    let app = state.platform.app(&events.first()?.app)?;
    let url = app.callback.clone()?;
    let body = escape(&envelope(state, events));
    let sha256 = format!("sha256={}", sign(&app.secret, body.as_bytes()));
    let sha1 = format!("sha1={}", sign_as_before(&app.secret, body.as_bytes()));
    let shown: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let (mut seqs, mut at) = (Vec::with_capacity(events.len()), state.tick());
    for event in events {
        let Delivery { app, page, user, label, channel, item, .. } = event;
        let (app_id, label, channel, item) = (app.clone(), *label, *channel, item.clone());
        state.observe(Some(Wire::Webhook { app: app_id, label, channel, item, attempt }));
        let line = json!({"app": app, "page": page, "user": user, "label": label, "channel": channel.name(),
            "attempt": attempt, "body": shown});
        at = state.tick();
        seqs.push(state.transcript.write(at, "webhook", line));
    }
    Some(Letter { seqs, at, url, body, sha256, sha1 })
}

/// The [body](messenger_handover::protocol#webhook-envelope): an entry for each run of events of one account on one channel.
/// Standby replaces messaging in the same shape of entry. Instagram has its own `object`; under Instagram Login events come as
/// `changes`, each with its field (inferred).
fn envelope(state: &State, events: &[Delivery]) -> String {
    let together = |one: &Delivery, other: &Delivery| {
        let alike = (&one.page, one.channel) == (&other.page, other.channel);
        alike && one.hop_context.is_none() && other.hop_context.is_none()
    };
    let entries: Vec<_> = events.chunk_by(together).map(|run| entry(state, run)).collect();
    let is_instagram = events.first().is_some_and(|event| state.platform.is_instagram(&event.page));
    let object = if is_instagram { "instagram" } else { "page" };
    json!({"object": object, "entry": entries}).to_string()
}

fn entry(state: &State, run: &[Delivery]) -> Value {
    let Some(first) = run.first() else { return Value::Null };
    let account = &first.page;
    let mut entry = json!({"id": account, "time": first.at.as_millis()});
    if state.platform.is_instagram_login(account) {
        let change = |event: &Delivery| {
            let field = match event.channel.name() {
                "standby" => "standby",
                _ => state.platform.field_of(account, event.label),
            };
            json!({"field": field, "value": event.item})
        };
        entry["changes"] = run.iter().map(change).collect();
    } else {
        entry[first.channel.name()] = run.iter().map(|event| event.item.clone()).collect();
    }
    if let Some(context) = &first.hop_context {
        entry["hop_context"] = context.clone();
    }
    entry
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
