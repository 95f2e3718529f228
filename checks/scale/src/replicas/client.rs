//! The client of a host: its calls go to the core without a socket, after a virtual latency.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use messenger_handover::call::{
    Failure, FailureKind, InlineControl, OutgoingMessage, SenderAction, ThreadOwner,
};
use messenger_handover::control::{CallError, Forwarded, HandoverClient, Sent};
use messenger_handover::graph::GraphClient;
use messenger_handover::http::{Transport, TransportError};
use messenger_handover::id::{AppId, ThreadKey};
use messenger_sim::{self as sim, ApiAnswer, ApiCall, GraphError};
use serde_json::Value;

use super::ground::{Ground, conversation, page};

/// Half of a call's latency, in milliseconds.
const HALF: std::ops::Range<u64> = 25..76;

#[derive(Debug)]
pub struct Client {
    pub ground: Arc<Ground>,
    pub app: AppId,
}

impl Client {
    async fn call(&self, thread: &ThreadKey, call: ApiCall) -> Result<ApiAnswer, CallError> {
        let ground = &self.ground;
        ground.wait(HALF).await;
        let answer = ground.platform(|platform, now| platform.call(&self.app, &page(), &call, now));
        let is_of_control =
            matches!(call, ApiCall::Pass { .. } | ApiCall::Take { .. } | ApiCall::Release { .. });
        if is_of_control && answer.is_ok() {
            let change = (conversation(thread), ground.now());
            ground.ledger().moves.push(change);
        }
        ground.wait(HALF).await;
        match answer {
            Ok(answer) => Ok(answer),
            Err(refusal) => Err(error_of(thread, &refusal).await),
        }
    }

    async fn control(&self, thread: &ThreadKey, call: ApiCall) -> Result<(), CallError> {
        self.call(thread, call).await.map(drop)
    }
}

#[async_trait]
impl HandoverClient for Client {
    async fn pass_thread_control(
        &self,
        thread: &ThreadKey,
        target: Option<&AppId>,
        metadata: Option<&str>,
    ) -> Result<(), CallError> {
        let (target, metadata) = (target.cloned(), metadata.map(str::to_owned));
        self.control(thread, ApiCall::Pass { user: thread.user.clone(), target, metadata }).await
    }

    async fn take_thread_control(&self, thread: &ThreadKey, metadata: Option<&str>) -> Result<(), CallError> {
        let metadata = metadata.map(str::to_owned);
        self.control(thread, ApiCall::Take { user: thread.user.clone(), metadata }).await
    }

    async fn request_thread_control(
        &self,
        thread: &ThreadKey,
        metadata: Option<&str>,
    ) -> Result<Forwarded, CallError> {
        let metadata = metadata.map(str::to_owned);
        self.control(thread, ApiCall::Request { user: thread.user.clone(), metadata }).await?;
        Ok(Forwarded::new())
    }

    async fn release_thread_control(&self, thread: &ThreadKey) -> Result<(), CallError> {
        self.control(thread, ApiCall::Release { user: thread.user.clone() }).await
    }

    async fn thread_owner(&self, thread: &ThreadKey) -> Result<ThreadOwner, CallError> {
        let answer = self.call(thread, ApiCall::ThreadOwner { user: thread.user.clone() }).await?;
        match answer {
            ApiAnswer::NoOwner => Ok(ThreadOwner::Idle),
            ApiAnswer::Owner { app: Some(app), expiration } => {
                Ok(ThreadOwner::App { app, expires: Some(expiration) })
            }
            ApiAnswer::Owner { app: None, expiration } => {
                Ok(ThreadOwner::Hidden { expires: Some(expiration) })
            }
            _ => Err(CallError::unknown(Failure::new(FailureKind::Protocol, "not an owner"))),
        }
    }

    async fn send_message(
        &self,
        thread: &ThreadKey,
        message: &OutgoingMessage,
        metadata: Option<&str>,
    ) -> Result<Sent, CallError> {
        let mut body = message.body().clone();
        if let Some(metadata) = metadata {
            body.insert("metadata".to_owned(), Value::from(metadata));
        }
        let thread_control = message.control().map(|control| match control {
            InlineControl::PassTo(app) => sim::InlineControl::Pass(Some(app.clone())),
            _ => sim::InlineControl::Release,
        });
        let (user, message) = (thread.user.clone(), Value::Object(body));
        let send = ApiCall::Send { user, message, messaging_type: None, tag: None, thread_control };
        match self.call(thread, send).await? {
            ApiAnswer::Sent { mid, .. } => Ok(Sent::new(Some(mid))),
            _ => Ok(Sent::new(None)),
        }
    }

    async fn sender_action(&self, thread: &ThreadKey, action: SenderAction) -> Result<(), CallError> {
        let action = action.as_str().to_owned();
        self.control(thread, ApiCall::SenderAction { user: thread.user.clone(), action }).await
    }
}

/// A transport that answers every request with this refusal.
#[derive(Debug)]
struct Refuses {
    status: u16,
    body: String,
}

#[async_trait]
impl Transport for Refuses {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let answer = Response::builder().status(self.status).body(Bytes::from(self.body.clone()));
        answer.map_err(|_| TransportError::lost("not a status"))
    }
}

/// The error of a refusal, as the real Graph client reads it. Refusals are rare, so it may take its time.
async fn error_of(thread: &ThreadKey, refusal: &GraphError) -> CallError {
    let unreadable = |why: String| CallError::unknown(Failure::new(FailureKind::Protocol, why));
    let transport = Refuses { status: refusal.status, body: refusal.body().to_string() };
    let builder = match "http://127.0.0.1/".parse() {
        Ok(url) => GraphClient::builder().base_url(url),
        Err(_) => GraphClient::builder(),
    };
    match builder.page(thread.page.clone(), "t".into()).transport(Arc::new(transport)).build() {
        Ok(graph) => match graph.release_thread_control(thread).await {
            Err(error) => error,
            Ok(()) => unreadable("a refusal was read as a success".to_owned()),
        },
        Err(error) => unreadable(error.to_string()),
    }
}
