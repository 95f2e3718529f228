//! Typing indicators and read marks: best effort, and never a reason to claim control.

use std::time::Duration;

use crate::call::SenderAction;
use crate::control::CallError;
use crate::id::ThreadKey;

use super::calls::{Callee, NoPlace};
use super::{Handover, HandoverError};

/// How long a sender action waits for a place: one that comes later says nothing any more.
const WAITS: Duration = Duration::from_secs(2);

/// What became of a sender action ([`Handover::sender_action`]).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Shown {
    /// The platform accepted it.
    Accepted,
    /// Control is not believed to be ours: no call was made.
    NotOurs,
    /// Too many calls are under way ([`Builder::calls_at_once`](super::Builder::calls_at_once)), and none ended within 2 s: no
    /// call was made.
    NoPlace,
    /// The call failed. It is not made again.
    Failed(CallError),
}

impl Handover {
    /// Shows the customer that somebody is typing, or that their message was read, if control is believed to be ours; it is never
    /// claimed for that. It is ours where the platform said so, or where the customer's last message came to us on
    /// `messaging` and one app is primary.
    ///
    /// Best effort: nothing is saved and nothing is tried again, and what the platform refuses is an outcome
    /// ([`Shown`]) and no error, so that a handler can pass errors on. It changes nothing of what is believed either: where
    /// control is gone after all, the next message finds out. It costs one read of the store and one call, which counts
    /// like any other against [`Builder::calls_at_once`](super::Builder::calls_at_once) and the platform's rate limits. If
    /// this future is dropped the call is made all the same. [`stop`](Self::stop) waits for a call that is under way.
    ///
    /// # Errors
    /// [`HandoverError::Store`], [`HandoverError::Record`] or [`HandoverError::ShuttingDown`]: no call was made.
    pub async fn sender_action(
        &self,
        thread: &ThreadKey,
        action: SenderAction,
    ) -> Result<Shown, HandoverError> {
        self.is_taking_in()?;
        let (service, key) = (self.clone(), thread.clone());
        match self.at_once(async move { service.show(&key, action).await }).await {
            Ok(shown) => shown,
            Err(rest) => match rest.await {
                Ok(shown) => shown,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => Err(HandoverError::ShuttingDown),
            },
        }
    }

    async fn show(&self, key: &ThreadKey, action: SenderAction) -> Result<Shown, HandoverError> {
        let inner = &self.inner;
        if !self.thread(key).await?.may_show(inner.policy(&key.page), inner.now()) {
            return Ok(Shown::NotOurs);
        }
        let _place = match inner.calls.place(Callee::Page(key.page.clone()), || WAITS).await {
            Ok(place) => place,
            Err(NoPlace::Stopping) => return Err(HandoverError::ShuttingDown),
            Err(NoPlace::Late | NoPlace::Crowded) => return Ok(Shown::NoPlace),
        };
        Ok(match inner.client.sender_action(key, action).await {
            Ok(()) => Shown::Accepted,
            Err(error) => Shown::Failed(error),
        })
    }
}
