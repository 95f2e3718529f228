//! What a host's handler wants done, and how it is done in the same write as that the notice was handled with.

use crate::call::{MessageKey, OutgoingMessage};
use crate::event::Inbound;
use crate::policy::Role;
use crate::time::Timestamp;

use super::Thread;
use super::config::Context;
use super::io::{CommandRefused, Notice, NoticeId, Output, Reply, Target};
use super::note::Note;
use super::notices::SetAside;
use super::outcome::MessageStatus;
use super::seen::Digest;

/// What a handler wants done: replies, then a hand-over, or nothing.
///
/// It is saved in the same write as that the notice was handled with, so that no crash can come between. A reply has a key that
/// follows from the message it answers: a message that is told again is not answered twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[must_use]
pub struct Actions {
    replies: Vec<Answer>,
    hand_over: Option<(Target, Option<Note>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Answer {
    /// The message that it answers; the last one of the notice if it is not said.
    to: Option<String>,
    message: OutgoingMessage,
}

/// An action that was returned by a handler and not done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusedAction {
    /// A reply, by the key that it would have had.
    Reply(MessageKey),
    /// A hand-over.
    Transfer(Target),
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
        self.replies.push(Answer { to: None, message });
        self
    }

    /// One more reply, to this message of the notice.
    pub fn and_reply_to(mut self, inbound: &Inbound, message: OutgoingMessage) -> Self {
        self.replies.push(Answer { to: name_of(inbound), message });
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
fn name_of(inbound: &Inbound) -> Option<String> {
    match &inbound.mid {
        Some(mid) => Some(mid.to_string()),
        None => Digest::message(inbound).map(Digest::in_words),
    }
}

/// The key of the `nth` reply to a message. A name that no key can hold is shortened.
fn reply_key(name: &str, nth: usize) -> Option<MessageKey> {
    let key = |name: &str| MessageKey::new(format!("re:{name}:{nth}")).ok();
    key(name).or_else(|| key(&Digest::name(name).in_words()))
}

impl Thread {
    /// A handler has ended.
    pub(super) fn notice_done(
        &mut self,
        cx: &Context<'_>,
        id: NoticeId,
        handled: Handled,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Reply {
        if !self.notices.is_at_hand(id) {
            return Reply::Ignored;
        }
        let limits = cx.config.limits;
        match handled {
            Handled::Done(actions) if self.outbox.has_room_for(actions.replies.len(), cx.config) => {
                let attempts = self.notices.attempts();
                if let Some(notice) = self.notices.next()
                    && self.act(cx, id, &notice, actions, now)
                {
                    self.notices.keep_aside(SetAside { id, attempts, at: now, notice }, limits, out);
                }
            }
            // Where too many answers wait, it is told again when some are settled.
            Handled::Done(_) | Handled::Retry => {
                let pause = |attempts| cx.backoff().wait(attempts, None, cx.jitter);
                self.notices.retry(now, limits, pause, out);
            }
            Handled::Skip => {
                self.notices.set_first_aside(now, limits, out);
            }
        }
        Reply::Done
    }

    /// Does what the handler of a notice wants. What is refused is told, once: whether the notice was already of that kind, and
    /// is to be set aside, so that a handler that insists can't go round for ever.
    fn act(
        &mut self,
        cx: &Context<'_>,
        id: NoticeId,
        notice: &Notice,
        actions: Actions,
        now: Timestamp,
    ) -> bool {
        let Actions { replies, hand_over } = actions;
        if replies.is_empty() && hand_over.is_none() {
            return false;
        }
        let last = notice.messages().last().and_then(name_of);
        let by_number = format!("{}", id.0);
        let mut refused = Vec::new();
        let mut numbers = std::collections::HashMap::<String, usize>::new();
        for Answer { to, message } in replies {
            let name = to.or_else(|| last.clone()).unwrap_or_else(|| by_number.clone());
            let nth = numbers.entry(name.clone()).or_default();
            let key = reply_key(&name, *nth);
            *nth += 1;
            let Some(key) = key else { continue };
            if let Reply::Refused(why) =
                self.accept(cx, key.clone(), message, super::command::From::Handler, now)
            {
                refused.push((RefusedAction::Reply(key), why));
            }
        }
        if let Some((target, note)) = hand_over
            && let Reply::Refused(why) = self.hand_over(cx, target.clone(), note, now)
        {
            refused.push((RefusedAction::Transfer(target), why));
        }
        if matches!(notice, Notice::ActionRefused { .. }) {
            return !refused.is_empty();
        }
        let refused = refused.into_iter();
        self.notices.extend(refused.map(|(action, why)| Notice::ActionRefused { action, why }));
        false
    }

    /// Whether a message was answered by a reply that is on its way or arrived.
    pub(super) fn is_replied_to(&self, inbound: &Inbound) -> bool {
        let key = name_of(inbound).and_then(|name| reply_key(&name, 0));
        let status = key.and_then(|key| self.outbox.status(&key));
        status.is_some_and(|status| !matches!(status, MessageStatus::Failed(_)))
    }

    /// People are busy with the customer: the bot says nothing more, and claims nothing.
    pub(super) fn fall_silent(&mut self, cx: &Context<'_>, now: Timestamp) {
        if cx.config.role == Role::Bot {
            let failed = self.outbox.all_failed(&super::FailReason::WithPeople, cx.config, now);
            self.notices.extend(failed);
        }
    }

    /// Whether people are busy with the customer, so that a bot says nothing.
    pub(super) fn is_silent(&self, cx: &Context<'_>) -> bool {
        cx.config.role == Role::Bot && self.people.are_busy() && !cx.config.is(super::Broken::TalksOverPeople)
    }

    /// Why a bot may not speak now.
    pub(super) fn refused_for_people(&self, cx: &Context<'_>) -> Option<Reply> {
        self.is_silent(cx).then_some(Reply::Refused(CommandRefused::WithPeople))
    }
}
