//! Retries as pure decisions: whether a failed call is repeated, and after which wait. The caller does the sleeping.
//!
//! Two questions decide: is the fault a passing one, and may the platform have acted? Because Graph has [no
//! idempotency key](crate::protocol#idempotency), a call that may have been applied is never repeated blindly: read
//! the owner first, or wait for the echo of the message.

use std::time::Duration;

use crate::call::{Advice, FailureKind};
use crate::time::Timestamp;

/// A random fraction that spreads waits, so that callers that failed together do not retry together. The caller draws
/// it; [`Jitter::NONE`] makes waits repeatable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Jitter(u16);

impl Jitter {
    /// No spread: the longest wait.
    pub const NONE: Self = Self(0);

    /// Derives the fraction from any random number.
    #[must_use]
    pub fn from_random(number: u64) -> Self {
        Self(u16::try_from(number % 1000).unwrap_or_default())
    }

    fn of(self, duration: Duration) -> Duration {
        (duration / 1000).saturating_mul(u32::from(self.0))
    }
}

/// A failed call: the facts on which the decision depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedCall {
    /// The number of failures in a row, including this one: 1 for the first.
    pub attempt: u32,
    /// The kind of failure.
    pub kind: FailureKind,
    /// Whether the platform may have acted.
    pub may_have_acted: bool,
    /// The wait that the platform asks for: `Retry-After`, or its [estimate until calls are
    /// possible](crate::protocol#rate-limits).
    pub hint: Option<Duration>,
}

/// The waits between attempts, and the number of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// The first wait; it doubles with each failure in a row.
    pub first: Duration,
    /// The longest wait of our own. The platform may ask for a longer one.
    pub longest: Duration,
    /// The number of failures in a row after which the call is given up.
    pub attempts: u32,
}

impl Default for Backoff {
    /// 1 s, doubling up to 60 s, 8 attempts.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(60), attempts: 8 }
    }
}

impl Backoff {
    /// The wait before the call is repeated, or `None` if it is given up: it cannot succeed, or has failed
    /// [`attempts`](Self::attempts) times. If the platform may have acted, read `thread_owner` after the wait, or for
    /// a message wait for its echo, before you repeat it.
    #[must_use]
    pub fn decide(&self, failure: FailedCall, jitter: Jitter) -> Option<Duration> {
        let passing = failure.kind.advice() == Advice::RetryLater;
        if failure.attempt >= self.attempts || !(passing || failure.may_have_acted) {
            return None;
        }
        Some(self.wait(failure.attempt, failure.hint, jitter))
    }

    /// The wait after this many failures in a row: between half and all of the doubled wait, and never less than the
    /// platform asks for.
    #[must_use]
    pub fn wait(&self, attempt: u32, hint: Option<Duration>, jitter: Jitter) -> Duration {
        let doubled = self.first.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        let own = doubled.min(self.longest);
        match hint {
            Some(hint) if hint >= own => hint.saturating_add(jitter.of(self.first)),
            hint => own.saturating_sub(jitter.of(own / 2)).max(hint.unwrap_or_default()),
        }
    }
}

/// A retry budget, so that an outage, in which every call fails, does not multiply the calls.
///
/// Each retry takes one; time and successes refill it. First attempts are never held back.
#[derive(Debug, Clone)]
pub struct Budget {
    capacity: u64,
    /// Thousandths of a retry for each millisecond, the same number as whole retries for each second.
    per_second: u64,
    /// In thousandths of a retry.
    left: u64,
    filled: Timestamp,
}

/// A success refills a tenth of a retry.
const SUCCESS_GIVES: u64 = 100;
const RETRY: u64 = 1000;

impl Budget {
    /// A full budget of `capacity` retries, refilled by `per_second` retries each second (at least 1).
    #[must_use]
    pub fn new(capacity: u32, per_second: u32) -> Self {
        let capacity = u64::from(capacity.max(1)) * RETRY;
        Self {
            capacity,
            per_second: u64::from(per_second.max(1)),
            left: capacity,
            filled: Timestamp::default(),
        }
    }

    /// Takes one retry.
    ///
    /// # Errors
    /// The wait until the next retry is available, if none is left. Nothing was taken then.
    pub fn take(&mut self, now: Timestamp) -> Result<(), Duration> {
        self.fill(now);
        match self.left.checked_sub(RETRY) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Duration::from_millis((RETRY - self.left).div_ceil(self.per_second))),
        }
    }

    /// Refills a part of the budget after a successful call.
    pub fn succeeded(&mut self) {
        self.left = self.capacity.min(self.left + SUCCESS_GIVES);
    }

    fn fill(&mut self, now: Timestamp) {
        let passed = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        self.left = self.capacity.min(self.left.saturating_add(passed.saturating_mul(self.per_second)));
        // If the clock was set back, the refill restarts from there.
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: FailureKind, may_have_acted: bool) -> FailedCall {
        FailedCall { attempt: 1, kind, may_have_acted, hint: None }
    }

    #[test]
    fn passing_faults_and_unknown_outcomes_are_tried_again() {
        use FailureKind::*;
        let decide = |kind, acted| Backoff::default().decide(failure(kind, acted), Jitter::NONE);
        let second = Duration::from_secs(1);
        for kind in [RateLimited, Restricted, PlatformFlow, Transient, Transport] {
            assert_eq!(decide(kind, false), Some(second), "{kind}");
            assert_eq!(decide(kind, true), Some(second), "{kind}");
        }
        for kind in [NotThreadOwner, NotAvailable, OutsideWindow, Token, Permission, Invalid, Conflict] {
            assert_eq!(decide(kind, false), None, "{kind}");
        }
        // An incomprehensible response to a call that may have been applied.
        assert_eq!(decide(Protocol, true), Some(second));
        assert_eq!(decide(Protocol, false), None);
    }

    #[test]
    fn waits_double_up_to_a_bound_and_then_it_is_enough() {
        let backoff = Backoff::default();
        let waits: Vec<_> =
            (1..8).map(|attempt| backoff.wait(attempt, None, Jitter::NONE).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60]);
        let last = FailedCall { attempt: 8, ..failure(FailureKind::Transient, true) };
        assert_eq!(backoff.decide(last, Jitter::NONE), None);
        assert_eq!(backoff.wait(u32::MAX, None, Jitter::NONE).as_secs(), 60);
    }

    #[test]
    fn the_platform_has_the_last_word_and_everybody_comes_back_at_another_time() {
        let backoff = Backoff::default();
        let minutes = Duration::from_mins(19);
        for number in [0, 1, 500, 999, 12_345] {
            let jitter = Jitter::from_random(number);
            let hinted = backoff.wait(1, Some(minutes), jitter);
            assert!(hinted >= minutes && hinted < minutes + backoff.first, "{hinted:?}");
            let own = backoff.wait(4, None, jitter);
            assert!(own > Duration::from_secs(4) && own <= Duration::from_secs(8), "{own:?}");
            assert!(backoff.wait(4, Some(Duration::from_secs(7)), jitter) >= Duration::from_secs(7));
        }
        assert_ne!(
            backoff.wait(4, None, Jitter::from_random(1)),
            backoff.wait(4, None, Jitter::from_random(900))
        );
    }

    #[test]
    fn waits_are_total() {
        for first in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            for longest in [Duration::ZERO, Duration::MAX] {
                for hint in [None, Some(Duration::ZERO), Some(Duration::MAX)] {
                    for (attempt, jitter) in [(0, 0), (1, 999), (u32::MAX, 500)] {
                        let backoff = Backoff { first, longest, attempts: 8 };
                        let wait = backoff.wait(attempt, hint, Jitter::from_random(jitter));
                        assert!(hint.is_none_or(|hint| wait >= hint), "{backoff:?}, {hint:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_outage_is_not_multiplied() {
        let mut budget = Budget::new(10, 2);
        let mut now = Timestamp::from_millis(1_700_000_000_000);
        let mut made = 0;
        // For a minute, a hundred threads retry each second.
        for _ in 0..60 {
            for _ in 0..100 {
                made += u32::from(budget.take(now).is_ok());
            }
            now = now.plus(Duration::from_secs(1));
        }
        assert_eq!(made, 10 + 59 * 2);
        let wait = budget.take(now.minus(Duration::from_secs(1))).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        for _ in 0..10 {
            budget.succeeded();
        }
        assert_eq!(budget.take(now.minus(Duration::from_secs(1))), Ok(()));
    }
}
