//! The log of the traffic, which the page draws.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use messenger_handover::bots_api;
use messenger_handover::id::UserId;
use serde_json::{Value, json};
use url::form_urlencoded;

/// The bot's app.
pub const BOT: u64 = 1001;
/// The desk's app.
pub const DESK: u64 = 2002;
/// Number of lines kept.
const KEPT: usize = 5_000;

/// The traffic as lines of the simulator's transcript, with lines of our own between them.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<(usize, VecDeque<Value>)>>);

impl Log {
    fn lock(&self) -> MutexGuard<'_, (usize, VecDeque<Value>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self, line: Value) {
        let (dropped, lines) = &mut *self.lock();
        if lines.len() == KEPT {
            lines.pop_front();
            *dropped += 1;
        }
        lines.push_back(line);
    }

    /// Writes what one host tells the other.
    pub fn host(&self, way: [u64; 2], user: Option<&str>, words: &str, code: &str, bad: bool) {
        let [from, to] = way.map(|app| app.to_string());
        self.write(json!({"kind": "host", "from": from, "to": to, "user": user, "words": words, "code": code, "bad": bad}));
    }

    pub fn note(&self, user: Option<&UserId>, words: &str) {
        self.write(json!({"kind": "note", "user": user, "words": words}));
    }

    /// The lines from number `after` on, and the number of the next line.
    pub fn after(&self, after: usize) -> (usize, Vec<Value>) {
        let (dropped, lines) = &*self.lock();
        let next = *dropped + lines.len();
        (next, lines.iter().skip(after.saturating_sub(*dropped)).cloned().collect())
    }
}

/// Logs the bot's calls of the desk; webhooks are logged where they are sent.
pub async fn watch(State(log): State<Log>, request: Request, next: Next) -> Response {
    if request.uri().path() != bots_api::PATH {
        return next.run(request).await;
    }
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let find =
        |name: &str| form_urlencoded::parse(query).find(|(known, _)| known == name).map(|(_, value)| value);
    let user = find("identity_foreign_id").map(String::from);
    let words =
        if find("to").is_some_and(|to| to == "agent") { "a person, please" } else { "control, please" };
    let code = "POST bots/handover";
    log.host([BOT, DESK], user.as_deref(), words, code, false);
    let response = next.run(request).await;
    if !response.status().is_success() {
        log.host([DESK, BOT], user.as_deref(), &format!("refused ({})", response.status()), code, true);
    }
    response
}
