//! Responses of the Graph API: status, body and usage headers.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::platform::GraphError;

/// An HTTP response.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: String,
    pub(super) usage: Vec<(&'static str, String)>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { status, kind: "application/json; charset=UTF-8", body: body.to_string(), usage: Vec::new() }
    }

    /// A refusal, with the keys of its body in Graph's order.
    pub(super) fn refused(refusal: &GraphError) -> Self {
        Self { body: refusal.text(), ..Self::json(refusal.status, &Value::Null) }
    }

    pub(super) fn html(status: u16) -> Self {
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
