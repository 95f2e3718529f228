//! A time without calls, and how it is found out that it is over.

use std::time::Duration;

use tokio::time::Instant;

/// A call waits at most so long for its turn. Whoever would wait longer is told when to come back.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// A call without an answer has not found out anything after this time, and the next one tries: longer than any call
/// takes.
const TRIES_FOR: Duration = Duration::from_secs(30);
/// No hold is longer, whatever a header says: the platform's own limits are per hour or per day.
const LONGEST_HOLD: Duration = Duration::from_hours(24);

/// Nothing is called before `until`. Then one call tries whether it is over; the others wait for what it finds out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    until: Instant,
    /// When the call begins that tries.
    tried_at: Option<Instant>,
}

impl Hold {
    pub(super) fn new(wait: Duration, now: Instant) -> Self {
        Self { until: now + wait.min(LONGEST_HOLD), tried_at: None }
    }

    /// Nothing is called for so long either; whatever a call under way finds out came too early.
    pub(super) fn extend(&mut self, wait: Duration, now: Instant) {
        *self = Self { until: self.until.max(Self::new(wait, now).until), tried_at: None };
    }

    /// How long a call has to wait that may be the one that tries.
    ///
    /// # Errors
    /// It may not be: how long until the next one may.
    pub(super) fn wait(&self, now: Instant) -> Result<Duration, Duration> {
        let wait = self.until.saturating_duration_since(now);
        match self.tried_at {
            Some(at) if now < at + TRIES_FOR => Err((at.max(now) - now) + LONGEST_WAIT),
            _ if wait > LONGEST_WAIT => Err(wait),
            _ => Ok(wait),
        }
    }

    /// The call that begins then tries whether it is over.
    pub(super) fn try_at(&mut self, at: Instant) {
        self.tried_at = Some(at);
    }

    /// Whether this call is the one that tries.
    pub(super) fn is_tried_by(&self, probe: Option<Instant>) -> bool {
        probe.is_some() && self.tried_at == probe
    }

    /// The call that tried found out nothing: the next one tries.
    pub(super) fn try_again(&mut self) {
        self.tried_at = None;
    }
}
