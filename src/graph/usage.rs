//! Reads the platform's usage headers (docs/protocol.md#rate-limits).

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

/// The share of a limit, in percent, from which on calls are spaced out.
const NEAR: u64 = 90;
/// The added time between two calls for each percent from [`NEAR`] on.
const SPACING: Duration = Duration::from_millis(500);
/// The default pause at a limit, if the platform names none. Calls made meanwhile would lengthen the block.
pub(super) const BLOCKED: Duration = Duration::from_secs(60);

/// The used share of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    percent: u64,
    /// The platform's estimate of the time until calls are possible again.
    regain: Option<Duration>,
}

impl Usage {
    fn max(self, other: Self) -> Self {
        Self { percent: self.percent.max(other.percent), regain: self.regain.max(other.regain) }
    }

    /// The fullest of both, in percent.
    pub(super) fn fuller(self, other: Self) -> u64 {
        self.percent.max(other.percent)
    }

    /// The pause before the next call, if the limit is reached.
    pub(super) fn block(self) -> Option<Duration> {
        self.regain.or((self.percent >= 100).then_some(BLOCKED))
    }

    /// The least time between this call and the next.
    pub(super) fn distance(self) -> Duration {
        match self.percent.checked_sub(NEAR) {
            Some(above) if self.percent < 100 => SPACING * u32::try_from(above + 1).unwrap_or(u32::MAX),
            _ => Duration::ZERO,
        }
    }
}

/// The usage in `x-app-usage`, which all Pages of the app share.
pub(super) fn of_app(headers: &HeaderMap) -> Usage {
    header(headers, "x-app-usage").map(|usage| row(&usage)).unwrap_or_default()
}

/// The usage in `x-page-usage` and in the fullest row of `x-business-use-case-usage`.
pub(super) fn of_page(headers: &HeaderMap) -> Usage {
    let page = header(headers, "x-page-usage").map(|usage| row(&usage)).unwrap_or_default();
    let business = header(headers, "x-business-use-case-usage");
    let rows = business.iter().filter_map(Value::as_object).flat_map(|rows| rows.values());
    rows.filter_map(Value::as_array).flatten().map(row).fold(page, Usage::max)
}

/// The longest time in the headers until calls are possible again. The platform counts in minutes.
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
