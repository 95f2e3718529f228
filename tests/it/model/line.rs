//! A transport for the Graph client that calls the simulated platform directly, without a socket.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{Request, Response};
use messenger_handover::call::{Call, CallOutcome};
use messenger_handover::control::{CallError, HandoverClient};
use messenger_handover::graph::GraphClient;
use messenger_handover::http::{Transport, TransportError};
use messenger_handover::id::{AppId, PageId};
use messenger_handover::time::Timestamp;
use messenger_sim::{ApiCall, InlineControl, Platform};
use serde_json::{Value, json};

use super::world::key;

/// The fate of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Luck {
    Good,
    /// The platform acts, but its response is lost.
    AnswerLost,
    /// The platform never receives the call; the caller cannot tell the difference.
    Lost,
    /// The platform refuses the call as temporarily unavailable.
    Busy,
}

/// The transport, which runs the platform on the caller's thread.
#[derive(Debug)]
pub struct Line {
    pub platform: Platform,
    pub now: Timestamp,
    pub luck: Luck,
}

#[derive(Debug)]
pub struct To {
    pub line: Arc<Mutex<Line>>,
    pub app: AppId,
}

#[async_trait]
impl Transport for To {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let mut line = self.line.lock().unwrap();
        match line.luck {
            Luck::Lost => return Err(TransportError::timeout()),
            Luck::Busy => return Ok(busy()),
            Luck::Good | Luck::AnswerLost => {}
        }
        let (now, call) = (line.now, read(&request));
        let answer = exchange(&mut line.platform, &self.app, &key().page, &call, now);
        if line.luck == Luck::AnswerLost { Err(TransportError::timeout()) } else { Ok(answer) }
    }
}

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

pub async fn make(client: &GraphClient, app: &AppId, call: Call) -> Result<CallOutcome, CallError> {
    let thread = key();
    Ok(match call {
        Call::SendMessage { key, message } => {
            CallOutcome::Sent(client.send_message(&thread, &message, Some(&key.to_metadata(app))).await?.mid)
        }
        Call::PassThreadControl { to } => {
            client.pass_thread_control(&thread, Some(&to), None).await.map(|()| CallOutcome::Done)?
        }
        Call::TakeThreadControl => {
            client.take_thread_control(&thread, None).await.map(|()| CallOutcome::Done)?
        }
        Call::RequestThreadControl => {
            client.request_thread_control(&thread, None).await.map(|_| CallOutcome::Forwarded)?
        }
        Call::ReleaseThreadControl => {
            client.release_thread_control(&thread).await.map(|()| CallOutcome::Done)?
        }
        Call::ThreadOwner => CallOutcome::Owner(client.thread_owner(&thread).await?),
        other => panic!("not a call of Graph's: {other:?}"),
    })
}
