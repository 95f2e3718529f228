//! The results of the host's handler: its actions are stored in the same write that acknowledges the notice.

use crate::call::MessageKey;
use crate::event::Inbound;
use crate::policy::Role;
use crate::time::Timestamp;

use super::Thread;
use super::actions::{self, Actions, Handled, name_of};
use super::belief::Owner;
use super::config::Context;
use super::duplicates::Digest;
use super::notice::{Notice, RefusedAction};
use super::notices::SetAside;
use super::outcome::MessageStatus;
use super::output::{Output, Reply};
use super::terms::{CommandRefused, NoticeId};

/// The key of the `nth` reply to a message. A name that is too long for a key is replaced by its digest.
fn reply_key(name: &str, nth: usize) -> Option<MessageKey> {
    let key = |name: &str| MessageKey::new(format!("re:{name}:{nth}")).ok();
    key(name).or_else(|| key(&Digest::name(name).in_words()))
}

impl Thread {
    /// Takes the result of a handler.
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
                    && let Some(refused) = self.act(cx, id, &notice, actions, now)
                {
                    self.notices.keep_aside(SetAside { id, attempts, at: now, notice: refused }, limits, out);
                }
            }
            Handled::Retry if cx.config.is(super::Broken::SkipsFailed) => {
                self.notices.next();
            }
            // When too many messages wait, the notice is retried later, when some are settled.
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

    /// Carries out the actions of a handler and notifies the host of each refused one. An action on such a notice that is
    /// refused again is returned instead, to be set aside, so that a handler that insists cannot loop.
    fn act(
        &mut self,
        cx: &Context<'_>,
        id: NoticeId,
        notice: &Notice,
        actions: Actions,
        now: Timestamp,
    ) -> Option<Notice> {
        let Actions { replies, hand_over } = actions;
        if replies.is_empty() && hand_over.is_none() {
            return None;
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
        let mut refused = refused.into_iter().map(|(action, why)| Notice::ActionRefused { action, why });
        if matches!(notice, Notice::ActionRefused { .. }) {
            return refused.next();
        }
        self.notices.extend(refused);
        None
    }

    /// Whether a reply to this message is under way or was sent.
    pub(super) fn is_replied_to(&self, inbound: &Inbound) -> bool {
        let key = name_of(inbound).and_then(|name| reply_key(&name, 0));
        let status = key.and_then(|key| self.outbox.status(&key));
        status.is_some_and(|status| !matches!(status, MessageStatus::Failed(_)))
    }

    /// People are busy with the customer: the bot's waiting messages fail.
    pub(super) fn fall_silent(&mut self, cx: &Context<'_>, now: Timestamp) {
        if cx.config.role == Role::Bot {
            let failed = self.outbox.all_failed(&super::FailReason::WithPeople, cx.config, now);
            self.notices.extend(failed);
        }
    }

    /// People are done: the bot answers again. If no other app is known to have control the owner is read, because messages
    /// that came in meanwhile may have given it to us.
    pub(super) fn people_are_done(&mut self) {
        self.people.are_done();
        let may_be_ours = matches!(self.belief.owner(), Owner::Unknown | Owner::Idle);
        self.belief.in_doubt |= may_be_ours && self.inbox.has_unanswered();
    }

    /// Whether this is a bot that must stay silent, because people are busy with the customer.
    pub(super) fn is_silent(&self, cx: &Context<'_>) -> bool {
        cx.config.role == Role::Bot && self.people.are_busy() && !cx.config.is(super::Broken::TalksOverPeople)
    }

    /// The refusal of a bot's message while people are busy.
    pub(super) fn refused_for_people(&self, cx: &Context<'_>) -> Option<Reply> {
        self.is_silent(cx).then_some(Reply::Refused(CommandRefused::WithPeople))
    }
}
