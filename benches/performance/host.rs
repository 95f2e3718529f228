//! A host with the in-memory store.

use std::cell::RefCell;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use messenger_handover::handover::{BoxError, Handler, HandlerError, Handover, Notification};
use messenger_handover::id::{AppId, ThreadKey};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::secret::{AppSecret, VerifyToken};
use messenger_handover::store::{MemoryStore, ThreadStore};
use messenger_handover::testing::FakeClient;
use messenger_handover::thread::{Actions, Notice};
use messenger_handover::webhook::{self, Delivery, SIGNATURE_HEADER, Verifier};
use tokio::runtime::Runtime;

use crate::common::deliveries::{Deliveries, SECRET};
use crate::threads::EVENTS;

/// A handler that does nothing about any notification.
struct Deaf {
    /// Whether it decides about messages before they are saved.
    decides: bool,
}

#[async_trait::async_trait]
impl Handler for Deaf {
    async fn notify(&self, _: &Handover, _: &Notification) -> Result<Actions, HandlerError> {
        Ok(Actions::none())
    }

    fn decide(&self, _: &ThreadKey, _: &Notice) -> Option<Actions> {
        self.decides.then(Actions::none)
    }
}

/// A bot. No measured work calls the platform. Call it within a runtime.
pub fn host(store: Arc<dyn ThreadStore>, decides: bool) -> Result<Handover, BoxError> {
    let (app, policy) = (AppId::from(1001), ThreadControlPolicy::BotPrimary);
    let platform = FakeClient::new(app.clone());
    Ok(Handover::builder(app, Role::Bot, policy, platform, Deaf { decides }).store(store).start()?)
}

/// That host's webhook endpoint, on one thread.
pub struct Service {
    runtime: Runtime,
    handover: Handover,
    server: webhook::Endpoint,
    deliveries: RefCell<Deliveries>,
}

impl Service {
    pub fn new(runtime: Runtime, users: u64, decides: bool) -> Result<Self, BoxError> {
        let handover = {
            let _here = runtime.enter();
            host(Arc::new(MemoryStore::new()), decides)?
        };
        let verifier = Verifier::new(AppSecret::new(SECRET));
        let server = webhook::Endpoint::new(verifier, VerifyToken::new("a verify token"), handover.clone());
        let service = Self { runtime, handover, server, deliveries: RefCell::new(Deliveries::new(users)) };
        // Every customer has written before.
        for first in (0..users).step_by(EVENTS) {
            let last = users.min(first + EVENTS as u64);
            let (signature, body) = service.deliveries.borrow_mut().signed_of(first..last);
            service.take_in(&signature, &body);
        }
        Ok(service)
    }

    /// As [`Self::take_in`], for a delivery that is already verified and parsed.
    #[allow(dead_code, reason = "not every bench needs it")]
    pub fn receive(&self, delivery: Delivery) {
        self.runtime.block_on(async {
            self.handover.receive(delivery).await.expect("it is in memory");
            while !self.handover.threads_needing_attention(None, 1).await.expect("it is in memory").is_empty()
            {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Submits a delivery, and waits until the host has handled all notifications.
    pub fn take_in(&self, signature: &str, body: &[u8]) {
        let mut header = HeaderMap::new();
        header.insert(SIGNATURE_HEADER, HeaderValue::from_str(signature).expect("it is hexadecimal"));
        self.runtime.block_on(async {
            let answer = self.server.handle(&Method::POST, None, &header, body).await;
            assert_eq!(answer.status(), 200);
            while !self.handover.threads_needing_attention(None, 1).await.expect("it is in memory").is_empty()
            {
                tokio::task::yield_now().await;
            }
        });
    }

    pub fn delivery(&self) -> (String, Vec<u8>) {
        self.delivery_of(EVENTS)
    }

    pub fn delivery_of(&self, events: usize) -> (String, Vec<u8>) {
        self.deliveries.borrow_mut().signed(events)
    }
}
