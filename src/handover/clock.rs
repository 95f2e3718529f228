//! The service's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// The source of all timestamps in the service. Pauses use tokio's time, so a test with a clock of its own pauses tokio's time
/// and advances both together.
pub trait Clock: Send + Sync + 'static {
    /// The current time in milliseconds since the Unix epoch. It should not run backwards: timers fire only when it has caught
    /// up.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place of the service that reads the clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}
