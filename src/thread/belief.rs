use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::AppId;
use crate::time::{Span, Timestamp};

/// How long control lasts without activity.
const DAY: Duration = Duration::from_hours(24);

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
pub(super) struct Belief {
    owner: Owner,
    basis: Option<(Span, Evidence)>,
    /// Changes with each event that says something about ownership.
    revision: u32,
    /// When the owner's control lapses, if the platform told.
    expires: Option<Timestamp>,
    /// The evidence contradicts itself: `thread_owner` must decide.
    pub(super) in_doubt: bool,
    /// An answer said that control is ours, and the event of it has not come yet.
    #[serde(default)]
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
        } else if is_old(at, basis, evidence, tolerance) {
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
    pub(super) fn event_of_nobody(&mut self, at: Span, tolerance: Duration) -> bool {
        let old = self.basis.is_some_and(|(basis, evidence)| is_old(at, basis, evidence, tolerance));
        if !old {
            self.lose_certainty(at);
        }
        !old
    }

    /// An API answer to a call made during `call`, when the belief had `revision`.
    pub(super) fn answer(&mut self, owner: Owner, call: Span, revision: u32, expires: Option<Timestamp>) {
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
    pub(super) fn seen_on_messaging(&mut self, at: Span, tolerance: Duration) {
        let newer = self.basis.is_none_or(|(basis, _)| at.is_after(basis));
        let close = |(basis, evidence): (Span, Evidence)| {
            evidence == Evidence::Answer && at.to >= basis.from.minus(tolerance)
        };
        if !newer && matches!(self.owner, Owner::Other(_)) && self.basis.is_some_and(close) {
            // Control may have come back before we were told that it had gone.
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
        let heard = self.basis.map(|(basis, _)| basis.to.plus(DAY));
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

/// Whether an event is certainly older than what the belief rests on. An answer was placed by another
/// clock, which may be off by the tolerance.
fn is_old(at: Span, basis: Span, evidence: Evidence, tolerance: Duration) -> bool {
    at.is_before(basis) && (evidence != Evidence::Answer || at.to < basis.from.minus(tolerance))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(5);
    const BASE: u64 = 1_700_000_000_000;

    fn at(ms: u64) -> Span {
        Span::from_platform(BASE + ms)
    }

    fn during(from: u64, to: u64) -> Span {
        Span::between(Timestamp::from_millis(BASE + from), Timestamp::from_millis(BASE + to))
    }

    fn other(app: u64) -> Owner {
        Owner::Other(Some(AppId::from(app)))
    }

    #[test]
    fn the_last_writer_wins_by_stamp_not_by_arrival() {
        let mut belief = Belief::default();
        belief.event(other(1), at(200), TOLERANCE);
        assert!(!belief.event(Owner::Us, at(100), TOLERANCE), "an old event flips nothing");
        assert_eq!(*belief.owner(), other(1));
        belief.event(Owner::Us, at(300), TOLERANCE);
        assert_eq!(*belief.owner(), Owner::Us);
    }

    #[test]
    fn an_event_that_names_nobody_ends_what_is_believed_unless_it_is_old() {
        let mut belief = Belief::default();
        belief.event(Owner::Us, at(200), TOLERANCE);
        assert!(!belief.event_of_nobody(at(100), TOLERANCE));
        assert!(*belief.owner() == Owner::Us && !belief.in_doubt);
        assert!(belief.event_of_nobody(at(300), TOLERANCE));
        assert!(*belief.owner() == Owner::Unknown && belief.in_doubt);
    }

    #[test]
    fn overlapping_stamps_that_disagree_are_in_doubt() {
        let mut belief = Belief::default();
        belief.event(other(1), at(200), TOLERANCE);
        belief.event(Owner::Us, at(200), TOLERANCE);
        assert!(*belief.owner() == Owner::Unknown && belief.in_doubt);

        let mut belief = Belief::default();
        belief.event(other(1), Span::from_platform(BASE / 1000), TOLERANCE);
        belief.event(Owner::Us, at(500), TOLERANCE);
        assert!(belief.in_doubt, "a stamp in seconds covers its whole second");
        belief.event(Owner::Us, at(1500), TOLERANCE);
        assert!(*belief.owner() == Owner::Us && !belief.in_doubt);
    }

    #[test]
    fn what_is_older_than_a_call_without_an_outcome_does_not_end_the_doubt() {
        let mut belief = Belief::default();
        belief.lose_certainty(during(100, 120));
        belief.event(Owner::Us, at(90), TOLERANCE);
        assert!(*belief.owner() == Owner::Unknown && belief.in_doubt, "told late");
        belief.event(other(1), at(130), TOLERANCE);
        assert!(*belief.owner() == other(1) && !belief.in_doubt);
    }

    #[test]
    fn an_answer_never_overrides_an_event_that_came_meanwhile() {
        let mut belief = Belief::default();
        let revision = belief.revision();
        belief.event(other(1), at(120), TOLERANCE);
        belief.answer(Owner::Us, during(100, 130), revision, None);
        assert!(*belief.owner() == Owner::Unknown && belief.in_doubt);

        let revision = belief.revision();
        belief.answer(Owner::Us, during(140, 150), revision, None);
        assert!(*belief.owner() == Owner::Us && !belief.in_doubt);
    }

    #[test]
    fn an_answer_that_agrees_with_an_event_is_the_later_evidence() {
        let mut belief = Belief::default();
        let revision = belief.revision();
        belief.event(Owner::Other(None), at(50), TOLERANCE);
        belief.answer(other(1), during(100, 120), revision, None);
        belief.event(Owner::Us, at(110), TOLERANCE);
        assert!(*belief.owner() == Owner::Unknown && belief.in_doubt, "it may be from before the answer");
    }

    #[test]
    fn an_event_close_before_an_answer_is_in_doubt_and_one_long_before_is_old() {
        let settled = || {
            let mut belief = Belief::default();
            belief.answer(other(1), during(60_000, 60_100), 0, None);
            belief
        };
        let mut belief = settled();
        belief.event(Owner::Us, at(59_000), TOLERANCE);
        assert!(belief.in_doubt, "the clocks may differ by that much");
        let mut belief = settled();
        assert!(!belief.event(Owner::Us, at(1_000), TOLERANCE));
        assert_eq!(*belief.owner(), other(1));
        let mut belief = settled();
        belief.event(Owner::Us, at(60_200), TOLERANCE);
        assert_eq!(*belief.owner(), Owner::Us);
    }

    /// Found by long random schedules: the clock was behind the platform's, control was gained, went on with
    /// a farewell, and only then it was told that it had been gained.
    #[test]
    fn the_event_of_control_that_is_gone_again_does_not_bring_it_back() {
        let gone = || {
            let mut belief = Belief::default();
            belief.answer(Owner::Us, during(1_000, 1_007), belief.revision(), None);
            belief.answer(other(1), during(1_020, 1_027), belief.revision(), None);
            belief
        };
        let mut belief = gone();
        belief.event(Owner::Us, at(2_500), TOLERANCE);
        assert!(*belief.owner() == Owner::Unknown && belief.in_doubt, "it is read who has control");
        belief.answer(other(1), during(1_040, 1_047), belief.revision(), None);
        belief.event(Owner::Us, at(2_700), TOLERANCE);
        assert_eq!(*belief.owner(), Owner::Us, "another one is news");

        let mut belief = gone();
        belief.event(Owner::Us, at(7_000), TOLERANCE);
        assert_eq!(*belief.owner(), Owner::Us, "clocks do not differ by so much");
    }

    #[test]
    fn deliveries_are_weak_evidence() {
        let mut belief = Belief::default();
        belief.seen_on_messaging(at(10), TOLERANCE);
        assert_eq!(*belief.owner(), Owner::Unknown, "messaging alone proves nothing");
        belief.seen_on_standby(at(20), TOLERANCE);
        assert_eq!(*belief.owner(), Owner::Other(None));
        belief.seen_on_messaging(at(15), TOLERANCE);
        assert_eq!(*belief.owner(), Owner::Other(None), "an older delivery changes nothing");
        belief.seen_on_messaging(at(30), TOLERANCE);
        assert_eq!(*belief.owner(), Owner::Unknown);
        belief.event(Owner::Us, at(40), TOLERANCE);
        belief.seen_on_standby(at(35), TOLERANCE);
        assert_eq!(*belief.owner(), Owner::Us);
        belief.seen_on_standby(at(50), TOLERANCE);
        assert_eq!(*belief.owner(), Owner::Other(None));
    }

    /// Found by the model checker: the message that the new owner reads overtakes the event that made it so.
    #[test]
    fn a_delivery_does_not_outdate_the_pass_before_it() {
        let mut belief = Belief::default();
        belief.seen_on_standby(at(10), TOLERANCE);
        belief.seen_on_messaging(at(30), TOLERANCE);
        assert!(!belief.event(other(1), at(20), TOLERANCE), "then it would not have come on messaging");
        assert!(!belief.event(Owner::Us, at(5), TOLERANCE), "that was before the standby copy");
        assert!(belief.event(Owner::Us, at(20), TOLERANCE));
        assert_eq!(*belief.owner(), Owner::Us);
        assert!(!belief.event(other(1), at(25), TOLERANCE) || belief.in_doubt);
    }

    /// Found by the model checker: control was passed on, released and came back while the answer of the pass was
    /// under way. The message would be nobody's.
    #[test]
    fn a_delivery_during_the_call_that_gave_control_away_is_in_doubt() {
        let passed = || {
            let mut belief = Belief::default();
            belief.answer(other(1), during(10_000, 10_050), 0, None);
            belief
        };
        let mut belief = passed();
        belief.seen_on_messaging(at(10_020), TOLERANCE);
        assert!(*belief.owner() == Owner::Unknown && belief.in_doubt);
        let mut belief = passed();
        belief.seen_on_messaging(at(4_000), TOLERANCE);
        assert_eq!(*belief.owner(), other(1), "long before");
    }

    #[test]
    fn a_named_owner_is_not_forgotten_for_an_unnamed_one() {
        let mut belief = Belief::default();
        belief.event(other(7), at(10), TOLERANCE);
        belief.answer(Owner::Other(None), during(20, 30), belief.revision(), None);
        assert_eq!(*belief.owner(), other(7));
        belief.seen_on_standby(at(40), TOLERANCE);
        assert_eq!(*belief.owner(), other(7));
    }

    #[test]
    fn a_known_expiry_lapses() {
        let mut belief = Belief::default();
        let expires = Timestamp::from_millis(BASE + 500);
        belief.answer(other(7), during(0, 1), 0, Some(expires));
        belief.lapse(Timestamp::from_millis(BASE + 499), None);
        assert_eq!(*belief.owner(), other(7));
        belief.lapse(expires, None);
        assert_eq!(*belief.owner(), Owner::Unknown);
    }

    /// Nobody is told of an expiry.
    #[test]
    fn what_was_heard_a_day_ago_is_not_known_any_more() {
        let later = |ms| Timestamp::from_millis(BASE + ms).plus(DAY);
        let mut belief = Belief::default();
        belief.event(Owner::Us, at(10), TOLERANCE);
        belief.lapse(later(9), None);
        belief.lapse(later(10), Some(later(20)));
        assert_eq!(*belief.owner(), Owner::Us, "the customer wrote meanwhile");
        belief.lapse(later(20), Some(later(20)));
        assert_eq!(*belief.owner(), Owner::Unknown);
    }
}
