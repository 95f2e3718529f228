//! Ends of calls: each outcome updates the belief, the message, the claim or the transfer that the call was made for.

use std::time::Duration;

use crate::call::{Advice, CallId, CallOutcome, Direction, Failure, FailureKind, MessageKey, ThreadOwner};
use crate::id::{AppId, MessageId};
use crate::policy::{ClaimStep, Role};
use crate::retry::FailedCall;
use crate::time::{Span, Timestamp};

use super::belief::Owner;
use super::broken::Broken;
use super::claim::MAX_LOST_CONTROL;
use super::config::{Config, Context};
use super::notice::Notice;
use super::output::{Output, Reply};
use super::page::PageCall;
use super::terms::Target;
use super::transfer::{Stage, Transfer};
use super::{InFlight, Made, Pause, Thread};

/// The longest pause that the platform may ask for: it blocks apps and Pages for a day at most, and what it says beyond that would
/// stop a conversation for good.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

impl Thread {
    pub(super) fn call_ended(
        &mut self,
        cx: &Context<'_>,
        id: CallId,
        result: CallOutcome,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Reply {
        if let Some(call) = self.in_flight.take_if(|call| call.id == id) {
            self.conclude(cx, *call, result, now, out);
            return Reply::Done;
        }
        // The call's lease has expired, but a message that was sent is still settled.
        let (CallOutcome::Sent(mid), Some(key)) = (result, self.outbox.by_call(id)) else {
            return Reply::Ignored;
        };
        self.delivered(cx.config, &key, mid, now);
        Reply::Done
    }

    /// A message was sent. Returns whether that was not known before.
    pub(super) fn delivered(
        &mut self,
        config: &Config,
        key: &MessageKey,
        mid: Option<MessageId>,
        now: Timestamp,
    ) -> bool {
        let farewell = self.outbox.farewell(key);
        let Some(notice) = self.outbox.delivered(key, mid, config, now) else { return false };
        self.notices.push(notice);
        if let Some((control, inline)) = farewell {
            self.farewell_delivered(control, inline);
        }
        true
    }

    /// Applies the outcome of a call.
    pub(super) fn conclude(
        &mut self,
        cx: &Context<'_>,
        call: InFlight,
        result: CallOutcome,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let InFlight { id, made, since, mut revision, .. } = call;
        if cx.config.is(Broken::AnswerOverrides) {
            revision = self.belief.revision();
        }
        let during = Span::between(since, now);
        match result {
            CallOutcome::Refused(mut failure) if failure.kind.advice() == Advice::RetryLater => {
                failure.retry_after = failure.retry_after.map(|wait| wait.min(LONGEST_WAIT));
                self.passing_fault(cx, &made, failure, false, now, out);
            }
            CallOutcome::Refused(failure) => {
                self.pause.faults = 0;
                if failure.kind == FailureKind::NotThreadOwner {
                    self.refused_for_ownership(&made, during, revision);
                }
                self.refused(cx, made, failure, now, out);
            }
            CallOutcome::Unknown(cause) => self.unknown(cx, &made, cause, during, out),
            CallOutcome::HeldBack(wait) => {
                // The call was not made, so the wait does not count as a fault.
                let wait = cx.backoff().wait(self.pause.faults, Some(wait), cx.jitter);
                self.pause.until = Some(now.plus(wait));
                self.not_made(&made);
            }
            result => {
                // Reading the owner follows a fault and does not end it.
                if made != Made::ReadOwner {
                    self.pause.faults = 0;
                }
                // The people who got control by this pass, or were read to have it, may have left again before a bot asked for
                // people, so it reads the owner anew.
                let is_of_owner = matches!(made, Made::Pass(_) | Made::ReadOwner);
                let is_later = |transfer: &mut Box<Transfer>| {
                    cx.config.role == Role::Bot && is_of_owner && transfer.id > id.0
                };
                let later = self.transfer.take_if(is_later);
                let people = self.people.clone();
                if !self.succeeded(cx, &made, result, during, revision, out) {
                    let words = "outcome does not belong to the call";
                    self.unknown(cx, &made, Failure::new(FailureKind::Protocol, words), during, out);
                }
                if later.is_some() {
                    (self.transfer, self.people, self.belief.in_doubt) = (later, people, true);
                }
            }
        }
    }

    /// Applies a success. Returns whether this outcome belongs to this call.
    fn succeeded(
        &mut self,
        cx: &Context<'_>,
        made: &Made,
        result: CallOutcome,
        during: Span,
        revision: u32,
        out: &mut Vec<Output>,
    ) -> bool {
        let now = during.to;
        match (made, result) {
            (Made::Send(key), CallOutcome::Sent(mid)) => {
                self.delivered(cx.config, key, mid, now);
            }
            (Made::Pass(to), CallOutcome::Done) if *to == cx.config.app => {
                self.belief.confirm(Owner::Us, during, revision, None);
            }
            (Made::Pass(to), CallOutcome::Done) => {
                self.belief.confirm(Owner::Other(Some(to.clone())), during, revision, None);
                self.gave_away(cx, Some(to.clone()), now);
            }
            (Made::Take, CallOutcome::Done) => self.belief.confirm(Owner::Us, during, revision, None),
            (Made::Request, CallOutcome::Forwarded | CallOutcome::Done) => {
                self.claim_pending(cx, ClaimStep::Request, now);
            }
            (Made::Release, CallOutcome::Done) => {
                self.belief.confirm(Owner::Idle, during, revision, None);
                self.gave_away(cx, None, now);
            }
            (Made::AskDesk(Direction::AgentToBot), CallOutcome::Done) => {
                self.claim_pending(cx, ClaimStep::AskDesk, now);
            }
            (Made::AskDesk(Direction::BotToAgent), CallOutcome::Done) => {
                self.set_stage(Stage::Asked { until: cx.grant_until(now) });
            }
            (Made::ReadOwner, CallOutcome::Owner(owner)) => {
                let (owner, expires) = owner_for(owner, &cx.config.app);
                self.belief.confirm(owner, during, revision, expires);
                self.farewell_looked_into(cx, now);
                if let Owner::Other(owner) = self.belief.owner()
                    && let Some(by) = self.requests.went_to(owner.as_ref())
                {
                    self.gave_away(cx, Some(by), now);
                }
                self.refusal_looked_into(cx, now, out);
            }
            _ => return false,
        }
        true
    }

    /// The wait before a call is repeated, or `None` if it is not. Sends, and claims for a message, are retried until
    /// the message expires; other calls at most 8 times. A transfer with another way than the desk's endpoint uses
    /// that way at once.
    fn decide(
        &self,
        cx: &Context<'_>,
        made: &Made,
        failure: &Failure,
        may_have_acted: bool,
    ) -> Option<Duration> {
        let attempt = self.pause.faults + 1;
        let failure = FailedCall { attempt, kind: failure.kind, may_have_acted, hint: failure.retry_after };
        let backoff = cx.backoff();
        let for_an_answer = match made {
            Made::Send(_) => true,
            Made::AskDesk(Direction::BotToAgent) if cx.config.desk.is_some() => return None,
            Made::AskDesk(Direction::BotToAgent) | Made::Release => false,
            Made::Pass(to) if *to != cx.config.app => false,
            Made::Take if self.transfer_takes() => false,
            Made::Pass(_) | Made::Take | Made::Request | Made::ReadOwner | Made::AskDesk(_) => {
                self.claim.is_some() && self.outbox.wants_control()
            }
        };
        if for_an_answer {
            return Some(backoff.wait(attempt, failure.hint, cx.jitter));
        }
        backoff.decide(failure, cx.jitter)
    }

    /// The call itself is in order: it is repeated after a pause, or fails after too many attempts.
    fn passing_fault(
        &mut self,
        cx: &Context<'_>,
        made: &Made,
        failure: Failure,
        may_have_acted: bool,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let attempt = self.pause.faults + 1;
        match self.decide(cx, made, &failure, may_have_acted) {
            None => {
                let around = *made == Made::AskDesk(Direction::BotToAgent) && cx.config.desk.is_some();
                let wait = (!around).then(|| cx.backoff().wait(attempt, failure.retry_after, cx.jitter));
                self.pause = Pause { faults: 0, until: wait.map(|wait| now.plus(wait)) };
                self.refused(cx, made.clone(), failure, now, out);
            }
            // If the platform may have acted, the belief is in doubt and the owner is read first.
            Some(wait) => {
                self.pause = Pause { faults: attempt, until: Some(now.plus(wait)) };
                if !may_have_acted {
                    self.not_made(made);
                }
            }
        }
    }

    /// The call was certainly not made: it is repeated when needed.
    fn not_made(&mut self, made: &Made) {
        match made {
            Made::Send(key) => self.outbox.not_sent(key, false),
            Made::Take if self.transfer_takes() => self.set_stage(Stage::Start),
            Made::ReadOwner => self.claim_has_not_looked(),
            _ => {}
        }
    }

    /// The platform refused because another app owns the thread.
    fn refused_for_ownership(&mut self, made: &Made, during: Span, revision: u32) {
        let lost = *self.belief.owner() == Owner::Us;
        if let Made::Send(key) = made {
            self.outbox.not_sent(key, lost);
        }
        if matches!(made, Made::Send(_) | Made::Pass(_) | Made::Release) {
            self.belief.confirm(Owner::Other(None), during, revision, None);
        }
    }

    fn refused(
        &mut self,
        cx: &Context<'_>,
        made: Made,
        failure: Failure,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let ownership = failure.kind == FailureKind::NotThreadOwner;
        match made {
            Made::Send(key) if ownership && self.outbox.lost_control(&key) < MAX_LOST_CONTROL => {}
            Made::Send(key)
                if failure.kind.means_not_available()
                    && self.outbox.farewell(&key).is_some_and(|(_, inline)| inline) =>
            {
                self.page_refuses(PageCall::InlineControl, failure, now, out);
                self.outbox.refused_inline(&key);
            }
            Made::Send(key) => {
                let outside = cx.config.human_agent && failure.kind == FailureKind::OutsideWindow;
                if outside && self.outbox.send_as_person(&key, &failure) {
                    return;
                }
                let reason = self.outbox.fail_reason(&key, failure);
                self.notices.extend(self.outbox.failed(&key, reason, cx.config, now));
            }
            Made::Pass(to) if to == cx.config.app => {
                self.claim_refused(cx, ClaimStep::PassToSelf, failure, now, out);
            }
            Made::Pass(to) if self.requests.granted() == Some(&to) => {
                self.requests.remove(&to);
                self.notices.push(Notice::TransferFailed { target: Target::App(to), reason: failure });
            }
            // Control went with the message, and the owner cannot be read.
            Made::Pass(to) if ownership && self.transfer_went_inline() => self.gave_away(cx, Some(to), now),
            // The target may have control already: `thread_owner` decides.
            Made::Pass(_) if ownership && !self.transfer_may_take(cx) && !self.transfer_is_unsure() => {
                self.set_stage(Stage::Unsure);
                self.belief.in_doubt = true;
            }
            Made::Pass(_) if ownership => {}
            Made::Take if !self.transfer_takes() && failure.may_be_the_owner() => {
                self.refusal_in_question(ClaimStep::Take, failure, now);
            }
            Made::Request if failure.may_be_the_owner() => {
                self.intervention.request_ended();
                self.refusal_in_question(ClaimStep::Request, failure, now);
            }
            Made::Take if !self.transfer_takes() => {
                self.claim_refused(cx, ClaimStep::Take, failure, now, out);
            }
            Made::Release if ownership => self.transfer_reached(),
            Made::Request => {
                self.intervention.request_ended();
                self.claim_refused(cx, ClaimStep::Request, failure, now, out);
            }
            Made::AskDesk(Direction::AgentToBot) => {
                self.claim_refused(cx, ClaimStep::AskDesk, failure, now, out);
            }
            Made::AskDesk(Direction::BotToAgent) if cx.config.desk.is_some() => self.set_stage(Stage::Direct),
            Made::Pass(_) => self.pass_refused(failure),
            Made::Take | Made::Release | Made::AskDesk(Direction::BotToAgent) => {
                self.transfer_failed(failure);
            }
            // Some Pages return an error if the owner is hidden (docs/protocol.md#thread-owner).
            Made::ReadOwner => {
                self.belief.could_not_be_read();
                self.refusal_looked_into(cx, now, out);
            }
        }
    }

    /// The platform may have acted: read the owner or wait for the echo, never guess.
    fn unknown(
        &mut self,
        cx: &Context<'_>,
        made: &Made,
        cause: Failure,
        during: Span,
        out: &mut Vec<Output>,
    ) {
        let now = during.to;
        match made {
            Made::Send(key) if cx.config.is(Broken::SendsAgain) => self.outbox.not_sent(key, false),
            Made::Send(key) => {
                if self.outbox.farewell(key).is_some_and(|(_, inline)| inline) {
                    self.belief.lose_certainty(during);
                }
                let grace = if cx.config.echoes { cx.config.timeouts.echo_grace } else { Duration::ZERO };
                return self.outbox.await_echo(key, now.plus(grace), cause);
            }
            // The request may have been forwarded, so wait for control. If it does not come, the owner is read and
            // the request repeated.
            Made::Request | Made::AskDesk(Direction::AgentToBot) => {
                let step = if *made == Made::Request { ClaimStep::Request } else { ClaimStep::AskDesk };
                return match self.decide(cx, made, &cause, true) {
                    None => {
                        self.pause.faults = 0;
                        self.claim_refused(cx, step, cause, now, out);
                    }
                    Some(wait) => {
                        self.pause.faults += 1;
                        self.claim_unsure(cx, step, now.plus(wait));
                    }
                };
            }
            Made::AskDesk(Direction::BotToAgent) => {
                return self.set_stage(Stage::Asked { until: cx.grant_until(now) });
            }
            Made::Pass(_) | Made::Take | Made::Release => {
                let (had_control, was_idle) =
                    (*self.belief.owner() == Owner::Us, *self.belief.owner() == Owner::Idle);
                self.belief.lose_certainty(during);
                match made {
                    // These claim control and are repeated if it does not come.
                    Made::Take if !self.transfer_takes() => self.claim_may_have_taken(),
                    Made::Pass(to) if *to == cx.config.app => self.claim_may_have_taken(),
                    Made::Pass(to) if self.requests.granted() == Some(to) => {
                        self.requests.may_have_gone(to, !was_idle);
                    }
                    _ => self.transfer_may_have_gone(had_control),
                }
            }
            Made::ReadOwner => {}
        }
        self.passing_fault(cx, made, cause, *made != Made::ReadOwner, now, out);
    }
}

fn owner_for(owner: ThreadOwner, us: &AppId) -> (Owner, Option<Timestamp>) {
    match owner {
        ThreadOwner::App { app, expires } if app == *us => (Owner::Us, expires),
        ThreadOwner::App { app, expires } => (Owner::Other(Some(app)), expires),
        ThreadOwner::Hidden { expires } => (Owner::Other(None), expires),
        ThreadOwner::Idle => (Owner::Idle, None),
    }
}
