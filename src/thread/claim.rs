//! Claims: attempts to get control, step by step along the policy's plan.

use serde::{Deserialize, Serialize};

use crate::call::{Call, Direction, Failure, FailureKind};
use crate::policy::{
    Believed, ClaimStep, Condition, PlannedStep, Role, Situation, ThreadControlPolicy, plan,
};
use crate::time::{Span, Timestamp};

use super::belief::Owner;
use super::broken::Broken;
use super::config::{Config, Context, Unanswered, is_inbox};
use super::note::Note;
use super::notice::Notice;
use super::outcome::{FailReason, NotGranted, StepOutcome, TriedStep};
use super::output::Output;
use super::page::PageCall;
use super::terms::ClaimOrigin;
use super::{Move, Thread, is_default};

/// A claim under way: the steps tried so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "what has happened, each of its own")]
pub(super) struct Claim {
    pub(super) id: u64,
    pub(super) origin: ClaimOrigin,
    /// The note that goes with its calls.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) note: Option<Note>,
    tried: Vec<TriedStep>,
    /// An accepted step whose control has not come yet.
    pending: Option<Pending>,
    /// The number of requests to the current owner.
    asked: u32,
    /// Whether a step was accepted.
    accepted: bool,
    /// Whether a request may have been accepted.
    #[serde(default, skip_serializing_if = "is_default")]
    unsure: bool,
    /// Whether a take, or a pass to ourselves, has an unknown outcome.
    #[serde(default, skip_serializing_if = "is_default")]
    may_have_taken: bool,
    /// The refusal of a take or request that may mean that control is ours: the owner is read.
    #[serde(default, skip_serializing_if = "is_default")]
    in_question: Option<(ClaimStep, Failure)>,
    /// Whether the owner was read in this claim, so that "idle" is up to date.
    looked: bool,
    /// The number of owner changes while a request was open.
    asked_again: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Pending {
    step: ClaimStep,
    /// Whether the step has an unknown outcome: without control it does not count as unanswered then.
    unsure: bool,
    until: Timestamp,
    /// Whether `thread_owner` was read after the deadline.
    polled: bool,
}

/// The end of the last claim, for [`Thread::claim_progress`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct ClaimEnd {
    pub(super) id: u64,
    pub(super) not_granted: Option<NotGranted>,
}

/// The progress of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimProgress {
    /// No step was accepted yet.
    Trying,
    /// A step was accepted; control has not come yet.
    Accepted,
    /// Control is ours.
    Granted,
    /// All steps failed.
    NotGranted(NotGranted),
    /// The claim was abandoned or is no longer stored.
    Gone,
}

/// The most times a claim starts again because the owner changed while a request was open.
const MAX_ASKED_AGAIN: u8 = 3;
/// The most times a message waits for control again after losing it; then it fails, so that two apps do not fight
/// without end.
pub(super) const MAX_LOST_CONTROL: u8 = 3;

impl Claim {
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.pending.as_ref().map(|pending| pending.until)
    }

    /// Whether a request was refused because this Page does not have the call, not because of ownership, rate, a
    /// fault, the token or the person.
    fn request_is_not_available(&self) -> bool {
        self.tried.iter().any(|tried| {
            tried.step == ClaimStep::Request
                && matches!(&tried.outcome, StepOutcome::Refused(why) if why.kind.means_not_available())
        })
    }

    /// Whether control may still be granted: a step was accepted, or may have been.
    pub(super) fn may_be_granted(&self) -> bool {
        let asked = |tried: &TriedStep| tried.outcome == StepOutcome::Unanswered;
        self.accepted
            || self.unsure
            || self.may_have_taken
            || self.pending.is_some()
            || self.tried.iter().any(asked)
    }

    fn has_tried(&self, step: ClaimStep) -> bool {
        self.tried.iter().any(|tried| tried.step == step)
    }

    fn record(&mut self, step: ClaimStep, outcome: StepOutcome) {
        self.tried.push(TriedStep { step, outcome });
    }
}

impl Thread {
    /// The progress of a claim, by the number in [`Reply::Claiming`](super::Reply::Claiming).
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

    /// Opens a claim, or joins the open one. [`ClaimOrigin::BotAsked`] makes `request` the first step. A claim that a
    /// message opened is then no longer the message's alone: it goes on without the message, and its end is notified.
    pub(super) fn open_claim(&mut self, config: &Config, origin: ClaimOrigin) -> u64 {
        if let Some(claim) = &mut self.claim {
            let joins = match origin {
                ClaimOrigin::BotAsked => claim.pending.is_none(),
                _ if config.is(Broken::DropsClaim) => false,
                _ => claim.origin == ClaimOrigin::Message,
            };
            if joins {
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
            may_have_taken: false,
            in_question: None,
            looked: false,
            asked_again: 0,
        }));
        id
    }

    pub(super) fn claim_granted(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.last_claim = Some(Box::new(ClaimEnd { id: claim.id, not_granted: None }));
        }
    }

    /// The owner was not read after all, so nothing may be taken on an old belief.
    pub(super) fn claim_has_not_looked(&mut self) {
        let Some(claim) = &mut self.claim else { return };
        claim.looked = false;
        if let Some(pending) = &mut claim.pending {
            pending.polled = false;
        }
    }

    /// A change of the owner voids an open request, so the claim asks the new owner.
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
        // A Page admin who allows this app to take control has decided that agents may interrupt.
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
                // After an unanswered request only a desk, or a primary receiver, takes an owned thread.
                ClaimStep::Take
                    if unanswered
                        && !takes_unanswered
                        && !takes_now
                        && owner != Believed::Idle
                        && policy != ThreadControlPolicy::EdPrimary =>
                {
                    continue;
                }
                // The bot may not have been notified that people got control, so it reads the owner before it takes.
                ClaimStep::Take if role == Role::Bot && owner != Believed::Desk && !claim.looked => {
                    claim.looked = true;
                    return Move::Call(Call::ThreadOwner);
                }
                // It takes nothing from a person in an inbox.
                ClaimStep::Take
                    if role == Role::Bot
                        && matches!(self.belief.owner(), Owner::Other(Some(app)) if is_inbox(app)) =>
                {
                    continue;
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
        // A release or an expiry sends no event, so no claim fails before the owner was read.
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

    /// Ends the claim after all steps failed: messages that waited for control fail, and the host is notified once.
    pub(super) fn claim_not_granted(&mut self, cx: &Context<'_>, last: Option<TriedStep>, now: Timestamp) {
        let Some(mut claim) = self.claim.take() else { return };
        // After [`ClaimOrigin::BotAsked`] late control is kept, because the bot wants people to have it.
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

    /// A step was accepted, but control has not come yet.
    pub(super) fn claim_pending(&mut self, cx: &Context<'_>, step: ClaimStep, now: Timestamp) {
        if let Some(claim) = &mut self.claim {
            claim.accepted = true;
            claim.asked += 1;
            let until = cx.asked_until(now, claim.asked, cx.config.limits.requests);
            claim.pending = Some(Pending { step, unsure: false, until, polled: false });
        }
    }

    /// A step may have been accepted.
    pub(super) fn claim_unsure(&mut self, cx: &Context<'_>, step: ClaimStep, until: Timestamp) {
        if let Some(claim) = &mut self.claim {
            claim.unsure = true;
            let until = if cx.config.is(Broken::WaitsForTheGrant) { Timestamp::MAX } else { until };
            claim.pending = Some(Pending { step, unsure: true, until, polled: false });
        }
    }

    /// A take, or a pass to ourselves, may have been made.
    pub(super) fn claim_may_have_taken(&mut self) {
        if let Some(claim) = &mut self.claim {
            claim.may_have_taken = true;
        }
    }

    /// A take was refused, perhaps because control is ours: the owner is read.
    pub(super) fn refusal_in_question(&mut self, step: ClaimStep, failure: Failure, now: Timestamp) {
        self.belief.lose_certainty(Span::at(now));
        if let Some(claim) = &mut self.claim {
            (claim.in_question, claim.looked) = (Some((step, failure)), true);
        }
    }

    /// Decides about a refused take or request after the owner was read, or could not be.
    pub(super) fn refusal_looked_into(&mut self, cx: &Context<'_>, now: Timestamp, out: &mut Vec<Output>) {
        let in_question = self.claim.as_mut().and_then(|claim| claim.in_question.take());
        let Some((step, failure)) = in_question else { return };
        match self.belief.owner() {
            Owner::Us => {}
            Owner::Idle | Owner::Other(_) if step == ClaimStep::Take && failure.code == Some(27) => {
                // The refusal does not mean that control is ours.
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
            _ => self.claim_refused(cx, step, failure, now, out),
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
        // The owner's own request or take is refused too (docs/protocol.md#take), which says nothing about the Page.
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

/// Whether a request would go to an app that never answers one. If another app is primary, the request [goes to that
/// one](crate::protocol#handover-protocol), which may take control and pass it.
fn request_is_futile(owner: &Owner, cx: &Context<'_>) -> bool {
    let to_the_owner = match cx.config.role {
        Role::Desk => cx.policy != ThreadControlPolicy::BotPrimary,
        Role::Bot => cx.policy != ThreadControlPolicy::EdPrimary,
    };
    let Owner::Other(Some(owner)) = owner else { return false };
    to_the_owner && cx.config.silent.contains(owner)
}

/// The owner as the policy's table sees it.
fn believed(owner: &Owner, config: &Config) -> Believed {
    match owner {
        Owner::Unknown => Believed::Unknown,
        Owner::Idle => Believed::Idle,
        Owner::Us => Believed::Us,
        Owner::Other(Some(app)) if config.desk.as_ref() == Some(app) => Believed::Desk,
        // A hidden owner may be the desk: the bot does not interrupt people on a guess.
        Owner::Other(None) if config.desk.is_some() || config.desk_endpoint => Believed::Desk,
        Owner::Other(_) => Believed::Other,
    }
}
