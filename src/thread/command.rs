use crate::call::{AnswerKey, InlineControl, OutgoingMessage, Refusal, RefusalKind};
use crate::policy::Role;
use crate::time::{Span, Timestamp};

use super::Thread;
use super::belief::Owner;
use super::broken::Broken;
use super::config::Context;
use super::io::{Command, CommandRefused, NoticeId, Reply, Target};
use super::outbox::Head;

impl Thread {
    pub(super) fn command(&mut self, cx: &Context<'_>, command: Command, now: Timestamp) -> Reply {
        match command {
            Command::HandOver(Target::App(app)) if app == cx.config.app => {
                Reply::Refused(CommandRefused::ToOurselves)
            }
            Command::Send { key, message } => self.accept(cx, key, message, None, now),
            Command::Reply { to, key, message } => self.accept(cx, key, message, Some(to), now),
            // The host would be notified of what comes of these.
            Command::OpenIntervention
            | Command::InterventionReported { open: true, .. }
            | Command::Claim(_)
            | Command::HandOver(_)
            | Command::Grant(_)
            | Command::Cancel(_)
                if !self.has_room(cx.config) =>
            {
                Reply::Refused(CommandRefused::NoticesFull)
            }
            Command::OpenIntervention => {
                self.intervention.is_known_now(now);
                self.open_intervention()
            }
            Command::CloseIntervention => {
                self.intervention.is_known_now(now);
                self.close_intervention(cx, now)
            }
            Command::InterventionReported { open, at } => {
                self.intervention_reported(cx, open, at.unwrap_or(now), now)
            }
            Command::Claim(origin) => {
                self.intervention.keep();
                self.keep_control("control was claimed");
                self.claim_control(origin)
            }
            Command::HandOver(target) => self.hand_over(cx, target),
            Command::Grant(_) if self.intervention.is_open() => {
                Reply::Refused(CommandRefused::InterventionOpen)
            }
            Command::Grant(app) => known(self.requests.grant(&app), CommandRefused::NoSuchRequest),
            Command::Refuse(app) => known(self.requests.refuse(&app, now), CommandRefused::NoSuchRequest),
            Command::Continue(key) => {
                known(self.outbox.resume(&key, cx.config, now), CommandRefused::NoSuchAnswer)
            }
            Command::Cancel(key) => {
                let notice = self.outbox.cancel(&key, cx.config, now);
                let found = notice.is_some();
                self.notices.extend(notice);
                known(found, CommandRefused::NoSuchAnswer)
            }
            Command::DismissSetAside(notice) => {
                known(self.notices.dismiss(notice), CommandRefused::NoSuchNotice)
            }
        }
    }

    /// An answer to be sent, perhaps by the handler of the notice at hand.
    fn accept(
        &mut self,
        cx: &Context<'_>,
        key: AnswerKey,
        message: OutgoingMessage,
        to: Option<NoticeId>,
        now: Timestamp,
    ) -> Reply {
        if message.control() == Some(&InlineControl::PassTo(cx.config.app.clone())) {
            return Reply::Refused(CommandRefused::ToOurselves);
        }
        if let Some(status) = self.outbox.recognise(&key, now) {
            return Reply::Duplicate(status);
        }
        if message.control().is_some() && self.intervention.is_open() {
            return Reply::Refused(CommandRefused::InterventionOpen);
        }
        if self.outbox.is_full(cx.config) {
            return Reply::Refused(CommandRefused::QueueFull);
        }
        if !self.has_room(cx.config) && !to.is_some_and(|to| self.notices.replies_to(to, cx.config.limits)) {
            return Reply::Refused(CommandRefused::NoticesFull);
        }
        self.outbox.accept(key, message, now, cx.config);
        Reply::Accepted
    }

    fn intervention_reported(
        &mut self,
        cx: &Context<'_>,
        open: bool,
        at: Timestamp,
        now: Timestamp,
    ) -> Reply {
        if !self.intervention.is_news(open, at, now) {
            return Reply::Ignored;
        }
        match cx.config.role {
            Role::Desk if open => self.open_intervention(),
            Role::Desk => self.close_intervention(cx, now),
            // The desk is about to release, or has: nobody tells a bot (facts §8.1b), so it looks.
            Role::Bot if !open && matches!(self.belief.owner(), Owner::Other(_)) => {
                // By a clock that is not ours: nothing may outdate what the platform tells from now on.
                self.belief.lose_certainty(Span::between(at.min(now), now));
                self.intervention.look_for_release(now);
                Reply::Done
            }
            Role::Bot => Reply::Ignored,
        }
    }

    fn open_intervention(&mut self) -> Reply {
        self.intervention.open();
        self.keep_control("an intervention was opened");
        self.claim_control(super::ClaimOrigin::Intervention)
    }

    /// Control is wanted: what would give it away does not any more.
    fn keep_control(&mut self, why: &str) {
        self.outbox.keep_control();
        let cancelled = Refusal::new(RefusalKind::Conflict, why);
        if self.handoff.as_ref().is_some_and(|handoff| handoff.target == Target::Nobody) {
            self.end_handoff(Some(cancelled));
        } else {
            self.handoff_failed(cancelled);
        }
    }

    fn close_intervention(&mut self, cx: &Context<'_>, now: Timestamp) -> Reply {
        let was_open = self.intervention.is_open();
        // What is under way may bring control, which must be released then.
        let nothing_to_come = self.in_flight.is_none() && self.claim.is_none() && self.outbox.is_settled();
        self.intervention.close();
        if cx.config.is(Broken::KeepsControl) {
            return Reply::Done;
        }
        if !matches!(self.outbox.head(), Head::Ready(..)) {
            self.abandon_claim(cx, now);
        }
        if !was_open && *self.belief.owner() != Owner::Us && nothing_to_come {
            return Reply::Ignored;
        }
        self.hand_over(cx, Target::Nobody)
    }

    fn claim_control(&mut self, origin: super::ClaimOrigin) -> Reply {
        if *self.belief.owner() == Owner::Us && !self.is_leaving() {
            return Reply::AlreadyOurs;
        }
        Reply::Claiming(self.open_claim(origin))
    }
}

fn known(found: bool, otherwise: CommandRefused) -> Reply {
    if found { Reply::Done } else { Reply::Refused(otherwise) }
}
