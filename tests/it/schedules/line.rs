//! Calls of the Graph client, made at the simulated platform without a socket.

use axum::body::Bytes;
use axum::http::{Request, Response};
use messenger_handover::id::{AppId, PageId};
use messenger_handover::time::Timestamp;
use messenger_sim::{ApiCall, InlineControl, Platform};
use serde_json::{Value, json};

pub fn exchange(
    platform: &mut Platform,
    app: &AppId,
    page: &PageId,
    call: &ApiCall,
    now: Timestamp,
) -> Response<Bytes> {
    let (status, body) = match platform.call(app, page, call, now) {
        Ok(answer) => (200, answer.body()),
        Err(failure) => (failure.status, failure.body()),
    };
    Response::builder().status(status).body(Bytes::from(body.to_string())).unwrap()
}

pub fn busy() -> Response<Bytes> {
    let body = json!({"error": {"message": "busy", "type": "OAuthException", "code": 2}});
    Response::builder().status(500).body(Bytes::from(body.to_string())).unwrap()
}

/// Parses a request about a person as the platform does.
pub fn read(request: &Request<Bytes>) -> ApiCall {
    let edge = request.uri().path().rsplit('/').next().unwrap();
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let asked = request.uri().query().and_then(|query| query.strip_prefix("recipient="));
    let user = asked.or(body["recipient"]["id"].as_str()).expect("a person").parse().unwrap();
    match edge {
        "thread_owner" => ApiCall::ThreadOwner { user },
        "take_thread_control" => ApiCall::Take { user, metadata: None },
        "request_thread_control" => ApiCall::Request { user, metadata: None },
        "release_thread_control" => ApiCall::Release { user },
        "pass_thread_control" => {
            let target = body["target_app_id"].as_str().map(|app| app.parse().unwrap());
            ApiCall::Pass { user, target, metadata: None }
        }
        "messages" if let Some(action) = body["sender_action"].as_str() => {
            ApiCall::SenderAction { user, action: action.to_owned() }
        }
        "messages" => {
            let message = body["message"].clone();
            let control = &body["thread_control"];
            let thread_control = match control["control_type"].as_str() {
                None => None,
                Some("pass") => {
                    Some(InlineControl::Pass(control["app_id"].as_str().map(|app| app.parse().unwrap())))
                }
                Some("release") => Some(InlineControl::Release),
                Some(other) => panic!("no such control: {other}"),
            };
            ApiCall::Send { user, message, messaging_type: None, tag: None, thread_control }
        }
        other => panic!("no call of a thread: {other}"),
    }
}
