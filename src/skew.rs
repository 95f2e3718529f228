//! Compares this machine's clock with another one and words the warning.

use std::time::Duration;

use crate::time::Timestamp;

/// Differences up to this are ignored, because stamps are rounded and take time to arrive.
pub(crate) const TOLERATED: Duration = Duration::from_secs(5 * 60);
/// The time after which an unchanged difference is reported again.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(60 * 60);

/// Reports a difference between two clocks once, and again after an hour or when it changes by more than [`TOLERATED`].
#[derive(Debug, Default)]
pub(crate) struct ClockCheck {
    said: Option<Said>,
}

#[derive(Debug, Clone, Copy)]
struct Said {
    at: Timestamp,
    off: Offset,
}

/// The difference between our clock and the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offset {
    Ahead(Duration),
    Behind(Duration),
}

impl ClockCheck {
    /// Returns the text of a warning, if one is due. `whose` names the other clock, as in "Graph's".
    pub(crate) fn compare(&mut self, ours: Timestamp, theirs: Timestamp, whose: &str) -> Option<String> {
        let off = Offset::between(ours, theirs)?;
        let is_known = self.said.is_some_and(|said| {
            said.off.differs_by(off) <= TOLERATED && ours.since(said.at) < SAID_AGAIN_AFTER
        });
        if is_known {
            return None;
        }
        self.said = Some(Said { at: ours, off });
        Some(off.in_words(whose))
    }
}

impl Offset {
    fn between(ours: Timestamp, theirs: Timestamp) -> Option<Self> {
        let (ahead, behind) = (ours.since(theirs), theirs.since(ours));
        match () {
            () if ahead > TOLERATED => Some(Self::Ahead(ahead)),
            () if behind > TOLERATED => Some(Self::Behind(behind)),
            () => None,
        }
    }

    fn differs_by(self, other: Self) -> Duration {
        match (self, other) {
            (Self::Ahead(a), Self::Ahead(b)) | (Self::Behind(a), Self::Behind(b)) => a.abs_diff(b),
            (Self::Ahead(a), Self::Behind(b)) | (Self::Behind(a), Self::Ahead(b)) => a.saturating_add(b),
        }
    }

    fn in_words(self, whose: &str) -> String {
        let (by, direction) = match self {
            Self::Ahead(by) => (by, "ahead of"),
            Self::Behind(by) => (by, "behind"),
        };
        let minutes = by.as_secs() / 60;
        let (days, hours, minutes) = (minutes / (24 * 60), minutes / 60 % 24, minutes % 60);
        let by = match (days, hours) {
            (0, 0) => format!("{minutes} min"),
            (0, _) => format!("{hours} h {minutes} min"),
            _ => format!("{days} d {hours} h {minutes} min"),
        };
        format!("this machine's clock is {by} {direction} {whose}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const MINUTE: Duration = Duration::from_mins(1);

    fn noon() -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000)
    }

    #[test]
    fn clock_differences_are_said_in_words() {
        let words = |ours, theirs| ClockCheck::default().compare(ours, theirs, "Graph's");
        let said = |words: &str| Some(format!("this machine's clock is {words} Graph's"));
        for (by, words_of_it) in [
            (2 * HOUR, "2 h 0 min"),
            (2 * HOUR + 5 * MINUTE + Duration::from_secs(59), "2 h 5 min"),
            (6 * MINUTE, "6 min"),
            (25 * HOUR, "1 d 1 h 0 min"),
        ] {
            assert_eq!(words(noon().plus(by), noon()), said(&format!("{words_of_it} ahead of")));
            assert_eq!(words(noon(), noon().plus(by)), said(&format!("{words_of_it} behind")));
        }
        for agrees in [Duration::ZERO, MINUTE, TOLERATED] {
            assert_eq!(words(noon().plus(agrees), noon()), None);
            assert_eq!(words(noon(), noon().plus(agrees)), None);
        }
        assert!(words(Timestamp::MAX, Timestamp::default()).is_some());
        assert!(words(Timestamp::default(), Timestamp::MAX).is_some());
    }

    #[test]
    fn clock_difference_is_said_once_then_after_a_change_or_an_hour() {
        let mut check = ClockCheck::default();
        let mut ours = noon();
        let mut warned = |after: Duration, off: Duration| {
            ours = ours.plus(after);
            check.compare(ours, ours.minus(off), "Graph's").is_some()
        };
        assert!(warned(MINUTE, 2 * HOUR));
        for _ in 0..50 {
            assert!(!warned(MINUTE, 2 * HOUR + Duration::from_secs(1)));
        }
        assert!(warned(10 * MINUTE, 2 * HOUR), "an hour later");
        assert!(!warned(MINUTE, 2 * HOUR + 4 * MINUTE));
        assert!(warned(MINUTE, 3 * HOUR), "it has changed");
        assert!(!warned(MINUTE, Duration::ZERO), "it agrees");
        assert!(!warned(MINUTE, 3 * HOUR), "a source that goes to and fro is not said each time");
    }
}
