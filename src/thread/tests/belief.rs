//! Tests of the belief: events, deliveries and outcomes of calls in every order.

use std::time::Duration;

use crate::id::AppId;
use crate::thread::Owner;
use crate::thread::belief::Belief;
use crate::time::{Span, Timestamp};

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
    assert!(!belief.event_of_nobody(at(100)));
    assert!(*belief.owner() == Owner::Us && !belief.in_doubt);
    assert!(belief.event_of_nobody(at(300)));
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
    belief.confirm(Owner::Us, during(100, 130), revision, None);
    assert!(*belief.owner() == Owner::Unknown && belief.in_doubt);

    let revision = belief.revision();
    belief.confirm(Owner::Us, during(140, 150), revision, None);
    assert!(*belief.owner() == Owner::Us && !belief.in_doubt);
}

#[test]
fn an_answer_that_agrees_with_an_event_is_the_later_evidence() {
    let mut belief = Belief::default();
    let revision = belief.revision();
    belief.event(Owner::Other(None), at(50), TOLERANCE);
    belief.confirm(other(1), during(100, 120), revision, None);
    belief.event(Owner::Us, at(110), TOLERANCE);
    assert!(*belief.owner() == Owner::Unknown && belief.in_doubt, "it may be from before the answer");
}

#[test]
fn an_event_that_seems_older_than_an_answer_is_in_doubt() {
    let settled = || {
        let mut belief = Belief::default();
        belief.confirm(other(1), during(60_000, 60_100), 0, None);
        belief
    };
    // Our clock may be hours ahead of the platform's, and the event newer.
    for millis in [59_000, 1_000, 0] {
        let mut belief = settled();
        assert!(belief.event(Owner::Us, at(millis), TOLERANCE));
        assert!(belief.in_doubt, "{millis}");
        let mut belief = settled();
        assert!(belief.event_of_nobody(at(millis)) && belief.in_doubt, "{millis}");
    }
    let mut belief = settled();
    belief.event(Owner::Us, at(60_200), TOLERANCE);
    assert_eq!(*belief.owner(), Owner::Us);
}

/// Found by long random schedules: our clock was behind the platform's, control was gained, left with a farewell, and
/// only then the event of its gain arrived.
#[test]
fn the_event_of_control_that_is_gone_again_does_not_bring_it_back() {
    let gone = || {
        let mut belief = Belief::default();
        belief.confirm(Owner::Us, during(1_000, 1_007), belief.revision(), None);
        belief.confirm(other(1), during(1_020, 1_027), belief.revision(), None);
        belief
    };
    let mut belief = gone();
    belief.event(Owner::Us, at(2_500), TOLERANCE);
    assert!(*belief.owner() == Owner::Unknown && belief.in_doubt, "it is read who has control");
    belief.confirm(other(1), during(1_040, 1_047), belief.revision(), None);
    belief.event(Owner::Us, at(2_700), TOLERANCE);
    assert_eq!(*belief.owner(), Owner::Us, "another one is news");

    let mut belief = gone();
    belief.event(Owner::Us, at(7_000), TOLERANCE);
    assert_eq!(*belief.owner(), Owner::Us, "clocks do not differ by so much");
}

#[test]
fn deliveries_are_weak_evidence() {
    let mut belief = Belief::default();
    belief.seen_on_messaging(at(10));
    assert_eq!(*belief.owner(), Owner::Unknown, "messaging alone proves nothing");
    belief.seen_on_standby(at(20), TOLERANCE);
    assert_eq!(*belief.owner(), Owner::Other(None));
    belief.seen_on_messaging(at(15));
    assert_eq!(*belief.owner(), Owner::Other(None), "an older delivery changes nothing");
    belief.seen_on_messaging(at(30));
    assert_eq!(*belief.owner(), Owner::Unknown);
    belief.event(Owner::Us, at(40), TOLERANCE);
    belief.seen_on_standby(at(35), TOLERANCE);
    assert_eq!(*belief.owner(), Owner::Us);
    belief.seen_on_standby(at(50), TOLERANCE);
    assert_eq!(*belief.owner(), Owner::Other(None));
}

/// Found by the model checker: the message for the new owner arrives before the event that made it the owner.
#[test]
fn a_delivery_does_not_outdate_the_pass_before_it() {
    let mut belief = Belief::default();
    belief.seen_on_standby(at(10), TOLERANCE);
    belief.seen_on_messaging(at(30));
    assert!(!belief.event(other(1), at(20), TOLERANCE), "then it would not have come on messaging");
    assert!(!belief.event(Owner::Us, at(5), TOLERANCE), "that was before the standby copy");
    assert!(belief.event(Owner::Us, at(20), TOLERANCE));
    assert_eq!(*belief.owner(), Owner::Us);
    assert!(!belief.event(other(1), at(25), TOLERANCE) || belief.in_doubt);
}

/// Found by the model checker: control was passed on, released and came back while the pass was under way. Otherwise
/// no app would answer the message.
#[test]
fn a_delivery_during_the_call_that_gave_control_away_is_in_doubt() {
    let passed = || {
        let mut belief = Belief::default();
        belief.confirm(other(1), during(10_000, 10_050), 0, None);
        belief
    };
    // However long before, by a clock that may be ahead of the platform's.
    for millis in [10_020, 4_000] {
        let mut belief = passed();
        belief.seen_on_messaging(at(millis));
        assert!(*belief.owner() == Owner::Unknown && belief.in_doubt, "{millis}");
    }
}

#[test]
fn a_named_owner_is_not_forgotten_for_an_unnamed_one() {
    let mut belief = Belief::default();
    belief.event(other(7), at(10), TOLERANCE);
    belief.confirm(Owner::Other(None), during(20, 30), belief.revision(), None);
    assert_eq!(*belief.owner(), other(7));
    belief.seen_on_standby(at(40), TOLERANCE);
    assert_eq!(*belief.owner(), other(7));
}

#[test]
fn a_known_expiry_lapses() {
    let mut belief = Belief::default();
    let expires = Timestamp::from_millis(BASE + 500);
    belief.confirm(other(7), during(0, 1), 0, Some(expires));
    belief.lapse(Timestamp::from_millis(BASE + 499), None);
    assert_eq!(*belief.owner(), other(7));
    belief.lapse(expires, None);
    assert_eq!(*belief.owner(), Owner::Unknown);
}

/// An expiry sends no event.
#[test]
fn what_was_heard_a_day_ago_is_not_known_any_more() {
    let later = |ms| Timestamp::from_millis(BASE + ms).plus(Duration::from_hours(24));
    let mut belief = Belief::default();
    belief.event(Owner::Us, at(10), TOLERANCE);
    belief.lapse(later(9), None);
    belief.lapse(later(10), Some(later(20)));
    assert_eq!(*belief.owner(), Owner::Us, "the customer wrote meanwhile");
    belief.lapse(later(20), Some(later(20)));
    assert_eq!(*belief.owner(), Owner::Unknown);
}

/// Evidence that agrees with the belief is no contradiction, and may be more precise.
#[test]
fn what_agrees_makes_more_precise_and_no_doubt() {
    let mut belief = Belief::default();
    belief.confirm(Owner::Other(None), during(100, 110), belief.revision(), None);
    assert!(belief.event(other(1), at(105), TOLERANCE));
    assert_eq!((belief.owner(), belief.in_doubt), (&other(1), false));

    let mut belief = Belief::default();
    let before = belief.revision();
    assert!(belief.event(Owner::Us, at(100), TOLERANCE));
    belief.confirm(Owner::Us, during(90, 110), before, None);
    assert_eq!((belief.owner(), belief.in_doubt), (&Owner::Us, false));
    belief.confirm(other(1), during(90, 120), before, None);
    assert!(belief.in_doubt, "what contradicts it does");
}
