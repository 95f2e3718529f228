//! Commands of the host: sends, claims, transfers, interventions and grants.

use crate::call::{Failure, FailureKind, InlineControl, MessageKey, OutgoingMessage};
use crate::policy::Role;
use crate::time::{Span, Timestamp};

use super::Thread;
use super::belief::Owner;
use super::broken::Broken;
use super::config::{Config, Context};
use super::input::Command;
use super::note::Note;
use super::outbox::Head;
use super::output::Reply;
use super::terms::{CommandRefused, Target};

/// The origin of a message to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Host,
    Handler,
}

impl Thread {
    pub(super) fn command(&mut self, cx: &Context<'_>, command: Command, now: Timestamp) -> Reply {
        match command {
            Command::Send { key, message } => self.accept(cx, key, message, From::Host, now),
            // A bot falls silent, however many notices wait.
            Command::InterventionReported { open, at } if cx.config.role == Role::Bot => {
                self.intervention_reported(cx, open, at.unwrap_or(now), now)
            }
            // The host is notified of the results of these, so they need room in the queue.
            Command::OpenIntervention
            | Command::InterventionReported { open: true, .. }
            | Command::Claim { .. }
            | Command::Transfer { .. }
            | Command::Grant(_)
            | Command::Cancel(_)
                if !self.has_room(cx.config) =>
            {
                Reply::Refused(CommandRefused::NoticesFull)
            }
            Command::OpenIntervention => {
                self.intervention.set_current(now);
                self.open_intervention(cx.config)
            }
            Command::CloseIntervention => {
                self.intervention.set_current(now);
                self.close_intervention(cx, now)
            }
            Command::InterventionReported { open, at } => {
                self.intervention_reported(cx, open, at.unwrap_or(now), now)
            }
            Command::Claim { .. } if self.is_silent(cx) => Reply::Refused(CommandRefused::WithPeople),
            Command::Claim { origin, note } => {
                self.intervention.keep();
                self.keep_control("control was claimed");
                self.claim_control(cx.config, origin, note)
            }
            Command::Transfer { target, note } => self.hand_over(cx, target, note, now),
            Command::ResumeBot => {
                self.people_are_done();
                Reply::Done
            }
            Command::Grant(_) if self.intervention.is_open() => {
                Reply::Refused(CommandRefused::InterventionOpen)
            }
            Command::Grant(app) => known(self.requests.grant(&app), CommandRefused::NoSuchRequest),
            Command::Refuse(app) => known(self.requests.refuse(&app, now), CommandRefused::NoSuchRequest),
            Command::Continue(key) => {
                known(self.outbox.resume(&key, cx.config, now), CommandRefused::NoSuchMessage)
            }
            Command::Cancel(key) => {
                let notice = self.outbox.cancel(&key, cx.config, now);
                let found = notice.is_some();
                self.notices.extend(notice);
                // At once, because control may come before the outcome of a call under way does, and nobody needs it.
                self.end_needless_claim(cx, now);
                known(found, CommandRefused::NoSuchMessage)
            }
            Command::DismissSetAside(notice) => {
                known(self.notices.dismiss(notice), CommandRefused::NoSuchNotice)
            }
        }
    }

    /// Accepts a message to be sent. A handler's reply needs no room in the notice queue, because its notice has just
    /// left the queue; otherwise a full queue could never shrink.
    pub(super) fn accept(
        &mut self,
        cx: &Context<'_>,
        key: MessageKey,
        message: OutgoingMessage,
        from: From,
        now: Timestamp,
    ) -> Reply {
        if message.control() == Some(&InlineControl::PassTo(cx.config.app.clone())) {
            return Reply::Refused(CommandRefused::ToOurselves);
        }
        if let Some(status) = self.outbox.recognise(&key, now) {
            return Reply::Duplicate(status);
        }
        if let Some(refused) = self.refused_for_people(cx) {
            return refused;
        }
        if message.control().is_some() && self.intervention.is_open() {
            return Reply::Refused(CommandRefused::InterventionOpen);
        }
        if self.outbox.is_full(cx.config) {
            return Reply::Refused(CommandRefused::QueueFull);
        }
        if from == From::Host && !self.has_room(cx.config) {
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
        let is_news = self.intervention.accept_report(open, at, now);
        if !is_news && !cx.config.is(Broken::ReportsAsTheyArrive) {
            return Reply::Ignored;
        }
        match cx.config.role {
            Role::Desk if open => self.open_intervention(cx.config),
            Role::Desk => self.close_intervention(cx, now),
            Role::Bot if open => {
                self.people.engage(at, now, cx.config.timeouts.people);
                self.fall_silent(cx, now);
                Reply::Done
            }
            Role::Bot if self.people.came_after(at, cx.config.timeouts.clock_tolerance) => Reply::Ignored,
            // The desk is about to release control or has done so, and Meta [sends no webhook for
            // it](crate::protocol#engage-digital), so the bot reads the owner.
            Role::Bot if matches!(self.belief.owner(), Owner::Other(_)) => {
                self.people.are_done();
                // Engage Digital's clock may be ahead of ours: a stamp in the future must not outdate later events of
                // the platform.
                self.belief.lose_certainty(Span::between(at.min(now), now));
                self.intervention.look_for_release(now);
                Reply::Done
            }
            Role::Bot => {
                self.people_are_done();
                Reply::Done
            }
        }
    }

    fn open_intervention(&mut self, config: &Config) -> Reply {
        self.intervention.open();
        self.keep_control("an intervention was opened");
        self.claim_control(config, super::ClaimOrigin::Intervention, None)
    }

    /// Control is wanted now, so pending releases and transfers are cancelled.
    fn keep_control(&mut self, why: &str) {
        self.outbox.keep_control();
        let cancelled = Failure::new(FailureKind::Conflict, why);
        if self.transfer.as_ref().is_some_and(|transfer| transfer.target == Target::Nobody) {
            self.end_transfer(Some(cancelled));
        } else {
            self.transfer_failed(cancelled);
        }
    }

    fn close_intervention(&mut self, cx: &Context<'_>, now: Timestamp) -> Reply {
        let was_open = self.intervention.is_open();
        // A call, claim or message under way may still bring control, which must be released then.
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
        self.hand_over(cx, Target::Nobody, None, now)
    }

    fn claim_control(&mut self, config: &Config, origin: super::ClaimOrigin, note: Option<Note>) -> Reply {
        if *self.belief.owner() == Owner::Us && !self.is_leaving() {
            return Reply::AlreadyOurs;
        }
        let id = self.open_claim(config, origin);
        if let Some(claim) = self.claim.as_mut().filter(|_| note.is_some()) {
            claim.note = note;
        }
        Reply::Claiming(id)
    }
}

fn known(found: bool, otherwise: CommandRefused) -> Reply {
    if found { Reply::Done } else { Reply::Refused(otherwise) }
}
