//! Transfers: giving control away, to an app, to the desk or by a release.

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

/// A transfer under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Transfer {
    pub(super) id: u64,
    pub(super) target: Target,
    /// The note that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<Note>,
    pub(super) stage: Stage,
    /// The owner from whom control was taken to pass it on. It gets control back if the pass is refused.
    taken_from: Option<Owner>,
    /// The failure because of which control is given back.
    giving_back: Option<Failure>,
    /// Whether control was ours before the call with the unknown outcome. An idle thread then means that control was
    /// passed and released again.
    #[serde(default)]
    had_control: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// No call was made yet.
    Start,
    /// Engage Digital's endpoint accepted; its request is expected until then.
    Asked { until: Timestamp },
    /// The desk's endpoint did not help, or does not apply: pass through Graph.
    Direct,
    /// The pass, take or release has an unknown outcome: read the owner.
    Unsure,
    /// Control went with a message, whose outcome does not cover it: read the owner.
    Inline,
}

/// The end of the last transfer, for [`Thread::transfer_progress`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct TransferEnd {
    pub(super) id: u64,
    pub(super) failed: Option<Failure>,
}

/// The progress of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferProgress {
    /// Under way, or waiting for messages to be settled.
    Waiting,
    /// Control was given away.
    Done,
    /// Control was not given away.
    Failed(Failure),
    /// The transfer is no longer stored, or never existed.
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
    /// The progress of a transfer, by the number in [`Reply::Transferring`].
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
        if self.intervention.is_open() {
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
        // Otherwise waiting messages claim control first, so the owner will change.
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
                // A bot receives no event for the desk's release, so it reads the owner to be sure that people come.
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
        // The new transfer replaces an earlier one.
        self.end_transfer(Some(Failure::new(FailureKind::Conflict, "replaced by a later transfer")));
        let id = self.start_transfer(target);
        if let Some(transfer) = &mut self.transfer {
            transfer.note = note;
        }
        Reply::Transferring { id, waits: !self.outbox.is_settled() }
    }

    /// A bot that hands over to people sends nothing until they are done.
    fn people_are_asked(&mut self, cx: &Context<'_>, asks_people: bool, now: Timestamp) {
        if asks_people && cx.config.role == Role::Bot {
            self.people.are_wanted(now, cx.config.timeouts.people);
        }
    }

    /// The note of the claim or transfer that a call is made for.
    pub(super) fn note_for(&self, cx: &Context<'_>, call: &Call) -> Option<Note> {
        let transfer = self.transfer.as_deref();
        let of_transfer = match (call, &transfer?.target) {
            // The pass may be for another app that asked for control, and the note is not for that one.
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

    /// Whether a refused pass is followed by a take.
    pub(super) fn transfer_may_take(&self, cx: &Context<'_>) -> bool {
        self.transfer
            .as_ref()
            .is_some_and(|transfer| transfer.stage == Stage::Start && may_take_to_pass(cx, &transfer.target))
    }

    /// Whether the take under way is for passing the thread on, not for ourselves.
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

    /// Ends the transfer without a notice to the host.
    pub(super) fn end_transfer(&mut self, failed: Option<Failure>) -> Option<Target> {
        let transfer = self.transfer.take()?;
        self.last_transfer =
            Some(Box::new(TransferEnd { id: transfer.id, failed: transfer.giving_back.or(failed) }));
        Some(transfer.target)
    }

    pub(super) fn transfer_failed(&mut self, reason: Failure) {
        if let Some(target) = self.end_transfer(Some(reason.clone())) {
            // Nobody comes, so the bot answers again.
            if !self.people.have_control() && target != Target::Nobody {
                self.people_are_done();
            }
            self.notices.push(Notice::TransferFailed { target, reason });
        }
    }

    /// The platform refuses the pass. Control that was taken for it is given back, so that a failed transfer changes
    /// nothing.
    pub(super) fn pass_refused(&mut self, reason: Failure) {
        let ours = *self.belief.owner() == Owner::Us;
        let Some(transfer) = self.transfer.as_mut().filter(|transfer| ours && transfer.taken_from.is_some())
        else {
            return self.transfer_failed(reason);
        };
        let back = match transfer.taken_from.take() {
            // Only once: if this pass fails too, control is released.
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

    /// The next move to give control away. It waits for settled messages, because a pass right after a send may
    /// suppress the echo, and an unsettled message could not be sent afterwards.
    pub(super) fn give_away(&mut self, cx: &Context<'_>, now: Timestamp) -> Move {
        let settled = self.outbox.is_settled() || cx.config.is(Broken::PassesUnsettled);
        if !settled || self.claim.is_some() {
            return Move::Rest;
        }
        if !self.requests.is_empty()
            && let Some(by) = self.requests.take_stale(now, cx.config.timeouts.grant)
        {
            let words = "pass with an unknown outcome, and the request is too old to pass again";
            let reason = Failure::new(FailureKind::Conflict, words);
            self.notices.push(Notice::TransferFailed { target: Target::App(by), reason });
            return Move::Again;
        }
        // While an agent is engaged, granted requests wait.
        let granted = self.requests.granted().filter(|_| !self.intervention.is_open());
        if let Some(by) = granted.cloned() {
            match self.belief.owner() {
                Owner::Us | Owner::Unknown | Owner::Idle => {
                    return Move::Call(Call::PassThreadControl { to: by });
                }
                // The requesting app asks the new owner itself.
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
            self.people.control_left();
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
                        self.people.control_left();
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
                self.people.control_left();
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
            // The new owner's name may be hidden from the app that passed control away.
            Owner::Idle | Owner::Other(None) if had_control && stage == Stage::Unsure => {
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
            // Control is not ours, so there is nothing to release.
            Owner::Idle | Owner::Other(_) => {
                self.end_transfer(None);
                Move::Again
            }
        }
    }

    /// Whether control may go with the first message: control is ours, no other message waits, no agent is engaged,
    /// and the Page has not refused it.
    pub(super) fn may_give_away_inline(&self, cx: &Context<'_>, now: Timestamp) -> bool {
        // With an unknown owner, a message that is sent proves that control was ours.
        matches!(self.belief.owner(), Owner::Us | Owner::Unknown)
            && self.outbox.may_go_inline()
            && !self.intervention.is_open()
            && self.transfer.is_none()
            && self.requests.granted().is_none()
            && cx.has_inline_control(&self.refused, now)
    }

    /// A farewell, a message with `thread_control`, was sent: control went with it, or is given away now.
    pub(super) fn farewell_delivered(&mut self, control: InlineControl, inline: bool) {
        // The outcome of the message does not say whether control went with it.
        self.belief.in_doubt |= inline;
        // An agent has engaged, control is claimed, or the host started another transfer.
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

    /// The owner was read after a farewell. The new owner's name may be hidden from the app that passed control away.
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

    /// Control is at the target. If messages were accepted meanwhile, they claim it back and it is given away again.
    pub(super) fn transfer_reached(&mut self) {
        if self.outbox.is_settled() && self.claim.is_none() {
            self.end_transfer(None);
        } else {
            self.set_stage(Stage::Start);
        }
    }

    /// Our own call gave control to `to`.
    pub(super) fn gave_away(&mut self, cx: &Context<'_>, to: Option<AppId>, now: Timestamp) {
        self.requests.clear();
        if to.is_none() {
            self.intervention.control_left(now);
        }
        if to.as_ref().is_some_and(|app| cx.config.is_of_people(app)) {
            self.people_come(cx, now, now);
        }
        let reached = |target: &Target| match target {
            Target::Nobody => to.is_none(),
            Target::App(app) => to.as_ref() == Some(app),
            Target::Desk => to.as_ref().is_some_and(|app| cx.config.may_be_desk(app)),
        };
        if self.transfer.as_ref().is_some_and(|transfer| reached(&transfer.target)) {
            self.transfer_reached();
        }
        (self.announced_ours, self.announced_to_answer) = (false, false);
        self.notices.push(Notice::Transferred { to });
    }
}

/// Only a desk that is primary takes a thread from a third app to pass it on, because only a [primary
/// receiver](crate::protocol#handover-protocol) may take at any time.
fn may_take_to_pass(cx: &Context<'_>, target: &Target) -> bool {
    cx.config.role == Role::Desk
        && cx.policy == ThreadControlPolicy::EdPrimary
        && matches!(target, Target::App(_))
}
