//! Compares this machine's clock with the `Date` header of Graph's responses.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::DATE;
use tokio::time::Instant;

use crate::http::date;
use crate::skew::ClockCheck;
use crate::time::Timestamp;

/// The shortest time between two comparisons.
const EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Checked>);

#[derive(Debug, Default)]
struct Checked {
    check: ClockCheck,
    next: Option<Instant>,
}

impl Clock {
    /// Warns once when our clock is off, because stamps are compared with it: messages would expire early or wait too long.
    pub(super) fn check(&self, headers: &HeaderMap) {
        // Another call is comparing.
        let Ok(mut clock) = self.0.try_lock() else { return };
        let at = Instant::now();
        if clock.next.is_some_and(|next| at < next) {
            return;
        }
        let Some(theirs) = headers.get(DATE).and_then(date) else { return };
        clock.next = Some(at + EVERY);
        if let Some(difference) = clock.check.compare(now(), theirs, "Graph's") {
            tracing::warn!("{difference}: set it, for example by NTP");
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the client that reads the clock, to compare it"
)]
fn now() -> Timestamp {
    Timestamp::default().plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
