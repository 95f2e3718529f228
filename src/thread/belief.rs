//! The believed owner of a thread, from events, deliveries and outcomes of calls.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::AppId;
use crate::time::{Span, Timestamp};

use super::is_default;

/// Control lasts this long without activity.
pub(super) const CONTROL_LASTS: Duration = Duration::from_secs(24 * 60 * 60);

/// The believed owner of a thread. It saves calls; the platform decides.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Owner {
    /// Not known.
    #[default]
    Unknown,
    /// No app owns the thread.
    Idle,
    /// Our own app.
    Us,
    /// Another app, with its id if the platform shows it.
    Other(Option<AppId>),
}

impl Owner {
    /// Whether both can be true at once: an unnamed owner may be any named one.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(a), Self::Other(b)) => a.is_none() || b.is_none() || a == b,
            _ => self == other,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Evidence {
    /// A webhook event, stamped by the platform's clock.
    Event,
    /// The outcome of a call, placed by our own clock.
    Answer,
    /// A delivery on `messaging`, with the time of the earlier evidence.
    Messaging(Option<Span>),
}

/// The believed owner and its evidence.
///
/// Control events are applied by the platform's stamp, the latest wins; if two stamps overlap and the owners differ,
/// the owner is unknown and `thread_owner` is read. The outcome of a call carries no stamp, so it never overrides an
/// event that came while the call ran.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Belief {
    #[serde(skip_serializing_if = "is_default")]
    owner: Owner,
    #[serde(skip_serializing_if = "is_default")]
    basis: Option<(Span, Evidence)>,
    /// Incremented by each event about ownership.
    #[serde(skip_serializing_if = "is_default")]
    revision: u32,
    /// The end of the owner's control, if the platform names it.
    #[serde(skip_serializing_if = "is_default")]
    expires: Option<Timestamp>,
    /// Whether the evidence contradicts itself, so that `thread_owner` must be read.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) in_doubt: bool,
    /// Whether the outcome of a call gave us control and its event has not come yet.
    #[serde(skip_serializing_if = "is_default")]
    untold: bool,
}

impl Belief {
    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether the owner of a thread that was another app's at this time may still be another app.
    pub(super) fn may_be_elsewhere_since(&self, at: Span) -> bool {
        match self.owner {
            Owner::Other(_) => true,
            Owner::Unknown => self.basis.is_some_and(|(basis, _)| basis == at),
            Owner::Us | Owner::Idle => false,
        }
    }

    pub(super) fn revision(&self) -> u32 {
        self.revision
    }

    /// Applies a pass or take event. Returns whether it changed or confirmed anything.
    pub(super) fn event(&mut self, owner: Owner, at: Span, tolerance: Duration) -> bool {
        let Some((basis, evidence)) = self.basis else {
            self.set(owner, at, Evidence::Event);
            return true;
        };
        let agrees = self.owner.agrees(&owner);
        // This may be the late event of control that we gained by a call and lost by another. Two clocks placed the
        // evidence, so the event may seem to be later than the loss.
        let long_known = owner == Owner::Us
            && std::mem::take(&mut self.untold)
            && evidence == Evidence::Answer
            && at.from <= basis.to.plus(tolerance);
        if let Evidence::Messaging(before) = evidence
            && owner == Owner::Us
            && before.is_none_or(|before| at.is_after(before))
        {
            // Control was ours when the message was delivered, so the two agree.
            self.set(owner, Span { from: at.from, to: at.to.max(basis.to) }, Evidence::Event);
        } else if at.is_after(basis) && (agrees || !long_known) {
            let owner = if agrees { self.more_precise(owner) } else { owner };
            self.set(owner, at, Evidence::Event);
        } else if agrees && self.owner != Owner::Unknown {
            self.owner = self.more_precise(owner);
        } else if is_old(at, basis, evidence) && !(owner == Owner::Us && evidence.is_against(at)) {
            return false;
        } else {
            self.doubt(at, Evidence::Event);
        }
        true
    }

    /// Applies a pass or take event whatever its stamp, for the broken design `EventsAsTheyArrive`.
    pub(super) fn arrived(&mut self, owner: Owner, at: Span) -> bool {
        self.set(owner, at, Evidence::Event);
        true
    }

    /// Applies a pass or take event that names no new owner. Returns whether it changed anything.
    pub(super) fn event_of_nobody(&mut self, at: Span) -> bool {
        let old = self.basis.is_some_and(|(basis, evidence)| is_old(at, basis, evidence));
        if !old {
            self.lose_certainty(at);
        }
        !old
    }

    /// Applies the outcome of a call made during `call`, when the belief had `revision`.
    pub(super) fn confirm(&mut self, owner: Owner, call: Span, revision: u32, expires: Option<Timestamp>) {
        let agrees = self.owner.agrees(&owner);
        if revision == self.revision {
            // Evidence from before the call is older than its outcome, by any clock.
            let to = self.basis.map_or(call.to, |(basis, _)| basis.to.max(call.to));
            let owner = if agrees { self.more_precise(owner) } else { owner };
            self.untold |= owner == Owner::Us && !agrees;
            self.owner = owner;
            self.basis = Some((Span { from: call.from, to }, Evidence::Answer));
            self.expires = expires;
            self.in_doubt = false;
        } else if agrees && self.owner != Owner::Unknown {
            self.owner = self.more_precise(owner);
            self.expires = expires.or(self.expires);
            // The event and the outcome agree, so the owner was still the same during the call.
            let later =
                |(basis, _): (Span, _)| Span { from: basis.from.max(call.from), to: basis.to.max(call.to) };
            self.basis = Some((self.basis.map_or(call, later), Evidence::Answer));
        } else {
            self.doubt(call, Evidence::Answer);
        }
    }

    /// A delivery on `standby`: another app owned the thread then.
    pub(super) fn seen_on_standby(&mut self, at: Span, tolerance: Duration) {
        let newer = self.basis.is_none_or(|(basis, _)| at.is_after(basis));
        if !newer {
            return;
        }
        match (&self.owner, self.basis) {
            // Two clocks placed these, close together: the delivery may be from before our call.
            (Owner::Us, Some((basis, Evidence::Answer))) if at.from <= basis.to.plus(tolerance) => {
                self.set(Owner::Unknown, at, Evidence::Event);
            }
            (Owner::Other(name), _) => {
                let owner = Owner::Other(name.clone());
                self.set(owner, at, Evidence::Event);
            }
            _ => self.set(Owner::Other(None), at, Evidence::Event),
        }
    }

    /// A delivery on `messaging`: it proves nothing, but is evidence against another owner.
    pub(super) fn seen_on_messaging(&mut self, at: Span) {
        let newer = self.basis.is_none_or(|(basis, _)| at.is_after(basis));
        let is_answer = self.basis.is_some_and(|(_, evidence)| evidence == Evidence::Answer);
        if !newer && matches!(self.owner, Owner::Other(_)) && is_answer {
            // Control may have come back before we were notified that it had left, or our clock is ahead.
            self.doubt(at, Evidence::Answer);
        } else if newer && matches!(self.owner, Owner::Other(_) | Owner::Idle) {
            let before = self.basis.map(|(basis, _)| basis);
            self.set(Owner::Unknown, at, Evidence::Messaging(before));
        }
    }

    /// Expires control. If the platform names no end, control lasts at most [24 h](crate::protocol#idle) after the
    /// last evidence, or until `active`, which follows from the customer's last message.
    pub(super) fn lapse(&mut self, now: Timestamp, active: Option<Timestamp>) {
        let heard = self.basis.map(|(basis, _)| basis.to.plus(CONTROL_LASTS));
        let untold =
            self.expires.is_none() && heard.is_some_and(|heard| heard.max(active.unwrap_or(heard)) <= now);
        if untold && matches!(self.owner, Owner::Us | Owner::Other(_)) {
            self.owner = Owner::Unknown;
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            self.owner = Owner::Unknown;
            self.expires = None;
        }
    }

    /// The owner may have changed during this time to an unknown app, by a call with an unknown outcome or in an
    /// event that names no owner. Earlier events no longer count, however late they arrive.
    pub(super) fn lose_certainty(&mut self, during: Span) {
        self.doubt(during, Evidence::Answer);
    }

    /// The owner may change while it is read.
    pub(super) fn changed(&mut self) {
        self.revision = self.revision.wrapping_add(1);
    }

    /// The owner cannot be read. A belief that the thread is idle may be old, so it is dropped.
    pub(super) fn could_not_be_read(&mut self) {
        self.in_doubt = false;
        if self.owner == Owner::Idle {
            self.owner = Owner::Unknown;
        }
    }

    fn doubt(&mut self, at: Span, evidence: Evidence) {
        let span = self
            .basis
            .map_or(at, |(basis, _)| Span { from: basis.from.max(at.from), to: basis.to.max(at.to) });
        self.set(Owner::Unknown, span, evidence);
        self.in_doubt = true;
    }

    fn set(&mut self, owner: Owner, at: Span, evidence: Evidence) {
        self.owner = owner;
        self.basis = Some((at, evidence));
        self.revision = self.revision.wrapping_add(1);
        self.expires = None;
        self.in_doubt = false;
    }

    fn more_precise(&self, owner: Owner) -> Owner {
        match (&self.owner, &owner) {
            (Owner::Other(Some(_)), Owner::Other(None)) => self.owner.clone(),
            _ => owner,
        }
    }
}

impl Evidence {
    /// Whether a message was delivered to us at a time when control may not have been ours yet.
    fn is_against(self, at: Span) -> bool {
        matches!(self, Self::Messaging(Some(before)) if !at.is_before(before))
    }
}

/// Whether an event is certainly older than the evidence. The outcome of a call was placed by our own clock, which
/// may be hours off, so an event is never certainly older than one: the owner is read instead.
fn is_old(at: Span, basis: Span, evidence: Evidence) -> bool {
    at.is_before(basis) && evidence != Evidence::Answer
}
