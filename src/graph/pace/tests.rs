//! Tests of the scheduling of calls near the platform's limits.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

fn headers(rows: &[(&'static str, &str)]) -> HeaderMap {
    rows.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn page() -> PageId {
    PageId::from(10)
}

fn other() -> PageId {
    PageId::from(11)
}

fn failure(kind: FailureKind, code: i64, retry_after: Option<Duration>) -> Failure {
    let mut failure = Failure::new(kind, "");
    (failure.code, failure.retry_after) = (Some(code), retry_after);
    failure
}

fn after(seconds: u64) -> Turn {
    Turn::After(SECOND * u32::try_from(seconds).unwrap(), None)
}

fn limited(wait: Duration) -> Turn {
    Turn::Refused(wait, Because::LIMIT)
}

impl Pace {
    fn message(&self, page: &PageId, now: Instant) -> Turn {
        self.turn(page, Kind::Message, now)
    }

    /// Records a message that was sent, with these headers in the response.
    fn learnt(&self, probe: Probe, headers: &HeaderMap, now: Instant) {
        self.answered(&page(), Kind::Message, probe, headers, None, now);
    }

    fn refused(&self, probe: Probe, failure: &Failure, now: Instant) {
        self.answered(&page(), Kind::Message, probe, &HeaderMap::new(), Some(failure), now);
    }

    /// Takes a turn that must be a probe.
    #[track_caller]
    fn probe(&self, now: Instant) -> Probe {
        let turn = self.message(&page(), now);
        let Turn::After(Duration::ZERO, probe @ Some(_)) = turn else { panic!("no call tries: {turn:?}") };
        probe
    }
}

#[test]
fn far_from_a_limit_nobody_waits() {
    let (pace, now) = (Pace::default(), Instant::now());
    let usage = [("x-app-usage", r#"{"call_count":28,"total_time":25,"total_cputime":25}"#)];
    pace.learnt(None, &headers(&usage), now);
    assert_eq!(pace.usage_percent(), 28);
    pace.learnt(None, &headers(&[("x-page-usage", "not json"), ("x-app-usage", "[]")]), now);
    for _ in 0..1000 {
        assert_eq!(pace.message(&page(), now), after(0));
    }
}

#[test]
fn near_a_limit_calls_keep_a_distance_and_a_crowd_is_sent_away() {
    let (pace, now) = (Pace::default(), Instant::now());
    let usage = [("x-page-usage", r#"{"call_count":91,"total_time":2,"total_cputime":3}"#)];
    pace.learnt(None, &headers(&usage), now);
    let turns: Vec<_> = (0..4).map(|_| pace.message(&page(), now)).collect();
    assert_eq!(turns, [after(1), after(2), after(3), limited(4 * SECOND)]);
    assert_eq!(pace.message(&other(), now), after(0), "another Page has its own limit");
    // Usage has fallen, so calls are no longer spaced out.
    let later = now + 10 * SECOND;
    pace.learnt(None, &headers(&[("x-page-usage", r#"{"call_count":20}"#)]), later);
    assert_eq!((pace.message(&page(), later), pace.message(&page(), later)), (after(0), after(0)));
}

#[test]
fn the_apps_limit_is_shared_by_its_pages() {
    let (pace, now) = (Pace::default(), Instant::now());
    pace.learnt(None, &headers(&[("x-app-usage", r#"{"call_count":100}"#)]), now);
    assert_eq!(pace.message(&other(), now), limited(BLOCKED));
    let over = now + BLOCKED;
    let probe = pace.probe(over);
    assert_eq!(pace.message(&other(), over), limited(LONGEST_WAIT));
    pace.learnt(probe, &headers(&[("x-app-usage", r#"{"call_count":20}"#)]), over);
    assert_eq!(pace.message(&other(), over), after(0));
}

#[test]
fn minutes_are_minutes_and_the_fullest_row_counts() {
    let usage = r#"{"1":[{"type":"pages","call_count":3,"estimated_time_to_regain_access":0},
        {"type":"messenger","call_count":100,"total_time":25,"estimated_time_to_regain_access":19}],"2":[]}"#;
    let usage = headers(&[("x-business-use-case-usage", &usage.replace('\n', ""))]);
    assert_eq!(regain(&usage), Some(19 * MINUTE));
    let (pace, now) = (Pace::default(), Instant::now());
    pace.learnt(None, &usage, now);
    assert_eq!(pace.message(&page(), now), limited(19 * MINUTE));
    pace.probe(now + 19 * MINUTE);
}

#[test]
fn a_refused_page_is_left_alone_and_code_4_is_about_the_app() {
    let (pace, now) = (Pace::default(), Instant::now());
    pace.refused(None, &failure(FailureKind::RateLimited, 613, Some(30 * SECOND)), now);
    assert_eq!(pace.message(&page(), now), limited(30 * SECOND));
    assert_eq!(pace.message(&other(), now), after(0));
    pace.refused(None, &failure(FailureKind::RateLimited, 4, None), now);
    assert_eq!(pace.message(&other(), now), limited(BLOCKED));
}

/// A probe may be lost, or end inconclusively.
#[test]
fn block_is_tried_again_when_nothing_was_found_out() {
    let (pace, now) = (Pace::default(), Instant::now());
    pace.refused(None, &failure(FailureKind::RateLimited, 4, Some(MINUTE)), now);
    let over = now + MINUTE;
    let probe = pace.probe(over);
    pace.unanswered(&page(), Kind::Message, probe);
    let probe = pace.probe(over);
    pace.refused(probe, &failure(FailureKind::Transient, 2, None), over);
    let probe = pace.probe(over);
    assert_eq!(pace.message(&other(), over + 29 * SECOND), limited(LONGEST_WAIT));
    // The probe gets no response.
    let lost = over + 30 * SECOND;
    let second = pace.probe(lost);
    pace.learnt(probe, &HeaderMap::new(), lost);
    assert_eq!(pace.message(&other(), lost), limited(LONGEST_WAIT), "it was not asked any more");
    pace.refused(second, &failure(FailureKind::RateLimited, 4, Some(10 * SECOND)), lost);
    assert_eq!(pace.message(&page(), lost), limited(10 * SECOND));
    let probe = pace.probe(lost + 10 * SECOND);
    // The probe is refused for another limit, or for its content: this limit is over.
    pace.refused(probe, &failure(FailureKind::Invalid, 100, None), lost + 10 * SECOND);
    assert_eq!(pace.message(&other(), lost + 10 * SECOND), after(0));
}

#[test]
fn an_absurd_hint_blocks_for_a_day_at_most() {
    let (pace, now) = (Pace::default(), Instant::now());
    pace.refused(None, &failure(FailureKind::RateLimited, 4, Some(Duration::MAX)), now);
    assert_eq!(pace.message(&page(), now), limited(Duration::from_hours(24)));
}

#[test]
fn restricted_page_is_tried_by_one_call_with_growing_pauses() {
    let (pace, mut now) = (Pace::default(), Instant::now());
    let mut restricted = failure(FailureKind::Restricted, 10, None);
    restricted.subcode = Some(1_893_063);
    let because = Because { kind: FailureKind::Restricted, code: Some(10), subcode: Some(1_893_063) };
    // Forty calls are under way at once.
    for _ in 0..40 {
        pace.refused(None, &restricted, now);
    }
    for minutes in [1, 2, 4, 8, 15, 15] {
        assert_eq!(pace.message(&page(), now), Turn::Refused(minutes * MINUTE, because));
        assert_eq!(pace.turn(&page(), Kind::Control, now), after(0), "it may pass control");
        assert_eq!(pace.turn(&page(), Kind::Read, now), after(0));
        assert_eq!(pace.message(&other(), now), after(0));
        now += minutes * MINUTE;
        let probe = pace.probe(now);
        assert_eq!(pace.message(&page(), now), Turn::Refused(LONGEST_WAIT, because));
        pace.refused(probe, &restricted, now);
    }
    // The platform names a time.
    restricted.retry_after = Some(20 * SECOND);
    now += 15 * MINUTE;
    pace.refused(pace.probe(now), &restricted, now);
    assert_eq!(pace.message(&page(), now), Turn::Refused(20 * SECOND, because));
    now += 20 * SECOND;
    // Only a success ends the restriction.
    pace.refused(pace.probe(now), &failure(FailureKind::RecipientUnavailable, 551, None), now);
    let probe = pace.probe(now);
    pace.learnt(None, &HeaderMap::new(), now);
    assert_eq!(pace.message(&page(), now), Turn::Refused(LONGEST_WAIT, because), "that was under way before");
    pace.learnt(probe, &HeaderMap::new(), now);
    assert_eq!((pace.message(&page(), now), pace.message(&page(), now)), (after(0), after(0)));
    assert!(pace.lanes().pages.is_empty(), "nothing is remembered of it");
}

#[derive(Debug, Clone, Copy)]
enum Scope {
    App,
    Page,
    Restricted,
}

proptest! {
    /// While a block lasts no call goes out, and after it one probe alone until its response arrives, whatever calls are
    /// made around its end and whatever earlier responses arrive late.
    #[test]
    fn block_is_kept_until_it_ends(
        scope in prop_oneof![Just(Scope::App), Just(Scope::Page), Just(Scope::Restricted)],
        seconds in 1..300_u64,
        mut callers in prop::collection::vec((0..320_000_u64, any::<bool>()), 1..200),
    ) {
        let (pace, begun) = (Pace::default(), Instant::now());
        let (wait, kind, code) = (SECOND * u32::try_from(seconds).unwrap(), FailureKind::RateLimited, 613);
        let refused = match scope {
            Scope::App => failure(kind, 4, Some(wait)),
            Scope::Page => failure(kind, code, Some(wait)),
            Scope::Restricted => failure(FailureKind::Restricted, 368, Some(wait)),
        };
        pace.refused(None, &refused, begun);
        callers.sort_unstable();
        let over = begun + wait;
        let mut first = None;
        for (at, also_answers) in callers {
            let now = begun + Duration::from_millis(at);
            if also_answers {
                // The late response of a call from before the block.
                pace.learnt(None, &headers(&[("x-app-usage", r#"{"call_count":3}"#)]), now);
            }
            match pace.message(&page(), now) {
                Turn::After(wait, probe) => {
                    prop_assert!(now + wait >= over, "{:?} too early", over - (now + wait));
                    prop_assert!(probe.is_some());
                    if let Some(first) = first {
                        prop_assert!(now >= first + 30 * SECOND, "a second one tries");
                    }
                    first = Some(now + wait);
                }
                Turn::Refused(wait, _) => prop_assert!(now + wait >= over, "told to come back too early"),
            }
        }
        // The response to the probe arrives.
        let end = begun + Duration::from_secs(1000);
        pace.learnt(pace.probe(end), &HeaderMap::new(), end);
        for _ in 0..100 {
            prop_assert_eq!(pace.message(&page(), end), after(0));
        }
    }
}
