//! What time it is, for the service.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// What time it is, for everything that is stamped or compared with a stamp. Pauses are tokio's: whoever
/// tells another time pauses tokio's as well, and lets both pass together.
pub trait Clock: Send + Sync + 'static {
    /// This moment, in milliseconds since the Unix epoch. It should not run backwards: what is due then
    /// waits until it was caught up with.
    fn now(&self) -> Timestamp;
}

/// The clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place of the service that reads the clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}
