//! The HTTP side of the Graph API: paths, tokens, bodies, batches and faults.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::access;
use super::batch;
use super::faults::{Fault, FaultAction};
use super::params::{self, Params};
pub(super) use super::reply::Reply;
use super::state::{Request, Shared};
use super::transcript::shown;
use crate::platform::{ApiCall, GraphError};
use messenger_handover::id::{AppId, PageId};

/// The duration of a timeout fault, unless the fault sets one.
const TIMEOUT: Duration = Duration::from_secs(60);

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
    if let Some(token) = access::bearer(&headers) {
        params.insert("access_token".to_owned(), json!(token));
    }
    let reply = match (batch::asked(&method, split(uri.path()), &params), read) {
        (Some(batch), Ok(())) => serve_batch(&shared, &batch, &params).await,
        (_, read) => serve(&shared, &method, uri.path(), params, read).await,
    };
    reply.into_response()
}

/// Makes the calls of a batch one after the other. Each has a response of its own, with its body as text. A batch inside a batch
/// is not a call.
async fn serve_batch(shared: &Arc<Shared>, calls: &[Value], outer: &Params) -> Reply {
    let calls = match batch::read(calls, outer) {
        Ok(calls) => calls,
        Err(refusal) => return Reply::refused(&refusal),
    };
    let mut answers = Vec::with_capacity(calls.len());
    for batch::Call { method, path, params } in calls {
        let reply = serve(shared, &method, &path, params, Ok(())).await;
        answers.push(json!({"code": reply.status, "headers": [], "body": reply.body}));
    }
    Reply::json(200, &json!(answers))
}

/// Serves one call, alone or in a batch.
async fn serve(
    shared: &Arc<Shared>,
    method: &Method,
    path: &str,
    params: Params,
    read: Result<(), GraphError>,
) -> Reply {
    let made = Made { method: method.as_str().to_owned(), path: path.to_owned(), params };
    let understood = match understand(shared, method, path, &made.params, read) {
        Ok(understood) => understood,
        Err(refusal) => return made.refused(shared, refusal),
    };
    let (app, page) = (understood.app.clone(), understood.page.clone());
    let (fault, limited) = {
        let mut state = shared.lock();
        let now = state.tick();
        let limited = page.as_ref().map_or(Ok(()), |page| state.usage.count(page, now));
        (state.faults.strike("call", understood.edge(), &app), limited)
    };
    let action = fault.as_ref().map(|fault| fault.action);
    let mut reply = match (fault, limited) {
        (_, Err(refusal)) => made.refused(shared, refusal),
        (Some(fault), Ok(())) => spoil(shared, fault, understood, made).await,
        (None, Ok(())) => make(shared, &understood, &made),
    };
    if let Some(page) = &page {
        let mut state = shared.lock();
        let now = state.tick();
        reply.usage = state.usage.headers(page, now, action == Some(FaultAction::RateLimit)).into();
    }
    reply
}

/// A request as it arrived.
struct Made {
    method: String,
    path: String,
    params: Params,
}

impl Made {
    /// Refuses a request that does not reach the platform.
    fn refused(&self, shared: &Shared, refusal: GraphError) -> Reply {
        let mut state = shared.lock();
        let now = state.tick();
        let refusal = state.platform.traced(refusal);
        let line = json!({"method": self.method, "path": self.path, "request": shown(&self.params),
            "status": refusal.status, "response": refusal.body()});
        state.transcript.write(now, "refused", line);
        Reply::refused(&refusal)
    }
}

fn make(shared: &Arc<Shared>, understood: &Understood, made: &Made) -> Reply {
    let Understood { app, page, what } = understood;
    let answered = |edge: &str, body: &Value| {
        let mut state = shared.lock();
        let now = state.tick();
        let line = json!({"app": app, "page": page, "user": null, "method": made.method, "edge": edge,
            "request": shown(&made.params), "status": 200, "response": body});
        state.transcript.write(now, "call", line);
        Reply::json(200, body)
    };
    match (what, page) {
        (What::Call(method, call), Some(page)) => {
            let request = Request { app, page, method, call, shown: shown(&made.params) };
            match shared.call(request) {
                Ok(answer) => Reply::json(200, &answer.body()),
                Err(refusal) => Reply::refused(&refusal),
            }
        }
        (What::Unsubscribe, Some(page)) => {
            shared.lock().platform.unsubscribe(page, app);
            answered("subscribed_apps", &json!({"success": true}))
        }
        (What::Call(..) | What::Unsubscribe, None) => Reply::refused(&GraphError::bad_token()),
        (What::Answered(edge, body), _) => answered(edge, body),
    }
}

/// Applies a fault to a call.
async fn spoil(shared: &Arc<Shared>, fault: Fault, understood: Understood, made: Made) -> Reply {
    let note = |status: u16| {
        let mut state = shared.lock();
        let now = state.tick();
        let line = json!({"app": understood.app, "page": understood.page, "method": made.method, "path": made.path,
            "fault": fault.action, "request": shown(&made.params), "status": status});
        state.transcript.write(now, "fault", line);
    };
    match fault.action {
        FaultAction::Delay => {
            let (shared, wait) = (Arc::clone(shared), fault.wait(Duration::from_secs(1)));
            // Made even if the client does not wait for it.
            let later = tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                make(&shared, &understood, &made)
            });
            later.await.unwrap_or_else(|_| Reply::html(500))
        }
        FaultAction::TimeoutAfter => {
            make(shared, &understood, &made);
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
            made.refused(shared, GraphError::new(613, None, words))
        }
        _ => made.refused(shared, fault.refusal()),
    }
}

/// A parsed call and its caller.
struct Understood {
    app: AppId,
    page: Option<PageId>,
    what: What,
}

enum What {
    Call(&'static str, ApiCall),
    /// A response without effect on the simulated state.
    Answered(&'static str, Value),
    /// Ends the app's webhooks from the Page.
    Unsubscribe,
}

impl Understood {
    fn edge(&self) -> &'static str {
        match &self.what {
            What::Answered(edge, _) => edge,
            What::Unsubscribe => "subscribed_apps",
            What::Call(_, call) if call.edge().is_empty() => "node",
            What::Call(_, call) => call.edge(),
        }
    }
}

/// Parses a call and authenticates its caller.
fn understand(
    shared: &Shared,
    method: &Method,
    path: &str,
    params: &Params,
    read: Result<(), GraphError>,
) -> Result<Understood, GraphError> {
    let (node, edge) = split(path);
    let about_caller = match (node, edge, method.as_str()) {
        ("debug_token", "", "GET") => Some(("debug_token", access::debug_token(shared, params))),
        ("me", "accounts", "GET") => Some(("accounts", access::accounts(shared, params))),
        ("oauth", "access_token", "GET" | "POST") => {
            Some(("access_token", access::access_token(shared, params)))
        }
        _ => None,
    };
    if let Some((edge, answered)) = about_caller {
        read?;
        let (app, page, body) = answered?;
        return Ok(Understood { app, page, what: What::Answered(edge, body) });
    }
    if let Some(app) = access::own_app(shared, node, params) {
        // Accepted without effect, because the configuration sets the subscriptions (docs/protocol.md#page-subscriptions).
        return match (edge, method.as_str()) {
            ("subscriptions", "POST" | "DELETE") => {
                let what = What::Answered("subscriptions", json!({"success": true}));
                Ok(Understood { app, page: None, what })
            }
            _ => Err(GraphError::unsupported(&method.as_str().to_lowercase(), node)),
        };
    }
    // As on Graph, the token is checked before the parameters.
    let (app, page) = access::authenticate(shared, params)?;
    read?;
    let named = if node == "me" { page.to_string() } else { node.to_owned() };
    let unsupported = || GraphError::unsupported(&method.as_str().to_lowercase(), &named);
    let answered = |page: PageId, edge, body| {
        Ok(Understood { app: app.clone(), page: Some(page), what: What::Answered(edge, body) })
    };
    let is_page = node == "me" || page == *node;
    match (method.as_str(), edge) {
        ("GET", "messenger_profile") if is_page => {
            return answered(page, "messenger_profile", json!({"data": []}));
        }
        ("POST" | "DELETE", "messenger_profile") if is_page => {
            return answered(page, "messenger_profile", json!({"result": "success"}));
        }
        ("DELETE", "subscribed_apps") if is_page => {
            return Ok(Understood { app, page: Some(page), what: What::Unsubscribe });
        }
        ("GET", "conversations") if is_page && !params.contains_key("user_id") => {
            let (fields, limit) = (params::fields(params)?, params::limit(params)?);
            let instagram = params.get("platform").and_then(Value::as_str) == Some("instagram");
            let body = {
                let mut state = shared.lock();
                let now = state.tick();
                state.platform.conversations(&app, &page, instagram, &fields, limit, now)
            };
            return answered(page, "conversations", body);
        }
        _ => {}
    }
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        _ => return Err(unsupported()),
    };
    let page = if is_page {
        page
    } else {
        if method == "GET"
            && let Some(call) = params::read_node(node, edge, params)?
        {
            return Ok(Understood { app, page: Some(page), what: What::Call(method, call) });
        }
        let fields = params::fields(params)?;
        let state = shared.lock();
        let profile =
            (method == "GET" && edge.is_empty()).then(|| state.platform.profile(&page, node, &fields));
        if let Some(profile) = profile.flatten() {
            return answered(page, "node", profile);
        }
        state.platform.linked_account(&page, node).ok_or_else(unsupported)?
    };
    let call = params::read(method, edge, params)?.ok_or_else(unsupported)?;
    Ok(Understood { app, page: Some(page), what: What::Call(method, call) })
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The node and the edge of a [path](messenger_handover::protocol#graph-paths), after the version if there is one.
fn split(path: &str) -> (&str, &str) {
    let path = path.trim_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    if is_version(first) { rest.split_once('/').unwrap_or((rest, "")) } else { (first, rest) }
}

/// Whether a segment is a version, such as `v22.0`, or `2.12` as old clients write it.
fn is_version(segment: &str) -> bool {
    let number = segment.strip_prefix('v').unwrap_or(segment);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    number.split_once('.').is_some_and(|(major, minor)| digits(major) && digits(minor))
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
