//! What follows from what a handler did with a notice, in the same write as that the notice was dealt with.

use crate::call::MessageKey;
use crate::event::Inbound;
use crate::policy::Role;
use crate::time::Timestamp;

use super::Thread;
use super::actions::{self, Actions, Handled, name_of};
use super::config::Context;
use super::duplicates::Digest;
use super::notice::{Notice, RefusedAction};
use super::notices::SetAside;
use super::outcome::MessageStatus;
use super::output::{Output, Reply};
use super::terms::{CommandRefused, NoticeId};

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
        for actions::Reply { to, message } in replies {
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
