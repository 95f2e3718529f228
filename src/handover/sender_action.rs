//! Typing indicators and read marks: best effort, without claiming control.

use std::time::Duration;

use crate::call::SenderAction;
use crate::control::CallError;
use crate::id::ThreadKey;

use super::calls::{Callee, NoPlace};
use super::{Handover, HandoverError};

/// The time that a sender action waits for a place. Later it would be out of date.
const WAITS: Duration = Duration::from_secs(2);

/// The outcome of a sender action ([`Handover::sender_action`]).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Shown {
    /// The platform accepted it.
    Accepted,
    /// We are not believed to be the owner; no call was made.
    NotOurs,
    /// Too many calls are under way ([`Builder::calls_at_once`](super::Builder::calls_at_once)), and none ended within 2 s; no
    /// call was made.
    NoPlace,
    /// The call failed. It is not retried.
    Failed(CallError),
}

impl Handover {
    /// Shows the customer that somebody is typing or has read their message ([sender
    /// actions](crate::protocol#sender-actions)), if we are believed to be the owner: the platform said so, or the customer's
    /// last message came on `messaging` and one app is primary. Control is never claimed for it.
    ///
    /// Best effort: nothing is saved or retried, and a refusal by the platform is an outcome ([`Shown`]) and not an error, so
    /// that a handler can pass errors on with `?`. A refusal does not change the believed owner; the next message finds it out.
    ///
    /// It costs one read of the store and one call, which counts against
    /// [`Builder::calls_at_once`](super::Builder::calls_at_once) and the platform's rate limits. If this future is dropped, the
    /// call is still made. [`stop`](Self::stop) waits for a call that is under way.
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
        let result = inner.client.sender_action(key, action).await;
        inner.counters.call("sender_action", result.as_ref().err().map(|error| error.failure().kind));
        Ok(result.map_or_else(Shown::Failed, |()| Shown::Accepted))
    }
}
