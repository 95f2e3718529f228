//! Keeping below the platform's limits: what its headers tell, and when the next call may be made
//! (facts §6).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use tokio::time::Instant;

use crate::id::PageId;

/// From this share of a limit on, in per cent, calls keep a distance.
const NEAR: u64 = 90;
/// The distance of two calls for each per cent above it.
const SPACING: Duration = Duration::from_millis(500);
/// How long nothing is called at or above a limit where the platform does not say for how long: extra
/// calls lengthen the block.
const BLOCKED: Duration = Duration::from_mins(1);
/// A call waits at most so long for its turn. Whoever would wait longer is told when to come back.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// How much of a limit is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Usage {
    percent: u64,
    /// The platform's estimate until calls are possible again.
    regain: Option<Duration>,
}

impl Usage {
    fn max(self, other: Self) -> Self {
        Self { percent: self.percent.max(other.percent), regain: self.regain.max(other.regain) }
    }

    /// How far the next call keeps away from this one.
    fn distance(self) -> Duration {
        match self.regain {
            Some(regain) => regain,
            None if self.percent >= 100 => BLOCKED,
            None if self.percent >= NEAR => {
                SPACING * u32::try_from(self.percent - NEAR + 1).unwrap_or(u32::MAX)
            }
            None => Duration::ZERO,
        }
    }
}

/// `x-app-usage`: all Pages of the app share it.
fn of_app(headers: &HeaderMap) -> Usage {
    header(headers, "x-app-usage").map(|usage| row(&usage)).unwrap_or_default()
}

/// `x-page-usage` and `x-business-use-case-usage`, of which the fullest row counts.
fn of_page(headers: &HeaderMap) -> Usage {
    let page = header(headers, "x-page-usage").map(|usage| row(&usage)).unwrap_or_default();
    let business = header(headers, "x-business-use-case-usage");
    let rows = business.iter().filter_map(Value::as_object).flat_map(|rows| rows.values());
    rows.filter_map(Value::as_array).flatten().map(row).fold(page, Usage::max)
}

/// The longest time until calls are possible again that the headers tell. The platform counts in minutes.
pub(super) fn regain(headers: &HeaderMap) -> Option<Duration> {
    of_page(headers).max(of_app(headers)).regain
}

fn header(headers: &HeaderMap, name: &str) -> Option<Value> {
    serde_json::from_str(headers.get(name)?.to_str().ok()?).ok()
}

fn row(usage: &Value) -> Usage {
    let percent = |name: &str| usage.get(name).and_then(Value::as_u64);
    let used = ["call_count", "total_time", "total_cputime"].into_iter().filter_map(percent).max();
    let minutes = usage.get("estimated_time_to_regain_access").and_then(Value::as_u64);
    let regain = minutes.filter(|minutes| *minutes > 0);
    Usage {
        percent: used.unwrap_or_default(),
        regain: regain.map(|minutes| Duration::from_secs(minutes.saturating_mul(60))),
    }
}

/// When calls may be made.
#[derive(Debug, Default)]
pub(super) struct Pace {
    lanes: Mutex<Lanes>,
}

#[derive(Debug, Default)]
struct Lanes {
    app: Lane,
    pages: HashMap<PageId, Lane>,
}

/// The calls that share one limit.
#[derive(Debug, Default, Clone, Copy)]
struct Lane {
    /// The next call is not made before then.
    next: Option<Instant>,
    /// The distance that calls keep.
    distance: Duration,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// After so long; the turn is taken.
    After(Duration),
    /// Not now: come back after so long.
    Refused(Duration),
}

impl Lane {
    fn wait(self, now: Instant) -> Duration {
        self.next.map(|next| next.saturating_duration_since(now)).unwrap_or_default()
    }

    fn take(&mut self, at: Instant) {
        self.next = (!self.distance.is_zero()).then(|| at + self.distance);
    }

    fn learnt(&mut self, usage: Usage, now: Instant) {
        self.distance = usage.distance().min(BLOCKED);
        if usage.distance().is_zero() {
            // A block that the platform spoke of before holds until it is over.
            self.next = self.next.filter(|next| *next > now);
        } else {
            self.hold(usage.distance(), now);
        }
    }

    fn hold(&mut self, wait: Duration, now: Instant) {
        let until = now.checked_add(wait);
        self.next = self.next.max(until);
    }
}

impl Pace {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next turn of a Page.
    pub(super) fn turn(&self, page: &PageId, now: Instant) -> Turn {
        let mut lanes = self.lanes();
        let wait =
            lanes.pages.get(page).map_or(Duration::ZERO, |lane| lane.wait(now)).max(lanes.app.wait(now));
        if wait > LONGEST_WAIT {
            return Turn::Refused(wait);
        }
        lanes.app.take(now + wait);
        if let Some(lane) = lanes.pages.get_mut(page) {
            lane.take(now + wait);
        }
        Turn::After(wait)
    }

    /// What the headers of an answer tell.
    pub(super) fn learnt(&self, page: &PageId, headers: &HeaderMap, now: Instant) {
        let (app, own) = (of_app(headers), of_page(headers));
        let mut lanes = self.lanes();
        lanes.app.learnt(app, now);
        if own.distance().is_zero() && !lanes.pages.contains_key(page) {
            return;
        }
        let lane = lanes.pages.entry(page.clone()).or_default();
        lane.learnt(own, now);
        if lane.next.is_none() {
            lanes.pages.remove(page);
        }
    }

    /// The platform refused a call for its rate. Code 4 is about the whole app (facts §5.3).
    pub(super) fn refused(&self, page: &PageId, code: Option<i64>, wait: Option<Duration>, now: Instant) {
        let wait = wait.unwrap_or(BLOCKED);
        let mut lanes = self.lanes();
        match code {
            Some(4) => lanes.app.hold(wait, now),
            _ => lanes.pages.entry(page.clone()).or_default().hold(wait, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(rows: &[(&'static str, &str)]) -> HeaderMap {
        rows.iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn page() -> PageId {
        PageId::from(10)
    }

    #[test]
    fn far_from_a_limit_nobody_waits() {
        let (pace, now) = (Pace::default(), Instant::now());
        let usage = [("x-app-usage", r#"{"call_count":28,"total_time":25,"total_cputime":25}"#)];
        pace.learnt(&page(), &headers(&usage), now);
        pace.learnt(&page(), &headers(&[("x-page-usage", "not json"), ("x-app-usage", "[]")]), now);
        for _ in 0..1000 {
            assert_eq!(pace.turn(&page(), now), Turn::After(Duration::ZERO));
        }
    }

    #[test]
    fn near_a_limit_calls_keep_a_distance_and_a_crowd_is_sent_away() {
        let (pace, now) = (Pace::default(), Instant::now());
        let usage = [("x-page-usage", r#"{"call_count":91,"total_time":2,"total_cputime":3}"#)];
        pace.learnt(&page(), &headers(&usage), now);
        let turns: Vec<_> = (0..4).map(|_| pace.turn(&page(), now)).collect();
        let after = |seconds| Turn::After(Duration::from_secs(seconds));
        assert_eq!(turns, [after(1), after(2), after(3), Turn::Refused(Duration::from_secs(4))]);
        assert_eq!(pace.turn(&PageId::from(11), now), after(0), "another Page has its own limit");
        // Calls have become fewer: no distance any more.
        let later = now + Duration::from_secs(10);
        pace.learnt(&page(), &headers(&[("x-page-usage", r#"{"call_count":20}"#)]), later);
        assert_eq!((pace.turn(&page(), later), pace.turn(&page(), later)), (after(0), after(0)));
    }

    #[test]
    fn the_apps_limit_is_shared_by_its_pages() {
        let (pace, now) = (Pace::default(), Instant::now());
        pace.learnt(&page(), &headers(&[("x-app-usage", r#"{"call_count":100}"#)]), now);
        assert_eq!(pace.turn(&PageId::from(11), now), Turn::Refused(BLOCKED));
        assert_eq!(pace.turn(&page(), now + BLOCKED), Turn::After(Duration::ZERO));
    }

    #[test]
    fn minutes_are_minutes_and_the_fullest_row_counts() {
        let usage = r#"{"1":[{"type":"pages","call_count":3,"estimated_time_to_regain_access":0},
            {"type":"messenger","call_count":100,"total_time":25,"estimated_time_to_regain_access":19}],"2":[]}"#;
        let usage = headers(&[("x-business-use-case-usage", &usage.replace('\n', ""))]);
        assert_eq!(regain(&usage), Some(Duration::from_mins(19)));
        let (pace, now) = (Pace::default(), Instant::now());
        pace.learnt(&page(), &usage, now);
        assert_eq!(pace.turn(&page(), now), Turn::Refused(Duration::from_mins(19)));
        assert_eq!(pace.turn(&page(), now + Duration::from_mins(19)), Turn::After(Duration::ZERO));
    }

    #[test]
    fn a_refused_page_is_left_alone_and_code_4_is_about_the_app() {
        let (pace, now) = (Pace::default(), Instant::now());
        pace.refused(&page(), Some(613), Some(Duration::from_secs(30)), now);
        assert_eq!(pace.turn(&page(), now), Turn::Refused(Duration::from_secs(30)));
        assert_eq!(pace.turn(&PageId::from(11), now), Turn::After(Duration::ZERO));
        pace.refused(&page(), Some(4), None, now);
        assert_eq!(pace.turn(&PageId::from(11), now), Turn::Refused(BLOCKED));
    }
}
