use serde::{Deserialize, Serialize};

use crate::call::{Call, Direction, Failure, FailureKind};
use crate::policy::{
    Believed, ClaimStep, Condition, PlannedStep, Role, Situation, ThreadControlPolicy, plan,
};
use crate::time::{Span, Timestamp};

use super::belief::Owner;
use super::broken::Broken;
use super::config::{Config, Context, Unanswered};
use super::note::Note;
use super::notice::Notice;
use super::outcome::{FailReason, NotGranted, StepOutcome, TriedStep};
use super::output::Output;
use super::page::PageCall;
use super::terms::ClaimOrigin;
use super::{Made, Move, Thread, is_default};

/// An attempt to get control that is under way: the plan walked so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) id: u64,
    pub(super) origin: ClaimOrigin,
    /// What travels with its calls.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) note: Option<Note>,
    tried: Vec<TriedStep>,
    /// An accepted step whose control has not come yet.
    pending: Option<Pending>,
    /// How often control was asked for since the owner is the same.
    asked: u32,
    /// Some step was accepted.
    accepted: bool,
    /// Some request may have been accepted.
    #[serde(default, skip_serializing_if = "is_default")]
    unsure: bool,
    /// A take was refused, perhaps because control is ours: the owner is read.
    #[serde(default, skip_serializing_if = "is_default")]
    in_question: Option<Failure>,
    /// The owner was read in this claim, so that "idle" is fresh.
    looked: bool,
    /// How often the owner changed under an open request.
    asked_again: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Pending {
    step: ClaimStep,
    /// Whether the step was accepted is not known: if nothing comes of it, that is no silence.
    unsure: bool,
    until: Timestamp,
    /// `thread_owner` was read after the deadline.
    polled: bool,
}

/// How the last claim ended, for whoever waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct ClaimEnd {
    pub(super) id: u64,
    pub(super) not_granted: Option<NotGranted>,
}

/// Where a claim stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimProgress {
    /// Nothing has been accepted yet.
    Trying,
    /// A first call was accepted; control is waited for.
    Accepted,
    /// Control is ours.
    Granted,
    /// The plan has run out.
    NotGranted(NotGranted),
    /// It was given up, or is too long ago.
    Gone,
}

/// A request that is overtaken by owner changes is repeated at most this often.
const MAX_ASKED_AGAIN: u8 = 3;
/// An answer whose control is lost again and again fails instead of fighting for ever.
pub(super) const MAX_LOST_CONTROL: u8 = 3;

impl Claim {
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.pending.as_ref().map(|pending| pending.until)
    }

    /// A request was refused, and not about ownership, rate, a fault, the token or the person: this
    /// Page does not have the call.
    fn request_is_not_available(&self) -> bool {
        self.tried.iter().any(|tried| {
            tried.step == ClaimStep::Request
                && matches!(&tried.outcome, StepOutcome::Refused(why) if why.kind.means_not_available())
        })
    }

    /// Something was asked for that was not refused; whether it was accepted may not be known.
    fn may_be_granted(&self) -> bool {
        let asked = |tried: &TriedStep| tried.outcome == StepOutcome::Unanswered;
        self.accepted || self.unsure || self.pending.is_some() || self.tried.iter().any(asked)
    }

    fn has_tried(&self, step: ClaimStep) -> bool {
        self.tried.iter().any(|tried| tried.step == step)
    }

    fn record(&mut self, step: ClaimStep, outcome: StepOutcome) {
        self.tried.push(TriedStep { step, outcome });
    }
}

impl Thread {
    /// Where a claim stands, by the number that [`super::Reply::Claiming`] gave.
    #[must_use]
    pub fn claim_progress(&self, id: u64) -> ClaimProgress {
        if let Some(claim) = self.claim.as_ref().filter(|claim| claim.id == id) {
            return if claim.accepted { ClaimProgress::Accepted } else { ClaimProgress::Trying };
        }
        match self.last_claim.as_deref().filter(|end| end.id == id) {
            Some(ClaimEnd { not_granted: Some(report), .. }) => ClaimProgress::NotGranted(report.clone()),
            Some(_) => ClaimProgress::Granted,
            None => ClaimProgress::Gone,
        }
    }

    /// Opens a claim, or joins the open one. A bot that asks to be asked gets a request first.
    pub(super) fn open_claim(&mut self, origin: ClaimOrigin) -> u64 {
        if let Some(claim) = &mut self.claim {
            if origin == ClaimOrigin::BotAsked && claim.pending.is_none() {
                claim.origin = origin;
            }
            return claim.id;
        }
        let id = self.next_id();
        self.claim = Some(Box::new(Claim {
            id,
            origin,
            note: None,
            tried: Vec::new(),
            pending: None,
            asked: 0,
            accepted: false,
            unsure: false,
            in_question: None,
            looked: false,
            asked_again: 0,
        }));
        id
    }

    /// Nobody needs the open claim any more. What it asked for may still be granted.
    pub(super) fn abandon_claim(&mut self, cx: &Context<'_>, now: Timestamp) {
        let Some(claim) = self.claim.take() else { return };
        let asking = matches!(
            self.in_flight.as_ref().map(|call| &call.made),
            Some(Made::Request | Made::Take | Made::Pass(_))
        );
        self.may_still_be_granted(cx, asking || claim.may_be_granted(), now);
    }

    /// A claim ended. What it asked for may be granted all the same: a desk that nobody needs control at gives it
    /// back then.
    fn may_still_be_granted(&mut self, cx: &Context<'_>, asked: bool, now: Timestamp) {
        if asked && cx.config.role == Role::Desk {
            self.intervention.give_back_when_gained(now);
        }
    }

    pub(super) fn claim_granted(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.last_claim = Some(Box::new(ClaimEnd { id: claim.id, not_granted: None }));
        }
    }

    /// The owner was not read after all: nothing may be taken on what is remembered.
    pub(super) fn claim_has_not_looked(&mut self) {
        let Some(claim) = &mut self.claim else { return };
        claim.looked = false;
        if let Some(pending) = &mut claim.pending {
            pending.polled = false;
        }
    }

    /// Any ownership change voids an open request: who still wants control asks the new owner.
    pub(super) fn owner_changed_under_claim(&mut self) {
        let Some(claim) = &mut self.claim else { return };
        if claim.pending.is_some() && claim.asked_again < MAX_ASKED_AGAIN {
            claim.asked_again += 1;
            claim.asked = 0;
            claim.pending = None;
            claim.tried.retain(|tried| matches!(tried.outcome, StepOutcome::Refused(_)));
        }
    }

    /// The next move of the open claim.
    pub(super) fn walk(&mut self, cx: &Context<'_>, now: Timestamp) -> Move {
        let refused = cx.refused(&self.refused, now);
        let (role, policy) = (cx.config.role, cx.policy);
        let owner = believed(self.belief.owner(), cx.config);
        let futile = request_is_futile(self.belief.owner(), cx);
        let Some(claim) = &mut self.claim else { return Move::Rest };
        if let Some(pending) = &mut claim.pending {
            if now < pending.until && !(futile && pending.step == ClaimStep::Request) {
                return Move::Rest;
            }
            if !pending.polled {
                pending.polled = true;
                claim.looked = true;
                return Move::Call(Call::ThreadOwner);
            }
            let Pending { step, unsure, .. } = *pending;
            claim.pending = None;
            if futile && step == ClaimStep::Request {
                claim.record(step, StepOutcome::Futile);
            } else if !unsure && claim.asked >= cx.config.limits.requests {
                claim.record(step, StepOutcome::Unanswered);
            }
        }
        let take_from_desk = cx.config.take_from_desk || cx.config.is(Broken::TakesBack);
        let situation = Situation { role, policy, owner, refused, take_from_desk };
        let mut steps = plan(situation);
        if claim.origin == ClaimOrigin::BotAsked && role == Role::Desk && !refused.request {
            steps.insert(0, PlannedStep { step: ClaimStep::Request, condition: Condition::Always });
        }
        let no_answer =
            |tried: &TriedStep| matches!(tried.outcome, StepOutcome::Unanswered | StepOutcome::Futile);
        let asked = claim.asked > 0 || claim.unsure || claim.tried.iter().any(no_answer);
        let unanswered = asked && !claim.request_is_not_available();
        // An admin who has allowed this app to take control has decided that agents may interrupt.
        let is_metas =
            matches!(self.belief.owner(), Owner::Other(Some(app)) if cx.config.silent.contains(app));
        let has_waited = claim.tried.iter().any(|tried| tried.outcome == StepOutcome::Unanswered);
        let takes_now = has_waited
            && role == Role::Desk
            && claim.origin != ClaimOrigin::BotAsked
            && !is_metas
            && cx.config.when_unanswered == Unanswered::Take;
        let takes_unanswered = unanswered && cx.config.is(Broken::TakesUnanswered);
        let no_request = refused.request || claim.request_is_not_available() || takes_unanswered || takes_now;
        for PlannedStep { step, condition } in steps {
            if claim.has_tried(step) || (condition == Condition::RequestNotAvailable && !no_request) {
                continue;
            }
            let call = match step {
                ClaimStep::AskDesk if !cx.config.desk_endpoint => {
                    claim.record(step, StepOutcome::NotConfigured);
                    continue;
                }
                ClaimStep::AskDesk => Call::AskDesk(Direction::AgentToBot),
                ClaimStep::Request if futile || takes_unanswered => continue,
                ClaimStep::Request => Call::RequestThreadControl,
                // An unanswered request becomes a take of an owned thread only for a desk, or for a primary receiver,
                // which may take at any time.
                ClaimStep::Take
                    if unanswered
                        && !takes_unanswered
                        && !takes_now
                        && owner != Believed::Idle
                        && policy != ThreadControlPolicy::EdPrimary =>
                {
                    continue;
                }
                // A bot must not take from people because it remembers an idle thread, or an inbox: they can have
                // got control without a word to it.
                ClaimStep::Take if role == Role::Bot && owner != Believed::Desk && !claim.looked => {
                    claim.looked = true;
                    return Move::Call(Call::ThreadOwner);
                }
                ClaimStep::Take => Call::TakeThreadControl,
                ClaimStep::PassToSelf => Call::PassThreadControl { to: cx.config.app.clone() },
                ClaimStep::ReadOwner if claim.looked => continue,
                ClaimStep::ReadOwner => {
                    claim.looked = true;
                    Call::ThreadOwner
                }
            };
            return Move::Call(call);
        }
        // Nobody is told of a release or an expiry: no claim fails on a remembered owner.
        if !claim.looked {
            claim.looked = true;
            return Move::Call(Call::ThreadOwner);
        }
        if futile && !claim.has_tried(ClaimStep::Request) {
            claim.record(ClaimStep::Request, StepOutcome::Futile);
        }
        self.claim_not_granted(cx, None, now);
        Move::Again
    }

    /// The plan has run out: what waited for control fails, and the host is told once.
    pub(super) fn claim_not_granted(&mut self, cx: &Context<'_>, last: Option<TriedStep>, now: Timestamp) {
        let Some(mut claim) = self.claim.take() else { return };
        // A bot that asked to be asked passes control where that leads to nothing: it wants people.
        let unwanted = claim.origin != ClaimOrigin::BotAsked;
        self.may_still_be_granted(cx, unwanted && claim.may_be_granted(), now);
        claim.tried.extend(last);
        let report = NotGranted { steps: claim.tried };
        self.last_claim = Some(Box::new(ClaimEnd { id: claim.id, not_granted: Some(report.clone()) }));
        self.intervention.claim_failed();
        let unavailable = |tried: &TriedStep| match &tried.outcome {
            StepOutcome::Refused(why) if why.kind == FailureKind::RecipientUnavailable => Some(why.clone()),
            _ => None,
        };
        let reason = match report.steps.iter().find_map(unavailable) {
            Some(failure) => FailReason::RecipientUnavailable(failure),
            None => FailReason::NotGranted(report.clone()),
        };
        let failed = self.outbox.all_failed(&reason, cx.config, now);
        if claim.origin != ClaimOrigin::Message || failed.is_empty() {
            self.notices.push(Notice::ControlNotGranted { origin: claim.origin, report });
        }
        self.notices.extend(failed);
    }

    /// A step of the open claim was accepted, but control has not come yet.
    pub(super) fn claim_pending(&mut self, cx: &Context<'_>, step: ClaimStep, now: Timestamp) {
        if let Some(claim) = &mut self.claim {
            claim.accepted = true;
            claim.asked += 1;
            let until = cx.asked_until(now, claim.asked, cx.config.limits.requests);
            claim.pending = Some(Pending { step, unsure: false, until, polled: false });
        }
    }

    /// A step of the open claim may have been accepted.
    pub(super) fn claim_unsure(&mut self, cx: &Context<'_>, step: ClaimStep, until: Timestamp) {
        if let Some(claim) = &mut self.claim {
            claim.unsure = true;
            let until = if cx.config.is(Broken::WaitsForTheGrant) { Timestamp::MAX } else { until };
            claim.pending = Some(Pending { step, unsure: true, until, polled: false });
        }
    }

    /// A take was refused, perhaps because control is ours: `thread_owner` decides.
    pub(super) fn take_in_question(&mut self, failure: Failure, now: Timestamp) {
        self.belief.lose_certainty(Span::at(now));
        if let Some(claim) = &mut self.claim {
            (claim.in_question, claim.looked) = (Some(failure), true);
        }
    }

    /// The owner was read, or cannot be.
    pub(super) fn take_looked_into(&mut self, cx: &Context<'_>, now: Timestamp, out: &mut Vec<Output>) {
        let Some(failure) = self.claim.as_mut().and_then(|claim| claim.in_question.take()) else { return };
        match self.belief.owner() {
            Owner::Us => {}
            Owner::Unknown => self.claim_refused(cx, ClaimStep::Take, failure, now, out),
            Owner::Idle | Owner::Other(_) => {
                // So it is not that control is ours.
                self.refused.refuses(PageCall::Take, now);
                out.push(Output::PageRefuses {
                    call: PageCall::Take,
                    failure: failure.clone(),
                    certain: true,
                });
                if let Some(claim) = &mut self.claim {
                    claim.record(ClaimStep::Take, StepOutcome::Refused(failure));
                }
            }
        }
    }

    pub(super) fn page_refuses(
        &mut self,
        call: PageCall,
        failure: Failure,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        self.refused.refuses(call, now);
        let certain = failure.is_configuration();
        out.push(Output::PageRefuses { call, failure, certain });
    }

    /// A step of the open claim was refused.
    pub(super) fn claim_refused(
        &mut self,
        cx: &Context<'_>,
        step: ClaimStep,
        failure: Failure,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        // Who owns the thread already is refused too (facts §2.4), which says nothing about the Page.
        let owner_known = *self.belief.owner() != Owner::Unknown;
        if owner_known
            && failure.kind.means_not_available()
            && matches!(step, ClaimStep::Request | ClaimStep::Take)
        {
            let call = if step == ClaimStep::Request { PageCall::Request } else { PageCall::Take };
            self.page_refuses(call, failure.clone(), now, out);
        }
        let hopeless = matches!(failure.kind, FailureKind::Token | FailureKind::RecipientUnavailable);
        let tried = TriedStep { step, outcome: StepOutcome::Refused(failure) };
        if hopeless {
            self.claim_not_granted(cx, Some(tried), now);
        } else if let Some(claim) = &mut self.claim {
            claim.tried.push(tried);
        }
    }
}

/// Whether a request would go to an app that never answers one. Where another app is primary the request
/// goes to that (facts §1.2), which may take control and pass it.
fn request_is_futile(owner: &Owner, cx: &Context<'_>) -> bool {
    let to_the_owner = match cx.config.role {
        Role::Desk => cx.policy != ThreadControlPolicy::BotPrimary,
        Role::Bot => cx.policy != ThreadControlPolicy::EdPrimary,
    };
    let Owner::Other(Some(owner)) = owner else { return false };
    to_the_owner && cx.config.silent.contains(owner)
}

/// The column of the policy's table for an owner.
fn believed(owner: &Owner, config: &Config) -> Believed {
    match owner {
        Owner::Unknown => Believed::Unknown,
        Owner::Idle => Believed::Idle,
        Owner::Us => Believed::Us,
        Owner::Other(Some(app)) if config.desk.as_ref() == Some(app) => Believed::Desk,
        // Who is hidden may be the desk: people are not interrupted on a guess.
        Owner::Other(None) if config.desk.is_some() || config.desk_endpoint => Believed::Desk,
        Owner::Other(_) => Believed::Other,
    }
}
