//! Actions: the replies and transfers that a handler returns.

use crate::call::OutgoingMessage;
use crate::event::Inbound;

use super::duplicates::Digest;
use super::note::Note;
use super::terms::Target;

/// The actions of a handler: replies, then a transfer, or nothing.
///
/// They are saved in the same write that acknowledges the notice, so that no crash can come between. The key of a
/// reply follows from the message it answers, so that a notice delivered twice is not answered twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[must_use]
pub struct Actions {
    pub(super) replies: Vec<Reply>,
    pub(super) hand_over: Option<(Target, Option<Note>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reply {
    /// The message to reply to; `None` means the last one of the notice.
    pub(super) to: Option<String>,
    pub(super) message: OutgoingMessage,
}

impl Actions {
    /// No action.
    pub fn none() -> Self {
        Self::default()
    }

    /// Replies to the notice's message, or to the last one if there are several.
    pub fn reply(message: OutgoingMessage) -> Self {
        Self::none().and_reply(message)
    }

    /// Adds a reply, behind the others.
    pub fn and_reply(mut self, message: OutgoingMessage) -> Self {
        self.replies.push(Reply { to: None, message });
        self
    }

    /// Adds a reply to this message of the notice.
    pub fn and_reply_to(mut self, inbound: &Inbound, message: OutgoingMessage) -> Self {
        self.replies.push(Reply { to: name_of(inbound), message });
        self
    }

    /// Hands control over when the replies are settled.
    pub fn hand_over(target: Target) -> Self {
        Self::none().and_hand_over(target)
    }

    /// Adds a transfer: control is handed over when the replies are settled.
    pub fn and_hand_over(mut self, target: Target) -> Self {
        self.hand_over = Some((target, None));
        self
    }

    /// Adds a note to the transfer. Without a transfer it does nothing.
    pub fn with_note(mut self, note: impl Into<Note>) -> Self {
        if let Some((_, travels)) = &mut self.hand_over {
            *travels = Some(note.into());
        }
        self
    }
}

impl From<()> for Actions {
    fn from((): ()) -> Self {
        Self::none()
    }
}

impl From<OutgoingMessage> for Actions {
    fn from(message: OutgoingMessage) -> Self {
        Self::reply(message)
    }
}

/// The result of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handled {
    /// The notice is handled; carry out these actions.
    Done(Actions),
    /// The handler failed: notify it again after a pause, up to [`Limits::attempts`](super::Limits::attempts) times
    /// in all.
    Retry,
    /// The handler will never succeed: set the notice aside ([`SetAside`](super::SetAside)) and continue with the
    /// next one.
    Skip,
}

impl Handled {
    /// The notice is handled, without actions.
    #[must_use]
    pub fn done() -> Self {
        Self::Done(Actions::none())
    }
}

/// The name of a message in the keys of its replies: its `mid`, or its digest.
pub(super) fn name_of(inbound: &Inbound) -> Option<String> {
    match &inbound.mid {
        Some(mid) => Some(mid.to_string()),
        None => Digest::message(inbound).map(Digest::in_words),
    }
}
