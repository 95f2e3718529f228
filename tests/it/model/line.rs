//! The Graph client on a line to the platform that has no socket.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{Request, Response};
use messenger_handover::call::{Call, CallResult};
use messenger_handover::control::{CallError, HandoverClient};
use messenger_handover::graph::{GraphClient, Transport, TransportError};
use messenger_handover::id::AppId;
use messenger_handover::sim::{ApiCall, InlineControl, Platform};
use messenger_handover::time::Timestamp;
use serde_json::{Value, json};

use super::world::key;

/// How a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Luck {
    Good,
    /// The platform acts, the answer is lost.
    AnswerLost,
    /// The platform never sees it, and the caller cannot know.
    Lost,
    /// Refused in passing.
    Busy,
}

/// The transport: the platform itself, on this thread.
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
            Luck::Busy => {
                let body = json!({"error": {"message": "busy", "type": "OAuthException", "code": 2}});
                return Ok(Response::builder().status(500).body(Bytes::from(body.to_string())).unwrap());
            }
            Luck::Good | Luck::AnswerLost => {}
        }
        let (now, call) = (line.now, read(&request));
        let (status, body) = match line.platform.call(&self.app, &key().page, &call, now) {
            Ok(answer) => (200, answer.body()),
            Err(refusal) => (refusal.status, refusal.body()),
        };
        if line.luck == Luck::AnswerLost {
            return Err(TransportError::timeout());
        }
        Ok(Response::builder().status(status).body(Bytes::from(body.to_string())).unwrap())
    }
}

fn read(request: &Request<Bytes>) -> ApiCall {
    let edge = request.uri().path().rsplit('/').next().unwrap();
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let user = key().user;
    match edge {
        "thread_owner" => ApiCall::ThreadOwner { user },
        "take_thread_control" => ApiCall::Take { user, metadata: None },
        "request_thread_control" => ApiCall::Request { user, metadata: None },
        "release_thread_control" => ApiCall::Release { user },
        "pass_thread_control" => {
            let target = body["target_app_id"].as_str().map(|app| app.parse().unwrap());
            ApiCall::Pass { user, target, metadata: None }
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

pub async fn make(client: &GraphClient, app: &AppId, call: Call) -> Result<CallResult, CallError> {
    let thread = key();
    Ok(match call {
        Call::SendMessage { key, message } => {
            CallResult::Sent(client.send_message(&thread, &message, Some(&key.to_metadata(app))).await?.mid)
        }
        Call::PassThreadControl { to } => {
            client.pass_thread_control(&thread, Some(&to), None).await.map(|()| CallResult::Done)?
        }
        Call::TakeThreadControl => {
            client.take_thread_control(&thread, None).await.map(|()| CallResult::Done)?
        }
        Call::RequestThreadControl => {
            client.request_thread_control(&thread, None).await.map(|_| CallResult::Forwarded)?
        }
        Call::ReleaseThreadControl => {
            client.release_thread_control(&thread).await.map(|()| CallResult::Done)?
        }
        Call::ThreadOwner => CallResult::Owner(client.thread_owner(&thread).await?),
        other => panic!("not a call of Graph's: {other:?}"),
    })
}
