//! The usage of [rate limits](messenger_handover::protocol#rate-limits), as the usage headers report it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use super::config::Limits;
use crate::platform::GraphError;
use messenger_handover::id::PageId;
use messenger_handover::time::Timestamp;

const WINDOW: Duration = Duration::from_secs(60 * 60);

/// The calls of each Page in the last hour.
pub(super) struct Usage {
    pub(super) limits: Limits,
    calls: BTreeMap<PageId, VecDeque<Timestamp>>,
}

impl Usage {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, calls: BTreeMap::new() }
    }

    pub(super) fn clear(&mut self) {
        self.calls.clear();
    }

    /// Counts a call. Calls above the limit count too, and lengthen the block.
    ///
    /// # Errors
    /// Above the limit: the code of [Messenger's own limit](messenger_handover::protocol#rate-limits). The wording is assumed.
    pub(super) fn count(&mut self, page: &PageId, now: Timestamp) -> Result<(), GraphError> {
        let calls = self.calls.entry(page.clone()).or_default();
        while calls.front().is_some_and(|at| now.since(*at) >= WINDOW) {
            calls.pop_front();
        }
        calls.push_back(now);
        match self.limits.calls_per_hour {
            Some(limit) if calls.len() > limit as usize => {
                let message =
                    "(#80006) There have been too many calls to this Page account. Wait a bit and try again.";
                Err(GraphError::new(80_006, None, message))
            }
            _ => Ok(()),
        }
    }

    /// The usage headers of a response about a Page; both values are JSON.
    pub(super) fn headers(
        &self,
        page: &PageId,
        now: Timestamp,
        limited: bool,
    ) -> [(&'static str, String); 2] {
        let calls = self.calls.get(page);
        let made = calls.map_or(0, VecDeque::len);
        let percent = self.limits.calls_per_hour.map_or(0, |limit| made * 100 / (limit.max(1) as usize));
        let limited = limited || percent > 100;
        let oldest = calls.and_then(VecDeque::front);
        let left = oldest.map_or(WINDOW, |oldest| WINDOW.saturating_sub(now.since(*oldest)));
        // In minutes, rounded up (docs/protocol.md#rate-limits).
        let minutes = if limited { left.as_secs().div_ceil(60).max(1) } else { 0 };
        let usage = json!({"call_count": percent, "total_time": 0, "total_cputime": 0});
        let mut business: Value = usage.clone();
        business["type"] = json!("messenger");
        business["estimated_time_to_regain_access"] = json!(minutes);
        let all = json!({ (page.to_string()): [business] });
        [("x-app-usage", usage.to_string()), ("x-business-use-case-usage", all.to_string())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_an_hour() {
        let mut usage = Usage::new(Limits { calls_per_hour: Some(2) });
        let page = PageId::from(1);
        let at = |minutes: u64| Timestamp::default().plus(Duration::from_mins(100 + minutes));
        assert!(usage.count(&page, at(0)).is_ok() && usage.count(&page, at(10)).is_ok());
        assert!(usage.headers(&page, at(10), false)[0].1.contains("\"call_count\":100"));
        assert_eq!(usage.count(&page, at(20)).unwrap_err().code, 80_006);
        let told = &usage.headers(&page, at(20), false)[1].1;
        assert!(told.contains("\"estimated_time_to_regain_access\":40"), "{told}");
        assert!(usage.count(&PageId::from(2), at(20)).is_ok());
        assert!(usage.count(&page, at(81)).is_ok(), "the first two are over an hour ago");
    }
}
