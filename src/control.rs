//! The client traits of the service: calls to the platform, and a bot's calls to the desk.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::call::{
    Advice, CallOutcome, Failure, FailureKind, HandoverRequest, OutgoingMessage, SenderAction, ThreadOwner,
};
use crate::id::{AppId, MessageId, ThreadKey};

/// Meta's thread-control calls and the Send API, for every Page that the implementation has a token for.
///
/// [`GraphClient`](crate::graph::GraphClient) calls the Graph API; a host can bring its own implementation.
/// `metadata` is an opaque text that the platform repeats in the webhook of the call, so it must hold no personal
/// data.
///
/// Dropping a returned future may leave the call made or not made. To find out, read
/// [`thread_owner`](Self::thread_owner), or wait for the echo of a message.
#[async_trait]
pub trait HandoverClient: fmt::Debug + Send + Sync + 'static {
    /// `pass_thread_control`: gives another app control of a thread that is ours or idle.
    ///
    /// Without a target, control goes to the primary receiver or the default application
    /// ([pass](crate::protocol#pass)).
    ///
    /// # Errors
    /// [`CallError`] with [`FailureKind::NotThreadOwner`] if another app owns the thread: get control first.
    async fn pass_thread_control(
        &self,
        thread: &ThreadKey,
        target: Option<&AppId>,
        metadata: Option<&str>,
    ) -> Result<(), CallError>;

    /// `take_thread_control`: takes control. Available to the primary receiver, to apps that an admin allowed to
    /// take, and on an idle thread ([take](crate::protocol#take)).
    ///
    /// # Errors
    /// [`CallError`] with [`FailureKind::NotAvailable`] if the Page's configuration has no take: a Page admin must
    /// allow it.
    async fn take_thread_control(&self, thread: &ThreadKey, metadata: Option<&str>) -> Result<(), CallError>;

    /// `request_thread_control`: asks the owner or the primary receiver for control. Success means that the request
    /// was forwarded; control comes with a later pass event, or [never](crate::protocol#request).
    ///
    /// # Errors
    /// [`CallError`] whose kind [means not available](FailureKind::means_not_available) if the Page's configuration
    /// has no request: take control instead, or wait for a pass.
    async fn request_thread_control(
        &self,
        thread: &ThreadKey,
        metadata: Option<&str>,
    ) -> Result<Forwarded, CallError>;

    /// `release_thread_control`: makes a thread of ours idle. Meta [sends no webhook](crate::protocol#release) for
    /// it.
    ///
    /// # Errors
    /// [`CallError`] with [`FailureKind::NotThreadOwner`] if we do not own the thread: nothing is left to release.
    async fn release_thread_control(&self, thread: &ThreadKey) -> Result<(), CallError>;

    /// `GET thread_owner`: reads the owner of the thread, [as far as we may see it](crate::protocol#thread-owner).
    ///
    /// # Errors
    /// [`CallError`] if the owner cannot be read. Some Pages return an error for a hidden owner: do not treat that as
    /// idle.
    async fn thread_owner(&self, thread: &ThreadKey) -> Result<ThreadOwner, CallError>;

    /// Sends a message to the customer. The platform repeats `metadata` in the message's
    /// [echo](crate::protocol#echoes).
    ///
    /// # Errors
    /// [`CallError`]. If [`CallError::may_have_acted`], the customer may have received the message: wait for its
    /// echo, and never send it again blindly.
    async fn send_message(
        &self,
        thread: &ThreadKey,
        message: &OutgoingMessage,
        metadata: Option<&str>,
    ) -> Result<Sent, CallError>;

    /// Shows a sign to the customer, such as a typing indicator. It needs control and an open window like a message,
    /// which is [inferred](crate::protocol#sender-actions).
    ///
    /// # Errors
    /// [`CallError`] as for a message. A sign need not be retried.
    async fn sender_action(&self, thread: &ThreadKey, action: SenderAction) -> Result<(), CallError>;

    /// The share of the platform's fullest [limit](crate::protocol#rate-limits) that is used, in percent, by the last response;
    /// for operators.
    fn usage_percent(&self) -> Option<u64> {
        None
    }
}

/// The desk's endpoint, as a bot calls it. Success means that the desk accepted, not that control has moved.
#[async_trait]
pub trait DeskEndpoint: fmt::Debug + Send + Sync + 'static {
    /// Asks the desk to move control.
    ///
    /// # Errors
    /// [`CallError`] with [`FailureKind::Conflict`] if the desk refuses because people are busy with the customer or
    /// another app owns the thread: wait until the agent is done, or pass control to the desk's app directly.
    async fn handover(&self, request: &HandoverRequest) -> Result<(), CallError>;
}

#[async_trait]
impl<C: HandoverClient + ?Sized> HandoverClient for Arc<C> {
    async fn pass_thread_control(
        &self,
        thread: &ThreadKey,
        target: Option<&AppId>,
        metadata: Option<&str>,
    ) -> Result<(), CallError> {
        (**self).pass_thread_control(thread, target, metadata).await
    }

    async fn take_thread_control(&self, thread: &ThreadKey, metadata: Option<&str>) -> Result<(), CallError> {
        (**self).take_thread_control(thread, metadata).await
    }

    async fn request_thread_control(
        &self,
        thread: &ThreadKey,
        metadata: Option<&str>,
    ) -> Result<Forwarded, CallError> {
        (**self).request_thread_control(thread, metadata).await
    }

    async fn release_thread_control(&self, thread: &ThreadKey) -> Result<(), CallError> {
        (**self).release_thread_control(thread).await
    }

    async fn thread_owner(&self, thread: &ThreadKey) -> Result<ThreadOwner, CallError> {
        (**self).thread_owner(thread).await
    }

    async fn send_message(
        &self,
        thread: &ThreadKey,
        message: &OutgoingMessage,
        metadata: Option<&str>,
    ) -> Result<Sent, CallError> {
        (**self).send_message(thread, message, metadata).await
    }

    async fn sender_action(&self, thread: &ThreadKey, action: SenderAction) -> Result<(), CallError> {
        (**self).sender_action(thread, action).await
    }

    fn usage_percent(&self) -> Option<u64> {
        (**self).usage_percent()
    }
}

#[async_trait]
impl<D: DeskEndpoint + ?Sized> DeskEndpoint for Arc<D> {
    async fn handover(&self, request: &HandoverRequest) -> Result<(), CallError> {
        (**self).handover(request).await
    }
}

/// The success of a request: it was forwarded to the app that may grant it. Control comes with a later pass event, or
/// never, because some owners [do not answer](crate::protocol#request).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a forwarded request is not control: wait for the pass event or read thread_owner"]
#[non_exhaustive]
pub struct Forwarded;

impl Forwarded {
    /// The platform accepted the request. For implementations of [`HandoverClient`].
    pub fn new() -> Self {
        Self
    }
}

impl Default for Forwarded {
    fn default() -> Self {
        Self::new()
    }
}

/// The success of a send: the platform accepted the message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Sent {
    /// The platform's id of the message, if it returned one.
    pub mid: Option<MessageId>,
}

impl Sent {
    /// A sent message with the platform's id.
    #[must_use]
    pub fn new(mid: Option<MessageId>) -> Self {
        Self { mid }
    }
}

/// The error of a call: the kind of failure, the advice, and whether the platform may have acted. It never carries a
/// secret.
#[derive(Debug, Clone)]
pub struct CallError {
    failure: Failure,
    may_have_acted: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl CallError {
    /// The platform refused and certainly did nothing.
    #[must_use]
    pub fn refused(failure: Failure) -> Self {
        Self { failure, may_have_acted: false, source: None }
    }

    /// The platform may have acted, or not.
    #[must_use]
    pub fn unknown(failure: Failure) -> Self {
        Self { failure, may_have_acted: true, source: None }
    }

    /// Adds the cause. It must carry no secret either.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.failure.kind
    }

    /// The caller's reaction. If the platform [may have acted](Self::may_have_acted), find out first whether it did.
    #[must_use]
    pub fn advice(&self) -> Advice {
        self.failure.kind.advice()
    }

    /// Whether the platform may have applied the call. `false` means that it certainly did not.
    #[must_use]
    pub fn may_have_acted(&self) -> bool {
        self.may_have_acted
    }

    /// The platform's codes and text.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// The outcome to give to the state machine.
    #[must_use]
    pub fn into_outcome(self) -> CallOutcome {
        if self.may_have_acted {
            CallOutcome::Unknown(self.failure)
        } else {
            CallOutcome::Refused(self.failure)
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

// Written by hand, because a derived `source` would be the `Arc`, which cannot be downcast.
impl StdError for CallError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
