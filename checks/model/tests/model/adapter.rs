//! Converts a thread's calls to the simulator's, and its responses to outcomes. Error bodies are classified by the real
//! Graph client, once per body.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{Request, Response};
use messenger_handover::call::{Call, CallOutcome, Failure, ThreadOwner};
use messenger_handover::control::HandoverClient;
use messenger_handover::event::{Event, EventKind};
use messenger_handover::graph::GraphClient;
use messenger_handover::http::{Transport, TransportError};
use messenger_handover::id::{AppId, MessageId, PageId, ThreadKey, UserId};
use messenger_handover::webhook::{Item, dangerous_parse_unverified};
use messenger_sim::{ApiAnswer, ApiCall, Delivery, GraphError, InlineControl};
use serde_json::{Value, json};

pub fn key() -> ThreadKey {
    ThreadKey::new(PageId::from(10), UserId::from(77))
}

pub fn api_call(app: &AppId, call: &Call) -> ApiCall {
    let user = key().user;
    match call {
        Call::SendMessage { key, message } => {
            let mut body: Value = serde_json::to_value(message).unwrap()["body"].take();
            body["metadata"] = json!(key.to_metadata(app));
            let thread_control = message.control().map(|control| match control {
                messenger_handover::call::InlineControl::PassTo(app) => {
                    InlineControl::Pass(Some(app.clone()))
                }
                _ => InlineControl::Release,
            });
            ApiCall::Send { user, message: body, messaging_type: None, tag: None, thread_control }
        }
        Call::PassThreadControl { to } => ApiCall::Pass { user, target: Some(to.clone()), metadata: None },
        Call::TakeThreadControl => ApiCall::Take { user, metadata: None },
        Call::RequestThreadControl => ApiCall::Request { user, metadata: None },
        Call::ReleaseThreadControl => ApiCall::Release { user },
        Call::ThreadOwner => ApiCall::ThreadOwner { user },
        other => panic!("not a call of Graph's: {other:?}"),
    }
}

fn mid(text: &str) -> MessageId {
    MessageId::new(text).unwrap()
}

/// The events of a delivery, read by the webhook parser. `unsent` is the text of the message that the customer unsent.
pub fn events(delivery: &Delivery, unsent: Option<&str>) -> Vec<Event> {
    let body = json!({"object": "page", "entry": [{
        "id": delivery.page, "time": delivery.at.as_millis(), (delivery.channel.name()): [delivery.item],
    }]});
    let items = dangerous_parse_unverified(body.to_string().as_bytes()).unwrap().items;
    let event = |item| match item {
        Item::Event { mut event, .. } => {
            // Ids that do not depend on earlier messages, so that more states are equal.
            match &mut event.kind {
                EventKind::Inbound(inbound) => inbound.mid = inbound.text.as_deref().map(mid),
                EventKind::Echo(echo) => echo.mid = echo.text.as_deref().map(mid),
                EventKind::Unsent(id) => *id = mid(unsent.unwrap()),
                _ => {}
            }
            Some(event)
        }
        _ => None,
    };
    items.into_iter().filter_map(event).collect()
}

pub fn result(call: &Call, answer: Result<ApiAnswer, GraphError>) -> CallOutcome {
    match (call, answer) {
        (_, Err(failure)) => CallOutcome::Refused(meaning(&failure)),
        (Call::RequestThreadControl, Ok(_)) => CallOutcome::Forwarded,
        (_, Ok(ApiAnswer::Success)) => CallOutcome::Done,
        (Call::SendMessage { key, .. }, Ok(ApiAnswer::Sent { .. })) => {
            CallOutcome::Sent(Some(mid(key.as_str())))
        }
        (_, Ok(ApiAnswer::NoOwner)) => CallOutcome::Owner(ThreadOwner::Idle),
        (_, Ok(ApiAnswer::Owner { app: Some(app), expiration })) => {
            CallOutcome::Owner(ThreadOwner::App { app, expires: Some(expiration) })
        }
        (_, Ok(ApiAnswer::Owner { app: None, expiration })) => {
            CallOutcome::Owner(ThreadOwner::Hidden { expires: Some(expiration) })
        }
        (_, Ok(other)) => panic!("{call:?} was answered with {other:?}"),
    }
}

#[derive(Debug)]
struct Refuses(Mutex<String>);

#[async_trait]
impl Transport for Refuses {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let body = self.0.lock().unwrap().clone();
        Ok(Response::builder().status(400).body(Bytes::from(body)).unwrap())
    }
}

fn meaning(failure: &GraphError) -> Failure {
    static KNOWN: LazyLock<Mutex<HashMap<String, Failure>>> = LazyLock::new(Mutex::default);
    let known = format!("{} {:?} {}", failure.code, failure.subcode, failure.message);
    KNOWN
        .lock()
        .unwrap()
        .entry(known)
        .or_insert_with(|| {
            let transport = Arc::new(Refuses(Mutex::new(failure.body().to_string())));
            let client = GraphClient::builder().base_url("http://127.0.0.1/".parse().unwrap());
            let client = client.page(key().page, "t".into()).transport(transport).build().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let error = runtime.block_on(client.release_thread_control(&key())).unwrap_err();
            assert!(!error.may_have_acted(), "{error}");
            error.failure().clone()
        })
        .clone()
}
