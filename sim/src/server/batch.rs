//! Several calls in one request, as Graph's batches have it (BG: Meta's page "Batch requests").

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};

use super::graph::{Reply, serve as serve_one};
use super::params::{self, Params};
use super::state::Shared;
use crate::platform::GraphError;

/// The most calls of one batch.
const MOST: usize = 50;

/// The calls, if the request is a batch: a POST to the root with `batch`, a list or its JSON text.
pub(super) fn asked(method: &Method, path: (&str, &str), params: &Params) -> Option<Vec<Value>> {
    if method != Method::POST || path != ("", "") {
        return None;
    }
    match params.get("batch")? {
        Value::Array(calls) => Some(calls.clone()),
        Value::String(text) => Some(serde_json::from_str(text).unwrap_or_default()),
        _ => Some(Vec::new()),
    }
}

/// Makes them one after the other; each has an answer of its own, and its body is text.
pub(super) async fn serve(shared: &Arc<Shared>, calls: &[Value], outer: &Params) -> Reply {
    if calls.is_empty() || calls.len() > MOST {
        let refusal = GraphError::invalid("batch", "must be a list of 1 to 50 calls");
        return Reply::json(refusal.status, &refusal.body());
    }
    let mut answers = Vec::with_capacity(calls.len());
    for call in calls {
        let method = call["method"].as_str().unwrap_or("GET");
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap_or(Method::GET);
        let relative = call["relative_url"].as_str().unwrap_or_default();
        let (path, query) = relative.split_once('?').unwrap_or((relative, ""));
        let mut params = Params::new();
        for name in ["access_token", "appsecret_proof"] {
            if let Some(value) = outer.get(name) {
                params.insert(name.to_owned(), value.clone());
            }
        }
        params::add_form(&mut params, query.as_bytes());
        params::add_form(&mut params, call["body"].as_str().unwrap_or_default().as_bytes());
        // A batch of batches is none.
        let reply = serve_one(shared, &method, path, params, Ok(())).await;
        answers.push(json!({"code": reply.status, "headers": [], "body": reply.body}));
    }
    Reply::json(200, &json!(answers))
}
