//! The host's side: the handler, its errors and its notifications.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::call::Advice;
use crate::event::Inbound;
use crate::id::ThreadKey;
use crate::thread::{Actions, Notice, NoticeId};

use super::{Handover, HandoverError};

/// Any error of a host.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The host's handler, which the service notifies of messages, changes of control and outcomes.
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
///             let wants_a_person = message.text.as_deref().is_some_and(|text| text.contains("person"));
///             let reply = if wants_a_person { "I will ask a colleague to join." } else { "Ask for a person to get one." };
///             actions = actions.and_reply_to(message, OutgoingMessage::text(reply)?);
///             if wants_a_person {
///                 actions = actions.and_hand_over(Target::Desk);
///             }
///         }
///         Ok(actions)
///     }
/// }
/// ```
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles one notification and returns the actions to take: replies, a transfer. They are saved in the same write as the
    /// end of the notification, so that both happen or neither. A refused action comes back as [`Notice::ActionRefused`].
    ///
    /// The notification repeats with the same id, also after a restart, until this returns `Ok` or for
    /// [`Limits::attempts`](crate::thread::Limits::attempts) times; later ones of the same conversation wait. So make any side
    /// effect of your own idempotent.
    ///
    /// This may run on the task that serves the webhook, so it must not block its thread.
    ///
    /// The future is dropped after nine tenths of [`Timeouts::notice_lease`](crate::thread::Timeouts::notice_lease), and the
    /// notification repeats.
    ///
    /// # Errors
    /// [`HandlerError`]: the notification repeats after a pause. One that [skips](HandlerError::skip) is set aside at once
    /// ([`SetAside`](crate::thread::SetAside), logged as an error), and the next one follows.
    async fn notify(&self, handover: &Handover, notification: &Notification)
    -> Result<Actions, HandlerError>;

    /// Decides at once about a notice, before [`notify`](Self::notify). `Some` actions are its end. `None` leaves it to `notify`; so
    /// does the default.
    ///
    /// A notice that came of a delivery is decided before it is saved, so that both are one write: half of the work for a store.
    /// Failures, and what came of a call, a command or a timer, are saved first, because they may not come again.
    ///
    /// For a host that needs no I/O to decide: a bot that follows rules, a desk that only shows the message to its agents.
    ///
    /// A decision counts once it is saved. It is asked for again, perhaps about a message that is not to be answered any more, when
    /// another replica wrote meanwhile, when the store failed, when too many messages wait, or after a crash. So recognise a message
    /// by its `mid`, and have no effect that must not repeat. Notices behind one that `notify` works on wait until it has ended.
    ///
    /// This must not block its thread. If it panics, the notice goes to `notify`.
    ///
    /// ```
    /// # use async_trait::async_trait;
    /// # use messenger_handover::call::OutgoingMessage;
    /// # use messenger_handover::handover::{Handler, HandlerError, Handover, Notification};
    /// # use messenger_handover::id::ThreadKey;
    /// # use messenger_handover::thread::{Actions, Notice};
    /// struct OpeningHours;
    ///
    /// #[async_trait]
    /// impl Handler for OpeningHours {
    ///     fn decide(&self, _: &ThreadKey, notice: &Notice) -> Option<Actions> {
    ///         let asks = notice.to_answer().iter().any(|message| message.text.as_deref() == Some("When are you open?"));
    ///         asks.then(|| OutgoingMessage::text("From nine to five.").ok().map(Actions::reply)).flatten()
    ///     }
    ///
    ///     async fn notify(&self, _: &Handover, notification: &Notification) -> Result<Actions, HandlerError> {
    ///         // Everything else, with I/O where it takes some.
    /// #       let _ = notification;
    ///         Ok(Actions::none())
    ///     }
    /// }
    /// ```
    fn decide(&self, thread: &ThreadKey, notice: &Notice) -> Option<Actions> {
        let _ = (thread, notice);
        None
    }
}

#[async_trait]
impl<H: Handler + ?Sized> Handler for Arc<H> {
    async fn notify(
        &self,
        handover: &Handover,
        notification: &Notification,
    ) -> Result<Actions, HandlerError> {
        (**self).notify(handover, notification).await
    }

    fn decide(&self, thread: &ThreadKey, notice: &Notice) -> Option<Actions> {
        (**self).decide(thread, notice)
    }
}

/// The failure of a handler on a notification.
///
/// `?` converts any error. If one of its sources is a [`HandoverError`] that would repeat (a refused command, a damaged
/// record), the notification is [skipped](Self::skip); otherwise it is [retried](Self::retry).
pub struct HandlerError {
    skips: bool,
    source: BoxError,
}

impl HandlerError {
    /// Repeats the notification after a pause, in all at most [`Limits::attempts`](crate::thread::Limits::attempts) times.
    pub fn retry(error: impl Into<BoxError>) -> Self {
        Self { skips: false, source: error.into() }
    }

    /// Sets the notification aside, because a retry cannot help. The next one follows.
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
    /// The conversation.
    pub thread: ThreadKey,
    /// The notice's number in its conversation, the same for each attempt.
    pub id: NoticeId,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The notice.
    pub notice: Notice,
}

impl Notification {
    /// Creates a notification, for tests of a handler.
    #[must_use]
    pub fn new(thread: ThreadKey, id: NoticeId, attempt: u32, notice: Notice) -> Self {
        Self { thread, id, attempt, notice }
    }

    /// The customer's messages that this host should answer now, decided for the policy of the Page. Reply to each, or to the
    /// last.
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
