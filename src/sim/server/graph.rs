//! The Graph API's face: paths, tokens, bodies.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use serde_json::Value;

use super::deliver::sign;
use super::params::{self, Params};
use super::state::Shared;
use crate::id::{AppId, PageId};
use crate::secret::AppSecret;
use crate::sim::platform::{ApiAnswer, GraphError};

/// The largest body that is read.
const MAX_BODY: usize = 1 << 20;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(answer).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(shared)
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match serve(&shared, &method, &uri, &headers, body) {
        Ok(answer) => respond(200, &answer.body()),
        Err(refusal) => respond(refusal.status, &refusal.body()),
    }
}

fn respond(status: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = header::HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn serve(
    shared: &Arc<Shared>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<ApiAnswer, GraphError> {
    let traced = |refusal| shared.lock().platform.traced(refusal);
    let mut params = Params::new();
    params::add_form(&mut params, uri.query().unwrap_or_default().as_bytes());
    let read = match body {
        Ok(body) => params::add_body(&mut params, content_type(headers), &body),
        Err(_) => Err(GraphError { status: 413, ..GraphError::invalid("body", "is too large") }),
    };
    if split(uri.path()) == ("debug_token", "") && method == Method::GET {
        return debug_token(shared, headers, &params).map_err(traced);
    }
    // As on Graph, who calls comes before what they say.
    let (app, page) = authenticate(shared, headers, &params).map_err(traced)?;
    read.map_err(traced)?;

    let (node, edge) = split(uri.path());
    let unsupported = || {
        let node = if node == "me" { page.to_string() } else { node.to_owned() };
        traced(GraphError::unsupported(&method.as_str().to_lowercase(), &node))
    };
    if node != "me" && node != page.to_string() {
        return Err(unsupported());
    }
    let method = match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        _ => return Err(unsupported()),
    };
    let call = params::read(method, edge, &params).map_err(traced)?.ok_or_else(unsupported)?;
    shared.call(&app, &page, method, &call)
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

fn token_of<'a>(headers: &'a HeaderMap, params: &'a Params) -> Option<&'a str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    bearer.or_else(|| params.get("access_token").and_then(Value::as_str))
}

/// With the app's own token, or with one of its Page tokens that is still good.
fn debug_token(shared: &Shared, headers: &HeaderMap, params: &Params) -> Result<ApiAnswer, GraphError> {
    let asking = token_of(headers, params).ok_or_else(GraphError::bad_token)?;
    let inspected = params.get("input_token").and_then(Value::as_str);
    let inspected = inspected.ok_or_else(|| GraphError::missing("input_token"))?;
    let state = shared.lock();
    let app = match state.platform.authenticate_app(asking) {
        Some(app) => app,
        None => state.platform.authenticate(asking)?.0,
    };
    Ok(ApiAnswer::Other(state.platform.debug_token(&app, inspected)))
}

/// Facts §3.3: the token as Bearer or as a parameter, with a proof if the app sends one.
fn authenticate(
    shared: &Shared,
    headers: &HeaderMap,
    params: &Params,
) -> Result<(AppId, PageId), GraphError> {
    let token = token_of(headers, params).ok_or_else(GraphError::bad_token)?;
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
