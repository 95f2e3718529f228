//! Steers a running simulator over HTTP, for tests in any language: everything under `/_sim/`.

mod access;
mod acts;
mod expect;
mod foreign;
mod people;
mod routes;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{Method, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(super) use self::routes::router;
use super::config::MAX_SPEED;
use super::faults::Fault;
use super::graph::Reply;
use super::state::Shared;
use crate::platform::{GraphError, Speaker};
use messenger_handover::id::{PageId, ThreadKey, UserId};

/// The longest jump of the clock, a year, because timestamps would run out.
const MAX_JUMP_MS: u64 = 366 * 24 * 3_600_000;

type Platforms = State<Arc<Shared>>;
type Answer = Result<Reply, Refused>;

struct Refused(Box<Reply>);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// Converts the framework's own text responses (a body that is too large, a path that is not UTF-8) to JSON.
async fn as_json(response: Response) -> Response {
    let status = response.status();
    let text = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/"));
    if status.is_client_error() && text {
        return refused(status.as_u16(), status.canonical_reason().unwrap_or("refused")).into_response();
    }
    response
}

fn ok(body: &Value) -> Reply {
    Reply::json(200, body)
}

fn refused(status: u16, message: impl std::fmt::Display) -> Refused {
    Refused(Box::new(Reply::json(status, &json!({"error": {"message": message.to_string()}}))))
}

fn by_the_platform(refusal: &GraphError) -> Refused {
    Refused(Box::new(Reply::json(refusal.status, &refusal.body())))
}

async fn unknown(method: Method, uri: Uri) -> Refused {
    refused(404, format!("there is no {method} {}", uri.path()))
}

/// Parses the body as JSON; an empty body is an empty object.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refused> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| refused(400, error))
}

/// The conversation of an existing Page or of its Instagram account.
fn key(shared: &Shared, page: &str, psid: &str) -> Result<ThreadKey, Refused> {
    let no_id = |error| refused(400, error);
    let page = known_page(shared, page)?;
    Ok(ThreadKey::new(page, UserId::new(psid).map_err(no_id)?))
}

fn known_page(shared: &Shared, page: &str) -> Result<PageId, Refused> {
    let page = PageId::new(page).map_err(|error| refused(400, error))?;
    if shared.lock().platform.has_page(&page) {
        Ok(page)
    } else {
        Err(refused(404, format!("there is no Page {page}")))
    }
}

/// Distinguishes null from a missing field.
#[derive(Default)]
enum Change<T> {
    #[default]
    Stays,
    To(Option<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Option::deserialize(from).map(Self::To)
    }
}

async fn thread(shared: Platforms, Path((page, psid)): Path<(String, String)>) -> Answer {
    let key = key(&shared, &page, &psid)?;
    Ok(ok(&shown(&shared, &key)))
}

async fn threads(shared: Platforms) -> Answer {
    let keys: Vec<_> = shared.lock().platform.threads().cloned().collect();
    let all: Vec<_> = keys
        .iter()
        .map(|key| {
            let mut thread = shown(&shared, key);
            thread["page"] = json!(key.page);
            thread["user"] = json!(key.user);
            thread
        })
        .collect();
    Ok(ok(&json!(all)))
}

/// The messages as the customer sees them, the owner and the expiry of its control.
fn shown(shared: &Shared, key: &ThreadKey) -> Value {
    let mut state = shared.lock();
    let now = state.tick();
    let lease = state.platform.lease(&key.page, &key.user, now);
    let said = state.platform.conversation(&key.page, &key.user);
    let said = said.iter().map(|said| {
        let from = match &said.from {
            Speaker::Customer => json!("customer"),
            Speaker::App(app) => json!(app),
        };
        let mut shown =
            json!({"from": from, "text": said.text(), "mid": said.mid, "at_ms": said.at, "message": said.message});
        if said.unsent {
            shown["unsent"] = json!(true);
        }
        if said.edits > 0 {
            shown["edits"] = json!(said.edits);
        }
        if let Some(reaction) = &said.reaction {
            shown["reaction"] = json!(reaction);
        }
        shown
    });
    let said: Vec<_> = said.collect();
    json!({
        "state": if lease.is_some() { "active" } else { "idle" },
        "owner": lease.as_ref().map(|(app, _)| app),
        "expires_at_ms": lease.as_ref().map(|(_, expires)| expires),
        "messages": said,
    })
}

/// Apps, Pages and people, without secrets.
async fn world(shared: Platforms) -> Answer {
    Ok(ok(&shared.lock().platform.shown()))
}

async fn clock(shared: Platforms) -> Answer {
    let mut state = shared.lock();
    let now = state.tick();
    Ok(ok(&json!({"now_ms": now, "speed": state.clock.speed()})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    advance_ms: Option<u64>,
    speed: Option<f64>,
}

async fn change_clock(shared: Platforms, body: Bytes) -> Answer {
    let ClockChange { advance_ms, speed } = read(&body)?;
    if speed.is_some_and(|speed| !(0.0..=MAX_SPEED).contains(&speed)) {
        return Err(refused(400, format!("speed must be from 0 to {MAX_SPEED}")));
    }
    if advance_ms.is_some_and(|ms| ms > MAX_JUMP_MS) {
        return Err(refused(400, format!("advance_ms must be at most {MAX_JUMP_MS}")));
    }
    if let Some(ms) = advance_ms {
        shared.advance(Duration::from_millis(ms));
    }
    if let Some(speed) = speed {
        shared.lock().clock.set_speed(speed);
    }
    clock(shared).await
}

async fn faults(shared: Platforms) -> Answer {
    Ok(ok(&json!(shared.lock().faults.all())))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Value>),
    One(Value),
}

async fn add_faults(shared: Platforms, body: Bytes) -> Answer {
    let all = match read(&body)? {
        OneOrMany::Many(all) => all,
        OneOrMany::One(one) => vec![one],
    };
    let fault = |one| {
        let fault: Fault = serde_json::from_value(one).map_err(|error| refused(400, error))?;
        fault.check().map_err(|error| refused(400, error))?;
        Ok(fault)
    };
    let all = all.into_iter().map(fault).collect::<Result<Vec<_>, Refused>>()?;
    shared.lock().faults.add(all);
    faults(shared).await
}

async fn clear_faults(shared: Platforms) -> Answer {
    shared.lock().faults.clear();
    faults(shared).await
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

/// The transcript as JSON lines.
async fn transcript(
    shared: Platforms,
    query: Result<Query<After>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(After { after }) = query.map_err(|error| refused(400, error))?;
    let lines = shared.lock().transcript.after(after);
    let mut body = lines.join("\n");
    if !body.is_empty() {
        body.push('\n');
    }
    let mut response = Response::new(body.into());
    let kind = header::HeaderValue::from_static("application/x-ndjson; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

#[derive(Deserialize)]
struct Within {
    within_ms: Option<u64>,
}

/// Waits until no webhook is queued or in flight.
async fn settled(shared: Platforms, query: Result<Query<Within>, QueryRejection>) -> Answer {
    let Query(Within { within_ms }) = query.map_err(|error| refused(400, error))?;
    let within = Duration::from_millis(within_ms.unwrap_or(5_000).min(60_000));
    let settled = tokio::time::timeout(within, shared.idle()).await.is_ok();
    let (pending, dropped) = {
        let state = shared.lock();
        (state.outgoing.pending, state.outgoing.dropped)
    };
    Ok(ok(&json!({"settled": settled, "pending": pending, "dropped": dropped})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    #[serde(default)]
    callbacks: bool,
}

async fn reset(shared: Platforms, body: Bytes) -> Answer {
    let Reset { callbacks } = read(&body)?;
    shared.reset(callbacks);
    Ok(ok(&json!({})))
}
