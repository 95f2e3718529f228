//! Time as data. The core takes the time as an argument and never reads a clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment in milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The latest moment.
    pub const MAX: Self = Self(u64::MAX);

    /// Creates a moment from milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment plus a duration, at most [`Self::MAX`].
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This moment minus a duration, at least the epoch.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// The time from `earlier` to this moment, or zero if `earlier` is later.
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

/// A closed interval of moments in which something happened.
///
/// Meta stamps most events in milliseconds but some control events in seconds ([timestamps](crate::protocol#timestamps));
/// a stamp in seconds covers the whole second. API responses carry no stamp: their content was true at some moment between
/// the call and the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The earliest possible moment.
    pub from: Timestamp,
    /// The latest possible moment.
    pub to: Timestamp,
}

impl Span {
    /// The span of an event without a stamp, which is any time.
    pub const UNKNOWN: Self = Self { from: Timestamp(0), to: Timestamp::MAX };

    /// A stamp below this is in seconds, because as milliseconds it would lie before March 1973. As seconds it reaches to
    /// the year 5138.
    const SECONDS_BELOW: u64 = 100_000_000_000;

    /// Creates the span between two moments, given in either order.
    #[must_use]
    pub fn between(a: Timestamp, b: Timestamp) -> Self {
        Self { from: a.min(b), to: a.max(b) }
    }

    /// Creates a span of one moment.
    #[must_use]
    pub fn at(moment: Timestamp) -> Self {
        Self { from: moment, to: moment }
    }

    /// Reads a stamp of the platform. Its size says whether it is in seconds or milliseconds.
    #[must_use]
    pub fn from_platform(stamp: u64) -> Self {
        if stamp < Self::SECONDS_BELOW {
            let from = stamp.saturating_mul(1000);
            Self { from: Timestamp(from), to: Timestamp(from + 999) }
        } else {
            Self::at(Timestamp(stamp))
        }
    }

    /// Whether this span is certainly after `other`.
    #[must_use]
    pub fn is_after(self, other: Self) -> bool {
        self.from > other.to
    }

    /// Whether this span is certainly before `other`.
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
