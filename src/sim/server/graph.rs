//! The Graph API's face: paths, tokens, bodies, batches, and what goes wrong on purpose.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::batch;
use super::deliver::sign;
use super::faults::{Fault, FaultAction};
use super::params::{self, Params};
use super::state::{Request, Shared};
use super::transcript::shown;
use crate::id::{AppId, PageId};
use crate::secret::AppSecret;
use crate::sim::platform::{ApiCall, GraphError};

/// How long a client waits in vain, if the fault does not say.
const TIMEOUT: Duration = Duration::from_mins(1);

/// An answer, whoever makes it.
pub(super) struct Reply {
    pub(super) status: u16,
    kind: &'static str,
    pub(super) body: String,
    usage: Vec<(&'static str, String)>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { status, kind: "application/json; charset=UTF-8", body: body.to_string(), usage: Vec::new() }
    }

    fn refused(refusal: &GraphError) -> Self {
        Self::json(refusal.status, &refusal.body())
    }

    fn html(status: u16) -> Self {
        let body = "<!DOCTYPE html><html><body><h1>Something went wrong</h1></body></html>".to_owned();
        Self { status, kind: "text/html; charset=utf-8", body, usage: Vec::new() }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(self.kind));
        for (name, value) in self.usage {
            if let Ok(value) = header::HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut params = Params::new();
    params::add_form(&mut params, uri.query().unwrap_or_default().as_bytes());
    let read = match body {
        Ok(body) => params::add_body(&mut params, content_type(&headers), &body),
        Err(_) => Err(GraphError { status: 413, ..GraphError::invalid("body", "is too large") }),
    };
    if let Some(token) = bearer(&headers) {
        params.insert("access_token".to_owned(), json!(token));
    }
    let reply = match (batch::asked(&method, split(uri.path()), &params), read) {
        (Some(batch), Ok(())) => batch::serve(&shared, &batch, &params).await,
        (_, read) => serve(&shared, &method, uri.path(), params, read).await,
    };
    reply.into_response()
}

/// Serves one call, of its own or of a batch.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    method: &Method,
    path: &str,
    params: Params,
    read: Result<(), GraphError>,
) -> Reply {
    let (app, page, method, call) = match understand(shared, method, path, &params, read) {
        Ok(Understood::Call(app, page, method, call)) => (app, page, method, call),
        Ok(Understood::Answered(body)) => return Reply::json(200, &body),
        Err(refusal) => return refuse(shared, method.as_str(), path, &params, refusal),
    };
    let edge = if call.edge().is_empty() { "node" } else { call.edge() };
    let (fault, limited) = {
        let mut state = shared.lock();
        let now = state.tick();
        let limited = state.usage.count(&page, now);
        (state.faults.strike("call", edge, &app), limited)
    };
    let mut reply = match (&fault, limited) {
        (_, Err(refusal)) => refuse(shared, method, path, &params, refusal),
        (Some(fault), Ok(())) => spoil(shared, fault, &app, &page, method, &call, path, &params).await,
        (None, Ok(())) => make(shared, &app, &page, method, &call, &params),
    };
    let mut state = shared.lock();
    let now = state.tick();
    let limited = fault.is_some_and(|fault| fault.action == FaultAction::RateLimit);
    reply.usage = state.usage.headers(&page, now, limited).into();
    reply
}

fn make(
    shared: &Arc<Shared>,
    app: &AppId,
    page: &PageId,
    method: &'static str,
    call: &ApiCall,
    params: &Params,
) -> Reply {
    match shared.call(Request { app, page, method, call, shown: shown(params) }) {
        Ok(answer) => Reply::json(200, &answer.body()),
        Err(refusal) => Reply::refused(&refusal),
    }
}

/// A call that goes wrong on purpose.
#[expect(clippy::too_many_arguments, reason = "a call with all that belongs to it")]
async fn spoil(
    shared: &Arc<Shared>,
    fault: &Fault,
    app: &AppId,
    page: &PageId,
    method: &'static str,
    call: &ApiCall,
    path: &str,
    params: &Params,
) -> Reply {
    let note = |status: u16| {
        let mut state = shared.lock();
        let now = state.tick();
        let line = json!({"app": app, "page": page, "method": method, "path": path, "fault": fault.action,
            "request": shown(params), "status": status});
        state.transcript.write(now, "fault", line);
    };
    match fault.action {
        FaultAction::Delay => {
            tokio::time::sleep(fault.wait(Duration::from_secs(1))).await;
            make(shared, app, page, method, call, params)
        }
        FaultAction::TimeoutAfter => {
            make(shared, app, page, method, call, params);
            note(504);
            tokio::time::sleep(fault.wait(TIMEOUT)).await;
            Reply::html(504)
        }
        FaultAction::TimeoutBefore => {
            note(504);
            tokio::time::sleep(fault.wait(TIMEOUT)).await;
            Reply::html(504)
        }
        FaultAction::Status500 => {
            note(500);
            Reply { body: String::new(), ..Reply::html(500) }
        }
        FaultAction::Html => {
            note(502);
            Reply::html(502)
        }
        FaultAction::Empty => {
            note(200);
            Reply { body: String::new(), ..Reply::json(200, &Value::Null) }
        }
        FaultAction::RateLimit => {
            let words = "(#613) Calls to this api have exceeded the rate limit.";
            refuse(shared, method, path, params, GraphError::new(613, None, words))
        }
        _ => refuse(shared, method, path, params, fault.refusal()),
    }
}

/// A refusal that the platform itself did not make.
fn refuse(shared: &Shared, method: &str, path: &str, params: &Params, refusal: GraphError) -> Reply {
    let mut state = shared.lock();
    let now = state.tick();
    let refusal = state.platform.traced(refusal);
    let line = json!({"method": method, "path": path, "request": shown(params), "status": refusal.status,
        "response": refusal.body()});
    state.transcript.write(now, "refused", line);
    Reply::refused(&refusal)
}

enum Understood {
    Call(AppId, PageId, &'static str, ApiCall),
    Answered(Value),
}

/// What a call means, and in whose name it is made.
fn understand(
    shared: &Shared,
    method: &Method,
    path: &str,
    params: &Params,
    read: Result<(), GraphError>,
) -> Result<Understood, GraphError> {
    let (node, edge) = split(path);
    if (node, edge) == ("debug_token", "") && method == Method::GET {
        return debug_token(shared, params).map(Understood::Answered);
    }
    // As on Graph, who calls comes before what they say.
    let (app, page) = authenticate(shared, params)?;
    read?;
    let named = if node == "me" { page.to_string() } else { node.to_owned() };
    let unsupported = || GraphError::unsupported(&method.as_str().to_lowercase(), &named);
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        _ => return Err(unsupported()),
    };
    let page = match node {
        "me" => page,
        _ if node == page.to_string() => page,
        _ => {
            let state = shared.lock();
            let profile = (method == "GET" && edge.is_empty()).then(|| state.platform.profile(&page, node));
            if let Some(profile) = profile.flatten() {
                return Ok(Understood::Answered(profile));
            }
            state.platform.linked_account(&page, node).ok_or_else(unsupported)?
        }
    };
    let call = params::read(method, edge, params)?.ok_or_else(unsupported)?;
    Ok(Understood::Call(app, page, method, call))
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The node and the edge of a path, behind the version if there is one (facts §3.1).
fn split(path: &str) -> (&str, &str) {
    let path = path.trim_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    if is_version(first) { rest.split_once('/').unwrap_or((rest, "")) } else { (first, rest) }
}

/// `v22.0`, and `2.12` as old clients write it.
fn is_version(segment: &str) -> bool {
    let number = segment.strip_prefix('v').unwrap_or(segment);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    number.split_once('.').is_some_and(|(major, minor)| digits(major) && digits(minor))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn token_of(params: &Params) -> Result<&str, GraphError> {
    params.get("access_token").and_then(Value::as_str).ok_or_else(GraphError::bad_token)
}

/// With the app's own token, or with one of its Page tokens that is still good.
fn debug_token(shared: &Shared, params: &Params) -> Result<Value, GraphError> {
    let asking = token_of(params)?;
    let inspected = params.get("input_token").and_then(Value::as_str);
    let inspected = inspected.ok_or_else(|| GraphError::missing("input_token"))?;
    let state = shared.lock();
    let app = match state.platform.authenticate_app(asking) {
        Some(app) => app,
        None => state.platform.authenticate(asking)?.0,
    };
    Ok(state.platform.debug_token(&app, inspected))
}

/// Facts §3.3: the token as Bearer or as a parameter, with a proof if the app sends one.
fn authenticate(shared: &Shared, params: &Params) -> Result<(AppId, PageId), GraphError> {
    let token = token_of(params)?;
    let state = shared.lock();
    let (app, page) = state.platform.authenticate(token)?;
    if let Some(proof) = params.get("appsecret_proof") {
        let good = |secret: &AppSecret| proof.as_str() == Some(sign(secret, token.as_bytes()).as_str());
        if !state.platform.app(&app).is_some_and(|app| good(&app.secret)) {
            return Err(GraphError::invalid("appsecret_proof", "does not fit the token"));
        }
    }
    Ok((app, page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_and_without_a_version() {
        for path in ["/v22.0/me/messages", "/2.12/me/messages", "/me/messages", "/me/messages/"] {
            assert_eq!(split(path), ("me", "messages"), "{path}");
        }
        assert_eq!(split("/v22.0/7"), ("7", ""));
        assert_eq!(split("/"), ("", ""));
        assert_eq!(split("/v22.0/7/a/b"), ("7", "a/b"));
    }
}
