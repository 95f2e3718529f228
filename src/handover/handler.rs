use std::error::Error;
use std::fmt;

use async_trait::async_trait;

use crate::call::Advice;
use crate::event::Inbound;
use crate::id::ThreadKey;
use crate::thread::{Actions, Notice, NoticeId};

use super::{Handover, HandoverError};

/// Any error of a host.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What a host does when it is notified of something.
///
/// ```
/// # use async_trait::async_trait;
/// # use messenger_handover::call::OutgoingMessage;
/// # use messenger_handover::handover::{Handler, HandlerError, Handover, Notification};
/// # use messenger_handover::thread::{Actions, Target};
/// struct Bot;
///
/// #[async_trait]
/// impl Handler for Bot {
///     async fn notify(&self, _: &Handover, notification: &Notification) -> Result<Actions, HandlerError> {
///         let mut actions = Actions::none();
///         for message in notification.to_answer() {
///             actions = actions.and_reply_to(message, OutgoingMessage::text("A colleague will be with you.")?);
///             if message.text.as_deref().is_some_and(|text| text.contains("person")) {
///                 actions = actions.and_hand_over(Target::Desk);
///             }
///         }
///         Ok(actions)
///     }
/// }
/// ```
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Deals with one notification, and returns what it wants done. That is saved in the same write as that the notification
    /// was dealt with, so that both are done or neither. What is refused is told as [`Notice::ActionRefused`].
    ///
    /// It comes again, with the same id, until this returns `Ok`, and at most
    /// [`Limits::attempts`](crate::thread::Limits::attempts) times; those behind it, of the same conversation, wait. So it may come
    /// more than once, also after a restart: what a handler does by itself must not be done twice.
    ///
    /// What ends without waiting for anything, such as passing it on to a channel, is done before the platform is answered;
    /// everything else goes on in a task of its own. So it must not block its thread.
    ///
    /// It is dropped, and comes again, if it takes longer than
    /// [`Timeouts::notice_lease`](crate::thread::Timeouts::notice_lease).
    ///
    /// # Errors
    /// [`HandlerError`]: it is told again after a pause, or, where that cannot help, set aside
    /// ([`SetAside`](crate::thread::SetAside), logged as an error) and the next one is told.
    async fn notify(&self, handover: &Handover, notification: &Notification)
    -> Result<Actions, HandlerError>;
}

/// A handler could not deal with a notification.
///
/// `?` makes one of any error: of a [`HandoverError`] that will come again (a refused command, a damaged record), at any depth
/// of its sources, one that [skips](Self::skip), of everything else one that [retries](Self::retry).
pub struct HandlerError {
    skips: bool,
    source: BoxError,
}

impl HandlerError {
    /// Not now: the notification is told again after a pause, at most [`Limits::attempts`](crate::thread::Limits::attempts)
    /// times.
    pub fn retry(error: impl Into<BoxError>) -> Self {
        Self { skips: false, source: error.into() }
    }

    /// Never: the notification is set aside, and the next one is told.
    pub fn skip(error: impl Into<BoxError>) -> Self {
        Self { skips: true, source: error.into() }
    }

    /// Whether the notification is set aside.
    #[must_use]
    pub fn skips(&self) -> bool {
        self.skips
    }
}

impl<E: Into<BoxError>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let source = error.into();
        let mut cause: Option<&(dyn Error + 'static)> = Some(source.as_ref());
        let mut skips = false;
        while let Some(error) = cause {
            let advice = error.downcast_ref().map(HandoverError::advice);
            skips |= advice == Some(Advice::GiveUp);
            cause = error.source();
        }
        Self { skips, source }
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError").field("skips", &self.skips).field("source", &self.source).finish()
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// A notice with its conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notification {
    /// Which conversation.
    pub thread: ThreadKey,
    /// The notice's number within it: the same when it comes again.
    pub id: NoticeId,
    /// How often it was told, this time counted: 1 for the first.
    pub attempt: u32,
    /// What there is to know.
    pub notice: Notice,
}

impl Notification {
    /// A notice of a conversation; for tests of a handler.
    #[must_use]
    pub fn new(thread: ThreadKey, id: NoticeId, attempt: u32, notice: Notice) -> Self {
        Self { thread, id, attempt, notice }
    }

    /// The customer's messages that this host is to answer now, under every policy; empty where there is nothing to answer.
    /// Reply to each, or to the last.
    #[must_use]
    pub fn to_answer(&self) -> &[Inbound] {
        self.notice.to_answer()
    }
}

#[cfg(test)]
mod tests {
    use crate::store::StoreError;
    use crate::thread::CommandRefused;

    use super::*;

    #[test]
    fn a_question_mark_skips_what_will_be_refused_again() {
        fn from(error: impl Into<HandlerError>) -> bool {
            error.into().skips()
        }
        #[derive(Debug, thiserror::Error)]
        #[error("the bot failed")]
        struct OfTheHost(#[source] HandoverError);

        assert!(from(HandoverError::Refused(CommandRefused::NoDesk)));
        assert!(from(OfTheHost(HandoverError::Refused(CommandRefused::InterventionOpen))));
        assert!(!from(HandoverError::Refused(CommandRefused::QueueFull)));
        assert!(!from(HandoverError::Store(StoreError::new("away"))));
        assert!(!from("the model is away"));
        assert!(HandlerError::skip(HandoverError::Busy).skips());
        assert!(!HandlerError::retry(HandoverError::Refused(CommandRefused::NoDesk)).skips());
    }
}
