//! The platform's clock: the real one, shifted and scaled.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use messenger_handover::time::Timestamp;

pub(super) struct Clock {
    since: Duration,
    from: Timestamp,
    speed: f64,
    last: Timestamp,
}

impl Clock {
    pub(super) fn new() -> Self {
        let since = real();
        Self { since, from: Timestamp::default().plus(since), speed: 1.0, last: Timestamp::default() }
    }

    /// Returns the virtual time. It advances by at least 1 ms with each call, because acts on the real platform never share a
    /// millisecond.
    pub(super) fn tick(&mut self) -> Timestamp {
        self.last = self.now().max(self.last.plus(Duration::from_millis(1)));
        self.last
    }

    fn now(&self) -> Timestamp {
        let passed = real().saturating_sub(self.since).mul_f64(self.speed);
        self.from.plus(passed)
    }

    /// Moves the clock forward by at least this much.
    pub(super) fn advance(&mut self, by: Duration) {
        self.from = self.from.plus(by);
        self.last = self.last.plus(by);
    }

    /// Lets the clock run `speed` times as fast as the real one from now on.
    pub(super) fn set_speed(&mut self, speed: f64) {
        (self.from, self.since, self.speed) = (self.now(), real(), speed);
    }

    pub(super) fn speed(&self) -> f64 {
        self.speed
    }
}

#[expect(clippy::disallowed_methods, reason = "the simulator's own shell reads the clock here")]
fn real() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_stands_and_never_runs_backwards() {
        let mut clock = Clock::new();
        let mut last = clock.tick();
        for speed in [1.0, 0.0, 1000.0, 0.5] {
            clock.set_speed(speed);
            for _ in 0..100 {
                let now = clock.tick();
                assert!(now > last);
                last = now;
            }
        }
        clock.advance(Duration::from_hours(24));
        assert!(clock.tick().since(last) >= Duration::from_hours(24));
    }
}
