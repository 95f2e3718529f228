use serde::{Deserialize, Serialize};

use crate::call::{Call, Direction, Failure, FailureKind, InlineControl};
use crate::id::AppId;
use crate::policy::{Role, ThreadControlPolicy};
use crate::time::Timestamp;

use super::belief::Owner;
use super::broken::Broken;
use super::config::Context;
use super::note::Note;
use super::notice::Notice;
use super::output::Reply;
use super::terms::{CommandRefused, Target};
use super::{Move, Thread};

/// Control is to be given away.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Transfer {
    pub(super) id: u64,
    pub(super) target: Target,
    /// What travels with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<Note>,
    pub(super) stage: Stage,
    /// Who had control before it was taken to be passed on: whoever that was gets it back where the
    /// pass is refused.
    taken_from: Option<Owner>,
    /// Why it is being given back.
    giving_back: Option<Failure>,
    /// Control was ours before the call with the unknown outcome: if nobody has it then, it went and came back.
    #[serde(default)]
    had_control: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Nothing was tried yet.
    Start,
    /// ED's endpoint accepted: its request is waited for until then.
    Asked { until: Timestamp },
    /// Straight through Graph: the desk's endpoint did not help.
    Direct,
    /// The pass, take or release has an unknown outcome: read the owner.
    Unsure,
    /// It went with a message, whose answer says nothing about control: read the owner.
    Inline,
}

/// How the last attempt to give control away ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct TransferEnd {
    pub(super) id: u64,
    pub(super) failed: Option<Failure>,
}

/// Where an attempt to give control away stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferProgress {
    /// Under way, or waiting for answers to be settled.
    Waiting,
    /// Done.
    Done,
    /// It could not be done.
    Failed(Failure),
    /// It was given up, or is too long ago.
    Gone,
}

impl Transfer {
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Asked { until } => Some(until),
            _ => None,
        }
    }
}

impl Thread {
    /// Where an attempt stands, by the number that [`Reply::Transferring`] gave.
    #[must_use]
    pub fn transfer_progress(&self, id: u64) -> TransferProgress {
        if self.transfer.as_ref().is_some_and(|transfer| transfer.id == id) {
            return TransferProgress::Waiting;
        }
        match self.last_transfer.as_deref().filter(|end| end.id == id) {
            Some(TransferEnd { failed: Some(failure), .. }) => TransferProgress::Failed(failure.clone()),
            Some(_) => TransferProgress::Done,
            None => TransferProgress::Gone,
        }
    }

    pub(super) fn hand_over(
        &mut self,
        cx: &Context<'_>,
        target: Target,
        note: Option<Note>,
        now: Timestamp,
    ) -> Reply {
        if target == Target::App(cx.config.app.clone()) {
            return Reply::Refused(CommandRefused::ToOurselves);
        }
        if self.intervention.is_open() && target != Target::Nobody {
            return Reply::Refused(CommandRefused::InterventionOpen);
        }
        let wanted = match &target {
            Target::Nobody => None,
            Target::App(app) => Some(app),
            Target::Desk => match (&cx.config.desk, cx.config.desk_endpoint) {
                (None, false) => return Reply::Refused(CommandRefused::NoDesk),
                (desk, _) => desk.as_ref(),
            },
        };
        let asks_people = match &target {
            Target::Desk => true,
            Target::App(app) => cx.config.is_of_people(app),
            Target::Nobody => false,
        };
        // What still waits to be sent will have claimed control first.
        let settled = self.outbox.is_settled() && self.claim.is_none();
        match (self.belief.owner(), wanted) {
            (Owner::Idle | Owner::Other(_), None) if settled && target == Target::Nobody => {
                return Reply::AlreadyThere;
            }
            (Owner::Other(Some(owner)), Some(wanted)) if settled && owner == wanted => {
                self.people_are_asked(cx, asks_people, now);
                if cx.config.role == Role::Desk {
                    return Reply::AlreadyThere;
                }
                // Nobody tells a bot of a release: it looks, so that people do come.
                self.belief.in_doubt = true;
            }
            (Owner::Other(Some(_)), _)
                if settled && target != Target::Nobody && !may_take_to_pass(cx, &target) =>
            {
                return Reply::Refused(CommandRefused::AnotherAppOwns);
            }
            _ => {}
        }
        self.people_are_asked(cx, asks_people, now);
        if let Some(transfer) = self.transfer.as_ref().filter(|transfer| transfer.target == target) {
            return Reply::Transferring { id: transfer.id, waits: !self.outbox.is_settled() };
        }
        // What waits for control now would only take back what is given away.
        self.end_transfer(Some(Failure::new(FailureKind::Conflict, "replaced by a later hand-over")));
        let id = self.start_transfer(target);
        if let Some(transfer) = &mut self.transfer {
            transfer.note = note;
        }
        Reply::Transferring { id, waits: !self.outbox.is_settled() }
    }

    /// A bot that hands over to people says nothing more until they are done.
    fn people_are_asked(&mut self, cx: &Context<'_>, asks_people: bool, now: Timestamp) {
        if asks_people && cx.config.role == Role::Bot {
            self.people.are_wanted(now, cx.config.timeouts.people);
        }
    }

    /// The note that travels with a call: that of the claim or of the hand-over that it is made for.
    pub(super) fn note_for(&self, cx: &Context<'_>, call: &Call) -> Option<Note> {
        let transfer = self.transfer.as_deref();
        let of_transfer = match (call, &transfer?.target) {
            // An app that asked for control may be another one than the note is for.
            (Call::PassThreadControl { to }, Target::App(app)) => app == to,
            (Call::PassThreadControl { to }, Target::Desk) => {
                cx.config.desk.as_ref().is_none_or(|desk| desk == to)
            }
            (Call::AskDesk(Direction::BotToAgent) | Call::TakeThreadControl, _) => true,
            _ => false,
        };
        transfer.filter(|_| of_transfer).and_then(|transfer| transfer.note.clone())
    }

    pub(super) fn start_transfer(&mut self, target: Target) -> u64 {
        let id = self.next_id();
        self.transfer = Some(Box::new(Transfer {
            id,
            target,
            note: None,
            stage: Stage::Start,
            taken_from: None,
            giving_back: None,
            had_control: false,
        }));
        id
    }

    /// A refused pass leads to a take first.
    pub(super) fn transfer_may_take(&self, cx: &Context<'_>) -> bool {
        self.transfer
            .as_ref()
            .is_some_and(|transfer| transfer.stage == Stage::Start && may_take_to_pass(cx, &transfer.target))
    }

    /// The take under way is for passing the thread on, not for ourselves.
    pub(super) fn transfer_takes(&self) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| {
            transfer.stage == Stage::Direct && matches!(transfer.target, Target::App(_))
        })
    }

    pub(super) fn transfer_is_unsure(&self) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| transfer.stage == Stage::Unsure)
    }

    pub(super) fn transfer_went_inline(&self) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| transfer.stage == Stage::Inline)
    }

    /// Ends the open attempt without a word to the host.
    pub(super) fn end_transfer(&mut self, failed: Option<Failure>) -> Option<Target> {
        let transfer = self.transfer.take()?;
        self.last_transfer =
            Some(Box::new(TransferEnd { id: transfer.id, failed: transfer.giving_back.or(failed) }));
        Some(transfer.target)
    }

    pub(super) fn transfer_failed(&mut self, reason: Failure) {
        if let Some(target) = self.end_transfer(Some(reason.clone())) {
            // Nobody comes: the bot is all that the customer has.
            if !self.people.have_control() && target != Target::Nobody {
                self.people.are_done();
            }
            self.notices.push(Notice::TransferFailed { target, reason });
        }
    }

    /// The platform refuses to pass control to the target. What was taken for that is given back, so that
    /// a handover that cannot be made changes nothing.
    pub(super) fn pass_refused(&mut self, reason: Failure) {
        let ours = *self.belief.owner() == Owner::Us;
        let Some(transfer) = self.transfer.as_mut().filter(|transfer| ours && transfer.taken_from.is_some())
        else {
            return self.transfer_failed(reason);
        };
        let back = match transfer.taken_from.take() {
            // Once: if this fails too, nobody has it, and the next who wants it may.
            Some(Owner::Other(Some(app))) => {
                transfer.taken_from = Some(Owner::Idle);
                Target::App(app)
            }
            _ => Target::Nobody,
        };
        let target = std::mem::replace(&mut transfer.target, back);
        if transfer.giving_back.is_none() {
            transfer.giving_back = Some(reason.clone());
            self.notices.push(Notice::TransferFailed { target, reason });
        }
    }

    /// The next move to give control away. Only when the answers are settled: passing control right
    /// after a send suppresses its echo, and an unsettled answer could not be sent any more.
    pub(super) fn give_away(&mut self, cx: &Context<'_>, now: Timestamp) -> Move {
        let settled = self.outbox.is_settled() || cx.config.is(Broken::PassesUnsettled);
        if !settled || self.claim.is_some() {
            return Move::Rest;
        }
        if !self.requests.is_empty()
            && let Some(by) = self.requests.take_stale(now, cx.config.timeouts.grant)
        {
            let words = "whether control went to it is not known, and it does not wait for it any more";
            let reason = Failure::new(FailureKind::Conflict, words);
            self.notices.push(Notice::TransferFailed { target: Target::App(by), reason });
            return Move::Again;
        }
        // People are busy with the customer: whoever asked waits until they are done.
        let granted = self.requests.granted().filter(|_| !self.intervention.is_open());
        if let Some(by) = granted.cloned() {
            match self.belief.owner() {
                Owner::Us | Owner::Unknown | Owner::Idle => {
                    return Move::Call(Call::PassThreadControl { to: by });
                }
                // Whoever owns the thread now is asked anew by the one who waits.
                Owner::Other(_) => {
                    self.requests.clear();
                    return Move::Again;
                }
            }
        }
        let Some(Transfer { target, stage, had_control, .. }) = self.transfer.as_deref().cloned() else {
            return Move::Rest;
        };
        if target == Target::Desk
            && matches!(self.belief.owner(), Owner::Other(app) if *app == cx.config.desk && app.is_some())
        {
            self.end_transfer(None);
            return Move::Again;
        }
        let pass_to = match &target {
            Target::Nobody => return self.release(),
            Target::App(app) => app.clone(),
            Target::Desk => match (stage.clone(), &cx.config.desk) {
                (Stage::Start, _) if cx.config.desk_endpoint => {
                    return Move::Call(Call::AskDesk(Direction::BotToAgent));
                }
                (Stage::Asked { until }, _) if now < until => {
                    if matches!(self.belief.owner(), Owner::Other(_)) {
                        self.end_transfer(None);
                        return Move::Again;
                    }
                    return Move::Rest;
                }
                (_, Some(desk)) => desk.clone(),
                (_, None) => {
                    let words = "the desk did not ask for control, and its app id is not configured";
                    self.transfer_failed(Failure::new(FailureKind::Conflict, words));
                    return Move::Again;
                }
            },
        };
        match self.belief.owner() {
            Owner::Other(Some(owner)) if *owner == pass_to => {
                self.end_transfer(None);
                Move::Again
            }
            Owner::Other(_) if may_take_to_pass(cx, &target) && stage == Stage::Start => {
                let owner = self.belief.owner().clone();
                if let Some(transfer) = &mut self.transfer {
                    transfer.stage = Stage::Direct;
                    transfer.taken_from = Some(owner);
                }
                Move::Call(Call::TakeThreadControl)
            }
            Owner::Idle if had_control && stage == Stage::Unsure => {
                self.gave_away(cx, Some(pass_to), now);
                Move::Again
            }
            Owner::Other(_) => {
                self.transfer_failed(Failure::new(FailureKind::Conflict, "another app owns the thread"));
                Move::Again
            }
            Owner::Us | Owner::Idle | Owner::Unknown => Move::Call(Call::PassThreadControl { to: pass_to }),
        }
    }

    fn release(&mut self) -> Move {
        match self.belief.owner() {
            Owner::Us | Owner::Unknown => Move::Call(Call::ReleaseThreadControl),
            // Not ours any more: there is nothing to release.
            Owner::Idle | Owner::Other(_) => {
                self.end_transfer(None);
                Move::Again
            }
        }
    }

    /// Control may go with the answer at the head: it is ours, nothing waits behind the answer, nobody is
    /// engaged, and the Page has not refused it.
    pub(super) fn may_give_away_inline(&self, cx: &Context<'_>, now: Timestamp) -> bool {
        // Where nobody knows, a message that gets out proves that control was ours to give.
        matches!(self.belief.owner(), Owner::Us | Owner::Unknown)
            && self.outbox.may_go_inline()
            && !self.intervention.is_open()
            && self.transfer.is_none()
            && self.requests.granted().is_none()
            && cx.has_inline_control(&self.refused, now)
    }

    /// A farewell was delivered: control goes with it, or now.
    pub(super) fn farewell_delivered(&mut self, control: InlineControl, inline: bool) {
        // Whether control went with the message its answer does not say.
        self.belief.in_doubt |= inline;
        // An agent engaged meanwhile, control is wanted, or the host has another wish by now.
        if self.intervention.is_open() || self.claim.is_some() || self.transfer.is_some() {
            return;
        }
        self.start_transfer(match control {
            InlineControl::PassTo(app) => Target::App(app),
            InlineControl::Release => Target::Nobody,
        });
        if inline {
            self.set_stage(Stage::Inline);
        }
    }

    /// The owner was read after a farewell: whoever passes control away may not see the new owner's name.
    pub(super) fn farewell_looked_into(&mut self, cx: &Context<'_>, now: Timestamp) {
        let Some(transfer) = self.transfer.as_ref().filter(|transfer| transfer.stage == Stage::Inline) else {
            return;
        };
        match (&transfer.target, self.belief.owner()) {
            (Target::Nobody, Owner::Idle) => self.gave_away(cx, None, now),
            (Target::App(app), Owner::Other(owner)) if owner.as_ref().is_none_or(|owner| owner == app) => {
                let app = app.clone();
                self.gave_away(cx, Some(app), now);
            }
            _ => {}
        }
    }

    /// The pass, take or release has an unknown outcome.
    pub(super) fn transfer_may_have_gone(&mut self, had_control: bool) {
        if let Some(transfer) = &mut self.transfer {
            (transfer.stage, transfer.had_control) = (Stage::Unsure, had_control);
        }
    }

    pub(super) fn set_stage(&mut self, stage: Stage) {
        if let Some(transfer) = &mut self.transfer {
            transfer.stage = stage;
        }
    }

    /// Control is where it should go. Answers that were accepted meanwhile take it back first, and then it is given
    /// away again.
    pub(super) fn transfer_reached(&mut self) {
        if self.outbox.is_settled() && self.claim.is_none() {
            self.end_transfer(None);
        } else {
            self.set_stage(Stage::Start);
        }
    }

    /// Control went to `to` by our own call.
    pub(super) fn gave_away(&mut self, cx: &Context<'_>, to: Option<AppId>, now: Timestamp) {
        self.requests.clear();
        if to.as_ref().is_some_and(|app| cx.config.is_of_people(app)) {
            self.people_come(cx, now);
        }
        let reached = |target: &Target| match target {
            Target::Nobody => to.is_none(),
            Target::App(app) => to.as_ref() == Some(app),
            Target::Desk => to.is_some(),
        };
        if self.transfer.as_ref().is_some_and(|transfer| reached(&transfer.target)) {
            self.transfer_reached();
        }
        (self.announced_ours, self.announced_to_answer) = (false, false);
        self.notices.push(Notice::Transferred { to });
    }
}

/// Only a desk that is primary takes a thread from a third app to pass it on (design §6).
fn may_take_to_pass(cx: &Context<'_>, target: &Target) -> bool {
    cx.config.role == Role::Desk
        && cx.policy == ThreadControlPolicy::EdPrimary
        && matches!(target, Target::App(_))
}
