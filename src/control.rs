//! The ports of the service: to the platform, and to the desk of a bot.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::call::{
    Advice, CallOutcome, Failure, FailureKind, HandoverRequest, OutgoingMessage, SenderAction, ThreadOwner,
};
use crate::id::{AppId, MessageId, ThreadKey};

/// Meta's thread-control calls and the Send API, for any Page that the implementation has a token of.
///
/// [`crate::graph::GraphClient`] speaks to Graph; a host can put its own behind it. Metadata is an
/// opaque text that the platform repeats in the webhook of the call; it should hold no personal data.
///
/// Dropping a returned future may leave the call made or not made: whoever needs to know reads
/// [`thread_owner`](Self::thread_owner), or the echo of a message.
#[async_trait]
pub trait HandoverClient: fmt::Debug + Send + Sync + 'static {
    /// `pass_thread_control`: gives control of a thread that is ours or idle to another app.
    ///
    /// Without a target it goes to the primary receiver or the default application (facts §1.2, §2.4).
    ///
    /// # Errors
    /// [`CallError`] with [`FailureKind::NotThreadOwner`] if another app owns the thread.
    async fn pass_thread_control(
        &self,
        thread: &ThreadKey,
        target: Option<&AppId>,
        metadata: Option<&str>,
    ) -> Result<(), CallError>;

    /// `take_thread_control`: takes control. For the primary receiver, for apps that an admin allowed
    /// to, or of an idle thread (facts §1.2, §2.4).
    ///
    /// # Errors
    /// [`CallError`] with [`FailureKind::NotAvailable`] where the Page's configuration has no take.
    async fn take_thread_control(&self, thread: &ThreadKey, metadata: Option<&str>) -> Result<(), CallError>;

    /// `request_thread_control`: asks the owner or the primary receiver for control. A success is
    /// *not* control: it comes with a later pass event, or never (facts §3.4).
    ///
    /// # Errors
    /// [`CallError`]; any failure that is not about something else means that the Page's
    /// configuration has no request ([`FailureKind::means_not_available`]).
    async fn request_thread_control(
        &self,
        thread: &ThreadKey,
        metadata: Option<&str>,
    ) -> Result<Forwarded, CallError>;

    /// `release_thread_control`: makes a thread of ours idle. No webhook tells anybody (facts §2.4).
    ///
    /// # Errors
    /// [`CallError`] with [`FailureKind::NotThreadOwner`] if we do not own the thread.
    async fn release_thread_control(&self, thread: &ThreadKey) -> Result<(), CallError>;

    /// `GET thread_owner`: who owns the thread, as far as we may see it (facts §2.4).
    ///
    /// # Errors
    /// [`CallError`].
    async fn thread_owner(&self, thread: &ThreadKey) -> Result<ThreadOwner, CallError>;

    /// Sends a message to the customer. `metadata` is repeated in the message's echo (facts §4.8).
    ///
    /// # Errors
    /// [`CallError`]. Where [`CallError::may_have_acted`] the customer may have got it: never send it
    /// again blindly.
    async fn send_message(
        &self,
        thread: &ThreadKey,
        message: &OutgoingMessage,
        metadata: Option<&str>,
    ) -> Result<Sent, CallError>;

    /// Shows a sign to the customer: typing, seen. It passes the same gates as a message (INF).
    ///
    /// # Errors
    /// [`CallError`] as for a message.
    async fn sender_action(&self, thread: &ThreadKey, action: SenderAction) -> Result<(), CallError>;
}

/// The desk's endpoint as a bot sees it. A success means that the desk accepted, not that control has
/// moved.
#[async_trait]
pub trait DeskEndpoint: fmt::Debug + Send + Sync + 'static {
    /// Asks the desk to move control.
    ///
    /// # Errors
    /// [`CallError`]: [`FailureKind::Conflict`] if the desk refuses because people
    /// are busy with the customer or another app owns the thread. Whoever needs control moved all the
    /// same passes it straight to the desk's app.
    async fn handover(&self, request: &HandoverRequest) -> Result<(), CallError>;
}

/// A request for control was forwarded to whoever may grant it. Control comes with a pass event,
/// later, or never: some owners do not answer at all (facts §2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a forwarded request is not control: wait for the pass event or read thread_owner"]
#[non_exhaustive]
pub struct Forwarded;

impl Forwarded {
    /// For implementations of [`HandoverClient`]: the platform accepted the request.
    pub fn new() -> Self {
        Self
    }
}

impl Default for Forwarded {
    fn default() -> Self {
        Self::new()
    }
}

/// A message reached the platform.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Sent {
    /// The platform's id of the message, if its answer had one.
    pub mid: Option<MessageId>,
}

impl Sent {
    /// A sent message with the platform's id.
    #[must_use]
    pub fn new(mid: Option<MessageId>) -> Self {
        Self { mid }
    }
}

/// A call that did not succeed: what kind of failure, what to do about it, and whether the platform
/// may have acted all the same. It never carries a secret.
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

    /// It is not known whether the platform acted.
    #[must_use]
    pub fn unknown(failure: Failure) -> Self {
        Self { failure, may_have_acted: true, source: None }
    }

    /// Adds what caused it. The source must not carry a secret either.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.failure.kind
    }

    /// What the caller should do. Where [`may_have_acted`](Self::may_have_acted), look first whether
    /// it happened.
    #[must_use]
    pub fn advice(&self) -> Advice {
        self.failure.kind.advice()
    }

    /// Whether the platform may have done what was asked. `false` means that it certainly did not.
    #[must_use]
    pub fn may_have_acted(&self) -> bool {
        self.may_have_acted
    }

    /// The platform's codes and words.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// As the state machine stores it.
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

// By hand: derived, the source would be the `Arc`, and nobody could downcast it.
impl StdError for CallError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
