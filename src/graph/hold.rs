//! A pause in which no calls are made, and the single probe call that ends it.

use std::time::Duration;

use tokio::time::Instant;

/// The longest time that a call waits for its turn. A call that would wait longer is refused with a retry time.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// After this time without a response a probe counts as lost and the next call probes. It is longer than any call takes.
const TRIES_FOR: Duration = Duration::from_secs(30);
/// The longest hold, whatever a header says, because the platform's limits are per hour or per day.
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// A pause until `until`. Then one call, the probe, is let through; the others wait for its outcome.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    until: Instant,
    /// The start of the current probe.
    tried_at: Option<Instant>,
}

impl Hold {
    pub(super) fn new(wait: Duration, now: Instant) -> Self {
        Self { until: now + wait.min(LONGEST_HOLD), tried_at: None }
    }

    /// Extends the pause to at least `now + wait`, and ignores the outcome of a probe that is under way.
    pub(super) fn extend(&mut self, wait: Duration, now: Instant) {
        *self = Self { until: self.until.max(Self::new(wait, now).until), tried_at: None };
    }

    /// The time until a call may go out as the probe.
    ///
    /// # Errors
    /// The time after which to try again, if this call may not be the probe.
    pub(super) fn wait(&self, now: Instant) -> Result<Duration, Duration> {
        let wait = self.until.saturating_duration_since(now);
        match self.tried_at {
            Some(at) if now < at + TRIES_FOR => Err((at.max(now) - now) + LONGEST_WAIT),
            _ if wait > LONGEST_WAIT => Err(wait),
            _ => Ok(wait),
        }
    }

    /// Makes the call that starts at `at` the probe.
    pub(super) fn try_at(&mut self, at: Instant) {
        self.tried_at = Some(at);
    }

    /// Whether this call is the current probe.
    pub(super) fn is_tried_by(&self, probe: Option<Instant>) -> bool {
        probe.is_some() && self.tried_at == probe
    }

    /// Drops a probe that was inconclusive, so that the next call probes.
    pub(super) fn try_again(&mut self) {
        self.tried_at = None;
    }
}
