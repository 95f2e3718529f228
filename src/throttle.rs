//! Limits log lines about refused requests, which any stranger can cause, to one a minute for each reason.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The shortest time between two lines with the same reason.
const EVERY: Duration = Duration::from_secs(60);

/// The refused requests of one endpoint. Reasons are fixed strings, so their number is bounded.
#[derive(Debug)]
pub(crate) struct Refusals {
    endpoint: &'static str,
    seen: Mutex<Vec<Seen>>,
}

#[derive(Debug)]
struct Seen {
    reason: &'static str,
    logged: Instant,
    suppressed: u64,
}

impl Refusals {
    pub(crate) fn of(endpoint: &'static str) -> Self {
        Self { endpoint, seen: Mutex::default() }
    }

    /// Logs a refused request at `warn`, or counts it for the reason's next line. `why` must show no signature, token or
    /// body of the request.
    pub(crate) fn note(&self, reason: &'static str, why: &dyn fmt::Display, now: Instant) {
        if let Some(suppressed) = self.admit(reason, now) {
            tracing::warn!(endpoint = self.endpoint, reason, %why, suppressed, "a request was refused");
        }
    }

    /// Returns the number of lines suppressed since the last one if a line with this reason may be logged now, else `None`.
    pub(crate) fn admit(&self, reason: &'static str, now: Instant) -> Option<u64> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = seen.iter_mut().find(|known| known.reason == reason) else {
            seen.push(Seen { reason, logged: now, suppressed: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(known.logged) < EVERY {
            known.suppressed += 1;
            return None;
        }
        known.logged = now;
        Some(std::mem::take(&mut known.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_for_each_reason() {
        let refusals = Refusals::of("webhook");
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(refusals.admit("a", at(0)), Some(0));
        assert_eq!((refusals.admit("a", at(1)), refusals.admit("a", at(59))), (None, None));
        // Another reason is counted separately.
        assert_eq!(refusals.admit("b", at(59)), Some(0));
        assert_eq!(refusals.admit("a", at(60)), Some(2));
        assert_eq!(refusals.admit("a", at(61)), None);
        assert_eq!(refusals.admit("a", at(600)), Some(1));
        // A clock that goes back suppresses, and does not panic.
        assert_eq!(refusals.admit("a", at(0)), None);
    }
}
