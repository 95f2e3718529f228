use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::AppId;
use crate::time::{Span, Timestamp};

use super::is_default;

/// How long control lasts without activity.
pub(super) const CONTROL_LASTS: Duration = Duration::from_hours(24);

/// Who is believed to own the thread. A hint: it saves round trips, the platform decides.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Owner {
    /// Not known.
    #[default]
    Unknown,
    /// Nobody.
    Idle,
    /// Our own app.
    Us,
    /// Another app, named if we may see it.
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
    /// Stamped by the platform's clock.
    Event,
    /// An API answer, placed by our own clock.
    Answer,
    /// A delivery on `messaging`, after what the belief rested on before.
    Messaging(Option<Span>),
}

/// The owner we believe in, and what that rests on.
///
/// Control events are applied last-writer-wins on the platform's stamp; where two stamps overlap and
/// the owners differ, nothing is believed and `thread_owner` is read. An answer carries no stamp: it
/// never overrides an event that came while the call ran.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Belief {
    #[serde(skip_serializing_if = "is_default")]
    owner: Owner,
    #[serde(skip_serializing_if = "is_default")]
    basis: Option<(Span, Evidence)>,
    /// Changes with each event that says something about ownership.
    #[serde(skip_serializing_if = "is_default")]
    revision: u32,
    /// When the owner's control lapses, if the platform told.
    #[serde(skip_serializing_if = "is_default")]
    expires: Option<Timestamp>,
    /// The evidence contradicts itself: `thread_owner` must decide.
    #[serde(skip_serializing_if = "is_default")]
    pub(super) in_doubt: bool,
    /// An answer said that control is ours, and the event of it has not come yet.
    #[serde(skip_serializing_if = "is_default")]
    untold: bool,
}

impl Belief {
    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(super) fn revision(&self) -> u32 {
        self.revision
    }

    /// A pass or take event. Answers whether anything was learnt.
    pub(super) fn event(&mut self, owner: Owner, at: Span, tolerance: Duration) -> bool {
        let Some((basis, evidence)) = self.basis else {
            self.set(owner, at, Evidence::Event);
            return true;
        };
        let agrees = self.owner.agrees(&owner);
        // Perhaps only now it is told how control became ours that is gone again by an answer. Two clocks
        // placed them, so that it may seem to be the later one.
        let long_known = owner == Owner::Us
            && std::mem::take(&mut self.untold)
            && evidence == Evidence::Answer
            && at.from <= basis.to.plus(tolerance);
        if let Evidence::Messaging(before) = evidence
            && owner == Owner::Us
            && before.is_none_or(|before| at.is_after(before))
        {
            // It was ours when that was delivered: the two fit.
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

    /// A pass or take event, wherever its stamp stands: what the shipped design does not do.
    pub(super) fn arrived(&mut self, owner: Owner, at: Span) -> bool {
        self.set(owner, at, Evidence::Event);
        true
    }

    /// A pass or take event that names nobody we know. Answers whether anything was learnt.
    pub(super) fn event_of_nobody(&mut self, at: Span) -> bool {
        let old = self.basis.is_some_and(|(basis, evidence)| is_old(at, basis, evidence));
        if !old {
            self.lose_certainty(at);
        }
        !old
    }

    /// An API answer to a call made during `call`, when the belief had `revision`.
    pub(super) fn confirm(&mut self, owner: Owner, call: Span, revision: u32, expires: Option<Timestamp>) {
        let agrees = self.owner.agrees(&owner);
        if revision == self.revision {
            // What came before the call is older than its answer, whatever the clocks say.
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
            // The event and the answer say the same: it was still so during the call.
            let later =
                |(basis, _): (Span, _)| Span { from: basis.from.max(call.from), to: basis.to.max(call.to) };
            self.basis = Some((self.basis.map_or(call, later), Evidence::Answer));
        } else {
            self.doubt(call, Evidence::Answer);
        }
    }

    /// A delivery on standby: somebody else owned the thread then.
    pub(super) fn seen_on_standby(&mut self, at: Span, tolerance: Duration) {
        let newer = self.basis.is_none_or(|(basis, _)| at.is_after(basis));
        if !newer {
            return;
        }
        match (&self.owner, self.basis) {
            // Placed by two clocks and close together: it may be from before our answer.
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

    /// A delivery on `messaging`: proves nothing, but speaks against another owner.
    pub(super) fn seen_on_messaging(&mut self, at: Span) {
        let newer = self.basis.is_none_or(|(basis, _)| at.is_after(basis));
        let is_answer = self.basis.is_some_and(|(_, evidence)| evidence == Evidence::Answer);
        if !newer && matches!(self.owner, Owner::Other(_)) && is_answer {
            // Control may have come back before we were told that it had gone, or our clock is ahead.
            self.doubt(at, Evidence::Answer);
        } else if newer && matches!(self.owner, Owner::Other(_) | Owner::Idle) {
            let before = self.basis.map(|(basis, _)| basis);
            self.set(Owner::Unknown, at, Evidence::Messaging(before));
        }
    }

    /// Forgets what has lapsed by now. Where the platform did not tell when control ends it does not last longer than
    /// a day after what was last heard (facts §1.1, §2.2); `active` is until when the customer's last message makes
    /// it last.
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

    /// The owner may have changed at that time, nobody knows to whom: by a call without a known outcome,
    /// or in an event that names nobody. What happened before does not say who has control now, however
    /// late it is told.
    pub(super) fn lose_certainty(&mut self, during: Span) {
        self.doubt(during, Evidence::Answer);
    }

    /// What is being read may have changed meanwhile.
    pub(super) fn changed(&mut self) {
        self.revision = self.revision.wrapping_add(1);
    }

    /// The owner cannot be read. That nobody was may be long ago: it is not to be acted on.
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
    /// A message was delivered to us, of which it is not clear whether control had become ours just before.
    fn is_against(self, at: Span) -> bool {
        matches!(self, Self::Messaging(Some(before)) if !at.is_before(before))
    }
}

/// Whether an event is certainly older than what the belief rests on. An answer was placed by our own clock, which may be
/// hours off: an event that comes for the first time and seems to be older than one is not believed, and the owner is read.
fn is_old(at: Span, basis: Span, evidence: Evidence) -> bool {
    at.is_before(basis) && evidence != Evidence::Answer
}
