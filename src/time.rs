//! Time as data: the core is told what time it is, it never asks.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment in milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The latest moment that can be written.
    pub const MAX: Self = Self(u64::MAX);

    /// A moment from milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment plus a duration; the latest moment if that does not fit.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This moment minus a duration; the epoch if that does not fit.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// How long after `earlier` this moment is; zero if it is before it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// When something happened, as far as it is known: a closed interval of moments.
///
/// Meta stamps most events in milliseconds but some control events in seconds (facts §4.6); such a
/// stamp covers the whole second. An answer of the API carries no stamp at all: what it tells was
/// true at some moment between the call and the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The earliest moment it can have been.
    pub from: Timestamp,
    /// The latest moment it can have been.
    pub to: Timestamp,
}

impl Span {
    /// Any time at all: an event without a stamp.
    pub const UNKNOWN: Self = Self { from: Timestamp(0), to: Timestamp::MAX };

    /// Below this, a stamp is taken for seconds: as milliseconds it would lie before March 1973,
    /// as seconds it reaches to the year 5138.
    const SECONDS_BELOW: u64 = 100_000_000_000;

    /// The span between two moments, in either order.
    #[must_use]
    pub fn between(a: Timestamp, b: Timestamp) -> Self {
        Self { from: a.min(b), to: a.max(b) }
    }

    /// One moment.
    #[must_use]
    pub fn at(moment: Timestamp) -> Self {
        Self { from: moment, to: moment }
    }

    /// Reads a stamp of the platform, in seconds or milliseconds by its size.
    #[must_use]
    pub fn from_platform(stamp: u64) -> Self {
        if stamp < Self::SECONDS_BELOW {
            let from = stamp.saturating_mul(1000);
            Self { from: Timestamp(from), to: Timestamp(from + 999) }
        } else {
            Self::at(Timestamp(stamp))
        }
    }

    /// Certainly after `other`.
    #[must_use]
    pub fn is_after(self, other: Self) -> bool {
        self.from > other.to
    }

    /// Certainly before `other`.
    #[must_use]
    pub fn is_before(self, other: Self) -> bool {
        self.to < other.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_cover_their_second_and_milliseconds_are_exact() {
        let seconds = Span::from_platform(1_661_209_328);
        assert_eq!(seconds.from.as_millis(), 1_661_209_328_000);
        assert_eq!(seconds.to.as_millis(), 1_661_209_328_999);
        let exact = Span::from_platform(1_661_209_328_999);
        assert_eq!(exact.from, exact.to);
        assert!(!exact.is_after(seconds) && !exact.is_before(seconds));
        assert!(Span::from_platform(1_661_209_329_000).is_after(seconds));
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX.plus(Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(Timestamp::default().minus(Duration::MAX), Timestamp::default());
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
    }
}
