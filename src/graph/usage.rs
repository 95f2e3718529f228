//! What the platform's headers tell of its limits (facts §6).

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

/// From this share of a limit on, in per cent, calls keep a distance.
const NEAR: u64 = 90;
/// The distance of two calls for each per cent above it.
const SPACING: Duration = Duration::from_millis(500);
/// How long nothing is called at or above a limit where the platform does not say for how long: extra
/// calls lengthen the block.
pub(super) const BLOCKED: Duration = Duration::from_mins(1);

/// How much of a limit is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    percent: u64,
    /// The platform's estimate until calls are possible again.
    regain: Option<Duration>,
}

impl Usage {
    fn max(self, other: Self) -> Self {
        Self { percent: self.percent.max(other.percent), regain: self.regain.max(other.regain) }
    }

    /// How long nothing may be called.
    pub(super) fn block(self) -> Option<Duration> {
        self.regain.or((self.percent >= 100).then_some(BLOCKED))
    }

    /// How far the next call keeps away from this one.
    pub(super) fn distance(self) -> Duration {
        match self.percent.checked_sub(NEAR) {
            Some(above) if self.percent < 100 => SPACING * u32::try_from(above + 1).unwrap_or(u32::MAX),
            _ => Duration::ZERO,
        }
    }
}

/// `x-app-usage`: all Pages of the app share it.
pub(super) fn of_app(headers: &HeaderMap) -> Usage {
    header(headers, "x-app-usage").map(|usage| row(&usage)).unwrap_or_default()
}

/// `x-page-usage` and `x-business-use-case-usage`, of which the fullest row counts.
pub(super) fn of_page(headers: &HeaderMap) -> Usage {
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
