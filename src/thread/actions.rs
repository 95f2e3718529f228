//! What a handler wants done.

use crate::call::OutgoingMessage;
use crate::event::Inbound;

use super::duplicates::Digest;
use super::note::Note;
use super::terms::Target;

/// What a handler wants done: replies, then a hand-over, or nothing.
///
/// It is saved in the same write as that the notice was handled with, so that no crash can come between. A reply has a key that
/// follows from the message it answers: a message that is told again is not answered twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[must_use]
pub struct Actions {
    pub(super) replies: Vec<Reply>,
    pub(super) hand_over: Option<(Target, Option<Note>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reply {
    /// The message that it answers; the last one of the notice if it is not said.
    pub(super) to: Option<String>,
    pub(super) message: OutgoingMessage,
}

impl Actions {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// A reply to the message of the notice; to the last one where there are several.
    pub fn reply(message: OutgoingMessage) -> Self {
        Self::none().and_reply(message)
    }

    /// One more reply, behind the others.
    pub fn and_reply(mut self, message: OutgoingMessage) -> Self {
        self.replies.push(Reply { to: None, message });
        self
    }

    /// One more reply, to this message of the notice.
    pub fn and_reply_to(mut self, inbound: &Inbound, message: OutgoingMessage) -> Self {
        self.replies.push(Reply { to: name_of(inbound), message });
        self
    }

    /// Hands control over when the replies are settled.
    pub fn hand_over(target: Target) -> Self {
        Self::none().and_hand_over(target)
    }

    /// Hands control over when the replies are settled.
    pub fn and_hand_over(mut self, target: Target) -> Self {
        self.hand_over = Some((target, None));
        self
    }

    /// A note that travels with the hand-over.
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

/// How a handler has handled with a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handled {
    /// It has, and this is to be done.
    Done(Actions),
    /// It could not: the notice is told again after a pause, up to [`Limits::attempts`](super::Limits::attempts) times.
    Retry,
    /// It never will: the notice is set aside ([`SetAside`](super::SetAside)) and the next one is told.
    Skip,
}

impl Handled {
    /// It has, and nothing is to be done.
    #[must_use]
    pub fn done() -> Self {
        Self::Done(Actions::none())
    }
}

/// What a message is called in the keys of the replies to it.
pub(super) fn name_of(inbound: &Inbound) -> Option<String> {
    match &inbound.mid {
        Some(mid) => Some(mid.to_string()),
        None => Digest::message(inbound).map(Digest::in_words),
    }
}
