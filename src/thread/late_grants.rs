//! Claims that nobody needs any more, and control that comes all the same: a desk gives it back.

use crate::policy::Role;
use crate::time::Timestamp;

use super::config::Context;
use super::outbox::Head;
use super::terms::{ClaimOrigin, Target};
use super::{Made, Thread};

impl Thread {
    /// Ends the open claim if no message waits for it and nothing else may need it: it was for messages only, or it is a
    /// bot's while people are busy.
    pub(super) fn end_needless_claim(&mut self, cx: &Context<'_>, now: Timestamp) {
        let Some(claim) = self.claim.as_ref().filter(|_| !matches!(self.outbox.head(), Head::Ready(..)))
        else {
            return;
        };
        if claim.origin == ClaimOrigin::Message {
            self.abandon_claim(cx, now);
        } else if self.is_silent(cx) {
            self.claim_not_granted(cx, None, now);
        }
    }

    /// Drops the open claim because nobody needs it. Control may still be granted.
    pub(super) fn abandon_claim(&mut self, cx: &Context<'_>, now: Timestamp) {
        let Some(claim) = self.claim.take() else { return };
        let asking = matches!(
            self.in_flight.as_ref().map(|call| &call.made),
            Some(Made::Request | Made::Take | Made::Pass(_))
        );
        self.may_still_be_granted(cx, asking || claim.may_be_granted(), now);
    }

    /// Makes a desk release control that is granted after the claim has ended.
    pub(super) fn may_still_be_granted(&mut self, cx: &Context<'_>, asked: bool, now: Timestamp) {
        if asked && cx.config.role == Role::Desk {
            self.intervention.give_back_when_gained(now);
        }
    }

    /// Releases control that came now, if it was requested earlier and nobody needs it.
    pub(super) fn give_back_late_grant(&mut self, now: Timestamp) {
        if self.intervention.may_give_back()
            && self.intervention.take_give_back(now)
            && !self.outbox.wants_control()
            && self.transfer.is_none()
        {
            self.start_transfer(Target::Nobody);
        }
    }
}
