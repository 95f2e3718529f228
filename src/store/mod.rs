//! Where conversations are kept: a small trait, and the stores that come with this crate.
//!
//! | store | feature | for |
//! |---|---|---|
//! | [`MemoryStore`] | `service` | tests, and hosts that may forget everything at a restart |
//! | `SqliteStore` | `sqlite` | one machine, whose hosts may be restarted and killed |
//! | `PostgresStore` | `postgres` | several replicas; nothing is lost when the database crashes |
//! | `RedisStore` | `redis` | several replicas; what a crash or failover of Redis loses is lost |
//!
//! What each promises, how large it grows and how it is backed up is told in `docs/stores.md`.
//!
//! A host may write its own: [`Records`] turns a [`Thread`] into bytes and back.

#[cfg(feature = "conformance")]
pub mod conformance;
mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
mod record;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
mod row;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
pub use record::{FORMAT, RecordError, Records, Seal};
#[cfg(feature = "redis")]
pub use redis::RedisStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::id::ThreadKey;
use crate::thread::Thread;
use crate::time::Timestamp;

/// Keeps the [`Thread`]s of a host, with compare-and-swap and wake times.
///
/// Everything is for many threads at once, since one webhook delivery touches many. Dropping a
/// returned future may leave the write done or not done; whoever retries it learns by the version.
#[async_trait]
pub trait ThreadStore: fmt::Debug + Send + Sync + 'static {
    /// The threads with these keys, in the order of the keys. One that is not kept is a fresh
    /// [`Thread`] at version 0. One whose record cannot be read does not keep the others from being read.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot answer now.
    async fn load(&self, keys: &[ThreadKey]) -> Result<Vec<Loaded>, StoreError>;

    /// Writes or removes each thread whose version is still the expected one, and answers for each, in
    /// order, whether that was done. State, version, wake time and whether it is open change together, and
    /// are safe when this returns.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot answer now; then each may or may not have been written, now or a
    /// moment later.
    async fn compare_and_swap(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError>;

    /// At most `limit` threads whose wake time has come, the longest overdue first. Each is leased: it
    /// is not handed out again before `now + lease`, to any process, unless it is written meanwhile.
    /// The version does not change.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot answer now.
    async fn due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ThreadKey>, StoreError>;

    /// At most `limit` of the threads that were open when they were written ([`Write::needs_attention`]), in an order
    /// of the store's own; those behind `after` in it, which itself need not be kept any more.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot answer now.
    async fn needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, StoreError>;

    /// Removes threads, whatever their version, and really: what was written is not to be read any more.
    /// Those that are not kept are passed over.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot answer now.
    async fn forget(&self, keys: &[ThreadKey]) -> Result<(), StoreError>;

    /// The earliest wake time after this moment, if the store can tell. The service asks after each poll, so that every timer
    /// fires when it is due; of a store that answers `None` another process's timers, and all but this process's earliest, may
    /// be a second late.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot answer now.
    async fn next_due(&self, _after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }
}

/// A thread as it was loaded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded {
    /// The version to expect when it is written; 0 if it was not kept.
    pub version: u64,
    /// The thread, or why its record cannot be read.
    pub thread: Result<Arc<Thread>, RecordError>,
    /// It is what this process wrote last: another may have written since.
    pub(crate) is_copy: bool,
}

impl Loaded {
    /// A thread with its version.
    #[must_use]
    pub fn new(version: u64, thread: Result<impl Into<Arc<Thread>>, RecordError>) -> Self {
        Self { version, thread: thread.map(Into::into), is_copy: false }
    }

    /// A thread that is kept, and of which not even the version can be read.
    #[cfg(feature = "redis")]
    pub(crate) fn unreadable(error: RecordError) -> Self {
        Self { version: 0, thread: Err(error), is_copy: false }
    }

    /// A thread that is not kept.
    #[must_use]
    pub fn fresh() -> Self {
        Self::new(0, Ok(Thread::new()))
    }
}

/// One thread to be written or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write {
    /// Which conversation.
    pub key: ThreadKey,
    /// The version that it must still have; 0 if it must not be kept.
    pub expected: u64,
    /// The version that it has from then on. Never 0, at most `i64::MAX`, and never used before for this
    /// conversation: so whoever does not know whether a write was done learns it by the version. The service takes
    /// random ones.
    pub version: u64,
    /// What it becomes; nothing if it is to be removed. What is not kept is not removed: then `expected` is not 0.
    pub thread: Option<Arc<Thread>>,
    /// When it has to be looked at again.
    pub wake: Option<Timestamp>,
}

impl Write {
    /// A write of `thread` over the version that was loaded.
    #[must_use]
    pub fn new(
        key: ThreadKey,
        expected: u64,
        version: u64,
        thread: impl Into<Arc<Thread>>,
        wake: Option<Timestamp>,
    ) -> Self {
        Self { key, expected, version, thread: Some(thread.into()), wake }
    }

    /// The removal of a thread that knows nothing any more.
    #[must_use]
    pub fn delete(key: ThreadKey, expected: u64, version: u64) -> Self {
        Self { key, expected, version, thread: None, wake: None }
    }

    /// Whether somebody still has to do something about it: see [`Thread::needs_attention`].
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        self.thread.as_deref().is_some_and(Thread::needs_attention)
    }
}

/// How one write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteOutcome {
    /// It was written.
    Written,
    /// Somebody else wrote it meanwhile: load it again.
    Conflict,
}

/// The store could not answer. Nothing is known about what was asked of it; try again later.
///
/// Its words say why: those of the database (`database or disk is full`, `connection refused`, an SQLSTATE with the server's
/// message), without secrets and without what is in the records. So they may be logged and answered.
#[derive(Debug, Clone)]
pub struct StoreError {
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// A failure, in words that hold no secret.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// Adds what caused it. Its words become a part of this error's, and so must hold no secret.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = format!("the thread store failed: {}", self.message);
        let mut cause = self.source();
        while let Some(error) = cause {
            let words = error.to_string();
            // Many errors repeat the words of their cause.
            if !said.ends_with(&words) {
                said = format!("{said}: {words}");
            }
            cause = error.source();
        }
        f.write_str(&said)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_error_says_its_causes_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot write: {0}")]
        struct Outer(#[source] std::io::Error);

        let error = StoreError::new("a database of a host's own")
            .with_source(Outer(std::io::Error::other("disk full")));
        assert_eq!(
            error.to_string(),
            "the thread store failed: a database of a host's own: cannot write: disk full"
        );
        assert_eq!(StoreError::new("away").to_string(), "the thread store failed: away");
    }
}
