//! [Batches](messenger_handover::protocol#batch-requests): several calls in one request.

use axum::http::Method;
use serde_json::Value;

use super::params::{self, Params};
use crate::platform::GraphError;

/// The most calls of one batch.
const MOST: usize = 50;

/// The calls if the request is a batch: a POST to the root with `batch`, a list or its JSON text.
pub(super) fn asked(method: &Method, path: (&str, &str), params: &Params) -> Option<Vec<Value>> {
    if method != Method::POST || path != ("", "") {
        return None;
    }
    match params::structured(params, "batch")? {
        Value::Array(calls) => Some(calls),
        _ => Some(Vec::new()),
    }
}

/// One call of a batch.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) params: Params,
}

/// Reads the calls of a batch. They share its token.
///
/// # Errors
/// [`GraphError`] for 0 calls, and for more than 50.
pub(super) fn read(calls: &[Value], outer: &Params) -> Result<Vec<Call>, GraphError> {
    if calls.is_empty() || calls.len() > MOST {
        return Err(GraphError::invalid("batch", "must be a list of 1 to 50 calls"));
    }
    let one = |call: &Value| {
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
        Call { method, path: path.to_owned(), params }
    };
    Ok(calls.iter().map(one).collect())
}
